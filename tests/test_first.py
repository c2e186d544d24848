"""Points that a search begins with: given ones, and those known to be good for the models of its space."""

import json
import re

import pytest

from sampling.first import SEARCH, first_points, read_first, untried
from sampling.space import read_space
from sources import load


def choice(*options):
    return {"_type": "choice", "_value": list(options)}


GIVEN = {
    "lr": {"_type": "loguniform", "_value": [0.0001, 0.1]},
    "batch_size": choice(16, 32, 64),
    "optimizer": choice({"_name": "SGD", "momentum": choice(0.0, 0.9)}, {"_name": "Adam"}),
}


def points(first, space):
    """(points, what was said)"""
    said = []
    found = first_points(first, read_space(space), lambda text, *words: said.append(text % words))
    return found, said


def family(folder, **families):
    path = folder / "good.json"
    path.write_text(json.dumps(families))
    return str(path)


def test_given_points_keep_their_order_and_the_knobs_they_name():
    found, said = points([{"batch_size": 64}, {"lr": 0.01, "batch_size": 16, "optimizer": "Adam"}, {}], GIVEN)
    assert found == [{"batch_size": 2}, {"lr": 0.01, "batch_size": 0, "optimizer": 1}, {}]
    assert said == []


@pytest.mark.parametrize(
    "point", [{"optimizer": "SGD", "momentum": 0.9}, {"optimizer": {"_name": "SGD", "momentum": 0.9}}]
)
def test_a_given_point_may_be_flat_or_as_nni_hands_it_out(point):
    assert points([point], GIVEN)[0] == [{"optimizer": 0, "optimizer=SGD/momentum": 1}]


@pytest.mark.parametrize(
    ("second", "words"),
    [
        ({"batch_size": 48}, "first point 2: batch_size = 48 is none of 16, 32, 64; correct it, or the search space"),
        ({"lr": 1}, "first point 2: lr = 1 is not within 0.0001 and 0.1; correct it"),
        ({"lr": "0.01"}, "first point 2: lr = '0.01' is no number"),
        ({"epochs": 3}, "first point 2: epochs is no knob of the search space"),
        (
            {"optimizer": "Adam", "momentum": 0.9},
            "first point 2: momentum is no knob of the search space, or of a choice",
        ),
        ({"momentum": 0.9}, "momentum is no knob of the search space, or of a choice that the point does not name"),
        ({"optimizer": "SGD", "momentum": 0.5}, "first point 2: momentum = 0.5 is none of 0.0, 0.9"),
        ({"optimizer": "RAdam"}, "first point 2: optimizer = 'RAdam' is none of 'SGD', 'Adam'"),
        (3, 'first point 2: 3 is no point such as {"lr": 0.001}'),
    ],
)
def test_a_given_point_outside_the_space_is_refused_by_its_number_and_knob(second, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        points([{"lr": 0.01}, second], GIVEN)


def test_a_file_gives_each_model_the_knobs_of_the_first_pattern_that_it_fits(tmp_path):
    path = family(
        tmp_path,
        **{"resnet*": {"lr": 0.01}, "resnet18": {"lr": 0.02}, "timm/vit*": {"lr": 0.001, "batch_size": 16}},
    )
    space = GIVEN | {"model": choice("resnet18", "timm/vit_tiny", "tiny")}
    assert points(path, space) == ([{"model": 0, "lr": 0.01}, {"model": 1, "lr": 0.001, "batch_size": 0}], [])


def test_without_models_in_the_space_the_knobs_of_any_model_are_tried(tmp_path):
    path = family(tmp_path, **{"resnet*": {"lr": 0.01}, "*": {"lr": 0.001, "batch_size": 32}})
    assert points(path, GIVEN)[0] == [{"lr": 0.001, "batch_size": 1}]
    assert points(family(tmp_path, **{"resnet*": {"lr": 0.01}}), GIVEN)[0] == []


def test_two_models_of_which_one_is_left_make_one_point(tmp_path):
    assert points(family(tmp_path, **{"*": {"lr": 0.001}}), {"lr": GIVEN["lr"], "model": choice("a")})[0] == [
        {"model": 0, "lr": 0.001}
    ]


def test_values_of_a_file_that_the_space_lacks_are_moved_to_the_nearest_by_ratio_and_said(tmp_path):
    path = family(tmp_path, **{"*": {"lr": 0.003, "batch_size": 24, "criterion": "focal", "epochs": 9, "seed": 3}})
    space = {
        "lr": choice(0.001, 0.01),  # 0.003 is 3 times the one, and the other 3.3 times 0.003
        "batch_size": choice(8, 64),  # 24 is 3 times 8; 64 is 2.7 times 24, though farther by subtraction
        "criterion": choice("bce", "cross_entropy"),
        "seed": {"_type": "uniform", "_value": [10, 20]},
    }
    found, said = points(path, space)
    assert found == [{"lr": 0, "batch_size": 1}]
    assert said == [
        "first: lr = 0.003 is not in the search space; taking 0.001",
        "first: batch_size = 24 is not in the search space; taking 64",
        "first: criterion = 'focal' is not in the search space; the sampler chooses",
        "first: seed = 3 is not in the search space; the sampler chooses",
    ]


def test_a_knob_that_two_branches_share_is_moved_within_the_branch_that_is_chosen(tmp_path):
    path = family(tmp_path, **{"*": {"optimizer": "SGD", "lr": 0.02}})
    branches = {"_name": "SGD", "lr": choice(0.01, 0.1)}, {"_name": "Adam", "lr": choice(0.0001, 0.001)}
    for options in (branches, branches[::-1]):
        found, said = points(path, {"optimizer": choice(*options)})
        place = options.index(branches[0])
        assert found == [{"optimizer": place, "optimizer=SGD/lr": 0}]
        assert said == ["first: lr = 0.02 is not in the search space; taking 0.01"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "cannot be read"),
        ("{", "cannot be read"),
        ("[1]", 'is not of the form {"resnet*": {"lr": 0.001}}'),
        ('{"*": 3}', 'is not of the form {"resnet*": {"lr": 0.001}}'),
    ],
)
def test_a_file_that_is_none_is_refused(tmp_path, text, words):
    path = tmp_path / "good.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ValueError, match="^first: ") as error:
        points(str(path), GIVEN)
    assert words in str(error.value)
    assert str(path) in str(error.value)


def test_our_file_lies_in_search_and_trials_take_its_knobs():
    assert (SEARCH / "known_good.json").is_file()
    families = read_first("known_good.json")
    assert list(families)[-1] == "*"  # behind it no pattern is reached
    for knobs in families.values():
        config, _ = load([], {}, knobs)
        assert all(getattr(config, name) == value for name, value in knobs.items())


def test_first_points_with_which_a_trial_has_begun_are_not_left():
    space = read_space(GIVEN)
    first = first_points([{"lr": 0.01}, {"batch_size": 32, "optimizer": "Adam"}, {"batch_size": 64}], space, print)
    begun = [
        {"lr": 0.01, "batch_size": 16, "optimizer": "Adam"},
        {"lr": 0.02, "batch_size": 32, "optimizer": "SGD", "momentum": 0.0},
        {"depth": 3},  # of another space
    ]
    assert untried(first, begun, space) == [{"batch_size": 1, "optimizer": 1}, {"batch_size": 2}]
    assert untried(first, [], space) == first
