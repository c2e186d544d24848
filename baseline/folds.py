"""Folds that keep each group (person) on one side and hold each stratum's share.

They depend on the data, its groups, val_ratio and split_seed alone, on no library's generator, so
that every trial on every machine gets the same ones.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from fractions import Fraction

import numpy as np


@dataclass(frozen=True)
class Split:
    train: np.ndarray  # rows, ascending
    validation: np.ndarray
    holdout: np.ndarray  # photos of training people that are neither trained on nor validate
    folds: np.ndarray  # (N,) the fold in which each row validates; -1 if in none
    hash: str


def split(
    ids: tuple[str, ...],
    groups: tuple[str, ...],
    strata: tuple[str, ...],
    *,
    val_ratio: float,
    fold: int,
    split_seed: int,
    photo_holdout: float = 0.0,
) -> Split:
    """Fold k of n validates on parts k*p .. k*p+p-1 of q, where val_ratio is p/q: 0.2 makes 5 folds of 1/5.

    Raises ValueError where the fold does not exist or there are too few groups.
    """
    share = Fraction(val_ratio).limit_denominator(20)
    if share == 0:
        raise ValueError(f"val_ratio {val_ratio} is too small; at least 0.05")
    count = share.denominator // share.numerator
    if fold >= count:
        raise ValueError(f"fold {fold} does not exist: val_ratio {val_ratio} makes folds 0 to {count - 1}")
    parts = assign(groups, strata, share.denominator, split_seed)
    folds = np.where(parts < count * share.numerator, parts // share.numerator, -1)
    training = np.flatnonzero(folds != fold)
    held = np.array([draw(split_seed, ids[row]) < photo_holdout for row in training], dtype=bool)
    listing = "\n".join(sorted(f"{photo}\t{number}" for photo, number in zip(ids, folds, strict=True)))
    return Split(
        train=training[~held],
        validation=np.flatnonzero(folds == fold),
        holdout=training[held],
        folds=folds,
        hash=hashlib.sha256(listing.encode()).hexdigest()[:16],
    )


def assign(groups: tuple[str, ...], strata: tuple[str, ...], parts: int, seed: int) -> np.ndarray:
    """The part (N,) of each row: groups whole, each stratum spread evenly.

    Iterative stratification (Sechidis et al. 2011) over groups: the one with the rarest stratum first,
    each to the part that lacks most of that stratum, then most photos.
    """
    number = {group: Counter() for group in groups}
    for group, stratum in zip(groups, strata, strict=True):
        number[group][stratum] += 1
    if len(number) < parts:
        raise ValueError(f"{len(number)} groups (people) cannot make {parts} parts; choose a val_ratio with fewer")
    total = Counter(strata)
    rarest = {group: min(counts, key=lambda s: (total[s], s)) for group, counts in number.items()}
    order = sorted(number, key=lambda g: (total[rarest[g]], rarest[g], -number[g].total(), draw(seed, g)))
    lacks = [{s: total[s] / parts for s in total} for _ in range(parts)]
    room = [len(groups) / parts] * parts
    part_of = {}
    for group in order:
        best = max(range(parts), key=lambda k: (lacks[k][rarest[group]], room[k], draw(seed, f"{group}/{k}")))
        part_of[group] = best
        room[best] -= number[group].total()
        for stratum, n in number[group].items():
            lacks[best][stratum] -= n
    return np.array([part_of[group] for group in groups])


def draw(seed: int, key: str) -> float:
    """A number in [0, 1) that depends on `seed` and `key` alone."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{key}".encode()).digest()[:6], "big") / 2**48
