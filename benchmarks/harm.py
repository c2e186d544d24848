"""Faults of a search: each kills one of its processes (-9) and waits until the search goes on.

To add one, write kill_x(search, fault, began), which sets the fault's seconds and its end, and name it in FAULTS;
`began` is the time.monotonic() of the kill. It raises AssertionError where the search does not go on.
"""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import torch
from remote import Box
from walks import load_json, wait_for

from experiment import ENDED, Experiment, nnictl, processes

EPOCHS = 8  # of each trial
ALONE, TRIAL, MANAGER, DISPATCHER = "trial alone", "trial of a search", "NNI's manager", "NNI's dispatcher"
AGAIN, KEEPER, SSHD = f"{DISPATCHER}, until the search goes on", "keeper on a machine", "sshd and its sessions"
ORDER = (ALONE, TRIAL, MANAGER, DISPATCHER, AGAIN, KEEPER, SSHD)
DOWN = (2, 20)  # seconds that an sshd stays away


@dataclass
class Fault:
    kind: str
    held: set[tuple[str, str]]  # the (trial, result) there were
    seconds: float = float("nan")
    end: str = ""
    lost: int = 0


@dataclass
class Search:
    experiment: Experiment
    runs: Path  # its run folders; the machines share them, as on a network disk
    boxes: list[Box]
    rng: random.Random
    faults: list[Fault] = field(default_factory=list)
    hit: set[str] = field(default_factory=set)  # trials that were killed, or whose machine was
    victims: dict[str, psutil.Process] = field(default_factory=dict)  # whom the next fault may hit


def committed(folder: Path) -> set[tuple[str, str]]:
    """The epochs that a run folder's last.pt holds, with all their numbers."""
    if not (folder / "last.pt").is_file():
        return set()
    state = torch.load(folder / "last.pt", map_location="cpu", weights_only=True)
    return {(folder.name, json.dumps(row)) for row in state["history"]}


def at_work(search: Search) -> dict[str, psutil.Process]:
    """The trials between their first and last epoch that no fault has hit yet."""
    found = {}
    for process in processes(search.experiment.id):
        with suppress(psutil.Error):
            trial = process.environ().get("NNI_TRIAL_JOB_ID", "")
            if trial not in search.hit and 0 < len(committed(search.runs / trial)) < EPOCHS:
                found[trial] = process
    return found


def told(search: Search) -> Counter[str]:
    """How many metrics NNI has of each trial."""
    return Counter(metric["trialJobId"] for metric in search.experiment.get("metric-data"))


def of_kind(search: Search, word: str) -> psutil.Process:
    """The process itself; the shell that runs it is older."""
    return [process for process in processes(search.experiment.id) if word in " ".join(process.cmdline())][-1]


def living_at(box: Box) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            found += [process] if process.environ().get("HOME") == str(box.home) else []
    return found


def keepers(box: Box) -> list[psutil.Process]:
    return [process for process in living_at(box) if "trial_keeper/main.js" in " ".join(process.cmdline())]


def kill_trial(search: Search, fault: Fault, began: float) -> None:
    trial = search.rng.choice(sorted(search.victims))
    search.victims[trial].kill()
    search.hit.add(trial)
    status = {}
    while status.get(trial) not in ENDED:
        status = {one.id: one.status for one in search.experiment.trials()}
    fault.seconds, fault.end = time.monotonic() - began, f"NNI calls the trial {status[trial]}, starts the next"


def kill_manager(search: Search, fault: Fault, began: float) -> None:
    of_kind(search, "nni_node/main.js").kill()
    wait_for(lambda: not processes(search.experiment.id), 60)
    resume(search)
    fault.seconds, fault.end = time.monotonic() - began, "its trials end by themselves; nnictl resume starts them again"


def kill_dispatcher(search: Search, fault: Fault, began: float) -> None:
    of_kind(search, "--exp_params").kill()
    wait_for(lambda: search.experiment.get("check-status")["status"] == "ERROR", 60)
    fault.seconds = time.monotonic() - began
    fault.end = f"NNI's status: ERROR, {search.experiment.get('check-status')['errors'][0]!r}"
    search.experiment.stop()
    resume(search)
    search.faults.append(Fault(AGAIN, set(), time.monotonic() - began, "nnictl stop and resume"))


def resume(search: Search) -> None:
    """Calls nnictl resume and waits for a new metric."""
    experiment, before = search.experiment, None
    answer = nnictl(experiment.home, "resume", experiment.id, "--port", str(experiment.port))
    assert answer.returncode == 0, answer.stdout + answer.stderr
    before = told(search)
    wait_for(lambda: told(search) - before, 120, experiment.logs)


def kill_on_machine(search: Search, fault: Fault, began: float) -> None:
    """Kills a keeper, or an sshd for a while; waits for a new metric of all trials that were at work there."""
    victim = search.rng.choice(sorted(search.victims))
    (box,) = (box for box in search.boxes if search.victims[victim] in living_at(box))
    struck = {trial for trial, process in search.victims.items() if process in living_at(box)}
    search.hit |= struck
    if fault.kind == KEEPER:
        keepers(box)[0].kill()
        time.sleep(0.5)
    else:
        box.stop()
        time.sleep(search.rng.uniform(*DOWN))
        box.start()
    before = told(search)
    wait_for(lambda: all((told(search) - before)[trial] for trial in struck), 180, search.experiment.logs)
    fault.seconds = time.monotonic() - began
    attempts = load_json(search.runs / victim, "summary.json")["attempts"]
    fault.end = "the trial is not interrupted" if len(attempts) == 1 else "NNI starts it again, from its last epoch"
    wait_for(lambda: all(keepers(box) for box in search.boxes), 120, search.experiment.logs)


FAULTS = {TRIAL: kill_trial, MANAGER: kill_manager, DISPATCHER: kill_dispatcher}
FAULTS |= {KEEPER: kill_on_machine, SSHD: kill_on_machine}
