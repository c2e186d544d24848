"""A trial of two processes gives what one process gives, to rounding."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
import torch
from conftest import PROJECT
from walks import alive, failure, history, load_json, run_trial, wait_for

from averaging import build_average
from config import Config
from engine import Stepper, take_statistics
from loss import CRITERIA
from memory import MemoryFullError, Pieces
from model import build_model
from team import Team, join

# neither dropout, whose numbers are each process's own, nor batch normalisation, which enlarges float32's rounding
MODEL = ["--model", "timm/test_convnext", "--resize", "64", "--batch_size", "30", "--valid_batch_size", "11"]
WORDS = [*MODEL, "--optimizer", "SGD", "--lr", "0.05", "--epochs", "2"]
KNOBS = Config(resize=(32, 32), pretrained=False).values()


@pytest.fixture
def options(quick):
    return [*quick[2:]]


def steps(rank, size, port, name, criterion, out):
    """Saves, in float64, the losses of three steps on a batch of 30, the weights and an average of them after these.

    The statistics of the average are those of two batches of the photos, as swa's are taken.
    """
    torch.set_num_threads(1)
    team = Team(rank, size)
    if size > 1:
        store = torch.distributed.TCPStore("127.0.0.1", port, is_master=False)
        join(store, rank, size, torch.device("cpu"))
    torch.manual_seed(0)
    model = build_model(name, 18, KNOBS).double().train()
    weights = torch.linspace(0.5, 2, 18, dtype=torch.float64)
    stepper = Stepper(
        model=team.wrapped(model, torch.device("cpu")),
        criterion=CRITERIA.build(criterion, KNOBS | {"weights": weights, "exclusive": True}),
        optimizer=torch.optim.SGD(model.parameters(), lr=0.1),
        scaler=torch.amp.GradScaler("cpu", enabled=False),
        precision="float32",
        pieces=Pieces(0, "training"),
        team=team,
    )
    photos = torch.rand(30, 3, 32, 32, dtype=torch.float64)
    target = torch.eye(18, dtype=torch.float64)[torch.arange(30) % 18]
    shares = team.shares(30)
    lengths = [share.stop - share.start for share in shares]
    losses = [stepper.step(photos[shares[rank]], target[shares[rank]], lengths) for _ in range(3)]
    average = build_average("ema", model, epochs=1, ema_decay=0.9, swa_last=1).model
    parts = [part[team.shares(15)[rank]] for part in photos.split(15)]
    take_statistics(average, iter(parts), "float32", team)
    tensors = [torch.stack(losses), *model.state_dict().values(), *average.state_dict().values()]
    torch.save(tensors, out / f"{rank}of{size}.pt")


@pytest.mark.slow
@pytest.mark.parametrize(("size", "name", "criterion"), [(2, "resnet18", "cross_entropy"), (3, "timm/resnet10t", "f1")])
def test_the_steps_of_several_processes_are_those_of_one_in_float64(size, name, criterion, tmp_path):
    steps(0, 1, 0, name, criterion, tmp_path)
    store = torch.distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    torch.multiprocessing.spawn(steps, (size, store.port, name, criterion, tmp_path), size)
    expected = torch.load(tmp_path / "0of1.pt")
    for rank in range(size):
        for tensor, other in zip(expected, torch.load(tmp_path / f"{rank}of{size}.pt"), strict=True):
            torch.testing.assert_close(other, tensor, rtol=1e-5, atol=1e-6)  # the logits pass in float32


def probabilities(folder, name):
    table = pd.read_csv(folder / name)
    return table[[column for column in table if column.isdigit()]].to_numpy()


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        "--augmentation FlipAugmentation --criterion f1",
        "--augmentation AffineAugmentation --mixup 0.4 --micro_batch 8 --class_weights balanced --views flip",
        "--averaging ema --accumulation 2 --schedule plateau --plateau_patience 0",
        "--averaging swa --normalisation photo --views dihedral4",
    ],
)
def test_two_processes_give_the_result_of_one(drawn, options, words):
    one, two = (
        run_trial(drawn, options, *WORDS, *words.split(), "--processes", count, "--name", f"of{count}")
        for count in (1, 2)
    )
    for row, other in zip(history(one), history(two), strict=True):
        assert row["train_loss"] == pytest.approx(other["train_loss"], rel=2e-4)
    for file in ("last.pt", "best.pt"):
        weights, others = (torch.load(folder / file, weights_only=True) for folder in (one, two))
        for name, tensor in weights.get("model", weights).items():
            torch.testing.assert_close(others.get("model", others)[name], tensor, rtol=1e-2, atol=1e-3, msg=name)
    for name in ("val_soft.csv", "soft.csv"):
        np.testing.assert_allclose(probabilities(two, name), probabilities(one, name), atol=2e-3)
        assert list(pd.read_csv(two / name).iloc[:, 0]) == list(pd.read_csv(one / name).iloc[:, 0])


@pytest.mark.slow
def test_a_trial_of_two_processes_goes_on_after_a_kill_as_if_it_had_not_been(drawn, options):
    dropout = ["--model", "squeezenet1_1", "--resize", "32", "--batch_size", "26"]  # shares of unlike length
    words = [*dropout, "--epochs", "2", "--averaging", "ema", "--processes", "2", *options]
    with start(drawn, words) as trial:
        next(line for line in trial.stdout if "epoch 1/2 done" in line)
        trial.kill()
    with start(drawn, [*words, "--resume", "auto"]) as resumed:
        assert "going on after epoch 1 of 2" in resumed.stdout.read()
    assert resumed.returncode == 0
    whole = run_trial(drawn, words, "--name", "whole")
    (folder,) = (whole.parent.parent / "exp").iterdir()
    for row, other in zip(history(whole), history(folder), strict=True):
        assert row["train_loss"] == pytest.approx(other["train_loss"], rel=1e-5)
    np.testing.assert_allclose(probabilities(folder, "soft.csv"), probabilities(whole, "soft.csv"), atol=1e-4)


@pytest.mark.slow
def test_followers_end_with_a_trial_that_is_killed(drawn, options):
    with start(drawn, [*options, *WORDS, "--processes", "2", "--epochs", "500"]) as trial:
        next(line for line in trial.stdout if "epoch 1/500 done" in line)
        (follower,) = followers(trial.pid)
        trial.kill()
    wait_for(lambda: not alive(follower), 10)


@pytest.mark.slow
def test_a_trial_ends_with_a_follower_that_is_killed(drawn, options):
    said = []
    with start(drawn, [*options, *WORDS, "--processes", "2", "--epochs", "500"]) as trial:
        for line in trial.stdout:
            said.append(line)
            if "epoch 1/500 done" in line:
                (follower,) = followers(trial.pid)
                os.kill(follower, signal.SIGKILL)
    assert trial.returncode not in (0, None)
    assert f"error: process {follower} of this trial ended with -9" in said[-1]
    (folder,) = (Path(options[-1]) / "exp").iterdir()
    assert load_json(folder, "summary.json")["status"] == "FAILED"


def test_a_full_memory_in_a_team_is_told_and_not_tried_again():
    def work(most):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    with pytest.raises(MemoryFullError, match=r"full while training \(CUDA .* pass a --micro_batch of less than 16"):
        Pieces(0, "training").fitting(16, work, only_once=True)


def start(root, words):
    command = [sys.executable, "baseline/train.py", "--data_dir", root, *words]
    return subprocess.Popen(
        [str(word) for word in command], cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def followers(pid):
    return [child.pid for child in psutil.Process(pid).children() if "follower.py" in " ".join(child.cmdline())]


@pytest.mark.parametrize(("count", "size"), [(7, 2), (30, 4), (8, 4), (64, 3)])
def test_shares_cover_the_batch_begin_at_even_places_and_are_nearly_equal(count, size):
    shares = Team(0, size).shares(count)
    assert [row for share in shares for row in range(count)[share]] == list(range(count))
    assert all(share.start % 2 == 0 for share in shares)
    lengths = [share.stop - share.start for share in shares]
    assert max(lengths) - min(lengths) <= 3


def test_a_batch_too_small_for_the_processes_is_refused(drawn, options):
    assert "--processes 20: a batch has 28 photos, and each process needs 2" in failure(
        drawn, options, "--model", "resnet18", "--processes", 20, "--batch_size", 30
    )
    # of 112 photos a step, 14 pass the model at once
    assert "--processes 8: a batch has 14 photos, and each process needs 2" in failure(
        drawn, options, "--model", "resnet18", "--processes", 8, "--batch_size", 14, "--accumulation", 8
    )
