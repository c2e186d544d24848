"""The configs and search spaces that the project ships, without starting NNI."""

import json
import shlex

import pytest
import yaml
from conftest import PROJECT

from rules import convert
from sources import load
from train import check_names

CONFIGS = ["config_local.yml", "config_remote.yml", "config_augmentation.yml"]
SPACES = ["search_space.json", "search_space_local.json", "search_space_augmentation.json"]
TUNERS = {"config_augmentation.yml": "GridSearch"}
CLUSTERS = ["docs/config_frameworkcontroller.yml", "docs/config_kubeflow.yml"]


def read(name):
    return yaml.safe_load((PROJECT / name).read_text())


@pytest.mark.parametrize("name", CONFIGS)
def test_nni_accepts_the_config(name, tmp_path, monkeypatch):
    from nni.experiment.config import ExperimentConfig

    key = tmp_path / "id_ed25519"
    key.touch()
    text = (PROJECT / name).read_text().replace("~/.ssh/id_ed25519", str(key))
    for relative in (*SPACES, "baseline", "search"):
        text = text.replace(f": {relative}\n", f": {PROJECT / relative}\n")
    (tmp_path / name).write_text(text)
    config = ExperimentConfig.load(tmp_path / name)
    config.validate()
    assert config.trial_gpu_number is None  # a number never schedules on a machine with one GPU
    assert (config.tuner.name or config.tuner.class_name) == TUNERS.get(name, "tuner.OptunaTuner")


@pytest.mark.parametrize("name", CLUSTERS)
def test_nni_accepts_the_config_for_kubernetes(name):
    from nni.experiment.config import ExperimentConfig

    config = ExperimentConfig.load(PROJECT / name)
    config.validate()
    assert name == f"docs/config_{config.training_service.platform}.yml"
    assert config.nni_manager_ip  # without it NNI picks an address, which containers may not reach
    assert config.training_service.reuse_mode
    assert config.training_service.storage.storage_type == "nfs"
    (role,) = config.training_service.task_roles if "framework" in name else [config.training_service.master]
    assert role.command == config.trial_command
    assert config.trial_gpu_number is None  # NNI would share out GPUs that the cluster has already shared out
    assert role.gpu_number == 1


@pytest.mark.parametrize("name", CONFIGS + CLUSTERS)
def test_the_trial_command_is_one_that_train_py_understands_with_its_interpreter_named(name):
    interpreter, script, *options = shlex.split(read(name)["trialCommand"])
    assert interpreter.endswith("/.venv/bin/python")
    assert script == "train.py"
    config, _ = load(options, {}, {})
    assert config.data_dir


@pytest.mark.parametrize("name", SPACES)
def test_every_choice_of_a_search_space_is_possible(name):
    space = json.loads((PROJECT / name).read_text())
    for knob, entry in space.items():
        for value in entry["_value"]:
            convert(knob, value, name)
            check_names(load([], {}, {knob: value})[0])


def test_the_remote_search_space_keeps_the_choices_of_s3():
    space = {name: entry["_value"] for name, entry in json.loads((PROJECT / "search_space.json").read_text()).items()}
    assert (min(space["batch_size"]), max(space["batch_size"])) == (8, 128)
    assert space["lr"] == [0.001, 0.01, 0.1]
    assert space["model"] == ["Efficientnet_b0", "Efficientnet_b3", "Efficientnet_b6"]
    assert set(space["criterion"]) == {"cross_entropy", "focal", "label_smoothing", "f1"}
    assert set(space["augmentation"]) == {"BaseAugmentation", "AffineAugmentation", "GaussianAugmentation"}


def test_nni_converts_the_v1_fixture_as_it_stands():
    from nni.experiment.config import ExperimentConfig
    from nni.experiment.config.convert import to_v2

    path = PROJECT / "tests" / "fixtures" / "config_v1.yml"
    converted = to_v2(yaml.safe_load(path.read_text()))
    assert (path.parent / converted["searchSpaceFile"]).resolve() == PROJECT / "search_space_local.json"
    assert (path.parent / converted["trialCodeDirectory"]).resolve() == PROJECT / "baseline"
    assert ExperimentConfig(**converted).tuner.name == "TPE"


def test_the_v1_fixture_is_the_same_search():
    old, new = read("tests/fixtures/config_v1.yml"), read("config_local.yml")
    assert old["trial"]["command"] == " ".join(new["trialCommand"].split())
    assert (old["maxTrialNum"], old["trialConcurrency"]) == (new["maxTrialNumber"], new["trialConcurrency"])


def test_the_augmentation_search_tries_each_of_50_policies_once():
    from nni.algorithms.hpo.gridsearch_tuner import GridSearchTuner

    config = read("config_augmentation.yml")
    tuner = GridSearchTuner()
    tuner.update_search_space(json.loads((PROJECT / config["searchSpaceFile"]).read_text()))
    tried = [tuner.generate_parameters(number)["augmentation"] for number in range(config["maxTrialNumber"])]
    assert sorted(tried) == sorted(f"policy:random:{number}" for number in range(50))


def test_the_augmentation_search_trains_long_enough_for_its_score():
    config, _ = load(shlex.split(read("config_augmentation.yml")["trialCommand"])[2:], {}, {})
    assert (config.model, config.resize, config.metric) == ("resnet18", (256, 256), "macro_f1")
    assert config.epochs >= 10
