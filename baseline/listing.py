"""Photos with a label each: manifest.csv, class folders, or the cars competition's labels by name."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from predictions import columns_of
from samples import DATASETS, Data, Field, Labelled, Test, read_table
from task import Head, Task, one_hot

ENDINGS = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp"}
PARTS = {"": "train", "train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


@DATASETS.register("manifest")
def manifest(root: Path) -> Data:
    """manifest.csv: path,label[,group][,split], paths from the root; photos of one group stay on one side.

    split is train, val or test, and empty is train. Without it test.csv (path) names the test photos, if there are any.
    """
    table = root / "manifest.csv"
    rows = read_table(table, ("path",))
    parts = {line: PARTS.get(cells.get("split", "").strip().lower()) for line, cells in rows.items()}
    labelled = {line: cells for line, cells in rows.items() if parts[line] != "test"}
    refuse(faults_of_manifest(table, rows, parts))
    test, listed = [cells["path"] for line, cells in rows.items() if parts[line] == "test"], read_test_list(root)
    if test and listed:
        raise ValueError(f"{table} and {root / 'test.csv'} both name test photos; remove one of the lists")
    validates = np.array([parts[line] == "val" for line in labelled], dtype=bool)
    groups = [cells.get("group", cells["path"]).strip() for cells in labelled.values()]
    sides = [{group for group, own in zip(groups, validates, strict=True) if own == side} for side in (True, False)]
    if both := sides[0] & sides[1]:
        raise ValueError(f"{table}: group {min(both)!r} has photos in train and in val; put them into one")
    ids = [cells["path"] for cells in labelled.values()]
    labels = [cells["label"].strip() for cells in labelled.values()]
    paths = [root / photo for photo in ids]
    return assemble(
        root,
        ids,
        paths,
        labels,
        groups,
        (test or listed, [root / photo for photo in test or listed], "path"),
        validates,
    )


def faults_of_manifest(table: Path, rows: dict[int, dict[str, str]], parts: dict[int, str | None]) -> list[str]:
    if missing := {"label"} - set(columns_of(rows)):
        raise ValueError(f"{table} lacks the column {min(missing)}; it has {', '.join(columns_of(rows))}")
    faults = []
    for line, cells in rows.items():
        where, labelled = f"{table} line {line} ({cells['path']})", parts[line] != "test"
        if parts[line] is None:
            faults.append(f"{where}: split {cells['split']!r} is none of train, val and test")
        elif labelled and not cells["label"].strip():
            faults.append(f"{where}: label is empty")
        elif labelled and "group" in cells and not cells["group"].strip():
            faults.append(f"{where}: group is empty; name it, or remove the column")
        elif not (table.parent / cells["path"]).is_file():
            faults.append(f"{where}: there is no such file")
    counts = Counter(cells["path"] for cells in rows.values())
    return faults + [f"{table} lists {path} {count} times" for path, count in counts.items() if count > 1]


def read_test_list(root: Path) -> list[str]:
    """The paths of test.csv, in its order; none where there is no such file. Raises ValueError."""
    table = root / "test.csv"
    if not table.is_file():
        return []
    rows = read_table(table, ("path",))
    refuse(
        [f"{table} line {n}: there is no file {c['path']}" for n, c in rows.items() if not (root / c["path"]).is_file()]
    )
    counts = Counter(cells["path"] for cells in rows.values())
    refuse([f"{table} lists {path} {count} times" for path, count in counts.items() if count > 1])
    return list(counts)


@DATASETS.register("folders")
def class_folders(root: Path) -> Data:
    """train/CLASS/…/photo and test/…/photo, as torchvision's ImageFolder has them; val/CLASS validates, if there."""
    train, other = photos_in(root / "train"), photos_in(root / "val")
    loose = [photo for photo in [*train, *other] if len(photo.relative_to(root).parts) < 3]
    refuse([f"{photo} lies in no folder of a class; move it into one" for photo in loose])
    paths = [*train, *other]
    labels = [photo.relative_to(root).parts[1] for photo in paths]
    if strange := sorted(set(labels[len(train) :]) - set(labels[: len(train)])):
        raise ValueError(f"{root / 'val' / strange[0]} is a class that train/ has not; add it there or remove it")
    ids = [photo.relative_to(root).as_posix() for photo in paths]
    test = photos_in(root / "test")
    shown = ([photo.relative_to(root).as_posix() for photo in test], test, "path")
    return assemble(root, ids, paths, labels, ids, shown, np.arange(len(paths)) >= len(train))


@DATASETS.register("named")
def named(root: Path) -> Data:
    """training_labels.csv (id,label), training_data/…/ID.jpg and testing_data/…/ID.jpg; ids keep their zeros."""
    table = root / "training_labels.csv"
    rows = read_table(table, ("id", "label"))
    photos = by_stem(root / "training_data")
    ids = [cells["id"].strip() for cells in rows.values()]
    faults = [
        f"{table} line {n}: {root / 'training_data'} has no photo {c['id']}"
        for n, c in rows.items()
        if c["id"].strip() not in photos
    ]
    faults += [f"{table} lists {photo} {count} times" for photo, count in Counter(ids).items() if count > 1]
    refuse(faults)
    if left := sorted(photos.keys() - set(ids)):
        print(
            f"note: {len(left)} photos of training_data are not in {table.name} and are left out: {left[0]} …",
            flush=True,
        )
    test = by_stem(root / "testing_data")
    paths = [photos[photo] for photo in ids]
    names = [path.relative_to(root).as_posix() for path in paths]
    labels = [cells["label"].strip() for cells in rows.values()]
    shown = (list(test), list(test.values()), "id")
    return assemble(root, names, paths, labels, names, shown, np.zeros(len(ids), dtype=bool))


def by_stem(folder: Path) -> dict[str, Path]:
    """The photos in `folder` by their names without ending, in the order of these. Raises ValueError for one twice."""
    photos = photos_in(folder)
    counts = Counter(photo.stem for photo in photos)
    refuse([f"{folder} holds {count} photos named {name}; keep one" for name, count in counts.items() if count > 1])
    return {photo.stem: photo for photo in sorted(photos, key=lambda photo: photo.stem)}


def photos_in(folder: Path) -> list[Path]:
    """All photos in `folder` and below, in order; files and folders that start with '.' are a system's.

    A link to a folder that was walked through to get there leads to nothing new, and is not followed.
    """
    found, trails = [], {str(folder): {folder.resolve()}}  # of each folder the real ones on the way to it
    for where, folders, names in os.walk(folder, followlinks=True):
        trail = trails.pop(where, set())
        real = {name: (Path(where) / name).resolve() for name in folders if name[0] != "."}
        if loops := sorted(name for name, path in real.items() if path in trail):
            print(f"note: {Path(where) / loops[0]} leads back to a folder that it lies in; it is left out", flush=True)
        folders[:] = sorted(real.keys() - loops)
        trails |= {os.path.join(where, name): trail | {real[name]} for name in folders}
        found += [Path(where) / n for n in sorted(names) if n[0] != "." and os.path.splitext(n)[1].lower() in ENDINGS]
    return found


def assemble(
    root: Path,
    ids: Sequence[str],
    paths: Sequence[Path],
    labels: Sequence[str],
    groups: Sequence[str],
    test: tuple[Sequence[str], Sequence[Path], str],
    validates: np.ndarray,
) -> Data:
    """`test` is ids, paths and the id column's name; `validates` (N,) bool is all False where folds decide that."""
    classes = sorted(set(labels), key=in_order)
    if len(classes) < 2:
        raise ValueError(f"{root} has photos of {len(classes)} class{'' if len(classes) == 1 else 'es'}; 2 are needed")
    number = {name: place for place, name in enumerate(classes)}

    def encode(values: Mapping[str, Sequence[str]]) -> np.ndarray:
        return one_hot(np.array([number[name] for name in values["label"]]), len(classes))

    field = Field("label", tuple(classes), tuple(labels), swaps=tuple(classes) if len(classes) == 2 else ())
    shown = Test(tuple(test[0]), tuple(test[1]), test[2], "label", tuple(classes)) if test[0] else None
    strata = tuple((label,) for label in labels)
    train = Labelled(tuple(ids), tuple(paths), tuple(groups), encode({"label": labels}), strata)
    validation = np.flatnonzero(validates) if validates.any() else None
    task = Task((Head("label", tuple(classes)),))
    return Data(root, task, train, shown, validation, fields=(field,), encode=encode)


def in_order(name: str) -> tuple[bool, int, str]:
    """Numbers by their value, before names by their letters."""
    return (not name.isdigit(), int(name) if name.isdigit() else 0, name)


def refuse(faults: Sequence[str]) -> None:
    """Raises ValueError with the first few of `faults`, if there are any."""
    if faults:
        more = f"\n… and {len(faults) - 5} more" if len(faults) > 5 else ""
        raise ValueError("correct this:\n" + "\n".join(faults[:5]) + more)
