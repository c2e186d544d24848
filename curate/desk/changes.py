"""Lists of wrong labels made elsewhere, as verdicts.

person,change                    a change for all photos of a person: male, female->male, incorrect<->normal, 63 (an
                                 age), not sure; a first line `person,change` may be missing
path,person,field,value[,note]   a corrections.csv; its notes are not read
"""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path

from desk.verdicts import UNSURE, Verdict
from notes import ANEW, MADE_FOR, SWAP, amend, amend_all, check_origin, digest, field_of, rows_of, table
from registry import unknown
from samples import Data, Field

COLUMNS = ("path", "person", "field", "value")
NOT_SURE = {"unsure", "not sure", "notsure", "not_sure", "?"}
ARROW = re.compile(r"\s*(<[-=]+>|[-=]+>|→|↔)\s*")


@dataclass(frozen=True)
class Photos:
    """Rows of the labelled photos by path and by person."""

    data: Data
    rows: dict[str, int]
    people: dict[str, list[int]]

    @classmethod
    def of(cls, data: Data) -> Photos:
        people = defaultdict(list)
        for row, person in enumerate(data.train.groups):
            people[person].append(row)
        return cls(data, {photo: row for row, photo in enumerate(data.train.ids)}, dict(people))


def read_changes(data: Data, path: Path, reviewer: str, log: Sequence[Verdict] = ()) -> list[Verdict]:
    """What the list at `path` says, as said by `reviewer`. Raises ValueError naming file, line and cure.

    Keys follow from the file's content, so that a file taken in twice counts once; what the `log` has undone since
    gets a key anew.
    """
    if not path.is_file():
        raise ValueError(f"{path}: no such file; --import names a CSV person,change or a corrections.csv")
    with open(path, encoding="utf-8-sig", errors="replace") as file:
        columns = [name.strip() for name in next(csv.reader(file), [])]
    photos = Photos.of(data)
    said = from_corrections(photos, path) if set(COLUMNS) <= set(columns) else from_people(photos, path)
    mark, found, undone = digest(path), {}, {one.undoes for one in log if one.undoes}
    for number, (row, field, value, where) in enumerate(said):
        subject = (field, data.train.groups[row] if is_shared(data, field) else data.train.ids[row])
        key = not_among(undone, f"{mark}-{reviewer}-{number}")
        one = Verdict(key, reviewer, data.train.ids[row], data.train.groups[row], field, value)
        before, there = found.setdefault(subject, (one, where))
        if before.value != value:
            raise ValueError(f"{where}: says {value} of what is {before.value} in {there}; remove one of the two")
    return [one for one, _ in found.values()]


def not_among(undone: set[str], key: str) -> str:
    """`key`, or it with the first number of a round that was not undone."""
    return next(one for one in chain([key], (f"{key}#{number}" for number in count(2))) if one not in undone)


def is_shared(data: Data, name: str) -> bool:
    return any(field.name == name and field.of_group for field in data.fields)


def from_corrections(photos: Photos, path: Path) -> Iterator[tuple[int, str, str, str]]:
    """(row, field, value, where) of the lines of a corrections.csv; a field without name is the photo's mark."""
    data = photos.data
    lines = table(path, COLUMNS)
    made_for = {line: cells for line, cells in lines.items() if cells["field"].strip() == MADE_FOR}
    check_origin(data, path, made_for)
    for line, cells in lines.items():
        if line in made_for:
            continue
        where, value = f"{path} line {line}", cells["value"].strip()
        rows, name = rows_of(cells, photos.rows, photos.people, data.train.groups, where), cells["field"].strip()
        if value.lower() == UNSURE and not name:
            yield from ((row, "", UNSURE, where) for row in rows)
            continue
        field = field_of(data.fields, name, where)
        if field.of_group and cells["path"].strip() and len(photos.people[data.train.groups[rows[0]]]) > 1:
            raise ValueError(f"{where}: {name} is the same on all photos of a person; name the person and no path")
        yield from spread(field, rows, value, where)


def spread(field: Field, rows: Sequence[int], value: str, where: str) -> Iterator[tuple[int, str, str, str]]:
    """`value` for each of `rows`, or once where it is the person's."""
    if value.lower() == UNSURE:
        values = dict.fromkeys(rows, UNSURE)
    else:
        mended = amend_all(field, rows, value, where)  # of years and classes of them, what was written is kept
        values = mended if value.lower() == SWAP else dict.fromkeys(mended, value)
    for row, said in list(values.items())[: 1 if field.of_group else None]:
        yield row, field.name, said, where


def from_people(photos: Photos, path: Path) -> Iterator[tuple[int, str, str, str]]:
    """(row, field, value, where) of the lines person,change."""
    with open(path, encoding="utf-8-sig", errors="replace", newline="") as file:
        reader = csv.reader(file)
        lines = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader if any(cells)]
    if lines and lines[0][1][0].lower() in ("person", "id") and lines[0][1][0] not in photos.people:
        lines = lines[1:]
    if not lines:
        raise ValueError(f"{path} has no line person,change; write one for each person, or leave --import out")
    for line, cells in lines:
        where = f"{path} line {line}"
        if len(cells) < 2 or not cells[0] or not cells[1]:
            raise ValueError(f"{where}: {','.join(cells)!r} is not person,change; 000123,female->male is an example")
        if cells[0] not in photos.people:
            raise ValueError(f"{where}: the data has no person {cells[0]!r}; {ANEW}review.py, or remove the line")
        yield from changed(photos.data, photos.people[cells[0]], cells[1], where)


def changed(data: Data, rows: Sequence[int], change: str, where: str) -> Iterator[tuple[int, str, str, str]]:
    """What `change` says of the photos `rows` of one person."""
    if change.lower() in NOT_SURE:
        yield from ((row, "", UNSURE, where) for row in rows)
        return
    parts = ARROW.split(change)
    if len(parts) == 1 and change.lower() != SWAP:
        field = field_with(data.fields, change, where)
        amend(field, field.values[rows[0]], change, where)
        yield from spread(field, rows, change, where)
        return
    field = swapped(data.fields, where) if len(parts) == 1 else field_with(data.fields, parts[-1], where)
    if len(parts) == 1 or parts[1][0] in "<↔":
        if len(parts) > 1 and set(field.swaps) != {parts[0], parts[-1]}:
            raise ValueError(f"{where}: {change!r}: {field.name} has no such two classes that people exchange")
        yield from spread(field, rows, SWAP, where)
        return
    before, after = parts[0], parts[-1]
    those = [row for row in rows if field.class_of(field.values[row]) == before or field.values[row] == before]
    if not those:
        has = ", ".join(sorted({field.class_of(field.values[row]) for row in rows}))
        raise ValueError(f"{where}: {change!r}, but its photos have {field.name} {has}; correct or remove the line")
    yield from spread(field, those, after, where)


def field_with(fields: Sequence[Field], value: str, where: str) -> Field:
    """The field that can be `value`: one of its classes, or a number of years."""
    for field in fields:
        if value in field.classes or (field.ranges and value.isascii() and value.isdigit()):
            return field
    raise unknown(f"{where}: change", value, [*(name for field in fields for name in field.classes), SWAP, "not sure"])


def swapped(fields: Sequence[Field], where: str) -> Field:
    """The one field of which `swap` says something."""
    able = [field for field in fields if field.swaps]
    if len(able) == 1:
        return able[0]
    told = " or ".join("<->".join(field.swaps) for field in able) or "the class that is right"
    raise ValueError(f"{where}: swap does not say what; write {told}")
