"""How far two reviewers agree: the share of subjects that they class alike, and Cohen's kappa."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from desk.opinions import Key, Labels, Opinion, opinions_of
from desk.verdicts import UNSURE, Verdict


@dataclass(frozen=True)
class Agreement:
    field: str  # empty for the marks
    reviewers: tuple[str, str]
    both: int  # subjects that both have an opinion on
    raw: float  # NaN where there are none
    kappa: float  # NaN where there are none, or where both say one class of all


def agree(first: Sequence[str], second: Sequence[str]) -> tuple[float, float]:
    """The share of equal entries and Cohen's kappa, (raw - chance) / (1 - chance); NaN where undefined.

    Cohen 1960, A coefficient of agreement for nominal scales.
    """
    count = len(first)
    if not count:
        return math.nan, math.nan
    raw = sum(one == other for one, other in zip(first, second, strict=True)) / count
    shares = Counter(first), Counter(second)
    chance = sum(shares[0][name] * shares[1][name] for name in shares[0]) / count**2
    return raw, (raw - chance) / (1 - chance) if chance < 1 else math.nan


def agreements(labels: Labels, verdicts: Sequence[Verdict]) -> list[Agreement]:
    """Of every two reviewers, for the marks and each field.

    What settled a disagreement is left out: its reviewer knew what the other had said.
    """
    opinions = opinions_of(labels, [one for one in verdicts if not one.settles])
    people = sorted({one.reviewer for one in verdicts})
    found = []
    for field, pair in itertools.product(
        ("", *(field.name for field in labels.fields)), itertools.combinations(people, 2)
    ):
        sides = answers(labels, opinions, field, pair)
        found.append(
            Agreement(field, pair, len(sides), *agree(*map(list, zip(*sides, strict=True))))
            if sides
            else Agreement(field, pair, 0, math.nan, math.nan)
        )
    return found


def answers(
    labels: Labels, opinions: Mapping[Key, Mapping[str, Opinion]], field: str, pair: tuple[str, str]
) -> list[tuple[str, str]]:
    """The classes that both gave to each subject; of a field those where neither is unsure."""
    both = [
        tuple(labels.class_of(field, those[reviewer].value) for reviewer in pair)
        for (name, _), those in opinions.items()
        if name == field and all(reviewer in those for reviewer in pair)
    ]
    return [pair for pair in both if not field or UNSURE not in pair]
