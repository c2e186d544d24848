"""Varied trials on one fold of real photos, and what blending them is worth on people left out of each fit.

    python benchmarks/mask18.py DATA [--out benchmarks/mask18.md]

DATA is a data root in the competition's layout. EfficientNet-Lite0 starts from its ImageNet weights. The run folders
stand in outputs/mask18; those that ended well are not trained again. benchmarks/mask18.sh goes on to a submission.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from real_photos import HOME, find_run

for room in ("baseline", "ensemble"):
    sys.path.insert(0, str(HOME / room))

from config import PLACES
from judge import interval
from library import Library, read_library
from members import WHOLE, Member, find_members
from metrics import METRICS
from nested import Judgement, judge
from recipe import Plan, teach
from record import differing
from sources import load

RECIPE = (
    "--model timm/tf_efficientnet_lite0 --mean .5 .5 .5 --std .5 .5 .5 --resize 112 --crop 0 --val_ratio .25 "
    "--epochs 5 --batch_size 32 --lr 2e-3 --schedule cosine --augmentation FlipAugmentation --metric macro_f1 "
    "--precision float32 --compile false"
)
TRIALS = (
    "",
    "--lr 1e-3 --epochs 6",
    "--criterion label_smoothing --smoothing .1",
    "--criterion focal",
    "--augmentation crop+flip+jitter",
    "--augmentation flip+affine --degrees 10 --shear 5 --scale .9 1.1 --epochs 6",
    "--mixup .2 --epochs 6",
    "--classification gender",
    "--classification age --criterion label_smoothing --smoothing .1",
    "--classification mask --epochs 3",
    "--resize 128 --augmentation crop+flip",
    "--class_weights balanced",
    "--optimizer AdamW --weight_decay .02 --lr 1e-3 --batch_size 16",
    "--cutmix 1 --epochs 6",
    "--criterion f1 --lr 1e-3",
    "--resize 144 --augmentation crop+flip --views flip",
    "--classification age --resize 128 --augmentation crop+flip --views flip --class_weights balanced",
)  # what differs from the recipe


METRIC = "macro_f1"
EQUAL = Plan("equal", METRIC)
PLANS = (
    EQUAL,
    replace(EQUAL, mean="logit"),
    replace(EQUAL, mean="rank"),
    replace(EQUAL, temperature=True),
    replace(EQUAL, decide="prior"),
    replace(EQUAL, decide="thresholds"),
    Plan("greedy", METRIC),
    Plan("greedy", METRIC, bags=1),
    Plan("greedy", METRIC, mean="logit", temperature=True),
    Plan("convex", METRIC),
    Plan("convex", METRIC, mean="logit"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, default=HOME / "benchmarks" / "mask18.md")
    given = parser.parse_args()
    outputs = HOME / "outputs" / "mask18"
    train(given.data, outputs)
    members = find_members([outputs], with_blends=False)
    whole = [member for member in members if member.head == WHOLE]
    parts = [report(f"{len(whole)} models of 18 classes", whole)]
    parts.append(report(f"The same and {len(members) - len(whole)} models of mask, gender and age alone", members))
    given.out.write_text("\n".join([*heading(), *trials(members), *parts]) + "\n")
    print(given.out.read_text())


def train(data: Path, outputs: Path) -> None:
    outputs.mkdir(parents=True, exist_ok=True)
    weights = outputs / "lite0.safetensors"
    subprocess.run([sys.executable, HOME / "benchmarks" / "lite0.py", weights], check=True)
    for number, words in enumerate(TRIALS, 1):
        print(f"trial {number} of {len(TRIALS)}: {words or 'the recipe'}", flush=True)
        options = [*RECIPE.split(), *words.split(), "--weights", str(weights), "--data_dir", str(data.resolve())]
        options += ["--name", outputs.name, "--model_dir", str(outputs.parent)]
        if find_run(outputs, load(options, {}, {})[0].values()) is None:
            subprocess.run([sys.executable, HOME / "baseline" / "train.py", *options, "--resume", "auto"], check=True)


def heading() -> list[str]:
    return [
        "# Blends of trials on real photos",
        "",
        f"`python benchmarks/mask18.py DATA`: {len(TRIALS)} trials of {RECIPE}",
        "",
        "Intervals are of 95 %, over people. `held out` is macro F1 on people left out of each fit (five parts of the",
        "validation people); `own people` is what the same fit claims on those it was fitted on. The best epoch of",
        "each trial was chosen on these people too, which every row shares.",
        "",
    ]


def trials(members: list[Member]) -> list[str]:
    """A row for each trial, the best of its head first."""
    lines = ["| head | macro F1 | interval | accuracy | what differs from the recipe |", "|---|--:|---|--:|---|"]
    for member in sorted(members, key=lambda member: (member.head != WHOLE, member.head, -member.metrics[METRIC])):
        found = member.validation
        decided = found.probabilities == found.probabilities.max(axis=1, keepdims=True)
        score = interval(METRICS[METRIC], decided, found.truth, found.groups)
        what = " ".join(words_of(member)) or "the recipe"
        lines.append(
            f"| {member.head} | {score.value:.4f} | {score.low:.4f} to {score.high:.4f} "
            f"| {member.metrics['accuracy']:.4f} | {what} |"
        )
    return [*lines, ""]


def words_of(member: Member) -> list[str]:
    """The trial's words of TRIALS."""
    for words in TRIALS:
        wanted = load([*RECIPE.split(), *words.split()], {}, {})[0].values()
        if not differing(member.path, wanted, PLACES | {"weights"}):
            return words.split()
    return ["not of this benchmark"]


def report(title: str, members: list[Member]) -> str:
    """A row for each plan: held out, its interval, its gain over the equal blend, and what it claims itself."""
    library = read_library(members)
    single = Plan("best single", METRIC)
    lines = [f"## {title}", "", "| blend | held out | interval | over equal | own people |", "|---|--:|---|---|--:|"]
    for number, plan in enumerate((single, *PLANS), 1):
        print(f"{title}: plan {number} of {len(PLANS) + 1}, {describe(plan)}", flush=True)
        judged = judge([EQUAL, plan] if plan != EQUAL else [EQUAL], [plan], library)
        lines.append(row(plan, judged, library))
    return "\n".join([*lines, ""])


def row(plan: Plan, judged: Judgement, library: Library) -> str:
    score, gain = judged.rows[plan.name], judged.gain
    recipe = teach(plan, library)
    blended = recipe.blend(library.probabilities, library.heads, library.exclusive)
    own = METRICS[METRIC](recipe.rule.decide(blended), library.truth)
    over = "" if plan == EQUAL else f"{gain.value:+.4f} ({gain.low:+.4f} to {gain.high:+.4f})"
    return f"| {describe(plan)} | {score.value:.4f} | {score.low:.4f} to {score.high:.4f} | {over} | {own:.4f} |"


def describe(plan: Plan) -> str:
    return plan.name + (" (not bagged)" if plan.fit == "greedy" and plan.bags == 1 else "")


if __name__ == "__main__":
    main()
