"""Trials on a GPU against its ceiling, and what of the time it computes.

    python benchmarks/gpu.py [--models resnet50 …] [--photos 12800] [--out benchmarks/gpu.md] [options of train.py]

Drawn photos of 384 x 512 (demo/draw.py), EfficientNet-b0 and b3 and ResNet-50 at 224 pixels, batches of 256, bf16,
random weights, each without and with torch.compile. A trial is `python baseline/train.py` in a process of its own; the
ceiling is its training step on one batch in device memory, the busy share is from torch.profiler (benchmarks/parts.py).
Ends with an error where there is no GPU.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
import torch

HOME = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(HOME / room) for room in ("baseline", "demo")]  # before benchmarks/trial.py

from draw import STEMS, draw_competition

COPIES = 8  # links to each drawn person, since drawing and not training would take the time
MODELS = ("Efficientnet_b0", "Efficientnet_b3", "resnet50")
COLUMNS = {
    "trial": ("trial after its first epoch, images/s", ".0f"),
    "ceiling": ("ceiling, images/s", ".0f"),
    "share": ("share of it", ".2f"),
    "busy": ("GPU busy", ".0%"),
    "resident": ("epoch with the photos in device memory, images/s", ".0f"),
    "copied": ("with batches copied ahead from pinned memory, images/s", ".0f"),
    "decoded": ("photos/s decoded", ".0f"),
}
Figures = dict[str, float]  # by the names of COLUMNS; "resident" only where the photos fit


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--photos", type=int, default=12800, help="of an epoch, about (default: %(default)s)")
    parser.add_argument("--side", type=int, default=224)
    parser.add_argument("--batch_size", type=int, default=256)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--steps", type=int, default=30, help="of the ceiling and of the profile")
    parser.add_argument("--out", type=Path, default=HOME / "benchmarks" / "gpu.md")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help=argparse.SUPPRESS)  # cpu: a rehearsal
    given, options = parser.parse_known_args()
    if given.device == "cuda" and not torch.cuda.is_available():
        sys.exit("error: no GPU here; torch sees none")
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        root = draw_crowd(Path(scratch), given.photos)
        found = {}
        for model in given.models:
            for compiled in ("false", "true"):
                found[model, compiled] = measure(Path(scratch), root, given, [*options, "--compile", compiled], model)
                shown = ", ".join(f"{name} {value:.4g}" for name, value in found[model, compiled].items())
                print(f"{model}, compile {compiled}: {shown}", flush=True)
    given.out.write_text(report(found, given, options, time.monotonic() - began))
    print(given.out.read_text())


def draw_crowd(scratch: Path, photos: int) -> Path:
    """A data root of about photos / 0.8 labelled photos, COPIES times the same people under other names."""
    people = max(round(photos / 0.8 / len(STEMS) / COPIES), 1)
    draw_competition(scratch / "drawn", people=people, eval_people=1, seed=1)
    images = scratch / "crowd" / "train" / "images"
    images.mkdir(parents=True)
    table = pd.read_csv(scratch / "drawn" / "train" / "train.csv", dtype=str)
    copies = []
    for copy in range(COPIES):
        copies.append(table.assign(id=table["id"] + f"-{copy}", path=table["path"] + f"_{copy}"))
        for name in table["path"]:
            (images / f"{name}_{copy}").symlink_to(scratch / "drawn" / "train" / "images" / name)
    pd.concat(copies).to_csv(images.parent / "train.csv", index=False)
    return scratch / "crowd"


def measure(scratch: Path, root: Path, given: argparse.Namespace, options: list[str], model: str) -> Figures:
    """Images per second of a trial after its first epoch, and those of its parts."""
    command = [sys.executable, HOME / "baseline" / "train.py", "--data_dir", root, "--cache_dir", scratch / "cache"]
    command += ["--model", model, "--pretrained", "false", "--resize", given.side, "--batch_size", given.batch_size]
    command += ["--epochs", given.epochs, "--device", given.device, "--processes", 1, "--precision", "bf16", *options]
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        run_shown([*command, "--model_dir", folder])
        (run,) = Path(folder).glob("exp/*")
        later = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()][1:]
        lines = run_shown([sys.executable, HOME / "benchmarks" / "parts.py", run, "--steps", given.steps, "--feeds"])
    told = json.loads(lines[-1])
    photos = sum(row["images_per_second"] * row["seconds"] for row in later)
    rate, ceiling = photos / sum(row["seconds"] for row in later), told["batch"] / told["step"]
    found = {"trial": rate, "ceiling": ceiling, "share": rate / ceiling, "decoded": told["decoded"] / told["decoding"]}
    return found | {name: told[name] for name in ("busy", "resident", "copied") if name in told}


def run_shown(command: list) -> list[str]:
    """The lines that it printed, shown as they come."""
    lines = []
    with subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            lines.append(line)
            print(line, end="", flush=True)
    if process.returncode != 0:
        sys.exit(f"error: this failed, see above: {' '.join(process.args)}")
    return lines


def report(found: dict[tuple[str, str], Figures], given: argparse.Namespace, options: list[str], seconds: float) -> str:
    device = torch.cuda.get_device_name() if given.device == "cuda" else "a CPU, a rehearsal"
    lines = [
        "# Trials on a GPU",
        "",
        f"`{' '.join(['python benchmarks/gpu.py', *options])}`: {device}, torch {torch.__version__}, {given.side} px, "
        f"batches of {given.batch_size}, bf16, about {given.photos} photos an epoch, {seconds / 60:.0f} minutes.",
        "The ceiling is the trial's training step on one batch in device memory. The GPU is busy while a kernel runs; "
        "copies do not count.",
        "",
        f"| model | compile | {' | '.join(head for head, _ in COLUMNS.values())} |",
        "|---|---" + "|--:" * len(COLUMNS) + "|",
    ]
    for (model, compiled), figures in found.items():
        cells = [format(figures[name], form) if name in figures else "" for name, (_, form) in COLUMNS.items()]
        lines.append(f"| {model} | {compiled} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
