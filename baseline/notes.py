"""What curating left beside the data, applied to what a reader made of it.

groups.csv        path,group                     photos of one group stay on one side of the split, together with all
                                                 that the layout itself groups with one of them: a person
corrections.csv   path,person,field,value,note   a line mends `field` (label; of faces mask, gender or age) of one
                                                 photo, of all photos of a person where path is empty

A value is a class, for an age also years, `swap` for the other of the two classes that people exchange (incorrect and
normal; of two classes these), or `unsure`, which changes nothing. An age class leaves an age that lies in it, else
takes the nearest year that does. Labels as they came still balance the folds, so that corrections change no fold. A
line of field `data` holds the fingerprint of the labels that the corrections were made for: origin().
"""

from __future__ import annotations

import csv
import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from predictions import columns_of, read_rows
from registry import unknown
from samples import Data, Field

GROUPS, CORRECTIONS = ("path", "group"), ("path", "person", "field", "value", "note")
UNSURE, SWAP, MADE_FOR = "unsure", "swap", "data"
ANEW = "the file was made for other data: make it anew with curate/"


def apply_notes(data: Data, notes_dir: str, groups: str, corrections: str) -> Data:
    """`data` with the groups and corrections that the knobs name. Raises ValueError naming file, line and cure."""
    folder = Path(notes_dir).expanduser() if notes_dir else data.root
    if not folder.is_dir():
        raise ValueError(
            f"--notes_dir {folder} is no folder; make it, or name the one that holds groups.csv and corrections.csv"
        )
    # corrections first, as they name people as the layout does
    for name, choice, apply in (("corrections", corrections, correct), ("groups", groups, unite)):
        if path := find(folder / f"{name}.csv", choice, name):
            data = apply(data, path)
    return data


def find(usual: Path, choice: str, knob: str) -> Path | None:
    """The file that a knob names; None where it is `none`, or `auto` and the usual one is not there."""
    if choice == "none":
        return None
    if choice == "auto":
        return usual if usual.is_file() else None
    path = Path(choice).expanduser()
    if not path.is_file():
        raise ValueError(f"--{knob} {path}: no such file; name a CSV, auto or none")
    return path


def unite(data: Data, path: Path) -> Data:
    """Photos of one group of `path`, and with them those whom the layout groups with one of them, become one group."""
    train = data.train
    place = {photo: row for row, photo in enumerate(train.ids)}
    parent = {group: group for group in train.groups}
    first: dict[str, str] = {}
    seen: dict[str, int] = {}
    rows = table(path, GROUPS)
    gone = [cells["path"] for cells in rows.values() if cells["path"] not in place]
    if gone and len(gone) == len(rows):
        raise ValueError(f"{path}: the data has none of its photos, {gone[0]!r} …; {ANEW}duplicates.py")
    if gone:  # removed since, or of --external, which is not read now
        print(f"note: {len(gone)} lines of {path} name photos that are not read: {gone[0]} …", flush=True)
    for line, cells in rows.items():
        photo, group = cells["path"], cells["group"].strip()
        where = f"{path} line {line}"
        if photo not in place:
            continue
        if not group:
            raise ValueError(f"{where} ({photo}): group is empty; name it, or remove the line")
        if seen.setdefault(photo, line) != line:
            raise ValueError(f"{where}: {photo} stands in line {seen[photo]} too; keep one of the two")
        own = train.groups[place[photo]]
        ends = sorted((root_of(parent, own), root_of(parent, first.setdefault(group, own))))
        parent[ends[1]] = ends[0]
    united = tuple(root_of(parent, group) for group in train.groups)
    joined = len(set(train.groups)) - len(set(united))
    print(f"{path.name}: {len(set(united))} groups, {joined} fewer than without it", flush=True)
    note = {"hash": digest(path), "joined": joined, "left": len(gone)}
    return replace(data, train=replace(train, groups=united), notes=data.notes | {"groups": note})


def root_of(parent: dict[str, str], group: str) -> str:
    """The name of the whole that `group` belongs to, its smallest; shortens the way there."""
    while parent[group] != group:
        parent[group] = parent[parent[group]]
        group = parent[group]
    return group


def correct(data: Data, path: Path) -> Data:
    """The labels mended as `path` says; those as they came stand in `given`."""
    rows = table(path, CORRECTIONS[:-1])  # notes are for people
    made_for = {line: cells for line, cells in rows.items() if cells["field"].strip() == MADE_FOR}
    check_origin(data, path, made_for)
    rows = {line: cells for line, cells in rows.items() if line not in made_for}
    photos, people = {photo: row for row, photo in enumerate(data.train.ids)}, defaultdict(list)
    for row, group in enumerate(data.train.groups):
        people[group].append(row)
    mended: dict[tuple[str, int], tuple[str, int]] = {}  # of (field, row) the value and the line that says so
    unsure = 0
    for line, cells in rows.items():
        where = f"{path} line {line}"
        chosen = rows_of(cells, photos, people, data.train.groups, where)
        if cells["value"].strip().lower() == UNSURE:
            unsure += 1
            continue
        field = field_of(data.fields, cells["field"].strip(), where)
        for row, value in amend_all(field, chosen, cells["value"].strip(), where).items():
            before, there = mended.setdefault((field.name, row), (value, line))
            if before != value:
                raise ValueError(
                    f"{where}: {data.train.ids[row]} has {field.name} {value} here and {before} in line {there}; "
                    "remove one of the two"
                )
    values = {field.name: list(field.values) for field in data.fields}
    changed = set()
    for (name, row), (value, _) in mended.items():
        if values[name][row] != value:
            values[name][row] = value
            changed.add(row)
    tell = f"; {unsure} of them are unsure and change nothing" if unsure else ""
    print(f"{path.name}: {len(rows)} lines, which mend {len(changed)} photos{tell}", flush=True)
    note = {"hash": digest(path), "lines": len(rows), "photos": len(changed), "unsure": unsure}
    train = replace(data.train, target=data.encode(values), given=data.train.target)
    return replace(data, train=train, notes=data.notes | {"corrections": note})


def check_origin(data: Data, path: Path, made_for: dict[int, dict[str, str]]) -> None:
    for line, cells in made_for.items():
        if cells["value"].strip() != (now := origin(data)):
            raise ValueError(
                f"{path} line {line}: made for photos and labels {cells['value'].strip()}, and these are {now}; "
                f"{ANEW}review.py (--carry_over, where photos were added or removed), or remove that line if you know "
                "that the others fit"
            )


def origin(data: Data) -> str:
    """16 hex digits over the ids and the labels as they came, whatever the knobs; data from elsewhere left out."""
    own = np.ones(len(data.train.ids), dtype=bool) if data.train.only_train is None else ~data.train.only_train
    values = zip(*(field.values for field in data.fields), strict=True)
    listing = sorted(
        "\t".join((photo, *said)) for photo, said, ours in zip(data.train.ids, values, own, strict=True) if ours
    )
    return hashlib.sha256("\n".join(listing).encode()).hexdigest()[:16]


def rows_of(
    cells: dict[str, str], photos: dict[str, int], people: dict[str, list[int]], groups: Sequence[str], where: str
) -> list[int]:
    """The photos that a line names, by path, or all of a person."""
    photo, person = cells["path"].strip(), cells["person"].strip()
    if not photo and not person:
        raise ValueError(f"{where} names neither path nor person; write one of them, or remove the line")
    if photo and photo not in photos:
        raise ValueError(f"{where}: the data has no labelled photo {photo!r}; {ANEW}review.py, or remove the line")
    if person and person not in people:
        padded = [other for other in people if other.lstrip("0") == person]
        cure = (
            f"did you mean {padded[0]}? spreadsheets drop zeros" if padded else f"{ANEW}review.py, or remove the line"
        )
        raise ValueError(f"{where}: the data has no person {person!r}; {cure}")
    if photo and person and groups[photos[photo]] != person:
        raise ValueError(f"{where}: {photo} is of person {groups[photos[photo]]!r}, not {person!r}; correct the line")
    return [photos[photo]] if photo else people[person]


def field_of(fields: Sequence[Field], name: str, where: str) -> Field:
    known = {field.name: field for field in fields}
    if name not in known:
        raise unknown(f"{where}: field", name, known)
    return known[name]


def amend_all(field: Field, rows: Sequence[int], said: str, where: str) -> dict[int, str]:
    """The value of each of `rows` once `said` is applied."""
    if said.lower() != SWAP:
        return {row: amend(field, field.values[row], said, where) for row in rows}
    if not field.swaps:
        raise ValueError(f"{where}: swap says nothing of {field.name}; name the class: {', '.join(field.classes)}")
    other = dict(zip(field.swaps, reversed(field.swaps), strict=True))
    if not (swapped := {row: other[field.values[row]] for row in rows if field.values[row] in other}):
        raise ValueError(f"{where}: none of its photos has a {field.name} that is {' or '.join(field.swaps)}")
    return swapped


def amend(field: Field, value: str, said: str, where: str) -> str:
    """`value` once somebody said `said` of it. Raises ValueError for what the field cannot be."""
    if not field.exclusive:
        numbers = said.split()
        for name in numbers or [said]:
            if name not in field.classes:
                raise unknown(f"{where}: {field.name}", name, field.classes)
        return " ".join(name for name in field.classes if name in numbers)
    if field.ranges and said.isascii() and said.isdigit():
        if int(said) > field.ranges[-1][1]:
            raise ValueError(f"{where}: {field.name} {said} is above {field.ranges[-1][1]}; correct it")
        return str(int(said))
    if said not in field.classes:
        raise unknown(f"{where}: {field.name}", said, field.classes)
    if field.ranges:
        low, high = field.ranges[field.classes.index(said)]
        return str(min(max(int(value), low), high))
    return said


def table(path: Path, columns: Sequence[str]) -> dict[int, dict[str, str]]:
    """The rows by line; none of a file that holds its header alone. Raises ValueError where it lacks a column."""
    rows = {} if holds_header_alone(path, columns) else read_rows(path)
    if rows and (missing := [name for name in columns if name not in columns_of(rows)]):
        raise ValueError(f"{path} lacks the column {', '.join(missing)}; it has {', '.join(columns_of(rows))}")
    return rows


def holds_header_alone(path: Path, columns: Sequence[str]) -> bool:
    """Whether a search found nothing to write, which read_rows() would take for a broken file."""
    if not path.is_file():
        return False
    with open(path, encoding="utf-8-sig", errors="replace") as file:
        lines = csv.reader(file)
        return set(columns) <= set(next(lines, [])) and not any(lines)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
