import os

import numpy as np
import pytest

from copies.features import cache_file, features


@pytest.fixture
def photos(tmp_path):
    paths = [tmp_path / f"{k}.jpg" for k in range(4)]
    for k, path in enumerate(paths):
        path.write_text("x" * (k + 1))
    return paths


class Sizes:
    """Counts letters, two photos at a time; remembers whom it was asked for, and may be stopped."""

    def __init__(self, stop_after=None):
        self.asked, self.stop_after = [], stop_after

    def __call__(self, photos):
        for start in range(0, len(photos), 2):
            if self.stop_after is not None and len(self.asked) >= self.stop_after:
                raise KeyboardInterrupt
            some = photos[start : start + 2]
            self.asked += some
            texts = [photo.read_text() for photo in some]
            yield range(start, start + len(some)), ["no x" if "y" in t else np.array([len(t)], "u8") for t in texts]


def run(tmp_path, photos, sizes):
    return features(tmp_path / "cache" / "f.npz", photos, (1,), "u8", sizes, "counting")


def test_only_what_changed_is_made_anew(tmp_path, photos):
    first = run(tmp_path, photos, Sizes())
    assert first.rows.ravel().tolist() == [1, 2, 3, 4]
    assert first.fresh == 4
    photos[1].write_text("xxxxxxx")
    again = Sizes()
    second = run(tmp_path, photos, again)
    assert again.asked == [photos[1]]
    assert second.rows.ravel().tolist() == [1, 7, 3, 4]
    assert second.fresh == 1
    os.utime(photos[2], (0, 0))  # the same size at another time
    third = Sizes()
    run(tmp_path, photos[::-1], third)
    assert third.asked == [photos[2]]


def test_a_new_order_and_photos_that_went_are_followed(tmp_path, photos):
    run(tmp_path, photos, Sizes())
    sizes = Sizes()
    assert run(tmp_path, [photos[3], photos[0]], sizes).rows.ravel().tolist() == [4, 1]
    assert sizes.asked == []


def test_what_was_made_before_a_stop_is_kept(tmp_path, photos):
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, photos, Sizes(stop_after=2))
    sizes = Sizes()
    assert run(tmp_path, photos, sizes).rows.ravel().tolist() == [1, 2, 3, 4]
    assert sizes.asked == photos[2:]


def test_unreadable_photos_are_told_and_tried_again(tmp_path, photos):
    photos[2].write_text("yyy")
    assert run(tmp_path, photos, Sizes()).unreadable == {2: "no x"}
    sizes = Sizes()
    assert run(tmp_path, photos, sizes).unreadable == {2: "no x"}
    assert sizes.asked == [photos[2]]


def test_a_damaged_file_is_made_anew(tmp_path, photos, capsys):
    run(tmp_path, photos, Sizes())
    (tmp_path / "cache" / "f.npz").write_bytes(b"PK damaged")
    assert run(tmp_path, photos, Sizes()).fresh == 4
    assert "is damaged" in capsys.readouterr().out
    assert run(tmp_path, photos, Sizes()).fresh == 0


def test_a_cache_that_cannot_be_written_costs_time_alone(tmp_path, photos, capsys):
    (tmp_path / "cache").write_text("a file where the folder would be")
    assert run(tmp_path, photos, Sizes()).rows.ravel().tolist() == [1, 2, 3, 4]
    assert "the next run does this work again" in capsys.readouterr().out


def test_no_photos_are_no_rows(tmp_path):
    found = run(tmp_path, [], Sizes())
    assert found.rows.shape == (0, 1)
    assert not (tmp_path / "cache").exists()


def test_samples_of_several_files_follow_each_of_them(tmp_path, photos):
    def total(some):
        yield range(len(some)), [np.array([sum(len(p.read_text()) for p in photo)], "u8") for photo in some]

    assert run(tmp_path, [tuple(photos)], total).rows.ravel().tolist() == [10]
    photos[3].write_text("xxxxxxxx")
    assert run(tmp_path, [tuple(photos)], total).rows.ravel().tolist() == [14]


def test_each_data_root_has_a_file_of_its_own(tmp_path):
    files = {cache_file("~/c", kind, tmp_path / name) for kind in "ab" for name in "xy"}
    assert len(files) == 4
    assert all("~" not in str(file) for file in files)
