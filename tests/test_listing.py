import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from walks import failure, load_json, run_trial

from dataset import read
from task import one_hot

KNOBS = {"classification": "multi", "age_boundaries": (30, 60)}
COLOURS = {"red": (200, 40, 40), "green": (40, 200, 40), "blue": (40, 40, 200)}


def paint(path, colour, seed=0):
    """A photo of one colour and some noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(-30, 30, (32, 32, 3))
    Image.fromarray(np.clip(np.array(COLOURS[colour]) + noise, 0, 255).astype(np.uint8)).save(path)


@pytest.fixture
def listed(tmp_path):
    """manifest.csv with groups of four photos, and test.csv in an order of its own."""
    root, rows = tmp_path / "listed", []
    for number in range(36):
        colour = list(COLOURS)[number % 3]
        paint(root / "train" / f"{number:03d}.png", colour, number)
        rows.append((f"train/{number:03d}.png", colour, f"g{number // 4}"))
    pd.DataFrame(rows, columns=["path", "label", "group"]).to_csv(root / "manifest.csv", index=False)
    for name in ("b", "a", "c"):
        paint(root / "test" / f"{name}.png", "red")
    (root / "test.csv").write_text("path\ntest/b.png\ntest/a.png\ntest/c.png\n")
    return root


@pytest.fixture
def foldered(tmp_path):
    """Class folders, one of them with photos deeper down, and a loose test part."""
    root = tmp_path / "foldered"
    for colour in COLOURS:
        for number in range(8):
            below = "deeper" if number % 2 else ""
            paint(root / "train" / colour / below / f"{number}.png", colour, number)
    paint(root / "test" / "x" / "1.png", "red")
    paint(root / "test" / "0.jpg", "blue")
    (root / "train" / "red" / "notes.txt").write_text("not a photo")
    return root


@pytest.fixture
def named(tmp_path):
    """Labels by name, ids with zeros at their start, photos in a folder of a folder."""
    root, rows = tmp_path / "named", []
    for number in range(24):
        colour = list(COLOURS)[number % 3]
        paint(root / "training_data" / "training_data" / f"{number:05d}.jpg", colour, number)
        rows.append((f"{number:05d}", f"{colour} car 2007"))
    pd.DataFrame(rows, columns=["id", "label"]).to_csv(root / "training_labels.csv", index=False)
    for number in (7, 3):
        paint(root / "testing_data" / "testing_data" / f"{number:05d}.jpg", "red")
    grey = Image.new("L", (20, 30), 99)
    grey.save(root / "testing_data" / "testing_data" / "00001.jpg")
    return root


def open_root(root):
    return read(str(root), "auto", KNOBS)


def test_a_manifest_names_photos_labels_and_groups(listed):
    data = open_root(listed)
    assert data.task.classes == ("blue", "green", "red")
    table = pd.read_csv(listed / "manifest.csv")
    assert list(data.train.ids) == table["path"].tolist()
    assert list(data.train.groups) == table["group"].tolist()
    wanted = one_hot(np.array([sorted(COLOURS).index(name) for name in table["label"]]), 3)
    np.testing.assert_array_equal(data.train.target, wanted)
    assert data.test.ids == ("test/b.png", "test/a.png", "test/c.png")
    assert (data.test.id_column, data.test.answer_column, data.test.answers) == ("path", "label", data.task.classes)


def test_a_manifest_s_split_says_who_trains_validates_and_is_predicted(listed, quick):
    table = pd.read_csv(listed / "manifest.csv").drop(columns="group")
    table["split"] = ["train"] * 24 + ["val"] * 9 + ["test"] * 3
    table.to_csv(listed / "manifest.csv", index=False)
    with pytest.raises(ValueError, match="manifest.csv and .*test.csv both name test photos"):
        open_root(listed)
    (listed / "test.csv").unlink()
    data = open_root(listed)
    np.testing.assert_array_equal(data.validation, np.arange(24, 33))
    assert data.test.ids == tuple(table["path"][33:])
    run = run_trial(listed, quick)
    assert pd.read_csv(run / "val_soft.csv")["id"].tolist() == table["path"][24:33].tolist()
    assert "fold 1 does not exist" in failure(listed, quick, "--fold", 1)
    assert "for folds of groups" in failure(listed, quick, "--photo_holdout", 0.1)


def test_class_folders_are_found_with_what_lies_deeper(foldered):
    data = open_root(foldered)
    assert data.task.classes == ("blue", "green", "red")
    assert len(data.train.ids) == 24
    assert "train/red/deeper/1.png" in data.train.ids
    assert data.train.groups == data.train.ids  # nothing says which belong together
    assert data.test.ids == ("test/0.jpg", "test/x/1.png")


def test_a_val_folder_validates(foldered):
    for colour in COLOURS:
        (foldered / "val" / colour).mkdir(parents=True)
        shutil.move(foldered / "train" / colour / "0.png", foldered / "val" / colour / "0.png")
    data = open_root(foldered)
    assert [data.train.ids[row] for row in data.validation] == ["val/blue/0.png", "val/green/0.png", "val/red/0.png"]


def test_ids_keep_their_zeros_and_answers_are_names(named, quick):
    run = run_trial(named, quick)
    lines = (run / "hard.csv").read_text().splitlines()
    assert lines[0] == "id,label"
    assert [line.split(",")[0] for line in lines[1:]] == ["00001", "00003", "00007"]
    assert all(line.split(",")[1] in {f"{colour} car 2007" for colour in COLOURS} for line in lines[1:])
    assert load_json(run, "config.json")["submission"]["columns"] == ["id", "label"]


def test_a_trial_learns_colours_from_a_manifest(listed, quick):
    run = run_trial(listed, quick, "--model", "resnet18", "--epochs", 4, "--val_ratio", 0.25)
    assert load_json(run, "summary.json")["metrics"]["val_accuracy"] > 0.6
    people = pd.read_csv(run / "val_soft.csv")["group"].unique()
    assert len(people) * 4 == len(pd.read_csv(run / "val_soft.csv"))  # groups validate whole


def test_numbers_as_labels_are_in_their_order(listed):
    table = pd.read_csv(listed / "manifest.csv")
    table["label"] = table["label"].map({"red": 10, "green": 9, "blue": 2})
    table.to_csv(listed / "manifest.csv", index=False)
    assert open_root(listed).task.classes == ("2", "9", "10")


def change(root, edit):
    path = root / "manifest.csv"
    edit(pd.read_csv(path, dtype=str)).to_csv(path, index=False)


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (lambda t: t.drop(columns="label"), "lacks the column label"),
        (lambda t: t.assign(label=["", *t["label"][1:]]), r"line 2 \(train/000.png\): label is empty"),
        (lambda t: t.assign(group=["", *t["group"][1:]]), "group is empty; name it, or remove the column"),
        (lambda t: t.assign(path=["gone.png", *t["path"][1:]]), r"line 2 \(gone.png\): there is no such file"),
        (lambda t: pd.concat([t, t.iloc[:1]]), "lists train/000.png 2 times"),
        (lambda t: t.assign(split=["tomorrow", *["train"] * 35]), "split 'tomorrow' is none of train, val and test"),
        (lambda t: t.assign(split=["val", *["train"] * 35]), "group 'g0' has photos in train and in val"),
        (lambda t: t.assign(label="red"), "has photos of 1 class; 2 are needed"),
    ],
)
def test_a_broken_manifest_is_told(listed, edit, says):
    change(listed, edit)
    with pytest.raises(ValueError, match=says):
        open_root(listed)


def test_what_is_missing_from_the_other_layouts_is_told(named, foldered):
    (named / "training_data" / "training_data" / "00004.jpg").unlink()
    with pytest.raises(ValueError, match="has no photo 00004"):
        open_root(named)
    paint(foldered / "train" / "loose.png", "red")
    with pytest.raises(ValueError, match="loose.png lies in no folder of a class"):
        open_root(foldered)


def test_photos_without_a_label_are_named(named, capsys):
    paint(named / "training_data" / "00099.jpg", "red")
    assert len(open_root(named).train.ids) == 24
    assert "1 photos of training_data are not in training_labels.csv and are left out: 00099" in capsys.readouterr().out


def test_two_layouts_in_one_root_ask_for_a_choice(listed, named):
    shutil.copy(named / "training_labels.csv", listed)
    with pytest.raises(
        ValueError, match=r"manifest.csv \(--dataset manifest\), training_labels.csv \(--dataset named\)"
    ):
        open_root(listed)
    assert len(read(str(listed), "manifest", KNOBS).train.ids) == 36


def test_a_root_without_any_layout_lists_what_was_looked_for(tmp_path):
    looked_for = "train/train.csv, manifest.csv, training_labels.csv, train.csv (Id,Target), train/*/*"
    with pytest.raises(ValueError, match=re.escape(looked_for)):
        open_root(tmp_path)


def test_a_blend_spells_answers_as_its_trials_do(named, quick, tmp_path):
    from soft_vote import main

    runs = [run_trial(named, quick, "--seed", seed) for seed in (1, 2)]
    main([*map(str, runs), "-o", str(tmp_path / "s.csv")])
    lines = (tmp_path / "s.csv").read_text().splitlines()
    assert lines[0] == "id,label"
    assert all(line.split(",")[1].endswith(" car 2007") for line in lines[1:])
    folder = runs[0].parent / "blend-equal"
    assert json.loads((folder / "config.json").read_text())["submission"]["columns"] == ["id", "label"]
    assert (folder / "hard.csv").read_text() == (tmp_path / "s.csv").read_text()


def test_a_link_that_leads_back_is_left_out_and_told(tmp_path, capsys):
    for number, name in enumerate(("cat", "dog")):
        (tmp_path / "train" / name).mkdir(parents=True)
        Image.new("RGB", (8, 8), (number, 0, 0)).save(tmp_path / "train" / name / "a.png")
    (tmp_path / "train" / "cat" / "again").symlink_to(tmp_path / "train")
    (tmp_path / "train" / "dog" / "self").symlink_to(".")
    (tmp_path / "train" / "dog" / "nothing").symlink_to("nothing")
    assert read(str(tmp_path), "auto", KNOBS).train.ids == ("train/cat/a.png", "train/dog/a.png")
    said = capsys.readouterr().out
    assert "cat/again leads back to a folder that it lies in" in said
    assert "dog/self leads back" in said


def test_links_that_lead_to_each_other_are_followed_once(tmp_path, capsys):
    for name in ("cat", "dog"):
        (tmp_path / "train" / name).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(tmp_path / "train" / name / f"{name}.png")
    (tmp_path / "train" / "cat" / "x").symlink_to("../dog")
    (tmp_path / "train" / "dog" / "y").symlink_to("../cat")
    found = read(str(tmp_path), "auto", KNOBS)
    assert len(found.train.ids) == 4
    assert "leads back" in capsys.readouterr().out


def test_a_folder_may_be_linked_from_two_classes(tmp_path, capsys):
    """Which is no loop; that its photos have two labels is for duplicates.py to tell."""
    for name in ("cat", "dog", "more"):
        (tmp_path / ("train" if name != "more" else "") / name).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(tmp_path / ("train" if name != "more" else "") / name / f"{name}.png")
    for name in ("cat", "dog"):
        (tmp_path / "train" / name / "more").symlink_to("../../more")
    assert len(read(str(tmp_path), "auto", KNOBS).train.ids) == 4
    assert "leads back" not in capsys.readouterr().out
