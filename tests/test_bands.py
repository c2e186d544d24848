import numpy as np
import pytest
from PIL import Image

from bands import bands_of, to_grey

COLOURS = ("red", "green", "blue", "yellow")


@pytest.fixture
def sample(tmp_path):
    """A grey file of noise for each colour, 40 wide and 30 high, and their pixels (30, 40, 4)."""
    pixels = np.random.default_rng(0).integers(0, 256, (30, 40, 4), dtype=np.uint8)
    paths = tuple(tmp_path / f"a_{colour}.png" for colour in COLOURS)
    for place, path in enumerate(paths):
        Image.fromarray(pixels[..., place]).save(path)
    return paths, pixels


def pixels_of(bands):
    return np.stack([np.asarray(band) for band in bands], axis=2)


def test_the_files_of_a_sample_become_its_channels_in_their_order(sample):
    paths, pixels = sample
    np.testing.assert_array_equal(pixels_of(bands_of(paths, 4)), pixels)
    np.testing.assert_array_equal(pixels_of(bands_of(paths[:0:-1], 3)), pixels[..., :0:-1])


def test_the_bands_of_one_file_are_the_same_channels_whatever_the_fourth_says(sample, tmp_path):
    _, pixels = sample
    Image.fromarray(pixels).save(tmp_path / "a.png")
    np.testing.assert_array_equal(pixels_of(bands_of(tmp_path / "a.png", 4)), pixels)


@pytest.mark.parametrize(
    ("photo", "grey"),
    [
        (Image.new("L", (1, 1), 90), 90),
        (Image.new("1", (1, 1), 1), 255),
        (Image.new("LA", (1, 1), (90, 3)), 90),
        (Image.new("RGB", (1, 1), (90, 90, 90)), 90),
        (Image.new("RGB", (1, 1), (200, 0, 0)), 200),  # red, saved in red; its luminance is 60
        (Image.new("RGB", (1, 1), (180, 180, 0)), 180),  # yellow
        (Image.new("RGBA", (1, 1), (0, 0, 70, 9)), 70),
        (Image.new("CMYK", (1, 1), (0, 255, 255, 55)), 200),
        (Image.new("I", (1, 1), 257 * 90), 90),
        (Image.fromarray(np.full((1, 1), 257 * 90, np.uint16)), 90),
    ],
)
def test_a_channel_s_file_is_as_bright_as_its_brightest_colour(photo, grey):
    assert to_grey(photo).mode == "L"
    assert to_grey(photo).getpixel((0, 0)) == grey


def test_a_turned_channel_is_upright(tmp_path, sample):
    paths, pixels = sample
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    Image.fromarray(pixels[::-1, ::-1, 1].copy()).save(paths[1], exif=exif)
    np.testing.assert_array_equal(pixels_of(bands_of(paths, 4)), pixels)


def test_channels_of_different_sizes_are_named_with_their_sizes(sample):
    paths, _ = sample
    Image.new("L", (20, 15)).save(paths[3])
    with pytest.raises(ValueError, match="channels of different sizes: red 40x30, yellow 20x15"):
        bands_of(paths, 4)


def test_a_channel_that_cannot_be_read_is_named(sample):
    paths, _ = sample
    paths[2].write_bytes(paths[2].read_bytes()[:200])
    with pytest.raises(ValueError, match=r"^a_blue.png: .*(truncated|broken)"):
        bands_of(paths, 4)
    paths[1].unlink()
    with pytest.raises(ValueError, match=r"^a_green.png: FileNotFoundError"):
        bands_of(paths, 4)


def test_other_numbers_of_channels_than_wanted_are_refused(sample, tmp_path):
    paths, _ = sample
    with pytest.raises(ValueError, match="4 files for 3 channels"):
        bands_of(paths, 3)
    for mode in ("RGB", "L", "CMYK"):
        Image.new(mode, (8, 8)).save(tmp_path / "one.tif")
        with pytest.raises(ValueError, match=f"one.tif is {mode}; 4 channels are wanted, RGBA for 4"):
            bands_of(tmp_path / "one.tif", 4)
