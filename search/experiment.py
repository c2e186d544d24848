"""An NNI experiment as a program sees it: start, look, stop, and be sure that nothing is left."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

import psutil

ENDED = {"SUCCEEDED", "FAILED", "USER_CANCELED", "SYS_CANCELED", "EARLY_STOPPED"}
NNICTL = Path(sys.executable).with_name("nnictl")


@dataclass(frozen=True)
class TrialState:
    id: str
    number: int
    status: str  # NNI's word
    parameters: dict[str, Any]


@dataclass(frozen=True)
class Experiment:
    id: str
    port: int
    home: Path  # whose nni-experiments folder and registry it is in

    @property
    def page(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def get(self, what: str) -> Any:
        """NNI's REST answer, asked for three times. Raises OSError or HTTPException where none comes whole."""
        for _ in range(2):
            try:
                return ask(self.port, what)
            except (OSError, HTTPException):
                time.sleep(1)
        return ask(self.port, what)

    def status(self) -> str:
        """NNI's word for the experiment. Raises RuntimeError where its manager is gone or has errors."""
        try:
            answer = self.get("check-status")
        except OSError as error:
            raise RuntimeError(f"the manager of experiment {self.id} is gone ({error}); {self.logs()}") from error
        if answer.get("errors") or answer["status"] == "ERROR":
            raise RuntimeError(f"experiment {self.id}: {answer['status']} {answer.get('errors')}; {self.logs()}")
        return answer["status"]

    def logs(self) -> str:
        return f"see {self.home / 'nni-experiments' / self.id / 'log'}"

    def trials(self) -> list[TrialState]:
        jobs = self.get("trial-jobs")
        states = [
            TrialState(
                job["trialJobId"], job["sequenceId"], job["status"], json.loads(job["hyperParameters"][0])["parameters"]
            )
            for job in jobs
            if job.get("hyperParameters")
        ]
        return sorted(states, key=lambda state: state.number)

    def trial_file(self, trial: str, name: str) -> str:
        """A log of a local trial, empty where there is none: trial.stderr, or trial.log for what it printed."""
        folder = self.home / "nni-experiments" / self.id / "environments" / "local-env" / "trials" / trial
        return (folder / name).read_text() if (folder / name).is_file() else ""

    def last_line(self, trial: str) -> str:
        """What a local trial printed last."""
        lines = self.trial_file(trial, "trial.log").splitlines()
        return lines[-1].partition("PRINT ")[2] or lines[-1] if lines else "starting"

    def stop(self) -> None:
        """Stops the experiment and every process of it. Raises RuntimeError naming the pids that stay."""
        nnictl(self.home, "stop", self.id)
        left = wait_for_end(self.id, 15)
        for process in left:
            print(f"ending process {process.pid}, left over from experiment {self.id}", flush=True)
            with suppress(psutil.NoSuchProcess):
                process.kill()
        left = wait_for_end(self.id, 5)
        if left:
            raise RuntimeError(f"processes of experiment {self.id} do not end: {[process.pid for process in left]}")


def ask(port: int, what: str) -> Any:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/nni/{what}", timeout=20) as answer:
        return json.load(answer)


def nnictl(home: Path, *words: str) -> subprocess.CompletedProcess:
    """Runs nnictl with `home` as HOME; experiments of different homes do not see each other."""
    environment = os.environ | {"HOME": str(home)}
    return subprocess.run([NNICTL, *words], env=environment, capture_output=True, text=True, timeout=180, check=False)


def start(config: Path, port: int, home: Path) -> Experiment:
    """Runs `nnictl create` and waits for the manager's answer. Raises RuntimeError with what nnictl printed."""
    if is_taken(port):
        raise RuntimeError(
            f"port {port} is taken, perhaps by another experiment (nnictl experiment list); choose another"
        )
    try:
        created = nnictl(home, "create", "--config", str(config), "--port", str(port))
        deadline = time.monotonic() + 30
        while created.returncode == 0 and time.monotonic() < deadline:
            with suppress(OSError):
                return Experiment(ask(port, "experiment")["id"], port, home)
            time.sleep(0.5)
        raise RuntimeError(f"nnictl create --config {config} --port {port} failed:\n{created.stdout}{created.stderr}")
    except BaseException:
        nnictl(home, "stop", "--port", str(port))  # the port was free, so what is there now is ours
        raise


def registered(home: Path) -> dict[str, dict[str, Any]]:
    """NNI's registry of experiments, {id: {port, status, …}}; empty where `home` never had one."""
    path = home / "nni-experiments" / ".experiment"
    if not path.is_file():
        return {}
    for _ in range(5):
        with suppress(ValueError):  # NNI writes it in place, so it can be half there
            return json.loads(path.read_text())
        time.sleep(0.2)
    raise ValueError(f"NNI's registry {path} is not JSON; mend it")


@contextmanager
def readable(experiment: str, home: Path) -> Iterator[Experiment]:
    """An experiment of `home` to read from; where its manager is gone, `nnictl view` stands in for it meanwhile.

    check-status then says VIEWED. Raises KeyError for one that is not registered, RuntimeError where NNI fails,
    TimeoutError where the manager runs but does not answer.
    """
    port = registered(home)[experiment]["port"]
    if answers(port, experiment):
        yield Experiment(experiment, port, home)
        return
    if is_managed(experiment):  # nnictl would refuse
        raise TimeoutError(f"the manager of experiment {experiment} runs, but does not answer at port {port}")
    forget_manager(experiment, home)
    port = free_port()
    try:
        viewed = nnictl(home, "view", experiment, "--port", str(port))
        deadline = time.monotonic() + 15
        while not answers(port, experiment):
            if viewed.returncode or time.monotonic() > deadline:
                raise RuntimeError(f"nnictl view {experiment} failed:\n{viewed.stdout}{viewed.stderr}")
            time.sleep(0.3)
        yield Experiment(experiment, port, home)
    finally:
        nnictl(home, "stop", "--port", str(port))  # by port: by id, it would end whatever has the last manager's pid


def forget_manager(experiment: str, home: Path) -> None:
    """Enters in NNI's registry that a manager is gone: nnictl sees it running while its killed process is a zombie."""
    from nni.tools.nnictl.config_utils import Experiments

    Experiments(str(home / "nni-experiments")).update_experiment(experiment, "status", "STOPPED")


def answers(port: int, experiment: str) -> bool:
    """Whether the manager of this experiment, and not something else, answers at the port."""
    with suppress(OSError, HTTPException, ValueError, KeyError, TypeError):
        return is_taken(port) and Experiment(experiment, port, Path()).get("experiment")["id"] == experiment
    return False


def is_taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def processes(experiment: str) -> list[psutil.Process]:
    """The manager, dispatcher and trials of an experiment that still run, and nothing else that names it."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
            environment = process.environ()
            logs = Path(environment.get("NNI_LOG_DIRECTORY", ""))  # all that tells a dispatcher's experiment
            words = process.cmdline()
            named = experiment in words and any("nni_node" in word or word == "--exp_params" for word in words)
            if named or experiment in (environment.get("NNI_EXP_ID"), *logs.parts):
                found.append(process)
        except psutil.Error:
            continue
    return found


def is_managed(experiment: str) -> bool:
    """Whether the experiment's own manager runs, and not only one that `nnictl view` started."""
    for process in processes(experiment):
        with suppress(psutil.Error):
            words = process.cmdline()
            if any("nni_node" in word for word in words) and "--experiment-id" in words and "view" not in words:
                return True
    return False


def wait_for_end(experiment: str, seconds: float) -> list[psutil.Process]:
    deadline = time.monotonic() + seconds
    while (left := processes(experiment)) and time.monotonic() < deadline:
        time.sleep(0.3)
    return left


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
