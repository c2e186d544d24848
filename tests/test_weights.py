from types import SimpleNamespace

import numpy as np
import pytest
from scipy.optimize import approx_fprime
from scipy.special import expit
from sklearn.metrics import log_loss

import weights
from means import MEANS
from metrics import METRICS
from task import one_hot
from weights import FITTERS, Contest, convex, cross_entropy, greedy

accuracy = METRICS["accuracy"]


def same(values):
    return values


def of_true_class(*models):
    """M arrays (N, 2) of two classes from the probabilities of the true class 0, and the truth."""
    values = [np.array([[chance, 1 - chance] for chance in model], np.float32) for model in models]
    return values, np.array([[True, False]] * len(models[0]))


def made(kind, seed, models=7, rows=60, classes=5):
    """Random predictions that are often right, and what is true."""
    rng = np.random.default_rng(seed)
    truth = one_hot(rng.choice(classes - 1, rows), classes) > 0  # the last class never occurs
    chances = rng.dirichlet(np.ones(classes), (models, rows)) + truth * rng.random((models, rows, 1))
    values = chances / chances.sum(axis=2, keepdims=True)
    if kind == "one-hot":
        values = one_hot(values.argmax(axis=2), classes)
    if kind == "in tenths":
        values = values.round(1)
    if kind == "logs":
        values = np.log(values)
    if kind == "without a choice":
        values = np.full_like(values, 1 / classes)
    return values.astype(np.float32), truth


KINDS = ("probabilities", "one-hot", "in tenths", "logs", "without a choice")


def direct_loop(values, truth, metric, rounds):
    """Each round's scores of all models, and the weights, as the method is told."""
    total, counts, best, told = np.zeros(truth.shape), np.zeros(len(values)), -1.0, []
    for number in range(rounds):
        decided = [np.eye(truth.shape[1], dtype=bool)[(total + one).argmax(axis=1)] for one in values]
        told.append([metric(one, truth) for one in decided])
        pick = told[-1].index(max(told[-1]))
        total += values[pick]
        counts[pick] += 1
        if told[-1][pick] > best:
            best, kept = told[-1][pick], counts / (number + 1)
    return told, kept


def test_two_models_that_know_different_rows_share_the_weight():
    values, truth = of_true_class([0.9, 0.9, 0.4, 0.4], [0.4, 0.4, 0.9, 0.9])
    np.testing.assert_array_equal(greedy(values, truth, accuracy, same, True), [0.5, 0.5])


@pytest.mark.parametrize("name", sorted(FITTERS.entries))
def test_a_model_that_is_the_best_on_every_row_gets_all_the_weight(name):
    values, truth = of_true_class([0.6, 0.4, 0.4], [0.9, 0.7, 0.8], [0.7, 0.6, 0.1])
    np.testing.assert_array_equal(FITTERS.build(name, KNOBS | {"values": values, "truth": truth}), [0, 1, 0])


def test_of_equal_models_the_first_is_taken():
    values, truth = of_true_class([0.1, 0.2], [0.8, 0.3], [0.8, 0.3])
    np.testing.assert_array_equal(greedy(values, truth, accuracy, same, True), [0, 1, 0])


def test_a_model_can_be_taken_twice():
    # the first is right on the first row by 0.3, the second on the other: by 0.5 against 0.2, so one vote is too few
    values, truth = of_true_class([0.65, 0.4], [0.25, 0.75])
    np.testing.assert_allclose(greedy(values, truth, accuracy, same, True), [2 / 3, 1 / 3])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", sorted(METRICS.entries))
def test_every_round_scores_and_picks_as_the_direct_loop_does(name, kind, monkeypatch):
    monkeypatch.setattr(weights, "CELLS", 20)  # so that rows come in many parts
    for seed in range(5):
        values, truth = made(kind, seed)
        told, expected = direct_loop(values, truth, METRICS[name], 12)
        contest, total = Contest(list(values), truth, METRICS[name]), np.zeros(truth.shape)
        for number, scores in enumerate(told):
            np.testing.assert_array_equal(contest.scores(total, number), scores)
            total += values[int(np.argmax(scores))]
        np.testing.assert_array_equal(greedy(values, truth, METRICS[name], same, True, rounds=12), expected)


def test_more_classes_than_a_byte_counts_are_told_apart():
    values, truth = made("without a choice", 0, models=3, rows=4, classes=300)
    for row in range(4):
        values[1, row, 299 - row] = 0.5
        values[2, row, np.flatnonzero(truth[row])] = 0.4
    told, expected = direct_loop(values, truth, accuracy, 3)
    assert told[0] == [0, 0, 1]
    np.testing.assert_array_equal(greedy(values, truth, accuracy, same, True, rounds=3), expected)


def test_a_value_that_is_not_finite_is_no_silent_zero():
    values, truth = made("probabilities", 0)
    values[2, 3, 1] = np.nan
    with pytest.raises(AssertionError):
        greedy(values, truth, accuracy, same, True)


def test_several_labels_at_once_are_decided_at_a_half_of_the_averaged_probability():
    truth = np.array([[True, True, False], [True, False, True]])
    sure = np.array([[0.9, 0.3, 0.1], [0.9, 0.1, 0.3]])
    other = np.array([[0.45, 0.8, 0.1], [0.45, 0.1, 0.8]])
    for name in METRICS.entries:
        # only the mean of the first and the last, (0.675, 0.55, 0.1) and (0.675, 0.1, 0.55), is right throughout
        found = greedy([sure, 1 - other, other], truth, METRICS[name], same, False, rounds=2)
        np.testing.assert_array_equal(found, [0.5, 0, 0.5])


@pytest.mark.parametrize("name", sorted(METRICS.entries))
def test_labels_are_fitted_as_the_direct_loop_does(name):
    rng = np.random.default_rng(0)
    truth = rng.random((50, 6)) < 0.3
    values = (rng.normal(0, 1.5, (5, 50, 6)) + 2 * truth - 1).astype(np.float32)
    total, counts, best = np.zeros(truth.shape), np.zeros(5), -1.0
    for number in range(9):
        scores = [METRICS[name](expit((total + one) / (number + 1)) >= 0.5, truth) for one in values]
        pick = scores.index(max(scores))
        total += values[pick]
        counts[pick] += 1
        if scores[pick] > best:
            best, expected = scores[pick], counts / (number + 1)
    np.testing.assert_array_equal(greedy(values, truth, METRICS[name], expit, False, rounds=9), expected)


def test_bags_are_random_halves_known_by_their_seed():
    values, truth = made("probabilities", 0, models=9)
    first, again, other = (greedy(values, truth, accuracy, same, True, 5, bags=8, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert first.sum() == pytest.approx(1)


def test_a_model_has_no_part_in_the_bags_that_do_not_see_it():
    values, truth = made("probabilities", 0, models=6)
    values[4] = truth  # always right: taken alone by every bag that sees it
    weight = greedy(values, truth, accuracy, same, True, 5, bags=400, seed=0)[4]
    assert abs(weight - 0.5) < 4 * 0.5 / 20  # a binomial share of 400, four standard deviations


def test_progress_is_told_over_all_bags():
    told = []
    values, truth = made("probabilities", 0)
    greedy(values, truth, accuracy, same, True, 3, bags=2, tell=lambda *progress: told.append(progress))
    assert told == [(number, 6) for number in range(1, 7)]


def test_convex_weights_are_those_of_the_formula_for_two_models():
    # 3 rows where one says 0.8 and the other 0.1, and 2 the other way round: the loss is lowest where the average of
    # the first three is 0.9 * 3 / 5 = 0.54, as the derivative of 3 log s + 2 log(0.9 - s) is 0 there
    values, truth = of_true_class([0.8] * 3 + [0.1] * 2, [0.1] * 3 + [0.8] * 2)
    first = (0.54 - 0.1) / (0.8 - 0.1)
    np.testing.assert_allclose(convex(values, truth, same, True), [first, 1 - first], atol=1e-4)


def simplex(steps):
    """All weights of three models in steps of 1 / steps."""
    parts = np.arange(steps + 1)
    grid = np.array([(a, b, steps - a - b) for a in parts for b in parts if a + b <= steps])
    return grid / steps


def several(seed):
    rng = np.random.default_rng(seed)
    truth = rng.random((80, 4)) < 0.3
    return expit(rng.normal(0, 1.5, (3, 80, 4)) + 2 * truth - 1), truth


@pytest.mark.parametrize("exclusive", [True, False])
@pytest.mark.parametrize("name", ["probability", "logit"])
def test_no_weights_of_a_fine_grid_have_a_lower_log_loss_than_the_convex_ones(name, exclusive):
    mean = MEANS[name](exclusive)
    for seed in range(3):
        probabilities, truth = made("probabilities", seed, models=3) if exclusive else several(seed)
        values = [mean.values(one).astype(np.float32) for one in probabilities]

        def loss(weight, values=values, truth=truth):
            blended = mean.back(np.tensordot(weight, np.array(values, float), 1))
            if exclusive:
                blended /= blended.sum(axis=1, keepdims=True)  # values are rounded to float32
                return log_loss(truth.argmax(axis=1), blended, labels=range(truth.shape[1]))
            return log_loss(truth.ravel(), blended.ravel())

        found, best = loss(convex(values, truth, mean.back, exclusive)), min(map(loss, simplex(20)))
        assert best - 1e-2 < found <= best + 1e-6


@pytest.mark.parametrize("exclusive", [True, False])
@pytest.mark.parametrize("name", sorted(MEANS.entries))
def test_the_derivative_is_that_of_finite_differences_by_the_weights(name, exclusive):
    mean = MEANS[name](exclusive)
    probabilities, truth = made("probabilities", 0, models=3) if exclusive else several(0)
    values = [mean.values(one) for one in probabilities]
    at = np.array([0.2, 0.3, 0.5])
    slope = approx_fprime(at, lambda weight: cross_entropy(weight, values, truth, mean.back, exclusive)[0], 1e-7)
    np.testing.assert_allclose(cross_entropy(at, values, truth, mean.back, exclusive)[1], slope, rtol=1e-4, atol=1e-6)


def test_the_loss_is_scikit_learn_s():
    at, (values, truth) = np.array([0.2, 0.3, 0.5]), made("probabilities", 0, models=3)
    expected = log_loss(truth.argmax(axis=1), np.tensordot(at, values.astype(float), 1), labels=range(5))
    assert cross_entropy(at, values, truth, same, True)[0] == pytest.approx(expected, rel=1e-5)
    values, truth = several(0)
    expected = log_loss(truth.ravel(), np.tensordot(at, values, 1).ravel())
    assert cross_entropy(at, values, truth, same, False)[0] == pytest.approx(expected)


def test_the_true_class_s_probability_alone_gives_the_weights_that_all_of_them_give():
    for seed in range(3):
        values, truth = made("probabilities", seed)
        apart = convex(values, truth, np.copy, True)  # not its very argument, so not known to be the identity
        np.testing.assert_allclose(convex(values, truth, same, True), apart, atol=1e-3)


def test_rows_that_every_model_gives_no_chance_do_not_break_the_convex_fit():
    values, truth = of_true_class([0.8, 0.1, 0.0], [0.1, 0.8, 0.0])
    np.testing.assert_allclose(convex(values, truth, same, True), [0.5, 0.5], atol=1e-4)


def test_models_that_are_sure_and_wrong_in_turns_are_mixed():
    # rows 1 to 3 the first knows, row 4 the second: a weight w costs 3 log w + log(1 - w), lowest at 3 / 4
    values, truth = of_true_class([1, 1, 1, 0], [0, 0, 0, 1])
    np.testing.assert_allclose(convex(values, truth, same, True), [0.75, 0.25], atol=1e-3)


def test_an_optimiser_that_stops_early_is_not_believed(monkeypatch):
    values, truth = made("probabilities", 0)
    monkeypatch.setattr(
        weights, "minimize", lambda loss, start, **_: SimpleNamespace(x=np.eye(7)[0], nit=1, message="iteration limit")
    )
    with pytest.raises(ValueError, match=r"nats above its optimum, after 1 steps \(iteration limit\); fit greedily"):
        convex(values, truth, same, True)


KNOBS = {"metric": accuracy, "back": same, "exclusive": True, "rounds": 5, "bags": 1, "seed": 0, "tell": print}


@pytest.mark.parametrize("models", [1, 2, 5])
@pytest.mark.parametrize("exclusive", [True, False])
@pytest.mark.parametrize("mean", sorted(MEANS.entries))
@pytest.mark.parametrize("name", sorted(FITTERS.entries))
def test_every_fit_gives_weights_from_0_that_sum_to_1(name, mean, exclusive, models):
    probabilities, truth = made("probabilities", 3, models=models)
    if not exclusive:
        truth = truth | (np.random.default_rng(0).random(truth.shape) < 0.2)
    mean = MEANS[mean](exclusive)
    values = [mean.values(one).astype(np.float32) for one in probabilities]
    knobs = KNOBS | {"values": values, "truth": truth, "back": mean.back, "exclusive": exclusive}
    found = FITTERS.build(name, knobs | {"bags": models})
    assert found.shape == (models,)
    assert found.min() >= 0
    assert found.sum() == pytest.approx(1)
