"""Test-time views: what a photo is also shown as, when it is predicted; the probabilities are averaged.

A view set is `f(photos (B, C, H, W)) -> list of V batches like it`; a registered factory returns one. To add one,
decorate a factory with `@VIEWS.register("name")`.
"""

from __future__ import annotations

from collections.abc import Callable

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
