"""Who searches in benchmarks/search.py: NNI's tuners, assessors and Hyperband, and ours, by name.

To add one, write an entry of RIVALS. A class is named as NNI's configs name it; `seed` is added to a tuner's arguments.
"""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import nni
import numpy as np
from nni.runtime import msg_dispatcher_base
from nni.runtime.tuner_command_channel import CommandType
from replay import Dispatched, Report, Search, Trial

HOME = Path(__file__).resolve().parent.parent
sys.path.append(str(HOME / "search"))

ADVISOR_URL = "ws://_unittest_replay"  # nni/runtime/msg_dispatcher_base.py does not connect to such an address
BUDGET = "TRIAL_BUDGET"  # the knob by which Hyperband says how many epochs a trial trains


@dataclass(frozen=True)
class Rival:
    tuner: str  # module.Class
    tuner_args: Mapping[str, Any] = field(default_factory=dict)
    assessor: str = ""  # none
    assessor_args: Mapping[str, Any] = field(default_factory=dict)

    @property
    def slow(self) -> bool:
        """Whether a search takes a minute to replay, most of it thinking."""
        return self.tuner_args.get("sampler") == "gp" or self.assessor == CURVEFITTING

    @property
    def ours(self) -> bool:
        return not self.tuner.startswith("nni.")


NNI = "nni.algorithms.hpo"
MAXIMIZE = {"optimize_mode": "maximize"}
RANDOM, TPE = Rival(f"{NNI}.random_tuner.RandomTuner"), Rival(f"{NNI}.tpe_tuner.TpeTuner", MAXIMIZE)
MEDIANSTOP = (f"{NNI}.medianstop_assessor.MedianstopAssessor", MAXIMIZE)
CURVEFITTING = f"{NNI}.curvefitting_assessor.CurvefittingAssessor"
SAMPLERS = ("tpe", "gp", "cmaes", "random", "grid")
STOCK = "NNI TPE (stock S3)"


def rivals(epochs: int) -> dict[str, Rival]:
    """By name; Curvefitting and Hyperband are told how many epochs a trial has."""
    known = {
        STOCK: TPE,
        "NNI random": RANDOM,
        "NNI random + Medianstop": Rival(RANDOM.tuner, {}, *MEDIANSTOP),
        "NNI TPE + Medianstop": Rival(TPE.tuner, MAXIMIZE, *MEDIANSTOP),
        "NNI TPE + Curvefitting": Rival(TPE.tuner, MAXIMIZE, CURVEFITTING, {"epoch_num": epochs}),
        "NNI Hyperband": Rival(f"{NNI}.hyperband_advisor.Hyperband", MAXIMIZE | {"R": epochs, "eta": 3}),
    }
    ours = {
        f"ours {sampler}{name}": Rival("tuner.OptunaTuner", {"sampler": sampler}, *assessor)
        for sampler in SAMPLERS
        for name, assessor in {"": (), " + Asha": ("assessor.Asha",), " + Median": ("assessor.Median",)}.items()
    }
    first = Rival("tuner.OptunaTuner", {"sampler": "tpe", "first": "known_good.json"}, "assessor.Asha")
    return known | ours | {"ours tpe + Asha, known good first": first}


def build(rival: Rival, space: Mapping[str, Any], seed: int) -> Search:
    """A search at its start. NNI's Curvefitting and Hyperband draw from numpy's global generator, seeded here."""
    for name in ("nni", "medianstop_Assessor", "curvefitting_Assessor"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    np.random.seed(seed)
    if rival.tuner.endswith(".Hyperband"):
        return Advised(load(rival.tuner), rival.tuner_args, space, seed)
    tuner = load(rival.tuner)(**rival.tuner_args, seed=seed)
    assessor = load(rival.assessor)(**rival.assessor_args) if rival.assessor else None
    return Dispatched(tuner, assessor, space)


def load(path: str) -> Any:
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


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
