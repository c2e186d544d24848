import numpy as np
import pytest
import torch
from PIL import Image

from config import Config
from feed import Feed, in_order, open_feed, shuffled


def test_every_photo_is_trained_on_once_an_epoch_and_no_batch_is_a_lone_photo():
    batches = shuffled(np.arange(65), 32, torch.Generator().manual_seed(0))
    assert sorted(np.concatenate(batches)) == list(range(65))
    assert [len(rows) for rows in batches] == [22, 22, 21]


def test_prediction_batches_keep_the_order_and_the_last_photos():
    assert [list(rows) for rows in in_order(np.array([5, 3, 9]), 2)] == [[5, 3], [9]]


class Shelf:
    """A store in this process's memory."""

    unreadable: dict[int, str] = {}  # noqa: RUF012

    def __init__(self, count=50, resident=True, channels=3):
        rng = np.random.default_rng(0)
        self.all = rng.integers(0, 256, (count, 5, 4, channels), dtype=np.uint8)
        self.pixels = self.all if resident else None

    def batches(self, batches):
        for rows in batches:
            yield torch.from_numpy(self.all[rows]).permute(0, 3, 1, 2)

    def close(self):
        pass


def check(device, resident, channels=3):
    shelf, batches = Shelf(resident=resident, channels=channels), [np.array([3, 1, 4]), np.array([49, 0])]
    feed = Feed(shelf, torch.device(device), "photos")
    assert (feed.resident is not None) == (resident and device == "cuda")
    for photos, rows in zip(feed.batches(batches), batches, strict=True):
        assert photos.device.type == device
        assert photos.is_contiguous(memory_format=torch.channels_last)
        np.testing.assert_array_equal(photos.permute(0, 2, 3, 1).cpu().numpy(), shelf.all[rows])


def test_a_feed_on_the_cpu_gives_the_store_s_photos_in_order():
    check("cpu", resident=True)
    check("cpu", resident=True, channels=4)


@pytest.mark.parametrize("resident", [True, False])
def test_a_feed_on_a_gpu_gives_the_store_s_photos_in_order(resident):
    if not torch.cuda.is_available():
        pytest.skip("torch sees no GPU here")
    check("cuda", resident)
    check("cuda", resident, channels=4)


def test_a_feed_of_samples_has_as_many_channels_as_asked_for(tmp_path):
    files = tuple(tmp_path / f"a_{place}.png" for place in range(4))
    for place, path in enumerate(files):
        Image.new("L", (10, 12), 50 * place).save(path)
    config = Config(cache_dir=str(tmp_path / "cache"), crop=0)
    feed = open_feed([files, files], config, (6, 5), torch.device("cpu"), "samples", 4)
    (batch,) = feed.batches([np.array([1, 0])])
    assert batch.shape == (2, 4, 6, 5)
    assert batch[1, :, 2, 2].tolist() == [0, 50, 100, 150]
