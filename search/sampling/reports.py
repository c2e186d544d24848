"""What trials report to NNI, as numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any


def number_of(report: Any) -> float | None:
    """The objective: a number, or the `default` of a dict; None for what is none. NaN and infinity are numbers."""
    value = report.get("default") if isinstance(report, dict) else report
    return None if isinstance(value, bool) or not isinstance(value, int | float) else float(value)


def objective_of(report: Any) -> float | None:
    """As number_of(), but None for NaN and infinity too, from which nothing is learnt."""
    value = number_of(report)
    return value if value is not None and math.isfinite(value) else None


def is_last(report: Any) -> bool:
    """Whether nothing of the trial is left to save."""
    return isinstance(report, dict) and "of" in report and report.get("epoch", report.get("folds")) == report["of"]


def curve_of(history: Iterable[Any]) -> tuple[tuple[int, float], ...]:
    """(epoch, or number of folds; number) of each report that holds one; those that do not say where are counted."""
    steps = []
    for place, report in enumerate(history, 1):
        step = report.get("epoch", report.get("folds", place)) if isinstance(report, dict) else place
        if (value := number_of(report)) is not None:
            steps.append((int(step), value))
    return tuple(steps)


def counts_folds(history: Iterable[Any]) -> bool:
    """Whether the reports are means over so many folds: the last is the result so far, not the best."""
    return any(isinstance(report, dict) and "folds" in report for report in history)


def running(
    curve: Iterable[tuple[int, float]], best: Callable[[float, float], float], folds: bool = False
) -> dict[int, float]:
    """What a trial's result would be after each step: that of its best epoch, or of all folds so far."""
    so_far: dict[int, float] = {}
    last = None
    for step, value in curve:
        if math.isfinite(value):
            last = value if folds or last is None else best(value, last)
            so_far[step] = last
    return so_far
