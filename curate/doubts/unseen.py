"""Out-of-fold predictions: what models say of labelled photos of people whom they have not seen in training.

A model agrees with a label that it was trained on, wrong or not; so predictions count here only where their run folder
says in which fold each photo validated.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from doubts.ancestry import check_weights, read_json
from folds import hash_of
from predictions import Validation, read_validation
from run import fold_folders
from samples import Labelled
from task import Head, Task

WHOLE = "multi"  # the head of a model that tells the classes of several fields apart at once
OF_FACES = ("mask", "gender", "age")  # these fields, in the order in which its classes name them
SAME_FILES = ("channels", "external", "classes", "classification", "age_boundaries")  # what a fingerprint depends on


@dataclass(frozen=True)
class Unseen:
    """A run folder whose predictions are out of fold, as its config.json says."""

    path: Path
    config: dict[str, Any]
    validation: Validation

    @property
    def task(self) -> Task:
        """The heads of its fields: mask, gender and age also of a model of all 18 classes."""
        return separated(Task(tuple(to_head(head) for head in self.config["heads"])))


def read_runs(given: Iterable[Path]) -> list[Unseen]:
    """The run folders that `given` names. Raises ValueError for what is not out of fold, or does not fit together."""
    folders = list(dict.fromkeys(folder for path in given for folder in folders_of(path.expanduser())))
    if not folders:
        raise ValueError("no run folder given; give outputs/EXPERIMENT/TRIAL, or the experiment")
    runs = [read_run(folder) for folder in folders]
    for run in runs[1:]:
        check_data(runs[0], run)
    return runs


def folders_of(path: Path) -> list[Path]:
    """The run folders of `path`: itself, its folds where not all of them have ended, or those in it but blends."""
    if path.is_file():
        if path.suffix != ".csv":  # as outputs/EXPERIMENT/* finds it
            print(f"passed over: {path.name} is no run folder", flush=True)
            return []
        if path.name != "val_soft.csv":
            raise ValueError(
                f"{path} is no val_soft.csv: labels are judged by predictions of photos that have some and were not "
                "trained on; give the run folder, outputs/EXPERIMENT/TRIAL"
            )
        return [path.parent]
    if (path / "val_soft.csv").is_file():
        return [path]
    inside = fold_folders(path) if (path / "config.json").is_file() else sorted(path.glob("[!.]*"))
    found = [folder for folder in inside if (folder / "val_soft.csv").is_file()]
    blends = [folder for folder in found if "blend" in read_json(folder / "config.json")]
    for left, why in ((blends, "a blend of the others"), ([f for f in inside if lacks(f)], "without val_soft.csv")):
        if left and found:
            print(f"left out, {why}: {', '.join(folder.name for folder in left)}", flush=True)
    if not (kept := [folder for folder in found if folder not in blends]):
        there = "holds no val_soft.csv, and no run folder that does" if path.is_dir() else "is missing"
        raise ValueError(f"{path} {there}; give run folders, outputs/EXPERIMENT/TRIAL, or the experiment")
    return kept


def lacks(folder: Path) -> bool:
    return (folder / "config.json").is_file() and not (folder / "val_soft.csv").is_file()


def read_run(folder: Path) -> Unseen:
    """Raises ValueError unless its predictions are out of fold, saying why that cannot be told."""
    path = folder / "val_soft.csv"
    if not (folder / "config.json").is_file():
        raise ValueError(
            f"{path} has no config.json beside it, so nothing says that the model had not trained on these photos; "
            "give the whole run folder"
        )
    config, summary = read_json(folder / "config.json"), read_json(folder / "summary.json")
    folds = config.get("folds", {})
    if not config.get("heads") or not {"hash", "fold"} <= set(folds):
        raise ValueError(
            f"{folder / 'config.json'} does not say which fold or classes {path.name} is of, so it may hold photos "
            "that the model trained on; train again, or leave it out"
        )
    run = Unseen(folder, config, read_validation(path))
    check_classes(run)
    check_folds(run, summary)
    check_weights(folder.resolve(), config)
    for name in config.get("blend", {}).get("members", []):
        check_member(run, folder.parent.parent / name)
    if run.validation.note:
        print(f"{path} {run.validation.note}", flush=True)
    return run


def check_classes(run: Unseen) -> None:
    known, held = len(run.task.classes), run.validation.truth.shape[1]
    if known != held:
        raise ValueError(f"{run.validation.path} has {held} classes, and its config.json {known}; bring back the pair")


def check_folds(run: Unseen, summary: dict[str, Any]) -> None:
    """Raises ValueError where val_soft.csv holds other photos than those that validated."""
    validation, folds = run.validation, run.config["folds"]
    path, fold = validation.path, folds["fold"]
    if fold != "all" and (others := set(validation.folds.tolist()) - {int(fold)}):
        raise ValueError(
            f"{path} holds photos of fold {min(others)}, but the model validated on fold {fold} and trained on the "
            "others: what it says of them is no evidence"
        )
    wanted = folds.get("validation", len(validation.ids))
    if len(validation.ids) > wanted:
        raise ValueError(
            f"{path} holds {len(validation.ids)} photos, of which {wanted} validated: the model trained on the others"
        )
    if len(validation.ids) < (there := summary.get("validated", wanted)):
        print(f"note: {path} holds {len(validation.ids)} of the {there} photos that validated", flush=True)
    fold_of: dict[str, int] = {}
    for group, number in zip(validation.groups, validation.folds.tolist(), strict=True):
        if fold_of.setdefault(group, number) != number:
            raise ValueError(
                f"{path}: {group!r} validates in folds {fold_of[group]} and {number}, so models had trained on that "
                "person's other photos; train with folds that keep people together"
            )
    if fold == "all" and len(validation.ids) == run.config.get("data", {}).get("photos") == wanted:
        nothing = np.empty((len(validation.ids), 0))
        if hash_of(Labelled(validation.ids, (), validation.groups, nothing, ()), validation.folds) != folds["hash"]:
            raise ValueError(
                f"{path}: its column fold is not the folds that the run trained in (hash {folds['hash']}), so photos "
                "may have been trained on; bring back the file that the run wrote"
            )


def check_member(blend: Unseen, folder: Path) -> None:
    """Raises ValueError unless a blend's member is out of fold too, in the same folds."""
    why = f"{blend.path} is a blend, which is out of fold if its members are, and"
    if not (folder / "val_soft.csv").is_file():
        raise ValueError(
            f"{why} {folder} is not there to tell; bring it back, or give the members in place of the blend"
        )
    member = read_run(folder)
    for name in ("hash", "fold"):
        if member.config["folds"][name] != blend.config["folds"][name]:
            raise ValueError(f"{why} {folder} is of other folds; blend again, or give the members in its place")


def check_data(first: Unseen, run: Unseen) -> None:
    """Raises ValueError where two runs were trained on other data, people or labels, as far as config.json tells."""
    ours, theirs = ({name: one.config.get("parameters", {}).get(name) for name in SAME_FILES} for one in (run, first))
    alike = ours == theirs and run.config["heads"] == first.config["heads"]
    if note_of(run, "corrections") != note_of(first, "corrections"):
        what = "corrections.csv"
    elif note_of(run, "groups") != note_of(first, "groups"):
        what = "groups.csv"
    elif alike and fingerprint_of(run) != fingerprint_of(first):
        what = "photos or labels (their fingerprints differ)"
    else:
        return
    raise ValueError(
        f"{run.path} and {first.path} were trained with other {what}; give runs of the same data, or one of them"
    )


def note_of(run: Unseen, name: str) -> str:
    """The hash of the groups.csv or corrections.csv that a run was trained with; empty where there was none."""
    return run.config.get("data", {}).get("notes", {}).get(name, {}).get("hash", "")


def fingerprint_of(run: Unseen) -> str:
    return run.config.get("data", {}).get("fingerprint", "")


def to_head(entry: dict[str, Any]) -> Head:
    return Head(entry["name"], tuple(entry["classes"]), entry.get("exclusive", True))


def separated(task: Task) -> Task:
    """The heads of which a single one's classes are all combinations, as `mask male <30` of three; else `task`."""
    head = task.heads[0]
    words = [name.split() for name in head.classes]
    if head.name != WHOLE or {len(parts) for parts in words} != {len(OF_FACES)}:
        return task
    own = [tuple(dict.fromkeys(column)) for column in zip(*words, strict=True)]
    if list(itertools.product(*own)) != [tuple(parts) for parts in words]:
        return task
    return Task(tuple(Head(name, classes) for name, classes in zip(OF_FACES, own, strict=True)))
