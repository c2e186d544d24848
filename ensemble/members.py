"""Run folders as members of a blend, a table or a report."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "baseline"))

from config import PLACES
from predictions import Validation, read_validation
from task import Head, Task

HEADS = {"mask": 3, "gender": 2, "age": 3}  # what the 18 classes are made of, in the order of their digits
WHOLE = "whole"


@dataclass(frozen=True)
class Member:
    """A run folder; its config.json and summary.json as they are."""

    path: Path
    config: dict[str, Any]
    summary: dict[str, Any]

    @property
    def name(self) -> str:
        return f"{self.path.parent.name}/{self.path.name}"

    @property
    def is_blend(self) -> bool:
        return "blend" in self.config

    @property
    def head(self) -> str:
        """`mask`, `gender` or `age` of a model of that head alone, else `whole`."""
        names = [head["name"] for head in self.config.get("heads", [])]
        return names[0] if len(names) == 1 and names[0] in HEADS else WHOLE

    @property
    def classes(self) -> list[str]:
        """Of several heads, all combinations of theirs."""
        heads = tuple(Head(head["name"], tuple(head["classes"])) for head in self.config.get("heads", []))
        return list(Task(heads).classes) if heads else []

    @property
    def metrics(self) -> dict[str, float]:
        """The best epoch's validation metrics by name; empty where no epoch has ended."""
        found = self.summary.get("metrics", {})
        return {name.removeprefix("val_"): value for name, value in found.items() if name.startswith("val_")}

    @cached_property
    def validation(self) -> Validation:
        """Raises ValueError where val_soft.csv is missing or damaged."""
        return read_validation(self.path / "val_soft.csv")


def find_members(given: Iterable[Path], with_blends: bool) -> list[Member]:
    """Those of the run folders `given`, which may be experiment folders of them, or files in them, as a glob finds.

    Blends that stand among them are left out, and named, unless `with_blends`. Raises ValueError where nothing is left,
    and for what is no run folder.
    """
    folders = list(dict.fromkeys(folder for path in given for folder in folders_of(path)))
    members = [Member(path, load(path, "config.json"), load(path, "summary.json")) for path in folders]
    blends = [member.name for member in members if member.is_blend]
    if blends and not with_blends:
        print(f"left out: {', '.join(blends)}; --with_blends takes blends too", flush=True)
        members = [member for member in members if not member.is_blend]
    if not members:
        raise ValueError("no run folder given, for example outputs/EXPERIMENT/*")
    return members


def folders_of(path: Path) -> list[Path]:
    """The run folders that `path` names: itself, those in it, or the one that it lies in. Raises ValueError.

    A file that lies in an experiment folder beside them, as a glob finds it, is passed over and named.
    """
    path = located(path)
    if is_run(path):
        return [path]
    if path.is_file() and is_run(path.parent):
        return [path.parent]
    if path.is_file() and runs_in(path.parent):
        print(f"passed over: {path.name} is no run folder", flush=True)
        return []
    if not (found := runs_in(path)):
        there = "is no run folder, and holds none" if path.exists() else "is missing"
        raise ValueError(f"{path} {there}; give outputs/EXPERIMENT, or run folders in it")
    return found


def located(path: Path) -> Path:
    """`path` with the names of its experiment and its trial, seen from here where that shows both."""
    path = path.resolve()
    here = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    return here if len(here.parts) > 1 else path


def runs_in(folder: Path) -> list[Path]:
    """In order. Those whose name starts with '.' are being written, or were when their writer was killed."""
    return sorted(path for path in folder.iterdir() if path.name[0] != "." and is_run(path)) if folder.is_dir() else []


def is_run(folder: Path) -> bool:
    # a trial that failed before its first step has left its summary alone, and no config
    return (folder / "config.json").is_file() or (folder / "summary.json").is_file()


def load(folder: Path, name: str) -> dict[str, Any]:
    """A JSON file of a run folder; empty where there is none. Raises ValueError for what is not JSON."""
    path = folder / name
    try:
        return json.loads(path.read_text()) if path.is_file() else {}
    except ValueError as error:
        raise ValueError(f"{path} is not JSON ({error}); remove it or bring it back") from error


def differing_knobs(members: Sequence[Member]) -> list[str]:
    """The knobs that are not the same in all trials among `members`, but for those that say where and how fast."""
    knobs = [member.config.get("parameters", {}) for member in members if not member.is_blend]
    knobs = [values for values in knobs if values]
    names = dict.fromkeys(name for values in knobs for name in values if name not in PLACES)
    return [name for name in names if len({json.dumps(values.get(name)) for values in knobs}) > 1]


def check_agreement(member: Member, validation: Validation, first: Member, reference: Validation) -> None:
    """Raises ValueError unless both validated the same photos of the same people, in folds of one hash."""
    mine, other = (one.config.get("folds", {}) for one in (member, first))
    for what, name in (("hash", "fold hash"), ("fold", "fold")):
        if mine.get(what) != other.get(what):
            raise ValueError(
                f"{member.name} has {name} {mine.get(what)}, {first.name} has {other.get(what)}; blend runs that share "
                "their folds (the same data, --split_seed, --val_ratio and --fold)"
            )
    check_people(validation, reference)


def check_people(validation: Validation, first: Validation) -> None:
    """Raises ValueError unless both hold the same photos, of the same people, in the same folds."""
    if (validation.ids, validation.groups) == (first.ids, first.groups) and (validation.folds == first.folds).all():
        return
    here, there = set(validation.ids), set(first.ids)
    if here != there:
        lacking, extra = sorted(there - here), sorted(here - there)
        what = f"lacks id {lacking[0]!r}" if lacking else f"has id {extra[0]!r}, which is not"
        raise ValueError(
            f"{validation.path} {what} of {first.path} ({len(lacking) or len(extra)} in all); "
            "blend runs that share their folds (--split_seed)"
        )
    rows = rows_of(validation.ids, first.ids)
    for photo, row, group, fold in zip(first.ids, rows, first.groups, first.folds, strict=True):
        if (validation.groups[row], validation.folds[row]) != (group, fold):
            there = f"person {validation.groups[row]!r} in fold {validation.folds[row]}"
            raise ValueError(
                f"{validation.path}: id {photo!r} is {there}, but person {group!r} in fold {fold} in {first.path}; "
                "blend runs that share their groups and folds"
            )


def rows_of(ids: Sequence[str], wanted: Sequence[str]) -> np.ndarray:
    """Where each of `wanted` stands in `ids`, which hold them all."""
    place = {photo: row for row, photo in enumerate(ids)}
    return np.array([place[photo] for photo in wanted])
