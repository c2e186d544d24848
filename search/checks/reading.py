"""The data read here as a trial would, so that what its reader refuses is known before the first one."""

from __future__ import annotations

import io
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

from checks.command import is_local
from checks.finding import FAIL, HERE, OK, Finding
from config import Config
from dataset import read
from folds import divide
from sampling.past import find_past, task_of, words

HOME = Path(__file__).resolve().parents[2]


def check_reading(config: dict[str, Any], knobs: Config, data: str | None) -> list[Finding]:
    """Of the data of a local search, or of the copy `data` here; nothing where there is neither. Prints nothing."""
    code = Path(config["trialCodeDirectory"])
    if data:
        here = replace(knobs, data_dir=str(Path(data).expanduser().resolve()), notes_dir="")  # which lie beside it
    elif is_local(config) and knobs.data_dir:
        places = {name: getattr(knobs, name) for name in ("data_dir", "notes_dir", "external", "groups", "corrections")}
        named = {name: place for name, place in places.items() if place not in ("", "auto", "none")}
        here = replace(knobs, **{name: str(code / Path(place).expanduser()) for name, place in named.items()})
    else:
        return []
    try:
        with redirect_stdout(io.StringIO()):  # the reader's notes, which each trial prints
            found = read(here.data_dir, here.dataset, here.values())
            divide(here, found)
    except (ValueError, OSError) as error:
        return [Finding("photos", HERE, FAIL, str(error), "each trial would fail of it")]
    findings = check_history(config, knobs, [list(head.classes) for head in found.task.heads])
    people, test = len(set(found.train.groups)), len(found.test.ids) if found.test else 0
    what = [f"{len(found.train.ids):,} labelled photos of {people:,} people or groups, {test:,} to predict"]
    if done := found.notes.get("corrections"):
        what.append(f"corrections mend {done['photos']:,} of them")
    if done := found.notes.get("groups"):
        what.append(f"there would be {done['joined']:,} groups more without groups.csv")
    return [Finding("photos", HERE, OK, ", ".join(what)), *findings]


def check_history(config: dict[str, Any], knobs: Config, names: list[list[str]]) -> list[Finding]:
    """Whether the tuner's history is of the classes and the metric that the search has."""
    history = (config["tuner"].get("classArgs") or {}).get("history")
    if not history or config["tuner"].get("className") != "tuner.OptunaTuner" or "metric" in config["searchSpace"]:
        return []
    try:
        past = find_past([history] if isinstance(history, str) else history, HOME)[0]
    except (ValueError, OSError):
        return []  # the tuner says so itself
    wanted = task_of(knobs.metric, names)
    if past.task == wanted:
        return []
    unlike = "other ones" if words(past.task) == words(wanted) else words(past.task)
    found = f"{past.where} is of {unlike}, this search of {words(wanted)}, so its scores do not compare"
    return [Finding("history", HERE, FAIL, found, "name searches of these photos' classes and this metric in history")]
