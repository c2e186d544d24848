"""Each function against torchvision's of the same name in transforms.v2.functional, one photo at a time."""

import pytest
import torch
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional

from pixels import (
    auto_contrast,
    brighten,
    check_square,
    contrast,
    equalize,
    grey,
    inside,
    inverse_affine,
    move,
    normal_numbers,
    posterize,
    saturate,
    sharpen,
    smooth,
    solarize,
    to_float,
    turn_hue,
)

COLOURS = {"brightness": brighten, "contrast": contrast, "saturation": saturate, "hue": turn_hue}


def photos(count=5, height=20, width=14):
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(0))


def each(function, batch, *amounts):
    return torch.stack([function(photo, *own) for photo, *own in zip(batch, *amounts, strict=True)])


def corners():
    """A photo of the colours at which hue is undefined or its formula changes."""
    steps = torch.tensor([0.0, 0.25, 0.5, 1.0])
    return torch.cartesian_prod(steps, steps, steps).T.reshape(1, 3, 8, 8)


@pytest.mark.parametrize("angle", [0, -30, 75])
def test_photos_are_moved_as_torchvision_moves_them(angle):
    tilts, sizes = [-10.0, 0.0, 4.5, 10.0, 30.0], [0.8, 1.0, 1.2, 0.5, 2.0]
    expected = each(
        lambda photo, tilt, size: functional.affine(
            photo, angle, [0, 0], size, [tilt, 0], interpolation=InterpolationMode.BILINEAR
        ),
        photos(),
        tilts,
        sizes,
    )
    angles = torch.full((5,), float(angle)).deg2rad()
    matrices = inverse_affine(angles, torch.tensor(tilts).deg2rad(), torch.tensor(sizes))
    torch.testing.assert_close(move(photos(), matrices), expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize("kind", COLOURS)
def test_colours_change_as_torchvision_changes_them(kind):
    amounts = [-0.5, -0.1, 0.0, 0.07, 0.5] if kind == "hue" else [0.0, 0.5, 1.0, 1.1, 2.5]
    expected = each(getattr(functional, f"adjust_{kind}"), photos(), amounts)
    changed = COLOURS[kind](photos(), torch.tensor(amounts).view(-1, 1, 1, 1))
    torch.testing.assert_close(changed, expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("turn", [-0.5, -1 / 6, 0.0, 1 / 3, 0.5])
def test_hue_turns_right_for_grey_pure_and_mixed_colours(turn):
    expected = functional.adjust_hue(corners(), turn)
    torch.testing.assert_close(turn_hue(corners(), torch.full((1, 1, 1, 1), turn)), expected, rtol=0, atol=2e-6)


def test_red_turned_by_a_third_of_the_circle_is_green():
    red = torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1)
    green = turn_hue(red, torch.full((1, 1, 1, 1), 1 / 3))
    torch.testing.assert_close(green.flatten(), torch.tensor([0.0, 1, 0]), rtol=0, atol=1e-6)


def test_photos_are_blurred_as_torchvision_blurs_them():
    sigmas = [0.1, 0.5, 1.0, 1.7, 3.0]
    expected = each(lambda photo, sigma: functional.gaussian_blur(photo, [13, 13], [sigma, sigma]), photos(), sigmas)
    torch.testing.assert_close(smooth(photos(), torch.tensor(sigmas), 6), expected, rtol=0, atol=2e-6)


def test_a_box_covers_what_torchvision_erases():
    boxes = torch.tensor([[0, 0, 20, 14], [3, 2, 4, 9], [19, 13, 20, 14], [5, 5, 5, 9], [0, 13, 7, 14]])
    expected = each(
        lambda photo, box: functional.erase(
            photo, box[0], box[1], box[2] - box[0], box[3] - box[1], torch.full((3, 1, 1), 0.5)
        ),
        photos(),
        boxes.tolist(),
    )
    erased = photos().lerp(torch.full((3, 1, 1), 0.5), inside(boxes, photos()))
    torch.testing.assert_close(erased, expected, rtol=0, atol=0)


def test_the_bank_of_normal_numbers_is_normal_and_always_the_same():
    bank = normal_numbers(100_000, torch.device("cpu"))
    torch.testing.assert_close(bank, torch.randn(100_000, generator=torch.Generator().manual_seed(0)), rtol=0, atol=0)


def test_photos_are_shifted_as_torchvision_translates_them():
    shifts = [[0.0, 0.0], [3.0, 0.0], [-5.0, 2.0], [0.0, -19.0], [2.5, 1.5]]
    expected = each(
        lambda photo, shift: functional.affine(photo, 0, shift, 1, [0, 0], interpolation=InterpolationMode.BILINEAR),
        photos(),
        shifts,
    )
    shifted = move(photos(), torch.eye(2).repeat(5, 1, 1), -torch.tensor(shifts))
    torch.testing.assert_close(shifted, expected, rtol=0, atol=2e-5)


def levels(channels=3):
    """uint8: photos of few and many levels, one of them flat."""
    drawn = torch.randint(0, 256, (4, channels, 20, 14), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    drawn[1] = drawn[1] // 3 + 40
    drawn[2] = drawn[2] // 64 * 64
    drawn[3] = 77
    return drawn


@pytest.mark.parametrize("bits", range(1, 9))
def test_photos_are_posterized_as_torchvision_posterizes_bytes(bits):
    expected = to_float(functional.posterize(levels(), bits))
    posterized = posterize(to_float(levels()), torch.full((4, 1, 1, 1), 2.0 ** (8 - bits)))
    torch.testing.assert_close(posterized, expected, rtol=0, atol=1e-6)


def test_photos_are_solarized_as_torchvision_solarizes_them():
    thresholds = [0.0, 0.3, 0.5, 0.77, 1.0]
    expected = each(functional.solarize, photos(), thresholds)
    torch.testing.assert_close(solarize(photos(), torch.tensor(thresholds).view(-1, 1, 1, 1)), expected)


def test_photos_are_sharpened_as_torchvision_sharpens_them():
    amounts = [0.0, 0.1, 1.0, 1.5, 1.9]
    expected = each(functional.adjust_sharpness, photos(), amounts)
    sharp = sharpen(photos(), torch.tensor(amounts).view(-1, 1, 1, 1))
    torch.testing.assert_close(sharp, expected, rtol=0, atol=2e-6)


def test_levels_are_equalized_and_stretched_as_torchvision_does_with_bytes():
    batch = to_float(levels())
    torch.testing.assert_close(equalize(batch), to_float(functional.equalize(levels())), rtol=0, atol=1e-6)
    stretched = torch.stack([functional.autocontrast(photo) for photo in batch])
    torch.testing.assert_close(auto_contrast(batch), stretched, rtol=0, atol=1e-6)


@pytest.mark.parametrize("change", [equalize, auto_contrast])
def test_each_of_four_channels_is_equalized_and_stretched_as_a_grey_photo(change):
    batch = to_float(levels(4))
    alone = torch.cat([change(batch[:, [channel]]) for channel in range(4)], 1)
    assert torch.equal(change(batch), alone)


def test_grey_is_the_mean_of_other_than_three_channels():
    batch = torch.tensor([0.1, 0.2, 0.3, 0.6]).view(1, 4, 1, 1).expand(2, 4, 3, 3)
    torch.testing.assert_close(grey(batch), torch.full((2, 1, 3, 3), 0.3))
    assert torch.equal(grey(batch[:, :1]), batch[:, :1])


def test_contrast_of_each_channel_is_about_its_own_mean():
    batch = photos()
    factor = torch.full((5, 1, 1, 1), 0.4)
    alone = torch.cat([contrast(batch[:, [channel]], factor) for channel in range(3)], 1)
    torch.testing.assert_close(contrast(batch, factor, each=True), alone, rtol=0, atol=1e-6)
    assert not torch.allclose(contrast(batch, factor), alone, atol=1e-3)


def test_photos_that_are_not_square_cannot_be_turned_by_a_quarter():
    check_square((64, 64), "dihedral")
    with pytest.raises(ValueError, match="--resize 64 48 is not square; pass --resize 64 or leave 'dihedral' out"):
        check_square((64, 48), "dihedral")
