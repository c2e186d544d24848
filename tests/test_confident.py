import numpy as np
import pytest
from cleanlab.filter import find_label_issues
from cleanlab.multilabel_classification import get_label_quality_scores
from cleanlab.multilabel_classification.filter import find_label_issues as find_of_several
from sklearn.datasets import load_digits
from sklearn.model_selection import cross_val_predict
from sklearn.neighbors import KNeighborsClassifier

from doubts.confident import judge
from task import one_hot


def hot(labels, classes):
    return one_hot(np.array(labels), classes) > 0


def test_a_score_is_the_probability_of_the_label():
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.95, 0.05], [0.1, 0.9]])
    judged = judge(hot([0, 1, 1, 1], 2), probabilities, exclusive=True)
    np.testing.assert_allclose(judged.score, [0.9, 0.8, 0.05, 0.9])
    # by hand: the thresholds are .9 and the mean of .8, .05 and .9, so the third alone counts as the other class
    assert judged.issue.tolist() == [False, False, True, False]


def test_flipped_digits_stand_first_and_are_those_that_cleanlab_flags():
    photos, labels = load_digits(return_X_y=True)
    rng = np.random.default_rng(0)
    flipped = rng.choice(len(labels), size=len(labels) // 20, replace=False)
    wrong = labels.copy()
    wrong[flipped] = (labels[flipped] + rng.integers(1, 10, len(flipped))) % 10
    probabilities = cross_val_predict(KNeighborsClassifier(10), photos, wrong, cv=3, method="predict_proba")
    judged = judge(hot(wrong, 10), probabilities, exclusive=True)
    first = np.argsort(judged.score, kind="stable")[: len(flipped)]
    assert len(set(first) & set(flipped)) / len(flipped) > 0.9
    np.testing.assert_array_equal(judged.issue, find_label_issues(wrong, probabilities, n_jobs=1))
    assert judged.issue[flipped].mean() > 0.85


@pytest.fixture
def several():
    """Labels (200, 4) of which up to all hold, probabilities that know them, and a photo that lost a label."""
    rng = np.random.default_rng(1)
    truth = rng.random((200, 4)) < 0.4
    probabilities = np.where(truth, 0.9, 0.1) + rng.uniform(-0.08, 0.08, truth.shape)
    lost = int(np.flatnonzero(truth[:, 2])[0])
    truth[lost, 2] = False
    return truth, probabilities, lost


def test_a_lost_label_of_several_stands_first(several):
    truth, probabilities, lost = several
    judged = judge(truth, probabilities, exclusive=False)
    assert judged.score.argmin() == lost
    assert np.flatnonzero(judged.issue).tolist() == [lost]


def test_several_labels_are_judged_as_cleanlab_does(several):
    truth, probabilities, _ = several
    names = [np.flatnonzero(row).tolist() for row in truth]
    judged = judge(truth, probabilities, exclusive=False)
    np.testing.assert_array_equal(judged.score, get_label_quality_scores(names, probabilities))
    np.testing.assert_array_equal(judged.issue, find_of_several(names, probabilities, n_jobs=1))


def test_a_class_of_one_label_is_told():
    probabilities = np.array([[0.9, 0.1, 0.0], [0.8, 0.2, 0.0], [0.7, 0.3, 0.0]])
    assert judge(hot([0, 0, 1], 3), probabilities, exclusive=True).alone.tolist() == [False, True, False]


def test_one_label_alone_is_refused():
    with pytest.raises(ValueError, match="1 labels: confident learning compares them"):
        judge(hot([0], 2), np.array([[0.9, 0.1]]), exclusive=True)


@pytest.mark.parametrize("holds", [False, True])
def test_several_labels_that_are_all_alike_are_refused_in_our_words(holds):
    with pytest.raises(ValueError, match="cannot compare these 4 labels .* give predictions of more photos"):
        judge(np.full((4, 2), holds), np.full((4, 2), 0.4), exclusive=False)
