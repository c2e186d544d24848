"""Clusters: what pairs join, directly or through others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components


class Forest:
    """`labels` (N,): the number of the cluster that each of N things is in, at first one for each."""

    def __init__(self, size: int) -> None:
        self.labels = np.arange(size)

    def join(self, a: np.ndarray, b: np.ndarray) -> None:
        """Things a (M,) and b (M,) are in one cluster from now on."""
        ends = self.labels[a], self.labels[b]
        apart = ends[0] != ends[1]
        if apart.any():
            self.labels = components(ends[0][apart], ends[1][apart], len(self.labels))[self.labels]


def components(a: np.ndarray, b: np.ndarray, size: int) -> np.ndarray:
    """(size,) the number of the whole that each of `size` nodes belongs to, given edges a (M,), b (M,)."""
    graph = coo_array((np.ones(len(a), bool), (a, b)), shape=(size, size))
    return connected_components(graph, directed=False)[1]


@dataclass(frozen=True)
class Photos:
    """What is known of N photos: the layout's group of each, and which are labelled; the others are to be predicted."""

    ids: Sequence[str]
    groups: Sequence[str]  # empty where not labelled
    labelled: np.ndarray  # (N,) bool; these come first
    fields: Mapping[str, Sequence[str]] = field(default_factory=dict)  # the class of each labelled photo by field

    def only(self, rows: np.ndarray) -> Photos:
        """Those of `rows`, ascending."""
        ids, groups = ([values[row] for row in rows] for values in (self.ids, self.groups))
        known = rows[self.labelled[rows]]
        fields = {name: [values[row] for row in known] for name, values in self.fields.items()}
        return Photos(ids, groups, self.labelled[rows], fields)

    @property
    def codes(self) -> np.ndarray:
        """(N,) the group of each as a number; the photos to be predicted, whom nobody knows, one each."""
        names = {name: place for place, name in enumerate(dict.fromkeys(self.groups))}
        codes = np.array([names[name] for name in self.groups], int)
        return np.where(self.labelled, codes, len(names) + np.arange(len(codes)))


@dataclass(frozen=True)
class Count:
    """What a threshold finds."""

    pairs: int
    clusters: int  # of two photos or more
    photos: int  # in them
    largest: int  # photos
    people: int  # clusters with labelled photos of several people or groups
    leaks: int  # clusters with labelled photos and photos to be predicted
    disagree: int  # clusters whose labelled photos are not all of one class, by one field or another


def count(labels: np.ndarray, photos: Photos, pairs: int) -> Count:
    """`labels` (N,) are the clusters of the photos."""
    labels = np.unique(labels, return_inverse=True)[1]
    sizes, known = np.bincount(labels), labels[photos.labelled]
    some = np.bincount(known, minlength=len(sizes))  # how many are labelled
    joined = sizes[sizes > 1]
    mixed = np.zeros(len(sizes), bool)
    for values in photos.fields.values():
        mixed |= several(known, np.unique(values, return_inverse=True)[1], len(sizes))
    return Count(
        pairs,
        len(joined),
        int(joined.sum()),
        int(joined.max(initial=0)),
        int(several(known, photos.codes[photos.labelled], len(sizes)).sum()),
        int(((some > 0) & (some < sizes)).sum()),
        int(mixed.sum()),
    )


def several(labels: np.ndarray, codes: np.ndarray, size: int) -> np.ndarray:
    """(size,) bool: of each cluster whether its photos (M,) have several codes (M,)."""
    pairs = np.unique(np.stack([labels, codes]), axis=1)
    return np.bincount(pairs[0].astype(int), minlength=size) > 1


def members(labels: np.ndarray) -> Iterator[np.ndarray]:
    """The rows of each cluster of two or more, ascending, in the order of their first ones."""
    order = np.argsort(labels, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(labels[order])) + 1) if len(labels) else []
    yield from sorted((part for part in parts if len(part) > 1), key=lambda part: int(part[0]))


def united(labels: np.ndarray, photos: Photos) -> dict[str, str]:
    """By photo the group that it belongs to from now on, of those that are needed to say so.

    Clusters that share a person are one group, and so are the people of a cluster. Of each person the first photo that
    is in one is named, so one from elsewhere only where the person has no other; the group is named as the first of
    its people is.
    """
    codes = photos.codes
    shared = [part[photos.labelled[part]] for part in members(labels)]
    shared = [part for part in shared if len(np.unique(codes[part])) > 1]
    if not shared:
        return {}
    rows = np.concatenate(shared)
    whole = components(codes[rows], np.concatenate([np.repeat(codes[p[0]], len(p)) for p in shared]), codes.max() + 1)
    names: dict[int, str] = {}
    for row in rows:
        name = photos.groups[row]
        names[whole[codes[row]]] = min(name, names.get(whole[codes[row]], name))
    rows = np.sort(rows)
    first = rows[np.sort(np.unique(codes[rows], return_index=True)[1])]
    return {photos.ids[row]: names[whole[codes[row]]] for row in first}


def conflicts(labels: np.ndarray, photos: Photos) -> Iterator[tuple[int, str, int, str]]:
    """Number of the cluster, field, row and class of the labelled photos of clusters that disagree on the field."""
    for number, part in enumerate(members(labels), 1):
        known = part[photos.labelled[part]]
        for name, values in photos.fields.items():
            if len({values[row] for row in known}) > 1:
                yield from ((number, name, int(row), values[row]) for row in known)
