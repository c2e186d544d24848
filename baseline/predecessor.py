"""The run folder that a new trial begins with: repeated from its start (--from), or gone on with (--continue_run).

Either stays as it is. A trial that goes on has a copy of last.pt, and is from then on like one that was stopped.
"""

from __future__ import annotations

import json
import shutil
import socket
from pathlib import Path
from typing import Any

import numpy as np

from columns import keep
from config import PLACES, SETTLED, Config
from folds import Split
from record import check_unchanged, describe, described, differing, files_of
from run import Run, atomic, fold_folders, is_fold, is_held, place_of
from samples import Data

# knobs that a trial which goes on may have otherwise: the state in last.pt does not depend on them
CHANGEABLE = {
    *("epochs", "max_trial_minutes", "lr", "schedule", "lr_decay", "lr_decay_step", "lr_drops", "plateau_patience"),
    *("warmup_epochs", "swa_last", "continue_run"),
    "dataset",  # of which the layout that it came to is compared
}
READING = ("classification", "age_boundaries", "channels", "classes", "external", "groups", "corrections")
DIVIDING = (*READING, "val_ratio", "folds", "test_val", "fold_file", "split_seed")
COPIED = ("best.pt", "val_soft.csv", "history.jsonl", "last.pt")  # with the last of them its epochs count


def begin(run: Run, config: Config, overrides: list[dict], data: Data, folds: Split, prior: np.ndarray) -> bool:
    """config.json of a trial that is new, else a look whether all is as it was; whether there are epochs to go on from.

    Raises ValueError where the data, their folds or the user's files are others.
    """
    if (run.path / "last.pt").is_file():
        check_unchanged(run.path, config, data, folds)
        return True
    compare_repeated(config, data, folds)
    origin = origin_of(config)
    if origin.get("continues"):
        compare_continued(config, data, folds)
    describe(run, config, overrides, data, folds, prior, **origin)
    if not origin.get("continues"):
        return False
    take_over(run, config, data, origin["continues"]["epochs"])
    return True


def origin_of(config: Config) -> dict[str, Any]:
    """config.json's entries about the run folders that the trial begins with; a promoted trial is repeated by going on
    where it had."""
    repeats = {"repeats": str(Path(config.repeat_of).expanduser().absolute())} if config.repeat_of else {}
    _, path = place_of(config.continue_run)
    if not config.continue_run:
        return repeats
    if is_fold(path) and not epochs_of(path):
        print(f"{path} ended no epoch; this fold begins anew", flush=True)
        return {}
    told = {"run": str(path), "host": socket.gethostname(), "epochs": epochs_of(path)}
    return repeats | {"continues": told | {"seconds": read_json(path, "summary.json").get("seconds", 0.0)}}


def epochs_of(path: Path) -> int:
    """How many epochs of the run folder `path` have ended; of one of all folds, in the fold that had most."""
    if folds := fold_folders(path):
        return max(map(epochs_of, folds))
    file = path / "history.jsonl"
    return len(file.read_text().splitlines()) if file.is_file() else 0


def check_continued(config: Config, run: Run) -> None:
    """Raises ValueError where --continue_run names no run folder that the new one `run` can go on with like this."""
    if not config.continue_run or (run.path / "config.json").is_file():
        return
    host, path = place_of(config.continue_run)
    if not (path / "config.json").is_file():
        there = (
            f"; it lies on {host}. Let promote.py --machine {host} make a search for that machine alone" if host else ""
        )
        raise ValueError(
            f"--continue_run: there is no run folder {path} on this machine, {socket.gethostname()}{there}, "
            "or keep run folders (--model_dir) where all machines see them"
        )
    parts = [part for part in fold_folders(path) if epochs_of(part)] or [path]
    for part in parts:
        if is_held(part):
            raise ValueError(f"{part} is being trained; --continue_run takes it once its trial has ended")
        if lacking := [name for name in ("last.pt", "best.pt") if not (part / name).is_file()]:
            raise ValueError(
                f"{part} has no {lacking[0]}, so it cannot be gone on with; where it was collected, fetch that too: "
                f"python search/collect.py {path.parent.name} --weights all"
            )
        if config.epochs <= (done := epochs_of(part)):
            raise ValueError(
                f"{part} was trained for {done} epochs already, and --epochs {config.epochs} are not more; raise it"
            )
    summary = read_json(parts[0], "summary.json")
    same = {name for name in SETTLED if getattr(config, name) == summary.get(name)}
    if others := differing(path, config.values(), PLACES | CHANGEABLE | same):
        raise ValueError(
            f"{path} cannot go on with other parameters than --epochs and the learning rate's: {', '.join(others)}; "
            "leave these out"
        )


def compare_repeated(config: Config, data: Data, folds: Split) -> None:
    """Raises ValueError where --from names a trial of other data, other files or another way to divide them."""
    if not config.repeat_of:
        return
    path = Path(config.repeat_of).expanduser().absolute()
    changed = [
        line.partition(" ")[0] for line in differing(path, config.values(), set(config.values()) - set(DIVIDING))
    ]
    if set(changed) & set(READING):
        print(
            f"note: {', '.join(changed)} differ from {path}, so nobody can say whether its data are these", flush=True
        )
        return
    began, (_, origin) = read_json(path, "config.json").get("continues"), place_of(config.continue_run)
    if began and began["run"] == str(origin) and began["epochs"] != epochs_of(origin):
        raise ValueError(
            f"{path} went on after epoch {began['epochs']} of {origin}, which has {epochs_of(origin)} by now, so it "
            "cannot be repeated; take its parameters alone: --config instead of --from"
        )
    if unlike := differences(path, config, data, folds, divided="" if changed else "folds"):
        raise ValueError(
            f"{data.root} does not hold what {path} was trained on: {', '.join(unlike)}. Pass --data_dir and "
            "--notes_dir where that is, or take its parameters alone: --config instead of --from"
        )


def compare_continued(config: Config, data: Data, folds: Split) -> None:
    _, path = place_of(config.continue_run)
    if unlike := differences(path, config, data, folds, divided="folds"):
        raise ValueError(
            f"{data.root} does not hold what {path} was trained on: {', '.join(unlike)}. Pass --data_dir and "
            "--notes_dir where that is; a trial does not go on with other photos or people"
        )


def differences(path: Path, config: Config, data: Data, folds: Split, divided: str) -> list[str]:
    """What of the data, their notes, folds and the user's files the run folder `path` had otherwise."""
    stored, files = read_json(path, "config.json"), files_of(config)
    now = described(data)
    if divided:
        stored["data"]["folds"], now["folds"] = stored["folds"]["hash"], folds.hash
    pairs = {name: (stored["data"].get(name), now[name]) for name in now if name != "notes"}
    if "layout" not in stored["data"]:  # of a folder older than that
        del pairs["layout"]
    for name in ("groups", "corrections"):
        notes = (stored["data"].get("notes", {}), data.notes)
        pairs[f"{name}.csv"] = tuple(each.get(name, {}).get("hash") for each in notes)
    pairs |= {name: (digest, files[name]) for name, digest in stored.get("files", {}).items() if name in files}
    return [
        f"{name} is {was or 'none'} there and {is_now or 'none'} here"
        for name, (was, is_now) in pairs.items()
        if was != is_now
    ]


def take_over(run: Run, config: Config, data: Data, epochs: int) -> None:
    """A copy of what the run folder of --continue_run ended with: `epochs` epochs, and the best of them."""
    _, path = place_of(config.continue_run)
    summary = read_json(path, "summary.json")
    settled = {name: summary[name] for name in SETTLED if name in summary}
    test = (
        {"predicted": False, "next": f"python baseline/inference.py {run.path}"} if data.test else run.summary["test"]
    )
    run.update(continued={"run": str(path), "epochs": epochs}, test=test, **settled)
    for name in COPIED:
        atomic(run.path / name, lambda scratch, name=name: shutil.copyfile(path / name, scratch))
    keep(run.path / "val_soft.csv")
    print(f"a copy of {path}, which ended {epochs} epochs, goes on here", flush=True)


def taken_over(run: Run) -> int:
    """Epochs of this run folder that were another one's."""
    return run.summary.get("continued", {}).get("epochs", 0)


def read_json(path: Path, name: str) -> dict[str, Any]:
    return json.loads((path / name).read_text()) if (path / name).is_file() else {}
