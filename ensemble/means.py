"""What is averaged over models: `f(exclusive) -> Mean`. To add one, decorate it with `@MEANS.register("name")`.

`exclusive` says that one class excludes the others, so that the probabilities of a row sum to 1.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.special import expit, logit
from scipy.stats import rankdata

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "baseline"))

from registry import Registry
from task import softmax

MEANS = Registry("mean")
FLOOR = 1e-6  # a probability of 0 would let one model veto a class; soft CSVs hold 8 digits


@dataclass(frozen=True)
class Mean:
    """Probabilities (N, K) of a model to the values that are averaged, and the average back to probabilities."""

    values: Callable[[np.ndarray], np.ndarray]
    back: Callable[[np.ndarray], np.ndarray]


@MEANS.register("probability")
def probability(exclusive: bool) -> Mean:
    return Mean(values=unchanged, back=unchanged)


@MEANS.register("logit")
def log_odds(exclusive: bool) -> Mean:
    """The geometric mean: a model that is sure counts for more. Probabilities below 1e-6 count as that."""
    if exclusive:
        return Mean(values=lambda p: np.log(np.clip(p, FLOOR, 1)), back=softmax)
    return Mean(values=lambda p: logit(np.clip(p, FLOOR, 1 - FLOOR)), back=expit)


@MEANS.register("rank")
def rank(exclusive: bool) -> Mean:
    """The share of all N * K probabilities of the same file that are lower: only their order counts, not their scale.

    Over all classes together, so that a rare class stays rare.
    """

    def ranks(probabilities: np.ndarray) -> np.ndarray:
        return (rankdata(probabilities, axis=None) / probabilities.size).reshape(probabilities.shape)

    return Mean(values=ranks, back=normalised if exclusive else unchanged)


def unchanged(values: np.ndarray) -> np.ndarray:
    return values


def normalised(values: np.ndarray) -> np.ndarray:
    return values / values.sum(axis=1, keepdims=True)
