import copy

import pytest
import torch
import torchvision
from torch import nn

import engine
from engine import Stepper, normaliser, predict, take_statistics, train_epoch
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
    normalise = normaliser("channels", (0.5, 0.2, 0.5), (0.5, 1.0, 0.25), CPU)
    batch = normalise(torch.tensor([0.0, 0.2, 1.0]).view(1, 3, 1, 1).expand(1, 3, 2, 2))
    torch.testing.assert_close(batch[0, :, 0, 0], torch.tensor([-1.0, 0.0, 2.0]))
    assert batch.is_contiguous(memory_format=torch.channels_last)


def test_each_photo_is_normalised_by_its_own_channels_as_numpy_has_them():
    photos = torch.rand(3, 4, 5, 6) * torch.tensor([1.0, 0.5, 0.1]).view(3, 1, 1, 1)
    batch = normaliser("photo", (0.1,) * 4, (9.0,) * 4, CPU)(photos)
    one = photos[2].numpy()
    expected = (one - one.mean(axis=(1, 2), keepdims=True)) / one.std(axis=(1, 2), keepdims=True)
    torch.testing.assert_close(batch[2], torch.from_numpy(expected), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(batch[:2], normaliser("photo", (), (), CPU)(photos[:2]))  # no photo sees another
    assert batch.is_contiguous(memory_format=torch.channels_last)


def test_a_flat_channel_becomes_zeros_and_its_noise_is_not_blown_up():
    photos = torch.full((1, 2, 8, 8), 0.3)
    photos[0, 1, 0, 0] += 1e-5
    batch = normaliser("photo", (), (), CPU)(photos)
    assert batch.abs().max() < 0.02


def planes(*values):
    """A batch of photos of one channel, each of one value."""
    return torch.tensor(values).view(-1, 1, 1, 1).expand(-1, 1, 2, 2)


def with_statistics():
    """Statistics of the photos, after a dropout that zeros nearly all of them in training; and of ten times them."""
    layers = [nn.Dropout(0.99), nn.BatchNorm2d(1), nn.Conv2d(1, 1, 1, bias=False), nn.BatchNorm2d(1), nn.BatchNorm2d(1)]
    network = nn.Sequential(*layers).train()
    network[4].track_running_stats = False
    network[1].weight.data.fill_(10.0)
    network[2].weight.data.fill_(1.0)
    network[1].running_mean.fill_(77.0)  # of before, to be forgotten
    return network


def test_statistics_are_the_mean_over_the_batches_as_a_prediction_sees_them():
    network, state = with_statistics(), torch.get_rng_state()
    take_statistics(network, iter([planes(1.0, 3.0), planes(5.0, 5.0, 5.0)]), "float32", Team())
    assert network[1].running_mean.item() == pytest.approx((2 + 5) / 2)
    assert network[1].running_var.item() == pytest.approx((8 / 7 + 0) / 2)  # 8 numbers of 1 and 3, less one
    assert network[3].running_mean.item() == pytest.approx(0, abs=1e-5)
    assert network[3].running_var.item() == pytest.approx(100 * 8 / 7 / 2, rel=1e-4)
    assert torch.equal(torch.get_rng_state(), state)
    assert network[1].momentum == network[3].momentum == 0.1
    assert not any(part.training for part in network.modules())


def test_statistics_are_torch_s_update_bn_where_nothing_is_random():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 3), nn.BatchNorm2d(2))
    other, batches = copy.deepcopy(network), [torch.rand(count, 3, 8, 8) for count in (4, 5, 4)]
    take_statistics(network, iter(batches), "float32", Team())
    torch.optim.swa_utils.update_bn(batches, other)
    for tensor, expected in zip(network.state_dict().values(), other.state_dict().values(), strict=True):
        torch.testing.assert_close(tensor, expected)


def test_a_model_without_statistics_takes_no_photo():
    take_statistics(nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2)), iter(lambda: 1 / 0, None), "float32", Team())


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
