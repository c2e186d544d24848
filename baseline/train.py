"""One trial: photos and knobs in, a run folder out. `python baseline/train.py --help` lists the knobs."""

from __future__ import annotations

import platform
import sys
from contextlib import closing, suppress
from dataclasses import replace
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch

import events
from augment import AUGMENTATIONS
from cache import Store, open_store
from config import Config, load
from dataset import Data, read
from folds import Split, split
from inference import predict_test
from learner import Learner, prepare
from loss import CRITERIA
from metrics import METRICS, evaluate
from model import model_factory
from optim import SCHEDULES, optimizer_class, schedule_name
from predictions import write_validation
from run import Run, create_run
from trial import Trial, die_of_interrupt, environment, start_trial

OUTPUTS = Path(__file__).resolve().parent.parent / "outputs"
PLACES = {"data_dir", "model_dir", "cache_dir", "cache_gib", "name", "device", "threads", "log_interval"}
VERSIONS = ("torch", "torchvision", "timm", "efficientnet-pytorch", "nni", "numpy", "pandas", "pillow")


def main(argv: list[str]) -> None:
    run = None
    try:
        trial = start_trial()
        config, overrides = load(argv, environment(), trial.parameters)
        check_names(config)
        root = Path(config.model_dir).expanduser() if config.model_dir else OUTPUTS
        moment = datetime.now().strftime("%Y%m%d-%H%M%S")
        run = create_run(root, trial.experiment or config.name, trial.id or moment)
        print(f"run folder: {run.path}", flush=True)
        with run.recording():
            run_trial(trial, config, overrides, run)
    except KeyboardInterrupt:
        if run:
            print(f"told to stop; {farewell(run)}", flush=True)
        die_of_interrupt()
    except (ValueError, FloatingPointError, OSError) as error:
        sys.exit(f"error: {error}")
    except (RuntimeError, MemoryError) as error:  # torch tells a full CPU memory by a RuntimeError's text alone
        if isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "allocate memory" in str(error):
            sys.exit(f"error: the memory is full; lower --batch_size, --valid_batch_size or --resize. {error}")
        raise


def farewell(run: Run) -> str:
    """What a stopped trial leaves, and what to do with it."""
    if "best_epoch" not in run.summary:
        return "no epoch had ended"
    test = run.summary["test"]
    return f"{run.path} keeps epoch {run.summary['best_epoch']}; {test.get('next') or test.get('reason', '')}"


def check_names(config: Config) -> None:
    """Fails on a misspelt name before anything is read."""
    for registry, name in (
        (CRITERIA, config.criterion),
        (AUGMENTATIONS, config.augmentation),
        (METRICS, config.metric),
        (SCHEDULES, schedule_name(config.schedule, config.lr_decay_step)),
    ):
        registry[name]
    optimizer_class(config.optimizer)
    model_factory(config.model)


def run_trial(trial: Trial, config: Config, overrides: list[dict], run: Run) -> None:
    """The story of a trial."""
    if config.threads:
        torch.set_num_threads(config.threads)
    data = read(config.data_dir, config.dataset, config.values())
    folds = split(
        data.train.ids,
        data.train.groups,
        data.train.strata,
        val_ratio=config.val_ratio,
        fold=config.fold,
        split_seed=config.split_seed,
        photo_holdout=config.photo_holdout,
    )
    prior = data.train.target[folds.train].mean(axis=0)
    describe(run, config, overrides, data, folds, prior)
    announce(config, data, folds)
    learner = prepare(config, data, folds.train)  # before decoding, which is in vain where weights cannot be had
    store = open_store(data.train.paths, config, "training photos")
    folds = leave_unreadable(run, config, data, folds, store)
    with closing(events.open_events(run.path)) as writer:
        best = train_and_validate(trial, config, data, folds, store, learner, run, writer)
        events.write_hparams(writer, searched(config, trial), best)
    learner.model.load_state_dict(torch.load(run.path / "best.pt", weights_only=True))
    if data.test is not None:
        predict_test(run, config, data, learner.model, prior)
    else:
        print(f"{data.root} has no eval part: no soft.csv and no hard.csv", flush=True)
    trial.finish(objective(best, config))
    print(f"best: epoch {run.summary['best_epoch']}, {show(best)}", flush=True)


def searched(config: Config, trial: Trial) -> dict[str, Any]:
    """The knobs to compare trials by: those NNI chose; of a single trial, those that are not at their default."""
    values, default = config.values(), Config().values()
    names = trial.parameters or [name for name in values if values[name] != default[name] and name not in PLACES]
    return {name: values[name] for name in names}


def describe(run: Run, config: Config, overrides: list[dict], data: Data, folds: Split, prior: np.ndarray) -> None:
    """config.json, and the entries of summary.json that hold from the start."""
    people = data.train.groups
    run.write_json(
        "config.json",
        {
            "parameters": config.values() | {"data_dir": str(data.root)},
            "overrides": overrides,
            "versions": versions(),
            "data": {
                "fingerprint": data.fingerprint(),
                "photos": len(people),
                "groups": len(set(people)),
                "test_photos": len(data.test.ids) if data.test else 0,
            },
            "folds": {"hash": folds.hash, "fold": config.fold, "count": int(folds.folds.max()) + 1}
            | {name: len(getattr(folds, name)) for name in ("train", "validation", "holdout")},
            "heads": [{"name": head.name, "classes": list(head.classes)} for head in data.task.heads],
            "prior": [float(share) for share in prior],
        },
    )
    reason = "no epoch has ended yet" if data.test else f"{data.root} has no eval part"
    run.update(objective=config.metric, test={"predicted": False, "reason": reason})


def announce(config: Config, data: Data, folds: Split) -> None:
    """Prints who trains and who validates, and which classes either side lacks."""
    people = data.train.groups
    print(
        f"fold {config.fold}: {len(folds.train)} photos of {len({people[row] for row in folds.train})} people train,"
        f" {len(folds.validation)} of {len({people[row] for row in folds.validation})} other people validate"
        + (f", {len(folds.holdout)} photos of the first are kept out" if len(folds.holdout) else ""),
        flush=True,
    )
    for rows, what in ((folds.train, "train"), (folds.validation, "validate")):
        absent = [
            name for name, n in zip(data.task.classes, data.train.target[rows].sum(axis=0), strict=True) if n == 0
        ]
        if absent:
            print(f"note: no photo of these classes will {what}: {', '.join(absent)}", flush=True)


def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in VERSIONS:
        with suppress(PackageNotFoundError):  # a machine may lack what its trials do not use
            found[name] = version(name)
    return found


def leave_unreadable(run: Run, config: Config, data: Data, folds: Split, store: Store) -> Split:
    """The folds without photos that cannot be read. Raises ValueError unless --skip_unreadable."""
    if not store.unreadable:
        return folds
    listing = [f"{data.train.ids[row]}: {reason}" for row, reason in store.unreadable.items()]
    if not config.skip_unreadable:
        raise ValueError(
            f"{len(listing)} of the labelled photos cannot be read; mend or remove them, or pass --skip_unreadable:\n"
            + "\n".join(listing)
        )
    print(f"going on without {len(listing)} photos that cannot be read:\n" + "\n".join(listing), flush=True)
    run.update(unreadable=listing)
    keep = {
        name: rows[~np.isin(rows, list(store.unreadable))]
        for name, rows in (("train", folds.train), ("validation", folds.validation), ("holdout", folds.holdout))
    }
    if not len(keep["train"]) or not len(keep["validation"]):
        raise ValueError("no readable photo is left to train or validate on")
    return replace(folds, **keep)


def train_and_validate(
    trial: Trial, config: Config, data: Data, folds: Split, store: Store, learner: Learner, run: Run, writer: Any
) -> dict[str, float]:
    """All epochs; returns the validation metrics of the best one, whose weights and predictions are on disk."""
    best: dict[str, float] = {}
    for epoch in range(1, config.epochs + 1):
        try:
            row = {"epoch": epoch} | learner.train(store, folds.train, epoch)
            probabilities = data.task.activate(learner.predict(store, folds.validation))
        except FloatingPointError as error:
            kept = f"best.pt keeps epoch {run.summary['best_epoch']}" if best else "no epoch ended before it"
            rate = learner.optimizer.param_groups[0]["lr"]
            raise FloatingPointError(
                f"epoch {epoch}: {error} at learning rate {rate:g}; {kept}. Try a lower --lr"
            ) from error
        metrics = measure(data, folds.validation, probabilities)
        row |= {f"val_{name}": value for name, value in metrics.items()}
        if len(folds.holdout):
            seen = measure(data, folds.holdout, data.task.activate(learner.predict(store, folds.holdout)))
            row |= {f"photo_split_{name}": value for name, value in seen.items()}
            print(f"epoch {epoch}/{config.epochs} by photo, on people it trained on: {show(seen)}", flush=True)
        if not best or metrics[config.metric] > best[config.metric]:
            best = metrics
            keep_best(run, learner, data, folds, probabilities, row)
        run.save("last.pt", learner.state(epoch))
        run.add_epoch(row)
        run.update(epochs=epoch)
        events.write_epoch(writer, row)
        draw(writer, epoch, data, folds, store, probabilities)
        print(f"epoch {epoch}/{config.epochs} done: train loss {row['train_loss']:.4f}, {show(metrics)}", flush=True)
        trial.report(objective(metrics, config))
    return best


def measure(data: Data, rows: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    return evaluate(probabilities, data.task.decide(probabilities), data.train.target[rows])


def keep_best(run: Run, learner: Learner, data: Data, folds: Split, probabilities: np.ndarray, row: dict) -> None:
    train, rows = data.train, folds.validation
    run.save("best.pt", learner.model.state_dict())
    write_validation(
        run.path / "val_soft.csv",
        [train.ids[i] for i in rows],
        folds.folds[rows],
        [train.groups[i] for i in rows],
        train.target[rows].argmax(axis=1),
        probabilities,
    )
    metrics = {name: value for name, value in row.items() if name.startswith(("val_", "photo_split_"))}
    run.update(best_epoch=row["epoch"], metrics=metrics, images_per_second=row["images_per_second"])
    if data.test:
        run.update(test={"predicted": False, "next": f"python baseline/inference.py {run.path}"})


def draw(writer: Any, epoch: int, data: Data, folds: Split, store: Store, probabilities: np.ndarray) -> None:
    """The same photos after each epoch, spread over the validation people."""
    rows = np.linspace(0, len(folds.validation) - 1, min(events.MOST, len(folds.validation))).astype(int)
    names = data.task.classes
    predicted = [names[i] for i in probabilities[rows].argmax(axis=1)]
    truth = [names[i] for i in data.train.target[folds.validation[rows]].argmax(axis=1)]
    photos = store.batch(folds.validation[rows])
    events.write_figure(writer, epoch, events.draw_predictions(photos, predicted, truth))


def objective(metrics: dict[str, float], config: Config) -> dict[str, float]:
    """What NNI is told: `default` is the objective, the rest is shown beside it."""
    return {"default": metrics[config.metric]} | metrics


def show(metrics: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.4f}" for name, value in metrics.items())


if __name__ == "__main__":
    main(sys.argv[1:])
