import math
import random

import pytest
import torch
from torch.optim.lr_scheduler import ExponentialLR, MultiStepLR, StepLR

from config import Config
from optim import SCHEDULES, build_optimizer, optimizer_class, schedule_name
from sources import load

KNOBS = Config().values()


@pytest.mark.parametrize("name", sorted(SCHEDULES.entries))
def test_every_schedule_is_a_factor_of_the_peak(name):
    factor = SCHEDULES.build(name, KNOBS | {"lr_decay_step": 3})
    values = [factor(epoch / 10, [0.5] * (epoch // 10)) for epoch in range(300)]
    assert max(values) <= 1
    assert min(values) >= 0


def test_drops_divide_by_10_after_epochs_10_20_and_25():
    factor = SCHEDULES.build("drops", KNOBS)
    assert [round(factor(e, ()), 6) for e in (0, 9.99, 10, 19, 20, 25, 29)] == [1, 1, 0.1, 0.1, 0.01, 0.001, 0.001]


@pytest.mark.parametrize(
    ("name", "knobs", "theirs"),
    [
        ("step", {"lr_decay": 0.5, "lr_decay_step": 3}, lambda given: StepLR(given, step_size=3, gamma=0.5)),
        ("drops", {"lr_decay": 0.5, "lr_drops": (2, 7)}, lambda given: MultiStepLR(given, [2, 7], gamma=0.5)),
        ("exponential", {"lr_decay": 0.9}, lambda given: ExponentialLR(given, gamma=0.9)),
    ],
)
def test_a_schedule_is_torch_s_and_steady_within_an_epoch(name, knobs, theirs):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = theirs(optimizer)
    ours = SCHEDULES.build(name, KNOBS | knobs)
    for epoch in range(10):
        assert ours(epoch, ()) == ours(epoch + 0.9, ()) == pytest.approx(theirs.get_last_lr()[0])
        optimizer.step()
        theirs.step()


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("patience", [0, 1, 3])
def test_plateau_is_torch_s_reduce_lr_on_plateau(patience, seed):
    """On a rise that slows down and wavers; a third of the epochs are hardly better than the best before."""
    draw = random.Random(seed)
    past = [1 - 0.8**epoch + draw.uniform(-0.1, 0.1) for epoch in range(40)]
    past[5::3] = [max(past[:epoch]) * draw.choice([1 + 0.5e-4, 1 + 2e-4, 1]) for epoch in range(5, 40, 3)]
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, "max", factor=0.8, patience=patience, eps=0)
    ours = SCHEDULES.build("plateau", KNOBS | {"lr_decay": 0.8, "plateau_patience": patience})
    rates = []
    for epoch in range(40):
        rates.append(optimizer.param_groups[0]["lr"])
        assert ours(epoch + 0.5, past[:epoch]) == pytest.approx(rates[-1])
        theirs.step(past[epoch])
    assert len(set(rates)) > 2


def test_plateau_drops_after_patience_epochs_that_were_no_better():
    ours = SCHEDULES.build("plateau", KNOBS | {"lr_decay": 0.1, "plateau_patience": 2})
    past = [0.5, 0.6, 0.6, 0.59, 0.6, 0.7, 0.7]
    assert [ours(epoch, past[:epoch]) for epoch in range(8)] == [1, 1, 1, 1, 1, 0.1, 0.1, 0.1]


def test_cosine_rises_then_falls_to_0():
    factor = SCHEDULES.build("cosine", KNOBS | {"epochs": 11, "warmup_epochs": 1.0})
    assert factor(0.5, ()) == 0.5
    assert factor(1, ()) == 1
    assert factor(6, ()) == pytest.approx(0.5)
    assert factor(11, ()) == pytest.approx(0)
    assert factor(3.5, ()) == pytest.approx((1 + math.cos(math.pi / 4)) / 2)


def test_cosine_of_a_single_epoch_still_reaches_its_peak():
    factor = SCHEDULES.build("cosine", KNOBS | {"epochs": 1, "warmup_epochs": 1.0})
    assert factor(0.5, ()) == 1


def test_auto_is_step_where_its_step_is_given():
    assert schedule_name("auto", 5) == "step"
    assert schedule_name("auto", 0) == "drops"
    assert schedule_name("cosine", 0) == "cosine"


@pytest.mark.parametrize("name", ["Adam", "AdamW", "SGD", "RMSprop", "Adagrad", "NAdam"])
def test_optimizers_are_torch_s_with_the_knobs_they_have(name):
    optimizer = build_optimizer(name, [torch.nn.Parameter(torch.zeros(1))], KNOBS | {"lr": 0.25, "momentum": 0.5})
    assert type(optimizer) is getattr(torch.optim, name)
    assert optimizer.defaults["lr"] == 0.25
    assert optimizer.defaults["weight_decay"] == 5e-5
    assert optimizer.defaults.get("momentum", 0.5) == 0.5


@pytest.mark.parametrize(("name", "kind"), [("adam", "Adam"), ("sgd", "SGD"), ("rmsPROP", "RMSprop")])
def test_an_optimizer_is_known_in_any_case(name, kind):
    assert optimizer_class(name) is getattr(torch.optim, kind)


def test_nesterov_is_torch_s():
    weight, other = (torch.nn.Parameter(torch.ones(3)) for _ in range(2))
    knobs = KNOBS | {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.0, "nesterov": True}
    ours = build_optimizer("sgd", [weight], knobs)
    theirs = torch.optim.SGD([other], lr=0.1, momentum=0.9, nesterov=True)
    for number in range(3):
        weight.grad, other.grad = (torch.full((3,), float(number + 1)) for _ in range(2))
        ours.step()
        theirs.step()
    torch.testing.assert_close(weight, other)
    assert weight[0].item() == pytest.approx(1 - 0.1 * ((1 + 0.9) + (2 + 0.9 * 2.9) + (3 + 0.9 * 5.61)))


@pytest.mark.parametrize("words", ["--optimizer Adam", "--optimizer SGD --momentum 0"])
def test_nesterov_without_what_it_changes_is_refused(words):
    with pytest.raises(ValueError, match="--nesterov true needs --optimizer SGD with a --momentum above 0"):
        load([*words.split(), "--nesterov", "true"], {}, {})


@pytest.mark.parametrize("name", ["adamm", "Optimizer", "lr_scheduler"])
def test_an_unknown_optimizer_is_refused(name):
    with pytest.raises(ValueError, match="unknown optimizer"):
        optimizer_class(name)


@pytest.mark.parametrize(("name", "why"), [("lbfgs", "several times"), ("SparseAdam", "sparse"), ("Muon", "matrices")])
def test_an_optimizer_that_does_not_fit_says_why(name, why):
    with pytest.raises(ValueError, match=f"{name}.* does not fit here: .*{why}"):
        optimizer_class(name)
