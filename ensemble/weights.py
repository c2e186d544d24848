"""Fits of blend weights: `f(values (M, N, K), truth (N, K) bool, …knobs) -> weights (M,)`, not negative, sum 1.

`values` is what is averaged over models, float32, M arrays or one; `back` makes probabilities (N, K) of such an
average, each row by itself; `exclusive` says that one class excludes the others. To add one, decorate it with
`@FITTERS.register("name")`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from scipy.optimize import LinearConstraint, minimize
from scipy.sparse import csc_array
from threadpoolctl import threadpool_limits

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "baseline"))

from registry import Registry

FITTERS = Registry("fit")
CELLS = 2**16  # sums of a row and a model computed at once, so that they stay in a core's own cache
FEWEST = 3  # models of a bag: with one or two there is little to choose
CHANCE = 1e-12  # added to probabilities, so that one of 0 costs 27.6 nats and the problem stays convex
STEP = 1e-5  # of central differences: near the cube root of float64's precision
TOLERANCE = 1e-3  # nats above the optimum

Metric = Callable[..., float]
Back = Callable[[np.ndarray], np.ndarray]


@FITTERS.register("greedy")
def greedy(
    values: Sequence[np.ndarray],
    truth: np.ndarray,
    metric: Metric,
    back: Back,
    exclusive: bool,
    rounds: int = 50,
    bags: int = 1,
    seed: int = 0,
    tell: Callable[[int, int], None] = lambda done, total: None,
) -> np.ndarray:
    """Forward selection with replacement: each round adds the model with which the blend's `metric` is highest.

    The first of equal models is taken, and the weights of the first round that scored best. Several `bags` each see a
    random half of the models, three at least, and are averaged. Caruana et al. 2004, https://doi.org/10.1145/1015330.1015432.
    """
    count, rng = len(values), np.random.default_rng(seed)
    weights, size = np.zeros(count), max((count + 1) // 2, min(count, FEWEST))
    bags = bags if size < count else 1  # all would be alike
    for bag in range(bags):
        chosen = np.arange(count) if bags == 1 else np.sort(rng.permutation(count)[:size])
        candidates = [np.asarray(values[model], np.float32) for model in chosen]
        scores = (
            Contest(candidates, truth, metric).scores if exclusive else label_scores(candidates, truth, metric, back)
        )
        weights[chosen] += select(
            scores, candidates, rounds, lambda done, before=bag * rounds: tell(before + done, bags * rounds)
        )
    return weights / bags


def select(
    scores: Callable[[np.ndarray, int], np.ndarray],
    values: Sequence[np.ndarray],
    rounds: int,
    tell: Callable[[int], None],
) -> np.ndarray:
    """The weights (M,). scores(sum of the models chosen, how many they are) are those with each of the M one more."""
    total, counts, best = np.zeros(values[0].shape), np.zeros(len(values)), -np.inf
    for done in range(rounds):
        found = scores(total, done)
        pick = int(np.argmax(found))
        total += values[pick]
        counts[pick] += 1
        if found[pick] > best:
            best, kept = found[pick], counts / (done + 1)
        tell(done + 1)
    return kept


def label_scores(
    values: Sequence[np.ndarray], truth: np.ndarray, metric: Metric, back: Back
) -> Callable[[np.ndarray, int], np.ndarray]:
    """Where several classes may hold at once: those whose probability is 0.5 or more are decided."""

    def scores(total: np.ndarray, count: int) -> np.ndarray:
        return np.array([metric(back((total + one) / (count + 1)) >= 0.5, truth) for one in values])

    return scores


class Contest:
    """Where one class excludes the others: the one with the highest sum is decided, the first of equal ones.

    Few rows depend on which model is added next, and those on few classes: one that no model lifts above what any
    model leaves another one cannot win. The metric is computed on the distinct pairs of a true and a decided class,
    each weighted by its rows. Values are kept as (N * K, M), so that a step runs over all models at once.
    """

    def __init__(self, values: Sequence[np.ndarray], truth: np.ndarray, metric: Metric) -> None:
        assert all(one.shape == truth.shape for one in values)
        assert truth.any(axis=1).all(), "a row has no class"
        self.classes, self.metric = truth.shape[1], metric
        self.row_codes = truth.argmax(axis=1) * self.classes  # a code is true class * K + decided class
        self.table = transposed([one.ravel() for one in values])
        edges = (edge(axis=1).reshape(truth.shape) for edge in (self.table.min, self.table.max))
        self.lowest, self.highest = (edge.T.astype(np.float64, order="C") for edge in edges)  # (K, N)
        assert np.isfinite(self.highest - self.lowest).all(), "values are not finite"

    def scores(self, total: np.ndarray, count: int) -> np.ndarray:
        """The metric of each of M models added to `total` (N, K), the sum of `count` models."""
        codes, counts = self.decisions(total)
        one_hot = np.eye(self.classes, dtype=bool)
        decided, true = one_hot[codes % self.classes], one_hot[codes // self.classes]
        return np.array([self.metric(decided, true, weight) for weight in counts.T.astype(np.float64)])

    def decisions(self, total: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The codes (C,) that may occur, and how many rows have each with each model added, (C, M)."""
        # exact, as rounding a sum never swaps two
        sums = np.ascontiguousarray(total.T)  # (K, N), as a maximum over whole rows is ten times as fast
        able = sums + self.highest >= (sums + self.lowest).max(axis=0)
        rows, classes = np.divmod(np.flatnonzero(able.T), self.classes)
        codes = self.row_codes[rows] + classes
        occurring = np.bincount(codes) > 0
        codes = (np.cumsum(occurring) - 1)[codes]  # numbered without gaps
        rivals = np.bincount(rows)[rows]
        counts = np.zeros((occurring.sum(), self.table.shape[1]), np.float32)  # exact below 2 ** 24 rows
        counts += np.bincount(codes[rivals == 1], minlength=len(counts))[:, None]
        for many in np.unique(rivals[rivals > 1]):
            here = rivals == many
            places = (rows[here] * self.classes + classes[here]).reshape(-1, many).T
            self.count_wins(counts, total, places, codes[here].reshape(-1, many).T)
        return np.flatnonzero(occurring), counts

    def count_wins(self, counts: np.ndarray, total: np.ndarray, places: np.ndarray, codes: np.ndarray) -> None:
        """Adds to `counts` rows that c classes may win, given as (c, rows): places in the table, numbers in counts."""
        length = max(1, CELLS // self.table.shape[1])
        for start in range(0, places.shape[1], length):
            winners = self.winners(total, places[:, start : start + length])
            code = codes[:, start : start + length].ravel()
            won = (winners == np.arange(len(places))[:, None, None]).reshape(len(code), -1)
            add_up = csc_array(
                (np.ones(len(code), np.float32), code, np.arange(len(code) + 1)), (len(counts), len(code))
            )
            counts += add_up @ won.astype(np.float32)

    def winners(self, total: np.ndarray, places: np.ndarray) -> np.ndarray:
        """Which of the c classes of each row has the highest sum with each model, (rows, M)."""
        number = np.min_scalar_type(len(places)).type
        for rival, place in enumerate(places):
            sums = self.table.take(place, axis=0).astype(np.float64)
            sums += total.ravel()[place, None]
            if rival == 0:
                best, winners = sums, np.zeros(sums.shape, number)
            else:
                np.maximum(winners, (sums > best) * number(rival), out=winners)
                np.maximum(best, sums, out=best)
        return winners


def transposed(rows: Sequence[np.ndarray], length: int = 512) -> np.ndarray:
    """M arrays (n,) as one (n, M), by parts that stay in the cache."""
    table = np.empty((len(rows[0]), len(rows)), rows[0].dtype)
    for start in range(0, len(table), length):
        for number, row in enumerate(rows):
            table[start : start + length, number] = row[start : start + length]
    return table


@FITTERS.register("convex")
def convex(values: Sequence[np.ndarray], truth: np.ndarray, back: Back, exclusive: bool) -> np.ndarray:
    """The weights with which the mean cross-entropy of back(weighted sum) is lowest; binary where not exclusive.

    The problem is convex where probabilities are averaged, or log-probabilities with softmax or logits with the
    logistic function as `back`; with others, such as those of ranks, the optimum may be a local one. A weight up to
    1e-6 counts as 0. Raises ValueError where the optimiser does not come within 0.001 nats of the optimum.
    """
    values = list(values)
    assert all(one.shape == truth.shape for one in values)
    if exclusive and back(values[0]) is values[0]:  # then all that counts is the probability of the true class
        values, truth, exclusive = [one[truth][:, None] for one in values], np.ones((len(truth), 1), bool), False

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        return cross_entropy(weights, values, truth, back, exclusive)

    with threadpool_limits(1):  # on a busy computer they wait for each other, ten times as long as all this takes
        found = minimize(
            loss,
            np.full(len(values), 1 / len(values)),
            jac=True,
            method="SLSQP",
            bounds=[(0, 1)] * len(values),
            constraints=LinearConstraint(np.ones(len(values)), 1, 1),
            options={"ftol": 1e-9, "maxiter": 500},
        )
        weights = np.where(found.x > 1e-6, found.x, 0)  # less is rounding, and no reason to read a file
        weights /= weights.sum()
        slope = loss(weights)[1]
    gap = slope @ weights - slope.min()  # no convex function can be lower by more (Frank and Wolfe 1956)
    if not gap < TOLERANCE:
        raise ValueError(
            f"the convex fit ended {gap:.2g} nats above its optimum, after {found.nit} steps ({found.message}); "
            "fit greedily instead"
        )
    return weights


def cross_entropy(
    weights: np.ndarray, values: Sequence[np.ndarray], truth: np.ndarray, back: Back, exclusive: bool
) -> tuple[float, np.ndarray]:
    """The mean cross-entropy in nats, over classes too where not exclusive; its derivative by the weights (M,)."""
    average = np.zeros(truth.shape)
    for weight, one in zip(weights, values, strict=True):
        average += weight * one
    probabilities = back(average)
    right = np.where(truth, probabilities, 1 - probabilities) + CHANCE
    counted = truth if exclusive else np.ones_like(truth)
    slope = counted * np.where(truth, -1, 1) / right / counted.sum()
    slope = pulled_back(slope, back, average)
    return float(-np.log(right[counted]).mean()), np.array([np.vdot(one, slope) for one in values])


def pulled_back(slope: np.ndarray, back: Back, average: np.ndarray) -> np.ndarray:
    """The derivative by `average` (N, K) of what has the derivative `slope` (N, K) by back(average).

    By differences, one class after another in all rows at once, so that any mean can be fitted.
    """
    found = np.empty_like(average)
    for number, step in enumerate(STEP * np.eye(average.shape[1])):
        found[:, number] = ((back(average + step) - back(average - step)) * slope).sum(axis=1) / (2 * STEP)
    return found
