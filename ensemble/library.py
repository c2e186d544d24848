"""The validation predictions of all models of a blend, in memory, rows alike."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "baseline"))

from ahead import read_ahead
from config import Config
from members import HEADS, WHOLE, Member, check_agreement, rows_of
from predictions import Validation, read_validation
from progress import Progress
from task import combine


@dataclass(frozen=True)
class Library:
    """N photos, M models. `probabilities` are M arrays (N, k) of `heads`; `truths` is (N, k) bool of each head."""

    names: tuple[str, ...]
    heads: tuple[str, ...]
    probabilities: tuple[np.ndarray, ...]  # float32
    truths: dict[str, np.ndarray]
    groups: tuple[str, ...]  # (N,)
    reference: Validation  # of all photos, also where some were taken
    exclusive: bool

    @property
    def truth(self) -> np.ndarray:
        """Of what is submitted, (N, K) bool."""
        return self.truths[WHOLE]

    def of_head(self, head: str) -> list[int]:
        return [number for number, other in enumerate(self.heads) if other == head]

    def take(self, rows: np.ndarray) -> Library:
        """The photos `rows` alone."""
        return replace(
            self,
            probabilities=tuple(values[rows] for values in self.probabilities),
            truths={head: truth[rows] for head, truth in self.truths.items()},
            groups=tuple(self.groups[row] for row in rows),
        )


class Truths:
    """The labels of each head, from one run after another. Runs of other --age_boundaries are judged by the usual ones.

    The models of one head must agree but for that.
    """

    def __init__(self) -> None:
        self.judges: dict[str, tuple[Member, np.ndarray]] = {}

    def add(self, member: Member, truth: np.ndarray) -> None:
        """Raises ValueError where `truth` (N, k) bool or the classes are not those of the runs before."""
        judge, known = self.judges.setdefault(member.head, (member, truth))
        if np.array_equal(truth, known) and member.classes == judge.classes:
            return
        same = boundaries(member) == boundaries(judge) or corrected(member) != corrected(judge)
        if same or truth.shape != known.shape:
            raise ValueError(
                f"{member.name} and {judge.name} have other labels or classes for the same photos; blend runs that "
                "share their corrections and classes"
            )
        if has_usual_boundaries(member):
            self.judges[member.head] = (member, truth)
            member, judge = judge, member
        print(f"{member.name} was trained with other age boundaries; it is judged by those of {judge.name}", flush=True)

    def settle(self, ids: Sequence[str]) -> dict[str, np.ndarray]:
        """The labels by head, and of the 18 classes. Raises ValueError where these are not what the heads make."""
        truths = {head: truth for head, (_, truth) in self.judges.items()}
        if not set(HEADS) <= set(truths):
            return truths
        combined = combine(*(truths[head].astype(float) for head in HEADS)) > 0
        wrong = (combined != truths.setdefault(WHOLE, combined)).any(axis=1)
        if wrong.any():
            raise ValueError(
                f"mask, gender and age models label {ids[int(wrong.argmax())]!r} otherwise than the 18-class models "
                f"({wrong.sum()} photos); blend runs of the same labels and --age_boundaries"
            )
        return truths


def has_usual_boundaries(member: Member) -> bool:
    return boundaries(member) == list(Config().age_boundaries)


def corrected(member: Member) -> str:
    """The hash of the corrections.csv that it was trained with; empty where there was none."""
    return member.config.get("data", {}).get("notes", {}).get("corrections", {}).get("hash", "")


def boundaries(member: Member) -> list[int]:
    return member.config.get("parameters", {}).get("age_boundaries", list(Config().age_boundaries))


def validations(members: Sequence[Member]) -> Iterator[Validation]:
    """The members' validation predictions, rows in the order of the first one's.

    Raises ValueError unless all validated the same photos of the same people in the same folds.
    """
    if lacking := [member.name for member in members if not (member.path / "val_soft.csv").is_file()]:
        raise ValueError(
            f"{lacking[0]} has no val_soft.csv, which a fit learns from ({len(lacking)} such); leave it out"
        )
    watch = Progress("reading validation predictions", len(members), "files")
    paths = [member.path / "val_soft.csv" for member in members]
    first = None
    for done, validation in enumerate(read_ahead(paths, read_validation), 1):
        first = first or validation
        if validation.note:
            print(f"{validation.path} {validation.note}", flush=True)
        check_agreement(members[done - 1], validation, members[0], first)
        order = slice(None) if validation.ids == first.ids else rows_of(validation.ids, first.ids)
        yield replace(
            first,
            path=validation.path,
            probabilities=validation.probabilities[order],
            truth=validation.truth[order],
            exclusive=validation.exclusive,
        )
        watch.show(done)


def read_library(members: Sequence[Member]) -> Library:
    """Raises ValueError unless all validated the same photos in the same folds, with the same labels."""
    truths, probabilities = Truths(), []
    for member, validation in zip(members, validations(members), strict=True):
        truths.add(member, validation.truth)
        probabilities.append(validation.probabilities.astype(np.float32))
    return Library(
        names=tuple(member.name for member in members),
        heads=tuple(member.head for member in members),
        probabilities=tuple(probabilities),
        truths=truths.settle(validation.ids),
        groups=validation.groups,
        reference=validation,
        exclusive=validation.exclusive,
    )
