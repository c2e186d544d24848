"""What a fit is worth on people it has not seen: fitted on some people, scored on the others, in turns."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "baseline"))

from judge import Interval, difference, interval, parts_of
from library import Library
from metrics import METRICS
from progress import Progress
from recipe import Plan, teach

PARTS = 5


@dataclass(frozen=True)
class Held:
    """What a plan answers for each photo when its person had no part in the fit."""

    plan: Plan
    probabilities: np.ndarray  # (N, K)
    decided: np.ndarray  # (N, K) bool


@dataclass(frozen=True)
class Judgement:
    """`held` and their scores `rows` by the names of the plans; `gain` is what plan `of` gains over the equal blend."""

    held: dict[str, Held]
    rows: dict[str, Interval]
    of: str
    equal: str
    gain: Interval
    metric: str
    people: int
    parts: int

    @property
    def recommended(self) -> str:
        return self.of if self.gain.low > 0 else self.equal

    def described(self) -> dict[str, Any]:
        """For summary.json."""
        return {
            "metric": self.metric,
            "parts": self.parts,
            "people": self.people,
            "rows": [{"name": name} | vars(score) for name, score in self.rows.items()],
            "gain": {"of": self.of, "over": self.equal} | vars(self.gain),
            "recommended": self.recommended,
        }


def hold_out(plan: Plan, library: Library, parts: np.ndarray, watch: Progress, done: int) -> Held:
    """Each part's answers from a fit on the others; `parts` (N,) is where each row is judged."""
    probabilities = np.zeros(library.truth.shape)
    decided = np.zeros(library.truth.shape, dtype=bool)
    for part in range(parts.max() + 1):
        rows, others = np.flatnonzero(parts == part), np.flatnonzero(parts != part)
        recipe = teach(plan, library.take(others))
        judged = library.take(rows)
        probabilities[rows] = recipe.blend(judged.probabilities, judged.heads, library.exclusive)
        decided[rows] = recipe.rule.decide(probabilities[rows])
        watch.show(done + part + 1)
    return Held(plan, probabilities, decided)


def judge(plans: Sequence[Plan], asked: Sequence[Plan], library: Library) -> Judgement:
    """Scores `plans`, of which the first is the equal blend; the best of `asked` is compared with that one.

    Raises ValueError where all are one person's.
    """
    parts = parts_of(library.groups, library.truth, PARTS)
    count = int(parts.max()) + 1
    watch = Progress("judging on people left out of the fit", count * len(plans), "fits")
    held = {plan.name: hold_out(plan, library, parts, watch, count * number) for number, plan in enumerate(plans)}
    metric = METRICS[asked[0].metric]
    rows = {name: interval(metric, one.decided, library.truth, library.groups) for name, one in held.items()}
    of = max((plan.name for plan in asked), key=lambda name: rows[name].value)
    gain = difference(metric, held[of].decided, held[plans[0].name].decided, library.truth, library.groups)
    return Judgement(held, rows, of, plans[0].name, gain, asked[0].metric, len(set(library.groups)), count)
