"""The CSV contract between trials, ensembles and the competition: write, read, validate.

soft.csv      the competition's id column, `ans` (the decided class), "0".."K-1" (probabilities)
val_soft.csv  id, fold, group, label_given, label, "0".."K-1"
hard.csv      the competition's two columns, its rows, its order
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from run import atomic
from task import softmax


@dataclass(frozen=True)
class Soft:
    """A soft file as read: `probabilities` (N, K) for `ids`; `note` says what was done to its numbers, if anything."""

    path: Path
    id_column: str
    ids: tuple[str, ...]
    probabilities: np.ndarray
    note: str


def class_columns(count: int) -> list[str]:
    return [str(number) for number in range(count)]


def by_class(probabilities: np.ndarray) -> dict[str, np.ndarray]:
    return dict(zip(class_columns(probabilities.shape[1]), probabilities.T, strict=True))


def write_soft(path: Path, id_column: str, ids: Sequence[str], probabilities: np.ndarray) -> None:
    write_csv(path, {id_column: ids, "ans": probabilities.argmax(axis=1)} | by_class(probabilities))


def write_hard(path: Path, id_column: str, answer_column: str, ids: Sequence[str], answers: Sequence[int]) -> None:
    write_csv(path, {id_column: ids, answer_column: answers})


def write_validation(
    path: Path,
    ids: Sequence[str],
    folds: np.ndarray,
    groups: Sequence[str],
    labels: np.ndarray,
    probabilities: np.ndarray,
) -> None:
    about = {"id": ids, "fold": folds, "group": groups, "label_given": labels, "label": labels}
    write_csv(path, about | by_class(probabilities))


def write_csv(path: Path, columns: dict[str, Any]) -> None:
    import pandas as pd  # here, as it takes a third of a second that a trial's start need not wait for

    table = pd.DataFrame(columns)
    atomic(path, lambda file: table.to_csv(file, index=False, float_format="%.8g"))


def check_hard(path: Path, id_column: str, answer_column: str, ids: Sequence[str], classes: int) -> None:
    """Reads `path` back: exactly the rows of `ids`, in that order, answered with 0..classes-1. Raises ValueError."""
    rows = read_rows(path)
    columns = columns_of(rows)
    if columns != [id_column, answer_column]:
        raise ValueError(f"{path}: expected the columns {id_column},{answer_column}, found {','.join(columns)}")
    if len(rows) != len(ids):
        raise ValueError(f"{path}: expected {len(ids)} rows, found {len(rows)}")
    allowed = set(class_columns(classes))
    for wanted, (line, cells) in zip(ids, rows.items(), strict=True):
        found, answer = cells.values()
        if wanted != found:
            raise ValueError(f"{path} line {line}: expected {wanted!r}, found {found!r}")
        if answer not in allowed:
            raise ValueError(f"{path} line {line} ({found}): {answer!r} is not a class from 0 to {classes - 1}")


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
    import pandas as pd

    table = pd.DataFrame(read_rows(path).values())
    if "label_given" in table.columns:
        raise ValueError(f"{path} holds validation predictions; a submission is voted from soft.csv files")
    numbers = [name for name in table.columns if name.isdigit()]
    if len(table.columns) < 3 or len(numbers) < 2 or sorted(numbers, key=int) != class_columns(len(numbers)):
        raise ValueError(f'{path}: expected an id column, ans and "0".."K-1"; found {",".join(table.columns)}')
    id_column = table.columns[0]
    ids = table[id_column]
    if ids.duplicated().any():
        raise ValueError(f"{path}: id {ids[ids.duplicated()].iloc[0]!r} stands twice")
    values = table[class_columns(len(numbers))].apply(pd.to_numeric, errors="coerce").to_numpy(np.float64)
    bad = ~np.isfinite(values).all(axis=1)
    if bad.any():
        raise ValueError(f"{path}: id {ids[bad].iloc[0]!r} has a value that is not a finite number")
    return Soft(path, id_column, tuple(ids), *to_probabilities(path, tuple(ids), values))


def to_probabilities(path: Path, ids: Sequence[str], values: np.ndarray) -> tuple[np.ndarray, str]:
    """The rows of a soft file as probabilities, and what was done to them. Raises ValueError where nothing fits."""
    if values.min() < 0 or values.max() > 1:
        return softmax(values), "holds raw logits, not probabilities: softmax applied"
    sums = values.sum(axis=1)
    away = np.abs(sums - 1)
    rounded = 0.005 * values.shape[1]  # the most that rounding to two decimals can move a row's sum
    if away.max() > rounded + 1e-9:
        row = int(away.argmax())
        raise ValueError(f"{path}: id {ids[row]!r} sums to {sums[row]:.4g}: neither probabilities nor logits")
    note = "holds rounded probabilities: rows rescaled to sum to 1" if away.max() > 1e-3 else ""
    return values / sums[:, None], note
