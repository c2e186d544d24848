import math
import shutil

import pytest
import torch
from efficientnet_pytorch import EfficientNet
from torch import nn
from torch.nn.functional import conv2d, cross_entropy
from walks import history, load_json, run_trial

import model
from config import Config
from draw import draw_competition
from model import MODELS, build_model, first_convolution, model_factory, torchvision_names, try_on

KNOBS = Config(pretrained=False, resize=(224, 224)).values()
EACH_FAMILY = ["Efficientnet_b0", "resnet18", "vgg11", "squeezenet1_1", "mobilenet_v3_small", "googlenet", "vit_b_16"]


def forward(name, device="meta", side=224, channels=3):
    knobs = KNOBS | {"resize": (side, side)}
    with torch.device(device):  # on "meta" nothing is allocated or computed, only shapes
        network = build_model(name, 18, knobs, channels)
        return network.eval()(torch.zeros(2, channels, side, side))


@pytest.mark.parametrize("name", [*EACH_FAMILY, "timm/resnet10t"])
def test_a_model_of_each_family_gives_k_logits(name):
    assert forward(name).shape == (2, 18)


@pytest.mark.parametrize(
    "name", ["Efficientnet_b0", "resnet18", "vgg11", "vit_b_16", "timm/resnet10t", "timm/nfnet_f0"]
)
@pytest.mark.parametrize("channels", [4, 5])
def test_a_model_of_each_family_takes_more_channels(name, channels):
    assert forward(name, channels=channels).shape == (2, 18)


@pytest.mark.slow
@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("name", sorted({*MODELS.entries, *torchvision_names()} - set(EACH_FAMILY)))
def test_every_model_gives_k_logits(name, channels):
    if name.startswith("regnet"):  # computes its widths with tensors, so it cannot be built on "meta"
        assert forward(name, "cpu", 32, channels).shape == (2, 18)
    else:
        assert forward(name, side=299 if name == "inception_v3" else 224, channels=channels).shape == (2, 18)


def test_all_of_torchvision_s_classifiers_are_there():
    assert {"resnet50", "alexnet", "densenet121", "convnext_tiny", "swin_t"} <= set(torchvision_names())
    assert not {"fcn_resnet50", "raft_small", "r3d_18"} & set(
        torchvision_names()
    )  # those give other things than classes
    assert {f"Efficientnet_b{i}" for i in range(8)} <= set(MODELS.entries)


@pytest.mark.parametrize(("name", "near"), [("resnt18", "resnet18"), ("timm/resnet10", "resnet10t"), ("b0", None)])
def test_an_unknown_model_gets_a_suggestion(name, near):
    with pytest.raises(ValueError, match=f"Did you mean '{near}'" if near else "unknown model"):
        model_factory(name)


def test_the_names_listed_for_an_unknown_model_are_those_of_both_libraries():
    with pytest.raises(
        ValueError, match=r"Known: Efficientnet_b0, .*Efficientnet_b7, alexnet, convnext_base, .*in all"
    ):
        model_factory("nothing like it")


def test_efficientnet_with_silu_computes_what_stock_efficientnet_pytorch_does():
    torch.manual_seed(0)
    stock = EfficientNet.from_name("efficientnet-b0", image_size=64, num_classes=18).eval()
    ours = build_model("Efficientnet_b0", 18, KNOBS | {"resize": (64, 64)}).eval()
    ours.load_state_dict(stock.state_dict())
    batch = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        expected, got = stock(batch), ours(batch.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5 * expected.abs().max().item())


def test_a_rectangle_needs_a_model_that_takes_one():
    with pytest.raises(ValueError, match="vit_b_16 takes square photos"):
        build_model("vit_b_16", 18, KNOBS | {"resize": (64, 96)})


def test_pretrained_models_start_from_what_is_fetched(monkeypatch):
    fetched = model_factory("resnet18")(1000, (64, 64)).state_dict()
    monkeypatch.setattr(model, "fetch_weights", lambda name: fetched)
    network = build_model("resnet18", 18, KNOBS | {"pretrained": True})
    assert torch.equal(network.conv1.weight, fetched["conv1.weight"])
    assert network.fc.out_features == 18


def test_a_widened_convolution_sees_what_is_new_as_red():
    torch.manual_seed(0)
    three = build_model("resnet18", 18, KNOBS).conv1
    torch.manual_seed(0)
    four = build_model("resnet18", 18, KNOBS, 4).conv1
    photos = torch.randn(2, 4, 32, 32)
    red = conv2d(photos[:, 3:], three.weight[:, :1], stride=2, padding=3)
    expected = conv2d(photos[:, :3], three.weight, stride=2, padding=3) + red
    torch.testing.assert_close(four(photos), expected)
    assert four.in_channels == 4


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("Efficientnet_b0", "_conv_stem"),  # efficientnet-pytorch's own kind of convolution
        ("vit_b_32", "conv_proj"),
        ("timm/resnet10t", "conv1.0"),
        ("timm/tf_efficientnetv2_b0", "conv_stem"),  # timm's own, padded as TensorFlow does
        ("timm/nfnet_f0", "stem.conv1"),  # standardises its weights
    ],
)
def test_every_kind_of_first_convolution_is_widened(name, stem):
    knobs = KNOBS | {"resize": (64, 64)}
    torch.manual_seed(0)
    three = build_model(name, 18, knobs).get_submodule(stem).weight
    torch.manual_seed(0)
    network = build_model(name, 18, knobs, 6)
    assert first_convolution(network, 6) == stem
    weight = network.get_submodule(stem).weight
    assert torch.equal(weight, torch.cat([three] + [three[:, :1]] * 3, dim=1))
    assert any(parameter is weight for parameter in network.parameters())  # so that it is trained
    try_on(network, name, (64, 64), torch.device("cpu"), 6, 18)


def test_imagenet_weights_are_widened_too(monkeypatch):
    fetched = model_factory("resnet18")(1000, (64, 64)).state_dict()
    red, green = fetched["conv1.weight"][:, 0].clone(), fetched["conv1.weight"][:, 1].clone()
    monkeypatch.setattr(model, "fetch_weights", lambda name: fetched)
    weight = build_model("resnet18", 18, KNOBS | {"pretrained": True}, 4).conv1.weight
    assert weight.shape == (64, 4, 7, 7)
    assert torch.equal(weight[:, 3], red)
    assert torch.equal(weight[:, 1], green)


def test_weights_of_as_many_channels_are_loaded_as_they_are(tmp_path):
    source = build_model("resnet18", 18, KNOBS, 4)
    nn.init.normal_(source.conv1.weight)  # what a run has learnt of yellow
    torch.save(source.state_dict(), tmp_path / "best.pt")
    knobs = KNOBS | {"weights": str(tmp_path / "best.pt")}
    assert torch.equal(build_model("resnet18", 18, knobs, 4).conv1.weight, source.conv1.weight)
    with pytest.raises(ValueError, match=r"does not fit the model .*conv1\.weight"):
        build_model("resnet18", 18, knobs, 5)
    with pytest.raises(ValueError, match=r"does not fit the model .*conv1\.weight"):
        build_model("resnet18", 18, knobs)


def test_a_model_without_a_first_convolution_says_so():
    with torch.device("meta"), pytest.raises(ValueError, match=r"tresnet_m has no convolution over 3 channels"):
        build_model("timm/tresnet_m", 18, KNOBS, 4)


def test_a_registered_model_that_asks_for_its_channels_gets_them(monkeypatch):
    def build(in_channels, out_features):
        return nn.Sequential(nn.Conv2d(in_channels, 3, 1), nn.Conv2d(3, out_features, 8), nn.Flatten())

    monkeypatch.setitem(MODELS.entries, "own", build)
    network = build_model("own", 18, KNOBS, 4)
    assert [network[0].in_channels, network[1].in_channels] == [4, 3]


@pytest.mark.parametrize(
    ("network", "says"),
    [
        (nn.Flatten(), r"odd gives \(2, 192\) for 2 photos of 8 x 8, not a tensor \(2, 18\)"),
        (nn.Identity(), r"odd gives \(2, 3, 8, 8\)"),
        (nn.AdaptiveMaxPool2d(1, return_indices=True), "odd gives tuple"),
        (nn.Conv2d(4, 1, 1), "odd cannot take photos of 8 x 8: .* Change --resize"),
    ],
)
def test_a_model_of_another_shape_is_refused(network, says):
    with pytest.raises(ValueError, match=says):
        try_on(network, "odd", (8, 8), torch.device("cpu"), 3, 18)


OLDER_BASELINE = [
    *(f"resnet{depth}" for depth in (18, 34, 50, 101, 152)),
    *("resnext50_32x4d", "resnext101_32x8d", "wide_resnet50_2", "wide_resnet101_2", "alexnet"),
    *(f"vgg{depth}{norm}" for depth in (11, 13, 16, 19) for norm in ("", "_bn")),
]


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    """A drawn competition of 5 people, and 1 to predict."""
    root = tmp_path_factory.mktemp("few") / "drawn"
    draw_competition(root, people=5, eval_people=1, seed=3)
    return root


@pytest.mark.slow
@pytest.mark.parametrize("name", OLDER_BASELINE)
def test_each_model_of_the_older_baseline_trains_an_epoch(few, quick, name):
    words = ("--optimizer", "SGD", "--momentum", 0)  # stores nothing beside the weights, up to 0.6 GB a file
    folder = run_trial(few, quick, "--model", name, "--resize", 64, "--epochs", 1, "--lr", 0.001, *words)
    assert load_json(folder, "summary.json")["status"] == "SUCCEEDED"
    assert [math.isfinite(row["train_loss"]) for row in history(folder)] == [True]
    assert len((folder / "hard.csv").read_text().splitlines()) == 1 + 7
    shutil.rmtree(folder)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet152", "timm/vit_base_patch16_224"])
def test_a_large_model_takes_a_step_downhill(name):
    torch.manual_seed(0)
    network = build_model(name, 18, KNOBS)
    photos, target = torch.randn(2, 3, 224, 224), torch.tensor([0, 17])
    losses = []
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3)
    for _ in range(2):
        losses.append(cross_entropy(network(photos), target))
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    assert losses[1] < losses[0]
