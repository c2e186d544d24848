import os

import imagehash
import numpy as np
import pytest
from PIL import Image, ImageOps

from copies import hashes
from copies.hashes import HASHES, SHAPE, SIDE, blank, columns, hash_all, hash_pixels
from decode import decode

NAMES = ("phash", "dhash", "ahash")


@pytest.fixture
def scene():
    """A coloured picture (96 x 80) of soft shapes."""
    rng = np.random.default_rng(1)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 7, 3), dtype=np.uint8))
    return coarse.resize((96, 80), Image.Resampling.BICUBIC)


def as_int(found):
    return int(str(found), 16)


def rows_of(paths, channels=3, workers=0):
    found = {}
    for rows, values in hash_all(paths, channels, workers):
        found |= dict(zip(rows, values, strict=True))
    return [found[row] for row in range(len(paths))]


def test_the_hashes_are_those_of_imagehash_and_of_the_mirror_image(scene):
    square = scene.resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    row = hash_pixels(np.asarray(square))
    functions = (imagehash.phash, imagehash.dhash, imagehash.average_hash)
    assert row[:3].tolist() == [as_int(function(square)) for function in functions]
    assert row[3:6].tolist() == [as_int(function(ImageOps.mirror(square))) for function in functions]
    assert row.shape == SHAPE
    assert tuple(HASHES) == NAMES


def test_a_photo_hashes_nearly_as_imagehash_has_it_without_reducing_first(scene, tmp_path):
    scene.save(tmp_path / "a.png")
    (row,) = rows_of([tmp_path / "a.png"])
    for found, function in zip(row[:3], (imagehash.phash, imagehash.dhash, imagehash.average_hash), strict=True):
        assert (int(found) ^ as_int(function(scene))).bit_count() <= 2


def test_columns_are_those_that_are_named(scene):
    rows = np.arange(14, dtype=np.uint64).reshape(2, 7)
    np.testing.assert_array_equal(columns(rows, ["phash"]), [[0], [7]])
    np.testing.assert_array_equal(columns(rows, ["ahash", "phash"]), [[0, 2], [7, 9]])
    np.testing.assert_array_equal(columns(rows, NAMES, mirrored=True), [[3, 4, 5], [10, 11, 12]])


def test_a_photo_turned_by_its_exif_hashes_as_it_is_seen(scene, tmp_path):
    scene.save(tmp_path / "upright.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    scene.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png", exif=exif)
    upright, turned = rows_of([tmp_path / "upright.png", tmp_path / "turned.png"])
    np.testing.assert_array_equal(upright, turned)


def test_sixteen_bits_hash_as_eight(scene, tmp_path):
    grey = np.asarray(scene.convert("L"))
    Image.fromarray(grey).save(tmp_path / "eight.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "sixteen.png")
    eight, sixteen = rows_of([tmp_path / "eight.png", tmp_path / "sixteen.png"])
    assert all((int(a) ^ int(b)).bit_count() <= 1 for a, b in zip(eight[:6], sixteen[:6], strict=True))
    assert eight[6] > 50


def test_a_sample_of_several_files_hashes_as_the_mean_of_its_channels(scene, tmp_path):
    grey = scene.convert("L")
    for name in "rgby":
        grey.save(tmp_path / f"{name}.png")
    tuple_of_four = tuple(tmp_path / f"{name}.png" for name in "rgby")
    (row,) = rows_of([tuple_of_four], channels=4)
    (alone,) = rows_of([tmp_path / "r.png"])
    np.testing.assert_array_equal(row, alone)
    Image.new("L", grey.size, 255).save(tmp_path / "y.png")
    assert (rows_of([tuple_of_four], channels=4)[0] != hash_pixels(decode(tmp_path / "y.png", 0, (SIDE, SIDE)))).any()


def test_even_photos_are_blank_and_others_are_not(scene, tmp_path):
    Image.new("RGB", (50, 40), (200, 10, 10)).save(tmp_path / "red.png")
    Image.new("L", (50, 40), 0).save(tmp_path / "black.png")
    faint = Image.fromarray(np.tile(np.linspace(100, 103, 50).astype(np.uint8), (40, 1)))
    faint.save(tmp_path / "faint.png")
    Image.new("RGB", (50, 40), "white").save(tmp_path / "white.jpg", quality=30)
    scene.save(tmp_path / "scene.png")
    names = ("red.png", "black.png", "faint.png", "white.jpg", "scene.png")
    rows = np.array(rows_of([tmp_path / name for name in names]))
    assert blank(rows).tolist() == [True, True, True, True, False]


def test_what_cannot_be_read_says_why_and_the_others_are_hashed(scene, tmp_path):
    scene.save(tmp_path / "a.png")
    (tmp_path / "b.png").write_text("no photo")
    (tmp_path / "c.png").write_bytes((tmp_path / "a.png").read_bytes()[:200])
    good, text, half, gone = rows_of([tmp_path / name for name in ("a.png", "b.png", "c.png", "d.png")])
    assert isinstance(good, np.ndarray)
    assert text.startswith("UnidentifiedImageError")
    assert isinstance(half, str)
    assert gone.startswith("FileNotFoundError")


def test_several_processes_give_what_one_gives(scene, tmp_path):
    paths = []
    for k in range(70):  # more than a piece
        paths.append(tmp_path / f"{k}.png")
        scene.rotate(5 * k).save(paths[-1])
    np.testing.assert_array_equal(rows_of(paths, workers=2), rows_of(paths, workers=1))


def test_a_process_that_dies_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(hashes, "hash_some", end)
    with pytest.raises(ChildProcessError, match="was ended.*what was hashed is kept"):
        rows_of([tmp_path / "a.png"], workers=2)


def end(work):
    os._exit(1)


def test_no_photos_are_no_rows():
    assert rows_of([]) == []
