"""One trial: photos and knobs in, a run folder out. `python baseline/train.py --help` lists the knobs."""

from __future__ import annotations

import sys
from contextlib import closing
from dataclasses import replace
from typing import Any

import numpy as np
import torch

import events
from augment import check_augmentation
from budget import Budget
from checkpoint import best_epoch, choose_run, commit, publish, restore, scores, settled, undisturbed
from config import PLACES, Config
from crossval import run_folds
from dataset import read
from engine import choose_device
from feed import Feed, open_feed
from folds import Split, divide
from inference import predict_test
from learner import Learner, prepare
from loss import CRITERIA
from memory import MemoryFullError, memory_is_full
from metrics import METRICS, as_objective, evaluate, show
from model import model_factory
from optim import SCHEDULES, optimizer_class, schedule_name
from pace import settle
from predecessor import begin, check_continued, taken_over
from predictions import answers_of
from rules import anchored
from run import Run
from samples import Data, fitted
from seeds import each_seed, tell_seeds
from sources import load, output_root
from task import LIKELY
from team import gather_team
from tracker import Tracker, open_tracker
from trial import Trial, die_of_interrupt, environment, gpus_given, start_trial
from views import VIEWS

SHOWN = 20  # unreadable photos that an error lists


def main(argv: list[str]) -> None:
    runs: list[Run] = []
    try:
        trial = start_trial()
        config, overrides = load(argv, environment(), trial.parameters)
        config = anchored(config)
        check_names(config)
        for each in each_seed(config):
            runs.append(choose_run(output_root(each), trial, each))
            carry_out(trial, each, overrides, runs[-1])
        tell_seeds([run.path for run in runs])
    except KeyboardInterrupt:
        if runs:
            print(f"{runs[-1].summary.get('error', 'told to stop')}; {farewell(runs[-1])}", flush=True)
            if config.seeds > 1:
                print("--resume auto goes on with all of its seeds", flush=True)
        die_of_interrupt()
    except (ValueError, FloatingPointError, OSError, MemoryFullError) as error:
        sys.exit(f"error: {error}")
    except (RuntimeError, MemoryError) as error:
        if memory_is_full(error):
            sys.exit(f"error: the memory is full; lower --batch_size or --resize, or take a smaller --model. {error}")
        raise


def carry_out(trial: Trial, config: Config, overrides: list[dict], run: Run) -> None:
    """Leaves in the run folder `run` how the trial ended, however that is."""
    print(f"run folder: {run.path}", flush=True)
    trial.show(run.path)
    with closing(run):
        if config.threads:
            torch.set_num_threads(config.threads)
        if run.summary.get("status") == "SUCCEEDED":
            tell_again(trial, config, run)
            return
        with run.recording(trial.ending):
            check_continued(config, run)
            if config.fold == "all":
                run_folds(trial, config, overrides, run, run_trial)
            else:
                run_trial(trial, config, overrides, run)


def farewell(run: Run) -> str:
    """What a stopped trial leaves, and what to do with it."""
    if "folds" in run.summary:
        whole = len(run.summary["folds"])
        return f"{run.path} keeps {whole} whole folds and the epochs of the next; --resume {run.path} goes on"
    if "best_epoch" not in run.summary:
        return "no epoch had ended"
    test = run.summary["test"]
    return f"{run.path} keeps epoch {run.summary['best_epoch']}; {test.get('next') or test.get('reason', '')}"


def check_names(config: Config) -> None:
    """Fails on a misspelt name before anything is read."""
    for registry, name in (
        (CRITERIA, config.criterion),
        (METRICS, config.metric),
        (SCHEDULES, schedule_name(config.schedule, config.lr_decay_step)),
    ):
        registry[name]
    check_augmentation(config.augmentation)
    VIEWS.build(config.views, config.values())
    optimizer_class(config.optimizer)
    model_factory(config.model)


def tell_again(trial: Trial, config: Config, run: Run) -> None:
    """A trial that NNI starts again though it has ended: NNI was killed before it stored the result."""
    print(f"nothing is left to do: {run.path} has ended", flush=True)
    trial.finish(as_objective(scores(run.summary["metrics"]), config.metric))


def run_trial(trial: Trial, config: Config, overrides: list[dict], run: Run, data: Data | None = None) -> None:
    """The story of a trial, from its start or from the last epoch that it ended; of one fold of several, given data."""
    data = data or read(config.data_dir, config.dataset, config.values())
    folds = divide(config, data)
    prior = data.truth[folds.train].mean(axis=0)
    begun = begin(run, config, overrides, data, folds, prior)
    announce(config, data, folds)
    given, config = config, fitted(config, data)
    device = choose_device(config.device)
    processes = config.processes or (gpus_given() if device.type == "cuda" else 1)
    config = settle(
        settled(run, config), data.task.size, device, config.epochs * len(folds.train), processes, data.channels
    )
    run.update(precision=config.precision, compile=config.compile)
    start = replace(config, pretrained=False, weights="") if begun else config  # last.pt has the weights
    with (
        closing(open_tracker(config, run.path, config.values())) as tracker,
        gather_team(processes, config, device, data, folds.train, lambda why: run.end("FAILED", error=why)) as team,
    ):
        # before decoding, which is in vain where weights cannot be had
        learner = prepare(start, data, folds.train, team, device)
        size, channels = learner.stored, data.channels
        with closing(open_feed(data.train.paths, config, size, device, "training photos", channels)) as feed:
            folds = leave_unreadable(run, config, data, folds, feed.unreadable)
            probabilities = go_on(trial, run, config, data, folds, learner) if begun else None
            with closing(events.open_events(run.path, run.history)) as writer:
                if probabilities is not None:  # what was drawn of that epoch may not have reached the disk
                    draw(writer, run, data, folds, feed, probabilities)
                try:
                    train_and_validate(trial, config, data, folds, feed, learner, run, writer, tracker)
                finally:
                    if run.history:  # a trial that is stopped stands in the table too
                        best = scores(best_epoch(run, config))
                        events.write_hparams(writer, searched(given, trial), best)
        predict_best(run, config, data, learner, prior)
        tracker.finish({"best_epoch": run.summary["best_epoch"]} | best)
    trial.finish(as_objective(best, config.metric))
    print(f"best: epoch {run.summary['best_epoch']}, {show(best)}", flush=True)


def predict_best(run: Run, config: Config, data: Data, learner: Learner, prior: np.ndarray) -> None:
    """soft.csv and hard.csv with the best epoch's weights, where there are test photos."""
    if data.test is None:
        print(f"{data.root} has no test photos: no soft.csv and no hard.csv", flush=True)
        return
    learner.load(run.path / "best.pt")
    predict_test(run, config, data, learner, prior)


def go_on(trial: Trial, run: Run, config: Config, data: Data, folds: Split, learner: Learner) -> np.ndarray:
    """Puts all back to the end of the last epoch; returns its validation probabilities (N, K)."""
    probabilities = restore(run, learner)
    done = len(run.history)
    print(f"going on after epoch {done} of {config.epochs}", flush=True)
    run.summary["attempts"] = run.attempts(from_epoch=done)
    publish(run, config, data, folds, learner, probabilities)
    if done == taken_over(run):  # which NNI knows as epochs of another trial
        for row in run.history:
            trial.report(as_objective(scores(row), config.metric), epoch=row["epoch"], of=config.epochs)
    else:
        trial.resume(done)
    return probabilities


def searched(config: Config, trial: Trial) -> dict[str, Any]:
    """The knobs to compare trials by: those NNI chose; of a single trial, those that are not at their default."""
    values, default = config.values(), Config().values()
    names = trial.parameters or [name for name in values if values[name] != default[name] and name not in PLACES]
    return {name: values[name] for name in names}


def announce(config: Config, data: Data, folds: Split) -> None:
    """Prints who trains and who validates, and which classes either side lacks."""
    groups = data.train.groups
    train, validation = ({groups[row] for row in rows} for rows in (folds.train, folds.validation))
    own = groups if data.train.only_train is None else [groups[row] for row in np.flatnonzero(~data.train.only_train)]
    known = len(set(own)) < len(own)
    print(
        f"fold {config.fold}: {len(folds.train)} photos"
        + (f" of {len(train)} people or groups" if known else "")
        + f" train, {len(folds.validation)}"
        + (f" of {len(validation)} others" if known else " others")
        + " validate"
        + (f", {len(folds.holdout)} photos of the first are kept out" if len(folds.holdout) else ""),
        flush=True,
    )
    if not known and "groups" not in data.notes:  # else somebody looked, and found none
        print("note: nothing says which photos belong together (a group column would), so near-duplicates may leak")
    if left := len(groups) - sum(map(len, (folds.train, folds.validation, folds.holdout, folds.test_val))):
        print(f"note: {left} photos do not train, because somebody of their group validates", flush=True)
    truth = data.truth > LIKELY
    each = zip(data.task.classes, truth.T, strict=True)
    people = {name: len({groups[row] for row in np.flatnonzero(column)}) for name, column in each}
    if few := [f"{name} ({count})" for name, count in people.items() if 0 < count < folds.count]:
        print(f"note: classes of fewer people or groups than there are folds: {', '.join(few)}", flush=True)
    for rows, what in ((folds.train, "train"), (folds.validation, "validate")):
        absent = [name for name, n in zip(data.task.classes, truth[rows].sum(axis=0), strict=True) if n == 0]
        if absent:
            print(f"note: no photo of these classes will {what}: {', '.join(absent)}", flush=True)


def leave_unreadable(run: Run, config: Config, data: Data, folds: Split, unreadable: dict[int, str]) -> Split:
    """The folds without photos that cannot be read. Raises ValueError unless --skip_unreadable."""
    if not unreadable:
        return folds
    listing = [f"{data.train.ids[row]}: {reason}" for row, reason in unreadable.items()]
    shown = "\n".join(listing[:SHOWN] + [f"… and {len(listing) - SHOWN} more"] * (len(listing) > SHOWN))
    if not config.skip_unreadable:
        raise ValueError(
            f"{len(listing)} of the labelled photos cannot be read; mend or remove them, or pass "
            f"--skip_unreadable:\n{shown}"
        )
    print(f"going on without {len(listing)} photos that cannot be read:\n{shown}", flush=True)
    keep = {
        name: rows[~np.isin(rows, list(unreadable))]
        for name, rows in (("train", folds.train), ("validation", folds.validation), ("holdout", folds.holdout))
    }
    if not len(keep["train"]) or not len(keep["validation"]):
        raise ValueError("no readable photo is left to train or validate on")
    run.update(unreadable=listing, validated=len(keep["validation"]))
    return replace(folds, **keep)


def train_and_validate(
    trial: Trial,
    config: Config,
    data: Data,
    folds: Split,
    feed: Feed,
    learner: Learner,
    run: Run,
    writer: Any,
    tracker: Tracker,
) -> None:
    """All epochs that are to go; each leaves its run folder as if it were the last."""
    budget = Budget(run, config)
    for epoch in budget.epochs():
        try:
            past = [row[f"val_{config.metric}"] for row in run.history]
            row = {"epoch": epoch} | learner.train(feed, folds.train, epoch, past)
            probabilities = learner.predict(feed, folds.validation, "validating")
        except FloatingPointError as error:
            kept = f"best.pt keeps epoch {run.summary['best_epoch']}" if run.history else "no epoch ended before it"
            rate = learner.stepper.optimizer.param_groups[0]["lr"]
            advice = "Try a lower --lr" + (", or --precision bf16 or float32" if config.precision == "fp16" else "")
            raise FloatingPointError(f"epoch {epoch}: {error} at learning rate {rate:g}; {kept}. {advice}") from error
        metrics = measure(data, folds.validation, probabilities)
        row |= {f"val_{name}": value for name, value in metrics.items()}
        if len(folds.holdout):
            seen = measure(data, folds.holdout, learner.predict(feed, folds.holdout, "validating by photo"))
            row |= {f"photo_split_{name}": value for name, value in seen.items()}
            print(f"epoch {epoch}/{config.epochs} by photo, on people it trained on: {show(seen)}", flush=True)
        with undisturbed():
            commit(run, learner, row, probabilities)
            publish(run, config, data, folds, learner, probabilities)
        draw(writer, run, data, folds, feed, probabilities)
        tracker.epoch(row, epoch)
        print(f"epoch {epoch}/{config.epochs} done: train loss {row['train_loss']:.4f}, {show(metrics)}", flush=True)
        trial.report(as_objective(metrics, config.metric), epoch=epoch, of=budget.last())


def measure(data: Data, rows: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    combined = data.task.combine(probabilities)
    return evaluate(combined, data.task.decide(combined), data.truth[rows], data.task.exclusive)


def draw(writer: Any, run: Run, data: Data, folds: Split, feed: Feed, probabilities: np.ndarray) -> None:
    """The last epoch: its numbers, and the same photos each time, spread over the validation people."""
    events.write_epoch(writer, run.history[-1])
    rows = np.linspace(0, len(folds.validation) - 1, min(events.MOST, len(folds.validation))).astype(int)
    names, shown = data.task.classes, folds.validation[rows]
    predicted = answers_of(data.task.decide(data.task.combine(probabilities[rows])), names)
    truth = answers_of(data.truth[shown] > LIKELY, names)
    photos = feed.store.batch(shown)
    events.write_figure(writer, len(run.history), events.draw_predictions(photos, predicted, truth))


if __name__ == "__main__":
    main(sys.argv[1:])
