import shutil

import numpy as np
import pandas as pd
import pytest

from dataset import read
from profiles import age_class

KNOBS = {"classification": "multi", "age_boundaries": (30, 60)}


def read_multi(root, **changes):
    return read(str(root), "auto", KNOBS | changes)


def edit(root, change):
    path = root / "train" / "train.csv"
    table = pd.read_csv(path, dtype=str)
    change(table).to_csv(path, index=False)


def test_photos_people_and_labels_are_those_of_the_layout(drawn):
    data = read_multi(drawn)
    assert len(data.train.ids) == 20 * 7
    assert "001498-1" in data.train.groups
    assert not any("._" in name for name in data.train.ids)
    assert {path.suffix for path in data.train.paths} == {".jpg", ".png", ".jpeg"}
    table = pd.read_csv(drawn / "train" / "train.csv", dtype=str).set_index("id")
    for name, group, row in zip(data.train.ids, data.train.groups, data.train.target, strict=True):
        person = table.loc[group]
        mask = 1 if "incorrect" in name else 2 if "normal" in name else 0
        age = (int(person.age) >= 30) + (int(person.age) >= 60)
        assert row.argmax() == mask * 6 + (person.gender.lower() == "female") * 3 + age


def test_the_test_part_keeps_the_order_of_info_csv(drawn):
    data = read_multi(drawn)
    assert list(data.test.ids) == pd.read_csv(drawn / "eval" / "info.csv")["ImageID"].tolist()
    assert (data.test.id_column, data.test.answer_column) == ("ImageID", "ans")


@pytest.mark.parametrize("below", ["", "train", "train/images"])
def test_the_root_is_found_from_below(drawn, below):
    assert read_multi(drawn / below).root == drawn


@pytest.mark.parametrize(("kind", "count"), [("multi", 18), ("mask", 3), ("gender", 2), ("age", 3)])
def test_each_classification_has_its_classes_but_the_same_strata(drawn, kind, count):
    data = read_multi(drawn, classification=kind)
    assert data.train.target.shape == (140, count)
    assert data.train.strata == read_multi(drawn).train.strata


def test_age_boundaries_move_labels_but_not_strata(drawn):
    moved = read_multi(drawn, classification="age", age_boundaries=(25, 40))
    assert moved.train.strata == read_multi(drawn).train.strata
    assert moved.train.target[:, 2].sum() > read_multi(drawn, classification="age").train.target[:, 2].sum()


def test_age_classes_begin_at_their_boundaries():
    assert [age_class(age, (30, 60)) for age in (29, 30, 59, 60)] == [0, 1, 1, 2]


def test_reading_twice_gives_the_same(drawn):
    first, second = read_multi(drawn), read_multi(drawn)
    assert first.train.ids == second.train.ids
    np.testing.assert_array_equal(first.train.target, second.train.target)
    assert first.fingerprint() == second.fingerprint()


def test_a_changed_label_changes_the_fingerprint(data):
    before = read_multi(data).fingerprint()
    edit(data, lambda table: table.assign(age="77"))
    assert read_multi(data).fingerprint() != before


def set_first(column, value):
    def change(table):
        table.loc[0, column] = value
        return table

    return change


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda t: t.drop(columns="gender"), "train.csv lacks the column gender; it has id, race, age, path"),
        (set_first("age", "?"), r"train.csv line 2 \(id 000001\): age '\?' is not a number of years"),
        (set_first("age", "300"), "age '300'"),
        (set_first("id", " "), r"train.csv line 2: id is empty \(1 such lines\)"),
        (set_first("gender", "femal"), "gender 'femal' is neither male nor female"),
        (set_first("path", "nobody"), "there is no folder .*nobody"),
        (lambda t: t.iloc[:0], "has no rows"),
        (lambda t: pd.concat([t, t.iloc[:1]]), "the same folder"),
    ],
)
def test_a_faulty_train_csv_is_named_by_line(data, change, says):
    edit(data, change)
    with pytest.raises(ValueError, match=says):
        read_multi(data)


def test_a_byte_order_mark_left_by_a_spreadsheet_is_no_part_of_the_first_column(data):
    path = data / "train" / "train.csv"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert len(read_multi(data).train.ids) == 140


def test_semicolons_are_named_as_the_reason(data):
    path = data / "train" / "train.csv"
    path.write_text(path.read_text().replace(",", ";"))
    with pytest.raises(ValueError, match="separated by semicolons"):
        read_multi(data)


def test_a_photo_that_leads_nowhere_is_listed_for_the_cache_to_tell(data):
    photo = next((data / "train" / "images").glob("000002*/mask1.*"))
    photo.unlink()
    photo.symlink_to("nowhere.jpg")
    found = read_multi(data)
    assert photo in found.train.paths
    assert len(found.fingerprint()) == 16


def test_a_person_without_photos_is_named(data):
    folder = next(p for p in (data / "train" / "images").iterdir() if p.name.startswith("000002"))
    for photo in folder.iterdir():
        photo.rename(photo.with_stem("holiday"))
    with pytest.raises(ValueError, match="000002.* holds no photo named mask1"):
        read_multi(data)


def test_folders_that_train_csv_does_not_list_are_told(data, capsys):
    edit(data, lambda table: table.iloc[1:])
    assert len(read_multi(data).train.ids) == 19 * 7
    assert "1 folders" in capsys.readouterr().out


def test_misnamed_photos_and_the_people_who_lack_them_are_told(data, capsys):
    photo = next((data / "train" / "images").glob("000002*/mask1.*"))
    photo.rename(photo.with_stem("mask1 (copy)"))
    assert len(read_multi(data).train.ids) == 139
    said = capsys.readouterr().out
    assert "1 files are left out, because their names are none of mask1, mask2" in said
    assert f"{photo.parent.name}/mask1 (copy)" in said
    assert f"1 people lack some of their 7 photos: {photo.parent.name}" in said


@pytest.mark.parametrize(
    ("break_it", "says"),
    [
        (lambda root: shutil.rmtree(root), "is not a folder"),
        (lambda root: (shutil.rmtree(root), root.mkdir()), "has none of train/train.csv"),
        (lambda root: (root / "eval" / "info.csv").unlink(), "info.csv is missing"),
        (lambda root: shutil.rmtree(root / "eval" / "images"), "eval/info.csv lists 35 photos"),
        (lambda root: (root / "train" / "train.csv").write_bytes(b""), "is not a CSV"),
        (lambda root: (root / "train" / "train.csv").write_bytes(b"\xff\xfe"), "is not a CSV"),
        (
            lambda root: shutil.rmtree(root / "train" / "images"),
            "images is missing, though .*train.csv lists 20 people",
        ),
    ],
)
def test_a_broken_data_root_is_told(data, break_it, says):
    break_it(data)
    with pytest.raises(ValueError, match=says):
        read_multi(data)


def test_no_data_root_says_how_to_name_one():
    with pytest.raises(ValueError, match="--data_dir DIR or set SM_CHANNEL_TRAIN"):
        read_multi("")


def test_without_an_eval_part_there_is_no_test(data):
    shutil.rmtree(data / "eval")
    assert read_multi(data).test is None
