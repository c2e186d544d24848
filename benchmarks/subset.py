"""A small data root of some people of another, so that every way of training sees the same photos.

Beside `root`, which the project reads, it holds the same photos as `train/CLASS/` and `validation/CLASS/`, divided by
the project's own folds: what torchvision's and timm's readers take.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd

HOME = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(HOME / "baseline")]  # before benchmarks/trial.py

import train
from config import Config
from dataset import read
from folds import Split
from samples import Labelled

STEMS = ("mask1", "mask4", "incorrect_mask", "normal")  # of each person: folds are made of people, so many are needed


def make_subset(data: Path, folder: Path, photos: int) -> None:
    """Writes `folder`: links to `photos` training photos, and to a quarter as many of other people that validate.

    Raises ValueError where `photos` is not a multiple of 16 or there are too few people.
    """
    source = data.resolve() / "train"
    people = pd.read_csv(source / "train.csv", dtype=str)
    wanted = photos // len(STEMS) * 5 // 4
    if photos <= 0 or photos % (4 * len(STEMS)) or wanted > len(people):
        most = len(people) * 4 // 5 * len(STEMS) // 16 * 16
        raise ValueError(f"--photos {photos}: pass a multiple of 16, of which {data} can give {most} at most")
    chosen = np.sort(np.random.default_rng(0).permutation(len(people))[:wanted])
    link_people(source, folder / "root" / "train", people.iloc[chosen])
    linked, folds = divide(folder / "root")
    for name, rows in (("train", folds.train), ("validation", folds.validation)):
        link_classes(folder / name, linked, rows)


def link_people(source: Path, target: Path, people: pd.DataFrame) -> None:
    for name in people["path"]:
        (target / "images" / name).mkdir(parents=True)
        for photo in (source / "images" / name).iterdir():
            if photo.stem in STEMS:
                (target / "images" / name / photo.name).symlink_to(photo)
    people.to_csv(target / "train.csv", index=False)


def link_classes(target: Path, photos: Labelled, rows: np.ndarray) -> None:
    for row in rows:
        folder = target / f"{photos.target[row].argmax():02d}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{row:06d}{photos.paths[row].suffix}").symlink_to(photos.paths[row].resolve())


def divide(root: Path) -> tuple[Labelled, Split]:
    """The photos of `root` and fold 0 of them, as a trial with default knobs has them."""
    knobs = Config()
    data = read(str(root), knobs.dataset, knobs.values())
    return data.train, train.divide(knobs, data)
