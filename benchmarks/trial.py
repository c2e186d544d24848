"""A trial against S3's way, loops like torchvision's reference and timm's train.py, and the ceiling of this computer.

    python benchmarks/trial.py DATA [--photos 128] [--rounds 2] [--out benchmarks/trial.md] [options of train.py]

The same photos of DATA, a data root of the competition, and then drawn ones of 384 x 512 (demo/draw.py), go through
ResNet-18 at 128 pixels, EfficientNet-b0 at 128 and at 224: batches of 32, random weights, on the CPU. The ways
(benchmarks/ways.py) take turns in processes of their own; "this project" is `python baseline/train.py` with an empty
cache, the ceiling its training step on one batch in memory (benchmarks/parts.py).
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
import tempfile
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

HOME = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(HOME / room) for room in ("baseline", "demo")]  # before benchmarks/trial.py

from subset import STEMS, make_subset

from draw import draw_competition

BATCH, WORKERS = 32, 2
S3, TORCHVISION, TIMM, OURS, CEILING = "S3's way", "like torchvision's", "like timm's", "this project", "ceiling"
STOCK = {S3: "s3", TORCHVISION: "torchvision", TIMM: "timm"}
TARGETS = {S3: 2.0, TIMM: 1.5, CEILING: 0.95}  # ours, as a multiple of it, in epochs after the first


@dataclass(frozen=True)
class Model:
    name: str  # in the tables
    stock: str  # torchvision's and timm's name
    ours: str
    side: int
    epochs: int


MODELS = (
    Model("ResNet-18, 128 px", "resnet18", "resnet18", 128, 4),
    Model("EfficientNet-b0, 128 px", "efficientnet_b0", "Efficientnet_b0", 128, 3),
    Model("EfficientNet-b0, 224 px", "efficientnet_b0", "Efficientnet_b0", 224, 2),
)
COLUMNS = {
    "first": "in the first epoch",
    "decoded": "photos/s decoded",
    "start": "s from exec to first step",
    "again": "the same, next trial",
    "peak": "peak memory, MiB",
}
NOTES = """\
- "In the first epoch" counts the decoding of this project's cache, validation photos included, and with the others the
  start of their loader processes. Decoding is timed in a process of its own (benchmarks/parts.py).
- From exec to the first step this project's first trial also measures which precision is fastest here, which it keeps
  for all later trials of the machine, and decodes; its next trial finds both done.
- Memory is that of the largest process; the others' loader processes come on top.
- The ceiling is this project's training step, in the precision and memory format that its trial took, on one batch that
  is in memory.
- The loops like torchvision's and timm's have their scripts' defaults (benchmarks/ways.py), timm's without colour
  jitter. All ways see their validation photos after each epoch; that time is in no figure.""".splitlines()
Figures = dict[str, float]  # of one run of one way: "later" images per second, and those of COLUMNS that it has
Found = dict[tuple[str, Model, str], list[Figures]]  # by kind of photos, model and way
Middle = dict[tuple[str, Model, str], Figures]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--photos", type=int, default=128, help="of an epoch (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=0, help="of each run (default: 4, 3 and 2 by model)")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--out", type=Path, default=HOME / "benchmarks" / "trial.md")
    given, options = parser.parse_known_args()
    if given.photos % BATCH:
        parser.error(f"--photos {given.photos}: pass a multiple of {BATCH}, so that every way takes whole batches")
    if given.epochs == 1:
        parser.error("--epochs 1: pass 2 or more; the first epoch is counted apart")
    began, load = time.monotonic(), os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as scratch:
        kinds = prepare_photos(Path(scratch), given.data, given.photos)
        found = measure(Path(scratch), kinds, given.rounds, given.epochs, options)
    given.out.write_text(report(found, given.photos, options, time.monotonic() - began, load))
    print(given.out.read_text())


def prepare_photos(scratch: Path, data: Path, photos: int) -> dict[str, Path]:
    """Folders as make_subset() writes them, by what they hold."""
    try:
        make_subset(data, scratch / "real", photos)
    except ValueError as error:
        sys.exit(f"error: {error}")
    draw_competition(scratch / "all-drawn", people=photos // len(STEMS) * 5 // 4, eval_people=1, seed=1)
    make_subset(scratch / "all-drawn", scratch / "drawn", photos)
    return {f"photos of {data.resolve().name}": scratch / "real", "drawn photos, 384 x 512": scratch / "drawn"}


def measure(scratch: Path, kinds: dict[str, Path], rounds: int, epochs: int, options: list[str]) -> Found:
    turns = [(kind, model) for _ in range(rounds) for kind in kinds for model in MODELS]
    found: Found = {}
    took: dict[Model, float] = {}
    for number, (kind, model) in enumerate(turns, 1):
        began, count = time.monotonic(), epochs or model.epochs
        with tempfile.TemporaryDirectory(dir=scratch) as folder:
            turn = {way: run_stock(kinds[kind], name, model, count) for way, name in STOCK.items()}
            turn |= run_ours(Path(folder), kinds[kind], model, count, options)
        for way, figures in turn.items():
            found.setdefault((kind, model, way), []).append(figures)
        shown = ", ".join(f"{way} {figures['later']:.1f}" for way, figures in turn.items())
        took[model] = time.monotonic() - began
        to_go = sum(took.get(model, max(took.values())) for _, model in turns[number:])
        print(f"{number}/{len(turns)}, {to_go / 60:.0f} min to go: {kind}, {model.name}: images/s {shown}", flush=True)
    return found


def run_stock(photos: Path, way: str, model: Model, epochs: int) -> Figures:
    command = [sys.executable, HOME / "benchmarks" / "ways.py", way, photos, "--model", model.stock]
    command += ["--side", model.side, "--batch_size", BATCH, "--epochs", epochs, "--workers", WORKERS]
    lines, peak = launch(command)
    told = json.loads(lines[-1][1])
    return rates(told["photos"], told["seconds"]) | {"start": when(lines, "first step"), "peak": peak}


def run_ours(folder: Path, photos: Path, model: Model, epochs: int, options: list[str]) -> dict[str, Figures]:
    """A trial with an empty cache, the start of a second one, and the ceiling of both."""
    command = [sys.executable, HOME / "baseline" / "train.py", "--data_dir", photos / "root", "--model", model.ours]
    command += ["--pretrained", "false", "--resize", model.side, "--batch_size", BATCH, "--epochs", epochs]
    command += ["--model_dir", folder, "--cache_dir", folder / "cache", "--device", "cpu", "--log_interval", 1]
    lines, peak = launch([*command, *options, "--name", "first"])
    again, _ = launch([*command, *options, "--name", "second"], until=" step 1/")
    (run,) = (folder / "first").iterdir()
    history = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    seconds = [row["seconds"] for row in history]
    trained = [row["images_per_second"] * row["seconds"] for row in history]
    steps = math.ceil(sum(trained[1:]) / BATCH)  # as many as the trial took after its first epoch
    parts, _ = launch([sys.executable, HOME / "benchmarks" / "parts.py", run, "--steps", steps])
    told = json.loads(parts[-1][1])
    ours = rates(trained, [told["decoding"] + seconds[0], *seconds[1:]])
    ours |= {"start": when(lines, " step 1/"), "again": when(again, " step 1/"), "peak": peak}
    ours["decoded"] = told["decoded"] / told["decoding"]
    return {OURS: ours, CEILING: {"later": told["batch"] / told["step"]}}


def rates(photos: list[float], seconds: list[float]) -> Figures:
    """Images per second of the first epoch, and of all later ones."""
    return {"first": photos[0] / seconds[0], "later": sum(photos[1:]) / sum(seconds[1:])}


def launch(command: list, until: str = "") -> tuple[list[tuple[float, str]], float]:
    """Runs it to its end, or until it prints `until`: its lines, each with the seconds since it was started, and MiB.

    The memory is the peak of its largest process, as the kernel counts it.
    """
    began, lines = time.monotonic(), []
    with subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            lines.append((time.monotonic() - began, line.rstrip("\n")))
            if until and until in line:
                process.kill()
                break
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0 and not until:
        print(*(line for _, line in lines[-20:]), sep="\n")
        sys.exit(f"error: this failed: {' '.join(process.args)}")
    return lines, used.ru_maxrss / 1024


def when(lines: list[tuple[float, str]], mark: str) -> float:
    return next(seconds for seconds, line in lines if mark in line)


def report(found: Found, photos: int, options: list[str], seconds: float, load: float) -> str:
    rounds = len(next(iter(found.values())))
    middle = {
        cell: {name: statistics.median(run[name] for run in runs) for name in runs[0]} for cell, runs in found.items()
    }
    command = " ".join(["python benchmarks/trial.py DATA", *options])
    lines = [
        "# A trial against other ways of training",
        "",
        f"`{command}`: {os.cpu_count()} cores, {platform.machine()}, torch {version('torch')}.",
        f"{photos} training photos in batches of {BATCH}, {WORKERS} processes a loader; medians of {rounds} rounds, in "
        f"which the ways take turns; {seconds / 60:.0f} minutes, begun at a load average of {load:.1f}.",
        "",
        "This project's images per second as a multiple of another way's, after the first epoch unless it says so:",
        "",
        *targets(middle),
    ]
    for kind in dict.fromkeys(kind for kind, _, _ in found):
        lines += ["", f"## {kind[0].upper()}{kind[1:]}", "", *table(found, middle, kind)]
    return "\n".join([*lines, "", *NOTES]) + "\n"


def targets(middle: Middle) -> list[str]:
    heads = [f"{way}, at least {least:g}" for way, least in TARGETS.items()]
    heads += [f"{S3} in the first epoch, at least 1", TORCHVISION]
    lines = [f"| photos | model | {' | '.join(heads)} |", "|---|---" + "|--:" * len(heads) + "|"]
    for kind, model in dict.fromkeys((kind, model) for kind, model, _ in middle):
        at = {way: figures for (of, size, way), figures in middle.items() if (of, size) == (kind, model)}
        cells = [judged(at[OURS]["later"] / at[way]["later"], least) for way, least in TARGETS.items()]
        cells += [
            judged(at[OURS]["first"] / at[S3]["first"], 1.0),
            f"{at[OURS]['later'] / at[TORCHVISION]['later']:.2f}",
        ]
        lines.append(f"| {kind} | {model.name} | {' | '.join(cells)} |")
    return lines


def judged(share: float, least: float) -> str:
    return f"{share:.2f} met" if share >= least else f"**{share:.2f} missed**"


def table(found: Found, middle: Middle, kind: str) -> list[str]:
    heads = ["images/s after the first epoch", "in each round", *COLUMNS.values()]
    lines = [f"| model | way | {' | '.join(heads)} |", "|---|---" + "|--:" * len(heads) + "|"]
    for (of, model, way), runs in found.items():
        if of == kind:
            figures = middle[of, model, way]
            cells = [f"{figures['later']:.1f}", ", ".join(f"{run['later']:.1f}" for run in runs)]
            cells += [f"{figures[name]:.1f}" if name in figures else "" for name in COLUMNS]
            lines.append(f"| {model.name} | {way} | {' | '.join(cells)} |")
    return lines


if __name__ == "__main__":
    main()
