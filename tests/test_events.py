import pytest
import torch

import events


@pytest.mark.parametrize(
    ("levels", "seen"), [((10, 20, 30, 200), [10, 20, 30]), ((40,), [40, 40, 40]), ((5, 9), [5, 5, 5])]
)
def test_the_figure_shows_photos_of_any_number_of_channels(levels, seen):
    photos = torch.tensor(levels, dtype=torch.uint8)[None, :, None, None].expand(1, -1, 8, 8)
    figure = events.draw_predictions(photos, ["a"], ["a"])
    assert figure[10, 10].tolist() == seen
