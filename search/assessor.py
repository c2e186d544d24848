"""Assessors for NNI: they stop trials that others have left behind. What a stopped trial had is kept, for blends too.

assessor:
  className: assessor.Asha
  codeDirectory: search
  classArgs: {min_epochs: 1, reduction_factor: 3}

Trials are compared by the best objective that each had up to the same epoch; those of all folds, by the mean over as
many folds. None is stopped before enough others were there. After `nnictl resume` the trials of trials.jsonl count.
"""

from __future__ import annotations

import logging
import math
import sys
from pathlib import Path
from typing import Any

from nni.assessor import Assessor, AssessResult

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT / "baseline"))

from sampling.journal import read_curves
from sampling.reports import counts_folds, is_last
from stopping import MODES, judge_percentile, judge_rung, others_by, reports_of, rung_of, value_by

LOG = logging.getLogger("nni.podium")


class Asha(Assessor):
    """Asynchronous successive halving (Li et al. 2018, https://arxiv.org/abs/1810.05934), the kind that stops.

    At min_epochs, and at each reduction_factor times as many, a trial goes on if it is among the best
    1/reduction_factor of those that came so far. min_trials: how many must have come there before one is stopped
    (default: reduction_factor + 1).
    """

    makes_nothing = True  # preflight.py may try it

    def __init__(
        self,
        min_epochs: int = 1,
        reduction_factor: float = 3,
        min_trials: int = 0,
        optimize_mode: str = "maximize",
        outputs: str = "outputs",
    ) -> None:
        whole("min_epochs", min_epochs, 1)
        whole("min_trials", min_trials, 0)
        if not is_number(reduction_factor) or not 1 < reduction_factor < math.inf:
            raise ValueError(f"reduction_factor is {reduction_factor!r}; write a number above 1, such as 3")
        self.first, self.factor = min_epochs, reduction_factor
        self.evidence = min_trials or math.ceil(reduction_factor) + 1
        self.sign = sign_of(optimize_mode)
        self.curves = earlier_curves(outputs, self.sign)

    def assess_trial(self, trial_job_id: str, trial_history: list[Any]) -> AssessResult:
        mine = self.curves.setdefault(trial_job_id, {})
        mine |= reports_of(trial_history, self.sign)
        epoch, folds = max(mine, default=0), counts_folds(trial_history)
        if not rung_of(epoch, self.first, self.factor) or is_last(trial_history[-1]):
            return AssessResult.Good
        others = others_by(self.curves, trial_job_id, epoch, folds)
        stays = judge_rung(value_by(mine, epoch, folds), others, self.factor, self.evidence)
        return told(stays, trial_job_id, epoch, f"is not among the best 1/{self.factor:g} of {len(others) + 1} trials")


class Median(Assessor):
    """Stops a trial below the median, or another percentile, of all others (Golovin et al. 2017, section 3.2.2).

    From min_epochs on, once it was below it in `patience` epochs in a row, where min_trials others came as far.
    """

    makes_nothing = True  # preflight.py may try it

    def __init__(
        self,
        min_epochs: int = 1,
        percentile: float = 50,
        patience: int = 1,
        min_trials: int = 4,
        optimize_mode: str = "maximize",
        outputs: str = "outputs",
    ) -> None:
        for name, value, low in (
            ("min_epochs", min_epochs, 1),
            ("patience", patience, 1),
            ("min_trials", min_trials, 1),
        ):
            whole(name, value, low)
        if not is_number(percentile) or not 0 < percentile < 100:
            raise ValueError(f"percentile is {percentile!r}; write a number between 0 and 100, such as 50")
        self.first, self.percentile = min_epochs, percentile
        self.patience, self.evidence = patience, min_trials
        self.sign = sign_of(optimize_mode)
        self.curves = earlier_curves(outputs, self.sign)

    def assess_trial(self, trial_job_id: str, trial_history: list[Any]) -> AssessResult:
        mine = self.curves.setdefault(trial_job_id, {})
        mine |= reports_of(trial_history, self.sign)
        epoch, folds = max(mine, default=0), counts_folds(trial_history)
        if is_last(trial_history[-1]):
            return AssessResult.Good
        behind = 0
        while behind < self.patience and epoch - behind >= max(self.first, min(mine, default=0)):
            others = others_by(self.curves, trial_job_id, epoch - behind, folds)
            value = value_by(mine, epoch - behind, folds)
            if judge_percentile(value, others, self.percentile, self.evidence):
                break
            behind += 1
        return told(
            behind < self.patience, trial_job_id, epoch, f"is below percentile {self.percentile:g} of the others"
        )


def earlier_curves(outputs: str, sign: int) -> dict[str, dict[int, float]]:
    """Trial -> epoch -> value, of the trials that ended before a resume."""
    curves = read_curves(PROJECT / Path(outputs).expanduser())
    return {trial: reports_of(curve, sign) for trial, curve in curves.items()}


def told(stays: bool, trial: str, epoch: int, why: str) -> AssessResult:
    if not stays:
        LOG.info("trial %s is stopped after epoch %d: it %s", trial, epoch, why)
    return AssessResult.Good if stays else AssessResult.Bad


def sign_of(mode: str) -> int:
    if mode not in MODES:
        raise ValueError(f"optimize_mode is {mode!r}; write maximize or minimize")
    return MODES[mode]


def whole(name: str, value: Any, low: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < low:
        raise ValueError(f"{name} is {value!r}; write a whole number from {low}")


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
