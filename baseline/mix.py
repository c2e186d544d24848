"""Mixing photos and their targets: mixup and cutmix, on a whole batch after it was augmented.

A mix is `f(photos (B, C, H, W), target (B, K), draws) -> (photos, target)`. Each photo is mixed with its neighbour, 0
with 1, 2 with 3 and so on, in a share of its own; batches are shuffled, so a neighbour is a random partner. A batch may
be divided at even places. The last photo of an odd batch has no neighbour and stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from draws import Draws
from pixels import inside

Mix = Callable[[Tensor, Tensor, Draws], tuple[Tensor, Tensor]]


def build_mix(knobs: dict[str, Any]) -> Mix | None:
    """What the knobs mixup and cutmix ask for; of both, one by chance for each batch; None if neither is on."""
    mixes = [mix(knobs[name]) for name, mix in (("mixup", mixup), ("cutmix", cutmix)) if knobs[name]]
    if not mixes:
        return None

    def apply(photos: Tensor, target: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
        return mixes[draws.order(len(mixes))[0]](photos, target, draws)

    return apply


def mixup(alpha: float) -> Mix:
    """A share of the photo, of the distribution Beta(alpha, alpha), and the rest of its neighbour.

    Zhang et al. 2017, https://arxiv.org/abs/1710.09412.
    """

    def apply(photos: Tensor, target: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
        other = neighbours(draws).to(photos.device, non_blocking=True)
        share = draws.beta(alpha).to(photos.device, non_blocking=True)
        return photos[other].lerp(photos, share[:, None, None, None]), target[other].lerp(target, share[:, None])

    return apply


def cutmix(alpha: float) -> Mix:
    """A box of the neighbour in the photo, whose area is a share of the distribution Beta(alpha, alpha).

    The box lies around a random pixel; what would stick out of the photo is cut off, and targets mix by the area
    that is left. Yun et al. 2019, https://arxiv.org/abs/1905.04899.
    """

    def apply(photos: Tensor, target: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
        other = neighbours(draws).to(photos.device, non_blocking=True)
        sides = torch.tensor(photos.shape[2:])
        half = (sides * 0.5 * draws.beta(alpha).sqrt()[:, None]).floor_()
        centre = (sides * draws.uniform(0, 1, 2)).floor_()
        start, end = (centre - half).clamp_min_(0), torch.minimum(centre + half, sides)
        share = ((end - start) / sides).prod(1, keepdim=True).to(photos.device, non_blocking=True)
        mixed = photos.lerp(photos[other], inside(torch.cat([start, end], 1), photos))
        return mixed, target.lerp(target[other], share)

    return apply


def neighbours(draws: Draws) -> Tensor:
    """(b,) int64, whom each photo of the part is mixed with."""
    assert draws.rows.start % 2 == 0, "a batch is divided at even places"
    other = torch.arange(len(draws.rows)) ^ 1
    return other.clamp_max_(len(other) - 1)
