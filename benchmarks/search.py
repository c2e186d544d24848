"""Replays searches over learning curves that were trained before (curves.py): who finds a good trial how soon.

    python benchmarks/search.py [--seeds 50] [--workers 2] [--only RIVAL …] [--folder outputs/replay]
    python benchmarks/search.py --overhead

Real tuners and assessors (rivals.py) drive simulated workers (replay.py). Writes benchmarks/search.md and search.png.
What was replayed is kept in --folder, a line for each rival and seed, and replayed again only where the curves or the
code it ran changed; --only replays some rivals and writes neither. --overhead measures what a suggestion costs instead,
and writes that table alone into search.md.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

HOME = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(HOME / "baseline")]  # before benchmarks/trial.py

from overhead import OVERHEAD, overhead_table
from regret import Outcome, draw, tables
from replay import Table
from rivals import STOCK, TPE, rivals
from rounds import BENCHMARKS, WORKERS, Round, by_rival, play_all, table_of

from run import atomic

S3_LR = {"lr": (0.001, 0.01, 0.1)}
TUNED = "curves_finetune.json"
START = 0.5  # epochs of the grid's median pace that a trial takes beside its own: imports, weights, test photos
SHOWN = {  # lines of the picture
    STOCK: "black",
    "NNI random": "tab:gray",
    "NNI TPE + Medianstop": "tab:orange",
    "NNI Hyperband": "tab:green",
    "ours tpe": "tab:cyan",
    "ours tpe + Asha": "tab:blue",
    "ours tpe + Asha from 3": "tab:purple",
    "ours tpe + Asha from 3, known good first": "tab:red",
}
BANDED = (STOCK, "ours tpe + Asha from 3")


@dataclass(frozen=True)
class Contest:
    title: str
    text: str
    curves: str
    stock: Mapping[str, tuple]  # knobs of which the stock search has these values alone
    wide: bool  # whether the others search the whole grid, not the stock search's space
    budget: int  # trials of the stock search


CONTESTS = (
    Contest(
        "Heads on features, all in S3's space",
        "540 configurations: S3's learning rates, batch sizes, criteria and augmentations; its models are heads.",
        "curves_features.json",
        S3_LR,
        wide=False,
        budget=40,
    ),
    Contest(
        "Heads on features, others with 7 learning rates",
        "Stock stays in S3's 540 configurations; the others, but the slow ones, search all 1,260, lr 0.0001 to 0.1.",
        "curves_features.json",
        S3_LR,
        wide=True,
        budget=40,
    ),
    Contest(
        "Whole trials, fine-tuned: 8 of them",
        "48 configurations of 5 epochs. Stock has as many trials as S3's users gave it, so its TPE stays random.",
        TUNED,
        {},
        wide=False,
        budget=8,
    ),
    Contest(
        "Whole trials, fine-tuned: 24 of them",
        "The same; stock has half of all configurations, so that its end is about the best of them, which is one that "
        "starts slowly.",
        TUNED,
        {},
        wide=False,
        budget=24,
    ),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--slow_seeds", type=int, default=10, help="of those that think for a minute: GP, Curvefitting")
    parser.add_argument("--workers", type=int, default=2, help="processes that replay")
    parser.add_argument("--only", nargs="+", metavar="RIVAL", help="replay these and the stock search, write nothing")
    parser.add_argument("--folder", type=Path, default=HOME / "outputs" / "replay")
    parser.add_argument("--overhead", action="store_true", help="measure the cost of a suggestion instead")
    given = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # of the processes that replay; Optuna's GP would take all cores
    page = BENCHMARKS / "search.md"
    before, _, behind = (page.read_text() if page.is_file() else "").partition(OVERHEAD)
    if given.overhead:
        behind = "\n".join(overhead_table(space_of(dict(table_of(CONTESTS[0].curves).grid)))) + "\n"
    else:
        given.folder.mkdir(parents=True, exist_ok=True)
        if absent := sorted({one.curves for one in CONTESTS if not (BENCHMARKS / one.curves).is_file()}):
            parser.error(f"benchmarks/{absent[0]} is missing; curves.py makes it")
        outcomes = [compete(contest, given) for contest in CONTESTS]
        if given.only:
            return
        before = "\n".join(report(outcomes, given.seeds)) + "\n\n"
        draw(BENCHMARKS / "search.png", outcomes, SHOWN, BANDED)
    atomic(page, lambda file: file.write_text(before + OVERHEAD + behind if behind else before))
    print(page.read_text())


def compete(contest: Contest, given: argparse.Namespace) -> Outcome:
    """The stock search for its trials, then the others for the time that it took."""
    table = table_of(contest.curves)
    theirs = dict(table.grid) if contest.wide else dict(table.grid) | dict(contest.stock)
    start = START * middle_pace(table)
    known = rivals(table.epochs)
    own = space_of(dict(table.grid) | dict(contest.stock))
    stock = known.pop(STOCK)
    first = [
        Round(STOCK, stock, seed, contest.curves, own, start, math.inf, contest.budget) for seed in range(given.seeds)
    ]
    print(contest.title, flush=True)
    played = by_rival(first, play_all(first, given.folder, given.workers))
    outcome = Outcome(contest.title, contest.text, start, played, STOCK, table.best(theirs))
    if contest.wide:
        known = {"NNI TPE": TPE} | {name: rival for name, rival in known.items() if not rival.slow}
    rest = [
        Round(name, rival, seed, contest.curves, space_of(theirs), start, outcome.clock, math.inf)
        for name, rival in known.items()
        for seed in range(min(given.seeds, given.slow_seeds) if rival.slow else given.seeds)
        if not given.only or name in given.only
    ]
    return replace(outcome, records=played | by_rival(rest, play_all(rest, given.folder, given.workers)))


def space_of(grid: Mapping[str, tuple]) -> dict[str, Any]:
    """NNI's search space."""
    return {name: {"_type": "choice", "_value": list(values)} for name, values in grid.items()}


def middle_pace(table: Table) -> float:
    """Seconds of an epoch, the median over the grid."""
    paces = sorted(curve.seconds for curve in table.curves.values())
    return paces[len(paces) // 2]


def measured_start() -> float:
    """What START stands for, as the trials that were fine-tuned took it."""
    return json.loads((BENCHMARKS / TUNED).read_text())["start_seconds"] / middle_pace(table_of(TUNED))


def report(outcomes: list[Outcome], seeds: int) -> list[str]:
    how = [json.loads((BENCHMARKS / name).read_text())["how"] for name in (CONTESTS[0].curves, TUNED)]
    lines = [
        "# Searches replayed over trained curves",
        "",
        f"`python benchmarks/search.py`: {seeds} seeds each, fewer of slow GP and Curvefitting; {WORKERS} simulated",
        "workers; the tuners' and assessors' own code. Every curve was trained once, with its luck, by",
        "`python benchmarks/curves.py DATA`:",
        "",
        *(f"- {line}" for line in how),
        "",
        "S3 is the older platform for these 18 classes of faces; its search, `stock`, is NNI's TPE as it comes,",
        "without an assessor, every trial for all its epochs. The others have the time that it took, not its number of",
        "trials. A score counts from the end of its epoch, of stopped trials too:",
        f"each has its best.pt by then. Beside its epochs a trial takes {START} of the grid's median epoch; whole",
        f"trials took {measured_start():.2f}. Time to think is not counted, but measured below. What an assessor says",
        "of a trial's last epoch comes too late to stop it.",
        "",
        "The scores are those of the validation people themselves, by which every search chooses: the winner's is",
        "optimistic, for all rivals alike, and the more so the more a search has tried. They rank searches; what a",
        "winner is worth on others is not said here.",
        "",
        "Known good first is search/known_good.json: knowledge from before, whose lr of 0.001 and plain photos happen",
        "to be near the best of the heads. `Asha from 3` is what config_remote.yml had; `Median from 3` was added",
        "after seeing these tables.",
        "",
        "![Best validation macro F1 so far](search.png)",
        "",
    ]
    for outcome in outcomes:
        lines += [*tables(outcome), ""]
    return lines[:-1]


if __name__ == "__main__":
    main()
