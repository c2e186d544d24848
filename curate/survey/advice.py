"""What a person should do about the data, or at least know, in sentences."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from config import Config
from folds import share_of
from samples import Data
from survey.census import Measures
from survey.oddities import ODDITIES
from survey.roster import Roster, group_sizes, who_is_split

STEEP = 10  # times as many photos of one class as of another, from which accuracy misleads
LARGE = 0.05  # share of all photos from which one person or group makes folds uneven
APART = 0.15  # Kolmogorov and Smirnov's distance of two brightnesses, of 1, from which photos look different
SHIFTED, TIMES = 0.1, 1.25  # difference of two shares of grey photos; ratio of two medians of size
SHOWN = 3  # photos that a finding names


@dataclass(frozen=True)
class Entry:
    """A photo, or a sample of several files."""

    id: str
    part: str  # train, val, external or test
    label: str  # empty of test photos
    group: str
    measures: Measures
    odd: tuple[str, ...]


@dataclass(frozen=True)
class Finding:
    text: str
    act: bool  # a person should do something, else it is good to know
    photos: tuple[str, ...] = ()  # ids, all of them

    def __str__(self) -> str:
        if not self.photos:
            return self.text
        more = f" … (stats.csv names all {len(self.photos)})" if len(self.photos) > SHOWN else ""
        return f"{self.text}: {', '.join(self.photos[:SHOWN])}{more}"


def find_all(data: Data, entries: Sequence[Entry], rosters: Sequence[Roster]) -> list[Finding]:
    """Those to act on first."""
    readable = [entry for entry in entries if not entry.measures.fault]
    ours, theirs = ([e.measures for e in readable if (e.part == "test") == test] for test in (False, True))
    found = [
        *of_photos(entries),
        *of_copies(entries),
        *of_classes(rosters[-1], share_of(Config()).denominator, who_is_split(data)),
        *of_groups(data),
        *of_shift(ours, theirs),
    ]
    return sorted(found, key=lambda finding: not finding.act)


def of_photos(entries: Sequence[Entry]) -> Iterator[Finding]:
    for word, odd in ODDITIES.items():
        if photos := [entry for entry in entries if word in entry.odd]:
            parts = Counter(entry.part for entry in photos)
            everything = len(photos) == len(entries)
            counted = f"all {len(photos)}" if everything else f"{len(photos)} of {len(entries)}"
            where = ", ".join(f"{number} {part}" for part, number in parts.items())
            ids = () if everything else tuple(entry.id for entry in photos)
            yield Finding(f"{counted} photos ({where}) {odd.text}", odd.act, ids)


def of_copies(entries: Sequence[Entry]) -> Iterator[Finding]:
    """Files that are the same to the byte: of one label, of different ones, on both sides of the test."""
    alike: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        if not entry.measures.fault:
            alike[entry.measures.digest].append(entry)
    sets = [same for same in alike.values() if len(same) > 1]
    ours = [[entry for entry in same if entry.part != "test"] for same in sets]
    duplicates = "python curate/duplicates.py finds these and others that differ by a few bytes"
    if sets:
        others = [entry for same in sets for entry in same[1:]]
        text = f"{count(others, 'photo is a copy of another', 'photos are copies of others')} to the byte"
        yield Finding(f"{text}; {duplicates}", False, ids_of(sets))
    if torn := [same for same in ours if len({entry.label for entry in same}) > 1]:
        yield Finding(
            f"{count(torn, 'photo is', 'photos are')} there several times with different labels: correct one",
            True,
            ids_of(torn),
        )
    if apart := [same for same in ours if len({entry.group for entry in same}) > 1]:
        text = f"{count(apart, 'photo is', 'photos are')} there in several groups, so on both sides of a split"
        yield Finding(f"{text}; {duplicates}, and writes groups.csv", True, ids_of(apart))
    if leaks := [same for same, own in zip(sets, ours, strict=True) if 0 < len(own) < len(same)]:
        yield Finding(
            f"{count(leaks, 'labelled photo is', 'labelled photos are')} among the test photos too; {duplicates}",
            True,
            ids_of(leaks),
        )


def ids_of(sets: Sequence[Sequence[Entry]]) -> tuple[str, ...]:
    return tuple(" = ".join(entry.id for entry in same) for same in sets)


def of_classes(roster: Roster, folds: int, who: str) -> Iterator[Finding]:
    """`who` stays on one side of the split."""
    present = [one for one in roster.classes if one.photos]
    if few := [f"{one.name} ({one.people})" for one in present if one.people < folds]:
        text = (
            f"{count(few, 'class has', 'classes have')} fewer {who} than there are folds ({folds}): not all can judge"
        )
        yield Finding(f"{text}: {some(few)}", True)
    if absent := [one.name for one in roster.classes if not one.photos]:
        yield Finding(
            f"{count(absent, 'class has', 'classes have')} no photo, so that nothing is learnt of it: {some(absent)}",
            True,
        )
    most, least = (choose(present, key=lambda one: one.photos) for choose in (max, min))
    if most.photos >= STEEP * least.photos:
        yield Finding(
            f"{most.name} has {most.photos} photos and {least.name} {least.photos}, "
            f"{most.photos / least.photos:.0f} times as many: --metric macro_f1 sees the rare ones, "
            "--class_weights balanced may help them",
            False,
        )


def count(found: Sequence, one: str, many: str) -> str:
    return f"{len(found)} {one if len(found) == 1 else many}"


def some(names: Sequence[str]) -> str:
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")


def of_groups(data: Data) -> Iterator[Finding]:
    sizes = group_sizes(data)
    if who_is_split(data) == "photos" and "groups" not in data.notes:
        text = "nothing says which photos belong together, so near-duplicates may stand on both sides of a split"
        yield Finding(f"{text}: python curate/duplicates.py writes groups.csv", True)
        return
    (largest, size), usual = sizes.most_common(1)[0], float(np.median(list(sizes.values())))
    if size > LARGE * sizes.total() and size > STEEP * usual:
        share = f"{size / sizes.total():.0%} of all"
        text = f"group {largest} has {size} photos, {share}, where most have {usual:g}: folds are uneven"
        yield Finding(text, False)


def of_shift(ours: Sequence[Measures], theirs: Sequence[Measures]) -> Iterator[Finding]:
    """In what the test photos, `theirs`, are unlike the labelled ones."""
    if not ours or not theirs:
        return
    from scipy.stats import ks_2samp  # here, as it takes half a second to import

    light = [[photo.brightness for photo in part] for part in (ours, theirs)]
    means, apart = [float(np.mean(part)) for part in light], ks_2samp(*light)
    if apart.statistic > APART and apart.pvalue < 0.001:
        word = "brighter" if means[1] > means[0] else "darker"
        text = f"test photos are {word}, {means[1]:.2f} on the mean, than labelled ones, {means[0]:.2f}"
        yield Finding(f"{text}: --augmentation jitter or --normalisation photo makes models less sensitive", True)
    shares = [float(np.mean([photo.grey for photo in part])) for part in (ours, theirs)]
    if abs(shares[1] - shares[0]) > SHIFTED:
        yield Finding(f"{shares[1]:.0%} of the test photos are grey, of the labelled ones {shares[0]:.0%}", True)
    sides = [float(np.median([(photo.width * photo.height) ** 0.5 for photo in part])) for part in (ours, theirs)]
    if max(sides) > TIMES * min(sides):
        word = "larger" if sides[1] > sides[0] else "smaller"
        text = f"test photos are {word}, {sides[1]:.0f} pixels a side at the median, than labelled ones, {sides[0]:.0f}"
        yield Finding(f"{text}: see whether what they show is larger or smaller too (--crop)", True)
