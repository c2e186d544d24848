"""How many photos and people each class has, counted as a trial counts them: with groups and corrections."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from folds import own_rows
from samples import Data
from task import LIKELY


@dataclass(frozen=True)
class Class:
    name: str
    photos: int
    people: int  # people, or groups, or where nothing says who belongs together photos
    gained: int  # photos that corrections made of this class
    lost: int  # and of others


@dataclass(frozen=True)
class Roster:
    """The classes of a head; of several heads, the last roster is that of their combinations."""

    head: str
    photos: int  # labelled ones, of which each may be of several classes
    classes: tuple[Class, ...]


def count_classes(data: Data) -> list[Roster]:
    own = own_rows(data.train)
    groups = np.array(data.train.groups, dtype=object)[own]
    after = data.train.target[own] > LIKELY
    before = after if data.train.given is None else data.train.given[own] > LIKELY
    heads = data.task.heads
    found = [
        roster(head.name, head.classes, after[:, part], before[:, part], groups)
        for head, part in zip(heads, data.task.slices, strict=True)
    ]
    if len(heads) > 1:
        whole, came = data.truth[own] > LIKELY, data.given[own] > LIKELY
        found.append(roster(" x ".join(head.name for head in heads), data.task.classes, whole, came, groups))
    return found


def roster(head: str, names: Sequence[str], after: np.ndarray, before: np.ndarray, groups: np.ndarray) -> Roster:
    """`after` and `before` corrections are (N, k) bool, `groups` (N,)."""
    classes = [
        Class(
            name,
            photos=int(after[:, k].sum()),
            people=len(set(groups[after[:, k]])),
            gained=int((after[:, k] & ~before[:, k]).sum()),
            lost=int((before[:, k] & ~after[:, k]).sum()),
        )
        for k, name in enumerate(names)
    ]
    return Roster(head, len(groups), tuple(classes))


def group_sizes(data: Data) -> Counter[str]:
    """Photos of each person or group; data from elsewhere (--external) is left out."""
    return Counter(data.train.groups[row] for row in own_rows(data.train))


def who_is_split(data: Data) -> str:
    """What stays on one side of the split: people, groups, or photos where nothing says which belong together."""
    sizes = group_sizes(data)
    if len(sizes) == sizes.total():
        return "photos"
    return "people" if any(field.of_group for field in data.fields) else "groups"


def buckets(sizes: Sequence[int], most: int = 8) -> dict[str, int]:
    """How many people have how many photos: by number, or where there are many numbers 1, 2, 3-4, 5-8, 9-16 …"""
    counts = Counter(sizes)
    if len(counts) <= most:
        return {str(size): counts[size] for size in sorted(counts)}
    edges = [0, *(2**power for power in range(max(sizes).bit_length() + 1))]
    spans = {f"{low + 1}-{high}" if low + 1 < high else str(high): (low, high) for low, high in pairwise(edges)}
    found = {name: sum(n for size, n in counts.items() if low < size <= high) for name, (low, high) in spans.items()}
    while not found[last := list(found)[-1]]:
        del found[last]
    return found
