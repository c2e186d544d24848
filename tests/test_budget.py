"""Trials that end in order when their time is over; the clock is a planted one."""

from types import SimpleNamespace

import pandas as pd
import pytest
from kills import plant_small
from walks import history, load_json, newest, run_trial

import budget
import crossval
import learner
import run
import train
from trial import Trial


@pytest.fixture
def small(quick, monkeypatch):
    return plant_small(quick, monkeypatch)


@pytest.fixture
def clock(monkeypatch):
    """A clock that goes only where something is trained (minutes of each epoch) or predicted (half a minute)."""
    now = SimpleNamespace(seconds=1000.0, minutes={})
    time = SimpleNamespace(monotonic=lambda: now.seconds, sleep=lambda seconds: None)
    for module in (budget, run):
        monkeypatch.setattr(module, "time", time)
    train_epoch, predict = learner.Learner.train, learner.Learner.predict

    def slow(self, feed, rows, epoch, past):
        now.seconds += 60 * now.minutes.get(epoch, 1)
        return train_epoch(self, feed, rows, epoch, past)

    def looked(self, feed, rows, what):
        now.seconds += 30 if what == "validating" else 0
        return predict(self, feed, rows, what)

    monkeypatch.setattr(learner.Learner, "train", slow)
    monkeypatch.setattr(learner.Learner, "predict", looked)
    return now


@pytest.fixture
def final(monkeypatch):
    told = []
    monkeypatch.setattr(Trial, "finish", lambda self, metrics: told.append(metrics))
    return told


def test_a_trial_ends_in_order_before_an_epoch_that_would_pass_its_time(drawn, small, clock, final, capsys):
    """Epochs of a minute and a half, validation included: four end within 6 minutes and a fifth would not."""
    folder = run_trial(drawn, small, "--epochs", 30, "--max_trial_minutes", 6.5)
    summary = load_json(folder, "summary.json")
    assert (summary["status"], summary["epochs"]) == ("SUCCEEDED", 4)
    assert summary["budget"] == "max_trial_minutes 6.5: ended after epoch 4 of 30"
    assert "max_trial_minutes 6.5: ended after epoch 4 of 30\n" in capsys.readouterr().out
    assert final[0]["default"] == max(row["val_accuracy"] for row in history(folder))
    assert len(pd.read_csv(folder / "hard.csv")) == 35


def test_the_report_of_the_epoch_that_ends_it_says_that_it_is_the_last(drawn, small, clock, monkeypatch):
    """So that no assessor stops what is about to end."""
    told = []
    monkeypatch.setattr(Trial, "report", lambda self, metrics, **step: told.append((step["epoch"], step["of"])))
    run_trial(drawn, small, "--epochs", 30, "--max_trial_minutes", 6.5)
    assert told == [(1, 30), (2, 30), (3, 30), (4, 4)]


def test_the_longest_epoch_so_far_says_how_long_the_next_may_take(drawn, small, clock):
    clock.minutes = {2: 3}
    folder = run_trial(drawn, small, "--epochs", 30, "--max_trial_minutes", 9.9)
    assert len(history(folder)) == 3  # at 6.5 minutes; a fourth might end at 10


def test_the_first_epoch_is_trained_however_long_it_takes(drawn, small, clock):
    clock.minutes = {1: 100}
    folder = run_trial(drawn, small, "--epochs", 3, "--max_trial_minutes", 0.1)
    assert load_json(folder, "summary.json")["budget"] == "max_trial_minutes 0.1: ended after epoch 1 of 3"
    assert len(history(folder)) == 1


@pytest.mark.parametrize("words", [(), ("--max_trial_minutes", 100)])
def test_a_trial_with_time_for_all_its_epochs_says_nothing_of_it(drawn, small, clock, words):
    summary = load_json(run_trial(drawn, small, *words), "summary.json")
    assert summary["epochs"] == 2
    assert "budget" not in summary


def test_the_time_counts_over_all_attempts(drawn, small, clock, monkeypatch):
    """Stopped in its fourth epoch, at 4.5 minutes and a lost one: 5.5 minutes were spent, and one epoch fits."""
    words = ("--epochs", 30, "--max_trial_minutes", 7)
    slow = learner.Learner.train

    def stopped(self, feed, rows, epoch, past):
        if epoch == 4:
            clock.seconds += 60
            raise KeyboardInterrupt
        return slow(self, feed, rows, epoch, past)

    with monkeypatch.context() as patched:
        patched.setattr(train, "die_of_interrupt", lambda: None)
        patched.setattr(learner.Learner, "train", stopped)
        run_trial(drawn, small, *words)
    clock.seconds += 3600  # between the attempts, which costs nothing
    train.main(["--resume", str(newest(small))])
    summary = load_json(newest(small), "summary.json")
    assert summary["budget"] == "max_trial_minutes 7: ended after epoch 4 of 30"
    assert [attempt["ended"] for attempt in summary["attempts"]] == ["INTERRUPTED", "SUCCEEDED"]


def test_each_of_all_folds_has_its_share(drawn, small, clock, monkeypatch, capsys):
    """9 minutes for 2 folds; the first epoch of the second is a long one in its turn."""
    begun = []

    def longer(config, fold, count):
        begun.append(fold)
        clock.minutes = {1: 2} if fold else {}
        return share(config, fold, count)

    share = crossval.config_of
    monkeypatch.setattr(crossval, "config_of", longer)
    folder = run_trial(drawn, small, "--folds", 2, "--fold", "all", "--epochs", 9, "--max_trial_minutes", 9)
    assert begun == [0, 1]
    summaries = [load_json(folder / f"fold-{fold}", "summary.json") for fold in (0, 1)]
    assert [summary["budget"] for summary in summaries] == [
        "max_trial_minutes 4.5: ended after epoch 3 of 9",
        "max_trial_minutes 4.5: ended after epoch 1 of 9",
    ]
    summary = load_json(folder, "summary.json")
    assert summary["status"] == "SUCCEEDED"
    assert summary["budget"] == "max_trial_minutes 9: folds ended after epochs 3, 1 of 9"
    assert [row["epoch"] for row in history(folder)] == [1]
    assert "history.jsonl has the epochs that all of them have" in capsys.readouterr().out
