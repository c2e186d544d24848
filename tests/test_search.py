"""Real experiments with nnictl, each with its own HOME, port and time limit."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from contextlib import suppress

import pandas as pd
import pytest
import yaml
from conftest import PROJECT
from released import released_nni
from walks import all_ended, searching, toy_search, wait, wait_for

from experiment import ENDED, NNICTL, ask, free_port, is_taken, nnictl, processes, start

pytestmark = pytest.mark.slow


def final_metrics(experiment):
    """The final metric that NNI keeps for each trial."""
    entries = [entry for entry in experiment.get("metric-data") if entry["type"] == "FINAL"]
    return {entry["trialJobId"]: json.loads(json.loads(entry["data"])) for entry in entries}


def test_as_released_nni_mixes_up_parameters_and_trials_take_those_on_record(launch, tmp_path, monkeypatch):
    """Even trials start late, so NNI hands them other trials' parameters; what they take must be their own."""
    monkeypatch.setenv("PYTHONPATH", str(released_nni(tmp_path / "released")))
    out = tmp_path / "out"
    out.mkdir()
    experiment = launch(toy_search(out, trials=8))
    wait(experiment, lambda: len(experiment.trials()) >= 2, 60)
    seen = [" ".join(process.cmdline()) for process in processes(experiment.id)]
    for part in ("nni_node", "--exp_params", "late_trial.py"):  # the manager, the dispatcher, a trial
        assert any(part in line for line in seen), seen
    wait(experiment, lambda: all_ended(experiment, 8), 180)
    trials, finals = experiment.trials(), final_metrics(experiment)
    assert [trial.status for trial in trials] == ["SUCCEEDED"] * 8
    told = {trial.id: json.loads((out / f"{trial.id}.json").read_text()) for trial in trials}
    assert any(words["handed"] != words["taken"] for words in told.values()), "the fault did not occur; nothing shown"
    for trial in trials:
        assert told[trial.id]["taken"] == trial.parameters
        assert finals[trial.id]["default"] == trial.parameters["x"]


def small_search(drawn, tmp_path, **changes):
    """config_local.yml's search, made small, on the drawn photos of the tests."""
    config = searching(yaml.safe_load((PROJECT / "config_local.yml").read_text()), tmp_path / "outputs")
    config["trialCommand"] = (
        f"{sys.executable} train.py --data_dir {drawn} --model_dir {tmp_path / 'outputs'} "
        "--pretrained false --resize 24 --threads 1 --model resnet18 --epochs 2"
    )
    config["searchSpace"] = {"lr": {"_type": "choice", "_value": [0.001, 0.002]}}
    del config["searchSpaceFile"]
    return config | {"trialCodeDirectory": str(PROJECT / "baseline"), "maxTrialNumber": 2} | changes


def test_a_v1_config_runs_the_same_search(launch, drawn, tmp_path):
    config = yaml.safe_load((PROJECT / "tests" / "fixtures" / "config_v1.yml").read_text())
    small = small_search(drawn, tmp_path)
    space = tmp_path / "space.json"
    space.write_text(json.dumps(small["searchSpace"]))
    config |= {"maxTrialNum": 2, "searchSpacePath": str(space)}
    config["trial"] |= {"command": small["trialCommand"], "codeDir": small["trialCodeDirectory"]}
    experiment = launch(config)
    wait(experiment, lambda: all_ended(experiment, 2), 180)
    finals = final_metrics(experiment)
    for trial in experiment.trials():
        assert trial.status == "SUCCEEDED"
        folder = tmp_path / "outputs" / experiment.id / trial.id
        assert json.loads((folder / "config.json").read_text())["parameters"]["lr"] == trial.parameters["lr"]
        metrics = json.loads((folder / "summary.json").read_text())["metrics"]
        assert finals[trial.id]["default"] == metrics["val_accuracy"]
        assert len(pd.read_csv(folder / "hard.csv")) == 35


def test_the_tensorboard_button_of_nni_s_page_shows_the_trial(launch, drawn, tmp_path):
    experiment = launch(small_search(drawn, tmp_path, maxTrialNumber=1))
    wait(experiment, lambda: all_ended(experiment, 1), 120)
    (trial,) = experiment.trials()
    body = json.dumps({"trials": trial.id}).encode()
    address = f"{experiment.page}/api/v1/nni/tensorboard"
    request = urllib.request.Request(address, body, {"Content-Type": "application/json"})
    task = json.load(urllib.request.urlopen(request))
    shown = f"http://127.0.0.1:{task['port']}/data/plugin/scalars/tags"

    def tags():
        with suppress(OSError):
            return urllib.request.urlopen(shown).read()
        return b""

    wait_for(lambda: b"accuracy" in tags(), 60, lambda: tags().decode())
    assert f"0-{trial.id}".encode() in tags()
    stop = urllib.request.Request(f"{address}/{task['id']}", method="DELETE")
    assert urllib.request.urlopen(stop).status == 200
    wait_for(lambda: not is_taken(int(task["port"])), 20)


def test_a_trial_that_nni_stops_leaves_a_valid_run_folder(launch, drawn, tmp_path):
    config = small_search(drawn, tmp_path, maxTrialNumber=1, trialConcurrency=1)
    config["trialCommand"] += "000"  # 2000 epochs
    experiment = launch(config)
    outputs = tmp_path / "outputs" / experiment.id
    wait(experiment, lambda: list(outputs.glob("*/history.jsonl")), 120)
    (trial,) = experiment.trials()
    killed = nnictl(tmp_path, "trial", "kill", experiment.id, "--trial_id", trial.id)
    assert killed.returncode == 0, killed.stdout
    wait(experiment, lambda: experiment.trials()[0].status in ENDED, 30)
    assert experiment.trials()[0].status == "USER_CANCELED"
    assert "cancelled on NNI's page" in json.loads((outputs / trial.id / "summary.json").read_text())["error"]
    summary = json.loads((outputs / trial.id / "summary.json").read_text())
    assert summary["status"] == "INTERRUPTED"
    assert summary["test"]["predicted"] is False
    assert len(pd.read_csv(outputs / trial.id / "val_soft.csv")) == 28


def test_a_misspelt_knob_fails_its_trial_at_once_and_says_so_in_its_log(launch, drawn, tmp_path):
    config = small_search(drawn, tmp_path, maxTrialNumber=1, trialConcurrency=1)
    config["searchSpace"] = {"batchsize": {"_type": "choice", "_value": [8, 16]}}
    experiment = launch(config)
    wait(experiment, lambda: all_ended(experiment, 1), 90)
    assert experiment.trials()[0].status == "FAILED"
    log = experiment.trial_file(experiment.trials()[0].id, "trial.stderr")
    assert "unknown knob from NNI: 'batchsize'. Did you mean 'batch_size'?" in log


def test_a_config_that_nni_refuses_is_an_error_with_its_words(tmp_path):
    path = tmp_path / "config.yml"
    path.write_text("trialCommand: python train.py\n")
    with pytest.raises(RuntimeError, match="nnictl create"):
        start(path, free_port(), tmp_path)


def test_a_taken_port_is_refused_and_its_owner_left_alone(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as owner, pytest.raises(RuntimeError, match="is taken"):
        start(tmp_path / "config.yml", owner.getsockname()[1], tmp_path)


@pytest.mark.timeout(900)
def test_the_demo_searches_blends_and_shows_the_leak(tmp_path):
    if not (PROJECT / "data" / "demo").is_dir():
        pytest.skip("the demo data is not drawn; make setup draws it")
    environment = os.environ | {"HOME": str(tmp_path), "COLUMNS": "140"}
    command = [sys.executable, PROJECT / "demo" / "run.py"]
    demo = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        said, _ = demo.communicate(timeout=800)
    except subprocess.TimeoutExpired:
        demo.send_signal(signal.SIGINT)  # so that it stops NNI
        pytest.fail(demo.communicate(timeout=60)[0])
    assert demo.returncode == 0, said
    experiment = re.search(r"watch it at http://127.0.0.1:\d+  \(experiment (\w+)\)", said).group(1)
    outputs = PROJECT / "outputs" / experiment
    try:
        assert processes(experiment) == []
        submission = pd.read_csv(outputs / "submission.csv")
        truth = pd.read_csv(PROJECT / "data" / "demo-truth.csv")
        assert submission["ImageID"].tolist() == truth["ImageID"].tolist()
        accuracy = (submission["ans"] == truth["ans"]).mean()
        assert f"accuracy {accuracy:.3f}" in said
        claims = re.search(r"would have claimed (\S+), .* says (\S+) .* on new people it is (\S+)\.", said, re.S)
        photo, person, truth = (float(number) for number in claims.groups())
        assert photo > max(person, truth)
        trials = [path for path in outputs.glob("*/summary.json") if not path.parent.name.startswith("blend-")]
        assert len(trials) == yaml.safe_load((PROJECT / "config_local.yml").read_text())["maxTrialNumber"]
        whole = [json.loads(path.read_text())["status"] == "SUCCEEDED" for path in trials]
        assert [(path.parent / "soft.csv").is_file() for path in trials] == whole  # the others were stopped early
        assert (outputs / "blend-equal" / "hard.csv").read_text() == (outputs / "submission.csv").read_text()
        assert "what to submit" in (outputs / "report.html").read_text()
        assert str(outputs / "submission.csv") in said
        assert re.search(r"about .+ to go", said)
    finally:
        shutil.rmtree(outputs)


def test_nnictl_is_the_one_installed_beside_this_python():
    assert NNICTL.is_file()
    with pytest.raises(OSError, match="refused"):
        ask(free_port(), "version")


@pytest.mark.slow
def test_policies_that_nni_searched_are_ranked_and_joined(launch, drawn, tmp_path):
    """config_augmentation.yml's search made small, and the command that follows it."""
    small, config = small_search(drawn, tmp_path), yaml.safe_load((PROJECT / "config_augmentation.yml").read_text())
    del config["searchSpaceFile"]
    space = json.loads((PROJECT / "search_space_augmentation.json").read_text())
    space["augmentation"]["_value"] = space["augmentation"]["_value"][:2]
    changed = {name: small[name] for name in ("trialCommand", "trialCodeDirectory", "maxTrialNumber")}
    experiment = launch(config | changed | {"searchSpace": space})
    wait(experiment, lambda: all_ended(experiment, 2), 180)
    policy = tmp_path / "policy.json"
    command = [sys.executable, PROJECT / "search" / "policies.py", experiment.id, "--outputs", tmp_path / "outputs"]
    subprocess.run([*command, "--window", "2", "--keep", "2", "-o", policy], check=True, capture_output=True)
    assert len(json.loads(policy.read_text())["policy"]) == 10


@pytest.mark.slow
def test_nni_hears_the_mean_of_the_folds_so_far_from_trials_of_all_folds(launch, drawn, tmp_path):
    config = small_search(drawn, tmp_path, maxTrialNumber=1)
    experiment = launch(config | {"trialCommand": config["trialCommand"] + " --folds 2 --fold all"})
    wait(experiment, lambda: all_ended(experiment, 1), 180)
    (trial,) = experiment.trials()
    folder = tmp_path / "outputs" / experiment.id / trial.id
    best = [
        json.loads((folder / f"fold-{fold}" / "summary.json").read_text())["metrics"]["val_accuracy"] for fold in (0, 1)
    ]
    told = [
        json.loads(json.loads(entry["data"]))["default"]
        for entry in experiment.get("metric-data")
        if entry["type"] == "PERIODICAL"
    ]
    assert sorted(told) == pytest.approx(sorted([best[0], sum(best) / 2]))
    whole = json.loads((folder / "summary.json").read_text())["metrics"]["val_accuracy"]
    assert final_metrics(experiment)[trial.id]["default"] == whole
