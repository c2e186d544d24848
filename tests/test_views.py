import numpy as np
import pytest
import torch
from kills import Small
from walks import run_trial

from config import Config
from model import MODELS
from views import VIEWS


def shown(name, photos):
    return VIEWS.build(name, Config().values())(photos)


@pytest.mark.parametrize("name", sorted(VIEWS.entries))
def test_every_view_set_begins_with_the_photo_and_keeps_its_shape(name):
    photos = torch.rand(2, 3, 5, 5)
    views = shown(name, photos)
    assert torch.equal(views[0], photos)
    assert all(view.shape == photos.shape for view in views)


@pytest.mark.parametrize("name", sorted(VIEWS.entries))
def test_the_views_of_a_view_are_the_same_views(name):
    """So the mean over them is the same for a photo however it was turned: the view sets are groups."""
    photo = torch.arange(3 * 16.0).reshape(1, 3, 4, 4)
    views = shown(name, photo)
    assert len({view.numpy().tobytes() for view in views}) == len(views)
    for view in views:
        assert {again.numpy().tobytes() for again in shown(name, view)} == {view.numpy().tobytes() for view in views}


def test_flip_is_numpy_s_mirror_image_left_to_right():
    photos = torch.rand(2, 3, 4, 5)
    _, mirrored = shown("flip", photos)
    np.testing.assert_array_equal(mirrored.numpy(), np.flip(photos.numpy(), axis=3))


def test_dihedral4_is_numpy_s_fliplr_flipud_and_both():
    photo = np.arange(12.0).reshape(3, 4)  # need not be square
    views = [view[0, 0].numpy() for view in shown("dihedral4", torch.from_numpy(photo)[None, None])]
    for view, expected in zip(views, [photo, np.fliplr(photo), np.flipud(photo), np.rot90(photo, 2)], strict=True):
        np.testing.assert_array_equal(view, expected)


def test_dihedral8_is_the_four_quarter_turns_of_the_photo_and_of_its_mirror_image():
    photo = torch.arange(3 * 9.0).reshape(1, 3, 3, 3)
    turned = [torch.rot90(side, turns, (2, 3)) for side in (photo, photo.flip(3)) for turns in range(4)]
    assert {view.numpy().tobytes() for view in shown("dihedral8", photo)} == {view.numpy().tobytes() for view in turned}
    assert len({view.numpy().tobytes() for view in turned}) == 8


def test_dihedral8_of_photos_that_are_no_squares_is_refused():
    with pytest.raises(ValueError, match=r"--resize 96 128 is not; pass --resize 96 96, or --views dihedral4"):
        VIEWS.build("dihedral8", Config(resize=(96, 128)).values())


@pytest.mark.parametrize(("views", "most"), [("plain", 20), ("flip", 20), ("dihedral8", 16)])
def test_the_views_of_a_batch_are_no_more_than_valid_batch_size(drawn, quick, monkeypatch, views, most):
    class Counting(Small):
        def forward(self, photos):
            if not self.training:
                passes.append(len(photos))
            return super().forward(photos)

    monkeypatch.setitem(MODELS.entries, "small", Counting)
    passes = []
    run_trial(drawn, quick, "--model", "small", "--epochs", 1, "--views", views, "--valid_batch_size", 20)
    assert max(passes) == most
