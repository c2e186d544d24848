"""What readers make of a data root: what is predicted, the labelled photos, and the test photos.

A reader is `f(root, …knobs) -> Data`. To add one, decorate it with `@DATASETS.register("name")` and give dataset.py's
LAYOUTS what it is recognised by.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from config import Config
from predictions import columns_of, read_rows
from registry import Registry
from task import Task

DATASETS = Registry("dataset")
Photo = Path | tuple[Path, ...]  # one file, or a grey one for each channel


@dataclass(frozen=True)
class Field:
    """What somebody said of each photo under one name: `label`, or of faces mask, gender and age."""

    name: str
    classes: tuple[str, ...]  # what it can be, as people read it
    values: tuple[str, ...]  # (N,) as they came: a class, of several labels their names joined by blanks, or a number
    exclusive: bool = True  # one class each; else several may hold at once
    of_group: bool = False  # the same for all photos of a person
    swaps: tuple[str, ...] = ()  # the two classes that people exchange by mistake
    ranges: tuple[tuple[int, int], ...] = ()  # where values are numbers: the lowest and highest of each class

    def class_of(self, value: str) -> str:
        """The class of a value; of several labels these, in the order of the classes."""
        if self.ranges:
            number = int(value)
            return next(name for name, (_, high) in zip(self.classes, self.ranges, strict=True) if number <= high)
        return " ".join(name for name in self.classes if name in value.split()) if not self.exclusive else value


@dataclass(frozen=True)
class Labelled:
    """N photos. `target` (N, K) is in [0, 1]; `strata` (N) are what folds balance, the same whatever is predicted."""

    ids: tuple[str, ...]  # path relative to the data root
    paths: tuple[Photo, ...]
    groups: tuple[str, ...]  # the person; the photo itself where nothing says which belong together
    target: np.ndarray
    strata: tuple[tuple[str, ...], ...]  # one, or each label that holds
    only_train: np.ndarray | None = None  # (N,) bool, those that never validate: data from elsewhere
    given: np.ndarray | None = None  # (N, K) `target` as it came, where corrections changed it


@dataclass(frozen=True)
class Test:
    """The photos to predict, in the competition's order, and how it names its two columns and the classes."""

    ids: tuple[str, ...]
    paths: tuple[Photo, ...]
    id_column: str
    answer_column: str
    answers: tuple[str, ...]  # (C,)


@dataclass(frozen=True)
class Data:
    root: Path
    task: Task
    train: Labelled
    test: Test | None
    validation: np.ndarray | None = None  # rows of `train` that validate, where the data itself says so
    channels: int = 3
    # what suits these photos where --crop, --mean and --std do not say otherwise: all of the photo, and ImageNet's
    crop: int = 0
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    fields: tuple[Field, ...] = ()  # what the labels were made of, and how: the values (N,) by field to `target`
    encode: Callable[[Mapping[str, Sequence[str]]], np.ndarray] | None = None
    layout: str = ""  # the name of its reader
    notes: dict[str, Any] = field(default_factory=dict)  # what groups.csv and corrections.csv did, by file

    @property
    def truth(self) -> np.ndarray:
        """(N, C), the labelled photos' classes that hold, in [0, 1]."""
        return self.task.combine(self.train.target)

    @property
    def given(self) -> np.ndarray:
        """(N, C), `truth` as it was before corrections."""
        return self.truth if self.train.given is None else self.task.combine(self.train.given)

    def fingerprint(self) -> str:
        """16 hex digits over ids, file sizes, people and labels; the same on every machine that holds the same data."""
        digest = hashlib.sha256()
        train = self.train
        for photo, path, group, row in zip(train.ids, train.paths, train.groups, train.target, strict=True):
            files = path if isinstance(path, tuple) else (path,)
            size = sum(file.stat().st_size for file in files if file.is_file())
            digest.update(f"{photo}\t{size}\t{group}\t{' '.join(map(str, row.nonzero()[0]))}\n".encode())
        for photo in self.test.ids if self.test else ():
            digest.update(f"{photo}\n".encode())
        return digest.hexdigest()[:16]


def fitted(config: Config, data: Data) -> Config:
    """`config` with the crop, mean and std that suit the data where it leaves them open. Raises ValueError."""
    mean, std = config.mean or data.mean, config.std or data.std
    for name, values in (("mean", mean), ("std", std)):
        if len(values) != data.channels:
            raise ValueError(
                f"--{name} has {len(values)} numbers, but photos of {data.root} have {data.channels} channels"
            )
    return replace(config, crop=data.crop if config.crop < 0 else config.crop, mean=mean, std=std)


def read_table(path: Path, columns: tuple[str, ...]) -> dict[int, dict[str, str]]:
    """The rows of a CSV by line, as read_rows() has them, with `columns`, every one of them filled in."""
    rows = read_rows(path)
    if missing := [name for name in columns if name not in columns_of(rows)]:
        raise ValueError(f"{path} lacks the column {', '.join(missing)}; it has {', '.join(columns_of(rows))}")
    if blank := [(line, name) for line, cells in rows.items() for name in columns if not cells[name].strip()]:
        line, column = blank[0]
        raise ValueError(f"{path} line {line}: {column} is empty ({len(dict(blank))} such lines); fill it in")
    return rows
