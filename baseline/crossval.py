"""`--fold all`: a model for each fold in one run folder, so that every labelled photo gets a prediction by a model that
never saw its person, and the test photos the mean of all models.

Each fold is a run folder of its own, fold-0, fold-1 … inside, so that it goes on after a stop as any trial does. NNI is
told the mean over the folds that have ended, after each of them, so that an assessor can stop the rest.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from checkpoint import scores
from columns import keep
from config import Config
from dataset import read
from folds import Split, divide
from inference import Predicted, write_test
from metrics import as_objective, evaluate, show
from predecessor import compare_repeated, origin_of
from predictions import class_columns, read_validation, write_csv
from record import check_unchanged, describe
from run import Run, hold_run
from samples import Data
from trial import Trial


def run_folds(trial: Trial, config: Config, overrides: list[dict], run: Run, run_trial: Callable[..., None]) -> None:
    """All folds, from the start or from the last epoch that ended; run_trial() is the story of one."""
    data = read(config.data_dir, config.dataset, config.values())
    folds = everybody(divide(config, data))
    if (run.path / "config.json").is_file():
        check_unchanged(run.path, config, data, folds)
    else:
        compare_repeated(config, data, folds)
        describe(run, config, overrides, data, folds, data.truth[folds.train].mean(axis=0), **origin_of(config))
    ended: list[dict[str, Any]] = []
    told = run.summary.get("folds", [])
    run.update(folds=told, test={"predicted": False, "reason": "not all folds have ended"})
    trial.resume(len(told))
    if never := len(data.train.ids) - len(folds.validation):
        print(f"note: {never} labelled photos validate in no fold (--val_ratio, --test_val, --external)", flush=True)
    for fold in range(folds.count):
        print(f"fold {fold + 1} of {folds.count}", flush=True)
        part = fold_path(run.path, fold)
        ended.append(run_fold(trial, config_of(config, fold, folds.count), overrides, part, run_trial, data))
        if fold >= len(told):
            run.update(folds=ended, epochs=sum(entry["epochs"] for entry in ended))
            mean = mean_of([scores(entry["metrics"]) for entry in ended])
            trial.report(as_objective(mean, config.metric), folds=len(ended), of=folds.count)
    metrics = join_validation(run, data, folds)
    run.history = mean_history(run.path, folds.count)
    run.write_history()
    tell_budget(run, config, ended)
    run.update(
        metrics={f"val_{name}": value for name, value in metrics.items()},
        images_per_second=float(np.mean([entry["images_per_second"] for entry in ended])),
    )
    if data.test:
        average_tests(run, data, folds.count)
    trial.finish(as_objective(metrics, config.metric))
    print(f"out of fold, {len(folds.validation)} photos: {show(metrics)}", flush=True)


def config_of(config: Config, fold: int, count: int) -> Config:
    """The knobs of one fold of `count`: it has its share of the time, and goes on where its own fold was."""
    whole = config.continue_run
    return replace(
        config,
        fold=str(fold),
        max_trial_minutes=config.max_trial_minutes / count,
        continue_run=str(fold_path(Path(whole), fold)) if whole else "",
        repeat_of="",  # all of it was compared
    )


def tell_budget(run: Run, config: Config, ended: list[dict[str, Any]]) -> None:
    """Says in summary.json where the time of folds was over."""
    if any(entry.get("budget") for entry in ended):
        epochs = ", ".join(str(entry["epochs"]) for entry in ended)
        told = f"max_trial_minutes {config.max_trial_minutes:g}: folds ended after epochs {epochs} of {config.epochs}"
        print(f"{told}; history.jsonl has the epochs that all of them have", flush=True)
        run.update(budget=told)


def fold_path(path: Path, fold: int) -> Path:
    return path / f"fold-{fold}"


def run_fold(
    trial: Trial, config: Config, overrides: list[dict], path: Path, run_trial: Callable[..., None], data: Data
) -> dict[str, Any]:
    """What summary.json says of the fold in the end; it is trained unless it was before.

    All folds have `data` as it was read once, for notes beside it may change meanwhile.
    """
    path.mkdir(exist_ok=True)
    with closing(hold_run(path)) as part:
        if part.summary.get("status") != "SUCCEEDED":
            silent = replace(trial, experiment="", id="")
            with part.recording(trial.ending):
                run_trial(silent, config, overrides, part, data)
        names = ("best_epoch", "epochs", "metrics", "images_per_second", "budget")
        told = {name: part.summary[name] for name in names if name in part.summary}
        return {"fold": int(config.fold)} | told


def everybody(folds: Split) -> Split:
    """The split whose validation photos are those of all folds, as are its training photos."""
    rows = np.flatnonzero(folds.folds >= 0)
    return replace(folds, train=rows, validation=rows, holdout=np.array([], dtype=int))


def join_validation(run: Run, data: Data, folds: Split) -> dict[str, float]:
    """val_soft.csv with the rows of all folds, in the order of the data; returns every metric over all of them."""
    import pandas as pd

    files = [fold_path(run.path, fold) / "val_soft.csv" for fold in range(folds.count)]
    table = pd.concat([pd.read_csv(file, dtype=str, keep_default_na=False) for file in files]).set_index("id")
    wanted = [data.train.ids[row] for row in folds.validation]
    missing = set(wanted) - set(table.index)
    told = summary_of(run.path, 0).get("unreadable", [])  # left out by --skip_unreadable
    assert all(any(line.startswith(f"{photo}: ") for line in told) for photo in missing)
    assert table.index.is_unique
    table = table.loc[[photo for photo in wanted if photo not in missing]].reset_index()
    path = run.path / "val_soft.csv"
    write_csv(path, dict(table.items()))
    keep(path)
    if unreadable := summary_of(run.path, 0).get("unreadable"):
        run.update(unreadable=unreadable, validated=len(table))
    found = read_validation(path)
    decided = data.task.decide(found.probabilities)
    return evaluate(found.probabilities, decided, found.truth.astype(float), data.task.exclusive)


def average_tests(run: Run, data: Data, count: int) -> None:
    """soft.csv and hard.csv of the mean over the folds' models."""
    import pandas as pd

    task, id_column = data.task, data.test.id_column
    tables = [pd.read_csv(fold_path(run.path, fold) / "soft.csv", dtype={id_column: str}) for fold in range(count)]
    mean = sum(table.drop(columns=[id_column, "ans"], errors="ignore") for table in tables) / count
    classes = mean[class_columns(len(task.classes), task.exclusive)].to_numpy()
    write_test(run, data, Predicted(mean[task.columns].to_numpy(), classes, {}))
    run.update(test=summary_of(run.path, 0)["test"] | {"models": count})


def summary_of(path: Path, fold: int) -> dict[str, Any]:
    return json.loads((fold_path(path, fold) / "summary.json").read_text())


def mean_history(path: Path, count: int) -> list[dict[str, float]]:
    """The mean of the folds' histories, epoch by epoch, as far as all of them got."""
    of_folds = [
        [json.loads(line) for line in (fold_path(path, fold) / "history.jsonl").read_text().splitlines()]
        for fold in range(count)
    ]
    return [mean_of(rows) | {"epoch": rows[0]["epoch"]} for rows in zip(*of_folds, strict=False)]


def mean_of(rows: list[dict[str, float]]) -> dict[str, float]:
    """The mean of each number that all rows have."""
    names = [name for name in rows[0] if all(name in row for row in rows)]
    return {name: float(np.mean([row[name] for row in rows])) for name in names}
