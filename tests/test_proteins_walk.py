"""The protein atlas system's whole job on a small planted atlas: each label is a bright square in one channel."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from conftest import PROJECT
from PIL import Image
from sklearn.metrics import f1_score
from walks import failure, load_json, run_trial

import inference
from dataset import read

COLOURS = ("red", "green", "blue", "yellow")
LABELS = 8  # label k is a square in channel k % 4, on the left side or, from 4 on, the right
TRAINING = [
    "--model",
    "timm/resnet10t",
    "--folds",
    "2",
    "--batch_size",
    "16",
    "--epochs",
    "6",
    "--lr",
    "0.005",
    "--metric",
    "macro_f1",
]


def plant(folder, sample, labels, rng):
    photos = rng.integers(0, 40, (4, 24, 24)).astype(np.uint8)
    for label in labels:
        top, left = rng.integers(2, 14), rng.integers(0, 3) + 12 * (label // 4)
        photos[label % 4, top : top + 8, left : left + 8] += 150
    folder.mkdir(parents=True, exist_ok=True)
    for colour, photo in zip(COLOURS, photos, strict=True):
        Image.fromarray(photo).save(folder / f"{sample}_{colour}.png")


@pytest.fixture(scope="module")
def atlas(tmp_path_factory):
    """160 samples of 40 groups with 1 to 3 labels, 20 to predict, and 20 external ones; truth.csv is the answer."""
    root, rng = tmp_path_factory.mktemp("planted") / "atlas", np.random.default_rng(0)
    tables = {}
    for part, count in (("train", 160), ("test", 20), ("elsewhere", 20)):
        folder = root.parent / "elsewhere" / "train" if part == "elsewhere" else root / "raw" / part
        rows = []
        for number in range(count):
            labels = sorted(rng.choice(LABELS, rng.integers(1, 4), replace=False))
            plant(folder, f"{part}{number}", labels, rng)
            rows.append((f"{part}{number}", " ".join(map(str, labels)), f"g{number // 4}"))
        tables[part] = pd.DataFrame(rows, columns=["Id", "Target", "group"])
    tables["train"].to_csv(root / "train.csv", index=False)
    tables["elsewhere"].drop(columns="group").to_csv(root.parent / "elsewhere" / "train.csv", index=False)
    tables["test"][["Id"]].assign(Predicted="0").to_csv(root / "sample_submission.csv", index=False)
    tables["test"][["Id", "Target"]].to_csv(root / "truth.csv", index=False)
    return root


def matrix(answers):
    return np.array([[str(label) in cell.split() for label in range(LABELS)] for cell in answers])


@pytest.mark.slow
def test_from_folds_to_a_submission_with_thresholds(atlas, quick, tmp_path):
    """train, inference on both splits with views, make_submission; the labels are found in every channel."""
    words = [*TRAINING, "--fold", "all", "--test_val", "true", "--criterion", "focal"]
    folder = run_trial(atlas, quick, *words, "--external", atlas.parent / "elsewhere")
    truth = matrix(pd.read_csv(atlas / "truth.csv", dtype=str)["Target"])

    kept = tmp_path / "kept.csv"
    inference.main([str(folder), "--split", "test_val", "--num_tta", "4", "--output", str(kept)])
    columns = [f"L{k:02d}" for k in range(LABELS)] + [f"P{k:02d}" for k in range(LABELS)]
    table = pd.read_csv(kept)
    assert table.columns.tolist() == columns
    assert len(table) + len(pd.read_csv(folder / "val_soft.csv")) == 160  # external samples are in neither

    submission = tmp_path / "submission.csv"
    command = [sys.executable, PROJECT / "ensemble" / "soft_vote.py", folder, "--decide", "thresholds"]
    subprocess.run([*command, "-o", submission], check=True, capture_output=True)
    answers = pd.read_csv(submission, dtype=str)
    assert answers.columns.tolist() == ["Id", "Predicted"]
    assert answers["Id"].tolist() == pd.read_csv(atlas / "sample_submission.csv")["Id"].tolist()
    score = f1_score(truth, matrix(answers["Predicted"]), average="macro", zero_division=0)
    assert score > 0.6  # every label everywhere would be 0.4
    told = subprocess.run(
        [sys.executable, PROJECT / "ensemble" / "check.py", submission, "--like", atlas / "sample_submission.csv"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stdout + told.stderr
    for room in ("leaderboard", "report"):
        subprocess.run([sys.executable, PROJECT / "ensemble" / f"{room}.py", folder.parent], check=True)
    page = (folder.parent / "report.html").read_text()
    assert page.count("data:image/jpeg") > 5  # of the three colour channels, joined


@pytest.mark.slow
def test_the_metric_is_scikit_learn_s_and_a_missing_channel_shows(atlas, quick):
    scores = {}
    for channels in ("rgby", "rgb"):
        folder = run_trial(atlas, quick, *TRAINING, "--channels", channels, "--name", channels)
        table = pd.read_csv(folder / "val_soft.csv")
        truth = table[[f"L{k:02d}" for k in range(LABELS)]].to_numpy()
        probabilities = table[[f"P{k:02d}" for k in range(LABELS)]].to_numpy()
        predicted = probabilities >= 0.5
        predicted[np.arange(len(table)), probabilities.argmax(axis=1)] = True
        each = f1_score(truth, predicted, average=None, zero_division=0)
        assert load_json(folder, "summary.json")["metrics"]["val_macro_f1"] == pytest.approx(each.mean())
        scores[channels] = each[[3, 7]].mean()  # the labels that only yellow shows
    assert scores["rgby"] > scores["rgb"] + 0.2


def test_external_samples_never_validate_and_nobody_who_validates_is_among_those_who_train(atlas, quick, monkeypatch):
    data = read(str(atlas), "auto", {"channels": "rgby", "classes": 0, "external": str(atlas.parent / "elsewhere")})
    assert data.train.only_train.sum() == 20
    folder = run_trial(atlas, quick, "--epochs", "1", "--external", atlas.parent / "elsewhere", "--folds", "4")
    assert not pd.read_csv(folder / "val_soft.csv")["id"].str.startswith("external").any()
    config = load_json(folder, "config.json")
    assert config["folds"]["train"] + config["folds"]["validation"] == 180


def test_several_labels_mix_and_every_criterion_trains(atlas, quick):
    for criterion in ("bce", "f1", "label_smoothing"):
        folder = run_trial(
            atlas, quick, "--epochs", "1", "--criterion", criterion, "--mixup", "0.2", "--name", criterion
        )
        assert pd.read_csv(folder / "hard.csv", dtype=str)["Predicted"].str.fullmatch(r"\d+( \d+)*").all()


def test_what_is_for_one_class_each_is_refused(atlas, quick):
    assert "have 4 channels" in failure(atlas, quick, "--mean", ".5", ".5", ".5")
    assert "randaugment" in failure(atlas, quick, "--augmentation", "randaugment")
