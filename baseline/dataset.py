"""Readers: a data root -> what is predicted, the labelled photos, and the test photos.

A reader is `f(root, …knobs) -> Data`. To add one, decorate it with `@DATASETS.register("name")` and
give MARKERS a file by which its layout is recognised.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from predictions import read_text
from registry import Registry
from task import Head, Task, one_hot

DATASETS = Registry("dataset")
MARKERS = {"train/train.csv": "MaskSplitByProfileDataset"}

MASKS, GENDERS = ("mask", "incorrect", "normal"), ("male", "female")
MASK_OF_STEM = {f"mask{i}": 0 for i in range(1, 6)} | {"incorrect_mask": 1, "normal": 2}
OLDEST_AGE = 120  # above it an age is a typing error


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
    people = read_people(root / "train" / "train.csv")
    photos = [
        (person, path, MASK_OF_STEM[path.stem])
        for person in people.itertuples()
        for path in person_photos(root / "train" / "images" / person.path)
    ]
    labels = np.array(
        [(mask, GENDERS.index(person.gender), age_class(person.age, age_boundaries)) for person, _, mask in photos]
    )
    head, numbers = choose_head(classification, labels, age_boundaries)
    train = Labelled(
        ids=tuple(path.relative_to(root).as_posix() for _, path, _ in photos),
        paths=tuple(path for _, path, _ in photos),
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


def read_table(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    """A CSV as text, with `columns`, every one of them filled in."""
    table = read_text(path)
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise ValueError(f"{path} lacks the column {', '.join(missing)}; it has {', '.join(table.columns)}")
    table.index += 2  # line numbers, as an editor shows them
    blank = table[[*columns]].apply(lambda column: column.str.strip() == "")
    if blank.any(axis=None):
        line, column = next((row.Index, name) for row in blank.itertuples() for name in columns if getattr(row, name))
        raise ValueError(
            f"{path} line {line}: {column} is empty ({int(blank.any(axis=1).sum())} such lines); fill it in"
        )
    return table


def read_people(path: Path) -> pd.DataFrame:
    """train.csv with `age` as int and `gender` in lower case; every person's folder holds at least one photo."""
    table = read_table(path, ("id", "gender", "age", "path"))
    table["gender"] = table["gender"].str.strip().str.lower()
    problems = []
    for person in table.itertuples():
        where = f"{path} line {person.Index} (id {person.id})"
        if person.gender not in GENDERS:
            problems.append(f"{where}: gender {person.gender!r} is neither male nor female")
        if not re.fullmatch(r"\d+(\.0*)?", person.age.strip()) or float(person.age) > OLDEST_AGE:
            problems.append(f"{where}: age {person.age!r} is not a number of years up to {OLDEST_AGE}")
        folder = path.parent / "images" / person.path
        if not folder.is_dir():
            problems.append(f"{where}: there is no folder {folder}")
        elif not person_photos(folder):
            problems.append(f"{where}: {folder} holds no photo named {', '.join(MASK_OF_STEM)}")
    for folder, rows in table.groupby("path"):
        if len(rows) > 1:
            problems.append(f"{path} lines {list(rows.index)}: the same folder {folder}")
    if problems:
        more = f"\n… and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise ValueError("correct these rows or remove them:\n" + "\n".join(problems[:5]) + more)
    table["age"] = table["age"].astype(float).astype(int)
    tell_odd_folders(path.parent / "images", set(table["path"]))
    return table


def tell_odd_folders(images: Path, listed: set[str]) -> None:
    """Prints what is left out, and which people lack a photo, so that nothing goes missing unseen."""
    folders = sorted(p for p in images.iterdir() if p.is_dir() and p.name[0] != ".")
    people = [folder for folder in folders if folder.name in listed]
    strays = [p for folder in people for p in folder.iterdir() if p.name[0] != "." and p.stem not in MASK_OF_STEM]
    lacking = [folder for folder in people if {p.stem for p in person_photos(folder)} != set(MASK_OF_STEM)]
    for odd, what in (
        ([p for p in folders if p.name not in listed], f"folders in {images} are not in train.csv and are left out"),
        (strays, f"files are left out, because their names are none of {', '.join(MASK_OF_STEM)}"),
        (lacking, f"people lack some of their {len(MASK_OF_STEM)} photos"),
    ):
        if odd:
            shown = ", ".join(p.relative_to(images).as_posix() for p in odd[:3])
            print(f"note: {len(odd)} {what}: {shown}{' …' if len(odd) > 3 else ''}", flush=True)


def person_photos(folder: Path) -> list[Path]:
    """Photos in order of name; names that start with '.' and unknown stems are no photos of the competition."""
    return sorted(p for p in folder.iterdir() if p.name[0] != "." and p.stem in MASK_OF_STEM)


def read_test(root: Path) -> Test | None:
    """The rows of eval/info.csv, in its order; None where there is no eval part."""
    if not (root / "eval").is_dir():
        return None
    table = read_table(root / "eval" / "info.csv", ("ImageID",))
    ids, images = tuple(table["ImageID"]), root / "eval" / "images"
    if len(set(ids)) < len(ids):
        raise ValueError(
            f"{root / 'eval/info.csv'} names {table['ImageID'][table['ImageID'].duplicated()].iloc[0]} twice"
        )
    if not images.is_dir():
        raise ValueError(f"{images} is missing, though eval/info.csv lists {len(ids)} photos")
    return Test(ids, tuple(images / name for name in ids), "ImageID", "ans")
