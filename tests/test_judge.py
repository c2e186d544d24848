import numpy as np
import pytest
from sklearn.metrics import f1_score

from judge import difference, draw_people, interval, parts_of, resample
from metrics import METRICS
from task import one_hot


def answers(people=40, photos=5, classes=4, seed=0):
    """Labels, guesses and people; all photos of a person are right or all are wrong."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, people * photos)
    right = np.repeat(rng.random(people) < 0.6, photos)
    guess = np.where(right, labels, (labels + 1) % classes)
    groups = [f"person {n}" for n in range(people) for _ in range(photos)]
    return one_hot(labels, classes) > 0, one_hot(guess, classes) > 0, groups


@pytest.mark.parametrize("name", sorted(METRICS.entries))
def test_a_person_drawn_n_times_counts_n_times(name):
    truth, decided, groups = answers()
    drawn = draw_people(groups, resamples=5, seed=1)
    number = {group: place for place, group in enumerate(sorted(set(groups)))}
    for counts, value in zip(drawn, resample(METRICS[name], decided, truth, groups, drawn), strict=True):
        rows = np.repeat(np.arange(len(groups)), [counts[number[group]] for group in groups])
        assert value == pytest.approx(METRICS[name](decided[rows], truth[rows]))


def test_the_interval_s_value_is_scikit_learn_s_and_lies_inside():
    truth, decided, groups = answers()
    found = interval(METRICS["macro_f1"], decided, truth, groups)
    assert found.value == pytest.approx(f1_score(truth.argmax(axis=1), decided.argmax(axis=1), average="macro"))
    assert found.low < found.value < found.high


def test_the_interval_is_that_of_people_not_of_photos():
    truth, decided, groups = answers(people=100, photos=10)
    found = interval(METRICS["accuracy"], decided, truth, groups)
    share = found.value
    expected = 2 * 1.96 * np.sqrt(share * (1 - share) / 100)  # binomial over people; over photos it would be a third
    assert found.high - found.low == pytest.approx(expected, rel=0.15)


def test_the_gain_over_oneself_is_exactly_nothing():
    truth, decided, groups = answers()
    found = difference(METRICS["macro_f1"], decided, decided, truth, groups)
    assert (found.value, found.low, found.high) == (0, 0, 0)


def test_a_gain_for_every_person_is_beyond_noise():
    truth, decided, groups = answers()
    worse = decided.copy()
    worse[::5] = np.roll(truth[::5], 1, axis=1)  # one photo of each person is answered wrongly
    assert difference(METRICS["accuracy"], decided, worse, truth, groups).low > 0


def test_a_person_is_judged_in_one_part():
    truth, _, groups = answers()
    parts = parts_of(groups, truth, 5)
    assert all(len(set(parts[np.array(groups) == group])) == 1 for group in set(groups))
    assert set(parts) == set(range(5))


def test_classes_of_two_digits_are_spread_as_classes_not_as_digits():
    """One photo of class 11 for each five people, all others of class 1: every part must get its own 11."""
    labels = np.array([11 if person % 5 == 0 else 1 for person in range(25)])
    parts = parts_of([f"p{person}" for person in range(25)], one_hot(labels, 12) > 0, 5)
    assert sorted(parts[labels == 11]) == [0, 1, 2, 3, 4]


def test_few_people_are_judged_in_fewer_parts_and_one_alone_not_at_all():
    truth = one_hot(np.array([0, 1] * 6), 2) > 0
    parts = parts_of(["a"] * 4 + ["b"] * 4 + ["c"] * 4, truth, 5)
    assert sorted(set(parts)) == [0, 1, 2]
    with pytest.raises(ValueError, match="all validation photos are of one person or group"):
        parts_of(["a"] * 12, truth, 5)
