"""What tests that run real experiments share."""

import sys
import time

from conftest import PROJECT

from experiment import ENDED


def wait(experiment, until, seconds):
    deadline = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < deadline, f"{experiment.status()} {experiment.trials()}"
        time.sleep(0.5)


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
