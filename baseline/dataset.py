"""Readers: a data root -> what is predicted, the labelled photos, and the test photos.

A reader is `f(root, …knobs) -> Data`. To add one, decorate it with `@DATASETS.register("name")` and
give MARKERS a file by which its layout is recognised.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Set
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from predictions import columns_of, read_rows
from registry import Registry
from task import Head, Task, one_hot

DATASETS = Registry("dataset")
MARKERS = {"train/train.csv": "MaskSplitByProfileDataset"}

MASKS, GENDERS = ("mask", "incorrect", "normal"), ("male", "female")
MASK_OF_STEM = {f"mask{i}": 0 for i in range(1, 6)} | {"incorrect_mask": 1, "normal": 2}
OLDEST_AGE = 120  # above it an age is a typing error


@dataclass(frozen=True)
class Person:
    id: str
    gender: str
    age: int
    path: str  # the name of the folder in train/images
    photos: tuple[str, ...]  # names of files in it


@dataclass(frozen=True)
class Labelled:
    """N photos. `target` (N, K) is in [0, 1]; `strata` (N,) is what folds balance, the same whatever is predicted."""

    ids: tuple[str, ...]  # path relative to the data root
    paths: tuple[Path, ...]
    groups: tuple[str, ...]  # the person
    target: np.ndarray
    strata: tuple[str, ...]


@dataclass(frozen=True)
class Test:
    """The photos to predict, in the competition's order, and the names of its two columns."""

    ids: tuple[str, ...]
    paths: tuple[Path, ...]
    id_column: str
    answer_column: str


@dataclass(frozen=True)
class Data:
    root: Path
    task: Task
    train: Labelled
    test: Test | None

    def fingerprint(self) -> str:
        """16 hex digits over ids, file sizes, people and labels; the same on every machine that holds the same data."""
        digest = hashlib.sha256()
        train = self.train
        for photo, path, group, row in zip(train.ids, train.paths, train.groups, train.target, strict=True):
            size = path.stat().st_size if path.is_file() else 0
            digest.update(f"{photo}\t{size}\t{group}\t{row.argmax()}\n".encode())
        for photo in self.test.ids if self.test else ():
            digest.update(f"{photo}\n".encode())
        return digest.hexdigest()[:16]


def read(data_dir: str, dataset: str, knobs: dict) -> Data:
    """Reads the data root that `data_dir` names. Raises ValueError saying what is wrong where."""
    root = locate(data_dir)
    if dataset == "auto":
        dataset = next(name for marker, name in MARKERS.items() if (root / marker).is_file())
    return DATASETS.build(dataset, knobs | {"root": root})


def locate(data_dir: str) -> Path:
    """The data root that --data_dir names. Raises ValueError if there is none."""
    if not data_dir:
        raise ValueError("no data root: pass --data_dir DIR or set SM_CHANNEL_TRAIN")
    return find_root(Path(data_dir).expanduser())


def find_root(given: Path) -> Path:
    """The data root of `given`, which may be the root itself, its train folder or train/images."""
    if not given.is_dir():
        raise ValueError(f"data root {given} is not a folder; --data_dir names the folder that holds train/ and eval/")
    given = given.resolve()
    for root in (given, given.parent, given.parent.parent):
        if any((root / marker).is_file() for marker in MARKERS):
            return root
    raise ValueError(f"data root {given} has no {' or '.join(MARKERS)}; --data_dir names the folder that holds it")


@DATASETS.register("MaskSplitByProfileDataset")
@DATASETS.register("MaskBaseDataset")
def mask_profiles(root: Path, classification: str, age_boundaries: tuple[int, int]) -> Data:
    """People x 7 photos, labelled by mask (the file's stem), gender and age (train.csv).

    Both of its names split by person: a split by photo shows each person on both sides.
    """
    people = read_people(root / "train")
    photos = [(person, name, MASK_OF_STEM[stem(name)]) for person in people for name in person.photos]
    ids = tuple(f"train/images/{person.path}/{name}" for person, name, _ in photos)
    labels = np.array(
        [(mask, GENDERS.index(person.gender), age_class(person.age, age_boundaries)) for person, _, mask in photos]
    )
    head, numbers = choose_head(classification, labels, age_boundaries)
    train = Labelled(
        ids=ids,
        paths=tuple(root / photo for photo in ids),
        groups=tuple(person.id for person, _, _ in photos),
        target=one_hot(numbers, len(head.classes)),
        # the boundaries are fixed here, so that trials that search over them still share their folds
        strata=tuple(f"{mask}/{person.gender}/{age_class(person.age, (30, 60))}" for person, _, mask in photos),
    )
    return Data(root, Task((head,)), train, read_test(root))


def choose_head(classification: str, labels: np.ndarray, boundaries: tuple[int, int]) -> tuple[Head, np.ndarray]:
    """The head, and the class numbers (N,), of `labels` (N, 3) as mask, gender and age."""
    ages = (f"<{boundaries[0]}", f"{boundaries[0]}-{boundaries[1] - 1}", f">={boundaries[1]}")
    mask, gender, age = labels.T
    if classification == "multi":
        names = tuple(f"{m} {g} {a}" for m in MASKS for g in GENDERS for a in ages)
        return Head("multi", names), mask * 6 + gender * 3 + age
    names, numbers = {"mask": (MASKS, mask), "gender": (GENDERS, gender), "age": (ages, age)}[classification]
    return Head(classification, names), numbers


def age_class(age: int, boundaries: tuple[int, int]) -> int:
    return sum(age >= boundary for boundary in boundaries)


def read_table(path: Path, columns: tuple[str, ...]) -> dict[int, dict[str, str]]:
    """The rows of a CSV by line, as read_rows() has them, with `columns`, every one of them filled in."""
    rows = read_rows(path)
    if missing := [name for name in columns if name not in columns_of(rows)]:
        raise ValueError(f"{path} lacks the column {', '.join(missing)}; it has {', '.join(columns_of(rows))}")
    if blank := [(line, name) for line, cells in rows.items() for name in columns if not cells[name].strip()]:
        line, column = blank[0]
        raise ValueError(f"{path} line {line}: {column} is empty ({len(dict(blank))} such lines); fill it in")
    return rows


def read_people(train: Path) -> list[Person]:
    """The rows of train.csv, gender in lower case; every person's folder in images/ holds at least one photo."""
    table, images = train / "train.csv", train / "images"
    rows = read_table(table, ("id", "gender", "age", "path"))
    if not images.is_dir():
        raise ValueError(f"{images} is missing, though {table} lists {len(rows)} people")
    names = list_folders(images)
    photos = {path: tuple(name for name in those if stem(name) in MASK_OF_STEM) for path, those in names.items()}
    problems, lines = [], defaultdict(list)
    for line, cells in rows.items():
        problems += [f"{table} line {line} (id {cells['id']}): {fault}" for fault in faults(cells, images, photos)]
        lines[cells["path"]].append(line)
    problems += [f"{table} lines {those}: the same folder {path}" for path, those in lines.items() if len(those) > 1]
    if problems:
        more = f"\n… and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise ValueError("correct these rows or remove them:\n" + "\n".join(problems[:5]) + more)
    tell_odd_folders(images, names, lines.keys())
    return [
        Person(row["id"], row["gender"].strip().lower(), int(float(row["age"])), row["path"], photos[row["path"]])
        for row in rows.values()
    ]


def list_folders(images: Path) -> dict[str, list[str]]:
    """The names in each folder of `images`, all in order. Those that start with '.' are a system's, not people's."""
    folders = sorted(folder for folder in images.iterdir() if folder.name[0] != "." and folder.is_dir())
    return {folder.name: sorted(name for name in os.listdir(folder) if name[0] != ".") for folder in folders}


def stem(name: str) -> str:
    return os.path.splitext(name)[0]


def faults(row: dict[str, str], images: Path, photos: dict[str, tuple[str, ...]]) -> Iterator[str]:
    """What is wrong with a row of train.csv; `photos` are the names of those in each folder of `images`."""
    if row["gender"].strip().lower() not in GENDERS:
        yield f"gender {row['gender']!r} is neither male nor female"
    if not re.fullmatch(r"\d+(\.0*)?", row["age"].strip()) or float(row["age"]) > OLDEST_AGE:
        yield f"age {row['age']!r} is not a number of years up to {OLDEST_AGE}"
    if row["path"] not in photos:
        yield f"there is no folder {images / row['path']}"
    elif not photos[row["path"]]:
        yield f"{images / row['path']} holds no photo named {', '.join(MASK_OF_STEM)}"


def tell_odd_folders(images: Path, names: dict[str, list[str]], listed: Set[str]) -> None:
    """Prints what is left out, and which people lack a photo, so that nothing goes missing unseen."""
    people = {path: those for path, those in names.items() if path in listed}
    others = [path for path in names if path not in listed]
    strays = [f"{path}/{name}" for path, those in people.items() for name in those if stem(name) not in MASK_OF_STEM]
    lacking = [path for path, those in people.items() if MASK_OF_STEM.keys() - map(stem, those)]
    for odd, what in (
        (others, f"folders in {images} are not in train.csv and are left out"),
        (strays, f"files are left out, because their names are none of {', '.join(MASK_OF_STEM)}"),
        (lacking, f"people lack some of their {len(MASK_OF_STEM)} photos"),
    ):
        if odd:
            print(f"note: {len(odd)} {what}: {', '.join(odd[:3])}{' …' if len(odd) > 3 else ''}", flush=True)


def read_test(root: Path) -> Test | None:
    """The rows of eval/info.csv, in its order; None where there is no eval part."""
    if not (root / "eval").is_dir():
        return None
    info, images = root / "eval" / "info.csv", root / "eval" / "images"
    ids = tuple(cells["ImageID"] for cells in read_table(info, ("ImageID",)).values())
    if twice := [photo for photo, count in Counter(ids).items() if count > 1]:
        raise ValueError(f"{info} names {twice[0]} twice")
    if not images.is_dir():
        raise ValueError(f"{images} is missing, though eval/info.csv lists {len(ids)} photos")
    return Test(ids, tuple(images / name for name in ids), "ImageID", "ans")
