import math
from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from config import Config
from loss import CRITERIA, balanced_weights, build_loss
from task import Head, Task, one_hot

LABELS = torch.tensor([0, 2, 1, 2])
TARGET = torch.from_numpy(one_hot(LABELS.numpy(), 3))
LOGITS = torch.tensor([[2.0, 0.0, -1.0], [0.5, 0.5, 0.5], [-1.0, 1.0, 0.0], [0.0, 3.0, 1.0]])
ONES = torch.ones(3)
SEVERAL = torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 1.0], [0.0, 1.0, 0.0]])


def build(name, weights=ONES, exclusive=True, **changes):
    return CRITERIA.build(name, Config(**changes).values() | {"weights": weights, "exclusive": exclusive})


@pytest.mark.parametrize("exclusive", [True, False])
@pytest.mark.parametrize("name", sorted(CRITERIA.entries))
def test_every_criterion_is_a_scalar_that_falls_along_its_gradient(name, exclusive):
    target = TARGET if exclusive else SEVERAL
    logits = LOGITS.clone().requires_grad_()
    loss = build(name, exclusive=exclusive)(logits, target)
    assert loss.shape == ()
    loss.backward()
    assert build(name, exclusive=exclusive)(logits - 0.1 * logits.grad, target) < loss


@pytest.mark.parametrize("exclusive", [True, False])
@pytest.mark.parametrize("name", sorted(CRITERIA.entries))
def test_every_criterion_takes_soft_targets_and_class_weights(name, exclusive):
    mixed = 0.7 * TARGET + 0.3 * TARGET.roll(1, dims=0)
    assert torch.isfinite(build(name, exclusive=exclusive)(LOGITS, mixed))
    weighted = build(name, weights=torch.tensor([3.0, 0.0, 0.0]), exclusive=exclusive)
    assert weighted(LOGITS, TARGET) != build(name, exclusive=exclusive)(LOGITS, TARGET)


def test_cross_entropy_is_torch_s():
    torch.testing.assert_close(build("cross_entropy")(LOGITS, TARGET), functional.cross_entropy(LOGITS, LABELS))


def test_focal_by_hand():
    # two classes, p = 0.8 for the right one: -(1 - 0.8)^2 ln 0.8
    logits = torch.log(torch.tensor([[0.8, 0.2]]))
    loss = build("focal", weights=torch.ones(2), focal_gamma=2.0)(logits, torch.tensor([[1.0, 0.0]]))
    assert loss.item() == pytest.approx(-0.04 * math.log(0.8), rel=1e-5)


def test_focal_with_gamma_0_is_cross_entropy():
    focal = build("focal", focal_gamma=0.0)(LOGITS, TARGET)
    torch.testing.assert_close(focal, functional.cross_entropy(LOGITS, LABELS))


def test_label_smoothing_by_hand():
    # p = (0.7, 0.2, 0.1), true class 0, smoothing 0.1: the other two get 0.05 each
    logits = torch.log(torch.tensor([[0.7, 0.2, 0.1]]))
    loss = build("label_smoothing", smoothing=0.1)(logits, torch.tensor([[1.0, 0.0, 0.0]]))
    expected = -(0.9 * math.log(0.7) + 0.05 * math.log(0.2) + 0.05 * math.log(0.1))
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_label_smoothing_is_torch_s_with_the_share_counted_among_all_classes():
    # torch gives each of the k classes s / k; ours gives the other k - 1 classes s' / (k - 1): s = s' k / (k - 1)
    ours = build("label_smoothing", smoothing=0.2)(LOGITS, TARGET)
    torch.testing.assert_close(ours, functional.cross_entropy(LOGITS, LABELS, label_smoothing=0.2 * 3 / 2))


def test_f1_by_hand():
    # p = [[.8 .2] [.4 .6]], truth 0 and 1. class 0: 2*.8/(1.2+1); class 1: 2*.6/(.8+1)
    logits = torch.log(torch.tensor([[0.8, 0.2], [0.4, 0.6]]))
    loss = build("f1", weights=torch.ones(2))(logits, torch.eye(2))
    assert loss.item() == pytest.approx(1 - (1.6 / 2.2 + 1.2 / 1.8) / 2, rel=1e-5)


def test_balanced_weights_are_one_over_the_share_with_a_mean_of_1():
    weights = balanced_weights(torch.tensor([[1.0, 0.0, 0.0]] * 3 + [[0.0, 1.0, 0.0]]))
    assert weights[1] / weights[0] == pytest.approx(3)
    assert weights[2] == 0
    assert (3 * weights[0] + weights[1]) / 4 == pytest.approx(1)


def test_focal_with_a_gamma_below_1_has_a_gradient_where_a_photo_is_certain():
    for label in (0, 1):
        logits = torch.tensor([[60.0, 0.0]], requires_grad=True)
        build("focal", weights=torch.ones(2), focal_gamma=0.5)(logits, torch.eye(2)[[label]]).backward()
        assert torch.isfinite(logits.grad).all()


def test_of_classes_by_themselves_cross_entropy_is_torch_s_binary_one_summed_over_them():
    theirs = functional.binary_cross_entropy_with_logits(LOGITS, SEVERAL, reduction="none").sum(1).mean()
    for name in ("cross_entropy", "bce"):
        torch.testing.assert_close(build(name, exclusive=False)(LOGITS, SEVERAL), theirs)
    torch.testing.assert_close(build("focal", exclusive=False, focal_gamma=0.0)(LOGITS, SEVERAL), theirs)


def test_focal_of_classes_by_themselves_is_torchvision_s():
    from torchvision.ops import sigmoid_focal_loss

    theirs = sigmoid_focal_loss(LOGITS, SEVERAL, alpha=-1, gamma=2.0, reduction="none").sum(1).mean()
    torch.testing.assert_close(build("focal", exclusive=False, focal_gamma=2.0)(LOGITS, SEVERAL), theirs)


def test_label_smoothing_of_classes_by_themselves_gives_the_other_answer_the_share():
    loss = build("label_smoothing", weights=torch.ones(1), exclusive=False, smoothing=0.1)
    found = loss(torch.tensor([[math.log(4.0)]]), torch.tensor([[1.0]]))  # p = 0.8
    assert found.item() == pytest.approx(-0.9 * math.log(0.8) - 0.1 * math.log(0.2), rel=1e-5)


def test_f1_of_classes_by_themselves_by_hand():
    # p = .8 and .4 of one class, of which the first holds: 2 * .8 / (1.2 + 1)
    logits = torch.tensor([[math.log(4.0)], [math.log(2 / 3)]])
    loss = build("f1", weights=torch.ones(1), exclusive=False)(logits, torch.tensor([[1.0], [0.0]]))
    assert loss.item() == pytest.approx(1 - 1.6 / 2.2, rel=1e-5)


def test_heads_add_up_by_their_weights():
    task = Task((Head("mask", ("a", "b", "c")), Head("gender", ("d", "e")), Head("age", ("f", "g", "h"))))
    logits = torch.randn(4, 8, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([[0, 1, 2], [2, 0, 0], [1, 1, 1], [0, 0, 2]])
    target = torch.cat([functional.one_hot(labels[:, i], n).float() for i, n in enumerate((3, 2, 3))], 1)
    loss = build_loss(Config(head_weights=(1.0, 0.0, 3.0)), task, target)(logits, target)
    mask, age = (
        functional.cross_entropy(logits[:, :3], labels[:, 0]),
        functional.cross_entropy(logits[:, 5:], labels[:, 2]),
    )
    torch.testing.assert_close(loss, mask / 4 + 3 * age / 4)


def test_heads_have_balanced_weights_of_their_own():
    task = Task((Head("mask", ("a", "b")), Head("gender", ("d", "e"))))
    target = torch.tensor([[1.0, 0.0, 1.0, 0.0]] * 3 + [[0.0, 1.0, 0.0, 1.0]])
    two = replace(Config(class_weights="balanced"), head_weights=(1.0, 1.0))
    logits = torch.zeros(4, 4)
    # a photo of the rare class counts 3 times one of the other; at even odds each is ln 2
    assert build_loss(two, task, target)(logits, target).item() == pytest.approx(math.log(2), rel=1e-5)
