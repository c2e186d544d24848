"""Models from a user's own file: what they are given, and what is said where they fail."""

import sys

import pytest
import torch
from walks import failure, load_json, run_trial

import custom
from config import Config
from model import build_model, model_factory, try_on

KNOBS = Config(pretrained=False, resize=(16, 16)).values()
CPU = torch.device("cpu")
NET = """
from torch import nn

class Net(nn.Sequential):
    def __init__(self, num_classes, resize, lr, stride=2, **others):
        super().__init__(nn.Conv2d(3, 4, 3, stride), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, num_classes))
        self.given = (resize, lr, stride, others)

def wide(in_channels, out_features, channels):
    return nn.Sequential(nn.Conv2d(in_channels, 3, 1), nn.Conv2d(3, out_features, 16), nn.Flatten())

def broken(num_classes):
    hidden = num_classes + 1
    return nn.Linear(hidden, "many")

def number(num_classes):
    return num_classes

def greedy(num_classes, depths):
    return nn.Identity()

class Stumbling(nn.Linear):
    def __init__(self, out_features):
        super().__init__(3, out_features)
    def forward(self, photos):
        return photos.no_such_thing

ready = nn.Flatten()
"""


@pytest.fixture
def file(tmp_path):
    (tmp_path / "net.py").write_text(NET)
    return tmp_path / "net.py"


def build(file, word, channels=3, **changes):
    return build_model(f"{file}:{word}", 5, KNOBS | changes, channels)


def test_it_gets_the_classes_and_the_knobs_that_its_signature_names(file):
    network = build(file, "Net")
    assert network.given == ([16, 16], 0.001, 2, {})
    try_on(network, f"{file}:Net", (16, 16), CPU, 3, 5)


def test_one_that_does_not_ask_for_the_channels_is_widened(file):
    assert build(file, "Net", 4)[0].weight.shape == (4, 4, 3, 3)


def test_one_that_asks_for_the_channels_is_left_as_it_is(file):
    network = build(file, "wide", 4)
    assert (network[0].in_channels, network[1].in_channels) == (4, 3)


def test_nothing_is_fetched_and_that_is_said(file, capsys):
    build(file, "Net", pretrained=True)
    assert "Net starts as it builds itself: no ImageNet weights are known for it" in capsys.readouterr().out


def test_its_own_weights_are_loaded(file, tmp_path):
    source = build(file, "Net")
    torch.save(source.state_dict(), tmp_path / "w.pt")
    network = build(file, "Net", weights=str(tmp_path / "w.pt"))
    assert torch.equal(network[0].weight, source[0].weight)
    widened = build(file, "Net", 4, weights=str(tmp_path / "w.pt"))
    assert torch.equal(widened[0].weight[:, 3], source[0].weight[:, 0])


def test_the_attention_head_fits_one_that_pools(file):
    network = build(file, "Net", attention=True)
    try_on(network, "net", (16, 16), CPU, 3, 5)
    assert network[1].class_map.out_channels == 5


def test_a_relative_file_is_found_from_the_working_directory_else_in_baseline(tmp_path, monkeypatch):
    here, uploaded = tmp_path / "here", tmp_path / "baseline"
    for folder in (here, uploaded):
        (folder / "nets").mkdir(parents=True)
        (folder / "nets" / "net.py").write_text(NET)
    monkeypatch.setattr(custom, "HERE", uploaded)
    monkeypatch.chdir(here)
    assert custom.locate("nets/net.py:Net") == (here / "nets" / "net.py", "Net")
    (here / "nets" / "net.py").unlink()
    assert custom.locate("nets/net.py:Net") == (uploaded / "nets" / "net.py", "Net")
    (uploaded / "nets" / "net.py").unlink()
    with pytest.raises(ValueError, match=rf"no such file: {here}/nets/net.py nor {uploaded}/nets/net.py"):
        custom.locate("nets/net.py:Net")


def test_its_neighbours_are_importable_while_it_is_imported(tmp_path):
    (tmp_path / "podium_test_blocks.py").write_text("width = 7")
    (tmp_path / "net.py").write_text(
        "from torch import nn\nfrom podium_test_blocks import width\n"
        "def net(out_features): return nn.Linear(width, out_features)"
    )
    before = list(sys.path)
    assert build(tmp_path / "net.py", "net").in_features == 7
    assert sys.path == before


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("Nte", r"unknown class or function of .*net.py: 'Nte'. Did you mean 'Net'\? Known: Net, .*wide"),
        ("number", r"net.py:number gave a int, not a torch.nn.Module"),
        ("broken", r"net.py:broken cannot be built at line 14: TypeError: "),
        ("greedy", r"net.py:greedy needs an argument 'depths', which nothing gives; .*out_features"),
        ("ready", r"net.py:ready is a Flatten; name a class"),
        ("", r"net.py: says not what to take from the file; write .*net.py:CLASS"),
    ],
)
def test_a_model_that_cannot_be_made_says_why(file, word, says):
    with pytest.raises(ValueError, match=says):
        build(file, word)


def test_a_file_alone_lacks_the_class(file):
    with pytest.raises(ValueError, match=r"says not what to take from the file; write .*net.py:CLASS"):
        model_factory(str(file))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("import torch\n\nclass Net(:", r"net.py cannot be imported at line 3: SyntaxError"),
        (
            "import torch\nimport no_such_package",
            r"cannot be imported at line 2: ModuleNotFoundError: .*no_such_package",
        ),
        ("def f():\n    return 1 / 0\n\nf()", r"cannot be imported at line 2: ZeroDivisionError"),
        ("import sys\nsys.exit(3)", r"cannot be imported at line 2: SystemExit: 3"),
    ],
)
def test_a_file_that_cannot_be_imported_names_the_line(tmp_path, content, says):
    path = tmp_path / "net.py"
    path.write_text(content)
    before = list(sys.path)
    for _ in range(2):  # a broken module is not kept
        with pytest.raises(ValueError, match=says):
            model_factory(f"{path}:Net")
    assert sys.path == before


def test_an_error_in_its_forward_names_the_line(file):
    with pytest.raises(ValueError, match=r"Stumbling cannot take photos of 16 x 16: .*no_such_thing.* at line 26"):
        try_on(build(file, "Stumbling"), f"{file}:Stumbling", (16, 16), CPU, 3, 5)


def test_a_trial_trains_one(drawn, quick, file):
    folder = run_trial(drawn, quick, "--model", f"{file}:Net", "--epochs", 1)
    assert load_json(folder, "summary.json")["status"] == "SUCCEEDED"


def test_a_trial_of_one_that_is_not_there_ends_before_it_has_a_run_folder(drawn, quick, file, tmp_path):
    assert "Did you mean 'Net'?" in failure(drawn, quick, "--model", f"{file}:Nett")
    assert not (tmp_path / "outputs").exists()
