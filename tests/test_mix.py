import pytest
import torch
from scipy.stats import beta, ks_2samp, kstest
from torchvision.transforms import v2

from draws import Draws
from mix import build_mix, cutmix, mixup

OFF = {"mixup": 0.0, "cutmix": 0.0}


class Chosen(Draws):
    """Draws that are what a test says: the same share of Beta and the same place for every photo."""

    share, place = 0.25, (0.5, 0.5)

    def beta(self, alpha):
        return torch.full((self.count,), self.share)

    def uniform(self, low, high, *shape):
        return torch.tensor(self.place).expand(self.count, -1)


def draws(count, seed=0, part=slice(None), kind=Draws):
    return kind(torch.Generator().manual_seed(seed), count, part)


def batch(count, size=(8, 12)):
    """Photos of one brightness each, i / 100, and targets whose class is the photo's number."""
    return torch.arange(count).view(-1, 1, 1, 1).div(100).expand(count, 3, *size).clone(), torch.eye(count)


def test_mixup_takes_the_share_of_a_photo_and_the_rest_of_its_neighbour():
    photos, target = mixup(1.0)(*batch(4), draws(4, kind=Chosen))
    torch.testing.assert_close(photos[:, 0, 0, 0], torch.tensor([0.0075, 0.0025, 0.0275, 0.0225]))
    expected = [[0.25, 0.75, 0, 0], [0.75, 0.25, 0, 0], [0, 0, 0.25, 0.75], [0, 0, 0.75, 0.25]]
    torch.testing.assert_close(target, torch.tensor(expected))


def test_cutmix_puts_a_box_of_the_neighbour_around_the_place_drawn():
    photos, target = cutmix(1.0)(*batch(2), draws(2, kind=Chosen))
    box = torch.zeros(8, 12)
    box[2:6, 3:9] = 0.01  # a quarter of 8 x 12 is 4 x 6, around row 4 and column 6
    torch.testing.assert_close(photos[0, 0], box)
    torch.testing.assert_close(photos[1, 2], 0.01 - box)
    torch.testing.assert_close(target, torch.tensor([[0.75, 0.25], [0.25, 0.75]]))


def test_targets_mix_by_the_area_that_is_left_of_a_box_at_the_edge():
    class AtTheCorner(Chosen):
        place = (0.0, 0.99)  # row 0 and column 11: rows 0-1 and columns 8-11 are left of the box

    photos, target = cutmix(1.0)(*batch(2), draws(2, kind=AtTheCorner))
    assert photos[0, 0].count_nonzero() == 2 * 4
    torch.testing.assert_close(target[0], torch.tensor([88 / 96, 8 / 96]))


@pytest.mark.parametrize("knobs", [{"mixup": 0.4}, {"cutmix": 1.0}, {"mixup": 1.0, "cutmix": 0.5}])
def test_targets_are_mixed_as_the_photos_are(knobs):
    for seed in range(20):
        photos, target = batch(9)
        mixed, soft = build_mix(OFF | knobs)(photos, target, draws(9, seed))
        torch.testing.assert_close(mixed.mean((1, 2, 3)), soft @ torch.arange(9.0).div(100))
        torch.testing.assert_close(soft.sum(1), torch.ones(9))
        assert torch.equal(photos, batch(9)[0])  # what is given is not written to
        assert torch.equal(target, batch(9)[1])


def test_the_last_photo_of_an_odd_batch_stays_as_it_is():
    photos, target = build_mix({"mixup": 1.0, "cutmix": 1.0})(*batch(3), draws(3))
    assert torch.equal(photos[2], batch(3)[0][2])
    assert torch.equal(target[2], batch(3)[1][2])
    assert not torch.equal(target[:2], batch(3)[1][:2])


@pytest.mark.parametrize("knobs", [{"mixup": 0.4}, {"cutmix": 1.0}, {"mixup": 1.0, "cutmix": 1.0}])
def test_the_same_comes_out_when_a_batch_is_divided_at_even_places(knobs):
    mix = build_mix(OFF | knobs)
    for seed in range(4):
        whole = mix(*batch(9), draws(9, seed))
        parts = [slice(0, 4), slice(4, 4), slice(4, 8), slice(8, 9)]
        divided = [mix(*(tensor[part] for tensor in batch(9)), draws(9, seed, part)) for part in parts]
        for tensor, pieces in zip(whole, zip(*divided, strict=True), strict=True):
            assert torch.equal(torch.cat(pieces), tensor)


def test_a_pair_is_never_torn_apart():
    with pytest.raises(AssertionError, match="divided at even places"):
        mixup(1.0)(*(tensor[3:6] for tensor in batch(6)), draws(6, part=slice(3, 6)))


def test_shares_are_of_the_distributions_of_the_papers():
    """mixup's is Beta's; cutmix's area is that of torchvision's CutMix, which knows one box for a whole batch."""
    photos, target = batch(2000, (7, 10))
    share = mixup(0.3)(photos, target, draws(2000))[1].diagonal()
    assert kstest(share.numpy(), beta(0.3, 0.3).cdf).pvalue > 0.001
    with torch.random.fork_rng():
        torch.manual_seed(1)
        twin = v2.CutMix(alpha=0.6, num_classes=2)
        expected = torch.tensor([twin.make_params([photos[0]])["lam_adjusted"] for _ in range(2000)])
    for alpha, is_right in ((0.6, True), (1.5, False)):
        share = cutmix(alpha)(photos, target, draws(2000))[1].diagonal()
        found = ks_2samp(share.mul(70).round(), expected.mul(70).round(), method="asymp")  # in pixels
        assert (found.pvalue > 0.001) == is_right


def test_of_both_mixes_each_comes_up_and_none_is_none():
    assert build_mix(OFF) is None
    mix, kinds = build_mix({"mixup": 1.0, "cutmix": 1.0}), set()
    for seed in range(20):
        photos, _ = mix(*batch(2), draws(2, seed))
        kinds.add("mixup" if torch.all((photos > 0) & (photos < 0.01)) else "cutmix")
    assert kinds == {"mixup", "cutmix"}


def test_photos_stay_channels_last_in_memory():
    photos, target = batch(4)
    for knobs in ({"mixup": 1.0}, {"cutmix": 1.0}):
        mixed, _ = build_mix(OFF | knobs)(photos.contiguous(memory_format=torch.channels_last), target, draws(4))
        assert mixed.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU; CUDA_VISIBLE_DEVICES=0 shows the first")
@pytest.mark.parametrize("knobs", [{"mixup": 0.4}, {"cutmix": 1.0}])
def test_a_gpu_mixes_the_same(knobs):
    mix = build_mix(OFF | knobs)
    for ours, expected in zip(mix(*(t.cuda() for t in batch(6)), draws(6)), mix(*batch(6), draws(6)), strict=True):
        assert ours.is_cuda
        torch.testing.assert_close(ours.cpu(), expected, rtol=0, atol=1e-6)
