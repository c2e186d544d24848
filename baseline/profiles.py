"""The faces competition: people x 7 photos, labelled by mask, gender and age."""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from samples import DATASETS, Data, Field, Labelled, Test, read_table
from task import Head, Task, one_hot

MASKS, GENDERS = ("mask", "incorrect", "normal"), ("male", "female")
MASK_OF_STEM = {f"mask{i}": 0 for i in range(1, 6)} | {"incorrect_mask": 1, "normal": 2}
CROP, MEAN, STD = 350, (0.548, 0.504, 0.479), (0.237, 0.247, 0.246)  # of 384 x 512 photos, the competition's own
OLDEST_AGE = 120  # above it an age is a typing error
BOUNDARIES = (30, 60)  # the competition's
AGES, AGE_RANGES = ("<30", "30-59", ">=60"), ((0, 29), (30, 59), (60, OLDEST_AGE))


@dataclass(frozen=True)
class Person:
    id: str
    gender: str
    age: int
    path: str  # the name of the folder in train/images
    photos: tuple[str, ...]  # names of files in it


@DATASETS.register("MaskSplitByProfileDataset")
@DATASETS.register("MaskBaseDataset")
def mask_profiles(root: Path, classification: str, age_boundaries: tuple[int, int]) -> Data:
    """People x 7 photos, labelled by mask (the file's stem), gender and age (train.csv).

    Both of its names split by person: a split by photo shows each person on both sides.
    """
    people = read_people(root / "train")
    photos = [(person, name, MASK_OF_STEM[stem(name)]) for person in people for name in person.photos]
    ids = tuple(f"train/images/{person.path}/{name}" for person, name, _ in photos)
    task = choose_heads(classification, age_boundaries)
    fields = (
        Field("mask", MASKS, tuple(MASKS[mask] for _, _, mask in photos), swaps=("incorrect", "normal")),
        Field("gender", GENDERS, tuple(person.gender for person, _, _ in photos), of_group=True, swaps=GENDERS),
        Field("age", AGES, tuple(str(person.age) for person, _, _ in photos), of_group=True, ranges=AGE_RANGES),
    )

    def encode(values: Mapping[str, Sequence[str]]) -> np.ndarray:
        return target_of(task, values, age_boundaries)

    train = Labelled(
        ids=ids,
        paths=tuple(root / photo for photo in ids),
        groups=tuple(person.id for person, _, _ in photos),
        target=encode({field.name: field.values for field in fields}),
        # the boundaries are fixed here, so that trials that search over them still share their folds
        strata=tuple((f"{mask}/{person.gender}/{age_class(person.age, BOUNDARIES)}",) for person, _, mask in photos),
    )
    test = read_test(root, len(task.classes))
    return Data(root, task, train, test, crop=CROP, mean=MEAN, std=STD, fields=fields, encode=encode)


def choose_heads(classification: str, boundaries: tuple[int, int]) -> Task:
    ages = (f"<{boundaries[0]}", f"{boundaries[0]}-{boundaries[1] - 1}", f">={boundaries[1]}")
    heads = Head("mask", MASKS), Head("gender", GENDERS), Head("age", ages)
    if classification == "multi":
        return Task((Head("multi", Task(heads).classes),))
    return Task(tuple(head for head in heads if classification in ("heads", head.name)))


def target_of(task: Task, values: Mapping[str, Sequence[str]], boundaries: tuple[int, int]) -> np.ndarray:
    """(N, K) from masks, genders and ages in years."""
    numbers = {
        "mask": np.array([MASKS.index(mask) for mask in values["mask"]]),
        "gender": np.array([GENDERS.index(gender) for gender in values["gender"]]),
        "age": np.array([age_class(int(age), boundaries) for age in values["age"]]),
    }
    numbers["multi"] = numbers["mask"] * 6 + numbers["gender"] * 3 + numbers["age"]
    return np.concatenate([one_hot(numbers[head.name], len(head.classes)) for head in task.heads], axis=1)


def age_class(age: int, boundaries: tuple[int, int]) -> int:
    return sum(age >= boundary for boundary in boundaries)


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


def read_test(root: Path, classes: int) -> Test | None:
    """The rows of eval/info.csv, in its order; None where there is no eval part."""
    if not (root / "eval").is_dir():
        return None
    info, images = root / "eval" / "info.csv", root / "eval" / "images"
    ids = tuple(cells["ImageID"] for cells in read_table(info, ("ImageID",)).values())
    if twice := [photo for photo, count in Counter(ids).items() if count > 1]:
        raise ValueError(f"{info} names {twice[0]} twice")
    if not images.is_dir():
        raise ValueError(f"{images} is missing, though eval/info.csv lists {len(ids)} photos")
    return Test(ids, tuple(images / name for name in ids), "ImageID", "ans", tuple(map(str, range(classes))))
