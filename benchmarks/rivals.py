"""Who searches in benchmarks/search.py: NNI's tuners, assessors and Hyperband, and ours, by name.

To add one, write an entry of rivals(). Classes are named as in NNI's configs; `seed` is added to a tuner's arguments.
"""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nni  # noqa: F401  sets its loggers up, which build() silences
import numpy as np
from hyperband import Advised
from replay import Dispatched, Search

HOME = Path(__file__).resolve().parent.parent
sys.path.append(str(HOME / "search"))


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
    """By name; Curvefitting and Hyperband are told how many epochs a trial has.

    Of ours, `from 3` stops no trial before its third epoch: with known-good points that is config_remote.yml.
    """
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
    later, first = {"min_epochs": 3}, {"sampler": "tpe", "first": "known_good.json"}
    ours |= {
        "ours tpe + Asha from 3": Rival("tuner.OptunaTuner", {"sampler": "tpe"}, "assessor.Asha", later),
        "ours tpe + Median from 3": Rival("tuner.OptunaTuner", {"sampler": "tpe"}, "assessor.Median", later),
        "ours tpe + Asha, known good first": Rival("tuner.OptunaTuner", first, "assessor.Asha"),
        "ours tpe + Asha from 3, known good first": Rival("tuner.OptunaTuner", first, "assessor.Asha", later),
    }
    return known | ours


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
