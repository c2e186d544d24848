import json
import os
import threading
from pathlib import Path

import pytest
import torch

import run
from run import atomic, create_run, open_run
from trial import Trial

ENDING = Trial("", "", {}).ending


def test_a_second_trial_of_the_same_name_gets_its_own_folder(tmp_path):
    names = [create_run(tmp_path, "exp", "now").path.name for _ in range(3)]
    assert names == ["now", "now-2", "now-3"]


def status(folder):
    return json.loads((folder / "summary.json").read_text())


def test_the_summary_tells_how_the_trial_ended(tmp_path):
    trial = create_run(tmp_path, "exp", "a")
    with trial.recording(ENDING):
        assert status(trial.path)["status"] == "RUNNING"
    assert status(trial.path)["status"] == "SUCCEEDED"


@pytest.mark.parametrize(
    ("error", "word", "says"),
    [
        (KeyboardInterrupt(), "INTERRUPTED", "told to stop"),
        (ValueError("bad photo"), "FAILED", "bad photo"),
        (ZeroDivisionError("oops"), "FAILED", "ZeroDivisionError: oops"),
    ],
)
def test_the_summary_tells_why_the_trial_ended(tmp_path, error, word, says):
    trial = create_run(tmp_path, "exp", "a")
    with pytest.raises(type(error)), trial.recording(ENDING):
        raise error
    assert (status(trial.path)["status"], status(trial.path)["error"]) == (word, says)
    assert (trial.path / "traceback.txt").is_file() == (word == "FAILED")


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "a.txt"
    atomic(target, lambda file: file.write_text("old"))

    def fail(file):
        file.write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        atomic(target, fail)
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert target.read_text() == "old"


def test_threads_that_write_one_file_at_once_all_succeed(tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    target, together = tmp_path / "a.txt", threading.Barrier(8)

    def write(number):
        def fill(file):
            together.wait(20)
            file.write_text(str(number))
            together.wait(20)

        atomic(target, fill)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert target.read_text() in "01234567"


def test_what_a_killed_write_left_is_cleared_when_the_run_is_opened(tmp_path, monkeypatch):
    trial = create_run(tmp_path, "exp", "a")
    os.close(trial.lock)
    monkeypatch.setattr(Path, "unlink", lambda *given, **more: None)  # as if killed before it
    monkeypatch.setattr(run.os, "replace", lambda *given: None)
    atomic(trial.path / "a.txt", lambda file: file.write_text("half"))
    monkeypatch.undo()
    assert any(path.name.startswith(".a.txt.") for path in trial.path.iterdir())
    os.close(run.hold_run(trial.path).lock)
    assert not any("a.txt" in path.name for path in trial.path.iterdir())


def test_an_interrupt_before_the_move_leaves_the_old_file(tmp_path, monkeypatch):
    target = tmp_path / "a.txt"
    target.write_text("old")

    def interrupted(*given):
        raise KeyboardInterrupt

    monkeypatch.setattr(run.os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        atomic(target, lambda file: file.write_text("new"))
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


def test_history_has_a_line_for_each_epoch(tmp_path):
    trial = create_run(tmp_path, "exp", "a")
    trial.history = [{"epoch": 1}, {"epoch": 2}]
    trial.write_history()
    lines = (trial.path / "history.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [{"epoch": 1}, {"epoch": 2}]


def test_weights_load_with_weights_only(tmp_path):
    trial = create_run(tmp_path, "exp", "a")
    trial.save("best.pt", {"w": torch.ones(2)})
    assert torch.load(trial.path / "best.pt", weights_only=True)["w"].sum() == 2


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(ValueError, match="is no run folder"):
        open_run(tmp_path)
