"""Our tuner and assessor in real searches: trials without work but with planted curves, kills, bad arguments."""

import json
import math
import subprocess
import sys

import pandas as pd
import psutil
import pytest
import yaml
from conftest import PROJECT
from remote import needs_sshd
from test_remote import run, shipped
from test_search import small_search
from walks import all_ended, load_json, wait, wait_for

import ledger
from checks.finding import FAIL
from experiment import free_port, nnictl, processes

pytestmark = pytest.mark.slow

SGD = {"_name": "SGD", "momentum": {"_type": "uniform", "_value": [0, 0.9]}}
SPACE = {
    "lr": {"_type": "loguniform", "_value": [0.0001, 1]},
    "batch_size": {"_type": "choice", "_value": [16, 32, 64]},
    "optimizer": {"_type": "choice", "_value": [SGD, {"_name": "Adam"}]},
}
EPOCHS = 9


def planted_search(folder, trials, space=SPACE, *, seconds=0.3, **changes):
    """A search of tests/fixtures/curve_trial.py with our tuner and assessor."""
    (folder / "came").mkdir()
    fixture = PROJECT / "tests" / "fixtures" / "curve_trial.py"
    ours, outputs = {"codeDirectory": str(PROJECT / "search")}, str(folder / "outputs")
    return {
        "searchSpace": space,
        "trialCommand": f"{sys.executable} {fixture} {EPOCHS} {seconds} {folder / 'came'}",
        "trialCodeDirectory": str(fixture.parent),
        "trialConcurrency": 4,
        "maxTrialNumber": trials,
        "maxExperimentDuration": "5m",
        "tuner": ours | {"className": "tuner.OptunaTuner", "classArgs": {"seed": 0, "outputs": outputs}},
        "assessor": ours | {"className": "assessor.Asha", "classArgs": {"outputs": outputs}},
        "trainingService": {"platform": "local"},
    } | changes


def on_record(experiment):
    """The trials as NNI's REST interface has them, by id."""
    records = ledger.records_of(experiment.get("trial-jobs"), experiment.get("metric-data"))
    return {record.id: record for record in records}


def told(folder, experiment):
    """trials.jsonl as the tuner wrote it, once every trial that NNI has is in it."""
    file = folder / "outputs" / experiment.id / "trials.jsonl"
    wait_for(lambda: len(ledger.read(file)) >= len(experiment.trials()), 10, lambda: f"{file}, {experiment.trials()}")
    return ledger.read(file)


def taken(folder, trial):
    return json.loads((folder / "came" / f"{trial}.json").read_text())


def planted(knobs, epochs=range(1, EPOCHS + 1)):
    quality = 1 - abs(math.log10(knobs["lr"]) + 2) / 2
    return [math.nan if knobs.get("fault") == "nan" else quality * (epoch / EPOCHS) for epoch in epochs]


def same(one, other):
    """NaN is NaN, and null in JSON."""
    return [repr(float(value)) for value in one] == [repr(math.nan if v is None else float(v)) for v in other]


def check_books(folder, experiment):
    """NNI's record, trials.jsonl and the trials themselves say the same; each point came once."""
    records, lines = on_record(experiment), told(folder, experiment)
    assert set(records) == set(lines)
    for name, record in records.items():
        assert record.parameters == lines[name]["parameters"] == taken(folder, name)
        curve = lines[name]["intermediate"]
        assert same(record.intermediate, planted(record.parameters)[: len(curve)])
        assert same(record.intermediate, curve)
    points = {json.dumps(record.parameters, sort_keys=True) for record in records.values()}
    assert len(points) == len(records), "a point came twice"
    return records, lines


def test_a_search_goes_on_past_trials_that_fail_and_stops_those_left_behind(launch, tmp_path):
    faults = ("none", "exit", "nan", "mute", "unnamed")
    config = planted_search(tmp_path, 30, SPACE | {"fault": {"_type": "choice", "_value": list(faults)}})
    config["tuner"]["classArgs"]["first"] = [{"lr": 0.01, "fault": fault} for fault in faults]
    experiment = launch(config)
    wait(experiment, lambda: experiment.status() == "DONE", 120)
    records, lines = check_books(tmp_path, experiment)
    assert len(records) == 30
    for name, record in records.items():
        fault, line = record.parameters["fault"], lines[name]
        sound = record.status == "SUCCEEDED" and fault == "none"
        stopped = record.status == "EARLY_STOPPED" and fault != "nan"
        assert line["status"] == ("SUCCEEDED" if sound else "EARLY_STOPPED" if stopped else "FAILED")
        assert line["objective"] == (record.objective if sound else None)
    why = {line["parameters"]["fault"]: line["error"] for line in lines.values() if line["status"] == "FAILED"}
    assert why["mute"] == "it reported no final result"
    assert why["unnamed"] == "its final result is {'macro_f1': 0.5}, no number"
    assert "no number" in why["nan"] or "before it reported a number" in why["nan"]
    assert [record.status for record in records.values() if record.parameters["fault"] == "exit"].count("FAILED")
    check_stops([record for record in records.values() if record.parameters["fault"] != "nan"])


def check_stops(records):
    """A stopped trial had been behind a third of four others, rounded up, at its last rung; the best was never."""
    stopped = [record for record in records if record.status == "EARLY_STOPPED"]
    assert len(stopped) > 5
    for record in stopped:
        rung = max(epoch for epoch in (1, 3) if epoch <= len(record.intermediate))
        here = [other.intermediate[rung - 1] for other in records if len(other.intermediate) >= rung]
        assert sum(value > record.intermediate[rung - 1] for value in here) >= 2
    whole = [record for record in records if record.parameters["fault"] == "none"]
    assert max(whole, key=lambda record: planted(record.parameters)[-1]).status == "SUCCEEDED"


def test_a_grid_without_assessor_is_tried_once_each_though_it_was_stopped_and_resumed(launch, tmp_path):
    """Of its trials two never report a result, and two are stopped because they take too long."""
    space = {"fault": {"_type": "choice", "_value": ["none", "mute", "slow"]}}
    space["lr"] = {"_type": "choice", "_value": [0.01, 0.1]}
    config = planted_search(tmp_path, 50, space, trialConcurrency=2, maxTrialDuration="25s")
    del config["assessor"]
    config["tuner"]["classArgs"]["sampler"] = "grid"
    experiment = launch(config)
    wait(experiment, lambda: sum(trial.status == "SUCCEEDED" for trial in experiment.trials()) >= 2, 60)
    experiment.stop()
    resume(experiment)
    wait(experiment, lambda: all_ended(experiment, 6) and experiment.status() == "TUNER_NO_MORE_TRIAL", 180)
    _, lines = check_books(tmp_path, experiment)
    for line in lines.values():
        fault, reports = line["parameters"]["fault"], len(line["intermediate"])
        assert line["status"] == {"none": "SUCCEEDED", "mute": "FAILED", "slow": "EARLY_STOPPED"}[fault]
        assert reports in {"none": [EPOCHS], "mute": [0], "slow": range(1, EPOCHS)}[fault]


def resume(experiment):
    resumed = nnictl(experiment.home, "resume", experiment.id, "--port", str(experiment.port))
    assert resumed.returncode == 0, resumed.stdout


def kill_manager(experiment):
    (manager,) = [process for process in processes(experiment.id) if "main.js" in " ".join(process.cmdline())]
    manager.kill()
    psutil.wait_procs([manager], 10)
    wait_for(lambda: processes(experiment.id) == [], 20, lambda: str(processes(experiment.id)))


def test_after_a_kill_of_the_manager_trials_go_on_and_tuner_and_assessor_know_them(launch, tmp_path):
    """Three good trials have ended when NNI dies; then a bad, a better and a bad one are under way, at epoch 1 or 2."""
    config = planted_search(tmp_path, 9, seconds=0.6, trialConcurrency=3)
    config["tuner"]["classArgs"]["first"] = [{"lr": lr} for lr in (0.011, 0.012, 0.013, 0.0002, 0.01, 0.5)]
    config["assessor"]["classArgs"] |= {"min_epochs": 3}
    experiment = launch(config)

    def under_way():
        return [record for record in on_record(experiment).values() if record.number > 2 and record.intermediate]

    wait(experiment, lambda: len(under_way()) == 3, 90)
    kill_manager(experiment)
    resume(experiment)
    wait(experiment, lambda: experiment.status() == "DONE", 120)
    records, _ = check_books(tmp_path, experiment)
    assert sorted(record.number for record in records.values()) == list(range(9))
    ended = {record.parameters["lr"]: record for record in records.values()}
    assert ended[0.01].status == "SUCCEEDED"
    for lr in (0.0002, 0.5):  # at the first epoch where they can be, by what trials before the kill had there
        assert ended[lr].status == "EARLY_STOPPED"
        assert 3 <= len(ended[lr].intermediate) < EPOCHS
    suggested = (tmp_path / "outputs" / experiment.id / "suggested.jsonl").read_text().splitlines()
    assert len(suggested) < 9 + 3, "more points were drawn at the resume than there was room for"


@pytest.mark.parametrize("name", ["TPE", "Random"])
def test_nni_s_own_tuners_search_a_nested_space_with_our_trial(launch, tmp_path, name):
    tuner = {"name": name, "classArgs": {"optimize_mode": "maximize"} if name == "TPE" else {}}
    config = planted_search(tmp_path, 4, seconds=0.05, tuner=tuner)
    del config["assessor"]
    experiment = launch(config)
    wait(experiment, lambda: experiment.status() == "DONE", 90)
    for record in on_record(experiment).values():
        took = taken(tmp_path, record.id)
        assert record.status == "SUCCEEDED"
        assert took == record.parameters
        assert ("momentum" in took) == (took["optimizer"] == "SGD")


def nested_search(drawn, folder):
    space = {
        "lr": {"_type": "choice", "_value": [0.001]},
        "optimizer": {
            "_type": "choice",
            "_value": [{"_name": "SGD", "momentum": {"_type": "choice", "_value": [0.75]}}, {"_name": "Adam"}],
        },
    }
    arguments = {"sampler": "grid", "outputs": str(folder / "outputs")}
    tuner = {"className": "tuner.OptunaTuner", "codeDirectory": str(PROJECT / "search"), "classArgs": arguments}
    config = small_search(drawn, folder, searchSpace=space, tuner=tuner)
    del config["assessor"]
    return config


def test_a_real_trial_trains_with_the_knobs_of_the_branch_that_was_chosen(launch, drawn, tmp_path):
    config = nested_search(drawn, tmp_path)
    assert [finding for finding in findings(config, tmp_path) if finding["state"] == FAIL] == []
    experiment = launch(config)
    wait(experiment, lambda: experiment.status() == "DONE", 120)
    lines = told(tmp_path, experiment)
    momenta = {}
    for name, line in lines.items():
        trained = load_json(tmp_path / "outputs" / experiment.id / name, "config.json")["parameters"]
        assert line["status"] == "SUCCEEDED"
        assert trained | line["parameters"] == trained
        momenta[trained["optimizer"]] = (line["parameters"].get("momentum"), trained["momentum"])
    assert momenta == {"SGD": (0.75, 0.75), "Adam": (None, 0.9)}


def findings(config, folder):
    """What preflight says of a config."""
    path = folder / "mine.yml"
    path.write_text(yaml.safe_dump(config))
    command = [sys.executable, PROJECT / "search" / "preflight.py", path, "--port", str(free_port()), "--json"]
    return json.loads(subprocess.run(command, capture_output=True, text=True, timeout=120).stdout)


@pytest.mark.parametrize(
    ("arguments", "reason", "shown"),
    [
        ({"sampler": "tpee"}, "unknown sampler 'tpee'. Did you mean 'tpe'", "see log/dispatcher.log"),
        ({"first": [{"lr": 5}]}, "lr = 5 is not within 0.0001 and 1", "ValueError: first point 1: lr = 5"),
    ],
    ids=["made", "told the space"],
)
def test_a_tuner_that_fails_at_once_is_said_by_preflight_and_else_ends_the_experiment(
    launch, tmp_path, arguments, reason, shown
):
    config = planted_search(tmp_path, 2)
    config["tuner"]["classArgs"] |= arguments
    (found,) = [entry for entry in findings(config, tmp_path) if entry["state"] == FAIL]
    assert found["check"] == "tuner"
    assert reason in found["found"]
    experiment = launch(config)
    with pytest.raises(RuntimeError, match=f"tuner's process has ended.*{shown}"):
        wait_for(lambda: experiment.status() == "DONE", 30)
    assert reason in (tmp_path / "nni-experiments" / experiment.id / "log" / "dispatcher.log").read_text()


@pytest.mark.ssh
@needs_sshd
def test_trials_stopped_on_machines_come_home_and_serve_in_a_blend(launch, drawn, boxes, tmp_path, monkeypatch):
    """Two that learn and two whose learning rate is next to nothing, which are stopped after an epoch or so."""
    monkeypatch.setenv("HOME", str(tmp_path))
    rates = [0.001, 0.002, 1e-9, 2e-9]
    space = {"lr": {"_type": "choice", "_value": rates}, "model": {"_type": "choice", "_value": ["resnet18"]}}
    config = shipped("config_remote.yml", drawn, [boxes("one").entry()], searchSpace=space, maxTrialNumber=4)
    config["trialCommand"] = config["trialCommand"].replace("--epochs 2", "--epochs 8")
    ours, outputs = {"codeDirectory": str(PROJECT / "search")}, str(tmp_path / "outputs")
    first = [{"lr": rate} for rate in rates]
    config["tuner"] = ours | {"className": "tuner.OptunaTuner", "classArgs": {"first": first, "outputs": outputs}}
    arguments = {"min_trials": 2, "outputs": outputs}
    config["assessor"] = ours | {"className": "assessor.Median", "classArgs": arguments}
    experiment = launch(config)
    wait(experiment, lambda: all_ended(experiment, 4), 200)
    by_tuner = told(tmp_path, experiment)
    run("search/collect.py", experiment.id, "--outputs", outputs, "--home", tmp_path)
    home = tmp_path / "outputs" / experiment.id
    collected = ledger.read(home / "trials.jsonl")
    shared = ("number", "parameters", "status", "objective", "intermediate")
    assert {name: [line[word] for word in shared] for name, line in by_tuner.items()} == {
        name: [line[word] for word in shared] for name, line in collected.items()
    }
    stopped = [name for name, line in collected.items() if line["status"] == "EARLY_STOPPED"]
    assert {collected[name]["parameters"]["lr"] for name in stopped} >= {1e-9, 2e-9}
    for name in stopped:
        assert load_json(home / name, "summary.json")["status"] == "EARLY_STOPPED"
        assert {"best.pt", "val_soft.csv"} <= {file.name for file in (home / name).iterdir()}
        assert not (home / name / "soft.csv").exists()
    run("baseline/inference.py", home / stopped[0])
    run("ensemble/soft_vote.py", home, "--fit", "greedy", "-o", tmp_path / "submission.csv")
    (blend,) = home.glob("blend-*")
    members = load_json(blend, "config.json")["blend"]["members"]
    assert f"{experiment.id}/{stopped[0]}" in members
    assert len(pd.read_csv(tmp_path / "submission.csv")) == 35
