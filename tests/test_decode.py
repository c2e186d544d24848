import struct

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageOps

import decode
from decode import centre, shrink
from decode import decode as read

WHOLE, DETAIL = 0, 5000  # crop; drawn shapes


def save(path, photo, **options):
    photo.save(path, **options)
    return path


def reference(path, crop, size):
    """The photo decoded whole, by Pillow alone."""
    photo = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    wide, high = (min(crop, side) if crop else side for side in photo.size)
    left, top = (photo.width - wide) // 2, (photo.height - high) // 2
    photo = photo.crop((left, top, left + wide, top + high))
    return np.asarray(photo.resize(size[::-1], Image.Resampling.BILINEAR)).astype(int)


def scale_of(path, crop, size):
    with Image.open(path) as opened:
        turned = decode.orientation(opened) >= 5
        return shrink(opened, centre(opened.size[::-1] if turned else opened.size, crop), size)


def picture(wide, high, shapes):
    """Shapes of 4 to 200 px, thin lines and grain."""
    rng = np.random.default_rng(0)
    photo = Image.new("RGB", (wide, high), "gray")
    pen = ImageDraw.Draw(photo)
    for kind, x, y, side, *colour in rng.integers(0, [3, wide, high, 100, 256, 256, 256], (shapes, 7)):
        box, fill = (x, y, x + 2 * side + 4, y + side + 4), tuple(map(int, colour))
        if kind == 0:
            pen.ellipse(box, fill)
        elif kind == 1:
            pen.rectangle(box, fill)
        else:
            pen.line(box, fill, width=2)
    grain = np.tile(rng.normal(0, 8, (100, 100, 1)), (high // 100 + 1, wide // 100 + 1, 1))[:high, :wide]
    return Image.fromarray(np.clip(np.asarray(photo) + grain, 0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A detailed JPEG of 12 megapixels."""
    return save(tmp_path_factory.mktemp("large") / "a.jpg", picture(3000, 4000, DETAIL), quality=90)


@pytest.fixture
def ramp():
    """A picture whose brightness rises from left to right, 0 to 255."""
    return Image.fromarray(np.tile(np.arange(256, dtype=np.uint8), (64, 1)))


def test_grey_cmyk_palette_and_16_bit_photos_look_like_their_rgb_twin(tmp_path, ramp):
    sixteen = Image.fromarray((np.asarray(ramp).astype(np.uint16)) * 257)
    paths = [
        save(tmp_path / "rgb.png", ramp.convert("RGB")),
        save(tmp_path / "grey.png", ramp),
        save(tmp_path / "cmyk.tif", ramp.convert("RGB").convert("CMYK")),
        save(tmp_path / "palette.png", ramp.convert("P")),
        save(tmp_path / "clear.png", ramp.convert("RGBA")),
        save(tmp_path / "sixteen.png", sixteen),
    ]
    twin, *others = (read(path, WHOLE, (64, 256)).astype(int) for path in paths)
    for path, other in zip(paths[1:], others, strict=True):
        assert abs(other - twin).max() <= 2, path.name


def test_the_crop_is_the_centre_and_never_larger_than_the_photo(tmp_path):
    photo = Image.new("RGB", (100, 60), "black")
    photo.paste("white", (30, 10, 70, 50))
    path = save(tmp_path / "a.png", photo)
    assert read(path, 40, (8, 8)).min() == 255
    np.testing.assert_array_equal(read(path, 350, (60, 100)), np.asarray(photo))


@pytest.mark.parametrize("kind", ["png", "jpg"])
@pytest.mark.parametrize("turn", range(1, 9))
def test_a_photo_is_turned_as_its_exif_says(tmp_path, kind, turn):
    """A red corner is where EXIF 2.32, table 6, has the first row and column."""
    photo = Image.new("RGB", (40, 20), "black")
    photo.paste("red", (0, 0, 16, 8))
    exif = Image.Exif()
    exif[0x0112] = turn
    path = save(tmp_path / f"a.{kind}", photo, exif=exif)
    size = (40, 20) if turn >= 5 else (20, 40)
    upright = read(path, WHOLE, size)
    row, column = {1: (0, 0), 2: (0, -1), 3: (-1, -1), 4: (-1, 0), 5: (0, 0), 6: (0, -1), 7: (-1, -1), 8: (-1, 0)}[turn]
    red = upright[..., 0] > 128
    assert red[row, column]
    assert red.sum() == 16 * 8
    np.testing.assert_array_equal(upright, reference(path, WHOLE, size))


ONE_ENTRY = b"Exif\0\0MM\0*\0\0\0\x08\0\x01"
ORIENTATION_ABC = b"\x01\x12\0\x02\0\0\0\x04abc\0\0\0\0\0"


@pytest.mark.parametrize("exif", [b"Exif\0\0no directory", ONE_ENTRY + ORIENTATION_ABC])
def test_exif_that_makes_no_sense_does_not_spoil_the_photo(tmp_path, ramp, exif):
    path = save(tmp_path / "a.jpg", ramp, exif=exif)
    assert read(path, WHOLE, (16, 32)).max() > 200


def test_exif_that_pillow_cannot_parse_does_not_spoil_the_photo(tmp_path, ramp, monkeypatch):
    def broken(photo):
        raise struct.error("required argument is not an integer")

    monkeypatch.setattr(Image.Image, "getexif", broken)
    assert read(save(tmp_path / "a.jpg", ramp), WHOLE, (16, 32)).max() > 200


@pytest.mark.parametrize(
    ("crop", "size", "scale"),
    [(WHOLE, (224, 224), 4), (WHOLE, (160, 120), 8), (WHOLE, (500, 300), 2), (2792, (224, 224), 4)],
)
def test_a_large_jpeg_decoded_at_a_part_of_its_size_looks_as_decoded_whole(large, crop, size, scale):
    """Seen on drawn photos of several sizes, qualities and crops: .57 levels of 255 in the mean, 11 at the most."""
    assert scale_of(large, crop, size) == scale
    got, whole = read(large, crop, size).astype(int), reference(large, crop, size)
    assert abs(got - whole).mean() < 1
    assert abs(got - whole).max() <= 16
    shifted = np.roll(whole, 1, axis=1)
    assert abs(got - shifted).mean() > 5  # so that a shift by one pixel would show


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("crop", [WHOLE, 784])
def test_a_part_sized_jpeg_has_everything_in_its_place_however_it_is_turned(tmp_path, turn, crop):
    exif = Image.Exif()
    exif[0x0112] = turn
    photo = picture(800, 1200, 400)
    photo.paste("white", (300, 500, 500, 600))
    photo.paste("black", (500, 500, 550, 550))
    path = save(tmp_path / "a.jpg", photo, quality=90, exif=exif)
    size = (32, 24)
    assert scale_of(path, crop, size) == 8
    got, whole = read(path, crop, size).astype(int), reference(path, crop, size)
    assert abs(got - whole).mean() < 1
    assert abs(got - whole).max() <= 16
    np.testing.assert_array_equal(got.min(axis=2) > 250, whole.min(axis=2) > 250)


@pytest.mark.parametrize(
    ("sides", "crop", "size"),
    [
        ((600, 900), WHOLE, (101, 100)),  # 600 is 6 times 100, but 900 / 2 is not 3 times 151
        ((600, 900), 599, (90, 90)),  # edges at odd pixels
        ((600, 900), 598, (90, 90)),  # from 1 to 599
        ((600, 900), WHOLE, (151, 100)),
        ((601, 900), WHOLE, (100, 100)),
        ((600, 901), WHOLE, (100, 100)),
    ],
)
def test_a_jpeg_that_would_not_stay_three_times_as_large_or_whole_is_decoded_whole(tmp_path, sides, crop, size):
    path = save(tmp_path / "a.jpg", picture(*sides, 100))
    fits = sides == (600, 900) and crop == WHOLE and size == (101, 100)
    assert scale_of(path, crop, size) == (2 if fits else 1)
    if not fits:
        np.testing.assert_array_equal(read(path, crop, size), reference(path, crop, size))


def test_a_jpeg_whose_padding_would_be_on_the_left_of_the_crop_is_decoded_whole(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 2  # mirrored
    path = save(tmp_path / "a.jpg", picture(801, 1200, 100), exif=exif)
    assert scale_of(path, 784, (32, 24)) == 1  # from 8 to 792 of 801
    np.testing.assert_array_equal(read(path, 784, (32, 24)), reference(path, 784, (32, 24)))


def test_a_grey_and_a_cmyk_jpeg_can_be_decoded_at_a_part_of_their_size(tmp_path):
    for mode in ("L", "CMYK"):
        path = save(tmp_path / f"{mode}.jpg", picture(640, 800, 200).convert(mode), quality=90)
        assert scale_of(path, WHOLE, (100, 100)) == 2
        got, whole = read(path, WHOLE, (100, 100)).astype(int), reference(path, WHOLE, (100, 100))
        assert abs(got - whole).mean() < 1, mode


@pytest.fixture
def channels(tmp_path):
    """Four grey files of noise, 90 wide and 70 high, and the same stacked."""
    rng = np.random.default_rng(0)
    grey = [Image.fromarray(rng.integers(0, 256, (70, 90), dtype=np.uint8)) for _ in range(4)]
    names = ("red", "green", "blue", "yellow")
    files = tuple(save(tmp_path / f"a_{name}.png", one) for name, one in zip(names, grey, strict=True))
    return grey, files, save(tmp_path / "a.png", Image.merge("RGBA", grey))


@pytest.mark.parametrize(("crop", "size"), [(WHOLE, (70, 90)), (WHOLE, (32, 24)), (50, (33, 20)), (500, (90, 120))])
def test_each_channel_is_cropped_and_resized_by_itself_and_stacked_ones_give_the_same_pixels(channels, crop, size):
    grey, files, stacked = channels
    expected = []
    for one in grey:
        wide, high = (min(crop, side) if crop else side for side in one.size)
        left, top = (one.width - wide) // 2, (one.height - high) // 2
        box = (left, top, left + wide, top + high)
        expected.append(np.asarray(one.crop(box).resize(size[::-1], Image.Resampling.BILINEAR)))
    got = read(files, crop, size, 4)
    assert (got.shape, got.dtype, got.flags.c_contiguous) == ((*size, 4), np.uint8, True)
    np.testing.assert_array_equal(got, np.stack(expected, axis=2))
    np.testing.assert_array_equal(read(stacked, crop, size, 4), got)
    np.testing.assert_array_equal(read(files[:3], crop, size, 3), got[..., :3])
    np.testing.assert_array_equal(read(stacked, crop, size, 3), got[..., :3])


def test_large_channels_give_the_same_pixels_as_when_they_are_stacked_first(tmp_path):
    shapes = [picture(640, 800, 200 + 50 * k).convert("L") for k in range(4)]
    files = tuple(save(tmp_path / f"a_{k}.jpg", one, quality=90) for k, one in enumerate(shapes))
    stacked = save(tmp_path / "a.png", Image.merge("RGBA", [Image.open(path) for path in files]))
    np.testing.assert_array_equal(read(files, WHOLE, (64, 64), 4), read(stacked, WHOLE, (64, 64), 4))


def test_the_key_tells_apart_what_has_other_pixels(tmp_path, channels):
    _, files, stacked = channels

    def key(paths, channels=4):
        return decode.key(decode.Photos(paths, WHOLE, (8, 8), "photos", channels))

    keys = [key([files]), key([files[::-1]]), key(list(files)), key([stacked]), key([stacked], 3), key([files[:3]], 3)]
    assert len(set(keys)) == len(keys)
    assert key([files]) == keys[0]
    save(files[3], Image.new("L", (9, 9)))
    assert key([files]) != keys[0]
