"""NNI's search space as a sampler sees it: numbers by name, with those that only some choices have.

A point is what a trial is handed: {"lr": 0.01, "optimizer": {"_name": "SGD", "momentum": 0.9}}. Its numbers are those
of scales.py, {"lr": 0.01, "optimizer": 1, "optimizer=SGD/momentum": 0.9}; flat, as a trial takes its knobs, it is
{"lr": 0.01, "optimizer": "SGD", "momentum": 0.9}.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.trial import Trial

from branches import NAME, flat
from registry import unknown
from sampling.scales import TYPES, Scale, refuse_ends

Numbers = dict[str, Any]
Point = dict[str, Any]


@dataclass(frozen=True)
class Knob:
    name: str  # as the trial calls it
    label: str  # as the sampler calls it, different in each branch
    scale: Scale
    branches: dict[str, Space]  # the inner knobs of each choice that has some, or could have: by its _name


@dataclass(frozen=True)
class Space:
    knobs: tuple[Knob, ...]

    def draw(self, trial: Trial) -> Point:
        """A point whose numbers the trial suggests."""
        point: Point = {}
        for knob in self.knobs:
            value = knob.scale.value(suggest(trial, knob.label, knob.scale.distribution))
            point[knob.name] = {NAME: value} | knob.branches[value].draw(trial) if knob.branches else value
        return point

    def numbers(self, knobs: dict[str, Any], partly: bool = False) -> Numbers:
        """The numbers of flat knobs; others than the space has are passed over.

        Raises ValueError naming a knob that is missing, unless `partly`, or has a value it cannot have.
        """
        numbers: Numbers = {}
        for knob in self.knobs:
            if knob.name not in knobs:
                if partly:
                    continue
                raise ValueError(f"{knob.name} is missing")
            value = knobs[knob.name]
            try:
                numbers[knob.label] = knob.scale.number(value)
            except (ValueError, TypeError) as error:
                raise ValueError(f"{knob.name} = {value!r} {error}") from error
            if knob.branches:
                numbers |= knob.branches[value].numbers(knobs, partly)
        return numbers

    def distributions(self, numbers: Numbers) -> dict[str, BaseDistribution]:
        known = {knob.label: knob.scale.distribution for knob in self.all_knobs()}
        return {label: known[label] for label in numbers}

    def all_knobs(self) -> Iterator[Knob]:
        """Those of all branches too."""
        for knob in self.knobs:
            yield knob
            for inner in knob.branches.values():
                yield from inner.all_knobs()

    def count(self) -> int | None:
        """How many points there are; None where a knob has values without end."""
        total = 1
        for knob in self.knobs:
            if knob.scale.values is None:
                return None
            inner = [branch.count() for branch in knob.branches.values()]
            if None in inner:
                return None
            total *= sum(inner) if inner else len(knob.scale.values)
        return total

    def points(self) -> Iterator[Point]:
        """Every point of a space that has a count, the last knob changing first."""
        for chosen in itertools.product(*(list(points_of(knob)) for knob in self.knobs)):
            yield dict(zip((knob.name for knob in self.knobs), chosen, strict=True))

    def apart(self, one: Numbers, other: Numbers) -> float:
        """How far two points are apart: knobs without an order count 1 where they differ, others their share of the
        range."""
        known = self.distributions(one | other)
        return sum(
            1.0 if label not in one or label not in other else gap(known[label], one[label], other[label])
            for label in known
        )


def key(point: Point) -> str:
    """The same for the same flat knobs; NNI's manager writes 1 for 1.0."""
    return json.dumps({name: plain(value) for name, value in flat(point).items()}, sort_keys=True, default=str)


def plain(value: Any) -> Any:
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def read_space(given: Any, inside: str = "") -> Space:
    """Raises ValueError naming the knob that is wrong, and what to write."""
    if not isinstance(given, dict) or (not given and not inside):
        raise ValueError('the search space holds no knobs; write {"lr": {"_type": "choice", "_value": [0.01]}}')
    space = Space(tuple(read_knob(name, spec, inside) for name, spec in given.items() if name != NAME))
    if not inside:
        refuse_doubles(space)
    return space


def read_knob(name: str, spec: Any, inside: str) -> Knob:
    label = f"{inside}/{name}" if inside else name
    if not isinstance(spec, dict) or not {"_type", "_value"} <= set(spec) or not isinstance(spec["_value"], list):
        raise ValueError(f'{label} is {spec!r}; write {{"_type": "choice", "_value": […]}}')
    kind, given = spec["_type"], spec["_value"]
    if kind not in TYPES.entries:
        raise ValueError(f"{label}: {unknown('_type', kind, TYPES.entries)}")
    branches: dict[str, Space] = {}
    if kind == "choice" and any(isinstance(option, dict) for option in given):
        branches, given = read_branches(label, given)
    try:
        if kind != "choice":
            refuse_ends(given)
        return Knob(name, label, TYPES[kind](*given), branches)
    except TypeError as error:
        raise ValueError(f"{label}: {kind} does not take {given!r}; see NNI's search spaces") from error
    except ValueError as error:
        raise ValueError(f"{label}: {kind} {error}") from error


def read_branches(label: str, options: list[Any]) -> tuple[dict[str, Space], list[str]]:
    """The inner spaces of nested choices, and their names; a plain option has none."""
    branches = {}
    for option in options:
        name = option.get(NAME) if isinstance(option, dict) else option
        if not isinstance(name, str):
            raise ValueError(f'{label}: the option {option!r} has no name; write {{"_name": "SGD", …}}')
        if name in branches:
            raise ValueError(f"{label}: choice holds {name!r} twice; take one out")
        branches[name] = read_space(option if isinstance(option, dict) else {}, f"{label}={name}")
    return branches, list(branches)


def refuse_doubles(space: Space) -> set[str]:
    """The names of all its knobs. Raises ValueError where a trial would get two values of one; two branches of a
    choice may share a name."""
    names: set[str] = set()
    for knob in space.knobs:
        inner = set().union(*(refuse_doubles(branch) for branch in knob.branches.values()))
        if twice := (names & {knob.name, *inner}) | (inner & {knob.name}):
            raise ValueError(f"{knob.label}: {min(twice)} is a knob outside of this choice too; rename one of them")
        names |= {knob.name, *inner}
    return names


def points_of(knob: Knob) -> Iterator[Any]:
    for value in knob.scale.values:
        if knob.branches:
            yield from ({NAME: value} | inner for inner in knob.branches[value].points())
        else:
            yield value


def suggest(trial: Trial, label: str, distribution: BaseDistribution) -> Any:
    match distribution:
        case FloatDistribution():
            return trial.suggest_float(label, distribution.low, distribution.high, log=distribution.log)
        case IntDistribution():
            return trial.suggest_int(label, distribution.low, distribution.high)
        case _:
            return trial.suggest_categorical(label, distribution.choices)


def gap(distribution: BaseDistribution, one: Any, other: Any) -> float:
    if not isinstance(distribution, FloatDistribution | IntDistribution) or distribution.low == distribution.high:
        return float(one != other)
    return abs(one - other) / (distribution.high - distribution.low)
