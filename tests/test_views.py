import numpy as np
import pytest
import torch

from config import Config
from views import VIEWS


@pytest.mark.parametrize("name", sorted(VIEWS.entries))
def test_every_view_set_begins_with_the_photo_and_keeps_its_shape(name):
    photos = torch.rand(2, 3, 4, 5)
    views = VIEWS.build(name, Config().values())(photos)
    assert torch.equal(views[0], photos)
    assert all(view.shape == photos.shape for view in views)


def test_flip_is_numpy_s_mirror_image_left_to_right():
    photos = torch.rand(2, 3, 4, 5)
    _, mirrored = VIEWS.build("flip", {})(photos)
    np.testing.assert_array_equal(mirrored.numpy(), np.flip(photos.numpy(), axis=3))
