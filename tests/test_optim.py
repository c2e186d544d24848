import math

import pytest
import torch

from config import Config
from optim import SCHEDULES, build_optimizer, optimizer_class, schedule_name

KNOBS = Config().values()


@pytest.mark.parametrize("name", sorted(SCHEDULES.entries))
def test_every_schedule_is_a_factor_of_the_peak(name):
    factor = SCHEDULES.build(name, KNOBS | {"lr_decay_step": 3})
    values = [factor(epoch / 10) for epoch in range(300)]
    assert max(values) <= 1
    assert min(values) >= 0


def test_drops_divide_by_10_after_epochs_10_20_and_25():
    factor = SCHEDULES.build("drops", KNOBS)
    assert [round(factor(e), 6) for e in (0, 9.99, 10, 19, 20, 25, 29)] == [1, 1, 0.1, 0.1, 0.01, 0.001, 0.001]


def test_step_is_torch_s_step_lr():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.StepLR(optimizer, step_size=3, gamma=0.5)
    ours = SCHEDULES.build("step", KNOBS | {"lr_decay_step": 3, "lr_decay": 0.5})
    for epoch in range(10):
        assert ours(epoch) == pytest.approx(theirs.get_last_lr()[0])
        optimizer.step()
        theirs.step()


def test_cosine_rises_then_falls_to_0():
    factor = SCHEDULES.build("cosine", KNOBS | {"epochs": 11, "warmup_epochs": 1.0})
    assert factor(0.5) == 0.5
    assert factor(1) == 1
    assert factor(6) == pytest.approx(0.5)
    assert factor(11) == pytest.approx(0)
    assert factor(3.5) == pytest.approx((1 + math.cos(math.pi / 4)) / 2)


def test_cosine_of_a_single_epoch_still_reaches_its_peak():
    factor = SCHEDULES.build("cosine", KNOBS | {"epochs": 1, "warmup_epochs": 1.0})
    assert factor(0.5) == 1


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


@pytest.mark.parametrize("name", ["adamm", "Optimizer", "lr_scheduler"])
def test_an_unknown_optimizer_is_refused(name):
    with pytest.raises(ValueError, match="unknown optimizer"):
        optimizer_class(name)


@pytest.mark.parametrize(("name", "why"), [("LBFGS", "several times"), ("SparseAdam", "sparse"), ("Muon", "matrices")])
def test_an_optimizer_that_does_not_fit_says_why(name, why):
    with pytest.raises(ValueError, match=f"{name}.* does not fit here: .*{why}"):
        optimizer_class(name)
