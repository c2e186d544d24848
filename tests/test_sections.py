import pytest
import torch
from conftest import PROJECT

from optim import optimizer_class
from sources import load
from train import check_names

NESTED = """
train: {num_epochs: 7, batch_size: 16}
eval: {batch_size: 48}
data: {dir: /photos, params: {resize: 96}}
model: {name: resnet34}
loss: {name: focal, params: {gamma: 1.5}}
optimizer: {name: adam, params: {lr: .001, weight_decay: 0}}
scheduler: {name: step, params: {step_size: 3, gamma: .5}}
transform: {name: FlipAugmentation, params: }
"""


def read(tmp_path, text, *words):
    file = tmp_path / "knobs.yml"
    file.write_text(text)
    return load(["--config", str(file), *words], {}, {})


def test_sections_set_the_knobs_that_their_values_name(tmp_path):
    config, _ = read(tmp_path, NESTED)
    assert (config.epochs, config.batch_size, config.valid_batch_size) == (7, 16, 48)
    assert (config.data_dir, config.resize, config.model, config.augmentation) == (
        "/photos",
        (96, 96),
        "resnet34",
        "FlipAugmentation",
    )
    assert (config.criterion, config.focal_gamma) == ("focal", 1.5)
    assert (config.lr, config.weight_decay) == (0.001, 0)
    assert (config.schedule, config.lr_decay_step, config.lr_decay) == ("step", 3, 0.5)
    assert optimizer_class(config.optimizer) is torch.optim.Adam


@pytest.mark.parametrize(
    ("words", "schedule"),
    [
        ("{name: multi_step, params: {milestones: [2, 5]}}", "drops"),
        ("{name: exponential, params: {gamma: .9}}", "exponential"),
        ("{name: plateau}", "plateau"),
        ("{name: cosine}", "cosine"),
        ("{name: none}", "constant"),
        ("none", "constant"),
    ],
)
def test_every_schedule_s_old_name_is_known(tmp_path, words, schedule):
    config, _ = read(tmp_path, f"scheduler: {words}")
    assert config.schedule == schedule
    check_names(config)


def test_a_flat_file_may_use_the_same_words(tmp_path):
    config, _ = read(tmp_path, "num_epochs: 3\nloss: focal\noptimizer: SGD\nnum_grad_acc: 4\n")
    assert (config.epochs, config.criterion, config.optimizer, config.accumulation) == (3, "focal", "SGD", 4)


def test_the_command_line_wins_over_a_section_and_that_is_told(tmp_path):
    config, overrides = read(tmp_path, NESTED, "--epochs", "9")
    assert config.epochs == 9
    assert {"knob": "epochs", "value": 7, "from": "config file", "by": "command line", "now": 9} in overrides


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("train: {batch_sise: 3}", "at train.batch_sise: 'batch_sise'. Did you mean 'batch_size'?"),
        ("transform: {params: {num_preprocessor: 8}}", "at transform.params.num_preprocessor: 'num_preprocessor'"),
        ("train: {num_workers: 8}", "at train.num_workers: 'num_workers'"),
        ("train: {gamma: 2}", "at train.gamma: 'gamma'"),
        ("train: {epochs: 3, num_epochs: 4}", "train.epochs and train.num_epochs both set epochs, to 3 and 4"),
        ("model: {name: a}\ntrain: {model: b}", "model.name and train.model both set model, to 'a' and 'b'"),
        ("train:\n  lr: 1\n  lr: 2", "line 3: train.lr stands there twice; keep one"),
        ("train: {lr: 1}\ntrain: {epochs: 2}", "line 2: train stands there twice"),
        ("train: {lr: }", "train.lr is empty; give it a value, or remove it"),
        ("optimizer: {params: {lr: fast}}", "lr = 'fast' is impossible"),
        ("train: {batch_size: [1, 2]}", "batch_size = [1, 2] is impossible"),
    ],
)
def test_what_sets_no_knob_is_named_with_its_place(tmp_path, text, says):
    with pytest.raises(ValueError) as error:  # noqa: PT011 the text is compared below
        read(tmp_path, text)
    assert says in str(error.value)


def test_two_values_that_agree_are_one(tmp_path):
    assert read(tmp_path, "train: {epochs: 3, num_epochs: 3}")[0].epochs == 3


@pytest.mark.parametrize("name", sorted(path.name for path in (PROJECT / "configs").glob("*.yml")))
def test_the_shipped_files_name_what_exists(name):
    check_names(load(["--config", str(PROJECT / "configs" / name)], {}, {})[0])


def test_the_shipped_resnet34_is_the_old_system_s():
    config, _ = load(["--config", str(PROJECT / "configs" / "resnet34.yml")], {}, {})
    assert (config.model, config.resize, config.criterion, config.focal_gamma) == ("resnet34", (512, 512), "focal", 2)
    assert (config.schedule, config.accumulation, config.folds, config.test_val) == ("step", 2, 5, True)
    assert (config.batch_size, config.valid_batch_size, config.epochs) == (16, 32, 50)
