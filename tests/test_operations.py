"""Each operation against torchvision's function, one photo at a time, at the amounts of Cubuk et al. 2019, table 6."""

import math

import pytest
import torch
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional

from operations import OPERATIONS, Drawn

MEAN = (0.5, 0.25, 0.75)
KNOBS = {"resize": (24, 24), "mean": MEAN}
MAGNITUDES = (0.0, 0.2, 0.5, 0.8, 1.0, 0.5)
SIGNS = (1, -1, 1, 1, -1, -1)
STEADY = {"auto_contrast", "invert", "equalize", "horizontal_flip", "vertical_flip", "rotate_90"}  # without a strength


def photos(channels=3, side=24):
    drawn = torch.randint(
        20, 220, (6, channels, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    return drawn.float() / 255


def drawn(magnitudes=MAGNITUDES, signs=SIGNS):
    places = torch.rand(len(signs), 2, generator=torch.Generator().manual_seed(1))
    return Drawn(torch.tensor(magnitudes), torch.tensor(signs), places)


def varied(name, batch, given=None, **knobs):
    return OPERATIONS.build(name, KNOBS | knobs)(batch, given or drawn())


def moved(photo, angle=0.0, translate=(0.0, 0.0), shear=(0.0, 0.0)):
    bilinear = InterpolationMode.BILINEAR
    return functional.affine(photo, angle, list(translate), 1.0, list(shear), interpolation=bilinear)


def slope(strength):
    return math.degrees(math.atan(0.3 * strength))


def pixels(strength, side=24):
    return float(round(150 / 331 * side * strength))


TORCHVISION = {  # f(photo, magnitude times sign)
    "shear_x": lambda photo, strength: moved(photo, shear=(slope(strength), 0.0)),
    "shear_y": lambda photo, strength: moved(photo, shear=(0.0, slope(strength))),
    "translate_x": lambda photo, strength: moved(photo, translate=(pixels(strength), 0.0)),
    "translate_y": lambda photo, strength: moved(photo, translate=(0.0, pixels(strength))),
    "rotate": lambda photo, strength: moved(photo, angle=30 * strength),
    "auto_contrast": lambda photo, strength: functional.autocontrast(photo),
    "invert": lambda photo, strength: functional.invert(photo),
    "equalize": lambda photo, strength: functional.equalize(photo),
    "solarize": lambda photo, strength: (
        functional.solarize(photo, 256 / 255 * (1 - abs(strength))) if strength else photo
    ),
    "posterize": lambda photo, strength: (
        functional.posterize((photo * 255).round().to(torch.uint8), 8 - round(4 * abs(strength))).float().div(255)
    ),
    "contrast": lambda photo, strength: functional.adjust_contrast(photo, 1 + 0.9 * strength),
    "color": lambda photo, strength: functional.adjust_saturation(photo, 1 + 0.9 * strength),
    "brightness": lambda photo, strength: functional.adjust_brightness(photo, 1 + 0.9 * strength),
    "sharpness": lambda photo, strength: functional.adjust_sharpness(photo, 1 + 0.9 * strength),
    "horizontal_flip": lambda photo, strength: functional.horizontal_flip(photo),
    "vertical_flip": lambda photo, strength: functional.vertical_flip(photo),
}


@pytest.mark.parametrize("name", TORCHVISION)
def test_each_operation_does_what_torchvision_s_function_does(name):
    strengths = [magnitude * sign for magnitude, sign in zip(MAGNITUDES, SIGNS, strict=True)]
    expected = [TORCHVISION[name](photo, strength) for photo, strength in zip(photos(), strengths, strict=True)]
    torch.testing.assert_close(varied(name, photos()), torch.stack(expected), rtol=0, atol=3e-5)


def test_all_operations_are_compared_with_torchvision_s_but_those_it_lacks():
    assert set(OPERATIONS.entries) - set(TORCHVISION) == {"rotate_90", "cutout"}


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("name", sorted(OPERATIONS.entries))
def test_every_operation_keeps_shape_range_and_its_input_whatever_the_channels(name, channels):
    batch = photos(channels)
    after = varied(name, batch, mean=(0.5,) * channels)
    assert after.shape == batch.shape
    assert after.min() >= 0
    assert after.max() <= 1
    assert torch.equal(batch, photos(channels))
    one = Drawn(*(entry[4:5] for entry in (drawn().magnitude, drawn().sign, drawn().place)))
    torch.testing.assert_close(varied(name, batch[4:5], one, mean=(0.5,) * channels), after[4:5], rtol=0, atol=1e-6)
    if (name, channels) not in {("color", 1), ("equalize", 1)}:  # grey has no colour; noise is equalized already
        assert not torch.equal(after[4], batch[4])


@pytest.mark.parametrize("name", sorted(set(OPERATIONS.entries) - STEADY))
def test_magnitude_0_leaves_the_photo_as_it_is(name):
    same = varied(name, photos(), drawn((0.0,) * 6))
    torch.testing.assert_close(same, photos(), rtol=0, atol=3e-5)


@pytest.mark.parametrize(
    "name", ["auto_contrast", "equalize", "solarize", "posterize", "contrast", "brightness", "sharpness", "invert"]
)
def test_four_channels_are_each_treated_as_a_grey_photo(name):
    alone = torch.cat([varied(name, photos(4)[:, [channel]]) for channel in range(4)], 1)
    torch.testing.assert_close(varied(name, photos(4)), alone, rtol=0, atol=1e-6)


def test_color_of_four_channels_moves_them_to_and_from_their_mean():
    batch = torch.tensor([0.2, 0.4, 0.6, 0.8]).view(1, 4, 1, 1).expand(2, 4, 8, 8)
    after = varied("color", batch, drawn((1.0, 0.2), (-1, 1)))[:, :, 0, 0]
    expected = torch.tensor([[0.47, 0.49, 0.51, 0.53], [0.146, 0.382, 0.618, 0.854]])  # 0.5 + d * 0.1 and d * 1.18
    torch.testing.assert_close(after, expected, rtol=0, atol=1e-6)


def test_a_quarter_turn_goes_left_or_right():
    after = varied("rotate_90", photos())
    for photo, turned, sign in zip(photos(), after, SIGNS, strict=True):
        assert torch.equal(turned, functional.rotate(photo, -90.0 * sign))


def test_a_quarter_turn_of_photos_that_are_not_square_is_an_error():
    with pytest.raises(ValueError, match="'rotate_90' turns photos by a quarter, but --resize 24 32 is not square"):
        OPERATIONS.build("rotate_90", KNOBS | {"resize": (24, 32)})


def test_cutout_is_a_box_of_60_331sts_of_the_side_in_the_mean_colour():
    given = Drawn(
        torch.tensor([1.0, 0.5, 1.0]), torch.tensor([1, 1, 1]), torch.tensor([[0.5, 0.5], [0.5, 0.25], [0, 0]])
    )
    cut = (varied("cutout", torch.ones(3, 3, 331, 331), given) == torch.tensor(MEAN).view(3, 1, 1)).all(1)
    assert cut.sum((1, 2)).tolist() == [60 * 60, 30 * 30, 30 * 30]  # the last one half outside on both sides
    rows, columns = cut[1].nonzero().unbind(1)
    assert (rows.min().item(), columns.min().item()) == (round(165.5 - 15), round(82.75 - 15))
