"""How a blend is made: what is fitted on which rows, and what comes out for others.

Mask, gender and age models are averaged within their head and recombined to one model of 18 classes, whose share is the
sum of theirs: a model of one head counts as a third of a whole one.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "baseline"))

from decisions import DECISIONS, Rule, plain
from library import Library
from means import MEANS, Mean
from members import HEADS, WHOLE
from metrics import METRICS
from task import combine, one_hot
from temperature import fit_temperature, heat
from weights import FITTERS


@dataclass(frozen=True)
class Plan:
    """What a blend is to be: its fit is `equal`, `given`, `best single`, or a name of FITTERS."""

    fit: str
    metric: str
    mean: str = "probability"
    recombine: str = "product"
    decide: str = "plain"
    temperature: bool = False
    rounds: int = 50
    bags: int = 10
    seed: int = 0
    given: tuple[float, ...] | None = None  # weights (M,) of fit `given`

    @property
    def learns(self) -> bool:
        return self.fit not in ("equal", "given") or self.decide != "plain" or self.temperature

    @property
    def name(self) -> str:
        """Its fit, and what is not as usual."""
        usual = {"mean": "probability", "recombine": "product", "decide": "plain"}
        others = [getattr(self, key) for key, value in usual.items() if getattr(self, key) != value]
        return " + ".join([self.fit, *(["temperature"] if self.temperature else []), *others])

    def described(self) -> dict[str, Any]:
        """For config.json."""
        return vars(self) | {"given": list(self.given) if self.given else None}


@dataclass(frozen=True)
class Recipe:
    """A plan with what was fitted: a weight and a temperature for each model, and the rule of decision."""

    plan: Plan
    weights: np.ndarray  # (M,), each model's share of the blend, sum 1
    temperatures: np.ndarray  # (M,)
    rule: Rule

    def blend(self, probabilities: Sequence[np.ndarray], heads: Sequence[str], exclusive: bool) -> np.ndarray:
        """The blended probabilities (N, K) of M arrays (N, k) of `heads`."""
        total = Totals(self, exclusive)
        for number, (head, values) in enumerate(zip(heads, probabilities, strict=True)):
            total.add(number, head, values)
        return total.blended()


class Totals:
    """Adds up one model after another, so that a blend needs the memory of one file, not of all."""

    def __init__(self, recipe: Recipe, exclusive: bool) -> None:
        self.recipe, self.exclusive = recipe, exclusive
        self.mean = MEANS[recipe.plan.mean](exclusive)
        self.sums: dict[str, np.ndarray] = {}
        self.weights: dict[str, float] = {}

    def add(self, number: int, head: str, probabilities: np.ndarray) -> None:
        """Model `number` of the recipe, a model of `head`."""
        weight = self.recipe.weights[number]
        values = self.mean.values(heat(probabilities, self.recipe.temperatures[number], self.exclusive))
        weighted = np.multiply(values, weight, dtype=np.float64)
        if head in self.sums:
            self.sums[head] += weighted  # in place: a sum is the largest thing here
        else:
            self.sums[head] = weighted
        self.weights[head] = self.weights.get(head, 0) + weight

    def blended(self) -> np.ndarray:
        """Raises ValueError where the weights of all models of a head are 0, but not of all heads."""
        if any(self.weights.get(head, 0) > 0 for head in HEADS):
            if empty := [head for head in HEADS if not self.weights[head]]:
                raise ValueError(f"the weights of all {empty[0]} models are 0")
            parts = [self.mean.back(self.sums[head] / self.weights[head]) for head in HEADS]
            joined = sum(self.weights[head] for head in HEADS)
            whole = joined * self.mean.values(recombined(parts, self.recipe.plan.recombine))
            total, weight = self.sums.get(WHOLE, 0) + whole, self.weights.get(WHOLE, 0) + joined
        else:
            total, weight = self.sums[WHOLE], self.weights[WHOLE]
        return self.mean.back(total / weight)


def recombined(parts: list[np.ndarray], how: str) -> np.ndarray:
    """Probabilities of mask (N, 3), gender (N, 2) and age (N, 3) to 18 classes: their product, or their arg-maxes'."""
    if how == "argmax":
        parts = [one_hot(part.argmax(axis=1), part.shape[1]).astype(float) for part in parts]
    return combine(*parts)


def shares(weights: np.ndarray, heads: Sequence[str]) -> np.ndarray:
    """Weights (M,) as the user counts models, to shares that sum to 1."""
    counted = weights * np.where(np.array(heads) == WHOLE, 1, 1 / len(HEADS))
    return counted / counted.sum()


def untaught(plan: Plan, heads: Sequence[str], exclusive: bool) -> Recipe:
    """The recipe of a plan that learns nothing."""
    weights = np.ones(len(heads)) if plan.given is None else np.array(plan.given)
    return Recipe(plan, shares(weights, heads), np.ones(len(heads)), plain(exclusive))


def teach(plan: Plan, library: Library, tell: Callable[[int, int], None] = lambda done, total: None) -> Recipe:
    """Fits temperatures, then weights, then the decision, on all rows of `library`."""
    exclusive, models = library.exclusive, list(zip(library.heads, library.probabilities, strict=True))
    temperatures = np.ones(len(models))
    if plan.temperature:
        found = [fit_temperature(values, library.truths[head], exclusive) for head, values in models]
        temperatures = np.array(found)
    heated = [heat(values, t, exclusive) for (_, values), t in zip(models, temperatures, strict=True)]
    weights = fit_weights(plan, library, heated, tell)
    recipe = Recipe(plan, weights, temperatures, plain(exclusive))
    if plan.decide == "plain":
        return recipe
    blended = recipe.blend(library.probabilities, library.heads, exclusive)
    knobs = {"metric": METRICS[plan.metric], "exclusive": exclusive}
    rule = DECISIONS.build(plan.decide, knobs | {"probabilities": blended, "truth": library.truth})
    return Recipe(plan, weights, temperatures, rule)


def fit_weights(plan: Plan, library: Library, heated: list[np.ndarray], tell: Callable[[int, int], None]) -> np.ndarray:
    """The weights (M,): within each head, then among whole models and what the heads recombine to."""
    if plan.fit in ("equal", "given"):
        return untaught(plan, library.heads, library.exclusive).weights
    mean = MEANS[plan.mean](library.exclusive)
    weights = np.zeros(len(heated))
    whole = library.of_head(WHOLE)
    candidates = [mean.values(heated[number]).astype(np.float32) for number in whole]
    parts = []
    for head in HEADS if len(whole) < len(heated) else ():
        numbers = library.of_head(head)
        values = [mean.values(heated[number]).astype(np.float32) for number in numbers]
        weights[numbers] = fit_one(plan, values, library.truths[head], mean, library.exclusive, tell)
        parts.append(mean.back(np.tensordot(weights[numbers], np.stack(values), 1)))
    if not parts:
        weights[whole] = fit_one(plan, candidates, library.truth, mean, library.exclusive, tell)
        return weights
    candidates.append(mean.values(recombined(parts, plan.recombine)).astype(np.float32))
    *own, joined = fit_one(plan, candidates, library.truth, mean, library.exclusive, tell)
    weights *= joined / len(HEADS)
    weights[whole] = own
    return weights


def fit_one(
    plan: Plan,
    values: list[np.ndarray],
    truth: np.ndarray,
    mean: Mean,
    exclusive: bool,
    tell: Callable[[int, int], None],
) -> np.ndarray:
    """The weights (M,) of M arrays (N, k) of one kind of model."""
    metric = METRICS[plan.metric]
    if plan.fit == "best single":
        rule = plain(exclusive)
        scores = [metric(rule.decide(mean.back(one)), truth) for one in values]
        return np.eye(len(values))[int(np.argmax(scores))]
    knobs = {"metric": metric, "back": mean.back, "exclusive": exclusive, "tell": tell}
    knobs |= {"rounds": plan.rounds, "bags": plan.bags, "seed": plan.seed}
    return FITTERS.build(plan.fit, knobs | {"values": values, "truth": truth})
