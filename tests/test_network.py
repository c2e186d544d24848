"""Machines with addresses of their own: each is a network namespace with one cable to this computer."""

import os
import subprocess
import sys
from itertools import count
from types import SimpleNamespace

import pytest
from remote import needs_sshd
from test_remote import EPOCHS, keepers, long_search, on_machines
from walks import all_ended, brief_search, history, load_json, mismatches, wait, wait_for

from experiment import nnictl

pytestmark = [pytest.mark.ssh, needs_sshd]
NUMBERS = count(1)
PROBE = """
import socket, sys
for family, address in ((socket.AF_INET, sys.argv[1]), (socket.AF_INET6, "::1"), (socket.AF_INET, "127.0.0.1")):
    for port in map(int, sys.argv[2:]):
        with socket.socket(family) as probe:
            probe.settimeout(2)
            print(int(probe.connect_ex((address, port)) == 0), end=" ")
"""


def ip(*words):
    return subprocess.run(["ip", *words], capture_output=True, text=True, check=True).stdout


@pytest.fixture
def namespaces():
    """make() lays a cable to a new network namespace: its name, its own address `there`, and ours as it sees it."""
    made = []

    def make():
        number = next(NUMBERS)
        name = f"podium{os.getpid()}n{number}"
        net = f"198.18.{(os.getpid() + number) % 256}"  # RFC 2544 keeps 198.18.0.0/15 for tests
        here, there = f"p{os.getpid() % 100000}h{number}", f"p{os.getpid() % 100000}t{number}"
        try:
            ip("netns", "add", name)
        except (OSError, subprocess.CalledProcessError):
            pytest.skip("this computer allows no network namespaces")
        made.append(name)
        ip("link", "add", here, "type", "veth", "peer", "name", there, "netns", name)
        ip("addr", "add", f"{net}.1/24", "dev", here)
        ip("link", "set", here, "up")
        ip("-n", name, "addr", "add", f"{net}.2/24", "dev", there)
        ip("-n", name, "link", "set", there, "up")
        ip("-n", name, "link", "set", "lo", "up")
        return SimpleNamespace(name=name, here=f"{net}.1", there=f"{net}.2", cable=here)

    yield make
    for name in made:
        ip("netns", "del", name)


@pytest.fixture
def machine(namespaces, boxes):
    """make(name) gives a Box and the namespace that it is in."""

    def make(name):
        space = namespaces()
        return boxes(name, address=space.there, prefix=("ip", "netns", "exec", space.name)), space

    return make


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))


def open_from(space, *ports):
    """Which of our ports answer inside a namespace: at our address, at its own ::1 and at its own 127.0.0.1."""
    command = ["ip", "netns", "exec", space.name, sys.executable, "-c", PROBE, space.here, *map(str, ports)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


def test_nothing_of_a_search_answers_another_machine(launch, machine, tmp_path, monkeypatch):
    box, space = machine("one")
    config = on_machines(brief_search(tmp_path / "search", 2), box)
    experiment = launch(config)
    assert open_from(space, experiment.port) == ["0", "0", "0"]
    wait(experiment, lambda: all_ended(experiment, 2), 120)
    assert mismatches(experiment, tmp_path / "search") == []
    assert open_from(space, experiment.port) == ["0", "0", "0"]


def test_whoever_wants_the_page_open_says_so(launch, namespaces, tmp_path, monkeypatch):
    space = namespaces()
    monkeypatch.setenv("NNI_LISTEN", "0.0.0.0")
    experiment = launch(brief_search(tmp_path / "search", 1))
    assert open_from(space, experiment.port)[0] == "1"


@pytest.mark.timeout(1200)
def test_a_search_on_two_machines_with_addresses_of_their_own_survives_the_loss_of_one(
    launch, machine, drawn, tmp_path
):
    (one, cable), (two, _) = machine("one"), machine("two")
    config = long_search(drawn, tmp_path, one, two)
    config["trialCommand"] = config["trialCommand"].replace(str(tmp_path / "there"), "~/there")
    experiment = launch(config | {"maxTrialNumber": 2, "trialConcurrency": 2})
    wait(experiment, lambda: list(one.home.glob("there/*/*/history.jsonl")), 120)
    wait(experiment, lambda: list(two.home.glob("there/*/*/history.jsonl")), 120)
    ip("link", "set", cable.cable, "down")
    wait(experiment, lambda: all_ended(experiment, 2), 400)
    assert [trial.status for trial in experiment.trials()] == ["SUCCEEDED"] * 2
    messages = [job.get("message") or "" for job in experiment.get("trial-jobs")]
    assert sum("started once more" in message for message in messages) == 1
    folders = list(two.home.glob("there/*/*"))
    assert len(folders) == 2, "the lost trial ran on the other machine"
    for folder in folders:
        assert load_json(folder, "summary.json")["status"] == "SUCCEEDED"
        assert len(history(folder)) == EPOCHS
    wait_for(lambda: keepers(one) == [], 120, lambda: "the keeper of the lost machine lives on")
    (left,) = one.home.glob("there/*/*")
    wait_for(lambda: load_json(left, "summary.json")["status"] in ("INTERRUPTED", "SUCCEEDED"), 60)
    assert nnictl(tmp_path, "stop", experiment.id).returncode == 0
