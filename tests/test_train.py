"""Whole trials on drawn photos: what they leave, and that their number is honest."""

import shutil
from collections import Counter

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from walks import failure, history, load_json, newest, run_trial

import events
import inference
import learner
import train
from augment import AUGMENTATIONS
from dataset import read
from feed import Feed
from predictions import read_soft

PROBABILITIES = [str(number) for number in range(18)]


@pytest.fixture
def told(monkeypatch):
    """What a trial tells NNI: the intermediate results and the final one, in order."""
    words = []
    monkeypatch.setattr(train.Trial, "report", lambda self, metrics, **step: words.append(("epoch", metrics | step)))
    monkeypatch.setattr(train.Trial, "finish", lambda self, metrics: words.append(("final", metrics)))
    return words


def test_a_trial_leaves_its_run_folder(drawn, quick):
    folder = run_trial(drawn, quick, "--name", "mine")
    assert folder.parent.name == "mine"
    names = {p.name.split(".vm")[0].split(".tfevents")[0] for p in folder.iterdir()}
    expected = ".lock config.json history.jsonl best.pt last.pt val_soft.csv soft.csv hard.csv summary.json events.out"
    assert names == {*expected.split(), "val_soft.csv.arrow", "soft.csv.arrow"}
    summary = load_json(folder, "summary.json")
    assert summary["status"] == "SUCCEEDED"
    assert summary["test"] == {"predicted": True, "photos": 35, "unreadable": {}}
    config = load_json(folder, "config.json")
    assert config["parameters"]["epochs"] == 2
    assert config["folds"]["count"] == 5
    assert config["folds"]["train"] + config["folds"]["validation"] == 140
    assert len(config["heads"][0]["classes"]) == 18
    assert [row["epoch"] for row in history(folder)] == [1, 2]


def test_weights_and_state_load_without_running_code(drawn, quick):
    folder = run_trial(drawn, quick)
    best = torch.load(folder / "best.pt", weights_only=True)
    last = torch.load(folder / "last.pt", weights_only=True)
    learner = {
        "epoch",
        "model",
        "optimizer",
        "scaler",
        "micro_batch",
        "generator",
        "torch_generator",
        "cuda_generators",
    }
    assert set(last) == learner | {"history", "probabilities"}
    assert best.keys() == last["model"].keys()


def test_nni_is_told_validation_metrics_alone_and_the_best_epoch_s_at_the_end(drawn, quick, told):
    folder = run_trial(drawn, quick, "--epochs", 4, "--lr", 0.01)
    rows = history(folder)
    assert [kind for kind, _ in told] == ["epoch"] * 4 + ["final"]
    for (_, metrics), row in zip(told, rows, strict=False):
        assert metrics["default"] == metrics["accuracy"] == row["val_accuracy"]
        assert (metrics["macro_f1"], metrics["loss"]) == (row["val_macro_f1"], row["val_loss"])
    best = max(rows, key=lambda row: row["val_accuracy"])
    assert told[-1][1]["default"] == best["val_accuracy"]
    assert load_json(folder, "summary.json")["best_epoch"] == best["epoch"]


def test_macro_f1_can_be_the_objective(drawn, quick, told):
    folder = run_trial(drawn, quick, "--metric", "macro_f1", "--epochs", 3)
    assert told[-1][1]["default"] == max(row["val_macro_f1"] for row in history(folder))


def test_the_objective_is_the_metric_over_every_validation_photo_once(drawn, quick):
    """7 does not divide 28: a last batch that is dropped, or a mean of batch means, would show."""
    folder = run_trial(drawn, quick, "--valid_batch_size", 7.0, "--epochs", 3)
    table = pd.read_csv(folder / "val_soft.csv", dtype={"group": str})
    assert len(table) == load_json(folder, "config.json")["folds"]["validation"] == table["id"].nunique()
    decided = table[PROBABILITIES].to_numpy().argmax(axis=1)
    metrics = load_json(folder, "summary.json")["metrics"]
    assert metrics["val_accuracy"] == pytest.approx(accuracy_score(table["label"], decided))
    expected = f1_score(table["label"], decided, labels=range(18), average="macro", zero_division=0)
    assert metrics["val_macro_f1"] == pytest.approx(expected)
    np.testing.assert_allclose(table[PROBABILITIES].sum(axis=1), 1, atol=1e-6)


def test_people_who_validate_are_not_trained_on(drawn, quick, monkeypatch):
    seen = set()
    original = Feed.batches

    def watch(feed, batches):
        seen.update(np.concatenate(batches).tolist())
        return original(feed, batches)

    monkeypatch.setattr(Feed, "batches", watch)
    monkeypatch.setattr(learner.Learner, "predict", lambda self, feed, rows, what: np.full((len(rows), 18), 1 / 18))
    folder = run_trial(drawn, quick)
    validating = set(pd.read_csv(folder / "val_soft.csv", dtype=str)["group"])
    data = read(str(drawn), "auto", {"classification": "multi", "age_boundaries": (30, 60)})
    trained = {data.train.groups[row] for row in seen}
    assert len(validating) == 4  # a fifth of 20 people
    assert len(trained) == 16
    assert not trained & validating


def test_validation_and_test_photos_are_not_augmented(drawn, quick, monkeypatch):
    counts = Counter()
    black = "BlackAugmentation"
    monkeypatch.setitem(AUGMENTATIONS.entries, black, lambda: lambda photos, generator: counts.update(
        photos=len(photos)) or torch.zeros(photos.shape))  # fmt: skip
    folder = run_trial(drawn, quick, "--augmentation", black)
    assert counts["photos"] == 2 * 112  # two epochs of the training photos and nothing else
    for name in ("val_soft.csv", "soft.csv"):
        values = pd.read_csv(folder / name)[PROBABILITIES].to_numpy()
        assert len(np.unique(values.round(6), axis=0)) > 1  # black photos would all be predicted alike


def test_a_test_photo_is_seen_as_the_same_photo_is_in_validation(data, quick):
    """Cropped, resized and normalised alike: a copy among the test photos gets the same probabilities."""
    table = pd.read_csv(data / "train" / "train.csv", dtype=str)
    copies = {}
    images = pd.read_csv(data / "eval" / "info.csv")["ImageID"].tolist()
    for name, person in zip(images, table["path"], strict=False):
        original = next(p for p in (data / "train" / "images" / person).iterdir() if p.stem == "normal")
        shutil.copy(original, data / "eval" / "images" / name)
        copies[original.relative_to(data).as_posix()] = name
    folder = run_trial(data, quick, "--crop", 200, "--batch_size", 32)
    soft = read_soft(folder / "soft.csv")
    rows = dict(zip(soft.ids, soft.probabilities, strict=True))
    checked = 0
    for line in pd.read_csv(folder / "val_soft.csv").to_dict("records"):
        if line["id"] in copies:
            expected = [line[name] for name in PROBABILITIES]
            np.testing.assert_allclose(rows[copies[line["id"]]], expected, atol=1e-5)
            checked += 1
    assert checked == 4


def test_the_test_photos_are_predicted_once_with_the_best_weights(drawn, quick, monkeypatch):
    calls = []
    original = train.predict_test
    monkeypatch.setattr(train, "predict_test", lambda run, config, data, learner, prior: calls.append(
        {name: tensor.clone() for name, tensor in learner.model.state_dict().items()}
    ) or original(run, config, data, learner, prior))  # fmt: skip
    folder = run_trial(drawn, quick, "--epochs", 3)
    assert len(calls) == 1
    for name, tensor in torch.load(folder / "best.pt", weights_only=True).items():
        assert torch.equal(calls[0][name], tensor)


@pytest.mark.parametrize("kind", ["mask", "gender", "age"])
def test_separate_heads_are_trained_and_written(drawn, quick, kind):
    folder = run_trial(drawn, quick, "--classification", kind, "--epochs", 1)
    count = 2 if kind == "gender" else 3
    assert pd.read_csv(folder / "soft.csv").shape == (35, 2 + count)
    assert load_json(folder, "config.json")["heads"][0]["name"] == kind


def test_a_submission_that_the_competition_would_refuse_fails_the_trial(drawn, quick, monkeypatch):
    shuffled = inference.write_hard
    monkeypatch.setattr(
        inference, "write_hard", lambda path, a, b, ids, answers: shuffled(path, a, b, ids[::-1], answers)
    )
    assert "hard.csv line 2: expected" in failure(drawn, quick)
    assert load_json(newest(quick), "summary.json")["status"] == "FAILED"


def test_the_old_data_set_that_split_photos_splits_people_here(drawn, quick):
    hashes = [
        load_json(run_trial(drawn, quick, "--epochs", 1, "--dataset", name), "config.json")["folds"]["hash"]
        for name in ("MaskBaseDataset", "MaskSplitByProfileDataset")
    ]
    assert hashes[0] == hashes[1]


def test_all_trials_share_their_folds_whatever_their_seed_and_classes(drawn, quick):
    hashes = set()
    for words in (("--seed", 1), ("--seed", 2, "--classification", "age", "--age_boundaries", 30, 58), ("--fold", 3)):
        folder = run_trial(drawn, quick, "--epochs", 1, *words)
        hashes.add(load_json(folder, "config.json")["folds"]["hash"])
    assert len(hashes) == 1


def test_the_same_seed_gives_the_same_trial(drawn, quick):
    words = ("--augmentation", "AffineAugmentation", "--class_weights", "balanced", "--criterion", "focal")
    first, second = (run_trial(drawn, quick, *words) for _ in range(2))
    assert first != second
    assert (first / "soft.csv").read_bytes() == (second / "soft.csv").read_bytes()


def test_held_out_photos_show_what_a_split_by_photo_would_claim(drawn, quick):
    folder = run_trial(drawn, quick, "--photo_holdout", 0.2)
    assert 0 <= history(folder)[0]["photo_split_accuracy"] <= 1
    assert load_json(folder, "config.json")["folds"]["holdout"] > 0
    assert "photo_split_macro_f1" in load_json(folder, "summary.json")["metrics"]


def test_tensorboard_has_scalars_a_figure_and_hparams(drawn, quick):
    folder = run_trial(drawn, quick, "--optimizer", "SGD")
    events = EventAccumulator(str(folder), size_guidance={"images": 0}).Reload()
    assert {"train_loss", "val_accuracy", "val_macro_f1", "lr", "best/accuracy"} <= set(events.Tags()["scalars"])
    assert [event.value for event in events.Scalars("val_accuracy")] == pytest.approx(
        [row["val_accuracy"] for row in history(folder)]
    )
    assert len(events.Images("validation")) == 2
    content = events.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    knobs = HParamsPluginData.FromString(content).session_start_info.hparams
    assert set(knobs) == {"model", "pretrained", "resize", "epochs", "batch_size", "precision", "compile", "optimizer"}
    assert knobs["optimizer"].string_value == "SGD"


def test_a_stopped_trial_stands_in_the_table_of_hparams_with_its_best_epoch(drawn, quick, monkeypatch):
    def report(trial, metrics, epoch, of):
        if epoch == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(train.Trial, "report", report)
    monkeypatch.setattr(train, "die_of_interrupt", lambda: None)
    folder = run_trial(drawn, quick, "--epochs", 3)
    assert len(history(folder)) == 2
    shown = EventAccumulator(str(folder)).Reload()
    assert "_hparams_/session_start_info" in shown.summary_metadata
    best = max(row["val_accuracy"] for row in history(folder))
    assert [event.value for event in shown.Scalars("best/accuracy")] == [pytest.approx(best)]


def test_the_figure_shows_right_answers_in_green_and_wrong_ones_in_red():
    photos = torch.zeros((2, 3, 8, 8), dtype=torch.uint8)
    figure = events.draw_predictions(photos, ["mask", "normal"], ["mask", "mask"])
    captions = [
        figure[events.TILE :, place * events.TILE :][:, : events.TILE].reshape(-1, 3).tolist() for place in (0, 1)
    ]
    assert list(events.RIGHT) in captions[0]
    assert list(events.WRONG) not in captions[0]
    assert list(events.WRONG) in captions[1]
    assert list(events.RIGHT) not in captions[1]


def test_without_a_test_part_the_trial_says_so(data, quick, capsys):
    shutil.rmtree(data / "eval")
    folder = run_trial(data, quick, "--epochs", 1)
    assert "has no test photos: no soft.csv" in capsys.readouterr().out
    assert not (folder / "soft.csv").exists()
    assert "has no test photos" in load_json(folder, "summary.json")["test"]["reason"]
