"""The attention head: a map of the classes, each position weighed by the spatial softmax of a second map.

It stands in for the pooling and the last layer of models that end in just those two, a dropout between them allowed:
of torchvision resnet, resnext, wide_resnet, regnet, googlenet, inception_v3 and efficientnet, Efficientnet_b0..b7,
and timm's such as resnet50, seresnext50_32x4d and efficientnet_b0.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


class AttentionPool(nn.Module):
    """(B, F, H, W) features -> (B, K, 1, 1) logits: sum over the positions of softmax(position map) * class map.

    Starts as `last`, F -> K, on the plain mean: the class map with its weights, the position map with zeros, which
    weighs all positions alike. `dropout` leaves out features, as it did before `last`.
    """

    def __init__(self, last: nn.Linear, dropout: float) -> None:
        super().__init__()
        place = {"device": last.weight.device, "dtype": last.weight.dtype}
        self.dropout = nn.Dropout2d(dropout)
        self.class_map = nn.Conv2d(last.in_features, last.out_features, 1, bias=last.bias is not None, **place)
        self.position_map = nn.Conv2d(last.in_features, 1, 1, bias=False, **place)  # softmax ignores a bias
        with torch.no_grad():
            self.class_map.weight.copy_(last.weight[:, :, None, None])
            if last.bias is not None:
                self.class_map.bias.copy_(last.bias)
            self.position_map.weight.zero_()

    def forward(self, features: Tensor) -> Tensor:
        weights = self.position_map(features).flatten(2).softmax(dim=2)
        return (self.class_map(self.dropout(features)).flatten(2) * weights).sum(dim=2)[:, :, None, None]


@dataclass(eq=False)
class Run:
    """A module, what it was given and what it made of it."""

    module: nn.Module
    given: Tensor
    made: Tensor


@contextmanager
def watched(model: nn.Module) -> Iterator[list[Run]]:
    """The runs, in order, of all linear, pooling and dropout modules of `model`, and last of `model` itself."""
    runs: list[Run] = []

    def note(module: nn.Module, given: tuple[Any, ...], made: Any) -> None:
        if given and isinstance(given[0], Tensor) and isinstance(made, Tensor):
            runs.append(Run(module, given[0], made))

    wanted = [part for part in model.modules() if type(part) in (nn.Linear, nn.Dropout) or pools(part)]
    hooks = [part.register_forward_hook(note) for part in (*wanted, model)]
    try:
        yield runs
    finally:
        for hook in hooks:
            hook.remove()


def holds_head(state: dict[str, Tensor]) -> bool:
    """Whether a state_dict is of a model with the attention head."""
    return any(key.endswith(".position_map.weight") for key in state)


def pools(module: nn.Module) -> bool:
    """torch's, timm's and users' pooling layers share no class but the word."""
    return "Pool" in type(module).__name__


def attend(model: nn.Module, name: str, runs: list[Run]) -> None:
    """Puts the attention head into `model`; `runs` are those of one forward pass in evaluation mode.

    Raises ValueError where its logits are not one linear layer on all that a pooling layer made of a feature map.
    """
    place = next((at for at in reversed(range(len(runs))) if type(runs[at].module) is nn.Linear), None)
    last = None if place is None else runs[place]
    before = runs[:place]
    top = next((at for at in reversed(range(len(before))) if last and is_top_pool(before[at], last)), None)
    if top is None or not torch.equal(runs[-1].made, last.made):
        raise ValueError(
            f"--attention true does not fit {name}, whose logits are not one linear layer on what a pooling layer made"
            " of a feature map. Take a model like resnet34, inception_v3, Efficientnet_b0 or timm/seresnext50_32x4d"
        )
    dropouts = [run.module for run in before[top:] if type(run.module) is nn.Dropout]
    head = AttentionPool(last.module, sum(part.p for part in dropouts))
    for part in dropouts:  # where it is, it would now drop logits
        part.p = 0.0
    names = {part: key for key, part in model.named_modules()}
    model.set_submodule(names[runs[top].module], head)
    model.set_submodule(names[last.module], nn.Flatten(1))


def is_top_pool(run: Run, last: Run) -> bool:
    """Whether `run` made what the layer `last` took of a map of as many features."""
    return (
        pools(run.module)
        and run.given.ndim == 4
        and run.given.shape[1] == last.module.in_features
        and torch.equal(run.made.flatten(1), last.given)
    )
