"""Trials whose batches do not fit into the memory go on in pieces, whose gradients are the whole batch's."""

import copy
import itertools
import re
import resource
from pathlib import Path

import pytest
import torch
from kills import Small, assert_as_never_stopped, ended, fork, go_on, killed_at, only, plant_small
from test_engine import stepper
from torch import nn
from walks import failure, history, load_json, run_trial

import learner
from engine import split_count
from loss import CRITERIA
from memory import most_at_once
from model import MODELS


@pytest.fixture
def small(quick, monkeypatch):
    return plant_small(quick, monkeypatch)


@pytest.mark.parametrize("name", sorted(set(CRITERIA.entries) - {"f1"}))
@pytest.mark.parametrize("micro_batch", [2, 4, 5, 12, 100])
def test_pieces_give_the_gradient_and_the_loss_of_the_whole_batch(name, micro_batch):
    generator = torch.Generator().manual_seed(1)
    photos = torch.randn(13, 7, generator=generator)
    target = torch.eye(5)[torch.randint(5, (13,), generator=generator)]
    knobs = {"focal_gamma": 2.0, "smoothing": 0.1, "weights": torch.tensor([0.5, 2.0, 1.0, 0.7, 1.3])}
    knobs["exclusive"] = True
    criterion = CRITERIA.build(name, knobs)
    whole = nn.Sequential(nn.Linear(7, 6), nn.Tanh(), nn.Linear(6, 5))
    parts = copy.deepcopy(whole)
    expected = criterion(whole(photos), target)
    expected.backward()
    seen = []
    parts.register_forward_hook(lambda module, given, output: seen.append(len(output)))
    whole_step = stepper(parts, torch.optim.SGD(parts.parameters()), criterion)
    loss = whole_step.gradients(photos, target, [13], min(micro_batch, 13))
    torch.testing.assert_close(loss, expected.detach(), rtol=1e-6, atol=1e-6)
    for part, wanted in zip(parts.parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(part.grad, wanted.grad, rtol=0, atol=1e-6)
    assert sum(seen) == 13
    assert max(seen) <= micro_batch or micro_batch == 2
    assert min(seen) >= 2  # a lone photo is nothing to normalise a batch by


def test_no_piece_is_a_lone_photo_unless_it_is_asked_for():
    assert [split_count(count, min(count, 4)) for count in (1, 2, 3, 4, 5, 8, 9)] == [1, 1, 1, 1, 2, 2, 3]
    assert [split_count(count, min(count, 2)) for count in (1, 2, 3, 4, 5)] == [1, 1, 1, 2, 2]
    assert split_count(5, 1) == 5
    assert split_count(64, 64) == 1


def test_accumulation_lets_a_batch_at_once_pass_or_a_smaller_micro_batch():
    assert most_at_once(batch_size=64, accumulation=1, micro_batch=0, processes=1) == 0
    assert most_at_once(batch_size=64, accumulation=1, micro_batch=16, processes=2) == 16
    assert most_at_once(batch_size=64, accumulation=4, micro_batch=0, processes=1) == 64
    assert most_at_once(batch_size=64, accumulation=4, micro_batch=0, processes=3) == 22
    assert most_at_once(batch_size=64, accumulation=4, micro_batch=16, processes=1) == 16
    assert most_at_once(batch_size=64, accumulation=4, micro_batch=100, processes=1) == 64


def test_accumulated_batches_make_the_step_of_the_large_batch(drawn, quick, monkeypatch):
    class Plain(nn.Sequential):
        """Without dropout and batch normalisation, which would tell the pieces."""

        def __init__(self, out_features):
            super().__init__(nn.Conv2d(3, 8, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(968, out_features))

        def forward(self, photos):
            if self.training:
                passes.append(len(photos))
            return super().forward(photos)

    monkeypatch.setitem(MODELS.entries, "plain", Plain)
    last = {}
    for batch_size, accumulation in ((28, 1), (7, 4)):
        passes = []
        given = ("--batch_size", batch_size, "--accumulation", accumulation, "--name", f"of{batch_size}")
        folder = run_trial(drawn, quick, "--model", "plain", "--optimizer", "sgd", "--augmentation", "flip", *given)
        last[batch_size] = torch.load(folder / "last.pt", weights_only=True)["model"]
        assert max(passes) == batch_size
        assert len(passes) == 2 * 4 * accumulation  # epochs, steps (28 of 112 photos each), pieces
    for name, tensor in last[28].items():
        torch.testing.assert_close(last[7][name], tensor, rtol=1e-4, atol=1e-6, msg=name)


@pytest.fixture
def little_memory(monkeypatch):
    """A memory that is full when more than `fits` photos are trained on at once, from the forward `since` on."""

    def plant(fits, since=0, error=None):
        forwards = itertools.count()

        class Full(Small):
            def forward(self, photos):
                if next(forwards) >= since and len(photos) > fits:
                    raise error or torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
                return super().forward(photos)

        monkeypatch.setitem(MODELS.entries, "small", Full)

    return plant


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        MemoryError(),
    ],
)
def test_a_trial_whose_batch_does_not_fit_goes_on_in_pieces(drawn, small, little_memory, capsys, error):
    little_memory(8, error=error)
    folder = run_trial(drawn, small, "--valid_batch_size", 32, "--batch_size", 28)
    said = capsys.readouterr().out
    assert re.findall(r"the memory is full while (\w+) .*; going on with at most (\d+) photos", said) == [
        *[("training", "13"), ("training", "7")],
        *[("predicting", "14"), ("predicting", "7")],
    ]
    assert [row["micro_batch"] for row in history(folder)] == [7, 7]
    summary = load_json(folder, "summary.json")
    assert (summary["status"], summary["micro_batch"], len(summary["attempts"])) == ("SUCCEEDED", 7, 1)
    assert load_json(folder, "config.json")["parameters"]["micro_batch"] == 0  # as it was asked for
    twin = run_trial(drawn, small, "--valid_batch_size", 8, "--batch_size", 28, "--micro_batch", 7, "--name", "twin")
    assert (folder / "soft.csv").read_bytes() == (twin / "soft.csv").read_bytes()


def test_pieces_stay_small_after_a_kill(drawn, small, little_memory):
    words = ("--valid_batch_size", 32, "--epochs", 3)
    # an epoch passes 4 batches to train on, one to validate on and one held out; --resize is tried with one before
    little_memory(8, since=1 + 6 + 2)
    twin = run_trial(drawn, small, *words, "--name", "twin")
    first, *others = [row.get("micro_batch") for row in history(twin)]
    assert first is None
    assert others == [6, 6]  # a quarter of 24
    little_memory(8, since=1 + 6 + 2)
    assert killed_at(17, drawn, small, *words)
    assert load_json(only(small, "exp"), "summary.json")["epochs"] == 2
    go_on(drawn, small, *words)
    assert_as_never_stopped(only(small, "exp"), twin)


def test_a_trial_of_which_not_one_photo_fits_fails(drawn, small, little_memory):
    little_memory(0, since=1)
    says = failure(drawn, small)
    assert "even one photo at once; lower --resize or take a smaller --model" in says
    assert load_json(only(small, "exp"), "summary.json")["status"] == "FAILED"


def test_another_error_is_not_tried_again(drawn, small, monkeypatch):
    calls = []
    monkeypatch.setattr(learner, "train_epoch", lambda *given: calls.append(given) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run_trial(drawn, small)
    assert len(calls) == 1


def test_a_memory_that_is_really_full_makes_the_pieces_smaller(drawn, small, monkeypatch):
    class Wide(Small):
        def forward(self, photos):
            torch.empty(len(photos), 2**23)  # 32 MiB a photo: 800 MiB for a batch of 25, 416 for 13
            return super().forward(photos)

    monkeypatch.setitem(MODELS.entries, "small", Wide)

    def work():
        taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + 600 * 2**20, taken + 600 * 2**20))
        run_trial(drawn, small, "--valid_batch_size", 32)

    assert ended(fork(work)) == 0
    summary = load_json(only(small, "exp"), "summary.json")
    assert (summary["status"], summary["micro_batch"]) == ("SUCCEEDED", 13)
