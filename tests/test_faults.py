"""Trials that meet bad photos, bad choices, a diverging loss or a signal: the error is clear and nothing is lost."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import PROJECT
from walks import failure, load_json, newest, run_trial, wait_for

import inference
import learner
from predictions import read_soft


def spoil(root, count=2):
    photos = sorted((root / "train" / "images").glob("00000[34]*/mask1.*"))[:count]
    for photo in photos:
        photo.write_bytes(photo.read_bytes()[:300])
    return [photo.relative_to(root).as_posix() for photo in photos]


def test_unreadable_photos_are_listed_together(data, quick):
    names = spoil(data)
    message = failure(data, quick)
    assert "2 of the labelled photos cannot be read" in message
    assert "--skip_unreadable" in message
    assert all(name in message for name in names)
    summary = load_json(newest(quick), "summary.json")
    assert summary["status"] == "FAILED"
    assert names[0] in summary["error"]


def test_unreadable_photos_can_be_left_out(data, quick):
    names = spoil(data)
    folder = run_trial(data, quick, "--skip_unreadable")
    assert [line.split(":")[0] for line in load_json(folder, "summary.json")["unreadable"]] == names


def test_a_test_photo_that_cannot_be_read_gets_the_most_frequent_class_and_is_named(data, quick):
    ids = pd.read_csv(data / "eval" / "info.csv")["ImageID"].tolist()
    (data / "eval" / "images" / ids[0]).write_text("no photo")
    (data / "eval" / "images" / ids[5]).unlink()
    folder = run_trial(data, quick)
    prior = load_json(folder, "config.json")["prior"]
    hard = pd.read_csv(folder / "hard.csv")
    assert hard["ImageID"].tolist() == ids
    assert hard["ans"][0] == hard["ans"][5] == int(np.argmax(prior))
    np.testing.assert_allclose(read_soft(folder / "soft.csv").probabilities[0], prior, atol=1e-6)
    assert set(load_json(folder, "summary.json")["test"]["unreadable"]) == {ids[0], ids[5]}


def test_a_loss_that_becomes_nan_fails_with_epoch_and_rate_and_keeps_the_last_good_weights(drawn, quick):
    words = ("--optimizer", "SGD", "--schedule", "step", "--lr_decay_step", 1, "--epochs", 3)
    message = failure(drawn, quick, *words, "--lr", 1e25)
    assert "epoch 1: the" in message  # loss or prediction, whichever is looked at first
    assert "at learning rate 1e+25" in message
    assert "no epoch ended before it" in message
    assert load_json(newest(quick), "summary.json")["status"] == "FAILED"


def test_weights_of_an_epoch_before_nan_are_kept(drawn, quick, monkeypatch):
    original = learner.train_epoch
    calls = []

    def second_diverges(*given):
        calls.append(given)
        if len(calls) == 2:
            raise FloatingPointError("the loss became nan")
        return original(*given)

    monkeypatch.setattr(learner, "train_epoch", second_diverges)
    message = failure(drawn, quick, "--lr", 0.125)
    assert "epoch 2: the loss became nan at learning rate 0.125; best.pt keeps epoch 1" in message
    folder = newest(quick)
    assert torch.load(folder / "best.pt", weights_only=True)
    assert len(pd.read_csv(folder / "val_soft.csv")) == 28


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--criterion", "focl"), "unknown criterion 'focl'. Did you mean 'focal'"),
        (("--augmentation", "Base"), "unknown augmentation 'Base'"),
        (("--metric", "f1"), "unknown metric 'f1'. Known: accuracy, macro_f1"),
        (("--schedule", "cosin"), "Did you mean 'cosine'"),
        (("--optimizer", "adamm"), "unknown optimizer"),
        (("--model", "resnt18"), "Did you mean 'resnet18'"),
        (("--dataset", "Mask"), "unknown dataset 'Mask'"),
        (("--fold", 7), "fold 7 does not exist"),
        (("--weights", "gone.pt"), "gone.pt: no such file"),
        (("--model", "alexnet"), "alexnet cannot take photos of 24 x 24"),
    ],
)
def test_a_bad_choice_ends_the_trial_at_once(drawn, quick, words, says):
    assert says in failure(drawn, quick, *words)
    assert not list(Path(quick[-1]).glob("*/*/history.jsonl"))


def start_trial_process(root, quick, *words):
    command = [sys.executable, PROJECT / "baseline" / "train.py", "--data_dir", root, *quick, *words]
    return subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_trial_leaves_a_valid_run_folder_that_inference_completes(drawn, quick, number):
    process = start_trial_process(drawn, quick, "--epochs", 500)
    outputs = Path(quick[-1])
    wait_for(lambda: list(outputs.glob("*/*/val_soft.csv")) or process.poll() is not None, 90)
    process.send_signal(number)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == -signal.SIGINT, output.decode()
    assert b"Traceback" not in output
    assert b"told to stop; " in output
    assert b"; python baseline/inference.py" in output
    folder = newest(quick)
    summary = load_json(folder, "summary.json")
    assert summary["status"] == "INTERRUPTED"
    assert summary["test"]["predicted"] is False
    assert summary["test"]["next"] == f"python baseline/inference.py {folder}"
    assert not (folder / "soft.csv").exists()
    assert len(pd.read_csv(folder / "val_soft.csv")) == 28
    inference.main([str(folder)])
    assert len(read_soft(folder / "soft.csv").ids) == 35
    assert load_json(folder, "summary.json")["test"]["predicted"] is True


def test_a_copy_of_baseline_under_any_name_runs_from_anywhere(drawn, quick, tmp_path):
    copy = tmp_path / "trial_code"
    shutil.copytree(PROJECT / "baseline", copy, ignore=shutil.ignore_patterns("__pycache__"))
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"SM_CHANNEL_TRAIN": str(drawn / "train"), "SM_MODEL_DIR": str(tmp_path / "by_environment")}
    words = [word for word in quick if word not in quick[-2:]]
    ran = subprocess.run(
        [sys.executable, "train.py", *words], cwd=copy, env=environment, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert list((tmp_path / "by_environment").glob("exp/*/hard.csv"))


LIMITED = """
import resource, sys
sys.path.insert(0, sys.argv[1])
import train
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
train.main(sys.argv[2:])
"""


def test_a_disk_that_takes_no_more_fails_the_trial_with_the_file_s_name(drawn, quick):
    """A limit on the size of files stands in for a full disk: 1 MiB, less than the weights."""
    command = [sys.executable, "-c", LIMITED, PROJECT / "baseline", "--data_dir", drawn, *quick]
    done = subprocess.run(command, capture_output=True, text=True)
    folder = newest(quick)
    assert done.returncode == 1
    assert f"{folder / 'last.pt'} cannot be written: File too large; make room there" in done.stderr
    assert "Traceback" not in done.stderr
    summary = load_json(folder, "summary.json")
    assert summary["status"] == summary["attempts"][-1]["ended"] == "FAILED"
    assert "last.pt cannot be written" in summary["error"]
    assert not (folder / "last.pt").exists()
