"""Soft CSVs to vote with: run folders' or loose ones, matched by id."""

from __future__ import annotations

import argparse
import csv
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "baseline"))

from columns import is_class
from members import HEADS, WHOLE, Member, find_members, is_run, rows_of, runs_in
from predictions import Soft


@dataclass(frozen=True)
class SoftFile:
    """A soft CSV that may not be there yet; `head` is what the command line says, or its run folder."""

    path: Path
    head: str | None
    member: Member | None  # the run folder that it lies in

    @property
    def name(self) -> str:
        return self.member.name if self.member else str(self.path)


def gather(given: argparse.Namespace) -> list[SoftFile]:
    """In the order files, mask, gender, age. Raises ValueError for none, or one named twice."""
    named = [(path, None) for path in given.files]
    named += [(path, head) for head in HEADS for path in getattr(given, head)]
    if not named:
        raise ValueError("no soft CSV given, for example outputs/EXPERIMENT")
    files = [file for path, head in named for file in files_of(path, head)]
    counts = Counter(file.path.resolve() for file in files)
    if twice := next((path for path, count in counts.items() if count > 1), None):
        raise ValueError(f"{twice} is given twice; use --weights to count a file more")
    blends = [file.name for file in files if file.member and file.member.is_blend]
    if blends and not given.with_blends:
        files = [file for file in files if file.name not in blends]
        print(f"left out: {', '.join(blends)}; --with_blends takes blends too", flush=True)
    files = leave_unpredicted(files)
    if not files:
        raise ValueError("nothing is left to blend")
    return files


def leave_unpredicted(files: list[SoftFile]) -> list[SoftFile]:
    """Those of `files` that have test predictions; where none has, those that have validation predictions."""
    for name in ("soft.csv", "val_soft.csv"):
        lacking = [file for file in files if file.member and not (file.member.path / name).is_file()]
        if len(lacking) < len(files):
            break
    for file in lacking:
        status, more = file.member.summary.get("status", "without summary.json"), ""
        if status != "RUNNING" and (file.member.path / "best.pt").is_file():
            more = f"; python baseline/inference.py {file.member.path} makes them"
        print(f"left out: {file.name} ({status}) has no {name}{more}", flush=True)
    return [file for file in files if file not in lacking]


def files_of(path: Path, head: str | None) -> list[SoftFile]:
    """What `path` stands for: a soft CSV, that of a run folder, or those of an experiment's run folders.

    A file of an experiment folder that holds no soft predictions, as a glob finds it, is passed over and named. Raises
    ValueError.
    """
    if path.is_dir():
        return [of_member(head, member) for member in find_members([path], with_blends=True)]
    run = path.resolve().parent
    if path.name == "soft.csv" and is_run(run):
        member = find_members([run], with_blends=True)[0]
        if not path.is_file():
            raise ValueError(f"{path} is missing: python baseline/inference.py {run}")
        # another system's config.json may lie there
        return [of_member(head, member)] if "heads" in member.config else [SoftFile(path, head, None)]
    if path.is_file() and not holds_classes(path) and runs_in(run):
        print(f"passed over: {path.name} holds no soft predictions", flush=True)
        return []
    if not path.exists():
        raise ValueError(f"{path} is missing")
    return [SoftFile(path, head, None)]


def of_member(named: str | None, member: Member) -> SoftFile:
    """Raises ValueError where the command line says another head than the run folder."""
    path, whole = member.path / "soft.csv", member.head == WHOLE
    if named and named != member.head:
        raise ValueError(f"{path} is given as {named}, but its config.json says {member.head}")
    return SoftFile(path, None if whole else member.head, member if member.summary else None)


def holds_classes(path: Path) -> bool:
    """Whether the columns of a file are those of soft predictions, or of validation predictions."""
    with open(path, encoding="utf-8-sig", errors="replace") as file:
        return any(is_class(name) for name in next(csv.reader(file), []))


def check_weights(weights: list[float], count: int) -> tuple[float, ...]:
    """Raises ValueError unless there is one for each of `count` files, none below 0 and one above."""
    if len(weights) != count:
        raise ValueError(f"{len(weights)} --weights for {count} files; one each")
    if not np.isfinite(weights).all() or min(weights) < 0 or max(weights) == 0:
        raise ValueError(f"--weights {weights}: expected numbers from 0, not all of them 0")
    return tuple(weights)


def align(soft: Soft, first: Soft) -> np.ndarray:
    """The probabilities of `soft` in the row order of `first`. Raises ValueError naming the file and an id."""
    if soft.ids == first.ids:
        return soft.probabilities
    here, there = set(soft.ids), set(first.ids)
    if lacking := [photo for photo in first.ids if photo not in here]:
        raise ValueError(f"{soft.path} lacks id {lacking[0]!r} of {first.path} ({len(lacking)} in all)")
    if extra := sorted(here - there):
        raise ValueError(f"{soft.path} has id {extra[0]!r}, which {first.path} lacks ({len(extra)} in all)")
    return soft.probabilities[rows_of(soft.ids, first.ids)]


def head_of(file: SoftFile, soft: Soft) -> str:
    """`mask`, `gender`, `age`, or `whole`. Raises ValueError."""
    count = soft.probabilities.shape[1]
    if file.head is None and file.member is None and count in HEADS.values():
        raise ValueError(f"{file.path} has {count} classes; say which head it is: --mask, --gender or --age FILE")
    if file.head and HEADS[file.head] != count:
        raise ValueError(
            f"{file.path} has {count} classes, but {file.head} has {HEADS[file.head]}; first id {soft.ids[0]!r}"
        )
    return file.head or WHOLE


def check_kind(soft: Soft, other: Soft) -> None:
    """Raises ValueError unless two files of whole models have the same classes."""
    mine, theirs = kind_of(soft), kind_of(other)
    if mine != theirs:
        raise ValueError(
            f"expected models of the same classes; {soft.path} is {mine} (first id {soft.ids[0]!r}), "
            f"{other.path} is {theirs} (first id {other.ids[0]!r})"
        )


def kind_of(soft: Soft) -> str:
    return f"{soft.probabilities.shape[1]} classes" + ("" if soft.exclusive else ", several at once")


def check_heads(heads: Sequence[str], names: Sequence[str], whole_classes: int) -> None:
    """Raises ValueError unless mask, gender and age models are all there or none, beside 18 classes at most."""
    single = set(heads) - {WHOLE}
    if not single or (single == set(HEADS) and (WHOLE not in heads or whole_classes == 18)):
        return
    kinds = [f"{whole_classes} classes" if head == WHOLE else head for head in heads]
    listing = ", ".join(f"{names[kinds.index(kind)]} is {kind}" for kind in dict.fromkeys(kinds))
    raise ValueError(f"expected mask, gender and age models together, beside others of 18 classes at most; {listing}")
