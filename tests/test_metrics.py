import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, log_loss

from metrics import METRICS, class_f1, cross_entropy, evaluate
from task import one_hot


def answers(seed, rows=200, classes=18):
    rng = np.random.default_rng(seed)
    truth = rng.choice(classes - 2, rows)  # the last two classes never occur
    guess = np.where(rng.random(rows) < 0.5, truth, rng.choice(classes - 1, rows))
    return guess, truth


def test_metrics_are_scikit_learn_s():
    for seed in range(5):
        guess, truth = answers(seed)
        predicted, wanted = (one_hot(labels, 18) > 0 for labels in (guess, truth))
        expected = f1_score(truth, guess, labels=range(18), average="macro", zero_division=0)
        assert METRICS["macro_f1"](predicted, wanted) == pytest.approx(expected)
        assert METRICS["accuracy"](predicted, wanted) == pytest.approx(accuracy_score(truth, guess))


def test_f1_of_several_labels_at_once_is_scikit_learn_s():
    rng = np.random.default_rng(0)
    predicted, wanted = rng.random((2, 100, 7)) < 0.3
    np.testing.assert_allclose(class_f1(predicted, wanted), f1_score(wanted, predicted, average=None))


@pytest.mark.parametrize("name", sorted(METRICS.entries))
def test_a_row_of_weight_n_counts_as_n_rows(name):
    predicted, truth = (one_hot(labels, 18) > 0 for labels in answers(0))
    weight = np.random.default_rng(0).integers(0, 4, len(truth))
    repeated = METRICS[name](predicted.repeat(weight, axis=0), truth.repeat(weight, axis=0))
    assert METRICS[name](predicted, truth, weight) == pytest.approx(repeated)


def test_a_class_that_never_occurs_counts_as_0():
    only = one_hot(np.array([0, 0]), 2) > 0
    assert METRICS["macro_f1"](only, only) == 0.5


def test_cross_entropy_is_scikit_learn_s():
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(4), 50)
    labels = rng.choice(4, 50)
    expected = log_loss(labels, probabilities, labels=range(4))
    assert cross_entropy(probabilities, one_hot(labels, 4)) == pytest.approx(expected)


@pytest.mark.parametrize("name", sorted(METRICS.entries))
def test_every_metric_is_1_for_the_truth_and_0_for_its_opposite(name):
    truth = one_hot(np.arange(6) % 3, 3) > 0
    assert METRICS[name](truth, truth) == 1
    assert METRICS[name](truth[:, [1, 2, 0]], truth) == 0


def test_evaluate_gives_every_metric_and_the_loss():
    target = one_hot(np.array([0, 1]), 2)
    values = evaluate(np.array([[0.5, 0.5], [0.25, 0.75]]), target > 0, target)
    assert set(values) == {*METRICS.entries, "loss"}
    assert values["loss"] == pytest.approx((np.log(2) + np.log(4 / 3)) / 2)
