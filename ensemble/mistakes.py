"""Where validation predictions go wrong: classes, confidence, photos and people."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "baseline"))

from decisions import plain
from judge import LEVEL, draw_people
from metrics import class_f1
from predictions import Validation

BINS = 10


@dataclass(frozen=True)
class ClassScores:
    """Of each class, (K,): F1, the bounds of its 95 % interval over people, and how many photos and people show it."""

    f1: np.ndarray
    low: np.ndarray
    high: np.ndarray
    photos: np.ndarray
    people: np.ndarray

    def take(self, numbers: np.ndarray) -> ClassScores:
        """Those of some classes."""
        return ClassScores(**{name: values[numbers] for name, values in vars(self).items()})


@dataclass(frozen=True)
class Calibration:
    """Bins of the top probability, (BINS,); means are NaN in an empty one."""

    count: np.ndarray
    confidence: np.ndarray  # mean
    accuracy: np.ndarray
    error: float  # expected calibration error, 0 to 1


@dataclass(frozen=True)
class Person:
    name: str
    rows: tuple[int, ...]
    accuracy: float
    belief: float  # mean probability of the truth


def confuse(truth: np.ndarray, decided: np.ndarray) -> np.ndarray:
    """Counts (K, K), rows the true class, columns the predicted one, of one-hot (N, K) bool."""
    return truth.astype(int).T @ decided.astype(int)


def score_classes(decided: np.ndarray, truth: np.ndarray, groups: Sequence[str]) -> ClassScores:
    low, high = np.nanquantile(draw_f1(decided, truth, groups), [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    names = np.array(groups)
    people = np.array([len(set(names[column])) for column in truth.T])
    return ClassScores(class_f1(decided, truth), low, high, truth.sum(axis=0), people)


def draw_f1(decided: np.ndarray, truth: np.ndarray, groups: Sequence[str]) -> np.ndarray:
    """F1 of each class over drawn people, (resamples, K).

    NaN where none of those drawn has the class or is given it, as that says nothing of the model; where nobody is and
    has, 0 as in class_f1().
    """
    drawn = draw_people(groups)
    _, person = np.unique(groups, return_inverse=True)
    both, either = np.zeros((2, drawn.shape[1], truth.shape[1]))
    np.add.at(both, person, decided & truth)
    np.add.at(either, person, decided.astype(int) + truth)
    hits, sizes = drawn @ both, drawn @ either
    empty = np.where(either.any(axis=0), np.nan, 0.0)
    return np.divide(2 * hits, sizes, out=np.tile(empty, (len(drawn), 1)), where=sizes > 0)


def calibrate(probabilities: np.ndarray, truth: np.ndarray) -> Calibration:
    """Of probabilities and one-hot truth, (N, K): bins (0, .1], (.1, .2] … of the top probability.

    Guo et al. 2017, https://arxiv.org/abs/1706.04599, eq. 3.
    """
    top = probabilities.max(axis=1)
    right = truth[np.arange(len(truth)), probabilities.argmax(axis=1)]
    place = np.clip(np.ceil(top * BINS).astype(int) - 1, 0, BINS - 1)
    count = np.bincount(place, minlength=BINS)
    sums = [np.bincount(place, weights=values, minlength=BINS) for values in (top, right)]
    confidence, accuracy = (np.divide(s, count, out=np.full(BINS, np.nan), where=count > 0) for s in sums)
    gap = np.abs(sums[1] - sums[0]).sum() / len(truth)
    return Calibration(count, confidence, accuracy, float(gap))


def confidence_of_error(validation: Validation) -> np.ndarray:
    """(N,) how far the worst wrong class is from the truth; 0 for photos that are right.

    Of one class each, that is the probability of the class wrongly taken.
    """
    decided = plain(validation.exclusive).decide(validation.probabilities)
    wrong = decided != validation.truth
    if validation.exclusive:
        wrong &= decided
    return np.where(wrong, np.abs(validation.probabilities - validation.truth), 0).max(axis=1)


def worst_photos(validation: Validation, limit: int) -> list[int]:
    """Rows of wrong photos, the most confident first, the first of each person alone: his others stand beside it."""
    confidence = confidence_of_error(validation)
    order = [row for row in np.argsort(-confidence, kind="stable") if confidence[row] > 0]
    first = {}
    for row in order:
        first.setdefault(validation.groups[row], int(row))
    return list(first.values())[:limit]


def rate_people(validation: Validation) -> list[Person]:
    """Everybody, the lowest accuracy first, then the least belief in the truth, then by name."""
    decided = plain(validation.exclusive).decide(validation.probabilities)
    right = (decided == validation.truth).all(axis=1)
    if validation.exclusive:
        belief = (validation.probabilities * validation.truth).sum(axis=1)
    else:
        belief = np.where(validation.truth, validation.probabilities, 1 - validation.probabilities).mean(axis=1)
    rows = rows_by_person(validation.groups)
    people = [
        Person(name, tuple(those), float(right[those].mean()), float(belief[those].mean()))
        for name, those in rows.items()
    ]
    return sorted(people, key=lambda person: (person.accuracy, person.belief, person.name))


def rows_by_person(groups: Sequence[str]) -> dict[str, list[int]]:
    rows: dict[str, list[int]] = {}
    for row, group in enumerate(groups):
        rows.setdefault(group, []).append(row)
    return rows
