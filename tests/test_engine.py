import copy

import pytest
import torch
import torchvision
from torch import nn

import engine
from engine import Stepper, normaliser, predict, train_epoch
from memory import Pieces
from team import Team
from views import VIEWS

CPU = torch.device("cpu")


def stepper(network, optimizer, criterion, precision="float32", micro_batch=0):
    scaler = torch.amp.GradScaler("cpu", enabled=precision == "fp16")
    return Stepper(network, criterion, optimizer, scaler, precision, Pieces(micro_batch, "training"), Team())


def logits_of(network, batches, told=lambda done: None, views="plain", micro_batch=0):
    return predict(network, batches, VIEWS.build(views, {}), "float32", Pieces(micro_batch, "predicting"), told)


def batches_of(values):
    return iter(torch.tensor(values, dtype=torch.float32).reshape(-1, 2, 1))


def run_epoch(lr, steps=4):
    torch.manual_seed(0)
    network = nn.Linear(1, 1)
    optimizer = torch.optim.SGD(network.parameters(), lr=1.0)
    told = []
    batches = [(torch.full((2, 1), float(step + 1)), torch.zeros(2, 1), [2]) for step in range(steps)]
    loss = train_epoch(stepper(network, optimizer, nn.MSELoss()), iter(batches), lr, lambda *x: told.append(x), 2)
    return network, loss, told


def test_the_learning_rate_is_asked_at_each_step():
    frozen, _, _ = run_epoch(lambda step: 0.0)
    torch.manual_seed(0)
    assert torch.equal(frozen.weight, nn.Linear(1, 1).weight)
    asked = []
    run_epoch(lambda step: asked.append(step) or 0.0)
    assert asked == [0, 1, 2, 3]


def test_the_epoch_s_loss_is_the_mean_over_its_steps():
    network, loss, told = run_epoch(lambda step: 0.0)
    outputs = network(torch.tensor([[1.0], [2.0], [3.0], [4.0]]))
    assert loss == pytest.approx(outputs.square().mean().item())
    assert [done for done, _ in told] == [2, 4]
    assert sum(mean for _, mean in told) / 2 == pytest.approx(loss)


def test_a_loss_that_is_not_finite_ends_the_epoch():
    with pytest.raises(FloatingPointError, match="the loss became (nan|inf)"):
        run_epoch(lambda step: 1e30, steps=6)


def test_slow_steps_are_told_before_log_interval_is_reached(monkeypatch):
    clock = iter(range(0, 1000, 11))
    monkeypatch.setattr(engine.time, "monotonic", lambda: next(clock))
    assert [done for done, _ in run_epoch(lambda step: 0.0)[2]] == [1, 2, 3, 4]


def test_predictions_come_in_order_and_in_evaluation_mode():
    network = nn.Sequential(nn.Flatten(), nn.Dropout(0.9)).train()
    told = []
    logits = logits_of(network, batches_of([1, 2, 3, 4]), told.append)
    assert logits.shape == (1, 4, 1)
    assert logits.ravel().tolist() == [1, 2, 3, 4]
    assert told == [2, 4]


def test_predictions_that_are_not_finite_are_refused():
    with pytest.raises(FloatingPointError, match="not finite"):
        logits_of(nn.Flatten(), batches_of([1, float("nan")]))


def test_photos_are_normalised_per_channel():
    normalise = normaliser((0.5, 0.2, 0.5), (0.5, 1.0, 0.25), CPU)
    batch = normalise(torch.tensor([0.0, 0.2, 1.0]).view(1, 3, 1, 1).expand(1, 3, 2, 2))
    torch.testing.assert_close(batch[0, :, 0, 0], torch.tensor([-1.0, 0.0, 2.0]))
    assert batch.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("precision", ["float32", "bf16", "fp16"])
def test_a_step_in_each_precision_is_near_the_float32_step_and_keeps_float32_weights(precision):
    network = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))
    exact = copy.deepcopy(network)
    photos, target = torch.randn(8, 6), torch.eye(3)[torch.arange(8) % 3]
    loss = nn.CrossEntropyLoss()(exact(photos), target)
    loss.backward()
    optimizer = torch.optim.SGD(network.parameters(), lr=1.0)
    before = [weights.clone() for weights in network.parameters()]
    told = stepper(network, optimizer, nn.CrossEntropyLoss(), precision).step(photos, target, [8])
    torch.testing.assert_close(told, loss.detach(), rtol=0.02, atol=0)
    for weights, old, other in zip(network.parameters(), before, exact.parameters(), strict=True):
        assert weights.dtype == torch.float32
        torch.testing.assert_close(old - weights.detach(), other.grad, rtol=0.05, atol=0.005)


def test_both_views_of_a_photo_are_predicted_in_one_pass():
    network = nn.Sequential(nn.Flatten(), nn.Linear(8, 2))
    batches = [torch.randn(3, 2, 2, 2), torch.randn(1, 2, 2, 2)]
    passes = []
    network.register_forward_hook(lambda module, given, output: passes.append(len(output)))
    seen = logits_of(network, iter(batches), views="flip")
    assert passes == [6, 2]
    photos = torch.cat(batches)
    for view, shown in enumerate((photos, torchvision.transforms.functional.hflip(photos))):
        torch.testing.assert_close(torch.from_numpy(seen[view]), network(shown).detach())
