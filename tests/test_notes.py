"""groups.csv and corrections.csv are applied wherever data is read, and told where they do not fit."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from walks import failure, load_json, newest, run_trial

import inference
import train
from config import Config
from dataset import read
from folds import divide
from notes import origin
from samples import Field
from task import one_hot


def read_with(root, **knobs):
    return read(str(root), "auto", replace(Config(), **knobs).values())


def corrections(root, *rows):
    """Writes corrections.csv: rows of path, person, field, value."""
    lines = ["path,person,field,value,note", *(",".join(row) + ",seen" for row in rows)]
    (root / "corrections.csv").write_text("\n".join(lines) + "\n")


def refused(root, **knobs):
    with pytest.raises(ValueError, match=".") as error:
        read_with(root, **knobs)
    return str(error.value)


def folder_of(root, person):
    people = pd.read_csv(root / "train" / "train.csv", dtype=str).set_index("id")
    return people.loc[person, "path"]


def people_of(root):
    return list(pd.read_csv(root / "train" / "train.csv", dtype=str)["id"])


def photo_of(root, person, stem):
    """The id of a photo, whose ending may be any."""
    (path,) = (root / "train" / "images" / folder_of(root, person)).glob(f"{stem}.*")
    return path.relative_to(root).as_posix()


def labels(data):
    """The class numbers of the labelled photos by path, of the 18."""
    return dict(zip(data.train.ids, data.truth.argmax(axis=1), strict=True))


def age(root, person, years):
    table = root / "train" / "train.csv"
    people = pd.read_csv(table, dtype=str)
    people.loc[people["id"] == person, "age"] = years
    people.to_csv(table, index=False)


@pytest.fixture
def manifest(tmp_path):
    """Six photos of two classes and four groups: a a b b c d."""
    root = tmp_path / "listed"
    root.mkdir()
    for name in "abcdef":
        Image.new("RGB", (9, 9), (10 * ord(name) % 255, 0, 0)).save(root / f"{name}.png")
    rows = zip("abcdef", ("cat", "dog") * 3, "112234", strict=True)
    (root / "manifest.csv").write_text("path,label,group\n" + "".join(f"{p}.png,{c},{g}\n" for p, c, g in rows))
    return root


# corrections


def test_a_person_gets_another_gender_on_all_photos(data):
    before = labels(read_with(data))
    corrections(data, ("", "000001", "gender", "swap"))
    after = labels(read_with(data))
    folder = folder_of(data, "000001")
    changed = {photo for photo in after if after[photo] != before[photo]}
    assert len(changed) == 7
    assert all(photo.startswith(f"train/images/{folder}/") for photo in changed)
    assert {abs(after[photo] - before[photo]) for photo in changed} == {3}  # class = mask * 6 + gender * 3 + age


def test_swap_exchanges_incorrect_and_normal_and_leaves_masks(data):
    corrections(data, ("", "000002", "mask", "swap"))
    before, after = labels(read_with(data, corrections="none")), labels(read_with(data))
    incorrect, normal = (photo_of(data, "000002", stem) for stem in ("incorrect_mask", "normal"))
    assert (after[incorrect], after[normal]) == (before[incorrect] + 6, before[normal] - 6)
    assert all(after[photo] == before[photo] for photo in after if photo not in (incorrect, normal))


@pytest.mark.parametrize(
    ("given", "said", "boundaries", "number"),
    [
        ("25", ">=60", (30, 60), 2),
        ("25", ">=60", (30, 61), 1),  # >=60 is 60 years for somebody of 25, who is under 61
        ("45", "30-59", (30, 50), 1),  # in the class already, so the years stay
        ("70", "30-59", (30, 50), 2),  # 59 is nearest
        ("45", "29", (30, 60), 0),
        ("45", "61", (30, 60), 2),
    ],
)
def test_an_age_is_corrected_by_class_or_in_years(data, given, said, boundaries, number):
    age(data, "000003", given)
    corrections(data, ("", "000003", "age", said))
    found = labels(read_with(data, age_boundaries=boundaries))
    assert found[photo_of(data, "000003", "normal")] % 3 == number


def test_one_photo_is_corrected_by_path_and_its_person_may_stand_beside_it(data):
    photo = photo_of(data, "000004", "mask1")
    corrections(data, (photo, "000004", "mask", "normal"))
    before, after = labels(read_with(data, corrections="none")), labels(read_with(data))
    assert {name for name in after if after[name] != before[name]} == {photo}
    assert after[photo] == before[photo] + 12


@pytest.mark.parametrize("kind", ["multi", "heads", "mask", "gender", "age"])
def test_corrections_reach_each_classification(data, kind):
    age(data, "000005", "20")
    rows = [("", "000005", field, value) for field, value in (("gender", "swap"), ("mask", "mask"), ("age", ">=60"))]
    corrections(data, *rows)
    found = read_with(data, classification=kind)
    own = [row for row, group in enumerate(found.train.groups) if group == "000005"]
    gender = read_with(data, classification="gender", corrections="none").truth[own[0]].argmax()
    number = {"mask": 0, "gender": 1 - gender, "age": 2}.get(kind, 3 * (1 - gender) + 2)
    assert set(found.truth[own].argmax(axis=1)) == {number}


def test_unsure_changes_nothing_and_is_counted(data, capsys):
    corrections(data, ("", "000001", "gender", "unsure"), ("", "000002", "", "unsure"))
    found = read_with(data)
    assert (found.truth == found.given).all()
    assert found.notes["corrections"] | {"hash": ""} == {"hash": "", "lines": 2, "photos": 0, "unsure": 2}
    assert "2 lines, which mend 0 photos; 2 of them are unsure and change nothing" in capsys.readouterr().out


def test_labels_as_they_came_are_kept_beside_the_mended_ones(data):
    corrections(data, ("", "000001", "gender", "swap"))
    found, plain = read_with(data), read_with(data, corrections="none")
    assert (found.given == plain.truth).all()
    assert (found.truth != plain.truth).any(axis=1).sum() == 7
    assert (plain.given == plain.truth).all()


def test_corrections_move_nobody_to_another_fold(data):
    corrections(data, *(("", person, "gender", "swap") for person in people_of(data)[:8]))
    one, other = (divide(Config(), read_with(data, corrections=choice)) for choice in ("auto", "none"))
    assert one.hash == other.hash


def test_corrections_change_the_fingerprint_but_not_the_origin(data):
    plain = read_with(data)
    corrections(data, ("", "000001", "gender", "swap"))
    mended = read_with(data)
    assert mended.fingerprint() != plain.fingerprint()
    assert origin(mended) == origin(plain)


@pytest.mark.parametrize("knobs", [{"classification": "mask"}, {"age_boundaries": (20, 40)}])
def test_the_origin_is_the_same_whatever_is_predicted(data, knobs):
    assert origin(read_with(data)) == origin(read_with(data, **knobs))


def test_a_file_made_for_these_labels_is_taken_and_one_made_for_others_refused(data):
    corrections(data, ("", "", "data", origin(read_with(data))), ("", "000001", "gender", "swap"))
    assert read_with(data).notes["corrections"]["photos"] == 7
    age(data, "000009", "77")
    assert "corrections.csv line 2: made for photos and labels" in refused(data)


def test_a_label_of_a_listing_is_mended(manifest):
    corrections(manifest, ("a.png", "", "label", "dog"), ("", "3", "label", "swap"))
    found = read_with(manifest)
    assert [found.task.classes[n] for n in found.truth.argmax(axis=1)] == ["dog", "dog", "cat", "dog", "dog", "dog"]


def test_several_labels_are_mended_as_a_whole(tmp_path):
    (tmp_path / "train").mkdir()
    for colour in ("red", "green", "blue", "yellow"):
        for sample in "ab":
            Image.new("L", (8, 8)).save(tmp_path / "train" / f"{sample}_{colour}.png")
    (tmp_path / "train.csv").write_text("Id,Target\na,0 2\nb,1\n")
    corrections(tmp_path, ("a", "", "label", "2 1"))
    assert read_with(tmp_path).truth.tolist() == [[0, 1, 1], [0, 1, 0]]
    corrections(tmp_path, ("a", "", "label", "5"))
    assert "corrections.csv line 2: label '5'" in refused(tmp_path)


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (("", "999999", "gender", "male"), "line 2: the data has no person '999999'"),
        (("nowhere.jpg", "", "mask", "mask"), "line 2: the data has no labelled photo 'nowhere.jpg'"),
        (("", "", "mask", "mask"), "line 2 names neither path nor person"),
        (("PHOTO", "000002", "mask", "mask"), "is of person '000001', not '000002'"),
        (("", "000001", "gendre", "male"), "field 'gendre'. Did you mean 'gender'?"),
        (("", "000001", "gender", "femal"), "gender 'femal'. Did you mean 'female'?"),
        (("", "000001", "age", "121"), "age 121 is above 120"),
        (("", "000001", "age", "swap"), "swap says nothing of age; name the class: <30, 30-59, >=60"),
        (("PHOTO", "", "mask", "swap"), "none of its photos has a mask that is incorrect or normal"),
    ],
)
def test_a_line_that_does_not_fit_is_told(data, row, says):
    corrections(data, tuple(photo_of(data, "000001", "mask1") if cell == "PHOTO" else cell for cell in row))
    assert says in refused(data)


def test_lines_that_contradict_each_other_are_named(data):
    photo = photo_of(data, "000001", "normal")
    corrections(data, ("", "000001", "mask", "swap"), (photo, "", "mask", "normal"))
    assert "line 3: " in refused(data)
    assert "has mask normal here and incorrect in line 2" in refused(data)


def test_lines_that_say_the_same_are_taken(data):
    photo = photo_of(data, "000001", "normal")
    corrections(data, ("", "000001", "mask", "swap"), (photo, "", "mask", "incorrect"))
    assert read_with(data).notes["corrections"]["photos"] == 2


@pytest.mark.parametrize(
    ("content", "says"),
    [("path,field,value\na,b,c\n", "lacks the column person"), ("", "is not a CSV"), ('"', "is not a CSV")],
)
def test_a_file_that_is_no_such_csv_is_told(data, content, says):
    (data / "corrections.csv").write_text(content)
    assert says in refused(data)


def test_a_header_alone_mends_nothing(data):
    (data / "corrections.csv").write_text("path,person,field,value,note\n")
    (data / "groups.csv").write_text("path,group\n")
    assert read_with(data).notes["corrections"]["lines"] == 0


def test_notes_may_lie_elsewhere_or_be_named_or_be_left(data, tmp_path):
    corrections(data, ("", "000001", "gender", "swap"))
    folder = tmp_path / "notes"
    folder.mkdir()
    file = shutil.move(data / "corrections.csv", folder / "corrections.csv")
    assert not read_with(data).notes
    for knobs in ({"notes_dir": str(folder)}, {"corrections": str(file)}):
        assert read_with(data, **knobs).notes["corrections"]["photos"] == 7
    assert not read_with(data, notes_dir=str(folder), corrections="none").notes
    assert f"--corrections {folder}/no.csv: no such file" in refused(data, corrections=f"{folder}/no.csv")
    assert f"--notes_dir {folder}/no is no folder" in refused(data, notes_dir=f"{folder}/no")


# groups


def test_photos_of_one_group_bring_their_people_together(manifest):
    (manifest / "groups.csv").write_text("path,group\nb.png,x\nc.png,x\nd.png,y\nf.png,y\n")
    found = read_with(manifest)
    # b is of 1, c and d of 2, f of 4: all of them are one
    assert found.train.groups == ("1", "1", "1", "1", "3", "1")
    assert found.notes["groups"]["joined"] == 2
    assert read_with(manifest, groups="none").train.groups == ("1", "1", "2", "2", "3", "4")


def test_a_group_of_the_file_is_not_taken_for_a_person_of_that_name(manifest):
    (manifest / "groups.csv").write_text("path,group\ne.png,1\nf.png,1\n")
    assert read_with(manifest).train.groups == ("1", "1", "2", "2", "3", "3")


def test_people_who_are_joined_share_their_fold(data):
    people = pd.read_csv(data / "train" / "train.csv", dtype=str)
    twins = [photo_of(data, people["id"][n], "normal") for n in (0, 7, 13)]
    (data / "groups.csv").write_text("path,group\n" + "".join(f"{photo},twins\n" for photo in twins))
    found = read_with(data)
    folds = divide(Config(), found).folds
    rows = [row for row, photo in enumerate(found.train.ids) if photo.split("/")[2] in set(people["path"][[0, 7, 13]])]
    assert len(rows) == 21
    assert len(set(folds[rows])) == 1


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ("z.png,1\ny.png,1\n", "the data has none of its photos, 'z.png' …; the file was made for other data"),
        ("a.png,1\na.png,2\n", "line 3: a.png stands in line 2 too"),
        ("a.png,\n", "line 2 (a.png): group is empty"),
    ],
)
def test_a_group_line_that_does_not_fit_is_told(manifest, rows, says):
    (manifest / "groups.csv").write_text("path,group\n" + rows)
    assert says in refused(manifest)


def test_lines_of_photos_that_are_gone_are_counted_and_left(manifest, capsys):
    (manifest / "groups.csv").write_text("path,group\ngone.png,x\na.png,x\nf.png,x\n")
    assert read_with(manifest).train.groups == ("1", "1", "2", "2", "3", "1")
    assert "note: 1 lines of" in capsys.readouterr().out


def test_groups_that_leave_nobody_to_train_are_named(manifest):
    table = pd.read_csv(manifest / "manifest.csv").drop(columns="group")
    table["split"] = ["train", "val"] * 3
    table.to_csv(manifest / "manifest.csv", index=False)
    (manifest / "groups.csv").write_text("path,group\n" + "".join(f"{name}.png,x\n" for name in "abcdef"))
    with pytest.raises(ValueError, match=r"every photo that could train .*\(groups.csv unites them"):
        divide(Config(), read_with(manifest))


def test_a_person_without_zeros_is_recognised(data):
    corrections(data, ("", "1", "gender", "male"))
    assert "did you mean 000001? spreadsheets drop zeros" in refused(data)


def test_a_person_of_a_correction_is_the_one_of_the_layout_though_groups_join_it(manifest):
    (manifest / "groups.csv").write_text("path,group\nb.png,x\nc.png,x\n")
    corrections(manifest, ("", "2", "label", "swap"))
    assert read_with(manifest).notes["corrections"]["photos"] == 2


def test_a_training_photo_that_is_also_a_validation_photo_does_not_train_and_that_is_told(manifest, quick, capsys):
    table = pd.read_csv(manifest / "manifest.csv").drop(columns="group")
    table["split"] = ["train"] * 4 + ["val"] * 2
    table.to_csv(manifest / "manifest.csv", index=False)
    (manifest / "groups.csv").write_text("path,group\na.png,x\ne.png,x\n")
    run_trial(manifest, quick, "--epochs", "1")
    assert "note: 1 photos do not train, because somebody of their group validates" in capsys.readouterr().out
    assert load_json(newest(quick), "config.json")["folds"]["train"] == 3


# what a field is


def test_a_class_is_found_by_years_and_several_labels_in_their_order():
    years = Field("age", ("<30", "30-59", ">=60"), (), ranges=((0, 29), (30, 59), (60, 120)))
    assert [years.class_of(value) for value in ("0", "29", "30", "59", "60", "120")] == [
        *("<30", "<30", "30-59", "30-59", ">=60", ">=60")
    ]
    assert Field("label", ("0", "1", "2"), (), exclusive=False).class_of("2 0") == "0 2"


def test_every_layout_makes_its_targets_of_its_fields(data, manifest):
    for root in (data, manifest):
        found = read_with(root)
        assert (found.encode({field.name: field.values for field in found.fields}) == found.train.target).all()
    assert (read_with(manifest).train.target == one_hot(np.array([0, 1] * 3), 2)).all()


# a trial


def test_a_trial_trains_on_mended_labels_and_records_what_was_done(data, quick):
    corrections(data, *(("", person, "gender", "swap") for person in people_of(data)))
    run_trial(data, quick)
    folder = newest(quick)
    stored = load_json(folder, "config.json")["data"]["notes"]
    assert stored["corrections"]["photos"] == 140
    assert stored["corrections"]["lines"] == 20
    table = pd.read_csv(folder / "val_soft.csv")
    assert ((table["label"] - table["label_given"]).abs() == 3).all()
    words = failure(data, quick, "--resume", str(folder), "--corrections", "none")
    assert "corrections is" in words or "fingerprint" in words


def test_a_run_is_not_resumed_with_other_corrections(data, quick):
    run_trial(data, quick, "--epochs", "1")
    folder = newest(quick)
    summary = load_json(folder, "summary.json")
    (folder / "summary.json").write_text(json.dumps(summary | {"status": "INTERRUPTED"}))
    corrections(data, ("", "000001", "gender", "swap"))
    said = failure(data, quick, "--epochs", "1", "--resume", str(folder))
    assert "corrections.csv was not there at the start of" in said
    (data / "corrections.csv").unlink()
    run_trial(data, quick, "--epochs", "1", "--resume", str(folder))


def test_folds_keep_the_notes_that_the_first_one_found(data, quick, monkeypatch):
    """A review may export while folds train."""

    def write_then_train(*given):
        corrections(data, *(("", person, "gender", "swap") for person in people_of(data)))
        (data / "groups.csv").write_text(
            "path,group\n" + "".join(f"{photo_of(data, person, 'normal')},all\n" for person in people_of(data))
        )
        return original(*given)

    original = train.run_trial
    monkeypatch.setattr("train.run_trial", write_then_train)
    run_trial(data, quick, "--epochs", "1", "--folds", "2", "--fold", "all")
    folder = newest(quick)
    for part in (folder, folder / "fold-0", folder / "fold-1"):
        assert load_json(part, "config.json")["data"]["notes"] == {}
    table = pd.read_csv(folder / "val_soft.csv")
    assert len(table) == 140
    assert (table["label"] == table["label_given"]).all()


def test_notes_are_found_again_from_another_folder(data, quick, tmp_path, monkeypatch):
    (tmp_path / "notes").mkdir()
    corrections(tmp_path / "notes", ("", "000001", "gender", "swap"))
    monkeypatch.chdir(tmp_path)
    run_trial(data, quick, "--epochs", "1", "--notes_dir", "notes", "--corrections", "notes/corrections.csv")
    given = load_json(newest(quick), "config.json")["parameters"]
    assert given["notes_dir"] == str(tmp_path / "notes")
    assert given["corrections"] == str(tmp_path / "notes" / "corrections.csv")


def test_photos_are_predicted_though_notes_are_broken_since(data, quick):
    run_trial(data, quick, "--epochs", "1")
    corrections(data, ("", "nobody", "gender", "swap"))
    folder = newest(quick)
    before = (folder / "soft.csv").read_bytes()
    (folder / "soft.csv").unlink()
    inference.main([str(folder)])
    assert (folder / "soft.csv").read_bytes() == before
