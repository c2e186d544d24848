import numpy as np
import pytest
import torch
from torch import nn

import engine
from cache import Store
from engine import feed, in_order, normaliser, predict, shuffled, train_epoch

CPU = torch.device("cpu")


def batches_of(values):
    return iter(torch.tensor(values, dtype=torch.float32).reshape(-1, 2, 1))


def run_epoch(lr, steps=4):
    torch.manual_seed(0)
    network = nn.Linear(1, 1)
    optimizer = torch.optim.SGD(network.parameters(), lr=1.0)
    told = []
    photos = [torch.full((2, 1), float(step + 1)) for step in range(steps)]
    targets = [torch.zeros(2, 1)] * steps
    squared = nn.MSELoss()
    loss = train_epoch(network, iter(photos), iter(targets), squared, optimizer, lr, lambda *x: told.append(x), 2)
    return network, loss, told


def test_every_photo_is_trained_on_once_an_epoch_and_no_batch_is_a_lone_photo():
    batches = shuffled(np.arange(65), 32, torch.Generator().manual_seed(0))
    assert sorted(np.concatenate(batches)) == list(range(65))
    assert [len(rows) for rows in batches] == [22, 22, 21]


def test_prediction_batches_keep_the_order_and_the_last_photos():
    assert [list(rows) for rows in in_order(np.array([5, 3, 9]), 2)] == [[5, 3], [9]]


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
    logits = predict(network, batches_of([1, 2, 3, 4]), told.append)
    assert logits.ravel().tolist() == [1, 2, 3, 4]
    assert told == [2, 4]


def test_predictions_that_are_not_finite_are_refused():
    with pytest.raises(FloatingPointError, match="not finite"):
        predict(nn.Flatten(), batches_of([1, float("nan")]), lambda done: None)


def test_photos_are_normalised_per_channel():
    store = Store(np.full((1, 2, 2, 3), [0, 51, 255], dtype=np.uint8), {})
    normalise = normaliser((0.5, 0.2, 0.5), (0.5, 1.0, 0.25), CPU)
    (batch,) = feed(store, [np.array([0])], lambda photos: normalise(photos / 255), CPU)
    torch.testing.assert_close(batch[0, :, 0, 0], torch.tensor([-1.0, 0.0, 2.0]))
    assert batch.is_contiguous(memory_format=torch.channels_last)
