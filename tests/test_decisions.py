import numpy as np
import pytest
from sklearn.metrics import f1_score

from decisions import DECISIONS, best_thresholds
from metrics import METRICS
from task import one_hot


def knobs(probabilities, truth, exclusive=True, metric="macro_f1"):
    return {"probabilities": probabilities, "truth": truth, "exclusive": exclusive, "metric": METRICS[metric]}


def timid():
    """A model that gives the rare class too little: .4 where it is right, .1 where not."""
    labels = np.array([0] * 90 + [1] * 10)
    rare = np.where(labels == 1, 0.4, 0.1)
    return np.stack([1 - rare, rare], axis=1), one_hot(labels, 2) > 0


@pytest.mark.parametrize("name", ["plain", "prior", "thresholds"])
def test_a_decision_of_one_class_each_decides_exactly_one(name):
    rng = np.random.default_rng(0)
    probabilities, labels = rng.dirichlet(np.ones(4), 60), rng.integers(0, 4, 60)
    rule = DECISIONS.build(name, knobs(probabilities, one_hot(labels, 4) > 0))
    assert (rule.decide(probabilities).sum(axis=1) == 1).all()
    assert rule.described()["name"] == name


@pytest.mark.parametrize("name", ["prior", "thresholds"])
def test_a_rare_class_that_is_given_too_little_is_found(name):
    probabilities, truth = timid()
    assert METRICS["macro_f1"](DECISIONS.build("plain", knobs(probabilities, truth)).decide(probabilities), truth) < 0.5
    rule = DECISIONS.build(name, knobs(probabilities, truth))
    np.testing.assert_array_equal(rule.decide(probabilities), truth)


def test_nothing_is_changed_where_nothing_is_gained():
    truth = one_hot(np.arange(30) % 3, 3) > 0
    for name in ("prior", "thresholds"):
        rule = DECISIONS.build(name, knobs(np.where(truth, 0.8, 0.1), truth))
        np.testing.assert_array_equal(rule.factors, 1)


def test_the_prior_is_divided_away():
    probabilities, truth = timid()
    rule = DECISIONS.build("prior", knobs(probabilities, truth))
    strength = np.log(rule.factors[1] / rule.factors[0]) / np.log(91 / 11)
    # .4 f1 >= .6 f0 is wanted, and .1 f1 < .9 f0: the weakest strength that does it, of steps of .05
    assert strength == pytest.approx(np.ceil(np.log(1.5) / np.log(91 / 11) / 0.05) * 0.05)


@pytest.mark.parametrize("seed", range(3))
def test_the_threshold_of_each_label_has_the_best_f1(seed):
    rng = np.random.default_rng(seed)
    truth = rng.random((80, 3)) < 0.3
    probabilities = np.round(np.clip(0.4 * truth + 0.6 * rng.random((80, 3)), 0, 1), 2)  # with equal ones among them
    found = best_thresholds(probabilities, truth)
    for label in range(3):
        reached = f1_score(truth[:, label], probabilities[:, label] >= found[label])
        best = max(f1_score(truth[:, label], probabilities[:, label] >= t) for t in np.linspace(0.005, 0.995, 100))
        assert reached == pytest.approx(best)


def test_prevalence_predicts_each_label_as_often_as_it_occurs():
    rng = np.random.default_rng(0)
    truth = rng.random((200, 3)) < [0.1, 0.5, 0.9]
    probabilities = rng.random((200, 3))
    rule = DECISIONS.build("prevalence", knobs(probabilities, truth, exclusive=False))
    np.testing.assert_array_equal((probabilities >= rule.factors).sum(axis=0), truth.sum(axis=0))


def test_a_row_under_all_thresholds_gets_the_nearest_label_where_no_row_is_without():
    truth = np.array([[True, False], [False, True]] * 10)
    probabilities = np.where(truth, 0.8, 0.3)
    rule = DECISIONS.build("thresholds", knobs(probabilities, truth, exclusive=False))
    np.testing.assert_array_equal(rule.decide(np.array([[0.2, 0.1], [0.0, 0.4]])), [[True, False], [False, True]])
    truth[0] = False  # now a photo without any label is a possible answer
    rule = DECISIONS.build("thresholds", knobs(probabilities, truth, exclusive=False))
    assert not rule.decide(np.array([[0.2, 0.1]])).any()


def test_a_decision_of_the_other_kind_says_what_to_take():
    truth = one_hot(np.arange(4) % 2, 2) > 0
    with pytest.raises(ValueError, match="take prior or thresholds"):
        DECISIONS.build("prevalence", knobs(truth * 1.0, truth))
    with pytest.raises(ValueError, match="take thresholds"):
        DECISIONS.build("prior", knobs(truth * 1.0, truth, exclusive=False))
