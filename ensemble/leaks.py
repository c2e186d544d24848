"""leaks.csv: test photos that are also labelled photos, and the second submission that knows it.

    test_id,train_path,distance      written by a search for duplicates; 0 is the same photo

The second file stands beside the first, under the name SUBMISSION.leak.csv, and never in its place:
whether a competition allows answers that no model gave is for its user to say.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from notes import holds_header_alone
from predictions import write_hard
from samples import Data, read_table

COLUMNS = ("test_id", "train_path", "distance")


@dataclass(frozen=True)
class Twin:
    """`decided` (N, K) bool with the labels of leaked photos; how many rows have a leak, and what became of them."""

    decided: np.ndarray
    matched: int
    changed: int
    disagree: int  # left as they were, as their nearest labelled photos have different labels

    def __str__(self) -> str:
        left = f"; {self.disagree} left as they were, their nearest labelled photos disagree" if self.disagree else ""
        return (
            f"{self.matched} of {len(self.decided)} test photos are labelled ones, {self.changed} answers changed{left}"
        )


def find_leaks(folder: Path) -> Path | None:
    """leaks.csv in the data root, or in the folder of its notes; None where there is none."""
    path = folder / "leaks.csv"
    return path if path.is_file() else None


def labels_of(data: Data) -> dict[str, np.ndarray]:
    """The label (K,) bool of each labelled photo by its path relative to the data root."""
    return dict(zip(data.train.ids, data.train.target > 0.5, strict=True))


def leak_twin(leaks: Path, ids: Sequence[str], decided: np.ndarray, labels: Mapping[str, np.ndarray]) -> Twin:
    """`decided` (N, K) with the label of the nearest labelled photo in each row that `leaks` names.

    Raises ValueError naming the line for an id that is not among `ids`, and a photo that has no label.
    """
    place = {photo: row for row, photo in enumerate(ids)}
    twin = decided.copy()
    nearest = nearest_photos(leaks, place, labels)
    disagree = 0
    for photo, near in nearest.items():
        wanted = np.stack([labels[path] for path in near])
        if (wanted == wanted[0]).all():
            twin[place[photo]] = wanted[0]
        else:
            disagree += 1
    return Twin(twin, len(nearest), int((twin != decided).any(axis=1).sum()), disagree)


def nearest_photos(leaks: Path, known: Mapping[str, int], labels: Mapping[str, np.ndarray]) -> dict[str, list[str]]:
    """The labelled photos at the smallest distance from each test photo that has any. Raises ValueError."""
    found: dict[str, tuple[float, list[str]]] = {}
    rows = {} if holds_header_alone(leaks, COLUMNS) else read_table(leaks, COLUMNS)
    for line, cells in rows.items():
        photo, path, text = (cells[name] for name in COLUMNS)
        where = f"{leaks} line {line}"
        if photo not in known:
            raise ValueError(f"{where}: the submission has no test photo {photo!r}; correct the line or remove it")
        if path not in labels:
            raise ValueError(
                f"{where}: the data has no labelled photo {path!r}; correct the line or remove it "
                "(train_path is relative to the data root)"
            )
        distance = to_distance(text, where)
        best, paths = found.get(photo, (math.inf, []))
        if distance <= best:
            found[photo] = (distance, [*paths, path] if distance == best else [path])
    return {photo: paths for photo, (_, paths) in found.items()}


def to_distance(text: str, where: str) -> float:
    try:
        distance = float(text)
    except ValueError:
        distance = math.nan
    if not 0 <= distance < math.inf:
        raise ValueError(f"{where}: distance {text!r} is not a number from 0; correct it")
    return distance


def twin_of(submission: Path) -> Path:
    return submission.with_name(submission.name + ".leak.csv")


def write_twin(
    submission: Path, id_column: str, answer_column: str, ids: Sequence[str], answers: Sequence[int] | Sequence[str]
) -> Path:
    """Writes SUBMISSION.leak.csv; `answers` are the twin's, spelt as the submission's own. Returns its path."""
    path = twin_of(submission)
    write_hard(path, id_column, answer_column, ids, answers)
    return path
