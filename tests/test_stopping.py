"""When a trial has been left behind, by the rules of the papers and by hand."""

import math

import numpy as np
import pytest

from sampling.reports import counts_folds, curve_of, is_last, number_of, objective_of, running
from stopping import WORST, judge_percentile, judge_rung, others_by, reports_of, rung_of, value_by


@pytest.mark.parametrize(
    ("first", "factor", "rungs"),
    [
        (1, 3, [1, 3, 9, 27, 81]),  # Li et al. 2018, figure 1: r = 1, R = 9, eta = 3
        (2, 2, [2, 4, 8, 16, 32, 64]),
        (1, 4, [1, 4, 16, 64]),
        (5, 3, [5, 15, 45]),
        (1, 1.5, [1, 2, 3, 5, 7, 11, 17, 25, 38, 57, 86]),  # 1.5 ** 0, 2, 3, 4 … rounded down
        (100, 3, [100]),
    ],
)
def test_rungs_are_the_first_epoch_times_powers_of_the_factor(first, factor, rungs):
    assert [epoch for epoch in range(101) if rung_of(epoch, first, factor)] == rungs


def test_the_best_third_of_nine_is_promoted():
    values = [0.1, 0.9, 0.5, 0.3, 0.7, 0.2, 0.8, 0.6, 0.4]
    stay = [
        value for place, value in enumerate(values) if judge_rung(value, values[:place] + values[place + 1 :], 3, 4)
    ]
    assert stay == [0.9, 0.7, 0.8]


@pytest.mark.parametrize(("count", "kept"), [(4, 2), (5, 2), (6, 2), (7, 3), (10, 4)])
def test_a_share_is_rounded_up(count, kept):
    values = list(range(count))
    stay = [value for value in values if judge_rung(value, [other for other in values if other != value], 3, 2)]
    assert stay == values[-kept:]


def test_a_rung_without_evidence_stops_none_and_ties_stay_together():
    assert judge_rung(0, [1, 1], 3, 4)
    assert not judge_rung(0, [1, 1, 1], 3, 4)
    assert judge_rung(1, [1] * 30, 3, 4)
    assert judge_rung(WORST, [WORST] * 30, 3, 4)


@pytest.mark.parametrize("percentile", [10, 25, 50, 66.6, 90])
def test_a_trial_below_the_percentile_is_left_behind_as_numpy_has_it(percentile):
    rng = np.random.default_rng(0)
    for count in range(4, 30):
        others = rng.normal(size=count).tolist()
        limit = float(np.percentile(others, percentile))
        assert judge_percentile(limit, others, percentile, 4)
        assert judge_percentile(limit + 1e-9, others, percentile, 4)
        assert not judge_percentile(limit - 1e-9, others, percentile, 4)


def test_the_median_of_four_is_between_the_middle_ones():
    assert judge_percentile(2.5, [4, 1, 3, 2], 50, 4)
    assert not judge_percentile(2.49, [4, 1, 3, 2], 50, 4)
    assert judge_percentile(1.75, [4, 1, 3, 2], 25, 4)
    assert not judge_percentile(1.74, [4, 1, 3, 2], 25, 4)
    assert judge_percentile(0, [4, 3, 2], 50, 4)  # too few


def test_trials_that_were_no_numbers_are_the_worst_and_spoil_no_percentile():
    assert judge_percentile(0.5, [WORST, WORST, 0.5, 0.6], 50, 4)
    assert judge_percentile(0.5, [WORST, 0.4, 0.6, WORST], 50, 4)
    assert not judge_percentile(WORST, [WORST, 0.4, 0.5, 0.6], 50, 4)
    assert judge_percentile(WORST, [WORST] * 4, 50, 4)


def test_reports_are_numbers_by_epoch_higher_being_better():
    history = [{"default": 0.5, "epoch": 3}, {"default": math.nan, "epoch": 4}, {"default": None, "epoch": 5}, 0.25]
    assert reports_of(history, 1) == {3: 0.5, 4: 0.25}  # one without an epoch is the fourth
    assert reports_of(history[:3], 1) == {3: 0.5, 4: WORST}
    assert reports_of([{"default": 0.5, "epoch": 3}, {"default": math.inf, "epoch": 4}], -1) == {3: -0.5, 4: WORST}


def test_a_value_is_the_best_by_an_epoch_and_the_last_by_a_fold():
    reports = {1: 0.5, 2: 0.75, 4: 0.25}
    assert [value_by(reports, step, folds=False) for step in (1, 2, 3, 4)] == [0.5, 0.75, 0.75, 0.75]
    assert [value_by(reports, step, folds=True) for step in (1, 2, 3, 4)] == [0.5, 0.75, 0.75, 0.25]


def test_others_are_those_that_were_seen_to_come_as_far():
    curves = {"me": {1: 9}, "short": {1: 1}, "far": {1: 2, 2: 3, 3: 4}, "late": {3: 5, 4: 6}, "empty": {}}
    assert others_by(curves, "me", 1, folds=False) == [1, 2]
    assert others_by(curves, "me", 2, folds=False) == [3]
    assert others_by(curves, "me", 3, folds=False) == [4, 5]
    assert others_by(curves, "far", 1, folds=False) == [9, 1]


# --- reports


@pytest.mark.parametrize(
    ("report", "number", "objective"),
    [
        (0.5, 0.5, 0.5),
        (3, 3.0, 3.0),
        ({"default": 0.5, "loss": 2}, 0.5, 0.5),
        ({"default": math.inf}, math.inf, None),
        ({"loss": 2}, None, None),
        ({"default": "0.5"}, None, None),
        (True, None, None),
        (None, None, None),
        ([0.5], None, None),
    ],
)
def test_the_objective_of_a_report_is_its_number_or_its_default(report, number, objective):
    assert (number_of(report), objective_of(report)) == (number, objective)
    assert math.isnan(number_of(math.nan))
    assert objective_of({"default": math.nan}) is None


def test_a_curve_is_by_epoch_by_folds_or_by_count():
    assert curve_of([{"default": 0.5, "epoch": 4, "of": 9}, {"default": 0.6, "epoch": 5, "of": 9}]) == (
        (4, 0.5),
        (5, 0.6),
    )
    assert curve_of([{"default": 0.5, "folds": 1, "of": 5}]) == ((1, 0.5),)
    assert curve_of([0.5, None, {"default": 0.25}]) == ((1, 0.5), (3, 0.25))
    assert counts_folds([{"default": 0.5, "folds": 1, "of": 5}])
    assert not counts_folds([0.5, {"default": 0.5, "epoch": 1}])


def test_the_last_report_is_the_one_that_says_so():
    assert is_last({"default": 0.5, "epoch": 9, "of": 9})
    assert is_last({"default": 0.5, "folds": 5, "of": 5})
    for report in ({"default": 0.5, "epoch": 8, "of": 9}, {"default": 0.5, "epoch": 9}, {"default": 0.5}, 0.5, None):
        assert not is_last(report)


def test_a_result_so_far_is_of_the_best_epoch_or_of_all_folds():
    curve = [(1, 0.5), (2, math.nan), (3, 0.25), (4, 0.75)]
    assert running(curve, max) == {1: 0.5, 3: 0.5, 4: 0.75}
    assert running(curve, min) == {1: 0.5, 3: 0.25, 4: 0.25}
    assert running(curve, max, folds=True) == {1: 0.5, 3: 0.25, 4: 0.75}
    assert running([(1, math.nan)], max) == {}
    assert running([(1, 0.5), (2, 0.7), (1, 0.6)], max) == {1: 0.7, 2: 0.7}  # begun again
