import numpy as np

from task import Head, Task, combine, one_hot, softmax


def test_heads_are_activated_and_decided_apart():
    task = Task((Head("mask", ("a", "b", "c")), Head("gender", ("d", "e"))))
    probabilities = task.activate(np.array([[0.0, 0.0, np.log(2), 1.0, 1.0]]))
    np.testing.assert_allclose(probabilities, [[0.25, 0.25, 0.5, 0.5, 0.5]])
    assert task.decide(np.array([[0.2, 0.3, 0.5, 0.6, 0.4]])).tolist() == [[False, False, True, True, False]]


def test_combined_class_is_mask_times_6_plus_gender_times_3_plus_age():
    mask, gender, age = one_hot(np.array([2]), 3), one_hot(np.array([1]), 2), one_hot(np.array([0]), 3)
    assert combine(mask, gender, age).argmax() == 2 * 6 + 1 * 3 + 0


def test_combining_multiplies_probabilities():
    both = combine(np.array([[0.5, 0.3, 0.2]]), np.array([[0.9, 0.1]]), np.array([[0.6, 0.3, 0.1]]))
    np.testing.assert_allclose(both[0, 1 * 6 + 0 * 3 + 2], 0.3 * 0.9 * 0.1)
    np.testing.assert_allclose(both.sum(), 1)


def test_softmax_survives_large_logits():
    np.testing.assert_allclose(softmax(np.array([[1000.0, 1000.0]])), [[0.5, 0.5]])
