"""Our assessors behind NNI's own dispatcher: whom they stop, by hand, with what a trial really reports."""

import inspect
import json
import math

import pytest
from dispatcher import Dispatcher
from nni.assessor import Assessor, AssessResult
from nni.tuner import Tuner

import ledger
from assessor import Asha, Median
from tuner import OptunaTuner

EACH = [Asha, Median]


class Counting(Tuner):
    """Gives each trial its number."""

    def update_search_space(self, space):
        pass

    def generate_parameters(self, parameter_id, **_):
        return {"number": parameter_id}


def watch(assessor, trials):
    search = Dispatcher(Counting(), assessor, space={})
    search.ask(trials)
    return search


def epoch(value, number, of=27):
    return {"default": value, "macro_f1": 1 - value, "epoch": number, "of": of}


def fold(mean, number, of=5):
    return {"default": mean, "folds": number, "of": of}


def go(search, number, values, first=1, of=27):
    """Reports epochs until the trial is stopped; the epochs that were reported."""
    for place, value in enumerate(values):
        if not search.report(number, epoch(value, first + place, of), first + place - 1):
            return list(range(first, first + place + 1))
    return list(range(first, first + len(values)))


def step(search, values, number, of=27):
    """All trials report epoch `number` in their order: {trial: value}; those that go on."""
    return [trial for trial, value in values.items() if search.report(trial, epoch(value, number, of), number - 1)]


def resumed(tmp_path, monkeypatch, *lines):
    """trials.jsonl of a search that goes on; the argument that leads there."""
    monkeypatch.setenv("NNI_LOG_DIRECTORY", str(tmp_path / "nni" / "exp" / "log"))
    (tmp_path / "exp").mkdir()
    entries = [
        {
            "id": name,
            "number": 0,
            "parameters": {},
            "status": status,
            "objective": None,
            "started": "",
            "intermediate": curve,
        }
        for name, status, curve in lines
    ]
    ledger.merge(tmp_path / "exp" / "trials.jsonl", {entry["id"]: entry for entry in entries})
    return {"outputs": str(tmp_path)}


@pytest.fixture(autouse=True)
def no_nni(monkeypatch):
    monkeypatch.delenv("NNI_LOG_DIRECTORY", raising=False)


# --- asynchronous successive halving


def test_nine_trials_climb_the_rungs_of_the_paper_by_hand():
    """Of n that came to a rung the best ceil(n / 3) go on; 4 must have come before one is stopped."""
    search = watch(Asha(), 9)
    first = dict(enumerate([0.5, 0.6, 0.7, 0.4, 0.8, 0.3, 0.65, 0.9, 0.2]))
    # 3 without evidence; 0.4 is 4th of 4; 0.8 best; 0.3 6th of 6; 0.65 3rd of 7, ceil(7 / 3) = 3; 0.9 best; 0.2 9th
    assert step(search, first, 1) == [0, 1, 2, 4, 6, 7]
    second = dict.fromkeys((0, 1, 2, 4, 6, 7), 0.1)
    assert step(search, second, 2) == [0, 1, 2, 4, 6, 7]  # no rung: however bad
    third = {trial: first[trial] + 0.05 for trial in second}
    # by arrival 0.55, 0.65, 0.75 without evidence; 0.85 best; 0.7 3rd of 5, ceil(5 / 3) = 2; 0.95 best
    assert step(search, third, 3) == [0, 1, 2, 4, 7]
    for number in range(4, 9):
        assert step(search, dict.fromkeys((0, 1, 2, 4, 7), 0.0), number) == [0, 1, 2, 4, 7]
    ninth = {0: 0.56, 1: 0.66, 2: 0.76, 4: 0.74, 7: 0.96}
    # 3 without evidence; the best of trial 4 is 0.85 from epoch 3; 0.96 best
    assert step(search, ninth, 9) == [0, 1, 2, 4, 7]


def test_the_best_epoch_counts_not_the_last():
    search = watch(Asha(min_epochs=3), 5)
    for number in range(4):
        assert go(search, number, [0.1, 0.2, 0.5 + number / 10]) == [1, 2, 3]
    assert go(search, 4, [0.1, 0.9, 0.0]) == [1, 2, 3]
    assert search.report(4, epoch(0.0, 4), 3)


def test_a_falling_row_of_trials_is_stopped_once_there_is_evidence():
    for evidence, stopped in ((0, 4), (2, 2), (6, 6)):  # the default is reduction_factor + 1
        search = watch(Asha(min_trials=evidence), 9)
        going_on = step(search, {number: 1 - number / 10 for number in range(9)}, 1)
        assert going_on == list(range(stopped - 1))


def test_the_default_of_evidence_follows_the_factor():
    assert [Asha(reduction_factor=factor).evidence for factor in (2, 2.5, 3, 4)] == [3, 4, 4, 5]


@pytest.mark.parametrize("make", EACH)
def test_trials_that_are_alike_are_all_kept(make):
    search = watch(make(), 12)
    for number in range(1, 10):
        assert step(search, dict.fromkeys(range(12), 0.5), number) == list(range(12))


@pytest.mark.parametrize("make", EACH)
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_trial_whose_loss_is_no_number_is_stopped_and_spares_the_others(make, bad):
    search = watch(make(), 7)
    assert step(search, {0: bad, 1: bad, 2: 0.5, 3: 0.6, 4: 0.7}, 1) == [0, 1, 2, 3, 4]
    assert step(search, {5: bad, 6: 0.65}, 1) == [6]


@pytest.mark.parametrize("make", EACH)
def test_reports_without_a_number_are_passed_over(make):
    search = watch(make(), 6)
    assert step(search, {number: 0.5 + number / 10 for number in range(5)}, 1) == [0, 1, 2, 3, 4]
    for sequence, value in enumerate(({"default": None, "epoch": 1}, {"loss": 1.0}, "good", None)):
        assert search.report(5, value, sequence)


@pytest.mark.parametrize("make", EACH)
def test_the_last_epoch_is_not_stopped_since_nothing_is_left_to_save(make):
    search = watch(make(), 8)
    step(search, dict.fromkeys(range(6), 0.9), 1, of=1)
    assert search.report(6, epoch(0.1, 1, of=1), 0)
    assert not search.report(7, epoch(0.1, 1, of=2), 0)


@pytest.mark.parametrize("make", EACH)
def test_folds_are_compared_by_the_mean_over_as_many(make):
    """A lucky first fold is no result: 0.9 after one and 0.5 after two is worse than 0.6 after two."""
    search = watch(make(min_epochs=2), 6)
    for number in range(5):
        assert search.report(number, fold(0.3, 1), 0)
        assert search.report(number, fold(0.6 + number / 100, 2), 1)
    assert search.report(5, fold(0.9, 1), 0)
    assert not search.report(5, fold(0.5, 2), 1)


@pytest.mark.parametrize("make", EACH)
def test_where_less_is_better_the_high_ones_are_stopped(make):
    search = watch(make(optimize_mode="minimize"), 6)
    assert step(search, {0: 0.1, 1: 0.2, 2: 0.3, 3: 0.1, 4: 0.9, 5: 0.05}, 1) == [0, 1, 2, 3, 5]


@pytest.mark.parametrize("make", EACH)
def test_plain_numbers_are_counted_as_epochs(make):
    search = watch(make(), 6)
    for number in range(5):
        assert search.report(number, 0.5, 0)
    assert not search.report(5, 0.4, 0)


@pytest.mark.parametrize("make", EACH)
def test_a_search_that_goes_on_compares_with_its_earlier_trials(make, tmp_path, monkeypatch):
    outputs = resumed(
        tmp_path,
        monkeypatch,
        *((f"old{number}", "SUCCEEDED", [0.1, 0.2, 0.5 + number / 10]) for number in range(3)),
        ("stopped", "EARLY_STOPPED", [0.1, math.nan, 0.45]),
        ("short", "EARLY_STOPPED", [0.05]),
        ("cancelled", "INTERRUPTED", [0.1, 0.1, 0.1]),
    )
    search = watch(make(min_epochs=3, **outputs), 2)
    assert len(search.nni.assessor.curves) == 5  # what was cancelled may begin again
    stay = [search.report(0, epoch(value, number), number - 1) for number, value in enumerate((0.1, 0.2, 0.4), 1)]
    assert stay == [True, True, False]  # 5th of 5 at epoch 3, and below the median of 0.45, 0.5, 0.6 and 0.7
    stay = [search.report(1, epoch(value, number), number - 1) for number, value in enumerate((0.1, 0.2, 0.65), 1)]
    assert stay == [True, True, True]


@pytest.mark.parametrize(("make", "until"), [(Asha, 9), (Median, 5)])
def test_reports_that_begin_late_are_taken_by_the_epoch_they_name(make, until):
    """After a resume a trial goes on from epoch 5, behind rung 3."""
    search = watch(make(min_epochs=3), 6)
    for number in range(5):
        assert go(search, number, [0.5 + number / 100] * 3 + [0.9] * 6)[-1] == 9
    assert go(search, 5, [0.1] * 5, first=5) == list(range(5, until + 1))


@pytest.mark.parametrize("make", EACH)
def test_others_that_were_not_seen_at_an_epoch_are_no_evidence_there(make):
    """They began behind it: nobody knows how good they were."""
    search = watch(make(min_epochs=2), 7)
    for number in range(6):
        assert go(search, number, [0.9], first=5) == [5]
    assert go(search, 6, [0.1, 0.1]) == [1, 2]
    assert search.report(6, epoch(0.1, 3), 2)


def test_a_trial_that_goes_on_behind_a_rung_is_judged_at_the_next():
    search = watch(Asha(min_epochs=2, reduction_factor=2), 5)
    for number in range(4):
        assert go(search, number, [0.5 + number / 10] * 5)[-1] == 5
    assert go(search, 4, [0.1, 0.1], first=3) == [3, 4]  # rung 4: 5th of 5
    assert not search.report(4, epoch(0.1, 4), 3)


def test_reports_of_a_stopped_trial_that_still_come_are_not_heard():
    search = watch(Asha(), 5)
    assert step(search, {0: 0.5, 1: 0.6, 2: 0.7, 3: 0.4}, 1) == [0, 1, 2]
    search.end(3, "EARLY_STOPPED")
    assert search.report(3, epoch(0.1, 3), 2)  # NNI is not told twice


# --- the median rule


def test_below_the_median_of_four_others_a_trial_is_stopped():
    search = watch(Median(), 7)
    assert step(search, {0: 0.1, 1: 0.2, 2: 0.3, 3: 0.4}, 1) == [0, 1, 2, 3]  # of fewer than four others
    assert search.report(4, epoch(0.25, 1), 0)  # their median
    assert not search.report(5, epoch(0.24, 1), 0)  # that of 0.1, 0.2, 0.25, 0.3, 0.4
    assert search.report(6, epoch(0.26, 1), 0)  # 0.245 by now


def test_patience_is_so_many_epochs_in_a_row():
    search = watch(Median(patience=3), 7)
    for number in range(4):
        go(search, number, [0.5] * 9)
    assert go(search, 4, [0.1] * 9) == [1, 2, 3]
    assert go(search, 5, [0.1, 0.2, 0.6, 0.1, 0.1]) == [1, 2, 3, 4, 5]  # its best is above


def test_patience_counts_from_the_first_epoch_that_is_judged():
    search = watch(Median(min_epochs=4, patience=2), 5)
    for number in range(4):
        go(search, number, [0.5] * 9)
    assert go(search, 4, [0.1] * 9) == [1, 2, 3, 4, 5]


def test_patience_counts_only_epochs_that_were_reported():
    search = watch(Median(patience=2), 5)
    for number in range(4):
        go(search, number, [0.5] * 9)
    assert go(search, 4, [0.1] * 3, first=5) == [5, 6]


@pytest.mark.parametrize(("percentile", "limit"), [(25, 0.2), (50, 0.3), (90, 0.46)])
def test_another_percentile_stops_more_or_fewer(percentile, limit):
    """Of 0.1, 0.2, 0.3, 0.4, 0.5 as numpy has it."""
    for value, stays in ((limit + 0.001, True), (limit - 0.001, False)):
        search = watch(Median(percentile=percentile, min_trials=5), 6)
        step(search, {number: 0.1 + number / 10 for number in range(5)}, 1)
        assert search.report(5, epoch(value, 1), 0) is stays


# --- both


def test_a_stopped_trial_is_learnt_by_the_tuner_with_what_it_had(tmp_path, monkeypatch):
    monkeypatch.setenv("NNI_LOG_DIRECTORY", str(tmp_path / "nni" / "exp" / "log"))
    space = {"lr": {"_type": "choice", "_value": [1, 2, 3, 4, 5, 6]}}
    own = OptunaTuner(seed=0, outputs=str(tmp_path))
    search = Dispatcher(own, Asha(outputs=str(tmp_path)), space=space)
    asked = search.ask(5)
    going_on = step(search, {number: 0.9 - number / 10 for number in asked}, 1)
    assert going_on == [0, 1, 2]
    for number in (3, 4):
        search.end(number, "EARLY_STOPPED")
    for number in going_on:
        search.report(number, epoch(0.9, 2, of=2), 1)
        search.finish(number, {"default": 0.9})
    lines = ledger.read(tmp_path / "exp" / "trials.jsonl")
    assert {name: (line["status"], line["intermediate"]) for name, line in lines.items()} == {
        "job0": ("SUCCEEDED", [0.9, 0.9]),
        "job1": ("SUCCEEDED", [0.8, 0.9]),
        "job2": ("SUCCEEDED", [0.9 - 0.2, 0.9]),
        "job3": ("EARLY_STOPPED", [0.9 - 0.3]),
        "job4": ("EARLY_STOPPED", [0.5]),
    }
    own.journal.file.close()
    assert Asha(outputs=str(tmp_path)).curves["job4"] == {1: 0.5}  # and known after a resume


@pytest.mark.parametrize(
    ("make", "given", "words"),
    [
        *((make, {"min_epochs": 0}, "min_epochs is 0; write a whole number from 1") for make in EACH),
        *((make, {"min_epochs": 1.5}, "min_epochs is 1.5; write a whole number from 1") for make in EACH),
        *((make, {"min_epochs": "2"}, "min_epochs is '2'; write a whole number from 1") for make in EACH),
        *((make, {"optimize_mode": "max"}, "optimize_mode is 'max'; write maximize or minimize") for make in EACH),
        (Asha, {"reduction_factor": 1}, "reduction_factor is 1; write a number above 1, such as 3"),
        (Asha, {"reduction_factor": "3"}, "reduction_factor is '3'; write a number above 1"),
        (Asha, {"reduction_factor": True}, "reduction_factor is True; write a number above 1"),
        (Asha, {"reduction_factor": math.nan}, "reduction_factor is nan; write a number above 1"),
        (Asha, {"reduction_factor": math.inf}, "reduction_factor is inf; write a number above 1"),
        (Asha, {"min_trials": -1}, "min_trials is -1; write a whole number from 0"),
        (Median, {"min_trials": 0}, "min_trials is 0; write a whole number from 1"),
        (Median, {"patience": 0}, "patience is 0; write a whole number from 1"),
        (Median, {"percentile": 0}, "percentile is 0; write a number between 0 and 100, such as 50"),
        (Median, {"percentile": 100}, "percentile is 100; write a number between 0 and 100"),
        (Median, {"percentile": "50"}, "percentile is '50'; write a number between 0 and 100"),
    ],
)
def test_bad_arguments_are_refused_with_what_to_write(make, given, words):
    with pytest.raises(ValueError, match=words):
        make(**given)


@pytest.mark.parametrize("make", EACH)
def test_they_have_the_signatures_of_nni(make):
    assert issubclass(make, Assessor)
    for name in ("assess_trial", "trial_end"):
        ours, theirs = (inspect.signature(getattr(kind, name)) for kind in (make, Assessor))
        assert list(ours.parameters) == list(theirs.parameters)
    assert make().assess_trial("job", [json.loads('{"default": 0.5, "epoch": 1, "of": 2}')]) is AssessResult.Good
