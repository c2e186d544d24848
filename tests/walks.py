"""What tests share that walk through the whole house: single trials in this process, and real experiments."""

import json
import shutil
import sqlite3
import sys
import time
from pathlib import Path

import psutil
import pytest
from conftest import PROJECT

import train
from experiment import ENDED


def searching(config, outputs):
    """A shipped config that a test starts from elsewhere: where its tuner and assessor are, and keep what they know."""
    for kind in {"tuner", "assessor"} & config.keys():
        if "codeDirectory" in config[kind]:
            config[kind]["codeDirectory"] = str(PROJECT / "search")
            config[kind]["classArgs"]["outputs"] = str(outputs)
    return config


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


def alive(pid):
    """Not so a zombie, which waits for its parent alone."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


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


def brief_search(folder, trials, concurrency=2, words=""):
    """A search of trials that end at once, with a tuner that writes what it is told to folder/told.jsonl."""
    out = folder / "out"
    out.mkdir(parents=True)
    return toy_search(out, trials) | {
        "trialCommand": f"{sys.executable} tests/fixtures/brief_trial.py {out} {words or 0.5}",
        "trialCodeDirectory": str(toy_code(folder / "code")),
        "trialConcurrency": concurrency,
        "tuner": {
            "className": "recording_tuner.Recorder",
            "codeDirectory": str(PROJECT / "tests" / "fixtures"),
            "classArgs": {"out": str(folder / "told.jsonl")},
        },
    }


def toy_code(folder):
    """What a toy trial needs, in a folder that NNI can upload."""
    for part in ("tests/fixtures", "baseline"):
        shutil.copytree(PROJECT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def mismatches(experiment, folder):
    """The trials of a brief_search in `folder`, all ended, with other parameters than page, database or tuner show."""
    trials, heard = experiment.trials(), folder / "told.jsonl"
    wait(experiment, lambda: heard.is_file() and len(heard.read_text().splitlines()) == len(trials), 30)
    filed = sqlite3.connect(experiment.home / "nni-experiments" / experiment.id / "db" / "nni.sqlite")
    rows = filed.execute("select trialJobId, data from TrialJobEvent where data like '{%'").fetchall()
    database = {trial: json.loads(data)["parameters"] for trial, data in rows}
    filed.close()
    told = {number: x for number, x, _ in map(json.loads, heard.read_text().splitlines())}
    wrong = []
    for trial in trials:
        took = load_json(folder / "out", f"{trial.id}.json")
        shown = [trial.parameters, database[trial.id], {"x": told.get(took["parameter_id"])}]
        wrong += [(trial.id, took["taken"], shown)] if any(entry != took["taken"] for entry in shown) else []
    return wrong
