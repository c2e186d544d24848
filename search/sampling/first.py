"""Points that a search begins with: given ones, or what is known to be good for the models of its search space."""

from __future__ import annotations

import fnmatch
import json
import math
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from branches import flat
from sampling.scales import fits
from sampling.space import Knob, Numbers, Space

SEARCH = Path(__file__).resolve().parent.parent


def first_points(first: str | list[dict[str, Any]], space: Space, say: Callable[..., None]) -> list[Numbers]:
    """Numbers to try first, in order; knobs that a point does not name are the sampler's.

    Raises ValueError for a given point that is outside the space. Of a file, values that the space does not have are
    moved to the nearest it has, and said.
    """
    if isinstance(first, str):
        return known_good(read_first(first), space, say)
    points = []
    for number, point in enumerate(first, 1):
        try:
            points.append(given(point, space))
        except ValueError as error:
            raise ValueError(f"first point {number}: {error}; correct it, or the search space") from error
    return points


def given(point: Any, space: Space) -> Numbers:
    """The numbers of a point in part, flat or as NNI hands it out."""
    if not isinstance(point, dict):
        raise ValueError(f'{point!r} is no point such as {{"lr": 0.001}}')
    knobs = flat(point)
    numbers = space.numbers(knobs, partly=True)
    taken = {knob.name for knob in space.all_knobs() if knob.label in numbers}
    if strange := [name for name in knobs if name not in taken]:
        raise ValueError(f"{strange[0]} is no knob of the search space, or of a choice that the point does not name")
    return numbers


def untried(points: list[Numbers], begun: Iterable[dict[str, Any]], space: Space) -> list[Numbers]:
    """Those of `points` with which no trial, of flat knobs, has begun."""
    known = []
    for knobs in begun:
        with suppress(ValueError):  # one of another space
            known.append(space.numbers(knobs))
    return [point for point in points if not any(point.items() <= numbers.items() for numbers in known)]


def read_first(name: str) -> dict[str, dict[str, Any]]:
    """{pattern of model names: knobs} of a JSON file; a relative name begins at search/."""
    path = SEARCH / Path(name).expanduser()
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ValueError(f'first: {path} cannot be read ({error}); write {{"resnet*": {{"lr": 0.001}}}}') from error
    if not isinstance(content, dict) or not all(isinstance(knobs, dict) for knobs in content.values()):
        raise ValueError(f'first: {path} is not of the form {{"resnet*": {{"lr": 0.001}}}}')
    return content


def known_good(families: dict[str, dict[str, Any]], space: Space, say: Callable[..., None]) -> list[Numbers]:
    """A point for each model of the space, by the first pattern that its name fits; one for "*" where it has none."""
    models = next((knob.scale.values for knob in space.knobs if knob.name == "model"), None) or ("*",)
    points: list[Numbers] = []
    for model in models:
        knobs = next((knobs for pattern, knobs in families.items() if fnmatch.fnmatch(str(model), pattern)), None)
        if knobs is None:
            continue
        wanted = ({} if model == "*" else {"model": model}) | knobs
        point = space.numbers(moved(wanted, space, say), partly=True)
        if point not in points:
            points.append(point)
    return points


def moved(knobs: dict[str, Any], space: Space, say: Callable[..., None]) -> dict[str, Any]:
    """`knobs` with values that the space has; a knob for which it has none like it is left to the sampler."""
    found = {}
    for knob in space.knobs:
        if knob.name not in knobs:
            continue
        value, nearest = knobs[knob.name], near(knob, knobs[knob.name])
        if nearest != value:
            done = f"taking {nearest!r}" if nearest is not None else "the sampler chooses"
            say("first: %s = %r is not in the search space; %s", knob.name, value, done)
        if nearest is not None:
            found[knob.name] = nearest
            found |= moved(knobs, knob.branches[nearest], say) if knob.branches else {}
    return found


def near(knob: Knob, value: Any) -> Any:
    """`value` if the knob can have it, else the nearest number by ratio; None where there is none."""
    if fits(knob.scale, value):
        return value
    numbers = [option for option in knob.scale.values or () if is_number(option)]
    if not is_number(value) or not numbers:
        return None
    return min(numbers, key=lambda option: distance(option, value))


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def distance(one: float, other: float) -> float:
    return abs(math.log(one / other)) if one > 0 and other > 0 else math.inf if one * other < 0 else abs(one - other)
