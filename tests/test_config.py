import json

import pytest

from config import FIELDS
from rules import restore
from sources import argument_parser, load

S3_LINE = (
    "--seed 1 --epochs 2 --classification mask --dataset MaskBaseDataset --augmentation AffineAugmentation "
    "--resize 96 128 --batch_size 8 --valid_batch_size 16 --model Efficientnet_b4 --optimizer SGD --lr 0.01 "
    "--val_ratio 0.25 --criterion f1 --lr_decay_step 5 --log_interval 7 --name mine --data_dir d --model_dir m"
)


def test_later_sources_win_and_what_they_overrode_is_told(tmp_path):
    file = tmp_path / "knobs.yml"
    file.write_text("lr: 0.1\nepochs: 3\nbatch_size: 4\n")
    argv = ["--config", str(file), "--lr", "0.2", "--batch_size", "5"]
    config, overrides = load(argv, {"SM_CHANNEL_TRAIN": "/photos"}, {"lr": 0.3})
    assert (config.data_dir, config.epochs, config.batch_size, config.lr) == ("/photos", 3, 5, 0.3)
    assert {"knob": "lr", "value": 0.2, "from": "command line", "by": "NNI", "now": 0.3} in overrides
    assert {"knob": "batch_size", "value": 4, "from": "config file", "by": "command line", "now": 5} in overrides


def test_every_s3_flag_is_understood_with_underscores_and_dashes():
    config, _ = load(S3_LINE.split(), {}, {})
    assert (config.resize, config.lr_decay_step, config.name) == ((96, 128), 5, "mine")
    assert load(["--valid-batch-size", "16"], {}, {})[0].valid_batch_size == 16


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({"batchsize": 8}, "unknown knob from NNI: 'batchsize'. Did you mean 'batch_size'?"),
        ({"lr": 0}, "NNI: lr = 0 is impossible: expected more than 0"),
        ({"lr": "fast"}, "expected a number"),
        ({"lr": float("nan")}, "expected a finite number"),
        ({"batch_size": 8.5}, "expected a whole number"),
        ({"resize": [64, 64, 3]}, "2 numbers are needed"),
        ({"classification": "masks"}, "Did you mean 'mask'"),
        ({"pretrained": "perhaps"}, "expected true or false"),
        ({"val_ratio": 0.9}, "expected at most 0.5"),
        ({"age_boundaries": [60, 30]}, "must rise"),
        ({"schedule": "cosine", "lr_decay_step": 3}, "belongs to --schedule step"),
        ({"schedule": "step"}, "needs --lr_decay_step"),
        ({"name": "../elsewhere"}, "has no / and is not .."),
    ],
)
def test_an_unknown_or_impossible_parameter_is_refused(parameters, says):
    with pytest.raises(ValueError) as error:  # noqa: PT011 the text is compared below
        load([], {}, parameters)
    assert says in str(error.value)


def test_a_float_that_nni_means_as_a_whole_number_is_one():
    assert load([], {}, {"batch_size": 16.0})[0].batch_size == 16


def test_an_unknown_option_gets_a_suggestion():
    with pytest.raises(ValueError, match="Did you mean 'batch_size'"):
        load(["--batch_sise", "3"], {}, {})


def test_one_number_resizes_to_a_square():
    assert load(["--resize", "64"], {}, {})[0].resize == (64, 64)


@pytest.mark.parametrize("text", ["[1, 2]", "lr: [", None])
def test_a_bad_config_file_is_named(tmp_path, text):
    file = tmp_path / "knobs.yml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ValueError, match="knobs.yml"):
        load(["--config", str(file)], {}, {})


def test_help_tells_each_knob_with_default_and_unit():
    text = " ".join(argument_parser().format_help().split())
    for name in FIELDS:
        assert f"--{name}" in text
    assert text.count("(default:") == len(FIELDS)
    assert "height and width that the model sees; one number for a square (default: 224 224; in pixels)" in text


def test_a_run_folder_gives_its_config_back(tmp_path):
    config, _ = load(["--resize", "64", "--lr_drops", "1", "2.5"], {}, {})
    file = tmp_path / "config.json"
    file.write_text(json.dumps({"parameters": config.values()}))
    assert restore(file) == config
    assert load(["--config", str(file)], {}, {})[0] == config
    assert load(["--config", str(tmp_path)], {}, {})[0] == config


def test_beside_an_sm_variable_name_is_the_model_and_knobs_may_stand_in_the_environment():
    around = {"SM_MODEL_DIR": "m", "NAME": "resnet18", "epochs": "1", "resize": "64 32", "EPOCHS": "9", "name": "shell"}
    config, overrides = load(["--epochs", "2"], around, {})
    assert (config.model, config.model_dir, config.resize, config.name) == ("resnet18", "m", (64, 32), "exp")
    assert overrides == [{"knob": "epochs", "value": 1, "from": "environment", "by": "command line", "now": 2}]
    assert load([], around, {"model": "vgg11"})[0].model == "vgg11"  # NNI wins


def test_without_an_sm_variable_a_shell_s_own_variables_are_nothing():
    config, overrides = load([], {"NAME": "DESKTOP-7", "epochs": "1", "lr": "fast", "SM_MODEL_DIR": ""}, {})
    assert config == load([], {}, {})[0]
    assert overrides == []


@pytest.mark.parametrize(
    ("around", "says"),
    [
        ({"epochs": "many"}, "environment variable epochs: epochs = 'many' is impossible: expected a whole number"),
        ({"lr": "0"}, "environment variable lr: lr = '0' is impossible: expected more than 0"),
        ({"NAME": "DESKTOP-7"}, "environment: unknown model 'DESKTOP-7'"),
        ({"NAME": "resnt18"}, "Did you mean 'resnet18'"),
        ({"NAME": "resnet18", "model": "vgg11"}, "NAME=resnet18 and model=vgg11 both set model"),
        ({"data_dir": "elsewhere"}, "SM_CHANNEL_TRAIN=d and data_dir=elsewhere both set data_dir"),
    ],
)
def test_an_impossible_variable_is_named(around, says):
    with pytest.raises(ValueError) as error:  # noqa: PT011 the text is compared below
        load([], {"SM_CHANNEL_TRAIN": "d"} | around, {})
    assert says in str(error.value)


def test_a_shell_s_name_that_the_command_line_overrules_is_no_error():
    assert load(["--model", "vgg11"], {"SM_CHANNEL_TRAIN": "d", "NAME": "DESKTOP-7"}, {})[0].model == "vgg11"


def test_resume_in_the_environment_takes_the_run_folder_s_parameters(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"parameters": {"lr": 0.5}}))
    assert load([], {"SM_CHANNEL_TRAIN": "d", "resume": str(tmp_path)}, {})[0].lr == 0.5
