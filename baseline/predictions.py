"""The CSV contract between trials, ensembles and the competition: write, read, validate.

soft.csv      the competition's id column, `ans` (the decided class), "0".."K-1" (probabilities)
val_soft.csv  id, fold, group, label_given, label, "0".."K-1"
hard.csv      the competition's two columns, its rows, its order

Where several labels may hold at once, soft.csv is the id column and P00.. (a probability of each class
by itself), and val_soft.csv is id, fold, group, L00.. (0 or 1), P00... Columns of single heads
(mask_0, gender_1 …) may stand behind the classes.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from columns import Texts, is_class, load, unpack
from run import atomic
from task import one_hot, softmax

if TYPE_CHECKING:
    import pyarrow


@dataclass(frozen=True)
class Soft:
    """A soft file as read: `probabilities` (N, K) for `ids`; `note` says what was done to its numbers, if anything."""

    path: Path
    id_column: str
    ids: tuple[str, ...]
    probabilities: np.ndarray
    note: str
    exclusive: bool = True  # one class each, so that rows sum to 1; else several may hold at once


@dataclass(frozen=True)
class Validation:
    """A val_soft.csv as read: N labelled photos that its trial did not train on; `note` as in Soft."""

    path: Path
    ids: tuple[str, ...]
    folds: np.ndarray  # (N,)
    groups: tuple[str, ...]  # the person
    given: np.ndarray  # (N, K) bool, the labels as they came
    truth: np.ndarray  # (N, K) bool, after corrections
    probabilities: np.ndarray  # (N, K)
    note: str
    exclusive: bool


def class_columns(count: int, exclusive: bool = True) -> list[str]:
    return [str(number) if exclusive else f"P{number:02d}" for number in range(count)]


def by_class(probabilities: np.ndarray, exclusive: bool = True) -> dict[str, np.ndarray]:
    return dict(zip(class_columns(probabilities.shape[1], exclusive), probabilities.T, strict=True))


def write_soft(
    path: Path,
    id_column: str,
    ids: Sequence[str],
    probabilities: np.ndarray,
    exclusive: bool = True,
    answers: np.ndarray | None = None,
    heads: dict[str, np.ndarray] | None = None,
) -> None:
    """`answers` (N,) are the decided classes, where they are not the most probable ones; `heads` further columns."""
    decided = {"ans": probabilities.argmax(axis=1) if answers is None else answers} if exclusive else {}
    write_csv(path, {id_column: ids} | decided | by_class(probabilities, exclusive) | (heads or {}))


def write_hard(path: Path, id_column: str, answer_column: str, ids: Sequence[str], answers: Sequence[str]) -> None:
    write_csv(path, {id_column: ids, answer_column: answers})


def answers_of(decided: np.ndarray, answers: Sequence[str]) -> list[str]:
    """The answers of the decided classes (N, C) bool, as a submission has them: several are joined by a space."""
    return [" ".join(answers[number] for number in np.flatnonzero(row)) for row in decided]


def head_columns(names: Sequence[str], probabilities: np.ndarray) -> dict[str, np.ndarray]:
    """Those of the heads (N, K) by the K column names, which are none where there is one head."""
    return dict(zip(names, probabilities.T, strict=True)) if names else {}


def write_validation(
    path: Path,
    ids: Sequence[str],
    folds: np.ndarray,
    groups: Sequence[str],
    given: np.ndarray,
    truth: np.ndarray,
    probabilities: np.ndarray,
    exclusive: bool = True,
    heads: dict[str, np.ndarray] | None = None,
) -> None:
    """`given` and `truth` are (N, C) bool: labels as they came, and after corrections; `heads` further columns."""
    labels = {"label_given": given.argmax(axis=1), "label": truth.argmax(axis=1)}
    if not exclusive:
        labels = {f"L{number:02d}": column.astype(int) for number, column in enumerate(truth.T)}
    columns = {"id": ids, "fold": folds, "group": groups} | labels | by_class(probabilities, exclusive)
    write_csv(path, columns | (heads or {}))


def write_csv(path: Path, columns: dict[str, Any]) -> None:
    import pandas as pd  # here, as it takes a third of a second that a trial's start need not wait for

    table = pd.DataFrame(columns)
    atomic(path, lambda file: table.to_csv(file, index=False, float_format="%.8g"))


def check_hard(
    path: Path, id_column: str, answer_column: str, ids: Sequence[str], known: Sequence[str], exclusive: bool = True
) -> None:
    """Reads `path` back: exactly the rows of `ids`, in that order, each answered with one of `known`, or with several.

    Raises ValueError.
    """
    rows = read_rows(path)
    columns = columns_of(rows)
    if columns != [id_column, answer_column]:
        raise ValueError(f"{path}: expected the columns {id_column},{answer_column}, found {','.join(columns)}")
    if len(rows) != len(ids):
        raise ValueError(f"{path}: expected {len(ids)} rows, found {len(rows)}")
    allowed = set(known)
    for wanted, (line, cells) in zip(ids, rows.items(), strict=True):
        found, answer = cells.values()
        if wanted != found:
            raise ValueError(f"{path} line {line}: expected {wanted!r}, found {found!r}")
        for part in [answer] if exclusive else answer.split() or [""]:
            if part not in allowed:
                raise ValueError(
                    f"{path} line {line} ({found}): {part!r} is none of the {len(known)} answers "
                    f"{known[0]} … {known[-1]}"
                )


def read_rows(path: Path) -> dict[int, dict[str, str]]:
    """The cells of a CSV by column, as text, for each line that holds a row; at least one, lines counted from 1.

    A cell that a row lacks at its end is "". Raises ValueError naming the file.
    """
    if not path.is_file():
        raise ValueError(f"{path} is missing")
    try:
        with open(path, encoding="utf-8-sig") as file:  # any end of line, an old Macintosh's too
            reader = csv.DictReader(file, restval="", strict=True)
            columns = reader.fieldnames or []
            rows = {}
            for cells in reader:
                rows[reader.line_num] = cells
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not a CSV: {error}") from error
    if not columns:
        raise ValueError(f"{path} is not a CSV: its first line names no columns")
    if len(columns) == 1 and any(mark in columns[0] for mark in ";\t"):
        raise ValueError(f"{path} is separated by semicolons or tabs; save it with commas and decimal points")
    if not rows:
        raise ValueError(f"{path} has no rows; its columns are {', '.join(columns)}")
    if twice := [name for name in columns if name and columns.count(name) > 1]:
        raise ValueError(f"{path} has two columns {twice[0]!r}; rename or remove one")
    if longer := [line for line, cells in rows.items() if None in cells]:
        raise ValueError(f"{path} line {longer[0]} has more cells than the {len(columns)} columns; quote its commas")
    return rows


def columns_of(rows: dict[int, dict[str, str]]) -> list[str]:
    return list(next(iter(rows.values())))


def read_soft(path: Path) -> Soft:
    """A soft CSV. Columns of raw logits (rows that are no probabilities) are softmaxed.

    Raises ValueError naming the file and the id for anything that cannot be voted with.
    """
    table = read_columns(path)
    if {"label_given", "L00"} & set(table.column_names):
        raise ValueError(f"{path} holds validation predictions; a submission is voted from soft.csv files")
    values, exclusive = class_values(path, table, 'an id column, ans and "0".."K-1" (or an id column and P00..)')
    ids = read_ids(path, table.column(0))
    check_values(path, ids, values)
    return Soft(path, table.column_names[0], ids, *to_probabilities(path, ids, values, exclusive), exclusive)


def read_validation(path: Path) -> Validation:
    """A val_soft.csv. Raises ValueError naming the file and the id for anything that cannot be learnt from."""
    table = read_columns(path)
    expected = "id,fold,group,label_given,label,0..K-1 (or id,fold,group,L00..,P00..)"
    values, exclusive = class_values(path, table, expected)
    names = ("label_given", "label") if exclusive else [f"L{number:02d}" for number in range(values.shape[1])]
    if missing := [name for name in ("id", "fold", "group", *names) if name not in table.column_names]:
        raise ValueError(f"{path} lacks the column {', '.join(missing)}; expected {expected}")
    ids, groups = read_ids(path, table["id"]), unpack(Texts(table["group"]))[0]
    check_values(path, ids, values)
    if exclusive:
        given, truth = (one_hot(whole(path, ids, table, name, values.shape[1]), values.shape[1]) > 0 for name in names)
    else:
        given = truth = np.stack([whole(path, ids, table, name, 2) > 0 for name in names], axis=1)
    probabilities, note = to_probabilities(path, ids, values, exclusive)
    probabilities = np.ascontiguousarray(probabilities)  # fits take rows, of many files at once
    folds = whole(path, ids, table, "fold", 1000)
    return Validation(path, ids, folds, groups, given, truth, probabilities, note, exclusive)


def read_columns(path: Path) -> pyarrow.Table:
    """The N rows of a CSV, at least one: float64 for classes, null or NaN for what is no number; else text.

    Raises ValueError naming the file.
    """
    import pyarrow  # here, as a trial reads none

    if not path.is_file():
        raise ValueError(f"{path} is missing")
    try:
        return load(path)
    except (pyarrow.ArrowInvalid, csv.Error):  # read_rows() is more patient, or says what is wrong in our words
        rows = list(read_rows(path).values())
    columns = {name: [cells[name] for cells in rows] for name in rows[0]}
    return pyarrow.table({n: [to_number(cell) for cell in c] if is_class(n) else c for n, c in columns.items()})


def to_number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return np.nan


def class_values(path: Path, table: pyarrow.Table, expected: str) -> tuple[np.ndarray, bool]:
    """The class columns (N, K) in their order, and whether one class excludes the others. Raises ValueError."""
    names = [name for name in table.column_names if is_class(name)]
    count = len(names)
    exclusive = not any(name.startswith("P") for name in names)
    wanted = class_columns(count, exclusive)
    if count < 2 or set(names) != set(wanted) or is_class(table.column_names[0]):
        raise ValueError(f"{path}: expected {expected}; found {','.join(table.column_names)}")
    return np.stack([table[name].to_numpy() for name in wanted]).T, exclusive  # whole columns are copied faster


def read_ids(path: Path, column: pyarrow.ChunkedArray) -> tuple[str, ...]:
    """Raises ValueError for an id that stands twice."""
    ids, twice = unpack(Texts(column))
    if twice is not None:
        raise ValueError(f"{path}: id {twice!r} stands twice")
    return ids


def check_values(path: Path, ids: Sequence[str], values: np.ndarray) -> None:
    """Raises ValueError for a value that is no number."""
    if np.isfinite([values.min(), values.max()]).all():
        return
    bad = ~np.isfinite(values).all(axis=1)
    raise ValueError(f"{path}: id {ids[int(bad.argmax())]!r} has a value that is not a finite number")


def whole(path: Path, ids: Sequence[str], table: pyarrow.Table, name: str, limit: int) -> np.ndarray:
    """Column `name` as integers (N,) from 0 to limit - 1. Raises ValueError naming the id."""
    column = table[name].combine_chunks().dictionary_encode()
    places, cells = column.indices.to_numpy(), column.dictionary.to_pylist()
    for number, cell in enumerate(cells):
        if not re.fullmatch(r"-?\d+", cell) or not 0 <= int(cell) < limit:
            photo = ids[int((places == number).argmax())]
            raise ValueError(f"{path}: id {photo!r} has {name} {cell!r}, which is not a number from 0 to {limit - 1}")
    return np.array([int(cell) for cell in cells])[places]


def to_probabilities(path: Path, ids: Sequence[str], values: np.ndarray, exclusive: bool) -> tuple[np.ndarray, str]:
    """The rows of a soft file as probabilities, and what was done to them. Raises ValueError where nothing fits."""
    if values.min() < 0 or values.max() > 1:
        if not exclusive:
            row = int(((values < 0) | (values > 1)).any(axis=1).argmax())
            raise ValueError(f"{path}: id {ids[row]!r} has a value outside 0 to 1, so no probability")
        return softmax(values), "holds raw logits, not probabilities: softmax applied"
    if not exclusive:
        return values, ""
    sums = values.sum(axis=1)
    away = np.abs(sums - 1)
    rounded = 0.005 * values.shape[1]  # the most that rounding to two decimals can move a row's sum
    if away.max() > rounded + 1e-9:
        row = int(away.argmax())
        raise ValueError(f"{path}: id {ids[row]!r} sums to {sums[row]:.4g}: neither probabilities nor logits")
    note = "holds rounded probabilities: rows rescaled to sum to 1" if away.max() > 1e-3 else ""
    return values / sums[:, None], note
