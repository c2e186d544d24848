"""Averages of the weights in training: a second model that validates, is kept and predicts, while the first trains on.

ema: an exponential moving average of weights and buffers, which the model joins after each step.
swa: the mean of the weights at the end of each of the last epochs; its batch-norm statistics are then taken anew from
training photos (engine.py), as no model had them. Izmailov et al. 2018, https://arxiv.org/abs/1803.05407.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn, get_swa_multi_avg_fn

MOST_PHOTOS = 4096  # that batch-norm statistics are taken from
# moves the first tensors, a mean of as many models as the number says, towards the second ones, in place
Update = Callable[[list[Tensor], list[Tensor], int], None]


@dataclass
class Average:
    """`model` is a mean of what `source`, which must stay the same module, was each time it joined."""

    model: nn.Module
    every: str  # "step" or "epoch": when the source joins
    first: int  # the first epoch, from 1, in which it does
    averaged: tuple[list[Tensor], list[Tensor]]  # the model's and the source's tensors that `update` takes
    copied: tuple[list[Tensor], list[Tensor]]  # those that the model has as the source has them
    update: Update
    count: int = 0  # how often the source has joined; until it has, there is no average

    @torch.no_grad()
    def join(self) -> None:
        """The source, as it is now, joins the average."""
        self.update(*self.averaged, self.count)
        for own, theirs in zip(*self.copied, strict=True):
            own.copy_(theirs)
        self.count += 1

    def follow(self, optimizer: torch.optim.Optimizer) -> None:
        """The source joins after each step of `optimizer` from now on."""
        optimizer.register_step_post_hook(lambda *given: self.join())

    def state(self) -> dict[str, Any]:
        return {"count": self.count, "model": self.model.state_dict()}

    def restore(self, state: dict[str, Any]) -> None:
        self.count = state["count"]
        self.model.load_state_dict(state["model"])


def build_average(kind: str, source: nn.Module, epochs: int, ema_decay: float, swa_last: int) -> Average:
    """The average `kind`, ema or swa, of `source`, whose weights must be those that training starts from."""
    model = copy.deepcopy(source).requires_grad_(False)
    weights = (list(model.parameters()), list(source.parameters()))
    buffers = (list(model.buffers()), list(source.buffers()))
    if kind == "swa":
        return Average(model, "epoch", max(1, epochs - swa_last + 1), weights, buffers, get_swa_multi_avg_fn())
    means, counters = (tuple(numbers(side, wanted) for side in buffers) for wanted in (True, False))
    averaged = tuple(own + others for own, others in zip(weights, means, strict=True))
    return Average(model, "step", 1, averaged, counters, exponential(ema_decay))


def numbers(tensors: list[Tensor], floating: bool) -> list[Tensor]:
    """Those that can be averaged, or those that count."""
    return [tensor for tensor in tensors if tensor.is_floating_point() == floating]


def exponential(ema_decay: float) -> Update:
    """Keeps a share of ema_decay, in the first steps less, so that the weights at the start soon count for little."""

    def update(averaged: list[Tensor], current: list[Tensor], count: int) -> None:
        get_ema_multi_avg_fn(min(ema_decay, (1 + count) / (10 + count)))(averaged, current, count)

    return update


def photos_for_statistics(rows: np.ndarray, batch_size: int, seed: int) -> list[np.ndarray]:
    """Batches of at least batch_size, where there are as many, of at most MOST_PHOTOS of `rows`: the same each time.

    In random order: the photos of one person or class stand together in `rows`, and would vary too little in a batch.
    """
    some = np.random.default_rng(seed).permutation(rows)[:MOST_PHOTOS]
    return np.array_split(some, max(1, len(some) // batch_size))
