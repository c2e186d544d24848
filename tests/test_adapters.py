import torch
from torchvision.transforms import v2

from adapters import in_pieces, per_image
from draws import Draws


def photos(count):
    return torch.randint(0, 256, (count, 3, 12, 20), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_the_adapter_gives_what_torchvision_gives_for_each_photo_s_own_seed():
    transform = v2.RandomAffine(degrees=30)
    adapted = per_image(transform)(photos(4), Draws(torch.Generator().manual_seed(7), 4))
    expected = []
    for photo, seed in zip(photos(4), Draws(torch.Generator().manual_seed(7), 4).seeds().tolist(), strict=True):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            expected.append(transform(photo))
    assert torch.equal(adapted, torch.stack(expected))


def test_the_adapter_leaves_torch_s_own_generator_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    per_image(v2.RandomRotation(30))(photos(2), Draws(torch.Generator().manual_seed(0), 2))
    assert torch.equal(before, torch.get_rng_state())


def test_pieces_are_as_small_as_asked_and_give_the_whole_batch(monkeypatch):
    seen = []

    def vary(batch, draws):
        seen.append(len(batch))
        return batch * draws.uniform(0, 1)[:, None, None, None]

    whole = vary(photos(5).float(), Draws(torch.Generator().manual_seed(0), 5))
    monkeypatch.setattr("adapters.PIECE_BYTES", 2 * 4 * 3 * 12 * 20)
    assert torch.equal(in_pieces(vary)(photos(5).float(), Draws(torch.Generator().manual_seed(0), 5)), whole)
    assert seen == [5, 2, 2, 1]
