import numpy as np
import pytest
from scipy.stats import gmean

from means import MEANS

TWO = np.array([[[0.7, 0.2, 0.1], [0.1, 0.6, 0.3]], [[0.3, 0.3, 0.4], [0.05, 0.9, 0.05]]])


@pytest.mark.parametrize("exclusive", [True, False])
@pytest.mark.parametrize("name", sorted(MEANS.entries))
def test_the_mean_of_one_model_keeps_the_order_of_its_classes(name, exclusive):
    mean = MEANS[name](exclusive)
    back = mean.back(mean.values(TWO[0]))
    assert (back.argsort(axis=1) == TWO[0].argsort(axis=1)).all()
    assert ((back >= 0) & (back <= 1)).all()
    if exclusive:
        np.testing.assert_allclose(back.sum(axis=1), 1)


def test_probabilities_are_averaged_as_they_are():
    mean = MEANS["probability"](True)
    np.testing.assert_allclose(mean.back((mean.values(TWO[0]) + mean.values(TWO[1])) / 2), TWO.mean(axis=0))


def test_logits_give_the_geometric_mean():
    mean = MEANS["logit"](True)
    expected = gmean(TWO, axis=0)
    blended = mean.back((mean.values(TWO[0]) + mean.values(TWO[1])) / 2)
    np.testing.assert_allclose(blended, expected / expected.sum(axis=1, keepdims=True))


def test_logits_of_several_labels_at_once_give_the_mean_odds():
    mean = MEANS["logit"](False)
    blended = mean.back((mean.values(np.array([[0.5]])) + mean.values(np.array([[0.9]]))) / 2)
    np.testing.assert_allclose(blended, 3 / 4)  # odds 1 and 9: their geometric mean is 3


def test_no_model_can_veto_a_class():
    mean = MEANS["logit"](True)
    values = mean.values(np.array([[1.0, 0.0]]))
    assert np.isfinite(values).all()


def test_ranks_count_over_all_classes_and_forget_the_scale():
    mean = MEANS["rank"](True)
    np.testing.assert_allclose(mean.values(np.array([[0.9, 0.1], [0.6, 0.4]])), [[1, 0.25], [0.75, 0.5]])
    np.testing.assert_allclose(mean.values(TWO[0]), mean.values(TWO[0] ** 3))
