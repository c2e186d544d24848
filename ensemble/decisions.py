"""From probabilities to answers: `f(…knobs) -> Rule`. To add one, decorate it with `@DECISIONS.register("name")`.

Knobs are `probabilities` (N, K) and `truth` (N, K) bool to fit on, `metric`, a function of METRICS, and `exclusive`:
one class excludes the others.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "baseline"))

from registry import Registry
from task import LIKELY, one_hot

DECISIONS = Registry("decision")
Metric = Callable[..., float]
OFFSETS = np.linspace(-2, 2, 41)  # of a class's log-probability: it counts for 1/7 to 7 times as much
SWEEPS = 3
STRENGTHS = np.linspace(0, 1, 21)


@dataclass(frozen=True)
class Rule:
    """One class: the highest of probability * factor. Several: all from their threshold on.

    `fill` gives a row that reaches no threshold the class that comes nearest to its own.
    """

    name: str
    exclusive: bool
    factors: np.ndarray  # or thresholds; (K,), or (1,) for all classes
    fill: bool = False

    def decide(self, probabilities: np.ndarray) -> np.ndarray:
        """Probabilities (N, K) to booleans (N, K)."""
        if self.exclusive:
            return one_hot((probabilities * self.factors).argmax(axis=1), probabilities.shape[1]) > 0
        decided = probabilities >= self.factors
        if self.fill:
            empty = np.flatnonzero(~decided.any(axis=1))
            decided[empty, (probabilities[empty] - self.factors).argmax(axis=1)] = True
        return decided

    def described(self) -> dict[str, Any]:
        """For config.json."""
        what = "factors" if self.exclusive else "thresholds"
        return {"name": self.name, what: [round(float(number), 6) for number in self.factors], "fill": self.fill}


@DECISIONS.register("plain")
def plain(exclusive: bool) -> Rule:
    """The most probable class; of several at once, those that are more probable than not, at least one."""
    return Rule("plain", exclusive, np.array([1.0 if exclusive else LIKELY]), fill=not exclusive)


@DECISIONS.register("prior")
def prior(probabilities: np.ndarray, truth: np.ndarray, metric: Metric, exclusive: bool) -> Rule:
    """Probabilities are divided by class share ** strength, the strength from 0 to 1 that scores best.

    One number to fit, so that it is sound with few photos. Raises ValueError for several labels at once.
    """
    if not exclusive:
        raise ValueError("--decide prior is for one class each; of several labels at once take thresholds")
    share = (truth.sum(axis=0) + 1) / (len(truth) + truth.shape[1])  # Laplace: a class that is absent here is not 0
    rules = [Rule("prior", exclusive, share**-strength) for strength in STRENGTHS]
    return max(rules, key=lambda rule: metric(rule.decide(probabilities), truth))  # the weakest of equals


@DECISIONS.register("thresholds")
def thresholds(probabilities: np.ndarray, truth: np.ndarray, metric: Metric, exclusive: bool) -> Rule:
    """One class each: a factor per class, changed one after another while the metric rises.

    Several: the threshold of each class that makes its own F1 highest.
    """
    if not exclusive:
        return Rule("thresholds", False, best_thresholds(probabilities, truth), bool(truth.any(axis=1).all()))
    best = np.ones(truth.shape[1])
    score = metric(Rule("thresholds", True, best).decide(probabilities), truth)
    for _ in range(SWEEPS):
        before = score
        for number in range(len(best)):
            for offset in OFFSETS:
                tried = best.copy()
                tried[number] = np.exp(offset)
                reached = metric(Rule("thresholds", True, tried).decide(probabilities), truth)
                if reached > score:
                    best, score = tried, reached
        if score == before:
            break
    return Rule("thresholds", True, best)


@DECISIONS.register("prevalence")
def prevalence(probabilities: np.ndarray, truth: np.ndarray, exclusive: bool) -> Rule:
    """The threshold of each class above which as many rows lie as have it. Raises ValueError for one class each."""
    if exclusive:
        raise ValueError(
            "--decide prevalence is for several labels at once; of one class each take prior or thresholds"
        )
    found = [cut(column, count) for column, count in zip(probabilities.T, truth.sum(axis=0), strict=True)]
    return Rule("prevalence", False, np.array(found), bool(truth.any(axis=1).all()))


def best_thresholds(probabilities: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """For each class the threshold (K,) between two of its probabilities (N, K) where its F1 is highest."""
    found = []
    for column, wanted in zip(probabilities.T, truth.T, strict=True):
        order = np.argsort(-column, kind="stable")
        counts = np.arange(1, len(column) + 1)
        f1 = 2 * np.cumsum(wanted[order]) / (counts + wanted.sum())
        ends = np.append(np.diff(column[order]) != 0, True)  # equal probabilities are decided alike
        found.append(cut(column, int(counts[ends][f1[ends].argmax()]) if wanted.any() else 0))
    return np.array(found)


def cut(column: np.ndarray, count: int) -> float:
    """A threshold that the `count` highest of `column` reach: halfway to the next one, where there is one."""
    falling = np.sort(column)[::-1]
    if count == 0:
        return float(falling[0]) + 1
    return float((falling[count - 1] + falling[count]) / 2) if count < len(falling) else float(falling[-1])
