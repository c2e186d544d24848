"""The attention head, against the formula written out, and against the plain head that it starts as."""

import pytest
import torch
from torch import nn

import model
from attention import AttentionPool
from config import Config
from model import build_model, model_factory

KNOBS = Config(pretrained=False, resize=(128, 128)).values()
ATTENTION = KNOBS | {"attention": True}
FIT = ["resnet18", "inception_v3", "Efficientnet_b0", "timm/seresnext50_32x4d"]


def logits(network, channels=3):
    photos = torch.rand(2, channels, 128, 128, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        return network.eval()(photos)


def planted(name, **changes):
    """A model whose attention is no longer even."""
    torch.manual_seed(0)
    network = build_model(name, 5, ATTENTION | changes)
    head = next(part for part in network.modules() if isinstance(part, AttentionPool))
    nn.init.normal_(head.position_map.weight)
    return network, head


def test_each_class_is_the_mean_of_its_map_weighed_by_the_softmax_of_the_other():
    last = nn.Linear(1, 2)
    last.weight.data, last.bias.data = torch.tensor([[1.0], [-1.0]]), torch.tensor([0.5, 0.0])
    head = AttentionPool(last, dropout=0.0)
    head.position_map.weight.data.fill_(1.0)
    features = torch.tensor([0.0, 0.0, 0.0, 1.0986123]).reshape(1, 1, 2, 2)  # ln 3, so the weights are 1/6 x 3 and 3/6
    mean = 1.0986123 / 2
    torch.testing.assert_close(head(features).flatten(), torch.tensor([mean + 0.5, -mean]))


@pytest.mark.parametrize("name", FIT)
def test_it_starts_as_the_plain_head(name):
    torch.manual_seed(0)
    plain = logits(build_model(name, 5, KNOBS))
    torch.manual_seed(0)
    torch.testing.assert_close(logits(build_model(name, 5, ATTENTION)), plain, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", FIT)
def test_the_last_pooling_and_the_last_layer_are_replaced_and_learn(name):
    network, head = planted(name)
    seen = []
    head.register_forward_pre_hook(lambda part, given: seen.append(given[0]))
    found = logits(network)
    features = seen[0]
    assert features.shape[2] > 1  # several positions
    weights = torch.einsum("of,bfhw->bhw", head.position_map.weight[:, :, 0, 0], features)
    weights = torch.softmax(weights.reshape(2, -1), dim=1).reshape(weights.shape)
    classes = torch.einsum("kf,bfhw->bkhw", head.class_map.weight[:, :, 0, 0], features)
    expected = (classes * weights[:, None]).sum(dim=(2, 3)) + head.class_map.bias
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    network.train()(torch.rand(2, 3, 128, 128)).square().sum().backward()
    assert head.position_map.weight.grad.abs().sum() > 0
    assert network.training


def test_a_dropout_before_the_last_layer_drops_features_and_never_logits():
    network, head = planted("inception_v3")
    assert (head.dropout.p, network.dropout.p) == (0.5, 0.0)
    assert build_model("inception_v3", 5, KNOBS).dropout.p == 0.5


def test_it_takes_more_channels():
    network = build_model("resnet18", 5, ATTENTION, 4)
    assert logits(network, channels=4).shape == (2, 5)


@pytest.mark.parametrize(
    "name", ["vit_b_32", "vgg11", "densenet121", "mobilenet_v3_small", "convnext_tiny", "timm/convnext_atto"]
)
def test_a_model_that_it_does_not_fit_is_named(name):
    with pytest.raises(ValueError, match=rf"--attention true does not fit {name}, .* Take a model like resnet34"):
        build_model(name, 5, ATTENTION)


def test_a_norm_between_pooling_and_last_layer_is_found_even_for_as_many_classes_as_features(monkeypatch):
    def build(out_features):
        pool = nn.AdaptiveAvgPool2d(1)
        return nn.Sequential(nn.Conv2d(3, 5, 1), pool, nn.Flatten(), nn.LayerNorm(5), nn.Linear(5, out_features))

    monkeypatch.setitem(model.MODELS.entries, "own", build)
    with pytest.raises(ValueError, match="--attention true does not fit own"):
        build_model("own", 5, ATTENTION)


def test_photos_too_small_for_the_model_are_told_as_such():
    with pytest.raises(ValueError, match="inception_v3 cannot take photos of 32 x 32"):
        build_model("inception_v3", 5, ATTENTION | {"resize": [32, 32]})


def test_imagenet_weights_fill_the_trunk(monkeypatch):
    fetched = model_factory("resnet18")(1000, (128, 128)).state_dict()
    monkeypatch.setattr(model, "fetch_weights", lambda name: fetched)
    network = build_model("resnet18", 5, ATTENTION | {"pretrained": True})
    assert torch.equal(network.layer4[1].conv2.weight, fetched["layer4.1.conv2.weight"])
    assert logits(network).shape == (2, 5)


def test_a_plain_run_of_the_same_classes_hands_its_last_layer_on(tmp_path):
    plain = build_model("resnet18", 5, KNOBS)
    torch.save(plain.state_dict(), tmp_path / "best.pt")
    network = build_model("resnet18", 5, ATTENTION | {"weights": str(tmp_path / "best.pt")})
    torch.testing.assert_close(logits(network), logits(plain), rtol=1e-4, atol=1e-5)


def test_a_run_with_attention_is_loaded_whole(tmp_path):
    source, _ = planted("timm/resnet10t")
    torch.save(source.state_dict(), tmp_path / "best.pt")
    weights = {"weights": str(tmp_path / "best.pt")}
    torch.testing.assert_close(logits(build_model("timm/resnet10t", 5, ATTENTION | weights)), logits(source))
    with pytest.raises(ValueError, match="does not fit the model"):
        build_model("timm/resnet10t", 5, KNOBS | weights)


def test_the_photos_that_find_the_head_leave_no_trace():
    network = build_model("resnet18", 5, ATTENTION)
    assert torch.equal(network.bn1.running_mean, torch.zeros(64))
    assert not any(part._forward_hooks for part in network.modules())
