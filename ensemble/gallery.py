"""The photos of a report: the worst mistakes with the same person's other photos, and the worst people."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "baseline"))

from decisions import plain
from mistakes import Person, rate_people, rows_by_person, worst_photos
from photos import LARGE, SMALL, Thumbnail, find_photos, shrink_all
from predictions import Validation

PHOTOS, PEOPLE, OTHERS = 12, 12, 8  # shown at most
Named = list[tuple[str, float]]  # classes and their probabilities


@dataclass(frozen=True)
class Picture:
    """A validation photo; `thumbnail` is None where no data root is known."""

    id: str
    thumbnail: Thumbnail | None
    truth: Named
    predicted: Named
    right: bool


@dataclass(frozen=True)
class Mistake:
    person: str
    photo: Picture
    others: list[Picture]  # the person's
    more: int  # others that are not shown


@dataclass(frozen=True)
class Gallery:
    """`wrong` photos of `wrong_people` there are in all; `root` is None where the photos were not found."""

    root: Path | None
    mistakes: list[Mistake]
    wrong: int
    wrong_people: int
    people: list[tuple[Person, Picture]]
    all_people: int


def fill(validation: Validation, classes: Sequence[str], root: Path | None) -> Gallery:
    people = rate_people(validation)
    rows = rows_by_person(validation.groups)
    worst = worst_photos(validation, PHOTOS)
    others = {row: [other for other in rows[validation.groups[row]] if other != row] for row in worst}
    faces = [min(person.rows, key=lambda row: truth_belief(validation, row)) for person in people[:PEOPLE]]
    wanted = [(row, LARGE) for row in worst]
    wanted += [(row, SMALL) for row in [*(one for those in others.values() for one in those[:OTHERS]), *faces]]
    ids = validation.ids
    thumbnails = shrink_all(root, [(ids[row], side) for row, side in wanted]) if root else {}
    shown = {(row, side): picture(validation, classes, row, thumbnails.get((ids[row], side))) for row, side in wanted}
    right = (plain(validation.exclusive).decide(validation.probabilities) == validation.truth).all(axis=1)
    return Gallery(
        root=root,
        mistakes=[
            Mistake(
                person=validation.groups[row],
                photo=shown[row, LARGE],
                others=[shown[other, SMALL] for other in others[row][:OTHERS]],
                more=max(0, len(others[row]) - OTHERS),
            )
            for row in worst
        ],
        wrong=int((~right).sum()),
        wrong_people=sum(person.accuracy < 1 for person in people),
        people=[(person, shown[face, SMALL]) for person, face in zip(people[:PEOPLE], faces, strict=True)],
        all_people=len(people),
    )


def truth_belief(validation: Validation, row: int) -> float:
    """How near the probabilities of one photo are to its truth, 0 to 1."""
    return float(1 - np.abs(validation.probabilities[row] - validation.truth[row]).max())


def picture(validation: Validation, classes: Sequence[str], row: int, thumbnail: Thumbnail | None) -> Picture:
    probabilities, truth = validation.probabilities[row], validation.truth[row]
    decided = plain(validation.exclusive).decide(probabilities[None])[0]
    named = [[(classes[k], float(probabilities[k])) for k in np.flatnonzero(chosen)] for chosen in (truth, decided)]
    return Picture(validation.ids[row], thumbnail, *named, bool((decided == truth).all()))


def locate(given: Path | None, recorded: Sequence[str], ids: Sequence[str]) -> Path | None:
    """The data root that holds photos `ids`: `given`, or the first that does of those `recorded`; None without one.

    Raises ValueError where `given` holds none of them.
    """
    if given is not None:
        root = find_photos(given, ids)
        if root is None:
            raise ValueError(f"--data_dir {given} holds none of the validation photos, for example {ids[0]}")
        return root
    found = (find_photos(Path(folder), ids) for folder in dict.fromkeys(recorded) if folder)
    return next((root for root in found if root), None)
