import os
import subprocess
import sys

import numpy as np
import pytest
from conftest import PROJECT
from PIL import Image

from config import Config
from dataset import read
from decode import decode

COLOURS = ("red", "green", "blue", "yellow")


@pytest.fixture
def atlas(tmp_path):
    """Four labelled samples and one to predict, of noise, made a minute ago."""
    root, rng = tmp_path / "atlas", np.random.default_rng(0)
    for part, samples in (("train", "abcd"), ("test", "x")):
        (root / "raw" / part).mkdir(parents=True)
        for sample in samples:
            for colour in COLOURS:
                path = root / "raw" / part / f"{sample}_{colour}.png"
                Image.fromarray(rng.integers(0, 256, (24, 32), dtype=np.uint8)).save(path)
                age(path)
    # channels as they may come: 16 bits, and saved in its own colour
    sixteen = rng.integers(0, 65536, (24, 32), dtype=np.uint16)
    Image.fromarray(sixteen).save(root / "raw" / "train" / "b_green.png")
    yellow = np.asarray(Image.open(root / "raw" / "train" / "c_yellow.png"))
    Image.fromarray(np.stack([yellow, yellow, 0 * yellow], axis=2)).save(root / "raw" / "train" / "c_yellow.png")
    for name in ("b_green", "c_yellow"):
        age(root / "raw" / "train" / f"{name}.png")
    (root / "train.csv").write_text("Id,Target\na,0\nb,1 2\nc,2\nd,0\n")
    (root / "sample_submission.csv").write_text("Id,Predicted\nx,0\n")
    return root


def age(path):
    os.utime(path, (path.stat().st_atime - 60, path.stat().st_mtime - 60))


def stack(*words):
    command = [sys.executable, PROJECT / "curate" / "stack_channels.py", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def pixels_of(root):
    data = read(str(root), "auto", Config().values())
    paths = [*data.train.paths, *data.test.paths]
    return paths, [decode(path, 20, (16, 12), data.channels) for path in paths]


def test_the_stacked_photos_are_read_to_the_very_pixels_of_the_separate_files(atlas):
    paths, separate = pixels_of(atlas)
    assert {len(path) for path in paths} == {4}
    done = stack(atlas)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{atlas}/rgby/train: 4 photos made, 0 were there, 0 failed" in done.stdout
    (atlas / "raw").rename(atlas / "away")
    paths, stacked = pixels_of(atlas)
    assert paths == [*(atlas / "rgby" / "train" / f"{name}.png" for name in "abcd"), atlas / "rgby" / "test" / "x.png"]
    np.testing.assert_array_equal(stacked, separate)
    whole = np.asarray(Image.open(paths[0]))
    for place, colour in enumerate(COLOURS):
        expected = np.asarray(Image.open(atlas / "away" / "train" / f"a_{colour}.png"))
        np.testing.assert_array_equal(whole[..., place], expected)


def test_what_is_there_stays_until_a_channel_is_newer_and_nothing_else_is_left(atlas):
    stack(atlas)
    folder = atlas / "rgby" / "train"
    times = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert sorted(times) == ["a.png", "b.png", "c.png", "d.png"]
    Image.new("L", (32, 24), 77).save(atlas / "raw" / "train" / "b_blue.png")
    (folder / "d.png").unlink()
    done = stack(atlas)
    assert "rgby/train: 2 photos made, 2 were there, 0 failed" in done.stdout
    assert {path.name for path in folder.iterdir()} == set(times)
    assert [path.stat().st_mtime_ns == times[path.name] for path in sorted(folder.iterdir())] == [
        True,
        False,
        True,
        False,
    ]
    assert Image.open(folder / "b.png").getpixel((3, 3))[2] == 77


def test_what_cannot_be_stacked_is_listed_and_the_rest_is_made(atlas):
    train = atlas / "raw" / "train"
    (train / "a_yellow.png").unlink()
    Image.new("L", (16, 12)).save(train / "b_blue.png")
    (train / "c_red.png").write_text("no photo")
    done = stack(atlas)
    assert done.returncode == 1
    assert "3 samples could not be stacked; mend their files and run this again:" in done.stdout
    assert f"{train}: a lacks yellow" in done.stdout
    assert f"{train}: b: channels of different sizes: red 32x24, blue 16x12" in done.stdout
    assert f"{train}: c: c_red.png: UnidentifiedImageError" in done.stdout
    assert [path.name for path in (atlas / "rgby" / "train").iterdir()] == ["d.png"]


def test_another_folder_can_take_them(atlas, tmp_path):
    assert stack(atlas, "-o", tmp_path / "out").returncode == 0
    assert (tmp_path / "out" / "test" / "x.png").is_file()
    assert not (atlas / "rgby").exists()


def test_a_folder_without_channels_is_told(tmp_path):
    done = stack(tmp_path)
    assert done.returncode == 1
    assert "hold no photo named ID_red.png or the like; name the folder above them" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_output_that_cannot_be_written_is_told(atlas, tmp_path):
    (tmp_path / "file").touch()
    done = stack(atlas, "--output", tmp_path / "file")
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
