"""What tests share that walk through the whole house: single trials in this process, and real experiments."""

import json
import sys
import time
from pathlib import Path

import pytest
from conftest import PROJECT

import train
from experiment import ENDED


def run_trial(root, quick, *words):
    """The run folder of a trial on `root`; `quick` ends with --model_dir."""
    train.main(["--data_dir", str(root), *quick, *map(str, words)])
    return newest(quick)


def newest(quick):
    return max(Path(quick[-1]).glob("*/*"), key=lambda folder: folder.stat().st_mtime_ns)


def failure(root, quick, *words):
    with pytest.raises(SystemExit) as stop:
        run_trial(root, quick, *words)
    return str(stop.value)


def load_json(folder, name):
    return json.loads((folder / name).read_text())


def history(folder):
    return [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]


def wait_for(condition, seconds, state=lambda: "waited in vain"):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, state()
        time.sleep(0.2)


def wait(experiment, until, seconds):
    wait_for(until, seconds, lambda: f"{experiment.status()} {experiment.trials()}")


def all_ended(experiment, count):
    trials = experiment.trials()
    return len(trials) == count and all(trial.status in ENDED for trial in trials)


def toy_search(out, trials):
    """A search of trials without work that write what they took to the folder `out`."""
    return {
        "searchSpace": {"x": {"_type": "uniform", "_value": [0, 1]}},
        "trialCommand": f"{sys.executable} late_trial.py {out}",
        "trialCodeDirectory": str(PROJECT / "tests" / "fixtures"),
        "trialConcurrency": 2,
        "maxTrialNumber": trials,
        "maxExperimentDuration": "5m",
        "tuner": {"name": "TPE", "classArgs": {"optimize_mode": "maximize"}},
        "trainingService": {"platform": "local"},
    }
