import re
from collections import OrderedDict

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from model import model_factory
from pretrained import fetch_weights, load_trunk, read_weights


def trunk_and_head(classes):
    return nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Linear(5, classes))


def test_the_trunk_is_loaded_and_the_last_layer_stays_new():
    source, target = trunk_and_head(1000), trunk_and_head(18)
    head = target[2].weight.clone()
    load_trunk(target, source.state_dict(), "file", 18)
    assert torch.equal(target[0].weight, source[0].weight)
    assert torch.equal(target[2].weight, head)


def test_weights_of_the_same_classes_are_loaded_whole():
    source, target = trunk_and_head(18), trunk_and_head(18)
    load_trunk(target, source.state_dict(), "file", 18)
    assert torch.equal(target[2].weight, source[2].weight)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda state: state.pop("0.weight"), r"1 of its 9 tensors are missing or of another shape \(0.weight"),
        (lambda state: state.update({"0.weight": torch.zeros(9, 9)}), "does not fit"),
        (lambda state: state.update(neck=torch.zeros(1)), r"1 are unknown to it \(neck\)"),
    ],
)
def test_weights_that_do_not_fit_are_refused(change, says):
    state = dict(trunk_and_head(1000).state_dict())
    change(state)
    with pytest.raises(ValueError, match=says):
        load_trunk(trunk_and_head(18), state, "file", 18)


@pytest.mark.parametrize("name", ["w.pt", "w.pth", "w.safetensors"])
def test_weights_are_read_from_every_format(tmp_path, name):
    state = trunk_and_head(3).state_dict()
    (save_file if name.endswith("safetensors") else torch.save)(state, tmp_path / name)
    assert torch.equal(read_weights(tmp_path / name)["0.weight"], state["0.weight"])


def without_counters(state):
    """As files from before torch 0.4.1 are: no num_batches_tracked, no versions."""
    return {name: tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")}


def older_vit(state):
    """As torchvision's published ViT weights are: the MLP's layers under their first names, version 1."""
    older = {".mlp.0.": ".mlp.linear_1.", ".mlp.3.": ".mlp.linear_2."}
    old = OrderedDict((re.sub(r"\.mlp\.[03]\.", lambda m: older[m[0]], name), tensor) for name, tensor in state.items())
    old._metadata = {key: value | {"version": 1} for key, value in state._metadata.items()}
    return old


@pytest.mark.parametrize(
    ("name", "age"),
    [("resnet18", without_counters), ("vgg11_bn", without_counters), ("mnasnet0_5", dict), ("vit_b_32", older_vit)],
)
def test_weights_in_the_layout_of_older_files_are_loaded(name, age):
    source = model_factory(name)(1000, (64, 64))
    torch.nn.init.constant_(next(source.parameters()), 0.5)
    target = model_factory(name)(18, (64, 64))
    load_trunk(target, age(source.state_dict()), "file", 18)
    assert next(target.parameters()).unique().tolist() == [0.5]


def test_densenet_s_published_names_are_those_of_the_model(monkeypatch):
    own = model_factory("densenet121")(1000, (64, 64)).state_dict()
    published = {re.sub(r"(denselayer\d+\.(?:norm|conv))(\d)", r"\1.\2", name): tensor for name, tensor in own.items()}
    assert published.keys() != own.keys()
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", lambda *given, **options: published)
    assert fetch_weights("densenet121").keys() == own.keys()


def test_wrapped_weights_are_read(tmp_path):
    torch.save({"epoch": 3, "state_dict": {"module.a": torch.ones(2)}}, tmp_path / "w.pt")
    assert list(read_weights(tmp_path / "w.pt")) == ["a"]


def test_a_file_that_could_run_code_is_refused(tmp_path):
    torch.save(nn.Sequential(nn.Linear(1, 1)), tmp_path / "w.pt")
    with pytest.raises(ValueError, match="state_dict"):
        read_weights(tmp_path / "w.pt")


@pytest.mark.parametrize("name", ["missing.pt", "text.pt", "text.safetensors"])
def test_an_unreadable_weights_file_is_named(tmp_path, name):
    if name.startswith("text"):
        (tmp_path / name).write_text("weights")
    with pytest.raises(ValueError, match=name):
        read_weights(tmp_path / name)


@pytest.mark.parametrize("name", ["Efficientnet_b4", "resnet18", "timm/resnet10t"])
def test_weights_that_cannot_be_fetched_say_what_to_pass(name, monkeypatch):
    def offline(*given, **options):
        raise OSError("no network")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", offline)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", offline)
    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(ValueError, match=r"OSError: no network.* Pass --weights FILE .* or --pretrained false"):
        fetch_weights(name)
