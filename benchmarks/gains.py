"""What averaging, views, an attention head and augmentation policies each gained, over seeds, also where it is nothing.

    python benchmarks/gains.py DATA [--seeds 3] [--out benchmarks/gains.md]

DATA is a data root of photos without an upright, such as blood cells. Each way trains with the same seeds, on the same
half of the groups, and validates on the others. The policy that was found joins the best of some random ones
(search/policies.py) that trained and were chosen on the halves the other way round. Finished runs stay in
outputs/gains.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

from real_photos import HOME, find_run
from sets import LITE0, fetch_lite0

sys.path.insert(0, str(HOME / "baseline"))

from sources import load

RECIPE = f"{LITE0} --resize 48 --folds 2 --epochs 3 --batch_size 32 --lr 1e-3 --augmentation none --metric accuracy"
TRIED, KEPT, WINDOW = 4, 2, 2
WAYS = {
    "EMA": "--averaging ema --ema_decay .99",
    "SWA of the last 2 epochs": "--averaging swa --swa_last 2",
    "4 views": "--views dihedral4",
    "8 views": "--views dihedral8",
    "attention head": "--attention true",
    "turned and mirrored": "--augmentation dihedral",
    "the policy found": "--augmentation policy:{policy}",
    "RandAugment": "--augmentation randaugment",
    "TrivialAugment": "--augmentation trivialaugment",
}
PLAIN = "the recipe"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=HOME / "benchmarks" / "gains.md")
    given = parser.parse_args()
    if given.seeds < 2:
        parser.error("--seeds: a standard error needs two at least")
    outputs = HOME / "outputs" / "gains"
    outputs.mkdir(parents=True, exist_ok=True)
    ways = {PLAIN: ""} | {name: words.format(policy=outputs / "policy.json") for name, words in WAYS.items()}
    search(given.data, outputs)
    found: dict[str, list[float]] = {name: [] for name in ways}
    for seed in range(given.seeds):
        for number, (name, words) in enumerate(ways.items(), 1):
            print(f"seed {seed + 1} of {given.seeds}, way {number} of {len(ways)}: {name}", flush=True)
            found[name].append(train(given.data, outputs, f"{words} --seed {seed}"))
    given.out.write_text("\n".join(report(found)) + "\n")
    print(given.out.read_text())


def search(data: Path, outputs: Path) -> None:
    """Writes policy.json: the sub-policies of the KEPT best of TRIED random policies."""
    folder = outputs.with_name("gains-policies")
    folder.mkdir(exist_ok=True)
    for number in range(TRIED):
        print(f"policy {number + 1} of {TRIED}", flush=True)
        train(data, folder, f"--augmentation policy:random:{number} --fold 1")
    command = [sys.executable, HOME / "search" / "policies.py", folder, "--keep", str(KEPT), "--window", str(WINDOW)]
    command += ["--metric", "accuracy", "-o", outputs / "policy.json"]
    subprocess.run(command, check=True)


def train(data: Path, outputs: Path, words: str) -> float:
    """The validation accuracy of a trial, trained unless one of the same knobs and data ended well."""
    options = [*RECIPE.split(), *words.split(), "--data_dir", str(data.resolve())]
    options += ["--weights", str(fetch_lite0(outputs.parent)), "--name", outputs.name]
    options += ["--model_dir", str(outputs.parent)]
    wanted = load(options, {}, {})[0].values()
    if find_run(outputs, wanted) is None:
        subprocess.run([sys.executable, HOME / "baseline" / "train.py", *options, "--resume", "auto"], check=True)
    return json.loads((find_run(outputs, wanted) / "summary.json").read_text())["metrics"]["val_accuracy"]


def report(found: dict[str, list[float]]) -> list[str]:
    lines = [
        "# What each way gained",
        "",
        f"`python benchmarks/gains.py DATA`: {RECIPE}, seeds 0 to {len(found[PLAIN]) - 1}, fold 0 of 2.",
        f"The policy found: the best {KEPT} of {TRIED} random policies by their best mean of {WINDOW} epochs, trained",
        "on those who validate here and chosen on the others (fold 1). The gain is over the recipe with the same",
        "seed; within two standard errors it may be none.",
        "",
        "| way | accuracy | gain | standard error |",
        "|---|--:|--:|--:|",
    ]
    for name, values in found.items():
        gains = [value - plain for value, plain in zip(values, found[PLAIN], strict=True)]
        error = statistics.stdev(gains) / len(gains) ** 0.5
        beside = f"{statistics.mean(gains):+.4f} | {error:.4f}" if name != PLAIN else " | "
        lines.append(f"| {name} | {statistics.mean(values):.4f} | {beside} |")
    return [*lines, "", *(f"- {name}: `{words}`" for name, words in WAYS.items())]


if __name__ == "__main__":
    main()
