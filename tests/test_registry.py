import pytest

from registry import Registry


def test_an_unknown_name_gets_the_nearest_known_one_and_the_list():
    things = Registry("model")
    things.register("resnet18")(lambda: None)
    things.register("tiny")(lambda: None)
    with pytest.raises(ValueError, match=r"unknown model 'ResNt18'. Did you mean 'resnet18'\? Known: resnet18, tiny"):
        things["ResNt18"]


def test_a_factory_receives_only_the_knobs_it_names():
    things = Registry("thing")

    @things.register("one")
    def one(lr: float) -> float:
        return lr * 2

    assert things.build("one", {"lr": 3, "epochs": 5}) == 6


def test_a_name_is_registered_once():
    things = Registry("thing")
    things.register("one")(lambda: None)
    with pytest.raises(ValueError, match="twice"):
        things.register("one")
