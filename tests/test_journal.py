"""A search's memory: points that survive, one writer of them, and trials.jsonl, which two processes write."""

import json
import os
import subprocess
import sys

import pytest
from conftest import PROJECT

import ledger
from sampling.journal import Journal, folder_of_search, open_journal, read_curves

POINT = {"lr": 0.1, "optimizer": {"_name": "SGD", "momentum": 0.9}}
PATHS = [str(PROJECT / "search"), str(PROJECT / "baseline")]


@pytest.fixture
def opened(tmp_path):
    """Opens journals of one search, as processes one after the other would."""
    journals = []

    def begin():
        for journal in journals:
            journal.file.close()
        journals.append(Journal(tmp_path / "outputs" / "exp"))
        return journals[-1]

    yield begin
    journals[-1].file.close()


def line(name, status="SUCCEEDED", **entries):
    return {"id": name, "number": 0, "parameters": {}, "status": status, "objective": None, "started": ""} | entries


def python(code, *words):
    code = f"import sys; sys.path[:0] = {PATHS!r}\n{code}"
    return subprocess.Popen([sys.executable, "-c", code, *map(str, words)], stdout=-1, stderr=-1, stdin=-1, text=True)


def test_suggested_points_survive_their_process(opened):
    first = opened()
    assert (first.suggested(), first.ended()) == ({}, {})
    first.suggest(0, POINT)
    first.suggest(1, {"lr": 1.0})
    assert opened().suggested() == {0: POINT, 1: {"lr": 1.0}}


def test_a_point_is_on_the_disk_before_its_trial_begins(opened):
    journal = opened()
    journal.suggest(7, POINT)
    (text,) = (journal.folder / "suggested.jsonl").read_text().splitlines()
    assert json.loads(text) == {"parameter_id": 7, "parameters": POINT}


def test_half_a_line_is_passed_over_and_the_next_one_is_not_lost_with_it(opened):
    journal = opened()
    journal.suggest(0, POINT)
    path = journal.folder / "suggested.jsonl"
    whole = path.read_text()
    path.write_text(whole + whole[:25])  # a power cut
    again = opened()
    assert again.suggested() == {0: POINT}
    again.suggest(2, {"lr": 2})
    again.suggest(3, {"lr": 3})
    assert again.suggested() == opened().suggested() == {0: POINT, 2: {"lr": 2}, 3: {"lr": 3}}


def test_a_second_process_is_refused_as_long_as_the_first_lives(opened, monkeypatch):
    monkeypatch.setattr("sampling.journal.PATIENCE", 0.3)
    folder = opened().folder
    opened().file.close()
    code = "from pathlib import Path; from sampling.journal import Journal; j = Journal(Path(sys.argv[1]))\n"
    other = python(code + "print('here', flush=True); sys.stdin.read()", folder)
    assert other.stdout.readline() == "here\n"
    with pytest.raises(RuntimeError) as error:
        Journal(folder)
    assert str(error.value) == (
        f"{folder / 'suggested.jsonl'} is being written by another search; end that (nnictl list, nnictl stop ID)"
    )
    other.kill()  # the system gives the folder free
    other.communicate()
    assert opened().suggested() == {}


def test_a_process_that_ends_meanwhile_is_waited_for(opened):
    folder = opened().folder
    opened().file.close()
    code = "from pathlib import Path; from sampling.journal import Journal; j = Journal(Path(sys.argv[1]))\n"
    other = python(code + "print('here', flush=True); import time; time.sleep(0.5)", folder)
    assert other.stdout.readline() == "here\n"
    assert opened().suggested() == {}
    other.communicate()


def test_two_processes_that_merge_at_once_lose_nothing(tmp_path):
    code = (
        "import ledger; from pathlib import Path\n"
        "print('here', flush=True); sys.stdin.readline()\n"
        "for n in range(25):\n"
        "    name = f'{sys.argv[2]}{n}'\n"
        "    line = {'id': name, 'number': n, 'parameters': {}, 'status': 'SUCCEEDED', 'started': ''}\n"
        "    ledger.merge(Path(sys.argv[1]), {name: line})\n"
    )
    path = tmp_path / "trials.jsonl"
    writers = [python(code, path, letter) for letter in "ab"]
    for writer in writers:
        assert writer.stdout.readline() == "here\n"
    for writer in writers:
        writer.stdin.write("\n")
        writer.stdin.flush()
    assert [writer.communicate()[1] for writer in writers] == ["", ""]
    assert ledger.read(path).keys() == {f"{letter}{number}" for letter in "ab" for number in range(25)}
    assert os.listdir(tmp_path) == ["trials.jsonl"]


@pytest.mark.parametrize("status", ["SUCCEEDED", "EARLY_STOPPED", "FAILED"])
def test_an_older_look_at_a_trial_does_not_undo_its_end(tmp_path, status):
    path = tmp_path / "trials.jsonl"
    ledger.merge(path, {"a": line("a", status, objective=0.5), "b": line("b", "RUNNING")})
    ledger.merge(path, {"a": line("a", "RUNNING"), "b": line("b", "RUNNING", seconds=9)})
    assert ledger.read(path) == {"a": line("a", status, objective=0.5), "b": line("b", "RUNNING", seconds=9)}
    ledger.merge(path, {"a": line("a", status, objective=0.75)})  # one who knows more
    assert ledger.read(path)["a"]["objective"] == 0.75
    ledger.merge(path, {"c": line("c", "INTERRUPTED")})
    ledger.merge(path, {"c": line("c", "RUNNING")})  # it goes on
    assert ledger.read(path)["c"]["status"] == "RUNNING"


def test_trials_jsonl_is_in_the_order_in_which_trials_began(tmp_path):
    path = tmp_path / "trials.jsonl"
    for name, number, started in (("late", 2, "2026-01-02"), ("waits", 0, ""), ("early", 9, "2026-01-01")):
        ledger.merge(path, {name: line(name, number=number, started=started)})
    assert list(ledger.read(path)) == ["early", "late", "waits"]


def test_a_search_has_the_folder_of_its_experiment_and_none_outside_nni(tmp_path, monkeypatch):
    monkeypatch.delenv("NNI_LOG_DIRECTORY", raising=False)
    assert folder_of_search(tmp_path) is None
    assert open_journal(tmp_path) is None
    assert read_curves(tmp_path) == {}
    monkeypatch.setenv("NNI_LOG_DIRECTORY", "/home/me/nni-experiments/x7abc/log")
    assert folder_of_search(tmp_path) == tmp_path / "x7abc"
    assert read_curves(tmp_path) == {}


def test_the_curves_of_a_search_are_those_of_its_ended_trials(tmp_path, monkeypatch):
    monkeypatch.setenv("NNI_LOG_DIRECTORY", "/nni/exp/log")
    (tmp_path / "exp").mkdir()
    lines = [
        line("a", intermediate=[0.1, 0.2]),
        line("b", "EARLY_STOPPED", intermediate=[0.3]),
        line("c", "FAILED", intermediate=[]),
        line("d", "RUNNING", intermediate=[0.4]),
        line("e", "INTERRUPTED", intermediate=[0.5]),
    ]
    ledger.merge(tmp_path / "exp" / "trials.jsonl", {entry["id"]: entry for entry in lines})
    assert read_curves(tmp_path) == {"a": (0.1, 0.2), "b": (0.3,)}
