"""Optimizers by their torch.optim name, and learning rates over time.

A schedule is a pure function `f(epoch, past) -> factor of lr`: epoch counts from 0 in fractions, past is the objective
of each epoch that ended, higher is better. So a resumed trial needs none of its state. A registered factory returns
one. To add one, decorate a factory with `@SCHEDULES.register("name")`.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch

from registry import Registry, unknown

Schedule = Callable[[float, Sequence[float]], float]
SCHEDULES = Registry("schedule")
UNFIT = {
    "LBFGS": "evaluates the loss several times a step",
    "SparseAdam": "wants sparse gradients",
    "Muon": "takes matrices only, not convolutions",
}
CLEARLY = 1 + 1e-4  # times the best objective so far is better, as torch's ReduceLROnPlateau has it


def optimizer_class(name: str) -> type[torch.optim.Optimizer]:
    """torch's class `name`, in whichever case. Raises ValueError for one that is unknown or does not fit."""
    kinds = {key: kind for key, kind in vars(torch.optim).items() if inspect.isclass(kind)}
    known = {key for key, kind in kinds.items() if issubclass(kind, torch.optim.Optimizer)} - {"Optimizer", *UNFIT}
    torchs = {key.lower(): key for key in known | set(UNFIT)}.get(name.lower(), name)
    if torchs in UNFIT:
        raise ValueError(f"optimizer {name!r} does not fit here: it {UNFIT[torchs]}. Known: {', '.join(sorted(known))}")
    if torchs not in known:
        raise unknown("optimizer", name, known)
    return kinds[torchs]


def build_optimizer(name: str, parameters: list[torch.nn.Parameter], knobs: dict[str, Any]) -> torch.optim.Optimizer:
    """The torch.optim class `name` with those of lr, momentum, nesterov and weight_decay that it has.

    In one kernel if it can.
    """
    kind = optimizer_class(name)
    accepted = inspect.signature(kind).parameters
    given = {key: knobs[key] for key in ("lr", "momentum", "nesterov", "weight_decay") if key in accepted}
    if "fused" in accepted and not (kind is torch.optim.Adagrad and parameters[0].is_cuda):  # its kernel is for CPUs
        given["fused"] = True
    return kind(parameters, **given)


def schedule_name(schedule: str, lr_decay_step: int) -> str:
    """What `auto` stands for: step where its --lr_decay_step is given, else drops."""
    return schedule if schedule != "auto" else "step" if lr_decay_step else "drops"


@SCHEDULES.register("constant")
def constant() -> Schedule:
    """lr throughout."""
    return lambda epoch, past: 1.0


@SCHEDULES.register("step")
def step(lr_decay: float, lr_decay_step: int) -> Schedule:
    """A drop after every lr_decay_step epochs."""
    return lambda epoch, past: lr_decay ** (int(epoch) // lr_decay_step)


@SCHEDULES.register("drops")
def drops(lr_decay: float, lr_drops: tuple[float, ...]) -> Schedule:
    """A drop after each of the epochs lr_drops."""
    return lambda epoch, past: lr_decay ** sum(epoch >= drop for drop in lr_drops)


@SCHEDULES.register("exponential")
def exponential(lr_decay: float) -> Schedule:
    """A drop after every epoch."""
    return lambda epoch, past: lr_decay ** int(epoch)


@SCHEDULES.register("plateau")
def plateau(lr_decay: float, plateau_patience: int) -> Schedule:
    """A drop after more than plateau_patience epochs in a row whose objective was no clear improvement of the best.

    As torch's ReduceLROnPlateau(mode="max"), but for its eps, under which it lowers the learning rate no further.
    """

    def factor(epoch: float, past: Sequence[float]) -> float:
        best, waited, dropped = -math.inf, 0, 0
        for objective in past:
            if objective > best * CLEARLY:
                best, waited = objective, 0
            else:
                waited += 1
            if waited > plateau_patience:
                dropped, waited = dropped + 1, 0
        return lr_decay**dropped

    return factor


@SCHEDULES.register("cosine")
def cosine(epochs: int, warmup_epochs: float) -> Schedule:
    """A linear rise over warmup_epochs, then half a cosine to 0. Loshchilov & Hutter 2017, arXiv 1608.03983, eq. 5."""
    rise = min(warmup_epochs, epochs / 2)

    def factor(epoch: float, past: Sequence[float]) -> float:
        if epoch < rise:
            return max(epoch / rise, 0.01)  # the first step learns too
        return 0.5 * (1 + math.cos(math.pi * (epoch - rise) / (epochs - rise)))

    return factor
