"""The one place that knows NNI: parameters in, metrics out; and the only reader of os.environ.

NNI 3.0 as released keeps one queue of parameters for all trials, so two that start together can get each
other's. search/nni_repair.py mends that: a trial's parameters then carry its id. A trial that is handed
parameters without its id asks NNI for those on record for it, which the web page, the database and the
tuner use; they are what it trains with, and it says so.
"""

from __future__ import annotations

import json
import os
import re
import signal
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from branches import flat

RECORD_SECONDS = 60.0  # NNI files a trial's record within a second of starting it; a busy machine takes longer
STOP_SECONDS = 3.0  # to find out why; NNI kills a trial 5 s after it told it to stop
GRACE_SECONDS = 30.0  # for an orphan to leave its run folder in order
CHANNEL = "NNI_TRIAL_COMMAND_CHANNEL"
REPAIR = "python search/nni_repair.py --apply mends it, with --config FILE on other machines too"


@dataclass(frozen=True)
class Trial:
    """`experiment` and `id` are empty outside NNI, and `parameters`, the knobs that NNI chose, too."""

    experiment: str
    id: str
    parameters: dict[str, Any]
    orphaned: threading.Event = field(default_factory=threading.Event)  # NNI's process that started it is gone

    def show(self, folder: Path) -> None:
        """Leads the TensorBoard button of NNI's page to the run folder, where NNI's manager is on this machine."""
        if "NNI_OUTPUT_DIR" not in os.environ:
            return
        experiment = Path(os.environ["NNI_OUTPUT_DIR"]).parents[3]
        link = experiment / "trials" / self.id / "output" / "tensorboard"
        with suppress(OSError):  # a button is not worth a trial
            if (experiment / "db").is_dir() and not link.exists():
                link.parent.mkdir(parents=True, exist_ok=True)
                link.unlink(missing_ok=True)  # one that leads nowhere
                link.symlink_to(folder.resolve(), target_is_directory=True)

    def resume(self, epochs: int) -> None:
        """So that NNI numbers the next report after those of an earlier start."""
        if self.id:
            import nni

            nni.trial._intermediate_seq = epochs

    def report(self, metrics: dict[str, float], **step: int) -> None:
        """Metrics so far; `default` is the objective, `step` says how far: epoch=3, of=30, or folds=1, of=5."""
        if self.id:
            import nni

            self.tell(nni.report_intermediate_result, metrics | step)

    def finish(self, metrics: dict[str, float]) -> None:
        """The trial's final result, in the same form."""
        if self.id:
            import nni

            self.tell(nni.report_final_result, metrics)

    def tell(self, report: Callable[[dict[str, float]], None], metrics: dict[str, float]) -> None:
        """Where nobody takes the report because NNI's process is gone, this trial is told to stop meanwhile."""
        try:
            report(metrics)
        except OSError:
            self.orphaned.wait(10)
            time.sleep(1)  # the stop comes as a signal a moment after the event
            raise

    def ending(self) -> tuple[str, str]:
        """The status of a trial that is told to stop, and why, in a few words."""
        if self.orphaned.is_set():
            return "INTERRUPTED", "NNI's process that started it is gone"
        return why_stopped(self.id) if CHANNEL in os.environ else ("INTERRUPTED", "told to stop")


def start_trial() -> Trial:
    """Raises RuntimeError where this trial's own parameters cannot be had."""
    # a shell that starts a job in the background makes it deaf to SIGINT; NNI and users stop a trial with it
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if "NNI_PLATFORM" not in os.environ:
        return Trial("", "", {})
    import nni

    handed = nni.get_next_parameter()
    experiment, trial = nni.get_experiment_id(), nni.get_trial_id()
    record = nni.trial._params or {}
    own_service = CHANNEL in os.environ  # NNI's local and ssh services; the others send parameters with each trial
    if own_service and record.get("trial_job_id") != trial:
        print(f"warning: the NNI that manages this search is not repaired; {REPAIR}", flush=True)
        record = parameters_on_record(trial)
        if record["parameters"] != handed:
            print("NNI handed this trial another trial's parameters; taking those on record for it", flush=True)
        nni.trial._params = record  # so that metrics carry the parameter_id on record
    if own_service and "NNI_REPAIRED" not in os.environ:
        print(f"warning: the NNI of this machine is not repaired; {REPAIR}", flush=True)
    started = Trial(experiment, trial, flat(record["parameters"]))
    threading.Thread(target=end_with_keeper, args=(started.orphaned,), daemon=True).start()
    return started


def parameters_on_record(trial: str) -> dict[str, Any]:
    """NNI's record {parameter_id, parameters, …} for the id `trial`."""
    address = f"{manager_address()}/api/v1/nni/trial-jobs/{trial}"
    deadline, reason = time.monotonic() + RECORD_SECONDS, ""
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(address, timeout=10) as answer:
                return json.loads(json.load(answer)["hyperParameters"][0])  # an empty list until they are filed
        except (OSError, ValueError, KeyError, IndexError) as error:
            reason = f"{type(error).__name__}: {error}"
        time.sleep(0.3)
    raise RuntimeError(
        f"{address} did not give this trial's parameters within {RECORD_SECONDS:.0f} s ({reason}); "
        "check that the NNI manager runs and, on a remote machine, that nniManagerIp is right"
    )


def manager_address() -> str:
    """Where the manager's REST interface is, as this machine sees it.

    A local trial's command channel is the manager itself; a remote one's is the keeper of its machine,
    whose newest config beside the trial's folder says where the manager is.
    """
    channel = os.environ[CHANNEL]
    if os.environ["NNI_PLATFORM"] == "remote":
        keepers = Path(os.environ["NNI_OUTPUT_DIR"]).parent.parent.glob("trial_keeper*/trial_keeper_config.json")
        newest = max(keepers, key=lambda file: file.stat().st_mtime)
        channel = json.loads(newest.read_text())["managerCommandChannel"].replace("ws://", "http://", 1)
    return re.split("/(?:env|platform)/", channel)[0]


def why_stopped(trial: str) -> tuple[str, str]:
    """The status and the reason of a trial that NNI tells to stop, as NNI's own log has them."""
    deadline = time.monotonic() + STOP_SECONDS
    while time.monotonic() < deadline:  # the log is written a moment after the signal is sent
        with suppress(OSError):
            log = end_of_log()
            if f'KI, "{trial}"' in log:
                return "EARLY_STOPPED", "the assessor stopped it"
            if f"User cancelTrialJob: {trial}" in log:
                return "INTERRUPTED", "cancelled on NNI's page or with nnictl"
            if "Stopping experiment" in log:
                return "INTERRUPTED", "its experiment was stopped"
            if f"Stop trial {trial}" in log:
                return "EARLY_STOPPED", "it ran longer than maxTrialDuration"
        time.sleep(0.2)
    return "INTERRUPTED", "told to stop"


def end_of_log() -> str:
    """The last lines of the manager's log."""
    address = f"{manager_address()}/logs/nnimanager.log"
    try:
        request = urllib.request.Request(address, headers={"Range": "bytes=-300000"})
        with urllib.request.urlopen(request, timeout=1) as answer:
            return answer.read().decode(errors="replace")
    except urllib.error.HTTPError as error:
        if error.code != 416:  # the log is shorter than that
            raise
    with urllib.request.urlopen(address, timeout=1) as answer:
        return answer.read().decode(errors="replace")


def end_with_keeper(orphaned: threading.Event) -> None:
    """Tells this process to stop once the NNI process that started it is gone; kills it if it does not."""
    links = [(os.getpid(), os.getppid())]
    with suppress(OSError):
        if Path(f"/proc/{os.getppid()}/comm").read_text().strip() in ("sh", "dash", "bash"):
            links.append((os.getppid(), parent(os.getppid())))
    while all(parent(child) == started_by for child, started_by in links):
        time.sleep(1)
    orphaned.set()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)


def parent(pid: int) -> int:
    """The parent of a process, 0 if the process is gone."""
    if pid == os.getpid():
        return os.getppid()
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def gpus_given() -> int:
    """GPUs that this trial was given, by NNI or by who started it; 1 where nobody counted them."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    return max(1, len([device for device in given.split(",") if device.strip() not in ("", "-1")]))


def environment() -> dict[str, str]:
    return dict(os.environ)


def die_of_interrupt() -> None:
    """Ends this process by SIGINT itself, so that its parent sees a stop and not a failure or a success."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGINT)
