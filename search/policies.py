"""Ranks the policies that trials tried, and joins the best ones into a policy for --augmentation policy:FILE.

    python search/policies.py EXPERIMENT -o baseline/policy.json

A policy scores its best mean of val_METRIC over so many consecutive epochs; where several runs tried it, their mean.
Runs with other augmentations stand in the same table, but only policies are joined: those of `policy:random:N` and
`policy:FILE` alike, so what NNI searched (config_augmentation.yml) and what single trials tried end here.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

HOME = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(HOME / "baseline"))

from augment import POLICY
from config import PLACES
from ledger import load
from policy import Policy, read_policy
from registry import unknown
from run import atomic

VARIED = PLACES | {"augmentation", "seed", "fold"}  # knobs in which runs that are compared may differ


@dataclass(frozen=True)
class Scored:
    """A run and its best stretch of epochs."""

    path: Path
    parameters: dict[str, Any]
    score: float
    epochs: tuple[int, int]  # first and last of the stretch

    @property
    def policy(self) -> str:
        """The source of its policy, empty where it had none. Raises ValueError for two, as neither has the score."""
        found = [part.removeprefix(POLICY) for part in self.parts if part.startswith(POLICY)]
        if len(found) > 1:
            raise ValueError(f"{self.path} had {len(found)} policies, {' and '.join(found)}; leave it out")
        return "".join(found)

    @property
    def parts(self) -> list[str]:
        return self.parameters["augmentation"].split("+")

    @property
    def beside(self) -> str:
        """The augmentations beside its policy, joined."""
        return "+".join(part for part in self.parts if not part.startswith(POLICY))


@dataclass(frozen=True)
class Ranked:
    """A policy, or another augmentation, with the runs that tried it."""

    policy: str  # source; empty for another augmentation
    runs: list[Scored]

    @property
    def score(self) -> float:
        return fmean(run.score for run in self.runs)

    @property
    def name(self) -> str:
        return POLICY + self.policy if self.policy else self.runs[0].parameters["augmentation"]


def main(argv: list[str]) -> None:
    given = parse(argv)
    try:
        if "+" in given.out.name:
            raise ValueError(f"{given.out} has + in its name, which --augmentation would take for a joint; rename it")
        runs = list(score_runs(find_runs(given.runs, given.outputs), given.metric, given.window))
        ranking = rank(runs)
        kept = choose(ranking, given.keep)
        show(ranking, kept, given.metric, given.window)
        for line in unfair(runs):
            print(f"note: {line}")
        write(given.out, kept, given.metric, given.window)
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    print(f"{given.out}: {len(kept)} policies joined. Train with --augmentation policy:{given.out}")


def parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="policies.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="run folders, or folders of them, as an experiment's")
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="FILE", help="the joined policy")
    parser.add_argument(
        "--outputs",
        type=Path,
        default=HOME / "outputs",
        metavar="DIR",
        help="where experiments are (default: %(default)s)",
    )
    parser.add_argument("--keep", type=count, default=5, help="policies to join (default: %(default)s)")
    parser.add_argument("--window", type=count, default=10, help="consecutive epochs that are averaged (default: 10)")
    parser.add_argument("--metric", default="macro_f1", help="of the validation photos (default: %(default)s)")
    return parser.parse_args(argv)


def count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text)):
        raise argparse.ArgumentTypeError(f"{text} is no number from 1")
    return int(text)


def find_runs(given: Iterable[str], outputs: Path) -> list[Path]:
    """The run folders at each of `given`, or else at that name in `outputs`, once each. Raises ValueError for none."""
    found: dict[Path, Path] = {}
    for name in given:
        places = [place for place in (Path(name), outputs / name) if place.is_dir()]
        if not places:
            raise ValueError(f"there is no folder {name} here or in {outputs}")
        inside = [places[0]] if is_run(places[0]) else [path for path in sorted(places[0].iterdir()) if is_run(path)]
        if not inside:
            raise ValueError(f"{places[0]} is no run folder and holds none; collect the experiment first")
        found |= {path.resolve(): path for path in inside}
    return list(found.values())


def is_run(path: Path) -> bool:
    return (path / "config.json").is_file()


def score_runs(paths: Iterable[Path], metric: str, window: int) -> Iterator[Scored]:
    """Those that trained; prints which did not. Raises ValueError for one with fewer epochs than `window`."""
    for path in paths:
        parameters = load(path, "config.json").get("parameters", {})
        summary = load(path, "summary.json")
        if "augmentation" not in parameters:
            print(f"left out: {path} is no trial")
        elif summary.get("status") in ("RUNNING", "FAILED"):
            reason = f": {summary['error']}" if "error" in summary else ""
            print(f"left out: {path} is {summary['status']}{reason}")
        else:
            yield Scored(path, parameters, *best_stretch(path, metric, window))


def best_stretch(path: Path, metric: str, window: int) -> tuple[float, tuple[int, int]]:
    """The best mean over `window` epochs in a row, the first of equals, and its first and last epoch."""
    file, name = path / "history.jsonl", f"val_{metric}"
    rows = [json.loads(line) for line in file.read_text().splitlines()] if file.is_file() else []
    if len(rows) < window:
        raise ValueError(
            f"{path} has {len(rows)} epochs, fewer than --window {window}; lower it or leave this run out, "
            "as means over fewer epochs would not compare"
        )
    for row in rows:
        if name not in row:
            known = [key.removeprefix("val_") for key in row if key.startswith("val_")]
            raise ValueError(f"{file}: {unknown('metric', metric, known)}")
    means = [fmean(row[name] for row in rows[start : start + window]) for start in range(len(rows) - window + 1)]
    means = [mean if math.isfinite(mean) else -math.inf for mean in means]
    best = means.index(max(means))
    return means[best], (rows[best]["epoch"], rows[best + window - 1]["epoch"])


def rank(runs: Iterable[Scored]) -> list[Ranked]:
    """Best first; equal ones in the order of their names."""
    groups: dict[tuple[str, str], list[Scored]] = {}
    for run in runs:
        groups.setdefault((run.policy, "" if run.policy else run.beside), []).append(run)
    ranking = [Ranked(policy, members) for (policy, _), members in groups.items()]
    return sorted(ranking, key=lambda ranked: (-ranked.score, ranked.name))


def choose(ranking: list[Ranked], keep: int) -> list[Ranked]:
    policies = [ranked for ranked in ranking if ranked.policy and math.isfinite(ranked.score)]
    if len(policies) < keep:
        raise ValueError(f"{len(policies)} policies have a score, fewer than --keep {keep}; lower it or try more")
    return policies[:keep]


def show(ranking: list[Ranked], kept: list[Ranked], metric: str, window: int) -> None:
    print(f"best mean of val_{metric} over {window} epochs in a row; * is joined")
    print("rank   score   epochs   runs  augmentation")
    for place, ranked in enumerate(ranking, 1):
        epochs = "{}-{}".format(*ranked.runs[0].epochs) if len(ranked.runs) == 1 else "…"
        mark = "*" if ranked in kept else " "
        print(f"{place:4}{mark} {ranked.score:.4f}  {epochs:>7}  {len(ranked.runs):5}  {ranked.name}")


def unfair(runs: list[Scored]) -> Iterator[str]:
    """What else than their policy the compared runs differ in."""
    knobs = sorted({knob for run in runs for knob in run.parameters} - VARIED)
    different = [knob for knob in knobs if len({json.dumps(run.parameters.get(knob)) for run in runs}) > 1]
    if different:
        yield f"these runs differ in more than their augmentation: {', '.join(different)}"
    beside = sorted({run.beside or "nothing" for run in runs if run.policy})
    if len(beside) > 1:
        yield f"beside their policies runs had {' or '.join(beside)}"


def write(path: Path, kept: list[Ranked], metric: str, window: int) -> None:
    """All sub-policies of `kept`, best policy first, one a line, and in "from" what they scored."""
    joined: Policy = tuple(part for ranked in kept for part in read_policy(ranked.policy))
    told = {
        "metric": f"val_{metric}",
        "epochs": window,
        "policies": [
            {"policy": ranked.policy, "score": ranked.score, "runs": [str(run.path) for run in ranked.runs]}
            for ranked in kept
        ],
    }
    lines = ",\n    ".join(json.dumps(part) for part in joined)
    text = f'{{\n  "policy": [\n    {lines}\n  ],\n  "from": {json.dumps(told, ensure_ascii=False)}\n}}\n'
    atomic(path, lambda file: file.write_text(text, encoding="utf-8"))


if __name__ == "__main__":
    main(sys.argv[1:])
