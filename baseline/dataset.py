"""The data root, how it is laid out, and what its reader makes of it."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import listing  # noqa: F401  fills DATASETS
import profiles  # noqa: F401
import proteins  # noqa: F401
from config import Config
from notes import apply_notes
from samples import DATASETS, Data

# what a layout is recognised by, from the data root; the folders of classes only where no file says otherwise
LAYOUTS = {
    "train/train.csv": "MaskSplitByProfileDataset",
    "manifest.csv": "manifest",
    "training_labels.csv": "named",
    "train.csv": "proteins",
    "train/*/*": "folders",
}
FOLDERS = "train/*/*"
HEADERS = {"train.csv": ("Id", "Target")}  # the columns that make such a file a mark: the faces' train/ holds one too


def read(data_dir: str, dataset: str, knobs: dict) -> Data:
    """The data root that `data_dir` names, with what curating it left. Raises ValueError saying what is wrong where.

    Knobs that `knobs` leaves out are at their defaults.
    """
    knobs = Config().values() | knobs
    root = locate(data_dir)
    name = layout_of(root) if dataset == "auto" else dataset
    if knobs["external"] and name != "proteins":
        raise ValueError(f"--external {knobs['external']} is for the layout proteins; {root} is read as {name}")
    data = replace(DATASETS.build(name, knobs | {"root": root}), layout=name)
    return apply_notes(data, knobs["notes_dir"], knobs["groups"], knobs["corrections"])


def locate(data_dir: str) -> Path:
    """The data root that --data_dir names. Raises ValueError if there is none."""
    if not data_dir:
        raise ValueError("no data root: pass --data_dir DIR or set SM_CHANNEL_TRAIN")
    return find_root(Path(data_dir).expanduser())


def find_root(given: Path) -> Path:
    """The data root of `given`, which may be the root itself, its train folder or train/images."""
    if not given.is_dir():
        raise ValueError(
            f"data root {given} is not a folder; --data_dir names the folder that holds the photos' labels"
        )
    given = given.resolve()
    for root in (given, given.parent, given.parent.parent):
        if any(is_marked(root, marker) for marker in LAYOUTS):
            return root
    for root in (given, given.parent):
        if has_folders(root):
            return root
    raise ValueError(f"data root {given} has {NOTHING}")


def layout_of(root: Path) -> str:
    """The name of the layout that `root` has. Raises ValueError where more than one fits, or none."""
    found = {marker: name for marker, name in LAYOUTS.items() if is_marked(root, marker)}
    if len(found) > 1:
        names = ", ".join(f"{marker} (--dataset {name})" for marker, name in found.items())
        raise ValueError(f"data root {root} has more than one layout: {names}; choose one with --dataset")
    if not found and not has_folders(root):
        raise ValueError(f"data root {root} has {NOTHING}")
    return next(iter(found.values()), LAYOUTS[FOLDERS])


def is_marked(root: Path, marker: str) -> bool:
    """Whether `root` has the file `marker`, with its columns where HEADERS knows them."""
    if not (root / marker).is_file():
        return False
    if marker not in HEADERS:
        return True
    with open(root / marker, encoding="utf-8-sig", errors="replace") as file:
        return set(HEADERS[marker]) <= set(next(csv.reader(file), []))


def has_folders(root: Path) -> bool:
    return any(path.is_file() for path in root.glob(FOLDERS))


MARKS = [marker + (f" ({','.join(HEADERS[marker])})" if marker in HEADERS else "") for marker in LAYOUTS]
NOTHING = f"none of {', '.join(MARKS)}; --data_dir names the folder that holds one of them"
