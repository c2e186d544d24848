"""What a `_type` of NNI's search spaces means: its values, and the numbers that a sampler works with instead.

To add a type, decorate a function (…_value) -> Scale. Formulas are NNI's, https://nni.readthedocs.io/en/v3.0/hpo/search_space.html
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from registry import Registry

MOST = 100_000  # values of a knob, or points of a space, that are counted one by one
EDGE = 1e-6  # probability beyond either end of a normal distribution that is left out: 4.75 standard deviations
TYPES = Registry("type of a search space")


@dataclass(frozen=True)
class Scale:
    """A knob's values beside the numbers that stand for them."""

    distribution: BaseDistribution  # of the numbers
    value: Callable[[Any], Any]  # number -> value
    number: Callable[[Any], Any]  # value -> number; raises ValueError for a value that the knob cannot have
    values: Sequence[Any] | None = None  # all of them, where they are few enough to be counted


def fits(scale: Scale, value: Any) -> bool:
    try:
        scale.number(value)
    except (ValueError, TypeError):
        return False
    return True


@TYPES.register("choice")
def choice(*options: Any) -> Scale:
    """Three or more different numbers have an order, and neighbours; other options have none."""
    if not options:
        raise ValueError("is empty; write a list of values")
    if twice := [option for place, option in enumerate(options) if option in options[:place]]:
        raise ValueError(f"holds {twice[0]!r} twice; take one out")
    numbers = all(isinstance(option, int | float) and not isinstance(option, bool) for option in options)
    ordered = tuple(sorted(options)) if numbers else options
    places = range(len(ordered))
    distribution = IntDistribution(0, places[-1]) if numbers and len(options) > 2 else CategoricalDistribution(places)

    def number(value: Any) -> int:
        if value not in ordered:
            raise ValueError(f"is none of {', '.join(map(repr, ordered))}")
        return ordered.index(value)

    return Scale(distribution, lambda place: ordered[place], number, ordered)


@TYPES.register("randint")
def randint(low: int, high: int) -> Scale:
    """Whole numbers from low to high - 1."""
    if not all(isinstance(end, int) for end in (low, high)):
        raise ValueError(f"[{low!r}, {high!r}] needs whole numbers")
    rising(low, high)
    values = range(low, high) if high - low <= MOST else None
    return Scale(IntDistribution(low, high - 1), int, whole_within(low, high - 1), values)


@TYPES.register("uniform")
def uniform(low: float, high: float) -> Scale:
    rising(low, high)
    return Scale(FloatDistribution(low, high), float, within(low, high))


@TYPES.register("quniform")
def quniform(low: float, high: float, q: float) -> Scale:
    """clip(round(uniform / q) q, low, high), the outermost steps as likely as others; NNI gives them half of that."""
    rising(low, high)
    step = stepper(q, low, high)
    places = range(round(low / q), round(high / q) + 1)
    whole, on_step = IntDistribution(places[0], places[-1]), stepped(step, low, high)
    return Scale(
        whole, lambda place: step(place * q), lambda value: round(on_step(value) / q), counted(places, step, q)
    )


@TYPES.register("loguniform")
def loguniform(low: float, high: float) -> Scale:
    rising(low, high)
    positive(low)
    return Scale(FloatDistribution(low, high, log=True), float, within(low, high))


@TYPES.register("qloguniform")
def qloguniform(low: float, high: float, q: float) -> Scale:
    """clip(round(loguniform / q) q, low, high)."""
    rising(low, high)
    positive(low)
    step = stepper(q, low, high)
    values = counted(range(round(low / q), round(high / q) + 1), step, q)
    return Scale(FloatDistribution(low, high, log=True), step, stepped(step, low, high), values)


@TYPES.register("normal")
def normal(mean: float, deviation: float) -> Scale:
    return bell(mean, deviation, float, float)


@TYPES.register("qnormal")
def qnormal(mean: float, deviation: float, q: float) -> Scale:
    return bell(mean, deviation, stepper(q), float)


@TYPES.register("lognormal")
def lognormal(mean: float, deviation: float) -> Scale:
    """exp(normal)."""
    return bell(mean, deviation, math.exp, logarithm)


@TYPES.register("qlognormal")
def qlognormal(mean: float, deviation: float, q: float) -> Scale:
    """round(exp(normal) / q) q."""
    step = stepper(q)
    return bell(mean, deviation, lambda drawn: step(math.exp(drawn)), lambda value: logarithm(value or 0.49 * q))


def bell(mean: float, deviation: float, outward: Callable, inward: Callable) -> Scale:
    """A normal distribution; its numbers are the probabilities of a smaller value, EDGE to 1 - EDGE."""
    if deviation <= 0:
        raise ValueError(f"has the standard deviation {deviation:g}; write one above 0")
    curve = NormalDist(mean, deviation)

    def number(value: float) -> float:
        share = min(max(curve.cdf(inward(amount(value))), EDGE), 1 - EDGE)
        if not math.isclose(outward(curve.inv_cdf(share)), value, rel_tol=1e-6, abs_tol=1e-9 * deviation):
            raise ValueError(f"is no step, or more than 4.75 standard deviations of {deviation:g} from {mean:g}")
        return share

    return Scale(FloatDistribution(EDGE, 1 - EDGE), lambda share: outward(curve.inv_cdf(share)), number)


def refuse_ends(ends: Sequence[Any]) -> None:
    """Raises ValueError for what is no number."""
    for end in ends:
        if isinstance(end, bool) or not isinstance(end, int | float) or not math.isfinite(end):
            raise ValueError(f"takes numbers, not {end!r}; write 0.001 for 1e-3, which YAML takes for text")


def rising(low: float, high: float) -> None:
    if not low < high:
        raise ValueError(f"[{low!r}, {high!r}] is empty; write the smaller end first")


def positive(low: float) -> None:
    if low <= 0:
        raise ValueError(f"begins at {low!r}, whose logarithm does not exist; write an end above 0")


def amount(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("is no number")
    return value


def logarithm(value: float) -> float:
    if value <= 0:
        raise ValueError("is not above 0")
    return math.log(value)


def within(low: float, high: float) -> Callable[[Any], float]:
    def number(value: Any) -> float:
        if not low <= amount(value) <= high:
            raise ValueError(f"is not within {low:g} and {high:g}")
        return float(value)

    return number


def whole_within(low: int, high: int) -> Callable[[Any], int]:
    def number(value: Any) -> int:
        if amount(value) != int(value) or not low <= value <= high:
            raise ValueError(f"is no whole number from {low} to {high}")
        return int(value)

    return number


def stepper(q: float, low: float = -math.inf, high: float = math.inf) -> Callable[[float], float]:
    """Rounds to a multiple of q, without the noise of 3 * 0.1."""
    if q <= 0:
        raise ValueError(f"has the step {q:g}; write one above 0")
    return lambda drawn: min(max(float(f"{round(drawn / q) * q:.12g}"), low), high)


def counted(places: range, step: Callable[[float], float], q: float) -> tuple[float, ...] | None:
    """Every value that rounding can give, in order."""
    return tuple(step(place * q) for place in places) if len(places) <= MOST else None


def stepped(step: Callable[[float], float], low: float, high: float) -> Callable[[Any], float]:
    def number(value: Any) -> float:
        if not math.isclose(step(amount(value)), value, rel_tol=1e-9):
            raise ValueError(f"is no step from {low:g} to {high:g}")
        return step(value)

    return number
