"""Pure functions of photos (B, C, H, W) in [0, 1], each photo with its own amounts (B, …); chance is augment.py's.

What they compute is what torchvision.transforms.v2.functional computes, one photo at a time; `benchmarks/augment.py`
compares their speed with it and with kornia's.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor
from torch.nn import functional


def to_float(photos: Tensor) -> Tensor:
    """uint8 to float in [0, 1]; float as it is."""
    return photos if photos.is_floating_point() else photos.to(torch.float32).div_(255)


def planes(photos: Tensor) -> Tensor:
    """to_float, with each channel's pixels side by side in memory, which is faster to compute with."""
    return to_float(photos).contiguous()


def inverse_affine(angle: Tensor, tilt: Tensor, size: Tensor) -> Tensor:
    """Matrices (B, 2, 2) from (x, y) in the result to (x, y) in the photo, both from the centre: that photo sheared by
    `tilt`, made `size` times as large and turned by `angle` (all (B,), in radians) is the result.
    """
    sine, cosine, slope = angle.sin(), angle.cos(), tilt.tan()
    entries = (cosine - sine * slope, sine + cosine * slope, -sine, cosine)
    return (torch.stack(entries, 1) / size[:, None]).view(-1, 2, 2)


def move(photos: Tensor, matrices: Tensor, shift: Tensor | None = None) -> Tensor:
    """Photos sampled at matrices (B, 2, 2) @ (x, y) + shift (B, 2) in pixels; bilinear, black outside.

    As affine_grid and grid_sample do, but the grid in less time.
    """
    height, width = photos.shape[2:]
    matrices = matrices.to(photos.device, non_blocking=True)
    shift = torch.zeros(len(photos), 2) if shift is None else shift
    shift = shift.to(photos.device, non_blocking=True)
    across, down = (torch.arange(side, device=photos.device) - (side - 1) / 2 for side in (width, height))
    grid = torch.empty(len(photos), height, width, 2, device=photos.device)
    for axis, side in enumerate((width, height)):
        to_x, to_y = (matrices[:, axis] * (2 / side)).unbind(1)  # grid_sample's photo is 2 wide and 2 high
        moved = shift[:, axis, None] * (2 / side) + to_x[:, None] * across
        torch.add(moved[:, None], (to_y[:, None] * down)[:, :, None], out=grid[..., axis])
    return functional.grid_sample(planes(photos), grid, align_corners=False)


def brighten(photos: Tensor, factor: Tensor) -> Tensor:
    return (photos * factor).clamp_(0, 1)


def contrast(photos: Tensor, factor: Tensor, each: bool = False) -> Tensor:
    """Towards (factor 0) or away from the photo's mean grey, or with `each` from each channel's own mean."""
    tone = photos if each else grey(photos)
    return (photos * factor).add_(tone.mean((2, 3), keepdim=True) * (1 - factor)).clamp_(0, 1)


def saturate(photos: Tensor, factor: Tensor) -> Tensor:
    """Towards (factor 0) or away from each pixel's grey."""
    return (photos * factor).add_(grey(photos) * (1 - factor)).clamp_(0, 1)


def grey(photos: Tensor) -> Tensor:
    """(B, 1, H, W), with torchvision's shares of red, green and blue; the mean of any other number of channels."""
    if photos.shape[1] != 3:
        return photos.mean(1, keepdim=True)
    red, green, blue = photos.split(1, 1)
    return (red * 0.2989).add_(green, alpha=0.587).add_(blue, alpha=0.114)


def turn_hue(photos: Tensor, turn: Tensor) -> Tensor:
    """The hue in HSV by `turn` of the whole circle; the largest and smallest of each pixel's channels stay as large.

    Takes 3 channels. Without HSV in between: at hue h, a channel stands between the two by a trapezoid wave of h, the
    same for red, green and blue but a third of the circle apart. https://en.wikipedia.org/wiki/HSL_and_HSV#HSV_to_RGB_alternative
    """
    red, green, blue = photos.split(1, 1)
    value = torch.maximum(torch.maximum(red, green), blue)
    low = torch.minimum(torch.minimum(red, green), blue)
    chroma = value - low
    share = (6 * chroma).clamp_min_(1e-9).reciprocal_()  # grey has no hue, and keeps its place between equal ends
    if_red = torch.addcmul(turn, green - blue, share)
    if_green = torch.addcmul(turn + 1 / 3, blue - red, share)
    if_blue = torch.addcmul(turn + 2 / 3, red - green, share)
    # sign() is 0 where that channel is the largest, else 1; on a CPU torch.where takes 20 times as long as lerp
    hue = if_red.lerp(if_green.lerp(if_blue, (value - green).sign_()), (value - red).sign_())
    hue.sub_(hue.floor())
    turned = torch.empty_like(photos)
    for channel, (centre, slope, top) in enumerate(((3, 6, -1), (2, -6, 2), (4, -6, 2))):
        wave = (hue - centre / 6).abs_().mul_(slope).add_(top).clamp_(0, 1)
        torch.addcmul(low, wave, chroma, out=turned[:, channel : channel + 1])
    return turned


def solarize(photos: Tensor, threshold: Tensor) -> Tensor:
    """What is at least as bright as `threshold` turned to its negative."""
    return photos.lerp(1 - photos, (photos >= threshold).float())


def posterize(photos: Tensor, step: Tensor) -> Tensor:
    """Each of 256 levels lowered to the next multiple of `step`, which is a power of 2."""
    return (photos * 255).round_().div_(step).floor_().mul_(step / 255)


def sharpen(photos: Tensor, factor: Tensor) -> Tensor:
    """Towards (factor 0) or away from the photo smoothed with 1s around a 5; the outermost pixels stay."""
    sharp = photos.clone()
    inner = sharp[:, :, 1:-1, 1:-1]
    rows = (photos[:, :, :-2] + photos[:, :, 1:-1]).add_(photos[:, :, 2:])  # torch's avg_pool2d takes twice as long
    soft = (rows[..., :-2] + rows[..., 1:-1]).add_(rows[..., 2:]).add_(inner, alpha=4).div_(13)
    inner.sub_(soft).mul_(factor).add_(soft)
    return sharp.clamp_(0, 1)


def equalize(photos: Tensor) -> Tensor:
    """Each channel's 256 levels as equally frequent as they can be."""
    from torchvision.transforms.v2 import functional as torchvision

    return torchvision.equalize(photos)


def auto_contrast(photos: Tensor) -> Tensor:
    """Each channel stretched, so that its darkest pixel is 0 and its brightest 1."""
    from torchvision.transforms.v2 import functional as torchvision

    return torchvision.autocontrast(photos.flatten(0, 1)[:, None]).view(photos.shape)  # it takes 1 or 3 channels


def check_square(resize: tuple[int, ...], name: str) -> None:
    """Raises ValueError for photos that would not fit after a quarter turn."""
    height, width = resize
    if height != width:
        raise ValueError(
            f"augmentation {name!r} turns photos by a quarter, but --resize {height} {width} is not square; "
            f"pass --resize {max(height, width)} or leave {name!r} out"
        )


@functools.cache
def normal_numbers(count: int, device: torch.device) -> Tensor:
    """The bank that noise reads: the same on every device, which no device's own generator would give."""
    return torch.randn(count, generator=torch.Generator().manual_seed(0)).to(device)


def smooth(photos: Tensor, sigma: Tensor, radius: int) -> Tensor:
    """Photos (B, C, H, W) weighted with exp(-d² / 2 sigma²) up to `radius` pixels away; sigma (B,)."""
    distance = torch.arange(-radius, radius + 1)
    weights = torch.softmax(-((distance / sigma[:, None]) ** 2) / 2, dim=1).to(photos.device, non_blocking=True)
    weights = weights.repeat_interleave(photos.shape[1], 0)[
        :, None, None
    ]  # (B C, 1, 1, taps): each photo's own, so grouped
    padded = functional.pad(photos, (radius,) * 4, mode="reflect").flatten(0, 1)[None]
    rows = functional.conv2d(padded, weights, groups=len(weights))
    return functional.conv2d(rows, weights.mT, groups=len(weights)).view(photos.shape)


def inside(boxes: Tensor, photos: Tensor) -> Tensor:
    """(B, 1, H, W), 1 in the boxes (B, 4) of top, left, bottom and right, else 0; bottom and right are outside."""
    top, left, bottom, right = boxes.to(photos.device, non_blocking=True)[:, :, None].unbind(1)
    down, across = (torch.arange(side, device=photos.device) for side in photos.shape[2:])
    rows, columns = (down >= top) & (down < bottom), (across >= left) & (across < right)
    return rows.float()[:, None, :, None] * columns.float()[:, None, None]
