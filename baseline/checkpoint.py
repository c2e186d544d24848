"""Going on where a trial was stopped: the run folder to go on in, and what an epoch leaves there.

An epoch counts once its last.pt is written, which holds all that the other files of the folder are made
of: publish() makes them, and makes them again when a trial goes on, so it does not matter between which
of them it was killed.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from columns import keep
from config import PLACES, SETTLED, Config
from dataset import locate
from folds import Split
from learner import Learner
from memory import memory_is_full
from predictions import head_columns, write_validation
from record import differing
from run import Run, check_run, create_run, hold, hold_run, load_run
from samples import Data
from task import LIKELY
from trial import Trial

ORPHAN_SECONDS = 300.0  # NNI starts a lost trial again while the process it lost may still be ending
UNFINISHED = ("RUNNING", "FAILED", "INTERRUPTED")


def choose_run(root: Path, trial: Trial, config: Config) -> Run:
    """The run folder to train in: a new one, or one to go on in. Raises ValueError where it does not fit."""
    if trial.id:
        path = root / trial.experiment / trial.id
        path.mkdir(parents=True, exist_ok=True)
        if (path / "config.json").is_file():
            agree(path, config, PLACES)
        return hold_run(path, patience=ORPHAN_SECONDS)
    if config.resume == "auto":
        if run := unfinished(
            root / config.name, config, (*UNFINISHED, "SUCCEEDED") if config.seeds > 1 else UNFINISHED
        ):
            return run
        print(f"no unfinished run in {root / config.name} has these parameters; beginning a new one", flush=True)
    elif config.resume:
        path = Path(config.resume).expanduser()
        check_run(path)
        agree(path, config, PLACES - {"name"})
        return hold_run(path)
    return create_run(root, config.name, datetime.now().strftime("%Y%m%d-%H%M%S"))


def agree(path: Path, config: Config, but: set[str]) -> None:
    """Raises ValueError where the run folder `path` has other parameters, naming them."""
    if others := differing(path, config.values(), but):
        raise ValueError(f"{path} was begun with other parameters: {', '.join(others)}; give it those, or begin anew")


def unfinished(folder: Path, config: Config, statuses: tuple[str, ...]) -> Run | None:
    """The run folder in `folder` that was written to last, of those with such a status and that no process has."""
    parameters = config.values() | {"data_dir": str(locate(config.data_dir))}
    summaries = [file for file in folder.glob("*/summary.json") if file.with_name("config.json").is_file()]
    for file in sorted(summaries, key=lambda file: file.stat().st_mtime_ns, reverse=True):
        summary = json.loads(file.read_text())
        # folders older than resuming have no attempts, and nothing to go on with
        if summary["status"] not in statuses or "attempts" not in summary:
            continue
        if differing(file.parent, parameters, PLACES - {"data_dir"}):
            continue
        lock = hold(file.parent)
        if lock is None:
            continue
        run = load_run(file.parent, lock)
        if run.summary["status"] in statuses:  # still, now that no other process can end it
            return run
        run.close()
    return None


def settled(run: Run, config: Config) -> Config:
    """`config` with what earlier attempts measured."""
    return replace(config, **{name: run.summary[name] for name in SETTLED if name in run.summary})


@contextmanager
def undisturbed() -> Iterator[None]:
    """Lets what tells the trial to stop wait for the end of the block, whose files belong together."""
    told: list[int] = []
    before = {
        number: signal.signal(number, lambda number, frame: told.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if told:
        raise KeyboardInterrupt


def commit(run: Run, learner: Learner, row: dict[str, Any], probabilities: np.ndarray) -> None:
    """Ends the epoch of the history row `row`, whose validation `probabilities` are (N, K)."""
    history = [*run.history, row]
    kept = {"history": history, "probabilities": torch.from_numpy(probabilities)}
    run.save("last.pt", learner.state(row["epoch"]) | kept)
    run.history = history


def restore(run: Run, learner: Learner) -> np.ndarray:
    """Puts run and learner where last.pt was written; returns that epoch's validation probabilities (N, K)."""
    file = run.path / "last.pt"
    try:
        state = learner.restore(file)
        run.history = state["history"]
        return state["probabilities"].numpy()
    except Exception as error:  # a damaged file fails in many ways
        if memory_is_full(error):
            raise
        raise ValueError(
            f"{file} cannot be gone on with ({type(error).__name__}: {str(error)[:200]}): it is damaged, or written by "
            "another version; begin a new run without --resume"
        ) from error


def publish(run: Run, config: Config, data: Data, folds: Split, learner: Learner, probabilities: np.ndarray) -> None:
    """What the epoch that was committed last changes in the run folder beside last.pt."""
    best = best_epoch(run, config)
    if best is run.history[-1]:
        run.save("best.pt", learner.judged.state_dict())
        write_rows(run.path / "val_soft.csv", data, folds, folds.validation, probabilities)
        keep(run.path / "val_soft.csv")
        if data.test:
            run.summary["test"] = {"predicted": False, "next": f"python baseline/inference.py {run.path}"}
    run.write_history()
    if "micro_batch" in run.history[-1]:
        run.summary["micro_batch"] = run.history[-1]["micro_batch"]
    run.update(
        epochs=len(run.history),
        best_epoch=best["epoch"],
        metrics={name: value for name, value in best.items() if name.startswith(("val_", "photo_split_"))},
        images_per_second=best["images_per_second"],
    )


def write_rows(path: Path, data: Data, folds: Split, rows: np.ndarray, probabilities: np.ndarray) -> None:
    """The predictions (N, K) of the labelled photos `rows`, in the form of val_soft.csv."""
    write_validation(
        path,
        [data.train.ids[i] for i in rows],
        folds.folds[rows],
        [data.train.groups[i] for i in rows],
        data.given[rows] > LIKELY,
        data.truth[rows] > LIKELY,
        data.task.combine(probabilities),
        data.task.exclusive,
        head_columns(data.task.columns, probabilities),
    )


def best_epoch(run: Run, config: Config) -> dict[str, Any]:
    """The history row of the best epoch, the first of equals."""
    return max(run.history, key=lambda row: row[f"val_{config.metric}"])


def scores(row: dict[str, Any]) -> dict[str, float]:
    """The validation metrics in `row`, which is a history row or summary.json's metrics, by their own names."""
    return {name.removeprefix("val_"): value for name, value in row.items() if name.startswith("val_")}
