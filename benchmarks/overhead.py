"""What a suggestion costs a tuner that has seen many trials, in milliseconds."""

from __future__ import annotations

import copy
import math
import statistics
import time
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from rivals import SAMPLERS, TPE, Rival, build

OVERHEAD = "## What a suggestion costs\n"
FINISHED = (10, 100, 1000)
ASKED = 5  # suggestions, of which the median counts


def overhead_table(space: Mapping[str, Any]) -> list[str]:
    """Of a space like `space`, whose learning rate is loguniform, so that a thousand points do not use it up."""
    torch.set_num_threads(1)  # Optuna's GP would take all cores
    low, *_, high = space["lr"]["_value"]
    wide = dict(space) | {"lr": {"_type": "loguniform", "_value": [low, high]}}
    known = {"NNI TPE": TPE} | {f"ours {name}": Rival("tuner.OptunaTuner", {"sampler": name}) for name in SAMPLERS}
    lines = [
        "",
        "`python benchmarks/search.py --overhead`: milliseconds of one core that generate_parameters takes, the median",
        f"of {ASKED} in a row; {len(space)} knobs, lr loguniform, or for the grid seven choices.",
        "",
        f"| tuner | {' | '.join(f'after {count:,} trials' for count in FINISHED)} |",
        f"|---|{'--:|' * len(FINISHED)}",
    ]
    for name, rival in known.items():
        times = [milliseconds(rival, space if "grid" in name else wide, count) for count in FINISHED]
        lines.append(f"| {name} | {' | '.join(f'{value:.2g}' if value < 10 else f'{value:.0f}' for value in times)} |")
        print(lines[-1], flush=True)
    return lines


def milliseconds(rival: Rival, space: Mapping[str, Any], finished: int) -> float:
    """Median time of a suggestion, each tried at once, after `finished` imported trials."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Optuna says what is experimental
        tuner = build(rival, space, 0).tuner
        tuner.import_data(copy.deepcopy(trials(space, finished)))
        taken = []
        for number in range(ASKED):
            began = time.process_time()
            point = tuner.generate_parameters(number)
            taken.append(time.process_time() - began)
            told = {"customized": False, "trial_job_id": f"job{number}"}
            tuner.receive_trial_result(number, point, {"default": score(point, space)}, **told)
    return 1000 * statistics.median(taken)


def trials(space: Mapping[str, Any], count: int) -> list[dict[str, Any]]:
    """Random points and what they scored, as NNI imports them."""
    rng, found = np.random.default_rng(0), []
    for _ in range(count):
        point = {name: draw(spec, rng) for name, spec in space.items()}
        found.append({"parameter": point, "value": score(point, space) + 0.02 * rng.standard_normal()})
    return found


def draw(spec: Mapping[str, Any], rng: np.random.Generator) -> Any:
    if spec["_type"] == "loguniform":
        return math.exp(rng.uniform(*map(math.log, spec["_value"])))
    return spec["_value"][rng.integers(len(spec["_value"]))]


def score(point: Mapping[str, Any], space: Mapping[str, Any]) -> float:
    """A smooth peak at lr 0.003; the first choice of each other knob is the best."""
    places = sum(spec["_value"].index(point[name]) for name, spec in space.items() if spec["_type"] == "choice")
    return 0.6 - 0.02 * math.log(point["lr"] / 0.003) ** 2 - 0.01 * places
