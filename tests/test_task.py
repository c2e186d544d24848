import numpy as np

from task import Head, Task, combine, one_hot, softmax


def test_heads_are_activated_apart_and_decided_together():
    task = Task((Head("mask", ("a", "b", "c")), Head("gender", ("d", "e"))))
    probabilities = task.activate(np.array([[0.0, 0.0, np.log(2), 1.0, 1.0]]))
    np.testing.assert_allclose(probabilities, [[0.25, 0.25, 0.5, 0.5, 0.5]])
    combined = task.combine(np.array([[0.2, 0.3, 0.5, 0.6, 0.4]]))
    assert task.classes == ("a d", "a e", "b d", "b e", "c d", "c e")
    np.testing.assert_allclose(combined, [[0.12, 0.08, 0.18, 0.12, 0.30, 0.20]])
    assert task.decide(combined).tolist() == [[False, False, False, False, True, False]]
    assert task.columns == ["mask_0", "mask_1", "mask_2", "gender_0", "gender_1"]


def test_one_head_is_answered_as_it_is():
    task = Task((Head("car", ("a", "b", "c")),))
    probabilities = np.array([[0.2, 0.3, 0.5]])
    np.testing.assert_array_equal(task.combine(probabilities), probabilities)
    np.testing.assert_array_equal(task.separate(probabilities), probabilities)
    assert task.columns == []


def test_the_heads_of_a_product_are_what_it_was_made_of():
    task = Task((Head("mask", ("a", "b", "c")), Head("gender", ("d", "e")), Head("age", ("f", "g", "h"))))
    rng = np.random.default_rng(0)
    heads = np.concatenate([rng.dirichlet(np.ones(size), 5) for size in (3, 2, 3)], axis=1)
    np.testing.assert_allclose(task.separate(task.combine(heads)), heads)


def test_classes_by_themselves_are_activated_apart_and_all_likely_ones_decided_at_least_one():
    task = Task((Head("label", ("0", "1", "2"), exclusive=False),))
    np.testing.assert_allclose(task.activate(np.array([[0.0, np.log(3), -800.0]])), [[0.5, 0.75, 0.0]])
    decided = task.decide(np.array([[0.5, 0.7, 0.1], [0.1, 0.2, 0.05]]))
    assert decided.tolist() == [[True, True, False], [False, True, False]]


def test_combined_class_is_mask_times_6_plus_gender_times_3_plus_age():
    mask, gender, age = one_hot(np.array([2]), 3), one_hot(np.array([1]), 2), one_hot(np.array([0]), 3)
    assert combine(mask, gender, age).argmax() == 2 * 6 + 1 * 3 + 0


def test_combining_multiplies_probabilities():
    both = combine(np.array([[0.5, 0.3, 0.2]]), np.array([[0.9, 0.1]]), np.array([[0.6, 0.3, 0.1]]))
    np.testing.assert_allclose(both[0, 1 * 6 + 0 * 3 + 2], 0.3 * 0.9 * 0.1)
    np.testing.assert_allclose(both.sum(), 1)


def test_softmax_survives_large_logits():
    np.testing.assert_allclose(softmax(np.array([[1000.0, 1000.0]])), [[0.5, 0.5]])
