"""What several runs say of each field of the labelled photos, mask, gender and age of faces, averaged.

Runs of other folds, models, heads and splits may be joined: each of them is out of fold by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from doubts.unseen import Unseen
from task import Head, Task


@dataclass(frozen=True)
class Beliefs:
    """Of N photos, about a field of K classes: labels `truth` as trained with, `given` before corrections, (N, K)."""

    field: str
    classes: tuple[str, ...]
    exclusive: bool
    ids: tuple[str, ...]
    groups: tuple[str, ...]  # the person, with the duplicates that groups.csv names
    truth: np.ndarray
    given: np.ndarray
    probabilities: np.ndarray
    runs: np.ndarray  # (N,) how many runs speak of the photo


@dataclass(frozen=True)
class Part:
    """A head of a run, and its columns among those of all heads."""

    run: Unseen
    head: Head
    columns: slice

    def of(self, combined: np.ndarray) -> np.ndarray:
        """Its part of labels (N, C) bool, or of probabilities, of all classes."""
        task: Task = self.run.task
        separate = task.separate(combined.astype(float))[:, self.columns] if len(task.heads) > 1 else combined
        return separate > 0.5 if combined.dtype == bool else separate


def join(runs: Sequence[Unseen]) -> list[Beliefs]:
    """By field; of each photo the mean over the runs that speak of it.

    Raises ValueError where two runs have other classes, labels or people.
    """
    fields: dict[str, list[Part]] = {}
    for run in runs:
        for head, columns in zip(run.task.heads, run.task.slices, strict=True):
            fields.setdefault(head.name, []).append(Part(run, head, columns))
    return [join_field(parts) for parts in fields.values()]


def join_field(parts: Sequence[Part]) -> Beliefs:
    head = parts[0].head
    ids = tuple(dict.fromkeys(photo for part in parts for photo in part.run.validation.ids))
    place = {photo: row for row, photo in enumerate(ids)}
    shape = len(ids), len(head.classes)
    truth, given, sums = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool), np.zeros(shape)
    count, groups = np.zeros(len(ids), dtype=int), np.full(len(ids), "", dtype=object)
    for part in parts:
        check_classes(parts[0], part)
        found = part.run.validation
        rows = np.array([place[photo] for photo in found.ids])
        labels, people = np.hstack([part.of(found.truth), part.of(found.given)]), np.array(found.groups, dtype=object)
        known = count[rows] > 0
        check_same(part, "label", known & (labels != np.hstack([truth[rows], given[rows]])).any(axis=1))
        check_same(part, "person", known & (people != groups[rows]))
        truth[rows], given[rows] = np.hsplit(labels, 2)
        groups[rows] = people
        sums[rows] += part.of(found.probabilities)
        count[rows] += 1
    about = (head.name, head.classes, head.exclusive, ids, tuple(groups))
    return Beliefs(*about, truth, given, sums / count[:, None], count)


def check_classes(first: Part, part: Part) -> None:
    if (part.head.classes, part.head.exclusive) != (first.head.classes, first.head.exclusive):
        raise ValueError(
            f"{part.run.path} has the {part.head.name} classes {', '.join(part.head.classes)}, and {first.run.path} "
            f"has {', '.join(first.head.classes)}; give runs of the same classes and --age_boundaries"
        )


def check_same(part: Part, what: str, differs: np.ndarray) -> None:
    """Raises ValueError for the first of the run's photos that `differs` (N,)."""
    if differs.any():
        raise ValueError(
            f"{part.run.path} has another {what} for {part.run.validation.ids[int(differs.argmax())]!r} than the runs "
            f"before it ({int(differs.sum())} such photos); give runs of the same labels and groups"
        )
