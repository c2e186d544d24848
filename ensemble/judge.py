"""What a number is worth: intervals over people, and folds of people in which a fit is judged.

Photos of one person succeed and fail together, so people are drawn and divided, never photos.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "baseline"))

from folds import assign

RESAMPLES = 1000
LEVEL = 0.95
Metric = Callable[..., float]  # of metrics.METRICS


@dataclass(frozen=True)
class Interval:
    """A value and the bounds of its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.4f} ({self.low:.4f} to {self.high:.4f})"


def draw_people(groups: Sequence[str], resamples: int = RESAMPLES, seed: int = 0) -> np.ndarray:
    """How often each person is drawn with replacement, (resamples, people); people in the order of their names."""
    people = len(set(groups))
    return np.random.default_rng(seed).multinomial(people, np.full(people, 1 / people), size=resamples)


def resample(
    metric: Metric, decided: np.ndarray, truth: np.ndarray, groups: Sequence[str], drawn: np.ndarray
) -> np.ndarray:
    """The metric (R,) of decided (N, K) bool against truth when people count as often as `drawn` (R, people) says.

    A class that none of the drawn people has or is given is left out of that draw, as it says nothing of the model.
    """
    pairs, code = np.unique(np.packbits(np.hstack([decided, truth]), axis=1), axis=0, return_inverse=True)
    size = decided.shape[1]
    both = np.unpackbits(pairs, axis=1, count=2 * size).astype(bool)
    _, person = np.unique(groups, return_inverse=True)
    counts = np.zeros((person.max() + 1, len(pairs)))  # a metric sees rows only by what was decided and true
    np.add.at(counts, (person, code.ravel()), 1)
    predicted, true = both[:, :size], both[:, size:]
    weights = drawn @ counts
    seen = (weights @ (predicted | true) > 0) | ~(predicted | true).any(axis=0)
    return np.array([metric(predicted[:, k], true[:, k], weight) for k, weight in zip(seen, weights, strict=True)])


def interval(metric: Metric, decided: np.ndarray, truth: np.ndarray, groups: Sequence[str]) -> Interval:
    """The metric of decided (N, K) bool against truth, with the percentiles of its bootstrap over people."""
    return around(metric(decided, truth), resample(metric, decided, truth, groups, draw_people(groups)))


def difference(
    metric: Metric, decided: np.ndarray, rival: np.ndarray, truth: np.ndarray, groups: Sequence[str]
) -> Interval:
    """By how much `decided` (N, K) bool is better than `rival`, on the same drawn people."""
    drawn = draw_people(groups)
    gained, other = (resample(metric, answers, truth, groups, drawn) for answers in (decided, rival))
    return around(metric(decided, truth) - metric(rival, truth), gained - other)


def around(value: float, drawn: np.ndarray) -> Interval:
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(value, float(low), float(high))


def parts_of(groups: Sequence[str], truth: np.ndarray, parts: int, seed: int = 0) -> np.ndarray:
    """The part (N,), from 0, in which each row is judged: people whole, each label spread evenly.

    There are fewer parts where there are fewer people. Raises ValueError where there is but one.
    """
    people = len(set(groups))
    if people < 2:
        raise ValueError(
            "all validation photos are of one person or group, so no fit can be judged on others; blend equally, or "
            "take trials of all folds (--fold all)"
        )
    strata = [tuple(map(str, np.flatnonzero(row))) for row in truth]
    return assign(groups, strata, min(parts, people), seed)
