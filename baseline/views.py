"""Test-time views: what a photo is also shown as, when it is predicted; the probabilities are averaged.

A view set is `f(photos (B, C, H, W)) -> list of V batches like it`; a registered factory returns one. To add one,
decorate a factory with `@VIEWS.register("name")`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from registry import Registry

ViewSet = Callable[[Tensor], list[Tensor]]
VIEWS = Registry("views")


@VIEWS.register("plain")
def plain() -> ViewSet:
    """The photo alone."""
    return lambda photos: [photos]


@VIEWS.register("flip")
def flip() -> ViewSet:
    """The photo, and the photo mirrored left to right."""
    return lambda photos: [photos, photos.flip(3)]


@VIEWS.register("dihedral4")
def dihedral4() -> ViewSet:
    """The photo, mirrored left to right, upside down, and both."""
    return mirrored


@VIEWS.register("dihedral8")
def dihedral8(resize: tuple[int, int]) -> ViewSet:
    """The 8 symmetries of the square: those of dihedral4, and each with rows and columns exchanged.

    Raises ValueError where photos are no squares.
    """
    height, width = resize
    if height != width:
        raise ValueError(
            f"--views dihedral8 exchanges rows and columns, so photos must be square, and --resize {height} {width} is "
            f"not; pass --resize {height} {height}, or --views dihedral4"
        )

    def views(photos: Tensor) -> list[Tensor]:
        return mirrored(photos) + mirrored(photos.transpose(2, 3).contiguous(memory_format=torch.channels_last))

    return views


def mirrored(photos: Tensor) -> list[Tensor]:
    return [photos, photos.flip(3), photos.flip(2), photos.flip(2, 3)]
