"""Predicts the test photos with a run folder's best weights: soft.csv and hard.csv.

`python baseline/inference.py RUN [--data_dir DIR]` adds them to a trial that was stopped before its end.
"""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from config import Config, restore
from dataset import Data, read
from engine import choose_device
from feed import open_feed
from learner import Learner, prepare
from memory import MemoryFullError
from predictions import check_hard, write_hard, write_soft
from run import Run, open_run
from team import Team


def predict_test(run: Run, config: Config, data: Data, learner: Learner, prior: np.ndarray) -> None:
    """soft.csv and hard.csv of all test photos; one that cannot be read gets `prior` (K,) and is in summary.json."""
    test = data.test
    with closing(open_feed(test.paths, config, learner.stored, learner.device, "test photos")) as feed:
        probabilities = learner.predict(feed, np.arange(len(test.ids)), "predicting the test photos")
    probabilities[list(feed.unreadable)] = prior
    hard = run.path / "hard.csv"
    write_soft(run.path / "soft.csv", test.id_column, test.ids, probabilities)
    write_hard(hard, test.id_column, test.answer_column, test.ids, probabilities.argmax(axis=1))
    check_hard(hard, test.id_column, test.answer_column, test.ids, data.task.size)
    unreadable = {test.ids[row]: reason for row, reason in feed.unreadable.items()}
    for photo, reason in unreadable.items():
        print(f"test photo {photo} cannot be read ({reason}); it gets the most frequent class", flush=True)
    run.update(test={"predicted": True, "photos": len(test.ids), "unreadable": unreadable})


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="inference.py", description=__doc__.split("\n")[0])
    parser.add_argument("run", type=Path, help="run folder, outputs/EXPERIMENT/TRIAL")
    parser.add_argument("--data_dir", "--data-dir", help="data root, where it is not the one that the trial read")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), help="where it is not the trial's")
    parser.add_argument("--cache_dir", "--cache-dir", help="folder of decoded photos, where it is not the trial's")
    given = vars(parser.parse_args(argv))
    try:
        add_predictions(given.pop("run"), {name: value for name, value in given.items() if value})
    except (ValueError, FloatingPointError, OSError, MemoryFullError) as error:
        sys.exit(f"error: {error}")


def add_predictions(path: Path, changes: dict[str, str]) -> None:
    """Adds soft.csv and hard.csv to the run folder `path`; `changes` are knobs that differ from the trial's."""
    with closing(open_run(path)) as run:
        if not (path / "best.pt").is_file():
            raise ValueError(f"{path} has no best.pt: the trial ended before its first epoch did")
        config = restore(path / "config.json", pretrained=False, weights="", **changes)
        config = replace(config, precision=run.summary.get("precision", "float32"), compile="false")
        if config.threads:
            torch.set_num_threads(config.threads)
        data = read(config.data_dir, config.dataset, config.values())
        if data.test is None:
            raise ValueError(f"{data.root} has no eval part to predict")
        learner = prepare(config, data, np.arange(len(data.train.ids)), Team(), choose_device(config.device))
        learner.load(path / "best.pt")
        prior = np.array(json.loads((path / "config.json").read_text())["prior"])
        predict_test(run, config, data, learner, prior)
        print(f"{path / 'soft.csv'} and hard.csv: {len(data.test.ids)} photos", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
