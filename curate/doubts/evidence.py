"""What a person's other photos say of a label that may be wrong.

Some labels are a person's, as gender and age are: then all photos that share such a label are judged together, and
their predictions count as much as each other. Others are a photo's, as the mask is: then the person's other photos
tell what is usual, or that two of them were exchanged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

KINDS = 4  # classes that are counted out; of more, only how many photos look otherwise
MANY = 100  # photos of a group from which on it is a writer or a camera, whose other photos say nothing of one


@dataclass(frozen=True)
class Unit:
    """A label that is judged as one: of the photo `rows[0]`, or of all of a person's photos that share it."""

    rows: tuple[int, ...]
    others: tuple[int, ...]  # further photos of the person; none of a group of MANY


def units_of(people: Sequence[str], labels: Sequence[str], of_person: bool) -> list[Unit]:
    """In the order of the photos. Photos of one person that a person's label divides are judged apart."""
    of_whom: dict[str, list[int]] = {}
    for row, person in enumerate(people):
        of_whom.setdefault(person, []).append(row)
    if not of_person:
        few = {person: rows if len(rows) < MANY else [] for person, rows in of_whom.items()}
        return [
            Unit((row,), tuple(other for other in few[person] if other != row)) for row, person in enumerate(people)
        ]
    sharing: dict[tuple[str, str], list[int]] = {}
    for row, key in enumerate(zip(people, labels, strict=True)):
        sharing.setdefault(key, []).append(row)
    return [
        Unit(tuple(rows), tuple(row for row in of_whom[person] if labels[row] != label))
        for (person, label), rows in sharing.items()
    ]


def mean_over(values: np.ndarray, units: Sequence[Unit]) -> np.ndarray:
    """Probabilities (N, K) of photos to those of units (U, K), the mean over each one's photos."""
    return np.array([values[list(unit.rows)].mean(axis=0) for unit in units])


def tell(unit: Unit, labels: Sequence[str], looks: Sequence[str]) -> str:
    """A line for people, of the label and the most probable class of every photo; empty for a person's only photo."""
    parts = []
    if len(unit.rows) > 1:
        found = Counter(looks[row] for row in unit.rows).most_common()
        (most, count), *rest = found
        parts.append(
            ", ".join([f"{count} of {len(unit.rows)} photos look {most}", *(f"{n} {name}" for name, n in rest)])
        )
    if unit.others:
        parts.append(tell_others(unit.others, labels, looks))
    return "; ".join(parts)


def tell_others(others: Sequence[int], labels: Sequence[str], looks: Sequence[str]) -> str:
    if len(others) == 1:
        label, look = labels[others[0]], looks[others[0]]
        return f"the other photo is labelled {label} and looks {'so' if look == label else look}"
    labelled, seen = (Counter(names[row] for row in others) for names in (labels, looks))
    otherwise = sum(labels[row] != looks[row] for row in others)
    if len(labelled) > KINDS:
        return f"of {len(others)} others {otherwise} look otherwise than labelled"
    said = f"{len(others)} others are labelled {listed(labelled)}"
    if not otherwise:
        return f"{said} and look so"
    if labelled == seen or len(seen) > KINDS:
        return f"{said}, {otherwise} look otherwise"
    return f"{said} and look {listed(seen)}"


def listed(counted: Counter[str]) -> str:
    """`mask 5, normal 1`."""
    return ", ".join(f"{name} {count}" for name, count in counted.most_common())
