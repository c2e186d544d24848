"""The one place that knows NNI: parameters in, metrics out; and the only reader of os.environ.

Under NNI a trial asks for its parameters, then compares them with those on record for its own id:
NNI 3.0 keeps one queue for all trials, so two that start together can get each other's. The ones on
record, which the web page, the database and the tuner use, are what the trial trains with.
"""

from __future__ import annotations

import json
import os
import signal
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

RECORD_SECONDS = 60.0  # NNI files a trial's record within a second of starting it; a busy machine takes longer


@dataclass(frozen=True)
class Trial:
    """`experiment` and `id` are empty outside NNI, and `parameters` too."""

    experiment: str
    id: str
    parameters: dict[str, Any]

    def report(self, metrics: dict[str, float]) -> None:
        """An epoch's metrics; `default` is the objective."""
        if self.id:
            import nni

            nni.report_intermediate_result(metrics)

    def ending(self) -> tuple[str, str]:
        """The status of a trial that is told to stop, and why, in a few words."""
        return "INTERRUPTED", "told to stop"

    def finish(self, metrics: dict[str, float]) -> None:
        """The trial's final result, in the same form."""
        if self.id:
            import nni

            nni.report_final_result(metrics)


def start_trial() -> Trial:
    """Raises RuntimeError where NNI's record of this trial cannot be had."""
    # a shell that starts a job in the background makes it deaf to SIGINT; NNI and users stop a trial with it
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if "NNI_PLATFORM" not in os.environ:
        return Trial("", "", {})
    import nni

    handed = nni.get_next_parameter()
    experiment, trial = nni.get_experiment_id(), nni.get_trial_id()
    record = parameters_on_record(os.environ["NNI_TRIAL_COMMAND_CHANNEL"], trial)
    if record["parameters"] != handed:
        print("NNI handed this trial another trial's parameters; taking those on record for it", flush=True)
    nni.trial._params = record  # so that metrics carry the parameter_id on record
    return Trial(experiment, trial, record["parameters"])


def parameters_on_record(channel: str, trial: str) -> dict[str, Any]:
    """NNI's record {parameter_id, parameters, …} for the id `trial`, from the manager behind the command channel."""
    address = f"{channel.partition('/env/')[0]}/api/v1/nni/trial-jobs/{trial}"
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


def environment() -> dict[str, str]:
    return dict(os.environ)


def die_of_interrupt() -> None:
    """Ends this process by SIGINT itself, so that its parent sees a stop and not a failure or a success."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGINT)
