"""Averages of weights, by hand and as torch has them; and trials, whose average validates, is kept and predicts."""

import copy
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from kills import assert_equal, plant_small
from torch import nn
from walks import history, run_trial

import inference
import learner
from augment import evaluation_view
from averaging import build_average, photos_for_statistics
from optim import build_optimizer

SGD = {"lr": 1.0, "momentum": 0.0, "nesterov": False, "weight_decay": 0.0}


def one_weight(value):
    network = nn.Linear(1, 1, bias=False)
    network.weight.data.fill_(value)
    return network


def moved(network, value):
    network.weight.data.fill_(value)


def test_ema_keeps_1_10_then_2_11_then_3_12_of_what_it_was():
    network = one_weight(1.0)
    average = build_average("ema", network, epochs=1, ema_decay=0.999, swa_last=1)
    seen = []
    for value in (2.0, 4.0, 8.0):
        moved(network, value)
        average.join()
        seen.append(average.model.weight.item())
    second = 2 / 11 * 1.9 + 9 / 11 * 4
    assert seen == pytest.approx([0.1 * 1 + 0.9 * 2, second, 3 / 12 * second + 9 / 12 * 8])
    assert network.weight.item() == 8.0


def test_ema_never_keeps_more_than_its_decay():
    network = one_weight(1.0)
    average = build_average("ema", network, epochs=1, ema_decay=0.15, swa_last=1)
    moved(network, 0.0)
    for _ in range(3):
        average.join()
    assert average.model.weight.item() == pytest.approx(0.1 * 0.15 * 0.15)


def test_ema_follows_each_step_of_the_optimizer_and_not_the_epochs():
    network = one_weight(1.0)
    average = build_average("ema", network, epochs=1, ema_decay=0.0, swa_last=1)
    optimizer = build_optimizer("SGD", list(network.parameters()), SGD)
    average.follow(optimizer)
    for expected in (0.5, 0.0):
        network.weight.grad = torch.full((1, 1), 0.5)
        optimizer.step()
        assert average.model.weight.item() == network.weight.item() == expected
    assert (average.every, average.count) == ("step", 2)
    assert average.model.weight.grad is None


def with_statistics(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 3)).train()


def trained(network):
    """Random steps, which also move the statistics."""
    network(torch.rand(4, 3, 8, 8))
    for weights in network.parameters():
        weights.data.add_(torch.randn_like(weights))


@pytest.mark.parametrize("kind", ["ema", "swa"])
def test_an_average_is_torch_s(kind):
    """Of ema after so many steps that its decay no longer grows."""
    network = with_statistics()
    average = build_average(kind, network, epochs=1, ema_decay=0.6, swa_last=1)
    for _ in range(20 if kind == "ema" else 0):
        average.join()
    update = {"multi_avg_fn": torch.optim.swa_utils.get_ema_multi_avg_fn(0.6), "use_buffers": True}
    theirs = torch.optim.swa_utils.AveragedModel(network, **(update if kind == "ema" else {}))
    if kind == "ema":
        theirs.update_parameters(network)
    for _ in range(4):
        trained(network)
        average.join()
        theirs.update_parameters(network)
    for name, tensor in theirs.module.state_dict().items():
        if name != "1.num_batches_tracked":  # which torch averages too
            torch.testing.assert_close(average.model.state_dict()[name], tensor)
    assert average.model[1].num_batches_tracked == network[1].num_batches_tracked == 4


def test_swa_is_the_equal_mean_of_the_last_epochs_or_of_all_where_there_are_fewer():
    assert [build_average("swa", one_weight(0.0), epochs, 0.9, 10).first for epochs in (30, 11, 10, 3)] == [21, 2, 1, 1]
    network = one_weight(99.0)  # what training starts from does not count
    average = build_average("swa", network, epochs=3, ema_decay=0.9, swa_last=10)
    for value, expected in ((1.0, 1.0), (2.0, 1.5), (6.0, 3.0)):
        moved(network, value)
        average.join()
        assert average.model.weight.item() == pytest.approx(expected)


@pytest.mark.parametrize("kind", ["ema", "swa"])
def test_an_average_that_goes_on_from_its_file_is_bit_by_bit_what_it_would_have_been(kind, tmp_path):
    network = with_statistics()
    average = build_average(kind, network, epochs=9, ema_decay=0.999, swa_last=9)
    for step in range(5):
        trained(network)
        average.join()
        if step == 2:
            torch.save({"model": network.state_dict(), "average": average.state()}, tmp_path / "last.pt")
            drawn = torch.get_rng_state()
    state = torch.load(tmp_path / "last.pt", weights_only=True)
    again = with_statistics(seed=1)
    resumed = build_average(kind, again, epochs=9, ema_decay=0.999, swa_last=9)
    again.load_state_dict(state["model"])
    resumed.restore(state["average"])
    torch.set_rng_state(drawn)
    for _ in range(2):
        trained(again)
        resumed.join()
    assert_equal(resumed.state(), average.state(), kind)


def test_the_photos_for_statistics_are_the_same_each_time_mixed_and_at_most_4096():
    rows = np.arange(10_000, 20_000)
    batches = photos_for_statistics(rows, 300, seed=3)
    assert [len(batch) for batch in batches] == [316] * 1 + [315] * 12
    joined = np.concatenate(batches)
    assert len(set(joined)) == 4096
    assert set(joined) <= set(rows)
    assert all(abs(batch.mean() - 15_000) < 1000 for batch in batches)  # in order, the first would hold 10 000 … 10 315
    for batch, again in zip(batches, photos_for_statistics(rows, 300, seed=3), strict=True):
        np.testing.assert_array_equal(batch, again)
    assert [len(batch) for batch in photos_for_statistics(rows[:7], 64, seed=3)] == [7]
    assert [len(batch) for batch in photos_for_statistics(rows[:127], 64, seed=3)] == [127]  # none is a lone photo


@pytest.fixture
def small(quick, monkeypatch):
    return plant_small(quick, monkeypatch)


@pytest.fixture
def watched(monkeypatch):
    """Of each epoch of a trial: the weights in training, those that validated, and the average's photos and rows."""
    seen = SimpleNamespace(model=[], judged=[], rows=[], photos=[], learner=None, train=None, validation=None)
    predict, take, train = learner.Learner.predict, learner.take_statistics, learner.Learner.train

    def predicted(self, feed, rows, what):
        if what == "validating":
            seen.learner, seen.validation = self, rows
            seen.model.append(copy.deepcopy(self.model.state_dict()))
            seen.judged.append(copy.deepcopy(self.judged.state_dict()))
        return predict(self, feed, rows, what)

    def taken(model, photos, precision, team):
        batches = list(photos)
        seen.photos.append(batches)
        take(model, iter(batches), precision, team)

    def trained(self, feed, rows, *given):
        seen.train, seen.feed = rows, feed
        return train(self, feed, rows, *given)

    def rows_for(*given):
        seen.rows.append(photos_for_statistics(*given))
        return seen.rows[-1]

    monkeypatch.setattr(learner.Learner, "predict", predicted)
    monkeypatch.setattr(learner.Learner, "train", trained)
    monkeypatch.setattr(learner, "take_statistics", taken)
    monkeypatch.setattr(learner, "photos_for_statistics", rows_for)
    return seen


def test_swa_of_a_trial_is_the_mean_of_its_last_epochs_and_validates(drawn, small, watched, capsys):
    folder = run_trial(drawn, small, "--epochs", 4, "--averaging", "swa", "--swa_last", 2)
    for epoch in (0, 1):
        assert_equal(watched.judged[epoch], watched.model[epoch], f"epoch {epoch}")
    for name in ("trunk.0.weight", "trunk.1.bias", "head.2.weight"):
        assert torch.equal(watched.judged[2][name], watched.model[2][name])
        mean = (watched.model[2][name] + watched.model[3][name]) / 2
        torch.testing.assert_close(watched.judged[3][name], mean)
        assert not torch.equal(watched.model[3][name], watched.model[2][name])
    assert "swa: epochs in the mean that validates: 2" in capsys.readouterr().out
    best = max(history(folder), key=lambda row: row["val_accuracy"])["epoch"]
    assert_equal(torch.load(folder / "best.pt", weights_only=True), watched.judged[best - 1], "best.pt")
    last = torch.load(folder / "last.pt", weights_only=True)
    assert_equal(last["model"], watched.model[3], "last.pt")
    assert_equal(last["average"], {"count": 2, "model": watched.judged[3]}, "last.pt")


def test_the_statistics_of_swa_come_from_training_photos_alone_as_a_prediction_sees_them(drawn, small, watched):
    run_trial(drawn, small, "--epochs", 3, "--averaging", "swa", "--swa_last", 2, "--batch_size", 20)
    assert len(watched.photos) == 2
    rows = np.concatenate(watched.rows[0])
    assert sorted(rows) == sorted(watched.train)
    assert not set(rows) & set(watched.validation)
    normalise, resize = watched.learner.normalise, watched.learner.config.resize
    for batches in watched.photos:
        stored = watched.feed.store.batch(rows)
        torch.testing.assert_close(torch.cat(batches), normalise(evaluation_view(stored, resize)))
    network = copy.deepcopy(watched.learner.model)
    network.load_state_dict(watched.judged[2])
    torch.optim.swa_utils.update_bn(watched.photos[1], network)  # here no dropout is before the statistics
    for name, tensor in network.state_dict().items():
        torch.testing.assert_close(tensor, watched.judged[2][name], msg=name)


def test_ema_of_a_trial_validates_from_its_first_epoch(drawn, small, watched):
    folder = run_trial(drawn, small, "--averaging", "ema", "--ema_decay", 0.9)
    for model, judged in zip(watched.model, watched.judged, strict=True):
        assert not torch.equal(judged["head.2.weight"], model["head.2.weight"])
        assert not torch.equal(judged["trunk.1.running_mean"], model["trunk.1.running_mean"])
    assert watched.photos == []
    best = max(history(folder), key=lambda row: row["val_accuracy"])["epoch"]
    assert_equal(torch.load(folder / "best.pt", weights_only=True), watched.judged[best - 1], "best.pt")


@pytest.mark.parametrize("words", ["--averaging ema", "--averaging swa --swa_last 1"])
def test_the_model_in_training_is_that_of_a_trial_without_an_average(drawn, small, words):
    plain, with_average = (
        torch.load(run_trial(drawn, small, *given, "--epochs", 3) / "last.pt", weights_only=True)
        for given in ((), words.split())
    )
    for name in ("model", "optimizer", "generator", "torch_generator"):
        assert_equal(with_average[name], plain[name], name)


@pytest.mark.parametrize("words", ["--averaging ema", "--averaging swa --swa_last 2"])
def test_inference_predicts_with_exactly_what_the_trial_predicted_with(drawn, small, words):
    folder = run_trial(drawn, small, "--epochs", 3, "--lr", 0.1, *words.split())
    before = pd.read_csv(folder / "soft.csv")
    (folder / "soft.csv").unlink()
    inference.main([str(folder)])
    pd.testing.assert_frame_equal(pd.read_csv(folder / "soft.csv"), before)


def test_loaded_weights_predict_although_there_is_an_average(drawn, small, watched, tmp_path):
    run_trial(drawn, small, "--averaging", "ema")
    zeros = {name: torch.zeros_like(tensor) for name, tensor in watched.judged[0].items()}
    torch.save(zeros, tmp_path / "zeros.pt")
    watched.learner.load(tmp_path / "zeros.pt")
    probabilities = watched.learner.predict(watched.feed, watched.validation, "validating")
    np.testing.assert_allclose(probabilities, 1 / probabilities.shape[1])


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@pytest.mark.parametrize("kind", ["ema", "swa"])
def test_an_average_is_in_float32_whatever_the_model_computes_with(drawn, small, watched, precision, kind):
    run_trial(drawn, small, "--averaging", kind, "--precision", precision)
    assert watched.learner.average.count == (2 if kind == "swa" else 8)
    for judged in watched.judged:
        assert all(tensor.dtype == torch.float32 for tensor in judged.values() if tensor.is_floating_point())
        assert all(tensor.isfinite().all() for tensor in judged.values())


@pytest.mark.slow
@pytest.mark.parametrize("words", ["--averaging ema --ema_decay 0", "--averaging swa --swa_last 1"])
def test_the_average_follows_a_compiled_model(drawn, small, watched, words):
    """An average of one model is that model."""
    folder = run_trial(drawn, small, *words.split(), "--compile", "true")
    for name in ("trunk.0.weight", "head.2.weight"):
        assert torch.equal(watched.judged[1][name], watched.model[1][name])
        assert not torch.equal(watched.model[0][name], watched.model[1][name])
    assert torch.load(folder / "best.pt", weights_only=True).keys() == watched.model[0].keys()
