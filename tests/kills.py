"""Trials that are killed in a process of their own, and what they leave compared with a trial never stopped."""

import itertools
import json
import os
import re
import signal
import traceback
import warnings
from pathlib import Path

import pandas as pd
import torch
from torch import nn
from walks import history, load_json, run_trial

import train
from model import MODELS

TIMES = {"seconds", "images_per_second"}


class Small(nn.Module):
    """All that a resumed trial could get wrong: moments, running statistics and dropout's random numbers."""

    def __init__(self, out_features):
        super().__init__()
        self.trunk = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(3))
        self.head = nn.Sequential(nn.Flatten(), nn.Dropout(0.3), nn.Linear(72, out_features))

    def forward(self, photos):
        return self.head(self.trunk(photos))


def plant_small(quick, monkeypatch):
    """Options of a trial that takes a fifth of a second and draws random numbers wherever one can."""
    monkeypatch.setitem(MODELS.entries, "small", Small)
    monkeypatch.setattr(train.events, "draw_predictions", lambda photos, predicted, truth: torch.zeros(4, 4, 3).numpy())
    words = ("--model", "small", "--augmentation", "FlipAugmentation", "--lr", "0.01", "--photo_holdout", "0.1")
    return [*words, *quick[2:]]


def fork(work):
    """The id of a process that does work() and ends; it costs no import of torch."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12's, of threads; the child starts none before
        process = os.fork()
    if process:
        return process
    try:
        work()
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def ended(process):
    """The exit status, or minus the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def killed_at(write, root, options, *words):
    """Whether a trial was killed before its write number `write`, from 1, was moved to its place."""

    def work():
        moved, count = os.replace, itertools.count(1)
        os.replace = lambda *names: os.kill(os.getpid(), signal.SIGKILL) if next(count) == write else moved(*names)
        run_trial(root, options, *words)

    status = ended(fork(work))
    assert status in (0, -signal.SIGKILL)
    return status != 0


def folder_of(options, name):
    """The run folder of `name` that succeeded last."""
    folders = [f for f in (Path(options[-1]) / name).iterdir() if (f / "summary.json").is_file()]
    done = [folder for folder in folders if load_json(folder, "summary.json")["status"] == "SUCCEEDED"]
    return max(done, key=lambda folder: (folder / "summary.json").stat().st_mtime_ns)


def only(options, name):
    (folder,) = (Path(options[-1]) / name).iterdir()
    return folder


def check_every_file_is_whole(folder):
    for file in folder.iterdir():
        if file.name.startswith("."):
            continue
        if file.suffix == ".json":
            json.loads(file.read_text())
        elif file.suffix == ".jsonl":
            history(folder)
        elif file.suffix == ".csv":
            assert not pd.read_csv(file).isna().any(axis=None)
        elif file.suffix == ".pt":
            torch.load(file, weights_only=True)


def without_times(value):
    if isinstance(value, dict):
        return {name: without_times(entry) for name, entry in value.items() if name not in TIMES}
    return [without_times(entry) for entry in value] if isinstance(value, list) else value


def assert_equal(value, other, where):
    if isinstance(value, torch.Tensor):
        assert torch.equal(value, other), where
    elif isinstance(value, dict):
        assert list(value) == list(other), where
        for name in value:
            assert_equal(value[name], other[name], f"{where} {name}")
    elif isinstance(value, list):
        assert len(value) == len(other), where
        for place, entry in enumerate(value):
            assert_equal(entry, other[place], f"{where} {place}")
    else:
        assert value == other, where


def assert_as_never_stopped(folder, twin, where=""):
    for name in ("best.pt", "last.pt"):
        states = [without_times(torch.load(path / name, weights_only=True)) for path in (folder, twin)]
        assert_equal(*states, f"{where} {name}")
    assert without_times(history(folder)) == without_times(history(twin)), where
    for name in ("val_soft.csv", "soft.csv", "hard.csv"):
        assert (folder / name).read_bytes() == (twin / name).read_bytes(), f"{where} {name}"
    summaries = [without_times(load_json(path, "summary.json")) for path in (folder, twin)]
    assert {**summaries[0], "attempts": 0} == {**summaries[1], "attempts": 0}, where
    assert not [path for path in folder.iterdir() if re.fullmatch(r"\..+\.\d+", path.name)], where
    check_every_file_is_whole(folder)


def go_on(root, options, *words):
    train.main(["--data_dir", str(root), *options, "--resume", "auto", *map(str, words)])
