"""What became of earlier trials, so that a search begins with what others found: run folders and trials.jsonl."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ledger
from branches import flat
from sampling.scales import fits
from sampling.space import Space


@dataclass(frozen=True)
class Past:
    """A trial that has ended. `knobs`: those that are known, flat; `curve`: the objective after each epoch, or fold."""

    knobs: dict[str, Any]
    status: str  # as in summary.json
    objective: float | None
    curve: tuple[float, ...] = ()
    where: str = ""
    task: dict[str, Any] = field(default_factory=dict)  # what it predicted and was judged by
    folds: bool = False  # whether the curve is of means over so many folds


def from_line(line: dict[str, Any]) -> Past:
    """Of trials.jsonl, where a NaN is null."""
    numbers = [math.nan if value is None else value for value in line.get("intermediate", [])]
    curve = tuple(value for value in numbers if isinstance(value, int | float))
    told, where = (line["status"], line["objective"], curve), line["id"]
    return Past(flat(line["parameters"]), *told, where, folds=line.get("folds", False))


def find_past(patterns: Iterable[str], root: Path, but: Path | None = None) -> list[Past]:
    """The trials in all folders that the patterns name: experiments, single trials. Relative ones begin at `root`;
    the folder `but` is passed over.

    A search without its run folders is refused, for trials.jsonl does not say what was predicted, and so are two tasks.
    """
    found: dict[str, Past] = {}  # by run folder, which two patterns may name
    for pattern in patterns:
        begin = root if not Path(pattern).expanduser().is_absolute() else Path("/")
        folders = sorted(begin.glob(str(Path(pattern).expanduser()).lstrip("/")))
        here = [past for folder in folders if folder.is_dir() and folder != but for past in read_folder(folder)]
        if not here:
            raise ValueError(
                f"history {pattern}: no run folder of an ended trial is there; collect.py brings them home"
            )
        found |= {past.where: past for past in here}
    tasks = {json.dumps(past.task, sort_keys=True): past for past in found.values()}
    if len(tasks) > 1:
        one, other, *_ = tasks.values()
        raise ValueError(
            f"history holds two tasks: {one.where} ({words(one.task)}), {other.where} ({words(other.task)}); name one"
        )
    return list(found.values())


def words(task: dict[str, Any]) -> str:
    return f"{task['metric']} of {' and '.join(str(count) for count in task['classes'])} classes"


def read_folder(folder: Path) -> Iterator[Past]:
    """The ended trials of an experiment's folder, or of a run folder."""
    if (folder / "config.json").is_file():
        yield from read_run(folder, {})
        return
    lines = ledger.read(folder / ledger.LEDGER)
    for run in sorted(
        path.parent for path in folder.glob("*/config.json") if not path.parent.name.startswith("blend-")
    ):
        yield from read_run(run, lines.get(run.name, {}))


def read_run(run: Path, line: dict[str, Any]) -> Iterator[Past]:
    """A run folder whose trial has ended; `line` is what the search knows of it, perhaps more than the folder."""
    config, summary = ledger.load(run, "config.json"), ledger.load(run, "summary.json")
    status = line.get("status") or summary.get("status")
    if status not in ledger.FINAL or "parameters" not in config:
        return
    knobs, heads = config["parameters"], config.get("heads", [])
    metric = f"val_{knobs['metric']}"
    try:
        curve = tuple(row[metric] for row in rows_of(run / "history.jsonl"))
    except (ValueError, KeyError) as error:
        raise ValueError(f"history: {run}/history.jsonl cannot be read ({error!r}); remove that folder") from error
    task = task_of(knobs["metric"], [head["classes"] for head in heads])
    told = from_line(line).curve if line else ()  # of folds, which have their own folders
    folds = knobs.get("fold") == "all" and not curve
    yield Past(knobs, status, summary.get("metrics", {}).get(metric), curve or told, str(run), task, folds)


def task_of(metric: str, names: list[list[str]]) -> dict[str, Any]:
    """What trials must have alike so that their objectives compare; `names`: the classes of each head."""
    return {"metric": metric, "classes": [len(classes) for classes in names], "names": names}


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(row) for row in path.read_text().splitlines()] if path.is_file() else []


def searched(space: Space, knobs: dict[str, Any]) -> dict[str, Any]:
    """`knobs` in the words of the search space: a resize of [64, 64] may be its 64."""
    found = dict(knobs)
    for knob in space.all_knobs():
        if knob.name in knobs and not fits(knob.scale, trained := knobs[knob.name]):
            same = (option for option in knob.scale.values or () if ledger.agrees(knob.name, option, trained))
            found[knob.name] = next(same, found[knob.name])  # which another branch may have found
    return found
