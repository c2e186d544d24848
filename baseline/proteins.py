"""The protein atlas: samples of several channels, a grey photo each, and several labels at once.

train.csv is Id,Target[,group], the labels of a sample being numbers joined with blanks; sample_submission.csv
(Id,Predicted) lists the samples to predict. The photos are {Id}_{red,green,blue,yellow}.png in raw/train and raw/test,
or in train and test; or, where these are not there, {Id}.png in rgby/train and rgby/test, the four of them stacked.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bands import Photo
from listing import refuse
from predictions import columns_of
from samples import DATASETS, Data, Field, Labelled, Test, read_table
from task import Head, Task

COLOURS = {"r": "red", "g": "green", "b": "blue", "y": "yellow"}
ENDINGS = {".png", ".jpg", ".jpeg", ".tif", ".tiff"}
MEAN = {"r": 0.485, "g": 0.456, "b": 0.406, "y": 0.485}  # ImageNet's, whose red stands in for yellow
STD = {"r": 0.229, "g": 0.224, "b": 0.225, "y": 0.229}
MOST_CLASSES = 1000  # a larger number in Target is taken to be a typing error, unless --classes says otherwise
EXTERNAL = "external/"  # before the ids of the samples of --external, which train.csv may have too


@dataclass(frozen=True)
class Sample:
    id: str
    labels: tuple[int, ...]  # ascending
    group: str
    photo: Photo


@DATASETS.register("proteins")
def proteins(root: Path, channels: str, classes: int, external: str) -> Data:
    """The labelled samples of `root`, then those of the folder `external`, which never validate."""
    check_channels(channels)
    table = root / "train.csv"
    own = read_samples(root, channels, classes)
    count = classes or max(sample.labels[-1] for sample in own) + 1
    if (known := len({label for sample in own for label in sample.labels})) < 2:
        raise ValueError(f"{table} has samples of {known} class; 2 are needed")
    if count < 2:
        raise ValueError(f"--classes {count} leaves nothing to tell apart; 2 are needed, or 0 for those of {table}")
    added = read_external(Path(external).expanduser(), own, channels, count) if external else []
    samples = [*own, *added]
    names = tuple(map(str, range(count)))
    labels = tuple(" ".join(map(str, sample.labels)) for sample in samples)

    def encode(values: Mapping[str, Sequence[str]]) -> np.ndarray:
        target = np.zeros((len(values["label"]), count), np.float32)
        for row, said in enumerate(values["label"]):
            target[row, [int(number) for number in said.split()]] = 1
        return target

    train = Labelled(
        ids=tuple(sample.id for sample in samples),
        paths=tuple(sample.photo for sample in samples),
        groups=tuple(sample.group for sample in samples),
        target=encode({"label": labels}),
        strata=tuple(tuple(map(str, sample.labels)) for sample in samples),
        only_train=np.arange(len(samples)) >= len(own) if external else None,
    )
    return Data(
        root,
        Task((Head("label", names, exclusive=False),)),
        train,
        read_test(root, channels, names),
        channels=len(channels),
        mean=tuple(MEAN[letter] for letter in channels),
        std=tuple(STD[letter] for letter in channels),
        fields=(Field("label", names, labels, exclusive=False),),
        encode=encode,
    )


def check_channels(channels: str) -> None:
    if len(channels) < 3 or len(set(channels)) < len(channels) or set(channels) - COLOURS.keys():
        raise ValueError(
            f"--channels {channels!r} is not three or four different letters of rgby; rgb leaves yellow out"
        )


def read_samples(root: Path, channels: str, classes: int) -> list[Sample]:
    """The rows of train.csv. Raises ValueError naming each faulty line and its Id."""
    table = root / "train.csv"
    rows = read_table(table, ("Id",))
    if "Target" not in columns_of(rows):
        raise ValueError(f"{table} lacks the column Target; it has {', '.join(columns_of(rows))}")
    ids = [cells["Id"].strip() for cells in rows.values()]
    photos = Shelf(root, "train", channels)
    faults = twice(table, ids)
    for (line, cells), sample in zip(rows.items(), ids, strict=True):
        where = f"{table} line {line} (Id {sample})"
        faults += [f"{where}: {fault}" for fault in (*faults_of_row(cells, classes), *photos.faults(sample))]
    refuse(faults)
    photos.tell_others(ids, table)
    return [
        Sample(
            sample,
            tuple(sorted({int(number) for number in cells["Target"].split()})),
            cells.get("group", sample).strip(),
            photos.of(sample),
        )
        for sample, cells in zip(ids, rows.values(), strict=True)
    ]


def twice(table: Path, ids: Sequence[str]) -> list[str]:
    return [f"{table} lists Id {sample} {count} times" for sample, count in Counter(ids).items() if count > 1]


def faults_of_row(cells: Mapping[str, str], classes: int) -> Iterator[str]:
    """`classes` is 0 where their number is not known yet."""
    numbers = cells["Target"].split()
    if not numbers:
        yield "Target is empty; write its class numbers, or remove the line"
    for number in numbers:
        if not (number.isascii() and number.isdigit()):
            yield f"Target {cells['Target']!r} has {number!r}, which is no class number; join numbers with blanks"
        elif int(number) >= (classes or MOST_CLASSES):
            yield f"Target {number} is out of range, 0 to {(classes or MOST_CLASSES) - 1}; --classes sets it"
    if "group" in cells and not cells["group"].strip():
        yield "group is empty; name it, or remove the column"


def read_external(folder: Path, own: Sequence[Sample], channels: str, classes: int) -> list[Sample]:
    """Samples from elsewhere; those of a group that has a sample of `own` belong to the group of that one.

    Raises ValueError where that would be two groups.
    """
    if not folder.is_dir():
        raise ValueError(f"--external {folder} is not a folder; it names one with a train.csv and photos of its own")
    groups = {sample.id: sample.group for sample in own}
    found = read_samples(folder, channels, classes)
    joined: dict[str, set[str]] = defaultdict(set)
    for sample in found:
        if sample.id in groups:
            joined[sample.group].add(groups[sample.id])
    if torn := sorted(group for group, ours in joined.items() if len(ours) > 1):
        first, second = sorted(joined[torn[0]])[:2]
        raise ValueError(
            f"--external {folder}: its group {torn[0]!r} says that groups {first!r} and {second!r} of the data belong "
            "together; give them one group in train.csv"
        )
    return [
        Sample(EXTERNAL + sample.id, sample.labels, min(joined.get(sample.group, {sample.group})), sample.photo)
        for sample in found
    ]


def read_test(root: Path, channels: str, answers: tuple[str, ...]) -> Test | None:
    """The samples of sample_submission.csv, in its order, or all of the test folder; None where there is neither."""
    table, photos = root / "sample_submission.csv", Shelf(root, "test", channels)
    if not table.is_file():
        ids = photos.ids()
        faults = [f"{photos.folder}: Id {sample}: {fault}" for sample in ids for fault in photos.faults(sample)]
    else:
        rows = read_table(table, ("Id",))
        ids = [cells["Id"].strip() for cells in rows.values()]
        if not photos.ids():
            raise ValueError(
                f"{table} lists {len(ids)} samples, but {photos.folder} and {photos.stacks} hold none; copy them there,"
                " or remove the list to train without them"
            )
        named = zip(rows, ids, strict=True)
        faults = [f"{table} line {n} (Id {sample}): {fault}" for n, sample in named for fault in photos.faults(sample)]
        faults += twice(table, ids)
        photos.tell_others(ids, table)
    refuse(faults)
    return Test(tuple(ids), tuple(map(photos.of, ids)), "Id", "Predicted", answers) if ids else None


class Shelf:
    """The photos of one part (train or test) of a data root."""

    def __init__(self, root: Path, part: str, channels: str) -> None:
        self.channels = channels
        self.folder = root / "raw" / part if (root / "raw" / part).is_dir() else root / part
        self.stacks = root / "rgby" / part
        self.files = grey_files(self.folder)
        self.stacked = stacked_files(self.stacks)

    def ids(self) -> list[str]:
        return sorted(self.files.keys() | self.stacked.keys())

    def has(self, sample: str) -> bool:
        return (sample in self.files or sample in self.stacked) and not any(self.faults(sample))

    def of(self, sample: str) -> Photo:
        """Of a sample without faults: its stacked photo where not all channels have a file of their own."""
        files = self.files.get(sample, {})
        whole = all(COLOURS[letter] in files for letter in self.channels)
        return tuple(files[COLOURS[letter]] for letter in self.channels) if whole else self.stacked[sample]

    def faults(self, sample: str) -> Iterator[str]:
        """Why the channels of `sample` cannot be had, if so."""
        files = self.files.get(sample, {})
        missing = [COLOURS[letter] for letter in self.channels if COLOURS[letter] not in files]
        if not missing:
            return
        if sample not in self.stacked:
            yield f"{self.folder} lacks {', '.join(f'{sample}_{colour}.png' for colour in missing)}" + (
                "; --channels rgb leaves yellow out" if missing == ["yellow"] else ""
            )
        elif self.channels not in ("rgby", "rgb"):  # decode() takes the bands of a file as they stand
            yield f"--channels {self.channels} needs a file for each channel; {self.stacks} serves rgby and rgb alone"

    def tell_others(self, ids: Sequence[str], table: Path) -> None:
        if others := sorted(set(self.ids()) - set(ids)):
            print(
                f"note: {len(others)} samples of {self.folder} are not in {table} and are left out: {others[0]} …",
                flush=True,
            )


def grey_files(folder: Path) -> dict[str, dict[str, Path]]:
    """The file of each colour of each sample in `folder`. Raises ValueError for two of the same colour."""
    found: dict[str, dict[str, Path]] = {}
    for stem, name in photos_in(folder):
        sample, _, colour = stem.rpartition("_")
        if colour in COLOURS.values():
            other = found.setdefault(sample, {}).setdefault(colour, folder / name)
            if other.name != name:
                raise ValueError(f"{folder} holds both {other.name} and {name}; keep one")
    return found


def stacked_files(folder: Path) -> dict[str, Path]:
    """The stacked photo of each sample in `folder`. Raises ValueError for two of the same sample."""
    found: dict[str, Path] = {}
    for stem, name in photos_in(folder):
        if found.setdefault(stem, folder / name).name != name:
            raise ValueError(f"{folder} holds both {found[stem].name} and {name}; keep one")
    return found


def photos_in(folder: Path) -> list[tuple[str, str]]:
    """(stem, name) of the photos in `folder`, in order; names that start with '.' are a system's."""
    split = [(*os.path.splitext(name), name) for name in sorted(os.listdir(folder) if folder.is_dir() else ())]
    return [(stem, name) for stem, ending, name in split if ending.lower() in ENDINGS and name[0] != "."]
