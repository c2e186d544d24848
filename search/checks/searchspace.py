"""A search space against the knobs of a trial: every value of a choice, the ends of every range."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path
from typing import Any

from branches import NAME
from checks.command import Command, is_local, options_here
from checks.finding import FAIL, OK, WARN, Finding
from config import Config
from registry import unknown
from rules import convert
from sources import load

WITH_NAMES = ("model", "criterion", "augmentation", "optimizer", "schedule", "metric", "views")
TYPES = (
    *("choice", "randint", "uniform", "quniform", "loguniform", "qloguniform"),
    *("normal", "qnormal", "lognormal", "qlognormal"),
)
GOLDEN = 0.382  # somewhere inside a range: whole ends do not show that it also gives fractions


def check_space(config: dict[str, Any], command: Command) -> list[Finding]:
    """Whether each value could be a trial's. Takes seconds, because models are known to torch alone."""
    where = Path(config["searchSpaceFile"]).name if config.get("searchSpaceFile") else "searchSpace"
    space, tuner = config["searchSpace"], config["tuner"].get("name") or ""
    if not isinstance(space, dict) or not space:
        found = f"holds {type(space).__name__} and no knobs" if space else "is empty"
        return [Finding("search space", where, FAIL, found, 'write {"lr": {"_type": "choice", "_value": [0.01]}}')]
    findings = [finding for name, spec in space.items() for finding in check_form(name, spec, where, tuner)]
    if any(finding.state == FAIL for finding in findings) or not command.trains:
        return findings or [Finding("search space", where, OK, f"{len(space)} parameters, in NNI's form")]
    options = options_here(command, Path(config["trialCodeDirectory"]))
    environment = dict(os.environ) if is_local(config) else {}
    possible: list[Config] = []
    each = trials(space, tuner)
    for name, values in each.items():
        for parameters in values:
            try:
                for knob, value in parameters.items():
                    convert(knob, value, "search space")
                possible.append(load(options, environment, first_of(each, name) | parameters)[0])
            except ValueError as error:
                finding = Finding("search space", f"{where}: {name}", FAIL, str(error), "take this value out")
                findings += [finding] if finding not in findings else []  # sets of a nested choice share knobs
                if space[name]["_type"] != "choice":
                    break
    with chdir(config["trialCodeDirectory"]):  # where a trial looks for files that its knobs name
        findings += check_names(possible, where)
    return findings or [
        Finding("search space", where, OK, f"{len(possible)} values of {len(space)} knobs are possible")
    ]


def check_form(name: str, spec: Any, where: str, tuner: str) -> Iterator[Finding]:
    """NNI's form of an entry."""
    from nni.common.hpo_utils import validate_search_space

    place = f"{where}: {name}"
    if not isinstance(spec, dict) or not {"_type", "_value"} <= set(spec):
        yield Finding("search space", place, FAIL, f"is {spec!r}", 'write {"_type": "choice", "_value": […]}')
    elif spec["_type"] not in TYPES:
        yield Finding("search space", place, FAIL, str(unknown("type", spec["_type"], TYPES)), "correct _type")
    elif not isinstance(spec["_value"], list) or not spec["_value"]:
        yield Finding("search space", place, FAIL, f"_value is {spec['_value']!r}", "write a list of values or ends")
    elif spec["_type"] == "choice":
        yield from check_choice(place, spec["_value"], tuner)
    else:
        try:
            validate_search_space({name: spec}, raise_exception=True)
        except ValueError as error:
            texts = any(isinstance(end, str) for end in spec["_value"])
            todo = "write 0.001 for 1e-3, which YAML takes for text" if texts else "correct _value"
            yield Finding("search space", place, FAIL, str(error), todo)


def check_choice(place: str, values: list[Any], tuner: str) -> Iterator[Finding]:
    if tuner.lower() in ("batch", "batchtuner"):
        if not all(isinstance(value, dict) for value in values):
            found = "holds values that are no sets of knobs, which the tuner Batch takes"
            yield Finding("search space", place, FAIL, found, 'write {"lr": 0.1, "model": "tiny"} for each trial')
        return
    for value in values:
        if isinstance(value, dict) and not isinstance(value.get(NAME), str):
            found = f"has the choice {value!r} without a name"
            yield Finding("search space", place, FAIL, found, 'write {"_name": "SGD", "momentum": {…}}')
        elif isinstance(value, dict):
            for name, spec in value.items():
                if name != NAME:
                    yield from check_form(f"{value[NAME]}/{name}", spec, place, tuner)
    if any(isinstance(value, list) for value in values):
        found = "has lists as choices, which NNI's page and some tuners do not take"
        yield Finding("search space", place, WARN, found, 'write "64 64" for [64, 64]')


def trials(space: dict[str, Any], tuner: str) -> dict[str, list[dict[str, Any]]]:
    """For each entry the sets of knobs that show whether it is possible."""
    if tuner.lower() in ("batch", "batchtuner"):
        return {name: spec["_value"] for name, spec in space.items()}
    return {name: sets(name, spec) for name, spec in space.items()}


def sets(name: str, spec: dict[str, Any]) -> list[dict[str, Any]]:
    """Of a choice with knobs of its own the values of each of these, beside the first ones of the others."""
    found = []
    for value in candidates(spec["_type"], spec["_value"]):
        if not isinstance(value, dict):
            found.append({name: value})
            continue
        inner = {knob: sets(knob, about) for knob, about in value.items() if knob != NAME}
        chosen = {name: value[NAME]} | first_of(inner)
        found += [chosen, *(chosen | one for ones in inner.values() for one in ones[1:])]
    return found


def first_of(each: dict[str, list[dict[str, Any]]], but: str = "") -> dict[str, Any]:
    """A whole trial, so that rules over several knobs are asked too; `but` is the entry that is varied."""
    return {knob: value for name, values in each.items() if name != but for knob, value in values[0].items()}


def candidates(kind: str, ends: list[Any]) -> list[Any]:
    """The values of a choice; of a distribution its ends and one inside, 3 standard deviations being an end."""
    if kind == "choice":
        return ends
    low, high, step = ends[0], ends[1], (ends[2] if len(ends) == 3 else 0)
    if kind == "randint":
        return [low, high - 1]
    if "normal" in kind:
        low, high = ends[0] - 3 * ends[1], ends[0] + 3 * ends[1]
        if "log" in kind:
            low, high = math.exp(low), math.exp(high)
    inside = low + GOLDEN * (high - low)
    if not step:
        return [low, high, inside]
    return [min(max(round(value / step) * step, low), high) for value in (low, high, inside, low + step)]


def check_names(possible: list[Config], where: str) -> list[Finding]:
    """Models, losses and the like that are registered nowhere."""
    try:
        from train import check_names as check
    except ImportError as error:
        todo = "install requirements.txt here too"
        return [Finding("search space", where, WARN, f"names of models and losses are not checked: {error}", todo)]
    wrong: dict[str, None] = {}
    seen = set()
    for config in possible:
        names = tuple(getattr(config, name) for name in WITH_NAMES)
        if names not in seen:
            seen.add(names)
            try:
                check(config)
            except ValueError as error:
                wrong[str(error)] = None
    return [Finding("search space", where, FAIL, words, "correct the name") for words in wrong]
