"""Search spaces with choices that hold knobs of their own: NNI's form, points, their numbers, how far they differ."""

import itertools
import json
import random
import re

import numpy as np
import optuna
import pytest
from nni.algorithms.hpo.random_tuner import suggest
from nni.common.hpo_utils import deformat_parameters, format_search_space

from branches import flat
from sampling.space import key, read_space
from sources import load


def choice(*options):
    return {"_type": "choice", "_value": list(options)}


STEPS = {"_type": "quniform", "_value": [0.1, 0.3, 0.1]}
TWO_DEEP = {
    "lr": choice(0.01, 0.1),
    "optimizer": choice(
        {
            "_name": "SGD",
            "momentum": STEPS,
            "nesterov": choice({"_name": "no"}, {"_name": "yes", "warmup": choice(1, 2)}),
        },
        {"_name": "Adam", "beta": {"_type": "randint", "_value": [0, 4]}},
        {"_name": "Lion"},
    ),
}  # 2 * (3 * (1 + 2) + 4 + 1) = 28 points
SHARED = {
    "optimizer": choice(
        {"_name": "SGD", "lr": {"_type": "loguniform", "_value": [0.01, 1]}},
        {"_name": "Adam", "lr": {"_type": "loguniform", "_value": [1e-5, 1e-3]}},
    )
}


def drawn(space, seed=0):
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    return study, space.draw(study.ask())


def test_a_nested_space_gives_the_points_that_nni_gives():
    """One level deep: of two NNI's own tuners die."""
    sgd, *others = TWO_DEEP["optimizer"]["_value"]
    given = TWO_DEEP | {"optimizer": choice({"_name": "SGD", "momentum": sgd["momentum"]}, *others)}
    formatted, rng = format_search_space(given), np.random.default_rng(0)
    nni = [deformat_parameters(suggest(rng, formatted), formatted) for _ in range(2000)]
    nni = {key(point).replace("0.30000000000000004", "0.3") for point in nni}
    points = list(read_space(given).points())
    assert {key(point) for point in points} == nni
    assert read_space(given).count() == len(points) == len(nni) == 16  # 2 * (3 + 4 + 1)


def test_a_space_two_levels_deep_has_the_points_that_are_counted_by_hand():
    points = list(read_space(TWO_DEEP).points())
    assert read_space(TWO_DEEP).count() == len({key(point) for point in points}) == len(points) == 28
    yes = {"_name": "yes", "warmup": 2}
    assert {"lr": 0.1, "optimizer": {"_name": "SGD", "momentum": 0.3, "nesterov": yes}} in points


@pytest.mark.parametrize("space", [TWO_DEEP, {"a": choice(1, 2, 3), "b": choice("x"), "c": STEPS}])
def test_a_point_is_its_numbers_and_they_are_the_point(space):
    space = read_space(space)
    for point in space.points():
        study = optuna.create_study()
        study.enqueue_trial(space.numbers(flat(point)))
        trial = study.ask()
        assert space.draw(trial) == point
        assert trial.params == space.numbers(flat(point))


def test_a_drawn_point_holds_the_knobs_of_the_chosen_branch_alone():
    space, seen = read_space(TWO_DEEP), set()
    for seed in range(60):
        study, point = drawn(space, seed)
        json.dumps(point)  # plain Python, as NNI sends it
        chosen = point["optimizer"]["_name"]
        seen.add(chosen)
        inner = {"SGD": {"momentum", "nesterov"}, "Adam": {"beta"}, "Lion": set()}[chosen]
        assert point["optimizer"].keys() == {"_name"} | inner
        labels = {f"optimizer={chosen}/{name}" for name in inner}
        if chosen == "SGD" and point["optimizer"]["nesterov"]["_name"] == "yes":
            labels.add("optimizer=SGD/nesterov=yes/warmup")
        assert study.trials[0].params.keys() == {"lr", "optimizer"} | labels
    assert seen == {"SGD", "Adam", "Lion"}


def test_the_same_name_in_two_branches_is_two_knobs_for_the_sampler_and_one_for_the_trial():
    space = read_space(SHARED)
    assert [knob.label for knob in space.all_knobs()] == ["optimizer", "optimizer=SGD/lr", "optimizer=Adam/lr"]
    assert space.numbers({"optimizer": "Adam", "lr": 1e-4}) == {"optimizer": 1, "optimizer=Adam/lr": 1e-4}
    assert space.numbers({"optimizer": "SGD", "lr": 0.1}) == {"optimizer": 0, "optimizer=SGD/lr": 0.1}
    with pytest.raises(ValueError, match="^lr = 0.1 is not within 1e-05 and 0.001$"):
        space.numbers({"optimizer": "Adam", "lr": 0.1})


def test_a_plain_option_beside_one_with_knobs_has_none():
    space = read_space({"optimizer": choice("Adam", {"_name": "SGD", "momentum": choice(0.0, 0.9)})})
    assert [flat(point) for point in space.points()] == [
        {"optimizer": "Adam"},
        {"optimizer": "SGD", "momentum": 0.0},
        {"optimizer": "SGD", "momentum": 0.9},
    ]


def test_numbers_say_what_is_missing_and_pass_over_what_the_space_lacks():
    space = read_space(TWO_DEEP)
    knobs = {"lr": 0.1, "optimizer": "Adam", "beta": 3, "batch_size": 32}
    assert space.numbers(knobs) == {"lr": 1, "optimizer": 1, "optimizer=Adam/beta": 3}
    with pytest.raises(ValueError, match="^beta is missing$"):
        space.numbers({"lr": 0.1, "optimizer": "Adam"})
    with pytest.raises(ValueError, match="^optimizer = 'RAdam' is none of 'SGD', 'Adam', 'Lion'$"):
        space.numbers({"lr": 0.1, "optimizer": "RAdam"})
    assert space.numbers({"optimizer": "Adam"}, partly=True) == {"optimizer": 1}


@pytest.mark.parametrize("seed", range(5))
def test_count_is_the_number_of_points_of_any_space(seed):
    rng, names = random.Random(seed), itertools.count()

    def made(depth):
        knobs = {}
        for _ in range(rng.randint(0, 2) if depth else 2):
            options = (
                [{"_name": str(number)} | made(depth + 1) for number in range(rng.randint(1, 3))] if depth < 2 else []
            )
            knobs[f"k{next(names)}"] = choice(*(options or range(rng.randint(1, 3))))
        return knobs

    space = read_space(made(0))
    points = list(space.points())
    assert space.count() == len(points) == len({key(point) for point in points})


def test_a_space_with_an_endless_knob_in_any_branch_has_no_count():
    assert read_space(SHARED).count() is None
    assert read_space({"seed": {"_type": "randint", "_value": [0, 2**40]}, "a": choice(1, 2)}).count() is None


def test_the_key_of_a_point_knows_no_order_no_nesting_and_no_whole_float():
    assert key({"a": 1, "b": {"_name": "x", "c": 2}}) == key({"c": 2.0, "b": "x", "a": 1.0})
    assert key({"a": 1}) != key({"a": 2})
    assert key({"a": 1}) != key({"a": "1"})
    assert key({"a": True}) != key({"a": 1})


def test_points_are_apart_by_shares_of_ranges_and_by_options():
    space = read_space(
        {
            "lr": {"_type": "uniform", "_value": [0, 2]},
            "size": choice(16, 32, 64),
            "model": choice("a", "b"),
            "optimizer": choice({"_name": "SGD", "momentum": choice(0.0, 0.5, 0.9)}, {"_name": "Adam"}),
        }
    )

    def numbers(**knobs):
        return space.numbers({"lr": 1, "size": 16, "model": "a", "optimizer": "Adam"} | knobs)

    assert space.apart(numbers(), numbers()) == 0
    assert space.apart(numbers(), numbers(lr=1.5)) == 0.25  # 0.5 of a range of 2
    assert space.apart(numbers(), numbers(size=32)) == 0.5  # one step of two
    assert space.apart(numbers(), numbers(model="b")) == 1
    assert space.apart(numbers(), numbers(optimizer="SGD", momentum=0.0)) == 2  # it has a knob more
    one, other = (numbers(optimizer="SGD", momentum=value) for value in (0.0, 0.9))
    assert space.apart(one, other) == space.apart(other, one) == 1


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "the search space holds no knobs"),
        ([], "the search space holds no knobs"),
        ({"lr": 0.1}, 'lr is 0.1; write {"_type": "choice", "_value": […]}'),
        ({"lr": {"_type": "choice"}}, "lr is {'_type': 'choice'}; write"),
        ({"lr": {"_type": "choice", "_value": 3}}, "lr is {'_type': 'choice', '_value': 3}; write"),
        ({"a": choice({"_name": "x", "b": choice()})}, "a=x/b: choice is empty; write a list of values"),
        ({"a": choice({"_name": "x", "b": 3})}, "a=x/b is 3; write"),
        ({"a": choice({"momentum": choice(1)})}, "has no name; write"),
        ({"a": choice({"_name": "x"}, {"_name": "x"})}, "a: choice holds 'x' twice; take one out"),
        ({"a": choice({"_name": "x"}, "x")}, "a: choice holds 'x' twice"),
        ({"a": choice({"_name": "x"}, 3)}, "a: the option 3 has no name"),
        ({"a": choice({"_name": "x", "b": choice(1)}), "b": choice(2)}, "b is a knob outside of this choice too"),
        ({"b": choice(2), "a": choice({"_name": "x", "b": choice(1)})}, "a: b is a knob outside of this choice too"),
        ({"a": choice({"_name": "x", "a": choice(1)})}, "a: a is a knob outside of this choice too; rename one"),
        (
            {"a": choice({"_name": "x", "m": choice(1)}), "b": choice({"_name": "y", "m": choice(1)})},
            "b: m is a knob outside of this choice too",
        ),
        (
            {"a": choice({"_name": "x", "b": choice({"_name": "y", "c": choice(1)})}), "c": choice(2)},
            "c is a knob outside of this choice too",
        ),
    ],
)
def test_what_is_no_space_is_refused(given, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        read_space(given)


def test_a_trial_takes_nested_parameters_as_flat_knobs():
    parameters = {"lr": 0.01, "optimizer": {"_name": "SGD", "momentum": 0.5}}
    assert flat(parameters) == {"lr": 0.01, "optimizer": "SGD", "momentum": 0.5}
    config, overrides = load(["--momentum", "0.9"], {}, flat(parameters))
    assert (config.lr, config.optimizer, config.momentum) == (0.01, "SGD", 0.5)
    assert [(entry["knob"], entry["by"]) for entry in overrides] == [("momentum", "NNI")]
    deep = {"a": {"_name": "x", "b": {"_name": "y", "c": {"_name": "z", "d": 1}}}, "e": [1, 2], "f": {"g": 1}}
    assert flat(deep) == {"a": "x", "b": "y", "c": "z", "d": 1, "e": [1, 2], "f": {"g": 1}}


@pytest.mark.parametrize(
    "twice",
    [
        {"momentum": 0.9, "optimizer": {"_name": "SGD", "momentum": 0.5}},
        {"optimizer": {"_name": "SGD", "momentum": 0.5}, "momentum": 0.9},
        {"optimizer": {"_name": "SGD", "optimizer": 0.5}},
        {"a": {"_name": "x", "momentum": 1}, "b": {"_name": "y", "momentum": 1}},
    ],
)
def test_a_trial_that_would_get_a_knob_twice_is_refused(twice):
    with pytest.raises(ValueError, match=r"^NNI: \w+ and another choice both set (momentum|optimizer); rename one"):
        flat(twice)
