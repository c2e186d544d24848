"""Trials that are killed or stopped go on, and leave what a trial never stopped leaves."""

import itertools
import json
import os
import random
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from kills import (
    assert_as_never_stopped,
    assert_equal,
    check_every_file_is_whole,
    ended,
    folder_of,
    fork,
    go_on,
    killed_at,
    only,
    plant_small,
)
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn
from walks import failure, history, load_json, run_trial, wait_for

import inference
import learner
import run
import train
from optim import SCHEDULES, UNFIT, build_optimizer
from sources import load
from trial import Trial

KNOBS = {"lr": 0.01, "momentum": 0.9, "nesterov": False, "weight_decay": 1e-4}
OPTIMIZERS = sorted(
    name for name, kind in vars(torch.optim).items()
    if isinstance(kind, type) and issubclass(kind, torch.optim.Optimizer) and name not in {"Optimizer", *UNFIT}
)  # fmt: skip


@pytest.fixture
def small(quick, monkeypatch):
    return plant_small(quick, monkeypatch)


@pytest.fixture
def stop(monkeypatch):
    """Tells a trial to stop as Ctrl-C does before its epoch `epoch`, in this process, which survives it."""

    def main(epoch, root, options, *words):
        original = learner.Learner.train

        def interrupted(self, store, rows, number, *given):
            if number == epoch:
                raise KeyboardInterrupt
            return original(self, store, rows, number, *given)

        with monkeypatch.context() as patched:
            patched.setattr(train, "die_of_interrupt", lambda: None)
            patched.setattr(learner.Learner, "train", interrupted)
            train.main(["--data_dir", str(root), *options, *map(str, words)])

    return main


def test_killed_at_any_write_it_ends_as_if_never_stopped(drawn, small):
    twin = run_trial(drawn, small, "--name", "twin")
    for write in itertools.count(1):
        name = f"killed{write}"
        was_killed = killed_at(write, drawn, small, "--name", name)
        folder = only(small, name)
        check_every_file_is_whole(folder)
        begun = (folder / "config.json").is_file()
        if not was_killed:
            break
        assert (Path(small[-1]) / name).is_dir()
        go_on(drawn, small, "--name", name)
        assert_as_never_stopped(folder_of(small, name), twin, f"killed at write {write}:")
        if begun:
            attempts = load_json(folder, "summary.json")["attempts"]
            assert [attempt["ended"] for attempt in attempts] == ["killed", "SUCCEEDED"]
    assert write > 15  # of 2 epochs; the last one ended before it


@pytest.mark.parametrize("seed", range(3))
def test_killed_at_a_random_moment_it_ends_as_if_never_stopped(drawn, small, seed):
    words = ("--epochs", 4, "--lr", 0.1)  # the third is the best
    began = time.monotonic()
    twin = run_trial(drawn, small, *words, "--name", "twin")
    moment = random.Random(seed).uniform(0, time.monotonic() - began)
    process = fork(lambda: run_trial(drawn, small, *words, "--name", "killed"))
    time.sleep(moment)
    os.kill(process, signal.SIGKILL)
    ended(process)
    for folder in Path(small[-1]).glob("killed/*"):
        check_every_file_is_whole(folder)
    go_on(drawn, small, *words, "--name", "killed")
    assert_as_never_stopped(folder_of(small, "killed"), twin, f"killed after {moment:.2f} s:")


@pytest.mark.parametrize("epoch", [2, 3, 4])
@pytest.mark.parametrize(
    "words",
    [
        "--averaging ema",
        "--averaging swa --swa_last 2",
        "--averaging swa --precision bf16 --accumulation 3 --batch_size 9",
        "--averaging ema --precision fp16 --optimizer sgd --nesterov true --normalisation photo",
    ],
)
def test_a_trial_with_an_average_goes_on_bit_by_bit_wherever_it_was_stopped(drawn, small, stop, words, epoch):
    words = (*words.split(), "--epochs", 4, "--lr", 0.05)
    twin = run_trial(drawn, small, *words, "--name", "twin")
    stop(epoch, drawn, small, *words)
    assert "average" in torch.load(only(small, "exp") / "last.pt", weights_only=True)
    go_on(drawn, small, *words)
    assert_as_never_stopped(folder_of(small, "exp"), twin, words)


@pytest.mark.parametrize("averaging", ["ema", "swa"])
def test_killed_between_the_files_of_an_epoch_best_pt_is_still_the_average(drawn, small, averaging):
    words = ("--averaging", averaging, "--swa_last", 1)
    twin = run_trial(drawn, small, *words, "--name", "twin")
    for write in range(5, 20, 2):
        if not killed_at(write, drawn, small, *words, "--name", f"killed{write}"):
            break
        go_on(drawn, small, *words, "--name", f"killed{write}")
        assert_as_never_stopped(folder_of(small, f"killed{write}"), twin, f"killed at write {write}:")


@pytest.mark.parametrize("epoch", [2, 4, 6])
def test_a_learning_rate_that_waits_for_a_plateau_goes_on_as_if_never_stopped(drawn, small, stop, epoch):
    words = ("--schedule", "plateau", "--plateau_patience", 0, "--lr_decay", 0.5, "--epochs", 6)
    twin = run_trial(drawn, small, *words, "--name", "twin")
    past = [row["val_accuracy"] for row in history(twin)]
    factor = SCHEDULES.build("plateau", {"lr_decay": 0.5, "plateau_patience": 0})
    assert [row["lr"] for row in history(twin)] == [0.01 * factor(done, past[:done]) for done in range(6)]
    assert history(twin)[-1]["lr"] < 0.01
    stop(epoch, drawn, small, *words)
    go_on(drawn, small, *words)
    assert_as_never_stopped(folder_of(small, "exp"), twin)


def test_stopped_and_failed_trials_go_on_in_their_folder_by_its_path(drawn, small, stop, monkeypatch, capsys):
    words = ("--epochs", 3)
    twin = run_trial(drawn, small, *words, "--name", "twin")
    stop(3, drawn, small, *words, "--name", "a")
    folder = only(small, "a")
    summary = load_json(folder, "summary.json")
    assert (summary["status"], summary["error"], summary["epochs"]) == ("INTERRUPTED", "told to stop", 2)
    with monkeypatch.context() as patched:
        patched.setattr(learner, "train_epoch", lambda *given: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            train.main(["--resume", str(folder)])
    assert (folder / "traceback.txt").is_file()
    train.main(["--resume", str(folder)])  # its config.json gives every parameter, the data root too
    assert f"run folder: {folder}" in capsys.readouterr().out
    assert not (folder / "traceback.txt").exists()
    assert "error" not in load_json(folder, "summary.json")
    assert_as_never_stopped(folder, twin)
    attempts = load_json(folder, "summary.json")["attempts"]
    assert [(attempt["from_epoch"], attempt["ended"]) for attempt in attempts] == [
        (0, "INTERRUPTED"),
        (2, "FAILED"),
        (2, "SUCCEEDED"),
    ]
    assert all(attempt["host"] and attempt["started"][:2] == "20" for attempt in attempts)


@pytest.mark.parametrize("write", range(5, 10))
def test_told_to_stop_while_an_epoch_is_written_it_leaves_files_that_belong_together(drawn, small, write, monkeypatch):
    moved, count = os.replace, itertools.count(1)

    def told(*names):
        moved(*names)
        if next(count) == write:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(train, "die_of_interrupt", lambda: None)
    monkeypatch.setattr(os, "replace", told)
    run_trial(drawn, small)
    folder = only(small, "exp")
    summary = load_json(folder, "summary.json")
    assert (summary["status"], summary["epochs"], summary["best_epoch"]) == ("INTERRUPTED", 1, 1)
    last, best = (torch.load(folder / name, weights_only=True) for name in ("last.pt", "best.pt"))
    assert_equal(last["model"], best, "best.pt")
    assert len(history(folder)) == 1
    assert len(pd.read_csv(folder / "val_soft.csv")) == 28


def test_seconds_count_all_attempts(drawn, small, stop):
    stop(2, drawn, small)
    folder = only(small, "exp")
    summary = load_json(folder, "summary.json")
    (folder / "summary.json").write_text(json.dumps(summary | {"seconds": 5000.0}))
    go_on(drawn, small)
    assert load_json(folder, "summary.json")["seconds"] >= 5000


def test_an_option_that_contradicts_the_run_folder_is_refused_with_both_values(drawn, small, stop):
    stop(2, drawn, small)
    folder = only(small, "exp")
    before = (folder / "summary.json").read_bytes()
    assert "lr is 0.01 there and 0.5 now" in failure(drawn, small, "--resume", folder, "--lr", 0.5)
    assert "name is 'exp' there and 'other' now" in failure(drawn, small, "--resume", folder, "--name", "other")
    assert "is no run folder" in failure(drawn, small, "--resume", folder.parent)
    assert (folder / "summary.json").read_bytes() == before
    train.main(["--resume", str(folder), "--lr", "0.01", "--log_interval", "3", "--threads", "1"])
    assert load_json(folder, "summary.json")["status"] == "SUCCEEDED"


def test_auto_takes_the_newest_unfinished_run_with_the_same_parameters_and_data(drawn, data, small, stop, capsys):
    for words in ((), (), ("--lr", 0.02)):
        stop(2, drawn, small, *words)
    stop(2, data, small)
    folders = sorted((Path(small[-1]) / "exp").iterdir(), key=lambda folder: (folder / "summary.json").stat().st_mtime)
    for expected in (folders[1], folders[0]):
        capsys.readouterr()
        go_on(drawn / "train" / "images", small, "--log_interval", 7)  # another spelling, another place
        assert f"run folder: {expected}\n" in capsys.readouterr().out
    go_on(drawn, small)
    output = capsys.readouterr().out
    assert "no unfinished run in" in output
    assert "beginning a new one" in output
    assert len(list((Path(small[-1]) / "exp").iterdir())) == 5


def test_auto_leaves_a_trial_that_the_assessor_stopped(drawn, small, stop, monkeypatch):
    monkeypatch.setattr(train.Trial, "ending", lambda self: ("EARLY_STOPPED", "the assessor stopped it"))
    stop(2, drawn, small)
    folder = only(small, "exp")
    summary = load_json(folder, "summary.json")
    assert (summary["status"], summary["error"]) == ("EARLY_STOPPED", "the assessor stopped it")
    go_on(drawn, small)
    assert load_json(folder, "summary.json") == summary


def test_a_trial_that_takes_a_run_s_parameters_with_config_is_a_new_one(drawn, small, stop):
    stop(2, drawn, small, "--resume", "auto")
    folder = only(small, "exp")
    assert "resume" not in load_json(folder, "config.json")["parameters"]
    train.main(["--config", str(folder)])
    assert len(list(folder.parent.iterdir())) == 2


def test_data_that_changed_since_are_refused(data, small, stop):
    stop(2, data, small)
    photo = next((data / "train" / "images").glob("*/normal.*"))
    photo.write_bytes(photo.read_bytes() + b"0")
    says = failure(data, small, "--resume", "auto")
    assert "is not the data that" in says
    assert "its fingerprint were" in says


@pytest.mark.parametrize("spoilt", [b"no checkpoint", None])
def test_a_checkpoint_that_cannot_be_gone_on_with_is_named(drawn, small, stop, spoilt):
    stop(2, drawn, small)
    file = only(small, "exp") / "last.pt"
    if spoilt:
        file.write_bytes(spoilt)
    else:
        state = torch.load(file, weights_only=True)
        del state["history"]  # as of a version before resuming
        torch.save(state, file)
    assert f"{file} cannot be gone on with" in failure(drawn, small, "--resume", "auto")


def test_two_processes_never_train_in_one_folder(drawn, small, tmp_path, capsys):
    def work():
        learner.Learner.predict = lambda *given: time.sleep(60)
        run_trial(drawn, small)

    process = fork(work)
    try:
        wait_for(lambda: list(Path(small[-1]).glob("exp/*/config.json")), 30)
        folder = only(small, "exp")
        says = f"{folder} is being trained by process {process} on {run.socket.gethostname()}; wait for it or end it"
        assert says in failure(drawn, small, "--resume", folder)
        with pytest.raises(SystemExit, match=f"error: {says}"):
            inference.main([str(folder)])
        go_on(drawn, small)  # takes no folder that another process has
        assert len(list((Path(small[-1]) / "exp").iterdir())) == 2
    finally:
        os.kill(process, signal.SIGKILL)
        ended(process)
    assert load_json(folder, "summary.json")["status"] == "RUNNING"  # with a free lock: its process is gone
    go_on(drawn, small)
    assert load_json(folder, "summary.json")["status"] == "SUCCEEDED"
    assert (folder / ".lock").read_text() == f"{os.getpid()} {run.socket.gethostname()}\n"


@pytest.fixture
def nni(monkeypatch):
    """Makes the next trials those that NNI starts as T of experiment E; returns what they tell it."""
    told = []
    parameters = {"lr": 0.01}
    monkeypatch.setattr(train, "start_trial", lambda: Trial("E", "T", parameters))
    monkeypatch.setattr(Trial, "report", lambda self, metrics, **step: told.append("epoch"))
    monkeypatch.setattr(Trial, "resume", lambda self, epochs: told.append(f"resume {epochs}"))
    monkeypatch.setattr(Trial, "finish", lambda self, metrics: told.append(metrics))
    monkeypatch.setattr(Trial, "ending", lambda self: ("INTERRUPTED", "its experiment was stopped"))
    return told, parameters


@pytest.mark.parametrize("resume", ["", "auto", "elsewhere"])
def test_a_trial_that_nni_starts_again_goes_on_in_its_own_folder(drawn, small, stop, nni, resume):
    told, parameters = nni
    stop(2, drawn, small)
    train.main(["--data_dir", str(drawn), *small, "--resume", resume])
    folder = only(small, "E")
    assert folder.name == "T"
    assert told[:-1] == ["epoch", "resume 1", "epoch"]
    assert told[-1]["default"] == max(row["val_accuracy"] for row in history(folder))
    assert [row["epoch"] for row in history(folder)] == [1, 2]
    parameters["lr"] = 0.5
    assert "lr is 0.01 there and 0.5 now" in failure(drawn, small)


@pytest.mark.parametrize("write", [1, 3, 5])
def test_a_trial_of_nni_that_was_killed_in_its_first_epoch_begins_again_in_place(drawn, small, nni, write):
    assert killed_at(write, drawn, small)
    run_trial(drawn, small)
    folder = only(small, "E")
    assert nni[0][:-1] == ["epoch", "epoch"]
    assert load_json(folder, "summary.json")["status"] == "SUCCEEDED"


def test_a_trial_that_ended_before_nni_knew_tells_its_result_again(drawn, small, nni, monkeypatch):
    told, _ = nni
    folder = run_trial(drawn, small)
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".lock"}
    monkeypatch.setattr(train, "prepare", lambda *given: pytest.fail("it trains again"))
    run_trial(drawn, small)
    assert told == ["epoch", "epoch", told[2], told[2]]
    assert told[2]["default"] == told[2]["accuracy"]
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".lock"} == before


@pytest.mark.parametrize("write", [11, 17])
def test_tensorboard_shows_each_epoch_once(drawn, small, write):
    assert killed_at(write, drawn, small, "--epochs", 3)
    second = int(time.time())
    wait_for(lambda: int(time.time()) > second, 5)  # TensorBoard reads files in the order of the seconds in their names
    go_on(drawn, small, "--epochs", 3)
    folder = folder_of(small, "exp")
    assert len(list(folder.glob("events.*"))) == 2
    shown = EventAccumulator(str(folder), size_guidance={"images": 0}).Reload()
    assert [event.step for event in shown.Scalars("val_accuracy")] == [1, 2, 3]
    assert [event.step for event in shown.Images("validation")] == [1, 2, 3]
    assert len(shown.Scalars("best/accuracy")) == 1


def test_the_time_to_go_counts_the_epochs_of_this_process(monkeypatch, capsys):
    """Epoch 9 of 10, half done, the second since a resume: 1.5 epochs took 30 s, so 1.5 take 30 s."""
    config, _ = load(["--epochs", "10"], {}, {})
    optimizer = build_optimizer("SGD", [nn.Parameter(torch.zeros(1))], KNOBS)
    stepper = SimpleNamespace(optimizer=optimizer)
    resumed = SimpleNamespace(config=config, first=8, started=1000.0, stepper=stepper)
    clock = iter([1020.0, 1030.0])
    monkeypatch.setattr(learner.time, "monotonic", lambda: next(clock))
    learner.Learner.teller(resumed, 9, [[0] * 8] * 4)(2, 0.5)
    assert "epoch 9/10 step 2/4" in (said := capsys.readouterr().out)
    assert said.endswith(" 30 s to go\n")


def test_a_resumed_trial_knows_its_first_epoch(drawn, small, stop, monkeypatch):
    stop(2, drawn, small)
    firsts = []
    teller = learner.Learner.teller
    monkeypatch.setattr(
        learner.Learner, "teller", lambda self, *given: firsts.append(self.first) or teller(self, *given)
    )
    go_on(drawn, small)
    assert firsts == [2]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_goes_on_from_its_file_as_it_would_have(name, tmp_path):
    def step(weight, optimizer, number):
        weight.grad = torch.sin(torch.arange(6.0).reshape(2, 3) + number)
        optimizer.step()

    weight, other = (nn.Parameter(torch.ones(2, 3)) for _ in range(2))
    optimizer, resumed = (build_optimizer(name, [parameter], KNOBS) for parameter in (weight, other))
    step(weight, optimizer, 0)
    torch.save({"weight": weight, "optimizer": optimizer.state_dict()}, tmp_path / "last.pt")
    state = torch.load(tmp_path / "last.pt", weights_only=True)
    other.data.copy_(state["weight"])
    resumed.load_state_dict(state["optimizer"])
    for number in (1, 2):
        step(weight, optimizer, number)
        step(other, resumed, number)
    assert torch.equal(weight, other)
