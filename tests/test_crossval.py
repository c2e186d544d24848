"""All folds in one run folder, on drawn photos."""

import json

import numpy as np
import pandas as pd
import pytest
from kills import go_on, killed_at, only, plant_small
from sklearn.metrics import accuracy_score, f1_score
from walks import failure, history, load_json, newest, run_trial

import crossval
import inference
import leaderboard
import lookup
import train
from columns import load as load_columns
from config import PLACES
from dataset import read
from sources import load
from trial import Trial

CLASSES = [str(number) for number in range(18)]


@pytest.fixture
def told(monkeypatch):
    """What a trial tells NNI, in order; only one that NNI started tells anything."""
    words = []
    begun = Trial("exp", "trial", {})
    monkeypatch.setattr(train, "start_trial", lambda: begun)
    report = {"report": "folds so far", "finish": "final"}
    for method, what in report.items():
        monkeypatch.setattr(
            Trial,
            method,
            lambda self, metrics, what=what, **step: words.append((what, metrics | step)) if self.id else None,
        )
    monkeypatch.setattr(Trial, "show", lambda self, folder: None)
    monkeypatch.setattr(Trial, "resume", lambda self, done: None)
    return words


def test_every_labelled_photo_is_predicted_once_by_a_model_that_did_not_train_on_its_person(drawn, quick):
    folder = run_trial(drawn, quick, "--folds", "3", "--fold", "all")
    joined = pd.read_csv(folder / "val_soft.csv", dtype={"group": str})
    data = read(str(drawn), "auto", train.Config().values())
    assert joined["id"].tolist() == list(data.train.ids)
    for fold in range(3):
        own = pd.read_csv(folder / f"fold-{fold}" / "val_soft.csv", dtype={"group": str})
        pd.testing.assert_frame_equal(
            joined[joined["fold"] == fold].sort_values("id", ignore_index=True),
            own.sort_values("id", ignore_index=True),
        )
    assert joined.groupby("group")["fold"].nunique().max() == 1
    assert load_columns(folder / "val_soft.csv").num_rows == 140


def test_the_result_is_the_metric_over_all_photos_and_nni_is_told_the_mean_of_the_folds_so_far(drawn, quick, told):
    folder = run_trial(drawn, quick, "--folds", "3", "--fold", "all", "--metric", "macro_f1")
    joined = pd.read_csv(folder / "val_soft.csv")
    predicted = joined[CLASSES].to_numpy().argmax(axis=1)
    metrics = load_json(folder, "summary.json")["metrics"]
    assert metrics["val_accuracy"] == pytest.approx(accuracy_score(joined["label"], predicted))
    f1 = f1_score(joined["label"], predicted, labels=range(18), average="macro", zero_division=0)
    assert metrics["val_macro_f1"] == pytest.approx(f1)
    best = [load_json(folder / f"fold-{fold}", "summary.json")["metrics"]["val_macro_f1"] for fold in range(3)]
    assert [what for what, _ in told] == ["folds so far"] * 3 + ["final"]
    for count in (1, 2, 3):
        assert told[count - 1][1]["default"] == pytest.approx(np.mean(best[:count]))
    assert told[3][1]["default"] == pytest.approx(f1)


def test_a_test_photo_gets_the_mean_of_the_folds_models(drawn, quick):
    folder = run_trial(drawn, quick, "--folds", "3", "--fold", "all")
    files = [folder, *(folder / f"fold-{fold}" for fold in range(3))]
    whole, *each = (pd.read_csv(file / "soft.csv").set_index("ImageID") for file in files)
    np.testing.assert_allclose(whole[CLASSES], np.mean([soft[CLASSES] for soft in each], axis=0), atol=1e-7)
    hard = pd.read_csv(folder / "hard.csv")
    assert hard["ans"].tolist() == whole["ans"].tolist() == whole[CLASSES].to_numpy().argmax(axis=1).tolist()
    assert hard["ImageID"].tolist() == pd.read_csv(drawn / "eval" / "info.csv")["ImageID"].tolist()


def test_the_history_is_the_mean_over_the_folds_epoch_by_epoch(drawn, quick):
    folder = run_trial(drawn, quick, "--folds", "2", "--fold", "all")
    each = [history(folder / f"fold-{fold}") for fold in range(2)]
    for epoch, row in enumerate(history(folder)):
        assert row["epoch"] == epoch + 1
        assert row["val_loss"] == pytest.approx((each[0][epoch]["val_loss"] + each[1][epoch]["val_loss"]) / 2)


@pytest.mark.slow
@pytest.mark.parametrize("write", [12, 31])
def test_killed_in_a_fold_it_goes_on_there_and_ends_as_if_never_stopped(drawn, quick, monkeypatch, write):
    options = plant_small(quick, monkeypatch)
    words = ["--folds", "2", "--fold", "all"]
    killed_at(write, drawn, options, *words, "--name", "killed")
    go_on(drawn, options, *words, "--name", "killed")
    twin = run_trial(drawn, options, *words, "--name", "twin")
    killed = only(options, "killed")
    for name in ("val_soft.csv", "soft.csv", "hard.csv"):
        assert (killed / name).read_text() == (twin / name).read_text()
    stories = [json.loads((folder / "summary.json").read_text()) for folder in (killed, twin)]
    assert stories[0]["metrics"] == stories[1]["metrics"]
    assert [entry["best_epoch"] for entry in stories[0]["folds"]] == [
        entry["best_epoch"] for entry in stories[1]["folds"]
    ]


def test_stopped_between_folds_it_says_what_it_keeps(drawn, quick, monkeypatch, capsys):
    story, begun = crossval.run_fold, []

    def stopped(*given):
        begun.append(given)
        if len(begun) == 2:
            raise KeyboardInterrupt
        return story(*given)

    monkeypatch.setattr(crossval, "run_fold", stopped)
    monkeypatch.setattr(train, "die_of_interrupt", lambda: None)
    train.main(["--data_dir", str(drawn), *quick, "--folds", "3", "--fold", "all"])
    folder = newest(quick)
    assert (
        f"{folder} keeps 1 whole folds and the epochs of the next; --resume {folder} goes on" in capsys.readouterr().out
    )
    assert load_json(folder, "summary.json")["status"] == "INTERRUPTED"
    monkeypatch.setattr(crossval, "run_fold", story)
    train.main(["--data_dir", str(drawn), *quick, "--folds", "3", "--fold", "all", "--resume", str(folder)])
    assert load_json(folder, "summary.json")["status"] == "SUCCEEDED"


def test_a_class_of_fewer_people_than_folds_is_named(drawn, quick, capsys):
    run_trial(drawn, quick, "--epochs", "1", "--val_ratio", "0.1")
    assert "classes of fewer people or groups than there are folds: " in capsys.readouterr().out


def test_folds_that_cannot_be_had_fail_before_any_training(drawn, quick):
    assert "21" in failure(drawn, quick, "--folds", "21", "--fold", "all")


def test_inference_predicts_with_the_models_of_all_folds(drawn, quick, tmp_path):
    folder = run_trial(drawn, quick, "--folds", "2", "--fold", "all", "--classification", "heads")
    whole, copy = (folder / "soft.csv").read_text(), tmp_path / "soft.csv"
    inference.main([str(folder), "--output", str(copy)])
    np.testing.assert_allclose(
        pd.read_csv(copy).drop(columns="ImageID"), pd.read_csv(folder / "soft.csv").drop(columns="ImageID"), atol=1e-6
    )
    (folder / "soft.csv").unlink()
    inference.main([str(folder)])
    assert (folder / "soft.csv").read_text().splitlines()[0] == whole.splitlines()[0]
    with pytest.raises(SystemExit, match="has a model for each of 2 folds"):
        inference.main([str(folder), "--checkpoint", str(folder / "fold-0" / "best.pt")])


def test_three_heads_leave_the_18_classes_and_their_own(drawn, quick):
    folder = run_trial(drawn, quick, "--classification", "heads")
    heads = ["mask_0", "mask_1", "mask_2", "gender_0", "gender_1", "age_0", "age_1", "age_2"]
    for name in ("soft.csv", "val_soft.csv"):
        table = pd.read_csv(folder / name)
        assert table.columns.tolist()[-8:] == heads
        mask, gender, age = (
            table[[c for c in heads if c.startswith(head)]].to_numpy() for head in ("mask", "gen", "age")
        )
        product = [np.multiply.outer(np.outer(m, g), a).ravel() for m, g, a in zip(mask, gender, age, strict=True)]
        np.testing.assert_allclose(table[CLASSES], product, atol=1e-6)
        np.testing.assert_allclose(mask.sum(axis=1), 1, atol=1e-6)
    hard = pd.read_csv(folder / "hard.csv")
    assert hard["ans"].tolist() == pd.read_csv(folder / "soft.csv")[CLASSES].to_numpy().argmax(axis=1).tolist()


def test_a_run_of_all_folds_is_found_as_one_by_its_model_and_by_its_knobs(drawn, quick, tmp_path, monkeypatch):
    words = ["--folds", "2", "--fold", "all"]
    folder = run_trial(drawn, quick, *words)
    outputs = folder.parent.parent
    assert lookup.newest(outputs, "squeezenet1_1") == lookup.newest(outputs / "exp", "") == folder
    config = load(["--data_dir", str(drawn), *quick, *words], {}, {})[0]
    assert lookup.with_parameters(outputs, config, PLACES) == folder


def test_an_unfinished_run_of_all_folds_is_not_predicted_with(drawn, quick):
    folder = run_trial(drawn, quick, "--folds", "2", "--fold", "all")
    summary = load_json(folder / "fold-1", "summary.json")
    (folder / "fold-1" / "summary.json").write_text(json.dumps(summary | {"status": "INTERRUPTED"}))
    with pytest.raises(SystemExit, match=f"has 1 of 2 folds; train.py --resume {folder} makes the others"):
        inference.main([str(folder)])


def test_photos_that_cannot_be_read_are_told_and_the_tables_take_the_rest(data, quick, capsys):
    broken = sorted((data / "train" / "images").glob("*/normal.*"))[0]
    broken.write_bytes(b"no photo")
    unseen = sorted((data / "eval" / "images").iterdir())[0]
    unseen.write_bytes(b"no photo")
    folder = run_trial(data, quick, "--folds", "2", "--fold", "all", "--skip_unreadable", "true")
    summary = load_json(folder, "summary.json")
    assert summary["validated"] == 139
    assert [entry.split(": ")[0] for entry in summary["unreadable"]] == [broken.relative_to(data).as_posix()]
    assert list(summary["test"]["unreadable"]) == [unseen.name]
    leaderboard.main([str(folder.parent)])
    assert "macro" in capsys.readouterr().out


def test_photos_that_validate_in_no_fold_are_counted(drawn, quick, capsys):
    run_trial(drawn, quick, "--epochs", "1", "--val_ratio", "0.3", "--fold", "all")
    assert "labelled photos validate in no fold" in capsys.readouterr().out
