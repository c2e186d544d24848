"""Searches over ssh: nnictl, real sshds with their own ports, keys and homes, real trials, and the way home."""

import json
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import suppress

import pandas as pd
import psutil
import pytest
import yaml
from conftest import PROJECT
from released import released_nni
from remote import make_key, needs_sshd
from walks import all_ended, brief_search, history, load_json, mismatches, searching, wait, wait_for

import nni_repair
from experiment import free_port, processes
from machines import connect, machines_of

pytestmark = [pytest.mark.ssh, needs_sshd]
EPOCHS = 40  # so many that none ends before it is disturbed
KEYS = {
    "ed25519": ["-t", "ed25519"],
    "ecdsa": ["-t", "ecdsa"],
    "rsa": ["-t", "rsa"],
    "rsa_pem": ["-t", "rsa", "-m", "PEM"],
}


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """HOME of this computer's side: known_hosts and NNI's registry."""
    monkeypatch.setenv("HOME", str(tmp_path))


def shipped(name, drawn, machines, **changes):
    """config_remote.yml, or its v1 twin, with its CHANGE lines changed, made small."""
    config = yaml.safe_load((PROJECT / name).read_text())
    old = "trial" in config
    command = config["trial"]["command"] if old else config["trialCommand"]
    command = command.replace("/home/me/podium/.venv/bin/python", sys.executable).replace("/home/me/data", str(drawn))
    command = command.replace("--epochs 30", "--epochs 2") + " --pretrained false --resize 24 --threads 1 --device cpu"
    space = {"lr": {"_type": "uniform", "_value": [0.001, 0.002]}, "model": {"_type": "choice", "_value": ["resnet18"]}}
    if old:
        file = drawn.parent / "space.json"
        file.write_text(json.dumps(space))
        names = {"host": "ip", "user": "username", "sshKeyFile": "sshKeyPath"}
        config |= {"maxTrialNum": changes.pop("maxTrialNumber", 2), "searchSpacePath": str(file)}
        config["trial"] = {"command": command, "codeDir": str(PROJECT / "baseline")}
        config["machineList"] = [{names.get(key, key): value for key, value in entry.items()} for entry in machines]
        return config | changes
    del config["searchSpaceFile"]
    searching(config, drawn.parent / "outputs")
    config["trainingService"]["machineList"] = machines
    code = {"trialCommand": command, "trialCodeDirectory": str(PROJECT / "baseline"), "searchSpace": space}
    return config | code | {"maxTrialNumber": 2} | changes


def on_machines(config, *boxes):
    return config | {
        "nniManagerIp": "127.0.0.1",
        "trainingService": {"platform": "remote", "machineList": [box.entry() for box in boxes]},
    }


def run(*words):
    """A script of search/ or ensemble/ as a user runs it: its output. Fails the test where it fails."""
    command = [sys.executable, PROJECT / words[0], *map(str, words[1:])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.timeout(1200)
def test_a_search_on_two_machines_from_its_check_to_a_submission(launch, drawn, boxes, tmp_path):
    config = shipped("config_remote.yml", drawn, [boxes("one").entry(), boxes("two").entry()], maxTrialNumber=4)
    (tmp_path / "mine.yml").write_text(yaml.safe_dump(config))
    said = run("search/preflight.py", tmp_path / "mine.yml", "--port", free_port())
    assert "FAIL" not in said
    experiment = launch(config)
    home = tmp_path / "results"
    said = run("search/collect.py", experiment.id, "--watch", "--every", 2, "--outputs", home, "--home", tmp_path)
    assert "4 SUCCEEDED" in said
    trials = [json.loads(line) for line in (home / experiment.id / "trials.jsonl").read_text().splitlines()]
    shown = {trial.id: trial.parameters for trial in experiment.trials()}
    assert {trial["id"]: trial["parameters"] for trial in trials} == shown
    assert len({trial["host"] for trial in trials}) == 2, "both machines were used"
    for trial in trials:
        folder = home / experiment.id / trial["id"]
        assert load_json(folder, "config.json")["parameters"]["lr"] == shown[trial["id"]]["lr"]
        assert load_json(folder, "summary.json")["status"] == trial["status"] == "SUCCEEDED"
        assert (folder / "best.pt").is_file()
    files = sorted((home / experiment.id).glob("*/soft.csv"))
    run("ensemble/soft_vote.py", *files, "-o", tmp_path / "submission.csv")
    assert len(pd.read_csv(tmp_path / "submission.csv")) == 35
    assert not any("PRIVATE KEY" in file.read_text(errors="replace") for file in home.rglob("*") if file.is_file())


def test_the_v1_twin_runs_on_two_machines(launch, drawn, boxes, tmp_path):
    machines = [boxes("one").entry(), boxes("two").entry()]
    experiment = launch(shipped("tests/fixtures/config_remote_v1.yml", drawn, machines))
    wait(experiment, lambda: all_ended(experiment, 2), 180)
    assert [trial.status for trial in experiment.trials()] == ["SUCCEEDED"] * 2


def test_keys_of_every_kind_that_works_and_one_with_a_passphrase(launch, boxes, tmp_path):
    machines = []
    for name, words in KEYS.items():
        box = boxes(name)
        key = make_key(tmp_path / name / "other", *words)
        (box.folder / "authorized_keys").write_text((tmp_path / name / "other.pub").read_text())
        machines.append(box.entry(sshKeyFile=str(key)))
    box = boxes("passphrase")
    subprocess.run(["ssh-keygen", "-q", "-p", "-N", "open sesame", "-f", box.key], check=True)
    machines.append(box.entry(sshPassphrase="open sesame"))
    config = brief_search(tmp_path / "search", 5, concurrency=5)
    config |= {"nniManagerIp": "127.0.0.1", "trainingService": {"platform": "remote", "machineList": machines}}
    experiment = launch(config)
    wait(experiment, lambda: all_ended(experiment, 5), 180)
    assert mismatches(experiment, tmp_path / "search") == []
    assert len({job["envId"] for job in experiment.get("trial-jobs")}) == 5
    text = (tmp_path / "nni-experiments" / experiment.id / "log" / "nnimanager.log").read_text()
    assert "open sesame" not in text


def long_search(drawn, tmp_path, *boxes):
    """One trial of many short epochs on machines, its results in one folder."""
    config = shipped("config_remote.yml", drawn, [box.entry() for box in boxes], maxTrialNumber=1)
    config["trialCommand"] = config["trialCommand"].replace("--epochs 2", f"--epochs {EPOCHS}")
    config["trialCommand"] = config["trialCommand"].replace("~/podium-outputs", str(tmp_path / "there"))
    return config | {"trialConcurrency": 1}


def lines(tmp_path):
    return [line for file in (tmp_path / "there").glob("*/*/history.jsonl") for line in file.read_text().splitlines()]


def keepers(box):
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if "trial_keeper/main.js" in " ".join(process.cmdline()) and process.environ()["HOME"] == str(box.home):
                found.append(process)
    return found


def test_a_trial_whose_keeper_is_killed_starts_once_more_and_goes_on(launch, drawn, boxes, tmp_path):
    box = boxes("one")
    experiment = launch(long_search(drawn, tmp_path, box))
    wait(experiment, lambda: len(lines(tmp_path)) >= 2, 120)
    (keeper,) = keepers(box)
    keeper.kill()
    wait(experiment, lambda: all_ended(experiment, 1), 240)
    assert experiment.trials()[0].status == "SUCCEEDED"
    (folder,) = (tmp_path / "there").glob("*/*")
    summary = load_json(folder, "summary.json")
    assert [attempt["ended"] for attempt in summary["attempts"]] == ["INTERRUPTED", "SUCCEEDED"]
    assert summary["attempts"][1]["from_epoch"] >= 1
    assert [row["epoch"] for row in history(folder)] == list(range(1, EPOCHS + 1))
    assert "started once more" in experiment.get("trial-jobs")[0]["message"]


def test_machines_that_are_down_or_mute_at_the_start_keep_no_search_from_running(launch, boxes, tmp_path):
    """One is up; one comes later and is then used; one takes connections and says nothing, which ended the manager."""
    up, later = boxes("up"), boxes("later")
    later.stop()
    with socket.create_server(("127.0.0.1", 0)) as mute:
        config = on_machines(brief_search(tmp_path / "search", 30, concurrency=2), up, later)
        config["trainingService"]["machineList"].append(up.entry(port=mute.getsockname()[1]))
        experiment = launch(config)
        wait(experiment, lambda: len(experiment.trials()) > 2, 120)
        later.start()
        wait(experiment, lambda: len({job.get("envId") for job in experiment.get("trial-jobs")}) == 2, 120)
    assert len(keepers(up)) == len(keepers(later)) == 1


def test_an_sshd_that_dies_in_mid_trial_harms_nothing_and_nothing_hangs(launch, drawn, boxes, tmp_path):
    box = boxes("one")
    experiment = launch(long_search(drawn, tmp_path, box))
    wait(experiment, lambda: len(lines(tmp_path)) >= 1, 120)
    box.stop()
    (trial,) = experiment.trials()
    file = f"{experiment.page}/api/v1/nni/trial-file/{trial.id}/trial.log"
    with suppress(urllib.error.HTTPError):  # an answer, if only that the file cannot be had
        urllib.request.urlopen(file, timeout=60).read()
    box.start()
    wait(experiment, lambda: all_ended(experiment, 1), 240)
    assert experiment.trials()[0].status == "SUCCEEDED"
    said = urllib.request.urlopen(file.replace("trial.log", "stdout"), timeout=60).read().decode()
    assert f"epoch {EPOCHS}/{EPOCHS} done" in said


def test_the_repair_runs_over_ssh_and_an_unrepaired_machine_is_never_silent(launch, boxes, tmp_path):
    released = released_nni(tmp_path / "released")
    box = boxes("one", SetEnv=f"HOME={tmp_path}/one/home PYTHONPATH={released}")
    config = on_machines(brief_search(tmp_path / "search", 2), box)
    (tmp_path / "mine.yml").write_text(yaml.safe_dump(config))
    refused = subprocess.run(
        [sys.executable, PROJECT / "search" / "preflight.py", tmp_path / "mine.yml", "--port", str(free_port())],
        capture_output=True,
        text=True,
    )
    assert refused.returncode == 1
    assert f"FAIL NNI's repair, root@127.0.0.1:{box.port}" in refused.stdout
    experiment = launch(config)
    wait(experiment, lambda: all_ended(experiment, 2), 120)
    assert mismatches(experiment, tmp_path / "search") == []
    logs = list(box.home.glob("nni-experiments/*/environments/*/trials/*/trial.stdout"))
    assert len(logs) == 2
    assert all("the NNI of this machine is not repaired" in log.read_text() for log in logs)
    assert "0 of" not in run(
        "search/nni_repair.py", "--apply", "--config", tmp_path / "mine.yml", "--host", box.address
    )
    assert "is repaired" in run("search/nni_repair.py", "--check", "--config", tmp_path / "mine.yml")
    with connect(machines_of(config)[0]) as connection:
        there = nni_repair.remote(connection)
        assert there.root == str(released)
        assert nni_repair.missing(there) == []
        assert nni_repair.undo(there) == len(nni_repair.FILES)
        assert len(nni_repair.missing(there)) == len(nni_repair.REPAIRS)


def test_the_page_of_a_remote_search_is_on_loopback_and_its_keepers_too(launch, boxes, tmp_path):
    box = boxes("one")
    experiment = launch(on_machines(brief_search(tmp_path / "search", 1), box))
    wait(experiment, lambda: all_ended(experiment, 1), 120)
    for process in [*processes(experiment.id), *keepers(box)]:
        for connection in process.net_connections("inet"):
            if connection.status == psutil.CONN_LISTEN:
                assert connection.laddr.ip == "127.0.0.1"


def test_a_machine_that_forwards_no_port_is_told(boxes, tmp_path, launch):
    box = boxes("one", AllowTcpForwarding="no")
    experiment = launch(on_machines(brief_search(tmp_path / "search", 1), box))
    log = tmp_path / "nni-experiments" / experiment.id / "log" / "nnimanager.log"
    wait_for(lambda: "see AllowTcpForwarding in its sshd_config" in log.read_text(), 60)
