"""Predicts the test photos with a run folder's best weights: soft.csv and hard.csv. order.py says how it is asked."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from checkpoint import write_rows
from columns import keep
from config import Config
from dataset import find_root, read
from engine import choose_device
from feed import open_feed
from folds import divide
from learner import Learner, prepare
from memory import MemoryFullError
from order import Order, understand
from predictions import answers_of, by_class, check_hard, head_columns, write_csv, write_hard, write_soft
from profiles import CROP, MEAN, STD, read_test
from rules import restore
from run import Run, check_run, fold_folders, open_run
from samples import Data, Labelled, Photo, Test, fitted
from task import LIKELY, Head, Task
from team import Team
from trial import environment

Choice = Callable[[Data, Config, Path], tuple[Sequence[str], Sequence[Photo]]]  # ids and paths


@dataclass(frozen=True)
class Predicted:
    """(N, K) probabilities of the heads, (N, C) of the classes, and the rows of photos that could not be read."""

    heads: np.ndarray
    classes: np.ndarray
    unreadable: dict[int, str]


def predict_test(run: Run, config: Config, data: Data, learner: Learner, prior: np.ndarray) -> None:
    """soft.csv and hard.csv of all test photos; one that cannot be read gets `prior` (C,) and is in summary.json."""
    predicted = predict_photos(config, data, learner, data.test.ids, data.test.paths, "test photos", prior)
    write_test(run, data, predicted)


def write_test(run: Run, data: Data, predicted: Predicted) -> None:
    test, soft = data.test, run.path / "soft.csv"
    write_probabilities(soft, data.task, test, predicted)
    keep(soft)
    write_answers(run.path / "hard.csv", data.task, test, predicted)
    unreadable = {test.ids[row]: reason for row, reason in predicted.unreadable.items()}
    run.update(test={"predicted": True, "photos": len(test.ids), "unreadable": unreadable})


def predict_photos(
    config: Config,
    data: Data,
    learner: Learner,
    ids: Sequence[str],
    paths: Sequence[Photo],
    what: str,
    prior: np.ndarray,
) -> Predicted:
    """The photos at `paths`, named `ids`; one that cannot be read gets `prior` (C,), and is told."""
    task = data.task
    with closing(open_feed(paths, config, learner.stored, learner.device, what, data.channels)) as feed:
        heads = learner.predict(feed, np.arange(len(ids)), f"predicting the {what}")
        unreadable = feed.unreadable
    heads[list(unreadable)] = task.separate(prior[None])
    classes = task.combine(heads).copy()
    classes[list(unreadable)] = prior
    for row, reason in unreadable.items():
        print(f"{ids[row]}, one of the {what}, cannot be read ({reason}); it gets the most frequent class", flush=True)
    return Predicted(heads, classes, unreadable)


def write_probabilities(path: Path, task: Task, test: Test, predicted: Predicted) -> None:
    columns = head_columns(task.columns, predicted.heads)
    write_soft(path, test.id_column, test.ids, predicted.classes, task.exclusive, heads=columns)


def write_answers(path: Path, task: Task, test: Test, predicted: Predicted) -> None:
    """Writes what the competition accepts, and reads it back. Raises ValueError if it would not."""
    answers = answers_of(task.decide(predicted.classes), test.answers)
    write_hard(path, test.id_column, test.answer_column, test.ids, answers)
    check_hard(path, test.id_column, test.answer_column, test.ids, test.answers, task.exclusive)


def main(argv: list[str]) -> None:
    try:
        fill(understand(argv, environment()))
    except (ValueError, FloatingPointError, OSError, MemoryFullError) as error:
        sys.exit(f"error: {error}")


def fill(order: Order) -> None:
    """Predicts and writes what `order` asks for; the run folder is written to only where it gets soft.csv."""
    if order.output or order.answers:
        check_run(order.path)
        written = order.output or order.answers
        written.parent.mkdir(parents=True, exist_ok=True)
        count = write_kept_out(order) if order.split == "test_val" else write_elsewhere(order, written)
        print(f"{written}: {count} photos", flush=True)
        return
    with closing(open_run(order.path)) as run:
        data, predicted = predict(order, of_test, "test photos")
        write_test(run, data, predicted)
        print(f"{run.path / 'soft.csv'} and hard.csv: {len(data.test.ids)} photos", flush=True)


def predict(order: Order, choose: Choice, what: str) -> tuple[Data, Predicted]:
    """The photos that `choose` takes of the data, by the mean of the run folder's models: its own, or its folds'."""
    each = []
    for path in parts_of(order):
        config, data, learner, prior = make_ready(replace(order, path=path))
        each.append(predict_photos(config, data, learner, *choose(data, config, path), what, prior))
    heads, classes = (np.mean([getattr(one, name) for one in each], axis=0) for name in ("heads", "classes"))
    return data, Predicted(heads, classes, each[0].unreadable)


def parts_of(order: Order) -> list[Path]:
    """The run folders that have the weights: those of all folds, or the one itself. Raises ValueError."""
    folds, told = fold_folders(order.path), json.loads((order.path / "config.json").read_text())["folds"]
    ended = [json.loads((path / "summary.json").read_text()).get("status") == "SUCCEEDED" for path in folds]
    if told["fold"] == "all" and sum(ended) < told["count"]:
        raise ValueError(
            f"{order.path} has {sum(ended)} of {told['count']} folds; train.py --resume {order.path} makes the others, "
            f"and a fold by itself, {order.path}/fold-0, can be predicted with"
        )
    if folds and order.checkpoint:
        raise ValueError(
            f"{order.path} has a model for each of {len(folds)} folds; --checkpoint is for one: name a fold"
        )
    for path in folds or [order.path]:
        check_weights(order.checkpoint or path / "best.pt")
    return folds or [order.path]


def check_weights(weights: Path) -> None:
    if not weights.is_file() and weights.name == "best.pt":
        raise ValueError(f"{weights.parent} has no best.pt: the trial ended before its first epoch did")
    if not weights.is_file():
        raise ValueError(f"--checkpoint {weights}: no such file")


def of_test(data: Data, config: Config, path: Path) -> tuple[Sequence[str], Sequence[Photo]]:
    if data.test is None:
        raise ValueError(f"{data.root} has no test photos to predict")
    return data.test.ids, data.test.paths


def of_kept_out(data: Data, config: Config, path: Path) -> tuple[Sequence[str], Sequence[Photo]]:
    """The labelled photos of the part test_val. Raises ValueError where there is none."""
    folds, stored = divide(config, data), json.loads((path / "config.json").read_text())["folds"]
    rows = folds.test_val
    if not len(rows):
        raise ValueError(f"{path} kept no part out; --split test_val is for trials with --test_val true")
    if folds.hash != stored["hash"]:
        raise ValueError(f"{data.root} is not the data of {path}: its folds were {stored['hash']}, now {folds.hash}")
    return tuple([values[row] for row in rows] for values in (data.train.ids, data.train.paths))


def make_ready(order: Order) -> tuple[Config, Data, Learner, np.ndarray]:
    """The trial's knobs, its data, its model as it was best, and the classes' shares (C,) in what it trained on."""
    summary = json.loads((order.path / "summary.json").read_text())
    config = restore(order.path / "config.json", pretrained=False, weights="", **order.changes)
    config = replace(config, precision=summary.get("precision", "float32"), compile="false", class_weights="none")
    if config.threads:
        torch.set_num_threads(config.threads)
    stored = json.loads((order.path / "config.json").read_text())
    if order.split == "test":  # which need no labels, and so neither groups nor corrections
        config = replace(config, notes_dir="", groups="none", corrections="none")
    data = read_evaluated(order.evaluated, config, stored) if order.evaluated else read_all(config, config.data_dir)
    config = fitted(config, data)
    learner = prepare(config, data, np.arange(len(data.train.ids)), Team(), choose_device(config.device))
    learner.load(order.checkpoint or order.path / "best.pt")
    return config, data, learner, np.array(stored["prior"])


def read_all(config: Config, data_dir: str) -> Data:
    return read(data_dir, config.dataset, config.values())


def read_evaluated(folder: Path, config: Config, stored: dict[str, Any]) -> Data:
    """What SM_CHANNEL_EVAL names: a data root, or its folder eval, which may stand without the labelled photos."""
    root = folder.resolve() if (folder / "eval" / "info.csv").is_file() else folder.resolve().parent
    if not folder.is_dir() or (root / "train").is_dir() or not (root / "eval" / "info.csv").is_file():
        try:
            return read_all(config, str(find_root(folder)))
        except ValueError as error:
            raise ValueError(f"SM_CHANNEL_EVAL: {error}, or a folder eval with info.csv") from error
    heads = [Head(head["name"], tuple(head["classes"]), head.get("exclusive", True)) for head in stored["heads"]]
    task = Task(tuple(heads))
    nobody = Labelled((), (), (), np.zeros((0, task.size), dtype=np.float32), ())
    return Data(root, task, nobody, read_test(root, len(task.classes)), crop=CROP, mean=MEAN, std=STD)


def write_elsewhere(order: Order, written: Path) -> int:
    """Test probabilities, or answers where these are asked for, to `written`; returns the number of photos."""
    data, predicted = predict(order, of_test, "test photos")
    (write_probabilities if order.output else write_answers)(written, data.task, data.test, predicted)
    return len(data.test.ids)


def write_kept_out(order: Order) -> int:
    """Probabilities of the labelled photos of the part test_val to order.output; returns their number."""
    data, predicted = predict(order, of_kept_out, "photos of test_val")
    folds = divide(restore(order.path / "config.json"), data)
    rows = folds.test_val
    if data.task.exclusive:
        after = np.full(len(folds.folds), folds.count)  # the file's fold is the number after the last one
        write_rows(order.output, data, replace(folds, folds=after), rows, predicted.heads)
    else:
        truth = (data.truth[rows] > LIKELY).astype(int)
        labels = {f"L{number:02d}": column for number, column in enumerate(truth.T)}
        write_csv(order.output, labels | by_class(predicted.classes, exclusive=False))
    return len(rows)


if __name__ == "__main__":
    main(sys.argv[1:])
