"""The operations of augmentation policies, each on several photos at once, with a strength of each photo's own.

An operation is `f(photos, drawn) -> photos`: photos (b, C, H, W) float in [0, 1], contiguous and not written to, in
the same range after. To add one, decorate a factory that returns it with `@OPERATIONS.register("name")`.
Cubuk et al. 2019, https://arxiv.org/abs/1805.09501, whose table 6 has the ranges: magnitude 1 is their end, and 0
leaves the photo as it is where an operation has a strength. Moved photos are bilinear, and black outside.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from pixels import (
    auto_contrast,
    brighten,
    check_square,
    contrast,
    equalize,
    inside,
    inverse_affine,
    move,
    posterize,
    saturate,
    sharpen,
    solarize,
)
from registry import Registry


@dataclass(frozen=True)
class Drawn:
    """What was drawn for each of b photos, on the CPU; an operation without a strength ignores its magnitude."""

    magnitude: Tensor  # (b,) 0 to 1
    sign: Tensor  # (b,) -1 or 1
    place: Tensor  # (b, 2) 0 to 1

    @property
    def signed(self) -> Tensor:
        return self.magnitude * self.sign


Operation = Callable[[Tensor, Drawn], Tensor]
OPERATIONS = Registry("operation")


def column(amounts: Tensor, photos: Tensor) -> Tensor:
    """(b,) as (b, 1, 1, 1) on the photos' device."""
    return amounts.to(photos.device, non_blocking=True)[:, None, None, None]


def factor(drawn: Drawn, photos: Tensor) -> Tensor:
    """0.1 to 1.9, and 1 at magnitude 0; (b, 1, 1, 1)."""
    return column(1 + 0.9 * drawn.signed, photos)


def moves(matrices: Callable[[Drawn], Tensor]) -> Operation:
    """An operation that samples photos at matrices(drawn), (b, 2, 2), from their centre."""
    return lambda photos, drawn: move(photos, matrices(drawn))


def sheared(drawn: Drawn, row: int) -> Tensor:
    matrices = torch.eye(2).repeat(len(drawn.signed), 1, 1)
    matrices[:, row, 1 - row] = 0.3 * drawn.signed
    return matrices


@OPERATIONS.register("shear_x")
def shear_x() -> Operation:
    """Rows moved sideways by up to 0.3 of their distance from the centre."""
    return moves(lambda drawn: sheared(drawn, 0))


@OPERATIONS.register("shear_y")
def shear_y() -> Operation:
    """Columns moved up or down by up to 0.3 of their distance from the centre."""
    return moves(lambda drawn: sheared(drawn, 1))


def translated(photos: Tensor, drawn: Drawn, axis: int) -> Tensor:
    """By up to 150/331 of the side, in whole pixels; axis 0 is x."""
    shift = torch.zeros(len(photos), 2)
    shift[:, axis] = -(drawn.signed * (150 / 331 * photos.shape[3 - axis])).round_()
    return move(photos, torch.eye(2).repeat(len(photos), 1, 1), shift)


@OPERATIONS.register("translate_x")
def translate_x() -> Operation:
    return lambda photos, drawn: translated(photos, drawn, 0)


@OPERATIONS.register("translate_y")
def translate_y() -> Operation:
    return lambda photos, drawn: translated(photos, drawn, 1)


@OPERATIONS.register("rotate")
def rotate() -> Operation:
    """By up to 30 degrees."""

    def matrices(drawn: Drawn) -> Tensor:
        angle = (30 * drawn.signed).deg2rad_()
        return inverse_affine(angle, torch.zeros_like(angle), torch.ones_like(angle))

    return moves(matrices)


@OPERATIONS.register("rotate_90")
def rotate_90(resize: tuple[int, ...]) -> Operation:
    """A quarter turn to the left or right. Raises ValueError unless photos are square."""
    check_square(resize, "rotate_90")

    def apply(photos: Tensor, drawn: Drawn) -> Tensor:
        return photos.rot90(1, (2, 3)).lerp(photos.rot90(-1, (2, 3)), column(drawn.sign.clamp(min=0).float(), photos))

    return apply


@OPERATIONS.register("horizontal_flip")
def horizontal_flip() -> Operation:
    return lambda photos, drawn: photos.flip(3)


@OPERATIONS.register("vertical_flip")
def vertical_flip() -> Operation:
    return lambda photos, drawn: photos.flip(2)


@OPERATIONS.register("auto_contrast")
def stretched() -> Operation:
    return lambda photos, drawn: auto_contrast(photos)


@OPERATIONS.register("invert")
def invert() -> Operation:
    return lambda photos, drawn: 1 - photos


@OPERATIONS.register("equalize")
def equalized() -> Operation:
    return lambda photos, drawn: equalize(photos)


@OPERATIONS.register("solarize")
def solarized() -> Operation:
    """What is brighter than a threshold, which falls from 256/255 to 0, turned to its negative."""
    return lambda photos, drawn: solarize(photos, column((1 - drawn.magnitude) * (256 / 255), photos))


@OPERATIONS.register("posterize")
def posterized() -> Operation:
    """8 bits down to 4 for each channel."""
    return lambda photos, drawn: posterize(photos, column(2 ** (4 * drawn.magnitude).round(), photos))


@OPERATIONS.register("contrast")
def contrasted() -> Operation:
    """About the photo's mean grey; of other than 3 channels, each about its own mean."""
    return lambda photos, drawn: contrast(photos, factor(drawn, photos), each=photos.shape[1] != 3)


@OPERATIONS.register("color")
def color() -> Operation:
    """Saturation; of other than 3 channels, their distance from their mean."""
    return lambda photos, drawn: saturate(photos, factor(drawn, photos))


@OPERATIONS.register("brightness")
def brightness() -> Operation:
    return lambda photos, drawn: brighten(photos, factor(drawn, photos))


@OPERATIONS.register("sharpness")
def sharpness() -> Operation:
    return lambda photos, drawn: sharpen(photos, factor(drawn, photos))


@OPERATIONS.register("cutout")
def cutout(mean: tuple[float, ...]) -> Operation:
    """A box of up to 60/331 of each side, its centre anywhere, in the mean colour, which normalising makes 0."""

    def apply(photos: Tensor, drawn: Drawn) -> Tensor:
        size = torch.tensor(photos.shape[2:])
        sides = (drawn.magnitude[:, None] * (60 / 331) * size).round_()
        start = (drawn.place * size - sides / 2).round_()
        colour = torch.tensor(mean).to(photos.device, non_blocking=True)[:, None, None]
        return photos.lerp(colour, inside(torch.cat([start, start + sides], 1), photos))

    return apply
