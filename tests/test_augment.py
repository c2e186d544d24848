import functools

import pytest
import torch
from scipy.stats import ks_2samp
from torchvision.transforms import InterpolationMode, v2

import adapters
import augment
from adapters import per_image
from augment import AUGMENTATIONS, SETS, build_augmentation, check_augmentation, evaluation_view, stored_size
from config import Config
from draws import Draws
from pixels import to_float
from sources import load

SIZE = (12, 20)
MEAN, MEAN_OF_4 = (0.548, 0.504, 0.479), (0.1, 0.2, 0.3, 0.4)
KNOBS = Config(resize=SIZE, mean=MEAN).values()
ALL = "crop+flip+affine+jitter+blur+noise+erasing"
UNVARIED = {"none", "BaseAugmentation"}
NAMES = sorted({*AUGMENTATIONS.entries, *SETS, ALL, "policy:random:3", "policy:random:8", "crop+policy:random:1+noise"})
SQUARE = {"dihedral"}  # augmentations that take no others
COLOURS_ONLY = {"randaugment", "trivialaugment"}


@pytest.fixture(autouse=True)
def _one_thread():
    """Several would wait for each other longer than they compute on photos this small."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def photos(count, size=SIZE, channels=3):
    shape = (count, *size, channels)  # channels last in memory, as the store gives them
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0)).permute(
        0, 3, 1, 2
    )


def knobs_of(name, **changes):
    square = {"resize": [16, 16]} if SQUARE & set(name.split("+")) else {}
    return KNOBS | square | changes


def stored(name, count, channels=3, **changes):
    knobs = knobs_of(name, **changes)
    return photos(count, stored_size(knobs["resize"], build_augmentation(name, knobs).margin), channels)


def apply(name, batch, seed=0, part=slice(None), **changes):
    draws = Draws(torch.Generator().manual_seed(seed), len(batch), part)
    return build_augmentation(name, knobs_of(name, **changes)).vary(batch[part], draws)


@pytest.mark.parametrize("name", NAMES)
def test_every_augmentation_keeps_shape_range_and_is_repeatable(name):
    batch = stored(name, 6)
    first = apply(name, batch)
    assert first.shape == (6, 3, *knobs_of(name)["resize"])
    assert first.dtype == torch.float32
    assert first.is_contiguous(memory_format=torch.channels_last)
    assert first.min() >= 0
    assert first.max() <= 1
    assert torch.equal(first, apply(name, batch))
    assert torch.equal(batch, stored(name, 6))  # the store is not written to


@pytest.mark.parametrize("name", sorted(set(NAMES) - UNVARIED))
def test_each_photo_is_varied_by_itself_and_each_seed_varies(name):
    same = stored(name, 1).expand(16, -1, -1, -1)
    varied = apply(name, same)
    assert any(not torch.equal(varied[0], other) for other in varied[1:])
    assert not torch.equal(varied, apply(name, same, seed=1))


@pytest.mark.parametrize("name", NAMES)
def test_the_same_photos_come_out_however_a_batch_is_divided(name, monkeypatch):
    batch = stored(name, 7)
    whole = apply(name, batch)
    parts = [apply(name, batch, part=part) for part in (slice(0, 4), slice(4, 4), slice(4, 7))]
    assert [len(part) for part in parts] == [4, 0, 3]
    torch.testing.assert_close(torch.cat(parts), whole, rtol=0, atol=1e-6)
    monkeypatch.setattr(adapters, "PIECE_BYTES", 2 * 4 * batch[0].numel())  # two at a time on a CPU
    torch.testing.assert_close(apply(name, batch), whole, rtol=0, atol=1e-6)


def test_an_operation_that_draws_for_its_part_alone_is_found(monkeypatch):
    def wrong(photos, draws):
        return to_float(photos) * torch.rand(len(photos), 1, 1, 1, generator=draws.generator)

    monkeypatch.setitem(AUGMENTATIONS.entries, "wrong", lambda: wrong)
    with pytest.raises(AssertionError):
        test_the_same_photos_come_out_however_a_batch_is_divided("wrong", monkeypatch)


@pytest.mark.parametrize("name", NAMES)
def test_a_part_leaves_the_generator_where_the_whole_batch_does(name):
    batch = stored(name, 4)
    after = set()
    for part in (slice(None), slice(0, 1), slice(0, 0)):
        generator = torch.Generator().manual_seed(0)
        build_augmentation(name, knobs_of(name)).vary(batch[part], Draws(generator, 4, part))
        after.add(generator.get_state().numpy().tobytes())
    assert len(after) == 1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU; CUDA_VISIBLE_DEVICES=0 shows the first")
@pytest.mark.parametrize("name", NAMES)
def test_a_gpu_gives_the_same_pictures(name):
    batch = stored(name, 8)
    generator = torch.Generator().manual_seed(0)
    varied = build_augmentation(name, knobs_of(name)).vary(batch.cuda(), Draws(generator, 8))
    assert varied.is_cuda
    different = (varied.cpu() - apply(name, batch)).abs() > 1e-4
    assert different.float().mean() <= (1e-3 if "policy" in name else 0)  # its thresholds turn on the last bit


TWINS = {
    "crop": v2.RandomCrop(SIZE),
    "flip": v2.RandomHorizontalFlip(),
    # fill=0, its default, would weigh the outermost pixels, which lie half outside, a second time
    "affine": v2.RandomAffine(5, scale=(0.8, 1.2), shear=10, interpolation=InterpolationMode.BILINEAR, fill=None),
    "jitter": v2.ColorJitter(0.1, 0.1, 0.1, 0.1),
    "noise": v2.GaussianNoise(sigma=0.02),
    "blur": v2.GaussianBlur(13, (0.1, 2.0)),
    "erasing": v2.RandomErasing(value=KNOBS["mean"]),
}


@functools.cache
def of_twin(name):
    """Statistics (8, 500) of what the twin of operation `name` makes of one picture."""
    one = to_float(stored(name, 1)[0])
    with torch.random.fork_rng():
        torch.manual_seed(4)
        return statistics(torch.stack([TWINS[name](one) for _ in range(500)]))


def statistics(varied):
    """Of each picture some random projections, the mean and the spread."""
    flat = varied.flatten(1)
    weights = torch.randn(flat.shape[1], 6, generator=torch.Generator().manual_seed(0))
    return torch.cat([flat @ weights, flat.mean(1, keepdim=True), flat.std(1, keepdim=True)], 1).T.numpy()


def differ(name, **changes):
    """Whether 500 variations of one picture are distributed otherwise than its twin's, by Kolmogorov and Smirnov."""
    changes = {"degrees": 5.0} | changes
    same = stored(name, 1, **changes).expand(10, -1, -1, -1)
    vary, generator = build_augmentation(name, KNOBS | changes).vary, torch.Generator().manual_seed(4)
    ours = statistics(torch.cat([vary(same, Draws(generator, 10)) for _ in range(50)]))
    return any(ks_2samp(*pair, method="asymp").pvalue < 0.001 for pair in zip(ours, of_twin(name), strict=True))


@pytest.mark.parametrize("name", TWINS)
def test_each_operation_varies_as_its_torchvision_twin_does(name):
    assert not differ(name)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("affine", {"shear": 20.0}),
        ("affine", {"degrees": 12.0}),
        ("affine", {"scale": (0.7, 1.3)}),
        ("jitter", {"jitter": 0.2}),
        ("noise", {"noise_std": 0.025}),
        ("blur", {"blur_sigma": (0.1, 3.0)}),
        ("erasing", {"erasing_area": (0.02, 0.6)}),
        ("erasing", {"mean": (0.0, 0.0, 0.0)}),
    ],
)
def test_a_wrong_knob_is_found_by_the_comparison_with_the_twin(name, wrong):
    assert differ(name, **wrong)


@pytest.mark.parametrize("name", ["flip", "crop", "erasing"])
def test_a_wrong_chance_is_found_by_the_comparison_with_the_twin(name, monkeypatch):
    monkeypatch.setattr(Draws, "chance", lambda self, share: self.uniform(0, 1) < share + 0.15)
    monkeypatch.setattr(Draws, "integers", lambda self, high: (self.uniform(0, 1).square() * high).long())
    assert differ(name)


def test_base_and_none_are_the_evaluation_transform():
    for name in UNVARIED:
        assert torch.equal(apply(name, photos(3)), evaluation_view(photos(3), SIZE))


def test_joined_operations_are_applied_in_their_order():
    grey = torch.full((4, 3, *SIZE), 128, dtype=torch.uint8)
    last = apply("noise+erasing", grey, seed=1)
    mean = torch.tensor(KNOBS["mean"]).view(3, 1, 1)
    erased = (last == mean).all(1)
    assert erased.any()
    assert not (apply("erasing+noise", grey, seed=1) == mean).all(1).any()  # noise lies over the box


def test_s3_s_names_stand_for_their_operations():
    batch = photos(4)
    assert check_augmentation("AffineAugmentation") == ["affine", "jitter", "noise"]
    assert torch.equal(apply("AffineAugmentation", batch), apply("affine+jitter+noise", batch))
    assert torch.equal(apply("GaussianAugmentation+flip", batch), apply("jitter+noise+flip", batch))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("crop+filp", "unknown augmentation 'filp'. Did you mean 'flip'?"),
        ("GausianAugmentation", "Did you mean 'GaussianAugmentation'?"),
        ("", "unknown augmentation ''"),
        ("flip+", "unknown augmentation ''"),
        ("policyrandom:3", "Did you mean 'policy:random:N'?"),
        ("crop+policy:random:x+flip", "policy:random:x lacks a number"),
        ("policy:gone.json+flip", "policy:gone.json: no such file in "),
        ("policy:random:3+policy:random:3", "has 'policy:random:3' twice"),
        ("flip+noise+flip", "'flip+noise+flip' has 'flip' twice"),
        ("AffineAugmentation+jitter", "'AffineAugmentation+jitter' has 'jitter' twice"),
    ],
)
def test_a_wrong_name_is_an_error_that_says_which(name, message):
    with pytest.raises(ValueError, match=r"augmentation") as error:
        check_augmentation(name)
    assert message in str(error.value)


@pytest.mark.parametrize("words", ["--scale 1.2 0.8", "--blur_sigma 2 1", "--erasing_area 0.3 0.1"])
def test_an_empty_range_is_an_error(words):
    with pytest.raises(ValueError, match="give the smaller number first"):
        load(words.split(), {}, {})


def test_only_a_crop_stores_photos_larger_by_an_eighth_in_all():
    assert build_augmentation("flip+noise", KNOBS).margin == 0
    assert build_augmentation("noise+crop", KNOBS).margin == 0.125
    assert stored_size((224, 128), 0.125) == (252, 144)
    assert stored_size((224, 128), 0.0) == (224, 128)


def test_validation_sees_the_middle_of_a_stored_photo():
    batch = torch.arange(16 * 24).remainder(256).to(torch.uint8).view(1, 1, 16, 24)
    seen = evaluation_view(batch, SIZE)  # 2 rows above and below, 2 columns left and right are left out
    assert seen.shape == (1, 1, *SIZE)
    assert seen[0, 0, 0, 0] * 255 == 2 * 24 + 2
    assert seen[0, 0, -1, -1] * 255 == (13 * 24 + 21) % 256


def test_a_crop_is_a_window_of_the_stored_photo_and_each_comes_up():
    places = torch.arange(18 * 24, dtype=torch.int32).view(1, 1, 18, 24)
    drawn = AUGMENTATIONS["crop"](SIZE)(places.expand(500, 1, -1, -1), Draws(torch.Generator().manual_seed(0), 500))
    expected = {
        (top, left): places[0, :, top : top + SIZE[0], left : left + SIZE[1]] for top in range(7) for left in range(5)
    }
    corners = [divmod(window[0, 0, 0].item(), 24) for window in drawn]
    assert set(corners) == set(expected)
    assert all(torch.equal(window, expected[corner]) for window, corner in zip(drawn, corners, strict=True))


def test_noise_has_the_standard_deviation_asked_for_in_shares_of_full_brightness():
    grey = torch.full((4, 3, 64, 64), 128, dtype=torch.uint8)
    difference = apply("noise", grey, noise_std=0.05) - 128 / 255
    assert abs(difference.std().item() - 0.05) < 0.001
    assert abs(difference.mean().item()) < 0.001


def test_the_noise_of_one_photo_says_nothing_of_another_s(monkeypatch):
    monkeypatch.setattr(augment, "BANK", 10)  # fewer numbers than a photo has: the bank grows with the photo
    grey = torch.full((20, 3, 32, 32), 128, dtype=torch.uint8)
    different = torch.corrcoef(apply("noise", grey).flatten(1)) - torch.eye(20)
    assert different.abs().max() < 0.08  # 4 standard deviations of chance, 1 / sqrt(3072) each


def test_an_adapted_transform_joins_the_others_and_keeps_their_contract(monkeypatch):
    monkeypatch.setitem(AUGMENTATIONS.entries, "turned", lambda: per_image(v2.RandomRotation(30)))
    test_every_augmentation_keeps_shape_range_and_is_repeatable("turned+noise")
    test_the_same_photos_come_out_however_a_batch_is_divided("turned+noise", monkeypatch)


@pytest.mark.parametrize("name", sorted(set(NAMES) - COLOURS_ONLY))
def test_photos_of_four_channels_are_varied_too(name):
    batch = stored(name, 6, 4, mean=MEAN_OF_4)
    varied = apply(name, batch, mean=MEAN_OF_4)
    assert varied.shape == (6, 4, *knobs_of(name)["resize"])
    assert varied.min() >= 0
    assert varied.max() <= 1
    if name not in UNVARIED:
        assert not torch.equal(varied, evaluation_view(batch, knobs_of(name)["resize"]))


@pytest.mark.parametrize("name", ["flip", "affine", "noise", "blur"])
def test_the_first_three_of_four_channels_are_varied_as_they_are_without_the_fourth(name):
    four = photos(6, channels=4)
    if name == "noise":  # its place in the bank depends on a photo's size
        difference = apply(name, four, noise_std=0.05) - to_float(four)
        assert (difference.std((0, 2, 3)) > 0.03).all()
    else:
        torch.testing.assert_close(apply(name, four)[:, :3], apply(name, four[:, :3]), rtol=0, atol=1e-6)


def test_a_box_erased_of_four_channels_has_their_mean_colour():
    grey = torch.full((20, 4, *SIZE), 255, dtype=torch.uint8)
    erased = (apply("erasing", grey, mean=MEAN_OF_4) == torch.tensor(MEAN_OF_4).view(4, 1, 1)).all(1)
    assert 0 < erased.float().mean() < 1


def test_jitter_of_four_equal_channels_keeps_them_equal_and_of_others_moves_them_about_their_mean():
    grey = photos(8)[:, :1].expand(-1, 4, -1, -1)
    varied = apply("jitter", grey, jitter=0.4)
    torch.testing.assert_close(varied, varied[:, :1].expand(-1, 4, -1, -1), rtol=0, atol=1e-6)
    levels = torch.tensor([0.4, 0.45, 0.55, 0.6]).view(1, 4, 1, 1).expand(50, 4, 4, 4)  # mean 0.5 of 4 flat channels
    apart = AUGMENTATIONS["jitter"](0.1)(levels, Draws(torch.Generator().manual_seed(0), 50)).mean((2, 3))
    # saturation and contrast scale the distances from the mean, brightness all: their ratios stay
    distances = (apart - apart.mean(1, keepdim=True)) / apart.amax(1, keepdim=True).sub(apart.amin(1, keepdim=True))
    torch.testing.assert_close(distances, torch.tensor([-0.5, -0.25, 0.25, 0.5]).expand(50, 4), rtol=0, atol=1e-5)


def test_dihedral_gives_each_of_the_square_s_8_symmetries_equally_often():
    one = photos(1, (16, 16))
    drawn = apply("dihedral", one.expand(800, -1, -1, -1))
    turned = [to_float(one[0]).rot90(quarter, (1, 2)) for quarter in range(4)]
    symmetries = torch.stack([*turned, *(photo.flip(2) for photo in turned)])
    same = (drawn[:, None] == symmetries).flatten(2).all(2)  # (800, 8)
    assert (same.sum(1) == 1).all()
    assert (same.sum(0) - 100).abs().max() < 38  # 4 standard deviations


def test_dihedral_of_photos_that_are_not_square_is_an_error():
    with pytest.raises(ValueError, match="'dihedral' turns photos by a quarter, but --resize 12 20 is not square"):
        build_augmentation("flip+dihedral", KNOBS)


@pytest.mark.parametrize("name", sorted(COLOURS_ONLY))
def test_torchvision_s_policies_take_no_photos_of_four_channels(name):
    with pytest.raises(ValueError, match=f"'{name}' is made for colour or grey photos, but these have 4 channels"):
        build_augmentation(name, KNOBS | {"mean": MEAN_OF_4})


@pytest.mark.parametrize(
    ("name", "transform"),
    [("randaugment", v2.RandAugment(3, 5)), ("trivialaugment", v2.TrivialAugmentWide())],
)
def test_rivals_are_torchvision_s_with_the_knobs_given(name, transform):
    expected = per_image(transform)(photos(8), Draws(torch.Generator().manual_seed(2), 8))
    varied = apply(name, photos(8), seed=2, randaugment_ops=3, randaugment_magnitude=5)
    assert torch.equal(varied, to_float(expected))


def test_a_policy_file_joins_other_operations(tmp_path):
    file = tmp_path / "flips.json"
    file.write_text('{"policy": [[["horizontal_flip", 1, 0], ["vertical_flip", 1, 0]]]}')
    batch = photos(4)
    assert torch.equal(apply(f"policy:{file}+none", batch), to_float(batch).flip(2, 3))
