"""Which photos are the same picture, by their hashes and by an embedding, and what each threshold would join."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from copies.clusters import Photos, components, members
from copies.hamming import Found, search
from copies.hashes import columns
from copies.tally import Tally

BEYOND = 4  # bits behind the chosen distance that the table goes on
SIMILARITIES = (0.97, 0.95, 0.93, 0.91)
TILE = 2048  # vectors compared with vectors at a time
STEEP = 20  # times as many pairs, BEYOND bits farther, as chance makes and copies do not
CHAINED, SAMPLED = 20, 300  # photos from which a cluster is asked whether it is a chain, and that are looked at


@dataclass(frozen=True)
class Rule:
    """When photos are the same: `need` of the hashes `names` within `distance` bits."""

    names: Sequence[str]
    distance: int
    need: int
    mirrored: bool
    leak_distance: int  # bits; of photos to be predicted whose labels are those of labelled ones

    @property
    def steps(self) -> list[float]:
        """Distances of the table, ascending."""
        return sorted(
            {*range(0, max(self.distance + BEYOND, self.leak_distance) + 1, 2), self.distance, self.leak_distance}
        )


def rule_of(given: argparse.Namespace) -> Rule:
    names = sorted(set(given.hashes))
    return Rule(names, given.distance, len(names) if given.agree == "all" else 1, given.mirrored, given.leak_distance)


def by_hashes(rows: np.ndarray, photos: Photos, rule: Rule) -> Tally:
    """`rows` (N, …) are what hash_pixels() gave. Photos of equal hashes are one thing, so that many cost little."""
    plain, mirror = columns(rows, rule.names), columns(rows, rule.names, mirrored=True)
    both = np.concatenate([plain, mirror], axis=1) if rule.mirrored else plain
    _, first, thing = np.unique(both, axis=0, return_index=True, return_inverse=True)
    tally = Tally(photos, thing.ravel(), rule.steps, rule.leak_distance)
    for pairs in search(plain[first], int(rule.steps[-1]), rule.need, mirror[first] if rule.mirrored else None):
        tally.add(*pairs)
    return tally


def by_embedding(vectors: np.ndarray, photos: Photos, similarity: float, known: np.ndarray) -> Tally:
    """Steps are 1 - similarity; pairs of one of the clusters `known` (N,) need not be shown."""
    steps = sorted({round(1 - least, 6) for least in (*SIMILARITIES, similarity)})
    tally = Tally(photos, np.arange(len(vectors)), steps, told=known)
    for pairs in alike(vectors, 1 - steps[-1]):
        tally.add(*pairs)
    return tally


def alike(vectors: np.ndarray, least: float) -> Iterator[Found]:
    """Rows a < b (M,) of vectors (N, D) of length 1 whose cosine is at least `least`, and 1 - it; in pieces."""
    for top in range(0, len(vectors), TILE):
        rows = vectors[top : top + TILE].astype(np.float32)
        for start in range(top, len(vectors), TILE):
            cosine = rows @ vectors[start : start + TILE].astype(np.float32).T
            a, b = np.nonzero(cosine >= least)
            apart = 1 - cosine[a, b]
            a, b = a + top, b + start
            upper = a < b
            if upper.any():
                yield a[upper], b[upper], np.maximum(apart[upper], 0)


def joined(parts: Iterable[np.ndarray]) -> np.ndarray:
    """(N,) the clusters of photos that are in one cluster by any of the labellings (N,), or through others."""
    first, *others = parts
    for other in others:
        size = int(first.max(initial=-1)) + 1
        first = components(first, other + size, size + int(other.max(initial=-1)) + 1)[first]
    return first


def share_within(part: np.ndarray, rows: np.ndarray, rule: Rule) -> float:
    """Of the pairs of at most SAMPLED photos of a cluster (rows) the share that is within the rule by itself."""
    some = part[np.linspace(0, len(part) - 1, min(len(part), SAMPLED)).astype(int)]
    plain, mirror = columns(rows[some], rule.names), columns(rows[some], rule.names, mirrored=True)
    found = search(plain, rule.distance, rule.need, mirror if rule.mirrored else None)
    return sum(len(a) for a, _, _ in found) / (len(some) * (len(some) - 1) / 2)


def pairs_around(tally: Tally, distance: int) -> tuple[int, int]:
    """Pairs within `distance`, and within the largest step."""
    return tally.pairs[tally.steps.index(distance)], tally.pairs[-1]


def is_steep(tally: Tally, distance: int) -> bool:
    """Whether pairs multiply farther on as they do by chance, among photos that merely look alike."""
    here, beyond = pairs_around(tally, distance)
    return 0 < STEEP * here < beyond


def warnings(labels: np.ndarray, rows: np.ndarray, rule: Rule, tally: Tally) -> list[str]:
    """What a person should know of a threshold that joins more than pictures that are the same.

    `tally` is that of the hashes; `labels` (N,) are the clusters that an embedding may have joined further, which is no
    chain of hashes.
    """
    told = []
    by_hash, largest = (
        max(members(these), key=len, default=np.zeros(0, int)) for these in (tally.labels(rule.distance), labels)
    )
    share = share_within(by_hash, rows, rule) if len(by_hash) >= CHAINED else 1
    if share < 0.5:
        told.append(
            f"the largest cluster that hashes make, {len(by_hash)} photos, is a chain: {share:.0%} of its pairs are "
            "within the threshold themselves, the others through photos between them"
        )
    if len(largest) >= CHAINED and len(largest) > 0.1 * len(labels):
        told.append(f"the largest cluster holds {len(largest) / len(labels):.0%} of all photos; folds cannot part it")
    if is_steep(tally, rule.distance):
        here, beyond = pairs_around(tally, rule.distance)
        told.append(
            f"{here} pairs are within {rule.distance} bits and {beyond} within {tally.steps[-1]:g}: these photos look "
            "much alike without being the same, so some of the pairs are chance"
        )
    return [
        f"warning: {line}. Look at duplicates.png; a lower --distance (a higher --similarity) joins less"
        for line in told
    ]
