"""How training photos are varied: a batch at a time, on the training device.

An augmentation is `f(uint8 (B, C, H, W), generator) -> float (B, C, h, w)` in [0, 1], before
normalising; a registered factory returns one. To add one, decorate a factory with
`@AUGMENTATIONS.register("name")`; `per_image` adapts any torchvision transform of a single image.
Validation and test photos never pass through here: see `to_float`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from registry import Registry

Augmentation = Callable[[torch.Tensor, torch.Generator], torch.Tensor]
AUGMENTATIONS = Registry("augmentation")


def to_float(photos: torch.Tensor) -> torch.Tensor:
    """uint8 to float in [0, 1]: all that validation and test photos get before normalising."""
    return photos.to(torch.float32).div_(255)


@AUGMENTATIONS.register("none")
@AUGMENTATIONS.register("BaseAugmentation")
def base() -> Augmentation:
    """The photo as it is; crop, size and normalisation are the same for training and validation."""
    return lambda photos, generator: to_float(photos)


@AUGMENTATIONS.register("GaussianAugmentation")
def gaussian(noise_std: float) -> Augmentation:
    """Colour jitter of a tenth each (brightness, contrast, saturation, hue) and Gaussian noise."""
    from torchvision.transforms import v2

    jitter = per_image(v2.ColorJitter(0.1, 0.1, 0.1, 0.1))
    return lambda photos, generator: add_noise(jitter(photos, generator), noise_std, generator)


@AUGMENTATIONS.register("AffineAugmentation")
def affine(noise_std: float) -> Augmentation:
    """Shear up to 10 degrees, scale 0.8 to 1.2, colour jitter of a tenth each and Gaussian noise."""
    from torchvision.transforms import v2

    bilinear = v2.InterpolationMode.BILINEAR
    moved = v2.RandomAffine(degrees=0, shear=10, scale=(0.8, 1.2), interpolation=bilinear)
    vary = per_image(v2.Compose([moved, v2.ColorJitter(0.1, 0.1, 0.1, 0.1)]))
    return lambda photos, generator: add_noise(vary(photos, generator), noise_std, generator)


@AUGMENTATIONS.register("FlipAugmentation")
def flip() -> Augmentation:
    """Each photo mirrored left to right with probability 1/2."""

    def apply(photos: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        mirrored = torch.rand(len(photos), generator=generator) < 0.5
        return to_float(torch.where(mirrored.to(photos.device)[:, None, None, None], photos.flip(3), photos))

    return apply


def add_noise(photos: torch.Tensor, std: float, generator: torch.Generator) -> torch.Tensor:
    """Noise on photos in [0, 1]; `std` is a share of full brightness. The result stays in [0, 1]."""
    noise = torch.randn(photos.shape, generator=generator).to(photos.device)
    return (photos + std * noise).clamp_(0, 1)


def per_image(transform: Callable[[torch.Tensor], torch.Tensor]) -> Augmentation:
    """Applies a transform of one uint8 image (C, H, W) to each photo, its draws taken from `generator`."""

    def apply(photos: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        seed = int(torch.randint(2**31, (), generator=generator))
        with torch.random.fork_rng(devices=[]):  # torchvision draws from torch's own generator
            torch.default_generator.manual_seed(seed)  # not the GPU's, which dropout draws from
            return to_float(torch.stack([transform(photo) for photo in photos]))

    return apply
