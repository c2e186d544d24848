"""Folds that keep each group (person) on one side and hold each stratum's share.

They depend on the data, its groups, their number and split_seed alone, on no library's generator, so that every
trial on every machine gets the same ones. `python baseline/folds.py --data_dir DIR -o FILE` writes them as a CSV
(id,fold), which --fold_file reads.
"""

from __future__ import annotations

import hashlib
import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from config import Config
from predictions import read_rows, write_csv
from samples import Data, Labelled

ALWAYS, NEVER = -1, -2  # instead of a fold: rows that train in all of them, and those of test_val, in none
WORDS = {"train": ALWAYS, "test_val": NEVER}  # for them in a fold file


@dataclass(frozen=True)
class Split:
    train: np.ndarray  # rows, ascending
    validation: np.ndarray
    holdout: np.ndarray  # photos of training people that are neither trained on nor validate
    test_val: np.ndarray  # rows kept out of all folds
    folds: np.ndarray  # (N,) the fold in which each row validates, or ALWAYS or NEVER
    hash: str

    @property
    def count(self) -> int:
        """The number of folds."""
        return int(self.folds.max()) + 1


def divide(config: Config, data: Data) -> Split:
    """Who trains and who validates in the fold of `config`; of fold all, in the first. Raises ValueError."""
    train = data.train
    folds = of_file(Path(config.fold_file).expanduser(), train) if config.fold_file else fold_of_rows(config, data)
    fold, count = 0 if config.fold == "all" else int(config.fold), int(folds.max()) + 1
    if fold >= count:
        raise ValueError(f"fold {fold} does not exist: there are folds 0 to {count - 1} (--folds, --val_ratio)")
    out = {group for group, number in zip(train.groups, folds, strict=True) if number in (fold, NEVER)}
    # data from elsewhere may show somebody who validates
    trains = np.array([g not in out or n >= 0 for g, n in zip(train.groups, folds, strict=True)])
    training = np.flatnonzero(trains & (folds != fold) & (folds != NEVER))
    if not len(training):
        united = " (groups.csv unites them; --groups none leaves it)" if "groups" in data.notes else ""
        raise ValueError(f"every photo that could train belongs to a group that validates{united}; name other groups")
    held = np.array([draw(config.split_seed, train.ids[row]) < config.photo_holdout for row in training], dtype=bool)
    return Split(
        train=training[~held],
        validation=np.flatnonzero(folds == fold),
        holdout=training[held],
        test_val=np.flatnonzero(folds == NEVER),
        folds=folds,
        hash=hash_of(train, folds),
    )


def fold_of_rows(config: Config, data: Data) -> np.ndarray:
    """The fold (N,) of each row, as the data itself or the knobs say. Raises ValueError."""
    train = data.train
    folds = np.full(len(train.ids), ALWAYS)
    if data.validation is not None:
        if config.photo_holdout or config.test_val or config.folds:
            raise ValueError(
                "--photo_holdout, --test_val and --folds are for folds of groups; this data itself says which photos "
                "validate"
            )
        folds[data.validation] = 0
        return folds
    rows = own_rows(train)
    groups, strata = ([values[row] for row in rows] for values in (train.groups, train.strata))
    folds[rows] = fold_of_groups(groups, strata, share_of(config), config.test_val, config.split_seed)
    return folds


def share_of(config: Config) -> Fraction:
    """The share of the people that validates in a fold. Raises ValueError."""
    share = Fraction(1, config.folds) if config.folds else Fraction(config.val_ratio).limit_denominator(20)
    if share == 0:
        raise ValueError(f"val_ratio {config.val_ratio} is too small; at least 0.05")
    return share


def fold_of_groups(
    groups: Sequence[str], strata: Sequence[tuple[str, ...]], share: Fraction, test_val: bool, seed: int
) -> np.ndarray:
    """The fold (N,) of each row: fold k of n validates on parts k*p .. k*p+p-1 of q, where `share` is p/q.

    With `test_val` there are 2 n + 1 parts; fold k validates on 2 k and 2 k + 1, and the last one is NEVER.
    Raises ValueError where there are too few groups.
    """
    count, parts, each = share.denominator // share.numerator, share.denominator, share.numerator
    if test_val:
        parts, each = 2 * count + 1, 2
    part = assign(groups, strata, parts, seed)
    return np.where(part < count * each, part // each, NEVER if test_val else ALWAYS)


def of_file(path: Path, train: Labelled) -> np.ndarray:
    """The fold (N,) of each row in the CSV `path`. Raises ValueError where it is not one of this data."""
    rows = read_rows(path)
    if missing := {"id", "fold"} - set(next(iter(rows.values()))):
        raise ValueError(f"--fold_file {path} lacks the column {min(missing)}; expected id,fold")
    said = {cells["id"]: (line, cells["fold"].strip()) for line, cells in rows.items()}
    own = own_rows(train)
    if absent := [train.ids[row] for row in own if train.ids[row] not in said]:
        raise ValueError(
            f"--fold_file {path} is of another data set: it lacks {len(absent)} of the {len(own)} photos, "
            f"{absent[0]!r} among them; `python baseline/folds.py` writes one for this data"
        )
    # those that only train may be in a file that was made with them
    if strange := sorted(photo for photo in said.keys() - set(train.ids) if said[photo][1] != "train"):
        raise ValueError(
            f"--fold_file {path} names {len(strange)} photos that this data has not, {strange[0]!r} among them"
        )
    folds, sides = np.full(len(train.ids), ALWAYS), defaultdict(set)
    for row in own:
        photo, group = train.ids[row], train.groups[row]
        line, word = said[photo]
        if word not in WORDS and not (word.isascii() and word.isdigit()):
            raise ValueError(f"--fold_file {path} line {line} ({photo}): fold {word!r} is no number, train or test_val")
        folds[row] = WORDS[word] if word in WORDS else int(word)
        sides[group].add(word)
    if torn := sorted(group for group, words in sides.items() if len(words) > 1):
        raise ValueError(
            f"--fold_file {path}: group {torn[0]!r} is in {' and in '.join(sorted(sides[torn[0]]))} "
            f"({len(torn)} such groups); put each into one fold"
        )
    numbers = {int(number) for number in folds if number >= 0}
    if not numbers or numbers != set(range(len(numbers))):
        raise ValueError(f"--fold_file {path}: folds are numbered from 0 without a gap; found {sorted(numbers)}")
    return folds


def own_rows(train: Labelled) -> np.ndarray:
    """The rows that are not data from elsewhere."""
    return np.arange(len(train.ids)) if train.only_train is None else np.flatnonzero(~train.only_train)


def hash_of(train: Labelled, folds: np.ndarray) -> str:
    """16 hex digits over which photo is in which fold; data from elsewhere does not change them."""
    listing = "\n".join(sorted(f"{train.ids[row]}\t{folds[row]}" for row in own_rows(train)))
    return hashlib.sha256(listing.encode()).hexdigest()[:16]


def assign(groups: Sequence[str], strata: Sequence[tuple[str, ...]], parts: int, seed: int) -> np.ndarray:
    """The part (N,) of each row: groups whole, each stratum spread evenly; a row may have several strata.

    Iterative stratification (Sechidis et al. 2011) over groups: the one with the rarest stratum first,
    each to the part that lacks most of that stratum, then most photos.
    """
    assert not isinstance(strata[0], str), "each row has a tuple of strata"
    number, size = {group: Counter() for group in groups}, Counter(groups)
    for group, own in zip(groups, strata, strict=True):
        number[group].update(own)
    if len(number) < parts:
        raise ValueError(f"{len(number)} groups (people) cannot make {parts} parts; choose a val_ratio with fewer")
    total = Counter(stratum for own in strata for stratum in own)
    rarest = {group: min(counts, key=lambda s: (total[s], s)) for group, counts in number.items()}
    order = sorted(number, key=lambda g: (total[rarest[g]], rarest[g], -size[g], draw(seed, g)))
    lacks = [{s: total[s] / parts for s in total} for _ in range(parts)]
    room = [len(groups) / parts] * parts
    part_of = {}
    for group in order:
        best = max(range(parts), key=lambda k: (lacks[k][rarest[group]], room[k], draw(seed, f"{group}/{k}")))
        part_of[group] = best
        room[best] -= size[group]
        for stratum, n in number[group].items():
            lacks[best][stratum] -= n
    return np.array([part_of[group] for group in groups])


def draw(seed: int, key: str) -> float:
    """A number in [0, 1) that depends on `seed` and `key` alone."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{key}".encode()).digest()[:6], "big") / 2**48


def main(argv: list[str]) -> None:
    """Writes id,fold of the photos that the knobs name."""
    from dataset import read
    from sources import load

    if "-o" not in argv[:-1]:
        sys.exit("usage: python baseline/folds.py --data_dir DIR [--folds N] [--test_val true] … -o FILE")
    place = argv.index("-o")
    try:
        config, _ = load(argv[:place] + argv[place + 2 :], {}, {})
        data = read(config.data_dir, config.dataset, config.values())
        folds = divide(config, data).folds
        words = {number: word for word, number in WORDS.items()}
        path = Path(argv[place + 1]).expanduser()
        write_csv(path, {"id": data.train.ids, "fold": [words.get(number, number) for number in folds]})
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    for number, count in sorted(Counter(folds).items()):
        print(f"{words.get(number, f'fold {number}')}: {count} photos")


if __name__ == "__main__":
    main(sys.argv[1:])
