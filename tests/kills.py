"""Trials that are killed in a process of their own, and what they leave compared with a trial never stopped."""

import faulthandler
import itertools
import json
import os
import re
import resource
import signal
import sys
import threading
import time
import traceback
import warnings
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import nn
from walks import history, load_json, run_trial, wait_for

import train
from model import MODELS

TIMES = {"seconds", "images_per_second"}
IDLE = ("ThreadPoolExecutor", "tqdm_monitor")  # torch's compiler keeps them, waiting for work; our own pools are joined


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


def other_threads():
    """What else runs Python code here, by name, but for idle threads.

    threading.enumerate() does not know a thread any more whose object is being freed, and that may take locks: a pool
    of processes unregisters its semaphores then.
    """
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    running = {names.get(ident, f"one at its end, in {frame}") for ident, frame in sys._current_frames().items()}
    return sorted(name for name in running - {threading.current_thread().name} if not name.startswith(IDLE))


def fork(work, patience=30):
    """The id of a process that does work() and ends; it costs no import of torch.

    Whatever another thread has locked would stay locked there for ever: fails where one still runs after `patience`
    seconds.
    """
    wait_for(lambda: not other_threads(), patience, lambda: f"not forked beside other threads: {other_threads()}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12's, which counts idle and native threads too
        process = os.fork()
    if process:
        return process
    status = 1
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        faulthandler.enable(2)  # SIGABRT has it write where it is
        work()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:  # also where that cannot be printed; it must never go on as a second pytest
        os._exit(status)


def ended(process, seconds=300):
    """The exit status, or minus the signal that ended it. Fails where it takes longer, and kills it."""
    status = status_of(process, seconds)
    if status is None:
        os.kill(process, signal.SIGABRT)
        if status_of(process, 10) is None:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
        pytest.fail(f"process {process} had not ended after {seconds} s; its stderr says where it was")
    return os.waitstatus_to_exitcode(status)


def status_of(process, seconds):
    """As os.waitpid() gives it, or None where it has not ended by then."""
    deadline = time.monotonic() + seconds
    while True:
        found, status = os.waitpid(process, os.WNOHANG)
        if found:
            return status
        if time.monotonic() > deadline:
            return None
        time.sleep(0.01)


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
