import csv
import json

import numpy as np
import pytest
from PIL import Image
from test_unseen import HEADS, WHOLE, leave, pets

from config import Config
from dataset import read
from folds import divide
from predictions import write_validation
from suspects import main
from task import one_hot

COLUMNS = "rank,path,person,field,label,suggested,probability,score,issue,evidence"


def suspects_of(argv):
    """The rows that suspects.py writes; it draws no picture unless told to, as that takes a second."""
    pictures = [] if "--pictures" in argv else ["--pictures", "0"]
    assert main([*map(str, argv), *pictures]) == 0
    with open(argv[argv.index("-o") + 1]) as file:
        return list(csv.DictReader(file))


def probabilities_of(truth, rng):
    """(N, 18) of models that know `truth` (N,) fairly well: the product of three heads."""
    digits = np.stack([truth // 6, truth // 3 % 2, truth % 3], axis=1)
    heads = []
    for column, size in zip(digits.T, (3, 2, 3), strict=True):
        sure = rng.uniform(0.75, 0.95, len(truth))[:, None]
        right = one_hot(column, size).astype(float)
        heads.append(right * sure + (1 - right) * (1 - sure) / (size - 1))
    mask, gender, age = heads
    return (mask[:, :, None, None] * gender[:, None, :, None] * age[:, None, None, :]).reshape(len(truth), 18)


@pytest.fixture
def faces(drawn):
    """The drawn people as read, and the class (N,) of each of their photos."""
    data = read(str(drawn), "auto", Config().values())
    return data, data.truth.argmax(axis=1)


def leave_faces(folder, data, labels, probabilities, heads=(WHOLE,), **changes):
    people = list(dict.fromkeys(data.train.groups))
    folds = [people.index(group) % 2 for group in data.train.groups]
    changes = {"parameters": {"data_dir": str(data.root)}} | changes
    return leave(folder, data.train.ids, data.train.groups, folds, labels, probabilities, list(heads), **changes)


@pytest.fixture
def planted(faces, tmp_path):
    """A run trained on three wrong labels: a person's gender, another's age, and two photos of a third exchanged."""
    data, truth = faces
    groups, masks = np.array(data.train.groups), truth // 6
    woman = next(group for group, label in zip(groups, truth, strict=True) if label // 3 % 2 == 1)
    young = next(group for group, label in zip(groups, truth, strict=True) if label % 3 == 0 and group != woman)
    third = next(group for group in groups if group not in (woman, young))
    labels = truth.copy()
    labels[groups == woman] -= 3
    labels[groups == young] += 2
    worn, bare = (np.flatnonzero((groups == third) & (masks == mask))[0] for mask in (1, 2))
    labels[worn] += 6
    labels[bare] -= 6
    run = leave_faces(tmp_path / "run", data, labels, probabilities_of(truth, np.random.default_rng(0)))
    return run, data, (woman, young, third)


def test_planted_labels_stand_first_with_what_they_are(planted, tmp_path):
    run, data, (woman, young, third) = planted
    found = suspects_of([run, "-o", tmp_path / "found.csv"])
    first = {(row["field"], row["person"], row["label"], row["suggested"]) for row in found[:4]}
    assert first == {
        ("gender", woman, "male", "female"),
        ("age", young, ">=60", "<30"),
        ("mask", third, "normal", "incorrect"),
        ("mask", third, "incorrect", "normal"),
    }
    issues = [row["issue"] for row in found]
    assert "yes" in issues[:4]
    assert set(issues[4:]) == {"no"}
    evidence = {row["field"]: row["evidence"] for row in found[:4]}
    assert evidence["gender"] == "7 of 7 photos look female"
    assert evidence["mask"] == "6 others are labelled mask 5, normal 1 and look mask 5, incorrect 1" or (
        evidence["mask"] == "6 others are labelled mask 5, incorrect 1 and look mask 5, normal 1"
    )
    group_of = dict(zip(data.train.ids, data.train.groups, strict=True))
    assert all(group_of[row["path"]] == row["person"] for row in found)


def test_every_label_is_ranked_once_and_the_lowest_score_first(planted, tmp_path):
    run, data, _ = planted
    found = suspects_of([run, "-o", tmp_path / "found.csv"])
    assert ",".join(found[0]) == COLUMNS
    photos, people = len(data.train.ids), len(set(data.train.groups))
    assert len({(row["path"], row["field"]) for row in found}) == len(found) == photos + 2 * people
    scores = [float(row["score"]) for row in found]
    assert scores == sorted(scores)
    assert [row["rank"] for row in found] == [str(rank) for rank in range(1, len(found) + 1)]


def test_a_persons_score_is_the_mean_over_the_photos_and_the_path_the_one_that_denies_it_most(tmp_path):
    female = np.array([0.9, 0.6, 0.6, 0.2, 0.3])
    run = leave(
        tmp_path / "run", list("vwxyz"), list("aaabb"), [0] * 3 + [1] * 2, [0, 0, 0, 0, 0],
        np.stack([1 - female, female], axis=1), HEADS[1:2],
    )  # fmt: skip
    first, second = suspects_of([run, "-o", tmp_path / "found.csv"])
    assert (first["path"], first["person"], first["suggested"]) == ("v", "a", "female")
    assert float(first["score"]) == pytest.approx(0.3)
    assert float(first["probability"]) == pytest.approx(0.7)
    assert (second["path"], second["suggested"], float(second["score"])) == ("z", "male", pytest.approx(0.75))
    assert second["evidence"] == "2 of 2 photos look male"


def test_heads_and_18_classes_give_the_same(planted, tmp_path):
    run, _, _ = planted
    whole = suspects_of([run, "-o", tmp_path / "whole.csv"])
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps(config | {"heads": HEADS}))
    assert suspects_of([run, "-o", tmp_path / "heads.csv"]) == whole


def test_a_picture_shows_the_first_ones(planted, tmp_path, capsys):
    run, _, _ = planted
    suspects_of([run, "-o", tmp_path / "found.csv", "--pictures", "3"])
    assert "found.png: the first 3 with the same person's other photos" in capsys.readouterr().out
    with Image.open(tmp_path / "found.png") as sheet:
        assert sheet.height > 3 * 150
    suspects_of([run, "-o", tmp_path / "other.csv"])
    assert not (tmp_path / "other.png").exists()


def test_without_the_photos_labels_are_ranked_all_the_same(planted, tmp_path, capsys):
    run, data, _ = planted
    here = suspects_of([run, "-o", tmp_path / "here.csv"])
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps(config | {"parameters": {"data_dir": "/gone"}}))
    capsys.readouterr()
    away = suspects_of([run, "-o", tmp_path / "away.csv", "--pictures", "3"])
    assert not (tmp_path / "away.png").exists()
    assert "the photos are not here (/gone), so none are shown; pass --data_dir" in capsys.readouterr().out
    assert [(row["path"], row["score"]) for row in away] == [(row["path"], row["score"]) for row in here]
    assert suspects_of([run, "--data_dir", data.root, "-o", tmp_path / "again.csv"]) == here


def test_people_united_by_groups_csv_are_judged_apart(planted, tmp_path):
    run, _, (woman, young, _) = planted
    before = suspects_of([run, "-o", tmp_path / "before.csv"])
    table = (run / "val_soft.csv").read_text()
    fold = {group: line.split(",")[1] for line in table.splitlines() for group in [line.split(",")[2]]}
    table = table.replace(f",{fold[young]},{young},", f",{fold[woman]},{woman},")
    (run / "val_soft.csv").write_text(table)
    assert suspects_of([run, "-o", tmp_path / "after.csv"]) == before


def test_of_several_labels_at_once_the_suggestion_is_the_set(tmp_path):
    rng = np.random.default_rng(1)
    truth = rng.random((80, 4)) < 0.4
    truth[:, 3] |= ~truth.any(axis=1)
    truth[5] = [True, False, True, False]
    probabilities = np.where(truth, 0.9, 0.1)
    labels = truth.copy()
    labels[5] = [True, False, False, True]
    run = tmp_path / "run"
    run.mkdir()
    ids = [f"s{number}" for number in range(80)]
    write_validation(run / "val_soft.csv", ids, np.arange(80) % 2, ids, labels, labels, probabilities, exclusive=False)
    heads = [{"name": "label", "classes": list("0123"), "exclusive": False}]
    folds = {"hash": "h", "fold": "all", "validation": 80}
    (run / "config.json").write_text(json.dumps({"parameters": {}, "data": {}, "folds": folds, "heads": heads}))
    first, *others = suspects_of([run, "-o", tmp_path / "found.csv"])
    assert (first["path"], first["label"], first["suggested"]) == ("s5", "0 3", "0 2")
    assert (float(first["probability"]), first["issue"]) == (pytest.approx(0.9), "yes")
    assert all(row["label"] == row["suggested"] for row in others)


def test_corrected_labels_are_what_is_ranked_and_the_correction_is_told(tmp_path):
    run = pets(tmp_path / "run", labels=(1, 1, 0, 1), given=(0, 1, 0, 1))
    first = suspects_of([run, "-o", tmp_path / "found.csv"])[0]
    assert (first["path"], first["label"], first["suggested"]) == ("a.jpg", "dog", "cat")
    assert first["evidence"] == "was cat before corrections"


def test_photos_that_no_run_validated_are_counted(planted, tmp_path, capsys):
    run, data, _ = planted
    lines = (run / "val_soft.csv").read_text().splitlines(keepends=True)
    (run / "val_soft.csv").write_text("".join([line for line in lines if line.split(",")[1] != "1"]))
    suspects_of([run, "-o", tmp_path / "found.csv"])
    told = capsys.readouterr().out
    half = len(data.train.ids) // 2
    assert f"note: gender: {half} of {2 * half} labelled photos are not judged, as no given run validated" in told


def test_data_of_other_photos_is_refused(planted, tmp_path):
    run = pets(tmp_path / "pets")
    _, data, _ = planted
    with pytest.raises(SystemExit, match=r"error: .* has no labelled photo 'a.jpg', as .*pets has \(4 such\)"):
        main([str(run), "--data_dir", str(data.root), "-o", str(tmp_path / "found.csv")])
    assert not (tmp_path / "found.csv").exists()


def test_photos_of_another_fold_than_the_data_says_are_refused(faces, tmp_path):
    data, truth = faces
    split = divide(Config(), data)
    run = leave_faces(tmp_path / "run", data, truth, probabilities_of(truth, np.random.default_rng(0)))
    config = json.loads((run / "config.json").read_text())
    config["folds"] |= {"hash": split.hash}
    (run / "config.json").write_text(json.dumps(config))
    with pytest.raises(SystemExit, match=r"error: .* stands in fold \d and validates in \d, so a model may have been"):
        main([str(run), "-o", str(tmp_path / "found.csv")])


def test_what_is_not_out_of_fold_is_refused_by_the_command(tmp_path):
    run = pets(tmp_path / "run", fold=0)
    with pytest.raises(SystemExit, match="error: .* trained on the others: what it says of them is no evidence"):
        main([str(run), "-o", str(tmp_path / "found.csv")])


def test_without_a_name_it_lies_in_the_folder_curation_of_the_data_or_of_the_notes(planted, data, tmp_path):
    run, _, _ = planted
    (tmp_path / "notes").mkdir()
    for words, folder in (([], data), (["--notes_dir", str(tmp_path / "notes")], tmp_path / "notes")):
        assert main([str(run), "--data_dir", str(data), "--pictures", "0", *words]) == 0
        assert (folder / "curation" / "suspects.csv").is_file()


def test_without_the_photos_and_a_name_it_has_no_place(planted, tmp_path):
    run, _, _ = planted
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps(config | {"parameters": {"data_dir": "/gone"}}))
    with pytest.raises(SystemExit, match="suspects.csv has no place; name one with -o, or pass --data_dir"):
        main([str(run)])


def test_it_lies_with_the_notes_of_the_runs(planted, data, tmp_path):
    run, _, _ = planted
    (tmp_path / "notes").mkdir()
    config = json.loads((run / "config.json").read_text())
    config.setdefault("parameters", {})["notes_dir"] = str(tmp_path / "notes")
    (run / "config.json").write_text(json.dumps(config))
    assert main([str(run), "--data_dir", str(data), "--pictures", "0"]) == 0
    assert (tmp_path / "notes" / "curation" / "suspects.csv").is_file()


def test_models_that_know_little_are_told(faces, tmp_path, capsys):
    data, truth = faces
    rng = np.random.default_rng(0)
    run = leave_faces(tmp_path / "run", data, truth, probabilities_of(rng.permutation(truth), rng))
    suspects_of([run, "-o", tmp_path / "found.csv"])
    said = capsys.readouterr().out
    assert "the models agree with" in said
    assert "rather the models' own mistakes" in said


def test_models_that_know_much_are_not_doubted(planted, tmp_path, capsys):
    run, _, _ = planted
    suspects_of([run, "-o", tmp_path / "found.csv"])
    assert "own mistakes" not in capsys.readouterr().out
