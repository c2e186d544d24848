import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from sklearn.metrics import log_loss as sklearn_log_loss

from task import one_hot, softmax
from temperature import COLDEST, fit_temperature, heat, log_loss


def calibrated(seed, rows=20000, classes=5):
    """Probabilities, and labels drawn from them."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, (rows, classes))
    probabilities = softmax(logits)
    labels = (probabilities.cumsum(axis=1) > rng.random((rows, 1))).argmax(axis=1)
    return logits, one_hot(labels, classes) > 0


@pytest.mark.parametrize("sure", [0.5, 1.0, 3.0])
def test_a_model_that_is_n_times_too_sure_gets_temperature_n(sure):
    logits, truth = calibrated(0)
    assert fit_temperature(softmax(logits * sure), truth, True) == pytest.approx(sure, rel=0.03)


def test_the_temperature_has_the_lowest_log_loss_by_scikit_learn():
    logits, truth = calibrated(1, rows=500)
    labels = truth.argmax(axis=1)
    best = minimize_scalar(lambda t: sklearn_log_loss(labels, softmax(logits * 2 / t)), bounds=(0.1, 10)).x
    assert fit_temperature(softmax(logits * 2), truth, True) == pytest.approx(best, rel=1e-2)


def test_heat_divides_logits():
    logits = np.array([[2.0, 0.0, -1.0]])
    np.testing.assert_allclose(heat(softmax(logits), 2.0, True), softmax(logits / 2))
    np.testing.assert_allclose(heat(np.array([[0.9]]), 2.0, False), [[0.75]])  # odds 9, halved logit: odds 3


def test_temperature_1_changes_nothing():
    probabilities = np.array([[1.0, 0.0]])
    assert heat(probabilities, 1.0, True) is probabilities


def test_a_model_that_is_always_right_gets_the_coldest():
    truth = one_hot(np.arange(50) % 2, 2) > 0
    assert fit_temperature(np.where(truth, 0.51, 0.49), truth, True) == pytest.approx(COLDEST, rel=0.01)


def test_log_loss_is_scikit_learn_s():
    rng = np.random.default_rng(0)
    probabilities, labels = rng.dirichlet(np.ones(4), 50), rng.integers(0, 4, 50)
    expected = sklearn_log_loss(labels, probabilities, labels=range(4))
    assert log_loss(probabilities, one_hot(labels, 4) > 0, True) == pytest.approx(expected)
    several = rng.random((50, 3))
    truth = rng.random((50, 3)) < 0.4
    expected = sum(sklearn_log_loss(truth[:, k], several[:, k]) for k in range(3))
    assert log_loss(several, truth, False) == pytest.approx(expected)
