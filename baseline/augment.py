"""How training photos are varied: a batch at a time, on the training device, each photo in its own way.

An operation is `f(photos, draws) -> photos`: it takes photos (B, C, H, W), uint8 as stored or float in [0, 1] as an
operation before it left them, does not write to them, and returns either kind. What it draws comes from `draws`, and
no photo sees another, so that a batch may be divided. To add one, decorate a factory that returns it with
`@AUGMENTATIONS.register("name")`; adapters.py makes one of any torchvision transform of a single image.
`--augmentation crop+flip+noise` applies several, in that order; `policy:FILE` and `policy:random:N` are policy.py's.
Validation and test photos never pass through here: see `evaluation_view`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from adapters import Operation, in_pieces, per_image
from draws import Draws
from pixels import (
    brighten,
    check_square,
    contrast,
    inside,
    inverse_affine,
    move,
    normal_numbers,
    planes,
    saturate,
    smooth,
    to_float,
    turn_hue,
)
from policy import build_policy, read_policy
from registry import Registry, unknown

AUGMENTATIONS = Registry("augmentation")
SETS = {  # names of the older NNI platform
    "BaseAugmentation": "none",
    "FlipAugmentation": "flip",
    "GaussianAugmentation": "jitter+noise",
    "AffineAugmentation": "affine+jitter+noise",
}
POLICY = "policy:"  # before a file or random:N
BANK = 2**22  # normal numbers that noise is taken from


@dataclass(frozen=True)
class Augmentation:
    vary: Operation  # uint8 (B, C, H, W) -> float (B, C, h, w) in [0, 1], channels last in memory
    margin: float  # share of height and width that photos are stored larger than --resize


def check_augmentation(name: str) -> list[str]:
    """The operations of `name`, in order. Raises ValueError for an unknown one, one given twice, or a bad policy."""
    parts = [part for given in name.split("+") for part in SETS.get(given, given).split("+")]
    for part in parts:
        if part.startswith(POLICY):
            read_policy(part.removeprefix(POLICY))
        elif part not in AUGMENTATIONS.entries:
            raise unknown("augmentation", part, [*AUGMENTATIONS.entries, *SETS, "policy:FILE", "policy:random:N"])
        if parts.count(part) > 1:
            raise ValueError(f"augmentation {name!r} has {part!r} twice; take one of them out")
    return parts


def build_augmentation(name: str, knobs: dict[str, Any]) -> Augmentation:
    """Raises ValueError as check_augmentation does, and for an operation that these photos cannot have."""
    parts = check_augmentation(name)
    operations = [build_operation(part, knobs) for part in parts]

    def vary(photos: Tensor, draws: Draws) -> Tensor:
        for operation in operations:
            photos = operation(photos, draws)
        return to_float(photos).contiguous(memory_format=torch.channels_last)

    return Augmentation(in_pieces(vary), knobs["crop_margin"] if "crop" in parts else 0.0)


def build_operation(part: str, knobs: dict[str, Any]) -> Operation:
    if part.startswith(POLICY):
        return build_policy(read_policy(part.removeprefix(POLICY)), knobs)
    return AUGMENTATIONS.build(part, knobs)


def stored_size(resize: tuple[int, int], margin: float) -> tuple[int, int]:
    """Height and width of stored photos: --resize and the margin, half of it on each side."""
    height, width = (side + 2 * round(side * margin / 2) for side in resize)
    return height, width


def evaluation_view(photos: Tensor, resize: tuple[int, int]) -> Tensor:
    """The central window, as float in [0, 1]: all that validation and test photos get before normalising."""
    top, left = ((stored - side) // 2 for stored, side in zip(photos.shape[2:], resize, strict=True))
    return to_float(photos[:, :, top : top + resize[0], left : left + resize[1]])


@AUGMENTATIONS.register("none")
def none() -> Operation:
    """The photo as it is."""
    return lambda photos, draws: photos


@AUGMENTATIONS.register("crop")
def crop(resize: tuple[int, int]) -> Operation:
    """A random window of size `resize` out of the stored photo, which is larger by crop_margin."""
    height, width = resize

    def apply(photos: Tensor, draws: Draws) -> Tensor:
        tops, lefts = (
            draws.integers(stored - side + 1).tolist() for stored, side in zip(photos.shape[2:], resize, strict=True)
        )
        each = zip(photos.permute(0, 2, 3, 1), tops, lefts, strict=True)  # channels stay last in memory
        windows = [photo[top : top + height, left : left + width] for photo, top, left in each]
        return torch.stack(windows).permute(0, 3, 1, 2)

    return apply


@AUGMENTATIONS.register("flip")
def flip() -> Operation:
    """Each photo mirrored left to right with probability 1/2."""

    def apply(photos: Tensor, draws: Draws) -> Tensor:
        photos = to_float(photos)
        mirrored = draws.chance(0.5).float().to(photos.device, non_blocking=True)
        return photos.lerp(photos.flip(3), mirrored[:, None, None, None])

    return apply


@AUGMENTATIONS.register("dihedral")
def dihedral(resize: tuple[int, int]) -> Operation:
    """Each photo turned and mirrored by one of the square's 8 symmetries, for what has no upright, as cells.

    Raises ValueError unless photos are square.
    """
    check_square(resize, "dihedral")

    def apply(photos: Tensor, draws: Draws) -> Tensor:
        photos = to_float(photos)
        choices = draws.integers(2, 3).float().to(photos.device, non_blocking=True)[:, :, None, None, None]
        across, down, diagonal = choices.unbind(1)
        photos = photos.lerp(photos.flip(3), across)
        photos = photos.lerp(photos.flip(2), down)
        return photos.lerp(photos.mT, diagonal)

    return apply


@AUGMENTATIONS.register("affine")
def affine(degrees: float, shear: float, scale: tuple[float, float]) -> Operation:
    """Rotation and horizontal shear up to so many degrees, and scale, about the centre; bilinear, black outside.

    As torchvision's RandomAffine with fill=None; its fill=0 darkens the outermost pixels twice.
    """

    def apply(photos: Tensor, draws: Draws) -> Tensor:
        angle, tilt = (draws.uniform(-most, most).deg2rad_() for most in (degrees, shear))
        return move(photos, inverse_affine(angle, tilt, draws.uniform(*scale)))

    return apply


@AUGMENTATIONS.register("jitter")
def jitter(jitter: float) -> Operation:
    """Brightness, contrast and saturation times 1 - jitter to 1 + jitter, hue turned by up to `jitter` of the circle.

    As torchvision's ColorJitter(jitter, jitter, jitter, jitter), but in one random order for the whole batch.
    Photos of other than 3 channels have no hue, so it is left out; their grey is the mean of the channels.
    """
    steps = (brighten, contrast, saturate, turn_hue)

    def apply(photos: Tensor, draws: Draws) -> Tensor:
        factors = torch.cat([draws.uniform(max(0, 1 - jitter), 1 + jitter, 3), draws.uniform(-jitter, jitter, 1)], 1)
        amounts = factors.to(photos.device, non_blocking=True)[:, :, None, None, None].unbind(1)
        photos = planes(photos)
        for step in draws.order(4):
            if steps[step] is not turn_hue or photos.shape[1] == 3:
                photos = steps[step](photos, amounts[step])
        return photos

    return apply


@AUGMENTATIONS.register("noise")
def noise(noise_std: float) -> Operation:
    """Gaussian noise; `noise_std` is a share of full brightness. The result stays in [0, 1]."""

    def apply(photos: Tensor, draws: Draws) -> Tensor:
        photos = planes(photos)
        count = photos[0].numel()
        windows = normal_numbers(max(BANK, 4 * count), photos.device).unfold(0, count, 1)
        places = draws.integers(len(windows)).to(photos.device, non_blocking=True)
        signs = draws.integers(2).mul_(2).sub_(1).to(photos.device, non_blocking=True)
        drawn = windows.index_select(0, places).view_as(photos)
        return drawn.mul_((signs * noise_std)[:, None, None, None]).add_(photos).clamp_(0, 1)

    return apply


@AUGMENTATIONS.register("blur")
def blur(blur_sigma: tuple[float, float]) -> Operation:
    """Gaussian blur, its sigma in pixels anew for each photo; edges are mirrored. As torchvision's GaussianBlur."""

    def apply(photos: Tensor, draws: Draws) -> Tensor:
        radius = min(math.ceil(3 * blur_sigma[1]), min(photos.shape[2:]) - 1)
        return smooth(planes(photos), draws.uniform(*blur_sigma), radius)

    return apply


@AUGMENTATIONS.register("erasing")
def erasing(erasing_area: tuple[float, float], mean: tuple[float, ...]) -> Operation:
    """With probability 1/2 a random box in the mean colour, which normalising makes 0.

    As torchvision's RandomErasing after Normalize: `erasing_area` is the range of the box's share of the photo, its
    height over its width is 0.3 to 3.3, and of ten tries the first box that fits is taken.
    Zhong et al. 2017, https://arxiv.org/abs/1708.04896.
    """

    def apply(photos: Tensor, draws: Draws) -> Tensor:
        height, width = photos.shape[2:]
        area = draws.uniform(*erasing_area, 10) * (height * width)
        ratio = draws.uniform(math.log(0.3), math.log(3.3), 10).exp_()
        tall, wide = (area * ratio).sqrt_().round_(), (area / ratio).sqrt_().round_()
        fits = (tall < height) & (wide < width)
        first = fits.int().argmax(1, keepdim=True)
        sides = torch.cat([tall.gather(1, first), wide.gather(1, first)], 1)
        erased = draws.chance(0.5) & fits.any(1)
        start = (draws.uniform(0, 1, 2) * (torch.tensor([height, width]) - sides + 1)).floor_()
        boxes = torch.cat([start, start + sides * erased[:, None]], 1)
        colour = torch.tensor(mean).to(photos.device, non_blocking=True)[:, None, None]
        return planes(photos).lerp(colour, inside(boxes, photos))

    return apply


@AUGMENTATIONS.register("randaugment")
def randaugment(randaugment_ops: int, randaugment_magnitude: int, mean: tuple[float, ...]) -> Operation:
    """torchvision's RandAugment: so many of its 14 operations in a row, all of one magnitude, on the CPU.

    Raises ValueError unless photos have 1 or 3 channels.
    Cubuk et al. 2019, https://arxiv.org/abs/1909.13719.
    """
    from torchvision.transforms import v2

    check_colours(mean, "randaugment")
    return per_image(v2.RandAugment(randaugment_ops, randaugment_magnitude))


@AUGMENTATIONS.register("trivialaugment")
def trivialaugment(mean: tuple[float, ...]) -> Operation:
    """torchvision's TrivialAugmentWide: one operation of a random magnitude, on the CPU.

    Raises ValueError unless photos have 1 or 3 channels.
    Müller and Hutter 2021, https://arxiv.org/abs/2103.10158.
    """
    from torchvision.transforms import v2

    check_colours(mean, "trivialaugment")
    return per_image(v2.TrivialAugmentWide())


def check_colours(mean: tuple[float, ...], name: str) -> None:
    """Raises ValueError where torchvision's colour operations do not take photos of len(mean) channels."""
    if len(mean) not in (1, 3):
        raise ValueError(
            f"augmentation {name!r} is made for colour or grey photos, but these have {len(mean)} channels; "
            "policy:random:N and policy:FILE take any number"
        )
