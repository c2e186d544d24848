"""When a trial has been left behind: pure rules over its reports and those of others, higher being better."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from sampling.reports import curve_of

MODES = {"maximize": 1, "minimize": -1}


WORST = -1e300  # of NaN and infinity; finite, so that percentiles can be taken


def reports_of(history: Iterable[Any], sign: int) -> dict[int, float]:
    """Epoch, or number of folds, -> objective, higher being better; NaN is as bad as can be."""
    return {step: sign * value if math.isfinite(value) else WORST for step, value in curve_of(history)}


def value_by(reports: dict[int, float], step: int, folds: bool) -> float:
    """The best up to epoch `step`, since a trial's result is that of its best epoch; the mean of so many folds."""
    until = [place for place in reports if place <= step]
    return reports[max(until)] if folds else max(reports[place] for place in until)


def others_by(curves: dict[str, dict[int, float]], trial: str, step: int, folds: bool) -> list[float]:
    """What the others had by `step`, of those that came as far."""
    others = [curve for name, curve in curves.items() if name != trial]
    return [value_by(curve, step, folds) for curve in others if curve and min(curve) <= step <= max(curve)]


def rung_of(epoch: int, first: int, factor: float) -> bool:
    """Whether trials are compared at `epoch`: at first, first * factor, first * factor ** 2 …, rounded down."""
    rung = float(first)
    while int(rung) < epoch:
        rung *= factor
    return int(rung) == epoch


def judge_rung(value: float, others: list[float], factor: float, evidence: int) -> bool:
    """Whether a trial is among the best 1/factor, rounded up, of all that came; true if fewer than `evidence` did."""
    count = len(others) + 1
    return count < evidence or sum(other > value for other in others) < math.ceil(count / factor)


def judge_percentile(value: float, others: list[float], percentile: float, evidence: int) -> bool:
    """Whether a trial reaches the percentile of the others; true if fewer than `evidence` came as far."""
    return len(others) < evidence or value >= float(np.percentile(others, percentile))
