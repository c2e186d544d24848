from collections import Counter

import numpy as np
import pytest
from scipy.stats import binom

from answers import Spelling, Training
from shares import check_shares, mark_shares

PAIR = ("a", "b")


def test_a_share_is_marked_where_so_many_people_would_hardly_show_it():
    """By hand: of 10 people at 1/2, none is 1 in 1024 and below (1 - 0.99) / 2 / 2 classes, one is 11 in 1024."""
    training = Training(PAIR, np.array([0.5, 0.5]), photos_each=1)
    np.testing.assert_array_equal(mark_shares(np.array([0, 10]), 10, training), [-1, 1])
    np.testing.assert_array_equal(mark_shares(np.array([1, 9]), 10, training), [0, 0])


def test_photos_of_one_person_count_as_one():
    counts = np.array([70, 30])  # 7 of 10 people are nothing odd, 70 of 100 were
    np.testing.assert_array_equal(mark_shares(counts, 100, Training(PAIR, np.array([0.5, 0.5]), 10)), [0, 0])
    np.testing.assert_array_equal(mark_shares(counts, 100, Training(PAIR, np.array([0.5, 0.5]), 1)), [1, -1])


def test_submissions_as_the_training_photos_are_seldom_marked():
    rng, prior = np.random.default_rng(0), np.array([0.4, 0.3, 0.2, 0.06, 0.04])
    training = Training(tuple("abcde"), prior, photos_each=1)
    marked = sum(mark_shares(counts, 500, training).any() for counts in rng.multinomial(500, prior, 2000))
    assert marked <= binom.ppf(0.999, 2000, 0.01)


def test_a_class_that_training_never_showed_is_marked_where_predicted():
    training = Training(PAIR, np.array([1.0, 0.0]), photos_each=1)
    np.testing.assert_array_equal(mark_shares(np.array([10, 0]), 10, training), [0, 0])
    np.testing.assert_array_equal(mark_shares(np.array([9, 1]), 10, training), [-1, 1])


@pytest.mark.parametrize("swapped", [False, True])
def test_classes_mixed_up_are_found_by_their_shares(swapped):
    training = Training(("mask", "none"), np.array([5 / 7, 2 / 7]), photos_each=7)
    counts = Counter({"0": 160, "1": 400} if swapped else {"0": 400, "1": 160})
    (finding,) = check_shares(counts, 560, Spelling(False, False, ("0", "1")), training)
    assert (finding.state, finding.check) == (("warn", "shares") if swapped else ("ok", "classes"))
    if swapped:
        assert "0 mask, 1 none" in finding.found
