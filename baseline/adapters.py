"""What makes an operation of augment.py, `f(photos, draws) -> photos`, of another one or of a torchvision transform."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from draws import Draws

Operation = Callable[[Tensor, Draws], Tensor]
PIECE_BYTES = 2**22  # of floats that a CPU works on at a time, so that they stay in its cache


def in_pieces(vary: Operation) -> Operation:
    """`vary`, on a CPU a few photos at a time, so that what is between its steps stays in the cache."""

    def apply(photos: Tensor, draws: Draws) -> Tensor:
        most = max(1, PIECE_BYTES // (4 * math.prod(photos.shape[1:])))
        if not len(photos):  # this process's share of a small batch: operations need not know of it
            blank = photos.new_zeros(1, *photos.shape[1:])
            return vary(blank, Draws(draws.generator, draws.count, slice(1)))[:0]
        if photos.device.type != "cpu" or len(photos) <= most:
            return vary(photos, draws)
        varied = None
        for start, part in zip(range(0, len(photos), most), draws.pieces(most), strict=True):
            piece = vary(photos[start : start + most], part)
            if varied is None:
                varied = torch.empty((len(photos), *piece.shape[1:]), memory_format=torch.channels_last)
            varied[start : start + most] = piece
        return varied

    return apply


def per_image(transform: Callable[[Tensor], Tensor]) -> Operation:
    """An operation that applies a torchvision transform of one image (C, H, W) to each photo, on the CPU.

    The transform draws from torch's global generator, seeded for each photo and then put back; on a GPU there
    would be another one. So no other thread may draw from it meanwhile.
    """

    def apply(photos: Tensor, draws: Draws) -> Tensor:
        varied = []
        with torch.random.fork_rng(devices=[]):
            for photo, seed in zip(photos.cpu(), draws.seeds().tolist(), strict=True):
                torch.default_generator.manual_seed(seed)  # not torch.manual_seed, which seeds the GPU's too
                varied.append(transform(photo))
        return torch.stack(varied).to(photos.device, non_blocking=True)

    return apply
