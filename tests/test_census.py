import numpy as np
import pytest
from PIL import Image

from survey.census import measure, measure_all


@pytest.fixture
def save(tmp_path):
    """Saves an array or an image under a name, and returns where."""

    def write(name, photo, **options):
        photo = photo if isinstance(photo, Image.Image) else Image.fromarray(np.asarray(photo, dtype=np.uint8))
        photo.save(tmp_path / name, **options)
        return tmp_path / name

    return write


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def test_brightness_is_the_mean_and_contrast_the_standard_deviation(save):
    half = np.zeros((10, 20))
    half[:, 10:] = 255
    found = measure(save("half.png", half))
    assert (found.width, found.height, found.mode, found.format) == (20, 10, "L", "PNG")
    assert (found.brightness, found.contrast) == pytest.approx((0.5, 0.5))
    assert measure(save("even.png", np.full((5, 5, 3), 51))).brightness == pytest.approx(0.2)


def test_the_bytes_and_their_hash_are_those_of_the_file(save):
    first, second = save("a.png", noise(8, 8)), save("b.png", noise(8, 8))
    assert measure(first).bytes == first.stat().st_size
    assert measure(first).digest == measure(second).digest
    assert measure(save("c.png", noise(8, 9))).digest != measure(first).digest


@pytest.mark.parametrize("quality", [30, 75, 95])
def test_a_grey_photo_kept_as_rgb_is_grey_whatever_the_compression(save, quality):
    grey = Image.fromarray(noise(40, 40)).convert("RGB")
    found = measure(save("grey.jpg", grey, quality=quality))
    assert found.grey
    assert found.mode == "RGB"


def test_a_photo_with_one_coloured_pixel_in_a_hundred_is_not_grey(save):
    photo = np.full((10, 10, 3), 90)
    photo[0, 0] = 200, 90, 90
    found = measure(save("car.png", photo))
    assert found.colour == pytest.approx(0.01)
    assert not found.grey


def test_a_photo_of_one_even_colour_is_blank(save):
    assert measure(save("blue.jpg", np.full((16, 16, 3), (10, 60, 200)))).blank
    # two colours of the same brightness are something to see
    two = np.full((16, 16, 3), (100, 0, 0))
    two[:8] = 0, 51, 0
    found = measure(save("two.png", two))
    assert found.contrast < 1 / 255
    assert not found.blank


@pytest.mark.parametrize(("turn", "size"), [(1, (30, 20)), (3, (30, 20)), (6, (20, 30)), (8, (20, 30))])
def test_sides_are_those_of_the_photo_turned_upright(save, turn, size):
    exif = Image.Exif()
    exif[0x0112] = turn
    found = measure(save("turned.jpg", noise(20, 30, 3), exif=exif))
    assert (found.orientation, found.width, found.height) == (turn, *size)


@pytest.mark.parametrize(
    ("name", "kind", "misnamed"),
    [
        ("a.jpg", "PNG", True),
        ("a.png", "JPEG", True),
        ("a.jpeg", "JPEG", False),
        ("a.PNG", "PNG", False),
        ("a.photo", "PNG", False),
    ],
)
def test_a_file_is_misnamed_where_its_ending_is_another_format_s(save, name, kind, misnamed):
    found = measure(save(name, noise(8, 8, 3), format=kind))
    assert (found.format, found.misnamed) == (kind, misnamed)


def test_photos_of_every_kind_are_measured(save):
    rgb = Image.fromarray(noise(12, 12, 3))
    deep = Image.fromarray(np.full((4, 4), 32768, dtype=np.uint16))
    assert measure(save("print.jpg", rgb.convert("CMYK"))).mode == "CMYK"
    found = measure(save("deep.png", deep))
    assert found.mode.startswith("I")
    assert found.brightness == pytest.approx(0.5, abs=0.01)
    frames = [Image.fromarray(noise(6, 6)) for _ in range(2)] + [Image.fromarray(255 - noise(6, 6))]
    assert measure(save("moving.tif", frames[0], save_all=True, append_images=frames[1:])).frames == 3
    stereo = measure(save("phone.jpg", rgb, format="MPO", save_all=True, append_images=[rgb]))
    assert (stereo.format, stereo.frames, stereo.misnamed) == ("MPO", 2, False)
    assert measure(save("see.png", rgb.convert("RGBA"))).mode == "RGBA"


def test_what_cannot_be_read_says_why_and_keeps_its_bytes(save, tmp_path):
    whole = save("whole.jpg", noise(64, 64, 3)).read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.jpg").write_text("no photo")
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "nowhere.jpg").symlink_to("nobody.jpg")
    found = {name: measure(tmp_path / f"{name}.jpg") for name in ("cut", "text", "empty", "nowhere", "missing")}
    assert "truncated" in found["cut"].fault
    assert found["cut"].bytes == len(whole) // 2
    assert found["text"].fault == "text.jpg: UnidentifiedImageError: cannot identify image file"
    assert "UnidentifiedImageError" in found["empty"].fault
    assert all("No such file" in found[name].fault for name in ("nowhere", "missing"))


def test_a_sample_of_several_files_is_measured_as_one(save):
    files = tuple(save(f"s_{name}.png", np.full((8, 8), level)) for name, level in (("red", 0), ("green", 102)))
    found = measure(files, 2)
    assert (found.width, found.mode, found.format, found.fault) == (8, "L", "PNG", "")
    assert found.brightness == pytest.approx(0.2)
    assert found.bytes == sum(file.stat().st_size for file in files)
    assert found.blank
    assert not found.grey  # a channel is grey, the sample is not
    wide = save("s_blue.png", np.full((8, 9), 0))
    assert measure((*files, wide), 3).fault == "channels of different sizes: 8x8, 8x8, 9x8"
    assert "nowhere" in measure((*files, wide.with_name("nowhere.png")), 3).fault


def test_a_stacked_sample_has_no_transparency(save):
    assert measure(save("four.png", noise(8, 8, 4)), 4).stacked
    assert measure(save("three.png", noise(8, 8, 3)), 4).fault == "three.png is RGB; RGBA is wanted for 4 channels"


def test_measures_stand_in_the_order_of_the_photos(save):
    photos = [save(f"{side}.png", np.zeros((4, side))) for side in range(1, 40)]
    assert [found.width for found in measure_all(photos, 3, "measuring")] == list(range(1, 40))
    assert measure_all([], 3, "measuring") == []


def test_memory_that_is_full_is_not_the_photo_s_fault(save, monkeypatch):
    def full(*_):
        raise MemoryError

    photo = save("a.png", noise(4, 4))
    monkeypatch.setattr("survey.census.read", full)
    with pytest.raises(MemoryError):
        measure(photo)


def test_a_broken_photo_s_fault_names_no_address_in_memory(tmp_path):
    (tmp_path / "a.tif").write_bytes(b"II*\x00broken")
    assert "0x" not in measure(tmp_path / "a.tif").fault
