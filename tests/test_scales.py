"""What a _type of NNI's search spaces means: the values and shares that NNI's own code gives, and what is refused."""

import math
import re

import numpy as np
import pytest
from nni.algorithms.hpo.random_tuner import suggest
from nni.common.hpo_utils import deformat_parameters, format_search_space
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from scipy.stats import ks_2samp, norm

from sampling.scales import TYPES
from sampling.space import read_space

FINITE = [
    ("choice", [0.01, 0.1, 1, 10]),
    ("choice", ["SGD", "Adam"]),
    ("choice", [True, False]),
    ("choice", ["none", 0.5, [64, 64], None]),
    ("choice", [7]),
    ("randint", [3, 9]),
    ("randint", [-2, -1]),
    ("quniform", [0, 1, 0.1]),
    ("quniform", [1, 10, 3]),
    ("quniform", [-0.7, 0.7, 0.25]),
    ("quniform", [2, 3, 50]),
    ("qloguniform", [0.001, 0.1, 0.003]),
    ("qloguniform", [1, 1000, 10]),
]
ENDLESS = [
    ("uniform", [-2, 5.5]),
    ("loguniform", [1e-5, 0.3]),
    ("normal", [2, 3]),
    ("qnormal", [0, 5, 2]),
    ("qnormal", [10, 0.1, 4]),
    ("lognormal", [-3, 2]),
    ("qlognormal", [0, 1, 0.5]),
]
DRAWS = 4000


def scale(kind, given):
    (knob,) = read_space({"x": {"_type": kind, "_value": given}}).knobs
    return knob.scale


def draws(scale, count=DRAWS, seed=0):
    """Numbers as a random sampler draws them."""
    rng = np.random.default_rng(seed)
    match scale.distribution:
        case FloatDistribution(low=low, high=high, log=True):
            return np.exp(rng.uniform(math.log(low), math.log(high), count)).clip(low, high).tolist()
        case FloatDistribution(low=low, high=high):
            return rng.uniform(low, high, count).tolist()
        case IntDistribution(low=low, high=high):
            return rng.integers(low, high, count, endpoint=True).tolist()
        case CategoricalDistribution(choices=choices):
            return rng.choice(choices, count).tolist()


def by_nni(kind, given, count=DRAWS, seed=1):
    space, rng = format_search_space({"x": {"_type": kind, "_value": given}}), np.random.default_rng(seed)
    return [deformat_parameters(suggest(rng, space), space)["x"] for _ in range(count)]


def distinct(values):
    """Without the noise of 3 * 0.1; NNI gives 1 and 1.0 for the same step."""
    return {repr(round(float(value), 9)) if type(value) in (int, float) else repr(value) for value in values}


def test_every_type_is_tested_here_and_nni_knows_no_other():
    from nni.common.hpo_utils.validation import common_search_space_types

    assert set(TYPES.entries) == {kind for kind, _ in FINITE + ENDLESS} == set(common_search_space_types)


@pytest.mark.parametrize(("kind", "given"), FINITE + ENDLESS)
def test_a_value_gives_the_number_that_gives_it_again(kind, given):
    own = scale(kind, given)
    edges = [own.distribution.low, own.distribution.high] if hasattr(own.distribution, "low") else []
    for number in [*edges, *draws(own)]:
        value = own.value(number)
        again = own.number(value)
        assert own.distribution._contains(own.distribution.to_internal_repr(again))
        assert own.value(again) == (pytest.approx(value, rel=1e-9, abs=1e-12) if isinstance(value, float) else value)


@pytest.mark.parametrize(("kind", "given"), FINITE)
def test_the_values_of_a_finite_type_are_those_that_nni_gives(kind, given):
    own = scale(kind, given)
    nni = distinct(by_nni(kind, given, 30_000))
    assert distinct(own.values) == nni
    assert distinct(own.value(number) for number in draws(own, 30_000)) == nni
    assert len(own.values) == len(nni)


@pytest.mark.parametrize(("kind", "given"), [*ENDLESS, ("qloguniform", [1, 1000, 10])])
def test_the_shares_of_the_other_types_are_those_of_nni(kind, given):
    own = scale(kind, given)
    ours, theirs = [own.value(number) for number in draws(own)], by_nni(kind, given)
    assert ks_2samp(ours, theirs, method="asymp").pvalue > 0.001
    assert (
        ks_2samp([value * 1.2 + 0.2 for value in ours], theirs, method="asymp").pvalue < 0.001
    )  # it would see a difference


def test_a_normal_distribution_is_cut_where_the_comment_says():
    own = scale("normal", [2, 3])
    edge = 2 + 3 * norm.isf(1e-6)
    assert own.value(own.distribution.high) == pytest.approx(edge)
    assert edge == pytest.approx(2 + 3 * 4.75, abs=0.02)
    with pytest.raises(ValueError, match="more than 4.75 standard deviations of 3 from 2"):
        own.number(edge + 0.01)


def test_three_numbers_have_an_order_and_two_or_words_have_none():
    assert scale("choice", [64, 16, 32]).values == (16, 32, 64)
    assert scale("choice", [64, 16, 32]).distribution == IntDistribution(0, 2)
    for options in ([64, 16], ["a", "b", "c"], [True, False, 1.5]):
        assert scale("choice", options).distribution == CategoricalDistribution(range(len(options)))


@pytest.mark.parametrize(
    ("kind", "given"),
    [("randint", [0, 2**32]), ("quniform", [0, 1, 1e-9]), ("qloguniform", [1e-9, 1, 1e-9]), ("quniform", [0, 1e12, 1])],
)
def test_values_too_many_to_list_cost_nothing_and_count_as_without_end(kind, given):
    own = scale(kind, given)
    assert own.values is None
    assert read_space({"x": {"_type": kind, "_value": given}}).count() is None
    middle = own.value(draws(own, 1)[0])
    assert given[0] <= middle <= given[1]
    assert own.value(own.number(middle)) == middle


@pytest.mark.parametrize(
    ("kind", "given", "value"),
    [
        ("choice", ["SGD", "Adam"], "sgd"),
        ("choice", [16, 32, 64], "16"),
        ("randint", [3, 9], 9),
        ("randint", [3, 9], 4.5),
        ("randint", [3, 9], True),
        ("uniform", [0, 1], 1.0001),
        ("uniform", [0, 1], "0.5"),
        ("uniform", [0, 1], math.nan),
        ("quniform", [0, 1, 0.1], 0.15),
        ("quniform", [1, 10, 3], 10),
        ("loguniform", [0.01, 1], 0),
        ("qloguniform", [1, 1000, 10], 25),
        ("qnormal", [0, 5, 2], 3),
        ("lognormal", [0, 1], -1),
        ("qlognormal", [0, 1, 0.5], 0.7),
        ("qlognormal", [5, 0.1, 0.5], 0),
    ],
)
def test_a_value_that_the_knob_cannot_have_is_refused(kind, given, value):
    space = read_space({"x": {"_type": kind, "_value": given}})
    with pytest.raises(ValueError, match=r"^x = .* is "):
        space.numbers({"x": value})


@pytest.mark.parametrize(
    ("kind", "given", "words"),
    [
        ("choice", [], "x: choice is empty; write a list of values"),
        ("choice", ["SGD", "Adam", "SGD"], "x: choice holds 'SGD' twice; take one out"),
        ("choice", [16, 16.0], "x: choice holds 16.0 twice"),
        ("randint", [0.5, 3], "x: randint [0.5, 3] needs whole numbers"),
        ("randint", [3, 3], "x: randint [3, 3] is empty; write the smaller end first"),
        ("uniform", [1, 0], "x: uniform [1, 0] is empty; write the smaller end first"),
        ("uniform", [1, 1], "x: uniform [1, 1] is empty"),
        ("uniform", ["1e-3", "1e-1"], "x: uniform takes numbers, not '1e-3'; write 0.001 for 1e-3, which YAML takes"),
        ("uniform", [0, None], "takes numbers, not None"),
        ("uniform", [False, True], "takes numbers, not False"),
        ("uniform", [0, math.inf], "takes numbers, not inf"),
        ("uniform", [0], "x: uniform does not take [0]; see NNI's search spaces"),
        ("uniform", [0, 1, 0.1], "x: uniform does not take [0, 1, 0.1]"),
        ("quniform", [0, 1], "x: quniform does not take [0, 1]"),
        ("quniform", [0, 1, 0], "x: quniform has the step 0; write one above 0"),
        ("quniform", [0, 1, -0.1], "has the step -0.1; write one above 0"),
        ("loguniform", [0, 1], "x: loguniform begins at 0, whose logarithm does not exist; write an end above 0"),
        ("loguniform", [-1, 1], "begins at -1, whose logarithm"),
        ("qloguniform", [0, 1, 0.1], "begins at 0, whose logarithm"),
        ("qloguniform", [1, 2, 0], "has the step 0; write one above 0"),
        ("normal", [0, 0], "x: normal has the standard deviation 0; write one above 0"),
        ("qnormal", [0, 1, 0], "has the step 0; write one above 0"),
        ("lognormal", [0, -1], "has the standard deviation -1; write one above 0"),
        ("qlognormal", [0, 1, 0], "has the step 0; write one above 0"),
        ("loguniformm", [0.1, 1], "x: unknown _type 'loguniformm'. Did you mean 'loguniform'?"),
    ],
)
def test_what_is_no_space_is_refused_by_the_name_of_its_knob(kind, given, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        read_space({"x": {"_type": kind, "_value": given}})
