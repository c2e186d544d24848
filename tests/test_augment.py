import pytest
import torch
from torchvision.transforms import v2

from augment import AUGMENTATIONS, per_image, to_float
from config import Config

KNOBS = Config().values()


def photos(count=6, side=32):
    return torch.randint(0, 256, (count, 3, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def apply(name, batch, seed=0, **changes):
    return AUGMENTATIONS.build(name, KNOBS | changes)(batch, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", sorted(AUGMENTATIONS.entries))
def test_every_augmentation_keeps_shape_range_and_is_repeatable(name):
    batch = photos()
    first = apply(name, batch)
    assert first.shape == batch.shape
    assert first.dtype == torch.float32
    assert first.min() >= 0
    assert first.max() <= 1
    torch.testing.assert_close(first, apply(name, batch), rtol=0, atol=0)
    torch.testing.assert_close(batch, photos(), rtol=0, atol=0)  # the store is not written to


@pytest.mark.parametrize("name", sorted(set(AUGMENTATIONS.entries) - {"none", "BaseAugmentation"}))
def test_each_photo_is_varied_by_itself_and_each_seed_varies(name):
    same = photos(1).expand(16, -1, -1, -1).contiguous()
    varied = apply(name, same)
    assert any(not torch.equal(varied[0], other) for other in varied[1:])
    assert not torch.equal(varied, apply(name, same, seed=1))


def test_base_and_none_are_the_evaluation_transform():
    for name in ("none", "BaseAugmentation"):
        torch.testing.assert_close(apply(name, photos()), to_float(photos()), rtol=0, atol=0)


def test_noise_has_the_standard_deviation_asked_for_in_shares_of_full_brightness():
    grey = torch.full((4, 3, 64, 64), 128, dtype=torch.uint8)
    plain = AUGMENTATIONS.build("GaussianAugmentation", KNOBS | {"noise_std": 0.0})
    noisy = AUGMENTATIONS.build("GaussianAugmentation", KNOBS | {"noise_std": 0.05})
    difference = noisy(grey, torch.Generator().manual_seed(3)) - plain(grey, torch.Generator().manual_seed(3))
    assert abs(difference.std().item() - 0.05) < 0.002


def test_the_adapter_gives_what_torchvision_gives_one_image_at_a_time():
    transform = v2.RandomAffine(degrees=30)
    generator = torch.Generator().manual_seed(7)
    adapted = per_image(transform)(photos(), generator)
    torch.manual_seed(int(torch.randint(2**31, (), generator=torch.Generator().manual_seed(7))))
    expected = torch.stack([transform(photo) for photo in photos()]) / 255
    torch.testing.assert_close(adapted, expected)


def test_the_adapter_leaves_torch_s_own_generator_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    apply("AffineAugmentation", photos())
    assert torch.equal(before, torch.get_rng_state())
