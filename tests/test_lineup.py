import numpy as np
import pytest
from PIL import Image

from copies.clusters import Photos
from copies.lineup import LINE, SIDE, rows_of, shortened, thumbnail, write_lineup
from copies.tally import Tally


@pytest.fixture
def files(tmp_path):
    paths = []
    for name, colour in (("a.png", "red"), ("b.png", "lime"), ("c.png", "blue")):
        paths.append(tmp_path / name)
        Image.new("RGB", (60, 40), colour).save(paths[-1])
    return paths


PHOTOS = Photos(["a.png", "b.png", "c.png"], ["p", "q", ""], np.array([True, True, False]), {"label": ["x", "y"]})


def tally_of(*pairs, steps=(0, 2, 4)):
    tally = Tally(PHOTOS, np.arange(3), list(steps))
    tally.add(*(np.array(column) for column in zip(*pairs, strict=True)))
    return tally


def test_pairs_stand_in_rows_by_distance_and_say_what_they_are(files):
    near, far = rows_of(files, PHOTOS, [(tally_of((0, 1, 1), (1, 2, 4)), 2)])
    assert (near.title, near.joined) == ("up to 2 bits: joined", True)
    assert near.pairs[0].lines == ("1   a.png x", "b.png y")
    assert not near.pairs[0].leak
    assert (far.title, far.joined) == ("up to 4 bits: not joined", False)
    assert far.pairs[0].lines == ("4   b.png y", "c.png to be predicted")
    assert far.pairs[0].leak


def test_pairs_of_an_embedding_say_how_alike_they_are(files):
    _, row = rows_of(files, PHOTOS, [(tally_of((0, 1, 1)), 2), (tally_of((0, 1, 0.05), steps=(0.06, 0.1)), 0.06)])
    assert row.title == "similarity from 0.94, and no hash near: joined"
    assert row.pairs[0].lines[0] == "0.950   a.png x"


def test_the_picture_shows_both_photos(files, tmp_path):
    write_lineup(tmp_path / "out.png", rows_of(files, PHOTOS, [(tally_of((0, 1, 1)), 2)]), 3)
    picture = np.asarray(Image.open(tmp_path / "out.png"))
    for colour in ((255, 0, 0), (0, 255, 0)):
        assert (picture == colour).all(axis=2).sum() == SIDE * SIDE
    assert not (picture == (0, 0, 255)).all(axis=2).any()


def test_no_pairs_make_a_picture_that_says_so(files, tmp_path):
    rows = rows_of(files, PHOTOS, [(Tally(PHOTOS, np.arange(3), [0, 2]), 2)])
    assert rows[0].title.startswith("no pairs")
    write_lineup(tmp_path / "out.png", rows, 3)
    with Image.open(tmp_path / "out.png") as picture:
        assert picture.height > 2 * LINE


def test_a_photo_that_went_is_grey_and_a_sample_of_four_channels_shows_three(files, tmp_path):
    assert (thumbnail(tmp_path / "gone.png", 3) == 200).all()
    assert thumbnail((*files, files[0]), 4).shape == (SIDE, SIDE, 3)


def test_long_names_keep_their_ends():
    assert shortened("a" * 100 + "/photo.jpg label").endswith("/photo.jpg label")
    assert shortened("a" * 100).startswith("…")
    assert shortened("short") == "short"
