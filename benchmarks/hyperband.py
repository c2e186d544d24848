"""NNI's Hyperband as benchmarks/replay.py drives it, without a manager."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any
from unittest import mock

import nni
import numpy as np
from nni.runtime import msg_dispatcher_base
from nni.runtime.tuner_command_channel import CommandType
from replay import Report, Trial

ADVISOR_URL = "ws://_unittest_replay"  # nni/runtime/msg_dispatcher_base.py does not connect to such an address
BUDGET = "TRIAL_BUDGET"  # the knob by which Hyperband says how many epochs a trial trains


class Advised:
    """NNI's Hyperband, which takes the dispatcher's place and speaks with NNI's manager itself.

    It compares its parameter ids, which are words, with the largest number that an earlier search used: the subclass
    says that there was none (NNI 3.0 dies there).
    """

    def __init__(self, kind: Any, given: Mapping[str, Any], space: Mapping[str, Any], seed: int) -> None:
        self.sent = sent = []

        class Repaired(kind):
            def is_created_in_previous_exp(self, param_id: str) -> bool:
                return False

            def send(self, command: Any, data: str) -> None:
                if command is CommandType.NewTrialJob:
                    sent.append(nni.load(data))

        manager = SimpleNamespace(NNI_TUNER_COMMAND_CHANNEL=ADVISOR_URL)
        with mock.patch.object(msg_dispatcher_base, "dispatcher_env_vars", manager):
            self.advisor = Repaired(**given)
        self.advisor.handle_initialize(space)
        self.advisor.random_state = np.random.RandomState(seed)  # it has one that nothing seeds

    def ask(self, job: str, epochs: int) -> Trial | None:
        if not self.sent:
            self.advisor.handle_request_trial_jobs(1)
        if not self.sent:
            return None
        told = self.sent.pop(0)
        return Trial(job, told["parameter_id"], told["parameters"], min(epochs, told["parameters"][BUDGET]))

    def metric(self, trial: Trial, kind: str, value: Report, sequence: int) -> None:
        told = {"parameter_id": trial.number, "trial_job_id": trial.job, "type": kind, "sequence": sequence}
        self.advisor.handle_report_metric_data(told | {"value": nni.dump(value)})

    def report(self, trial: Trial) -> bool:
        self.metric(trial, "PERIODICAL", trial.history[-1], len(trial.history) - 1)
        return True  # it never stops a trial; it asks for fewer epochs

    def finish(self, trial: Trial, value: Report) -> None:
        self.metric(trial, "FINAL", value, 0)

    def end(self, trial: Trial, event: str) -> None:
        params = nni.dump({"parameter_id": trial.number})
        self.advisor.handle_trial_end({"trial_job_id": trial.job, "event": event, "hyper_params": params})
