import pytest
import torch
from scipy.stats import beta, kstest

from draws import Draws

ALL = {
    "uniform": lambda draws: draws.uniform(-1, 2, 3),
    "chance": lambda draws: draws.chance(0.3),
    "integers": lambda draws: draws.integers(1000, 2),
    "seeds": lambda draws: draws.seeds(),
    "beta": lambda draws: draws.beta(0.4),
}


def numbers(part=slice(None), count=10):
    """All kinds in a row, and the generator's state after them."""
    generator = torch.Generator().manual_seed(1)
    draws = Draws(generator, count, part)
    drawn = {name: draw(draws) for name, draw in ALL.items()}
    return drawn | {"order": torch.tensor(draws.order(4)), "state": generator.get_state()}


@pytest.mark.parametrize("part", [slice(0, 3), slice(3, 10), slice(4, 4), slice(None)])
def test_a_part_gets_its_rows_of_the_whole_batch_s_numbers(part):
    whole, mine = numbers(), numbers(part)
    for name in ALL:
        assert torch.equal(mine[name], whole[name][part])
    assert torch.equal(mine["order"], whole["order"])  # one for the whole batch
    assert torch.equal(mine["state"], whole["state"])  # so the next batch is drawn alike as well


def test_pieces_give_the_same_numbers_again_and_leave_the_generator_where_one_pass_does():
    whole = numbers(slice(2, 9))
    generator = torch.Generator().manual_seed(1)
    pieces = []
    for piece in Draws(generator, 10, slice(2, 9)).pieces(3):
        pieces.append({name: draw(piece) for name, draw in ALL.items()})
        assert piece.order(4) == whole["order"].tolist()
    assert [len(piece["seeds"]) for piece in pieces] == [3, 3, 1]
    for name in ALL:
        assert torch.equal(torch.cat([piece[name] for piece in pieces]), whole[name])
    assert torch.equal(generator.get_state(), whole["state"])


def test_beta_has_its_distribution():
    for alpha in (0.2, 1.0, 3.0):
        drawn = Draws(torch.Generator().manual_seed(2), 2000).beta(alpha)
        assert kstest(drawn.numpy(), beta(alpha, alpha).cdf).pvalue > 0.001


def test_nothing_is_taken_from_torch_s_own_generator():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    numbers()
    assert torch.equal(before, torch.get_rng_state())
