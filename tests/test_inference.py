import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import accuracy_score
from walks import failure, load_json, run_trial

import evaluation
import inference
import samples
import train
from config import Config
from folds import Split
from predictions import read_validation
from task import Head, Task

CLASSES = [str(number) for number in range(18)]
SM = ("SM_CHANNEL_TRAIN", "SM_MODEL_DIR", "SM_CHANNEL_EVAL", "SM_CHANNEL_MODEL", "SM_OUTPUT_DATA_DIR")


@pytest.fixture(autouse=True)
def bare(monkeypatch):
    for name in SM:
        monkeypatch.delenv(name, raising=False)


def make_run(root, quick, *words):
    return run_trial(root, quick, "--epochs", 1, *words)


def stop(*words):
    with pytest.raises(SystemExit) as end:
        inference.main(list(map(str, words)))
    return str(end.value)


def test_inference_writes_what_the_trial_wrote(drawn, quick):
    folder = make_run(drawn, quick)
    before = (folder / "soft.csv").read_bytes()
    (folder / "soft.csv").unlink()
    (folder / "hard.csv").unlink()
    inference.main([str(folder)])
    assert (folder / "soft.csv").read_bytes() == before
    assert (folder / "hard.csv").is_file()


def test_the_data_may_have_moved(drawn, quick, tmp_path):
    folder = make_run(drawn, quick)
    before = (folder / "soft.csv").read_bytes()
    moved = shutil.copytree(drawn, tmp_path / "moved")
    inference.main([str(folder), "--data-dir", str(moved)])
    assert (folder / "soft.csv").read_bytes() == before


def test_what_is_no_finished_epoch_is_refused(drawn, quick, tmp_path):
    assert "is no run folder" in stop(tmp_path)
    folder = make_run(drawn, quick)
    assert "w.pt: no such file" in stop(folder, "--checkpoint", "w.pt")
    (folder / "best.pt").write_bytes((folder / "best.pt").read_bytes()[:5000])
    message = stop(folder)
    assert "best.pt cannot be read" in message
    assert "damaged" in message
    (folder / "best.pt").unlink()
    assert "no best.pt: the trial ended before its first epoch did" in stop(folder)


def test_a_gpu_that_is_not_there_is_told(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert inference.choose_device("auto").type == "cpu"
    with pytest.raises(ValueError, match="torch sees no GPU here"):
        inference.choose_device("cuda")


def test_the_three_old_lines_work_as_written(drawn, quick, tmp_path, monkeypatch, capsys):
    """SM_CHANNEL_TRAIN=… SM_MODEL_DIR=… NAME=… epochs=1 train.py, and so on, every knob in the environment."""
    knobs = dict(zip((word.lstrip("-") for word in quick[:-2:2]), quick[1:-2:2], strict=True))
    around = {
        "SM_CHANNEL_TRAIN": drawn / "train" / "images",
        "SM_MODEL_DIR": tmp_path / "m",
        "NAME": knobs.pop("model"),
    }
    for name, value in (around | knobs | {"epochs": 1}).items():
        monkeypatch.setenv(name, str(value))
    train.main([])
    (folder,) = (tmp_path / "m" / "exp").iterdir()
    assert load_json(folder, "config.json")["parameters"]["model"] == "squeezenet1_1"
    kept = {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}

    alone = tmp_path / "channel" / "eval"  # the test part without the labelled one
    shutil.copytree(drawn / "eval", alone)
    for name, value in (("EVAL", alone), ("MODEL", tmp_path / "m")):
        monkeypatch.setenv(f"SM_CHANNEL_{name}", str(value))
    monkeypatch.setenv("SM_OUTPUT_DATA_DIR", str(tmp_path / "out"))
    inference.main([])
    assert (tmp_path / "out" / "output.csv").read_bytes() == kept["hard.csv"]
    monkeypatch.setenv("SM_CHANNEL_EVAL", str(drawn / "eval"))
    inference.main([])
    assert (tmp_path / "out" / "output.csv").read_bytes() == kept["hard.csv"]
    assert {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()} == kept

    truth = pd.read_csv(drawn / "eval" / "info.csv").assign(ans=3)
    truth.to_csv(tmp_path / "gt.csv", index=False)
    monkeypatch.setenv("SM_GROUND_TRUTH_DIR", str(tmp_path))
    capsys.readouterr()
    evaluation.main([])
    answers = pd.read_csv(tmp_path / "out" / "output.csv")["ans"]
    share = accuracy_score([3] * len(answers), answers)
    assert json.loads(capsys.readouterr().out)["accuracy"]["value"] == f"{share:.2%}"


def test_a_folder_without_a_test_part_is_no_channel(drawn, quick, tmp_path, monkeypatch):
    folder = make_run(drawn, quick)
    monkeypatch.setenv("SM_CHANNEL_EVAL", str(tmp_path / "nowhere"))
    assert "SM_CHANNEL_EVAL: data root" in stop(folder)
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("SM_CHANNEL_EVAL", str(tmp_path / "empty"))
    assert "or a folder eval with info.csv" in stop(folder)


def test_output_takes_the_probabilities_and_leaves_the_run_folder_alone(drawn, quick, tmp_path):
    folder = make_run(drawn, quick, "--batch_size", 8)
    before = {file.name: file.stat().st_mtime_ns for file in folder.iterdir()}
    plain, turned, other = (tmp_path / "new" / f"{name}.csv" for name in ("plain", "turned", "other"))
    inference.main([str(folder), "--output", str(plain), "--num_tta", "1"])
    assert plain.read_bytes() == (folder / "soft.csv").read_bytes()
    inference.main([str(folder), "--output", str(turned), "--num_tta", "4", "--split", "test"])
    values = [pd.read_csv(file)[CLASSES].to_numpy() for file in (plain, turned)]
    assert not np.allclose(*values, atol=1e-6)
    np.testing.assert_allclose(values[1].sum(axis=1), 1, atol=1e-6)
    assert {file.name: file.stat().st_mtime_ns for file in folder.iterdir()} == before
    weights = torch.load(folder / "best.pt", weights_only=True)
    torch.save({name: torch.zeros_like(tensor) for name, tensor in weights.items()}, tmp_path / "zeros.pt")
    inference.main([str(folder), "--output", str(other), "--checkpoint", str(tmp_path / "zeros.pt")])
    np.testing.assert_allclose(pd.read_csv(other)[CLASSES].to_numpy(), 1 / 18, atol=1e-7)


def test_the_part_that_no_fold_trains_on_is_predicted_with_its_labels(drawn, quick, tmp_path):
    folder = make_run(drawn, quick, "--test_val", "true", "--folds", 3)
    inference.main([str(folder), "--output", str(tmp_path / "o.csv"), "--split", "test_val"])
    kept, validation = read_validation(tmp_path / "o.csv"), read_validation(folder / "val_soft.csv")
    table = pd.read_csv(drawn / "train" / "train.csv", dtype=str).set_index("id")
    assert len(kept.ids) == load_json(folder, "config.json")["folds"]["test_val"] > 0
    assert not set(kept.groups) & set(validation.groups)
    assert set(kept.folds) == {3}  # the folds are 0, 1 and 2
    for group, truth in zip(kept.groups, kept.truth, strict=True):
        assert truth.argmax() // 3 % 2 == (table.loc[group, "gender"].lower() == "female")
    np.testing.assert_allclose(kept.probabilities.sum(axis=1), 1, atol=1e-6)
    other = make_run(drawn, quick)
    assert "kept no part out; --split test_val is for trials with --test_val true" in stop(
        other, "--output", tmp_path / "o.csv", "--split", "test_val"
    )


def test_an_unreadable_photo_gets_the_shares_of_the_classes_and_of_each_head(data, quick, capsys):
    name = pd.read_csv(data / "eval" / "info.csv")["ImageID"][2]
    (data / "eval" / "images" / name).write_bytes(b"no photo")
    folder = make_run(data, quick, "--classification", "heads")
    prior = np.array(load_json(folder, "config.json")["prior"])
    soft = pd.read_csv(folder / "soft.csv")
    np.testing.assert_allclose(soft.loc[2, CLASSES].to_numpy(float), prior, atol=1e-7)
    mask, gender = ([f"{head}_{n}" for n in range(count)] for head, count in (("mask", 3), ("gender", 2)))
    np.testing.assert_allclose(soft.loc[2, mask].to_numpy(float), prior.reshape(3, 6).sum(axis=1), atol=1e-7)
    product = [
        soft[f"mask_{m}"] * soft[f"gender_{g}"] * soft[f"age_{a}"] for m in range(3) for g in (0, 1) for a in range(3)
    ]
    others = [row for row in range(len(soft)) if row != 2]
    np.testing.assert_allclose(soft[CLASSES].to_numpy()[others], np.array(product).T[others], atol=1e-7)
    assert set(gender) < set(soft.columns)
    assert f"{name}, one of the test photos, cannot be read" in capsys.readouterr().out
    assert list(load_json(folder, "summary.json")["test"]["unreadable"]) == [name]


def test_several_labels_at_once_are_joined_and_their_probabilities_stand_apart(tmp_path):
    task = Task((Head("label", tuple("abc"), exclusive=False),))
    test = samples.Test(("x", "y"), (tmp_path, tmp_path), "Id", "Predicted", ("0", "7", "23"))
    probabilities = np.array([[0.9, 0.2, 0.6], [0.1, 0.3, 0.2]])
    predicted = inference.Predicted(probabilities, probabilities, {})
    inference.write_probabilities(tmp_path / "soft.csv", task, test, predicted)
    inference.write_answers(tmp_path / "hard.csv", task, test, predicted)
    assert (tmp_path / "soft.csv").read_text() == "Id,P00,P01,P02\nx,0.9,0.2,0.6\ny,0.1,0.3,0.2\n"
    assert (tmp_path / "hard.csv").read_text() == "Id,Predicted\nx,0 23\ny,7\n"


def test_of_several_labels_the_part_kept_out_is_written_as_labels_and_probabilities_alone(tmp_path, monkeypatch):
    """L00..,P00.. and nothing else, as its old readers want it."""
    target = np.array([[1, 0], [0, 1], [1, 1], [0, 1]], dtype=np.float32)
    ids = ("a", "b", "c", "d")
    train = samples.Labelled(ids, (tmp_path,) * 4, ids, target, (("0",),) * 4)
    task = Task((Head("label", ("0", "1"), exclusive=False),))
    data = samples.Data(tmp_path, task, train, None)
    rows = np.array([1, 2])
    none = np.array([], dtype=int)
    split = Split(none, none, none, rows, np.array([0, -2, -2, 0]), "same")
    monkeypatch.setattr(inference, "divide", lambda config, data: split)
    monkeypatch.setattr(
        inference,
        "predict_photos",
        lambda config, data, learner, ids, *rest: inference.Predicted(*[np.array([[0.1, 0.9], [0.8, 0.7]])] * 2, {}),
    )
    monkeypatch.setattr(inference, "make_ready", lambda order: (Config(), data, None, np.array([0.5, 0.5])))
    stored = '{"folds": {"hash": "same", "fold": 0, "count": 1}, "parameters": {}}'
    (tmp_path / "config.json").write_text(stored)
    (tmp_path / "best.pt").touch()
    order = inference.Order(tmp_path, "test_val", tmp_path / "o.csv")
    assert inference.write_kept_out(order) == 2
    assert (tmp_path / "o.csv").read_text() == "L00,L01,P00,P01\n0,1,0.1,0.9\n1,1,0.8,0.7\n"
    (tmp_path / "config.json").write_text(stored.replace("same", "other"))
    with pytest.raises(ValueError, match="is not the data of .*: its folds were other, now same"):
        inference.write_kept_out(order)


def test_the_config_file_of_a_trial_finds_it(drawn, quick, tmp_path):
    file = tmp_path / "x.yml"
    file.write_text("train: {num_epochs: 1, batch_size: 32}\noptimizer: {name: SGD, params: {lr: .01}}\n")
    rest = [*quick[:6], *quick[10:]]  # --epochs and --batch_size are the file's
    train.main(["--config", str(file), "--data_dir", str(drawn), *rest])
    make_run(drawn, quick)
    (folder,) = (p.parent for p in (tmp_path / "outputs" / "exp").glob("*/config.json") if "SGD" in p.read_text())
    inference.main(["--config", str(file), *rest, "--output", str(tmp_path / "o.csv")])
    assert (tmp_path / "o.csv").read_bytes() == (folder / "soft.csv").read_bytes()
    assert "of the nearest" in stop("--config", file, *rest, "--lr", 0.5)


def test_a_submission_that_would_be_refused_stops_the_trial(drawn, quick, monkeypatch):
    monkeypatch.setattr(inference, "answers_of", lambda decided, answers: ["18"] * len(decided))
    assert "'18' is none of the 18 answers" in failure(drawn, quick, "--epochs", 1)
