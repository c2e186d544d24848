"""What the pairs of a search add up to, at several thresholds at once, while they pass by.

Nothing is kept of a pair but what it joins, so the memory needed grows with the photos, not with the pairs, of which
about MOST_WAITING wait to be joined; of pairs of a labelled photo and one to be predicted, which leaks.csv lists, at
most MOST_LEAKS are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from copies.clusters import Count, Forest, Photos, count, members

MOST_LEAKS = 5_000_000
MOST_WAITING = (
    1 << 20
)  # pairs that are joined at once, as joining takes a look at all photos however few pairs there are
SHOWN = 12  # pairs of a step that are kept to be looked at


@dataclass
class Tally:
    """`row` (N,) is which of U different things each photo is; pairs are of these. `steps` are distances, ascending."""

    photos: Photos
    row: np.ndarray
    steps: Sequence[float]
    leak: float = -1  # the distance within which pairs are kept as leaks
    told: np.ndarray | None = None  # (N,) clusters that are known, whose pairs need not be shown
    leaks: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = field(default_factory=list)  # test, labelled, distance
    shown: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = field(default_factory=list)  # photos, photos, distance
    found: int = 0  # leaks
    waiting: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = field(default_factory=list)  # pairs not yet joined
    waits: int = 0  # how many

    def __post_init__(self) -> None:
        size = int(self.row.max(initial=-1)) + 1
        self.order = np.argsort(self.row, kind="stable")  # the photos by what they are
        self.sizes = np.bincount(self.row, minlength=size)
        self.starts = np.cumsum(self.sizes) - self.sizes
        self.known = np.bincount(self.row[self.photos.labelled], minlength=size)  # how many are labelled
        self.forests = [Forest(size) for _ in self.steps]
        self.pairs = np.full(len(self.steps), int((self.sizes * (self.sizes - 1) // 2).sum()))
        self.codes = self.photos.codes
        whole = np.flatnonzero(self.sizes > 1)
        self.add_leaks(whole, whole, np.zeros(len(whole)))
        self.show_equal()

    def add(self, a: np.ndarray, b: np.ndarray, distance: np.ndarray) -> None:
        """Things a (M,) and b (M,) are so far apart. Raises ValueError where more leak than can be of use."""
        weight = self.sizes[a] * self.sizes[b]
        for place, step in enumerate(self.steps):
            self.pairs[place] += int(weight[distance <= step].sum())
        self.waiting.append((a, b, distance))
        self.waits += len(a)
        if self.waits >= MOST_WAITING:
            self.join_waiting()
        self.add_leaks(a, b, distance)
        firsts = self.order[self.starts[a]], self.order[self.starts[b]]
        self.show(*firsts, distance)

    def join_waiting(self) -> None:
        if not self.waiting:
            return
        a, b, distance = (np.concatenate(parts) for parts in zip(*self.waiting, strict=True))
        self.waiting, self.waits = [], 0
        for step, forest in zip(self.steps, self.forests, strict=True):
            within = distance <= step
            forest.join(a[within], b[within])

    def add_leaks(self, a: np.ndarray, b: np.ndarray, distance: np.ndarray) -> None:
        tests = self.sizes - self.known
        within = distance <= self.leak
        for first, second in ((a, b), (b, a))[: 1 if a is b else 2]:
            rows = np.flatnonzero(within & (tests[first] > 0) & (self.known[second] > 0))
            self.found += int((tests[first[rows]] * self.known[second[rows]]).sum())
            if self.found > MOST_LEAKS:
                raise ValueError(
                    f"more than {MOST_LEAKS:,} pairs of a photo to be predicted and a labelled one are within "
                    f"{self.leak:g} bits, too many to mean anything; lower --leak_distance"
                )
            for row in rows:
                test, labelled = self.photos_of(first[row], False), self.photos_of(second[row], True)
                grid = np.repeat(test, len(labelled)), np.tile(labelled, len(test))
                self.leaks.append((*grid, np.full(len(grid[0]), float(distance[row]))))

    def photos_of(self, thing: int, labelled: bool) -> np.ndarray:
        rows = self.order[self.starts[thing] : self.starts[thing] + self.sizes[thing]]
        return rows[self.photos.labelled[rows] == labelled]

    def show(self, a: np.ndarray, b: np.ndarray, distance: np.ndarray) -> None:
        """Keeps some photos a, b of different people, one labelled at least, for each step: by chance, always the same.

        Those of a step are farther apart than the step before.
        """
        telling = (self.codes[a] != self.codes[b]) & (self.photos.labelled[a] | self.photos.labelled[b])
        if self.told is not None:
            telling &= self.told[a] != self.told[b]
        self.shown.append((a[telling], b[telling], distance[telling]))
        a, b, distance = (np.concatenate(parts) for parts in zip(*self.shown, strict=True))
        step = np.searchsorted(self.steps, distance)
        draw = (a.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)) ^ (
            b.astype(np.uint64) * np.uint64(0xC2B2AE3D27D4EB4F)
        )
        order = np.lexsort((draw, step))
        nth = np.arange(len(order)) - np.searchsorted(step[order], step[order])
        keep = order[(nth < SHOWN) & (step[order] < len(self.steps))]
        self.shown = [(a[keep], b[keep], distance[keep])]

    def show_equal(self) -> None:
        """Of photos that are the same thing the first and one of other people."""
        pairs = []
        for part in members(self.row):
            other = part[self.codes[part] != self.codes[part[0]]]
            pairs += [(part[0], other[0])] if len(other) else []
        a, b = np.array(pairs, int).reshape(-1, 2).T
        self.show(a, b, np.zeros(len(a)))

    def labels(self, step: float) -> np.ndarray:
        """(N,) the cluster of each photo."""
        self.join_waiting()
        return self.forests[list(self.steps).index(step)].labels[self.row]

    def count(self, step: float) -> Count:
        return count(self.labels(step), self.photos, int(self.pairs[list(self.steps).index(step)]))

    def nearest(self) -> list[tuple[int, int, float]]:
        """The leaks: row of the photo to be predicted, of the labelled one, distance; the nearest first."""
        rows = [row for piece in self.leaks for row in zip(*(part.tolist() for part in piece), strict=True)]
        return sorted(rows, key=lambda row: (row[2], row))
