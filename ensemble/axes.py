"""Knobs as axes: where each trial's value stands, and how much a knob seems to matter."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

FEW = 6  # numbers up to so many get even places: 16, 32 and 512 would else be two places
LOGARITHMIC = 20  # the factor between largest and smallest from which an axis is logarithmic
ENOUGH = 8  # trials from which importance is worth a look


@dataclass(frozen=True)
class Axis:
    """T trials along one knob. `numbers` are its values where all are numbers, `words` what a person reads."""

    name: str
    places: np.ndarray  # (T,) from 0 to 1
    words: tuple[str, ...]  # (T,)
    ticks: tuple[tuple[float, str], ...]  # place, word
    numbers: np.ndarray | None
    logarithmic: bool
    gap: float  # between places at equal distances; 0 where they are measured


def lay_axis(name: str, values: Sequence[Any], even: bool = True) -> Axis:
    """`even`: names, and numbers of which there are few, stand at equal distances."""
    words = tuple(word(value) for value in values)
    numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    numbers = np.array(values, dtype=float) if numeric else None
    logarithmic = numbers is not None and numbers.min() > 0 and numbers.max() / numbers.min() >= LOGARITHMIC
    distinct = list(dict.fromkeys(words[row] for row in np.argsort(values if numeric else words, kind="stable")))
    if numbers is None or (even and len(distinct) <= FEW):
        gap = 1 / len(distinct)
        stand = {one: (number + 0.5) * gap for number, one in enumerate(distinct)}
        places = np.array([stand[one] for one in words])
        ticks = tuple((place, one) for one, place in stand.items())
        return Axis(name, places, words, ticks, numbers, False, gap)
    scaled = np.log(numbers) if logarithmic else numbers
    low, span = scaled.min(), float(np.ptp(scaled))
    if span == 0:
        return Axis(name, np.full(len(words), 0.5), words, ((0.5, words[0]),), numbers, False, 0.0)
    middle = float(np.exp(low + span / 2) if logarithmic else low + span / 2)
    ticks = ((0.0, word(float(numbers.min()))), (0.5, word(middle)), (1.0, word(float(numbers.max()))))
    return Axis(name, (scaled - low) / span, words, ticks, numbers, bool(logarithmic), 0.0)


def word(value: Any) -> str:
    """As it is given on the command line."""
    if value is None or value == "":
        return "none"
    if isinstance(value, list):
        return " ".join(map(word, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def importances(axes: Sequence[Axis], scores: Sequence[float]) -> dict[str, float]:
    """The share of each knob in how `scores` (T,) vary, the largest first; empty where nothing can be said.

    Functional ANOVA of a random forest over the trials, Hutter et al. 2014,
    http://proceedings.mlr.press/v32/hutter14.html. PED-ANOVA, optuna's default, looks at the best tenth alone:
    where only the learning rate mattered it named another knob in 3 of 6 searches of 20 and 50 trials.
    """
    if len(scores) < ENOUGH or len(axes) < 2 or np.ptp(scores) == 0:
        return {}
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study = optuna.create_study(direction="maximize")
        distributions = {axis.name: distribution(axis) for axis in axes}
        for row, score in enumerate(scores):
            values = {axis.name: axis.words[row] if axis.numbers is None else axis.numbers[row] for axis in axes}
            study.add_trial(optuna.create_trial(params=values, distributions=distributions, value=float(score)))
        return optuna.importance.get_param_importances(
            study, evaluator=optuna.importance.FanovaImportanceEvaluator(seed=0)
        )


def distribution(axis: Axis) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    if axis.numbers is None:
        return CategoricalDistribution(sorted(set(axis.words)))
    return FloatDistribution(axis.numbers.min(), axis.numbers.max(), log=axis.logarithmic)
