"""Searches replayed over curves (benchmarks/replay.py): a hand-made table, whose times are added up by hand."""

import json
import logging
import math
import sys
from importlib import import_module
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import PROJECT

sys.path.append(str(PROJECT / "benchmarks"))  # behind baseline/, whose trial.py it would hide

replay, rivals, regret, rounds, curves = map(import_module, ("replay", "rivals", "regret", "rounds", "curves"))

START = 1.0
LOGGERS = ("nni", "medianstop_Assessor", "curvefitting_Assessor")  # which a rival that is built silences


@pytest.fixture(autouse=True)
def heard():
    """Other tests hear them as before."""
    levels = {name: logging.getLogger(name).level for name in LOGGERS}
    yield
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


CURVES = {  # two epochs; 4 is no number in its second
    1: ((0.1, 0.2), 10.0),
    2: ((0.3, 0.5), 4.0),
    3: ((0.6, 0.4), 5.0),
    4: ((0.7,), 2.0),
}
TABLE = replay.Table({"x": tuple(CURVES)}, {(x - 1,): replay.Curve(*curve) for x, curve in CURVES.items()}, epochs=2)


class Scripted:
    """A tuner that gives these values of x in order, and notes what it is told."""

    def __init__(self, *values):
        self.left, self.told = list(values), []

    def update_search_space(self, space):
        self.told.append(("space", space))

    def generate_multiple_parameters(self, numbers, **_):
        (number,) = numbers
        if not self.left:
            return []
        self.told.append(("generate", number))
        return [{"x": self.left.pop(0)}]

    def receive_trial_result(self, number, parameters, value, *, customized, trial_job_id):
        self.told.append(("result", number, parameters["x"], value["default"], trial_job_id))

    def trial_end(self, number, success, *, trial_job_id, event, history):
        self.told.append(("end", number, success, event, len(history)))


class Stops:
    """An assessor that stops the jobs named at their first report."""

    def __init__(self, told, *jobs):
        self.told, self.jobs = told, jobs

    def assess_trial(self, job, history):
        self.told.append(("assess", job, [report["default"] for report in history]))
        return job not in self.jobs

    def trial_end(self, job, success):
        self.told.append(("assessor's end", job, success))


def run(*values, stopped=(), workers=2, **limits):
    """The record, the moments of what happened, and all that tuner and assessor were told."""
    tuner, moments = Scripted(*values), []
    assessor = Stops(tuner.told, *stopped) if stopped else None
    search = replay.Dispatched(tuner, assessor, {"x": "a space"})
    watch = lambda now, what, trial: moments.append((now, what, trial.parameters["x"]))  # noqa: E731
    record = replay.replay(TABLE, search, workers, START, watch=watch, **limits)
    return record, moments, tuner.told


def test_two_workers_share_three_trials():
    record, moments, _ = run(1, 2, 3)
    assert moments == [
        (0, "began", 1),
        (0, "began", 2),
        (5, "reported", 2),
        (9, "SUCCEEDED", 2),
        (9, "began", 3),
        (11, "reported", 1),
        (15, "reported", 3),
        (20, "SUCCEEDED", 3),
        (21, "SUCCEEDED", 1),
    ]
    assert record.best == [(5, 0.3), (9, 0.5), (15, 0.6)]
    assert (record.begun, record.seconds) == (3, 21)
    assert record.ended == {"SUCCEEDED": 3, "EARLY_STOPPED": 0, "FAILED": 0}


def test_one_worker_runs_them_one_after_the_other():
    _, moments, _ = run(2, 3, workers=1)
    assert [moment for moment in moments if moment[1] == "began"] == [(0, "began", 2), (9, "began", 3)]


def test_a_stopped_trial_frees_its_worker_when_its_report_arrives():
    _, moments, _ = run(1, 3, 2, stopped=["job0"])
    assert moments[2:6] == [(6, "reported", 3), (11, "EARLY_STOPPED", 1), (11, "began", 2), (11, "SUCCEEDED", 3)]


def test_tuner_and_assessor_are_told_in_the_order_of_nni_s_dispatcher():
    _, _, told = run(2, 3, stopped=["job1"])
    assert told == [
        ("space", {"x": "a space"}),
        ("generate", 0),
        ("generate", 1),
        ("assess", "job0", [0.3]),
        ("assess", "job1", [0.6]),
        ("assessor's end", "job1", False),  # stopped: no result
        ("end", 1, False, "EARLY_STOPPED", 1),
        ("assess", "job0", [0.3, 0.5]),
        ("result", 0, 2, 0.5, "job0"),
        ("assessor's end", "job0", True),
        ("end", 0, True, "SUCCEEDED", 2),
    ]


def test_a_result_is_that_of_the_best_epoch():
    _, _, told = run(3)
    assert ("result", 0, 3, 0.6, "job0") in told


def test_a_trial_whose_loss_is_no_number_fails_after_that_epoch():
    record, moments, told = run(4)
    assert moments == [(0, "began", 4), (3, "reported", 4), (5, "FAILED", 4)]
    assert told[-1] == ("end", 0, False, "FAILED", 0)  # without an assessor the dispatcher keeps no reports
    assert record.best == [(3, 0.7)]


def test_a_word_on_the_last_epoch_comes_too_late():
    one = replay.Table({"x": (2,)}, {(0,): replay.Curve((0.3,), 4.0)}, epochs=1)
    tuner = Scripted(2)
    record = replay.replay(one, replay.Dispatched(tuner, Stops(tuner.told, "job0"), {}), 2, START)
    assert record.ended["SUCCEEDED"] == 1
    assert ("result", 0, 2, 0.3, "job0") in tuner.told


def test_the_clock_stops_in_mid_trial():
    record, moments, _ = run(1, 2, 3, until=16)
    assert moments[-1] == (15, "reported", 3)
    assert (record.seconds, record.ended["SUCCEEDED"]) == (16, 1)


def test_no_more_trials_begin_than_are_wanted_but_those_end():
    record, _, told = run(1, 2, 3, most=2)
    assert (record.begun, record.ended["SUCCEEDED"]) == (2, 2)
    assert ("generate", 2) not in told


def test_an_answer_that_ends_nni_s_dispatcher_is_no_verdict():
    tuner = Scripted(1)
    assessor = SimpleNamespace(assess_trial=lambda job, history: None)
    with pytest.raises(RuntimeError, match="None"):
        replay.replay(TABLE, replay.Dispatched(tuner, assessor, {}), 1, START)


def test_a_record_tells_what_was_best_when():
    record = replay.Record(best=[(5, 0.3), (9, 0.5)])
    assert [record.at(moment) for moment in (4.9, 5, 8, 9, math.inf)] == [0, 0.3, 0.3, 0.5, 0.5]
    assert [record.reached(score) for score in (0.2, 0.3, 0.4, 0.6)] == [5, 5, 9, math.inf]


def test_a_number_between_two_takes_the_nearer_on_a_logarithmic_scale():
    steps = (0.001, 0.01, 0.1)
    assert [replay.place_of(steps, "lr", value) for value in (0.01, 0.003, 0.0033, 0.05)] == [1, 0, 1, 2]
    for strange in (0.5, "adam", 7):
        with pytest.raises(ValueError, match="no curve has lr"):
            replay.place_of(steps, "lr", strange)


def test_the_best_of_a_narrower_space_is_of_its_values_alone():
    assert TABLE.best({"x": (1, 2)}) == 0.5
    assert TABLE.best(TABLE.grid) == 0.7


def test_curves_come_back_as_they_were_kept(tmp_path):
    grid = {"lr": (0.01, 0.1), "criterion": ("f1",)}
    lines = [
        {"lr": 0.1, "criterion": "f1", "macro_f1": [0.25, 0.5], "accuracy": [0.5, 0.75], "seconds": [1.0, 3.0]},
        {"lr": 0.01, "criterion": "f1", "macro_f1": [0.125], "accuracy": [0.5], "seconds": [4.0]},
    ]
    path = tmp_path / "curves.json"
    curves.save(path, {}, grid, 2, lines)
    table = replay.read_table(path)
    assert table.find({"lr": 0.1, "criterion": "f1"}) == replay.Curve((0.25, 0.5), 2.0)
    assert table.find({"lr": 0.01, "criterion": "f1"}) == replay.Curve((0.125,), 4.0)
    curves.save(path, {}, grid, 2, lines[:1])
    with pytest.raises(ValueError, match="lacks 1 curves"):
        replay.read_table(path)


def test_a_line_that_a_killed_run_left_unfinished_is_trained_again(tmp_path):
    path = tmp_path / "features.jsonl"
    path.write_text('{"lr": 0.1}\n{"lr": 0.0')
    assert curves.read_lines(path) == [{"lr": 0.1}]
    assert path.read_text() == '{"lr": 0.1}\n'


def ladder(epochs, configurations):
    """Configuration x scores x in each of its epochs, a second each."""
    numbers = tuple(range(1, configurations + 1))
    curves_of = {(x - 1,): replay.Curve((x / 100,) * epochs, 1.0) for x in numbers}
    return replay.Table({"x": numbers}, curves_of, epochs)


def test_nni_s_hyperband_halves_as_its_paper_says():
    """Li et al. 2018, algorithm 1, R = 9 and eta = 3: 9 configurations of 1 epoch, the best 3 of 3, the best of 9."""
    table, began = ladder(9, 50), []
    search = rivals.build(
        rivals.rivals(9)["NNI Hyperband"], {"x": {"_type": "choice", "_value": list(range(1, 51))}}, 0
    )
    watch = lambda now, what, trial: began.append((trial.epochs, trial.parameters["x"])) if what == "began" else None  # noqa: E731
    replay.replay(table, search, 1, START, most=13, watch=watch)
    assert [epochs for epochs, _ in began] == [1] * 9 + [3] * 3 + [9]
    values = [x for _, x in began]
    assert values[9:12] == sorted(values[:9], reverse=True)[:3]
    assert values[12] == values[9]


def test_nni_s_medianstop_stops_what_is_below_the_median_of_those_that_ended():
    table = ladder(3, 4)
    search = rivals.build(rivals.rivals(3)["NNI random + Medianstop"], {"x": {"_type": "choice", "_value": [1]}}, 0)
    search.tuner = Scripted(4, 3, 4, 2)
    assert replay.replay(table, search, 1, START).ended == {"SUCCEEDED": 2, "EARLY_STOPPED": 2, "FAILED": 0}


@pytest.mark.filterwarnings("ignore")  # NNI's Curvefitting divides by zero, and as errors it answers nothing
@pytest.mark.parametrize("name", rivals.rivals(15))
def test_every_rival_ends_a_search(name):
    table = ladder(15, 12)
    space = {"x": {"_type": "choice", "_value": list(range(1, 13))}}
    record = replay.replay(table, rivals.build(rivals.rivals(15)[name], space, 0), 2, START, most=8)
    assert record.begun == sum(record.ended.values()) == 8


def test_a_round_is_replayed_once(tmp_path, monkeypatch):
    path = tmp_path / "curves.json"
    lines = [{"x": x, "macro_f1": [x / 10], "accuracy": [0], "seconds": [1]} for x in (1, 2, 3)]
    curves.save(path, {}, {"x": (1, 2, 3)}, 1, lines)
    space = {"x": {"_type": "choice", "_value": [1, 2, 3]}}
    wanted = [rounds.Round("NNI random", rivals.RANDOM, seed, str(path), space, START, math.inf, 3) for seed in (0, 1)]
    first = rounds.play_all(wanted, tmp_path, 1)
    assert [record.best[-1][1] for record in first] == [0.3, 0.3]
    kept = tmp_path / "NNI-random.jsonl"
    assert [json.loads(line)["seed"] for line in kept.read_text().splitlines()] == [0, 1]
    monkeypatch.setattr(rounds, "play", None)
    assert rounds.play_all(wanted, tmp_path, 1) == first


def test_a_pair_of_seeds_that_ties_counts_half():
    assert regret.ahead(np.array([1.0, 2.0]), np.array([1.0, 0.0])) == 3.5 / 4


def test_a_table_says_how_soon_the_stock_search_s_end_was_reached():
    stock = [replay.Record([(50, 0.4), (100, 0.5)], 4, {"SUCCEEDED": 4, "EARLY_STOPPED": 0, "FAILED": 0}, 120)] * 3
    soon = replay.Record([(30, 0.5), (60, 0.55)], 9, {"SUCCEEDED": 2, "EARLY_STOPPED": 6, "FAILED": 0}, 120)
    never = replay.Record([(30, 0.2)], 9, {"SUCCEEDED": 2, "EARLY_STOPPED": 6, "FAILED": 0}, 120)
    outcome = regret.Outcome("T", "", 1.0, {"stock": stock, "new": [soon, soon, never]}, "stock", 0.6)
    assert (outcome.clock, outcome.target) == (120, 0.5)
    lines = regret.tables(outcome)
    cells = [cell.strip() for cell in next(line for line in lines if line.startswith("| new"))[1:-1].split("|")]
    # of 0.5, 0.5 and 0.2 at a third, 40 s: median and quartiles; regret against 0.6
    assert (cells[3], cells[7], cells[8]) == ("0.500 (0.350-0.500)", "0.100", "0.050")
    goal = [cell.strip() for cell in [line for line in lines if line.startswith("| new")][1][1:-1].split("|")]
    assert goal == ["new", "0.25", "2 of 3", "2 of 3", "0.550 (0.375-0.550)", "67%", "9", "6"]
