import csv

import pytest

from config import Config
from dataset import read
from desk import handover
from desk.changes import read_changes
from desk.handover import LEFT, result_of, write_classes, write_corrections
from desk.opinions import Labels
from desk.verdicts import Store, Verdict, live
from notes import origin

NONE = {"groups": "none", "corrections": "none"}


def open_data(root, **knobs):
    return read(str(root), "auto", Config().values() | NONE | knobs)


@pytest.fixture
def cells(tmp_path):
    """Six samples of a manifest with people, two classes."""
    root = tmp_path / "cells"
    root.mkdir()
    rows = [
        ("a1", "ill", "a"),
        ("a2", "well", "a"),
        ("b1", "ill", "b"),
        ("b2", "ill", "b"),
        ("c1", "well", "c"),
        ("c2", "well", "c"),
    ]
    for name, _, _ in rows:
        (root / f"{name}.png").write_text("nobody looks")
    lines = ["path,label,group", *(f"{name}.png,{label},{group}" for name, label, group in rows)]
    (root / "manifest.csv").write_text("\n".join(lines) + "\n")
    return root


@pytest.fixture
def atlas(tmp_path):
    root = tmp_path / "atlas"
    (root / "raw" / "train").mkdir(parents=True)
    for sample in ("s", "t"):
        for colour in ("red", "green", "blue", "yellow"):
            (root / "raw" / "train" / f"{sample}_{colour}.png").write_text("nobody looks")
    (root / "train.csv").write_text("Id,Target\ns,0 2\nt,1\n")
    return root


class Review:
    """Says things to a log of `data`."""

    def __init__(self, data, folder):
        self.data, self.store, self.folder = data, Store(folder / "review.sqlite", origin(data)), folder

    def say(self, reviewer, photo, field, value, settles=False):
        person = Labels.of(self.data).groups[photo]
        key = f"key-{len(self.store.read())}"
        self.store.append([Verdict(key, reviewer, photo, person, field, value, settles)])

    def result(self):
        return result_of(self.data, self.store.read())

    def write(self):
        write_corrections(self.folder / "corrections.csv", self.store, self.result())
        return read_lines(self.folder / "corrections.csv")


@pytest.fixture
def review(data):
    review = Review(open_data(data), data)
    yield review
    review.store.close()


def read_lines(path):
    with open(path) as file:
        return list(csv.reader(file))


def photo_of(data, part, stem):
    return next(photo for photo in data.train.ids if f"/{part}" in photo and f"/{stem}." in photo)


def values(data, name):
    return next(field for field in data.fields if field.name == name)


def test_corrections_give_the_labels_that_were_decided(review, data):
    came = review.data
    worn, bare = photo_of(came, "000003", "mask1"), photo_of(came, "000004", "normal")
    gender = {"male": "female", "female": "male"}
    given = {
        person: gender[value] for person, value in zip(came.train.groups, values(came, "gender").values, strict=True)
    }
    review.say("anna", worn, "", "wrong")
    review.say("anna", worn, "mask", "incorrect")
    review.say("anna", bare, "gender", given["000004"])
    review.say("anna", bare, "age", "77")
    review.say("anna", photo_of(came, "000005", "mask1"), "", "right")
    review.write()
    mended = open_data(data, corrections="auto")
    assert mended.notes["corrections"]["lines"] == 3
    for photo, person, before, after in zip(
        came.train.ids, came.train.groups, came.train.target.argmax(1), mended.train.target.argmax(1), strict=True
    ):
        if photo == worn:
            assert after == before % 6 + 6
        elif person == "000004":
            assert after == before // 6 * 6 + ["male", "female"].index(given["000004"]) * 3 + 2
        else:
            assert after == before


def test_the_file_says_for_which_labels_it_was_made_by_whom_and_when(review):
    photo = photo_of(review.data, "000003", "mask1")
    review.say("anna", photo, "mask", "normal")
    review.say("ben", photo, "mask", "normal")
    header, made_for, line = review.write()
    assert header == ["path", "person", "field", "value", "note"]
    assert made_for[:4] == ["", "", "data", origin(review.data)]
    day = review.store.read()[-1].at[:10]
    assert line == [photo, "000003", "mask", "normal", f"anna, ben {day}"]


def test_what_is_unsure_or_has_no_class_is_a_line_that_changes_nothing(review, data):
    photos = [photo_of(review.data, "000003", stem) for stem in ("mask1", "mask2", "mask3")]
    review.say("anna", photos[0], "", "unsure")
    review.say("anna", photos[1], "", "wrong")
    review.say("anna", photos[2], "gender", "unsure")
    lines = review.write()[2:]
    assert sorted(line[:4] for line in lines) == sorted(
        [[photos[0], "000003", "", "unsure"], [photos[1], "000003", "", "unsure"], ["", "000003", "gender", "unsure"]]
    )
    assert "right class not given" in next(line[4] for line in lines if line[0] == photos[1])
    mended = open_data(data, corrections="auto")
    assert (mended.train.target == review.data.train.target).all()
    assert mended.notes["corrections"]["unsure"] == 3


def test_a_value_of_the_person_explains_what_is_wrong_on_other_photos_but_not_what_is_unsure(review):
    photos = [photo_of(review.data, "000003", stem) for stem in ("mask1", "mask2", "mask3")]
    review.say("anna", photos[0], "", "wrong")
    review.say("anna", photos[1], "", "unsure")
    review.say("anna", photos[2], "age", "99")
    result = review.result()
    assert [line[:4] for line in result.corrections[1:]] == [
        ("", "000003", "age", "99"),
        (photos[1], "000003", "", "unsure"),
    ]
    assert sorted(photo for photo, _ in result.classes) == sorted([photos[0], photos[2]])
    assert result.counts["unsure"] == 1


def test_what_reviewers_disagree_on_is_left_out_and_counted_until_it_is_settled(review):
    photo = photo_of(review.data, "000003", "mask1")
    review.say("anna", photo, "mask", "normal")
    review.say("ben", photo, "", "right")
    result = review.result()
    assert len(result.corrections) == 1
    assert result.classes == ()
    assert result.counts["disagreed"] == 1
    assert "1 on which reviewers disagree" in str(result)
    review.say("ben", photo, "mask", "normal", settles=True)
    result = review.result()
    assert [line[3] for line in result.corrections[1:]] == ["normal"]
    assert "settled by ben" in result.corrections[1][4]
    assert result.counts["decided"] == len(result.classes) == 1


def test_a_value_equal_to_the_label_writes_no_line_and_decides_the_photo(review):
    photo = photo_of(review.data, "000003", "normal")
    review.say("anna", photo, "", "wrong")
    assert review.result().counts["open"] == 1
    review.say("anna", photo, "mask", "normal")
    result = review.result()
    assert len(result.corrections) == 1
    assert [one for one, _ in result.classes] == [photo]


def test_every_photo_is_counted_once(review):
    for stem, value in (("mask1", "right"), ("mask2", "wrong"), ("mask3", "unsure")):
        review.say("anna", photo_of(review.data, "000003", stem), "", value)
    counts = review.result().counts
    assert sum(counts.values()) == len(review.data.train.ids)
    assert set(counts) <= {"decided", *LEFT}


def test_classes_of_faces_are_the_numbers_of_the_submission_with_corrections_applied(review):
    came = review.data
    photo = photo_of(came, "000003", "mask1")
    label = dict(zip(came.train.ids, came.train.target.argmax(1), strict=True))[photo]
    review.say("anna", photo, "mask", "normal")
    review.say("anna", photo, "age", ">=60")
    write_classes(review.folder / "classes.csv", review.result())
    assert read_lines(review.folder / "classes.csv") == [["path", "class"], [photo, str(12 + label % 6 // 3 * 3 + 2)]]


def test_classes_of_other_layouts_are_the_labels(cells, atlas, tmp_path):
    for root, photo, value, field in ((cells, "a1.png", "well", "well"), (atlas, "s", "2 1", "1 2")):
        review = Review(open_data(root), root)
        review.say("anna", photo, "label", value)
        assert review.result().classes == ((photo, field),)
        review.write()
        mended = open_data(root, corrections="auto")
        row = mended.train.ids.index(photo)
        names = [mended.fields[0].classes[k] for k in mended.train.target[row].nonzero()[0]]
        assert " ".join(names) == field
        review.store.close()


def test_a_photo_without_a_person_is_named_by_its_path_alone(atlas):
    review = Review(open_data(atlas), atlas)
    review.say("anna", "t", "label", "0")
    assert review.write()[2][:4] == ["t", "", "label", "0"]
    review.store.close()


def test_a_file_that_the_review_did_not_write_is_not_overwritten(review, data):
    path = data / "corrections.csv"
    path.write_text("path,person,field,value,note\n,000003,gender,unsure,by hand\n")
    with pytest.raises(ValueError, match=r"was not written by this review.*--import .*corrections\.csv"):
        review.write()
    assert "by hand" in path.read_text()
    path.unlink()
    review.write()
    review.say("anna", photo_of(review.data, "000003", "mask1"), "mask", "normal")
    assert len(review.write()) == 3  # its own it may write again


def test_a_person_in_two_rows_keeps_each_photos_own_labels_until_a_value_is_given(data):
    """One id, two folders, another gender and age in each."""
    table = data / "train" / "train.csv"
    header, *lines = table.read_text().splitlines()
    one, two = (next(line.split(",") for line in lines if line.startswith(part)) for part in ("000003", "000004"))
    one[1], one[3], two[0], two[1], two[3] = "male", "24", "000003", "female", "75"
    others = [line for line in lines if not line.startswith(("000003", "000004"))]
    table.write_text("\n".join([header, ",".join(one), ",".join(two), *others]) + "\n")
    review = Review(open_data(data), data)
    first, second = (photo_of(review.data, part, "normal") for part in (one[4], two[4]))
    assert review.data.train.groups.count("000003") == 14
    review.say("anna", first, "", "right")
    review.say("anna", second, "", "right")
    assert dict(review.result().classes) == {first: "12", second: "17"}  # normal, male <30 and female >=60
    for value, folder in (("male", second), ("female", first)):
        review.say("anna", first, "gender", value)
        review.write()
        mended = open_data(data, corrections="auto")
        moved = (mended.train.target != review.data.train.target).any(1)
        assert {photo for photo, other in zip(mended.train.ids, moved, strict=True) if other} == {
            photo for photo in mended.train.ids if photo.rpartition("/")[0] == folder.rpartition("/")[0]
        }
        numbers = mended.train.target.argmax(1)
        assert all(int(number) == numbers[mended.train.ids.index(photo)] for photo, number in review.result().classes)
    review.store.close()


def test_a_kill_between_writing_and_anything_after_it_leaves_a_file_that_is_known(review, monkeypatch):
    def killed(*given):
        write(*given)
        raise KeyboardInterrupt

    write = handover.write
    monkeypatch.setattr(handover, "write", killed)
    review.say("anna", photo_of(review.data, "000003", "mask1"), "mask", "normal")
    with pytest.raises(KeyboardInterrupt):
        review.write()
    monkeypatch.undo()
    assert len(read_lines(review.folder / "corrections.csv")) == 3
    review.say("anna", photo_of(review.data, "000003", "mask2"), "mask", "normal")
    assert len(review.write()) == 4


def take(review, text, reviewer="anna", name="list.csv"):
    path = review.folder / name
    path.write_text(text)
    verdicts = read_changes(review.data, path, reviewer, review.store.read())
    return review.store.append(verdicts)


def test_a_list_of_people_with_a_change_is_taken_in(review, data):
    came = review.data
    gender = dict(zip(came.train.groups, values(came, "gender").values, strict=True))
    other = {"male": "female", "female": "male"}
    change = f"{gender['000003']}->{other[gender['000003']]}"
    take(review, f"000003,{change}\n000004,incorrect<->normal\n001498-1,not sure\n000005,71\n")
    review.write()
    mended = open_data(data, corrections="auto")
    pairs = {
        photo: (before, after)
        for photo, before, after in zip(
            came.train.ids, came.train.target.argmax(1), mended.train.target.argmax(1), strict=True
        )
    }
    for stem, mask in (("incorrect_mask", 2), ("normal", 1), ("mask2", 0)):
        before, after = pairs[photo_of(came, "000004", stem)]
        assert after == mask * 6 + before % 6
    before, after = pairs[photo_of(came, "000003", "mask4")]
    assert abs(after - before) == 3
    assert pairs[photo_of(came, "000005", "mask1")][1] % 3 == 2
    assert mended.notes["corrections"]["unsure"] == 7


def test_a_list_taken_in_twice_counts_once(review):
    assert take(review, "person,change\n000003,29\n000004,not sure\n") == 8
    assert take(review, "person,change\n000003,29\n000004,not sure\n") == 0


def test_a_list_whose_decisions_were_undone_can_be_taken_in_again_and_again(review):
    text = "000003,29\n000004,31\n"
    assert take(review, text) == 2
    for _ in range(2):
        last = review.result().corrections
        undone = next(one.key for one in live(review.store.read()))
        review.store.append([Verdict(f"undo-{undone}", "anna", undoes=undone)])
        assert review.result().corrections != last
        assert take(review, text) == 1  # the other one was there
        assert sorted(line[:4] for line in review.result().corrections) == sorted(line[:4] for line in last)
    assert take(review, text) == 0


def test_corrections_need_no_note(review):
    assert take(review, "path,person,field,value\n,000003,age,29\n") == 1
    assert review.result().corrections[1][:4] == ("", "000003", "age", "29")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("999999,male", "no person '999999'"),
        ("000003,femal", "Did you mean 'female'"),
        ("000003,swap", "swap does not say what; write incorrect<->normal or male<->female"),
        ("000003,mask<->normal", "no such two classes"),
        ("000003", "is not person,change"),
        ("000003,", "is not person,change"),
        ("000003,130", "age 130 is above 120"),
        ("000003,20\n000003,40", "says 40 of what is 20 in .*line 1"),
        ("", "has no line person,change"),
    ],
)
def test_a_list_that_does_not_fit_is_refused_by_line_and_nothing_is_taken_in(review, line, reason):
    with pytest.raises(ValueError, match=reason):
        take(review, f"{line}\n")
    assert review.store.read() == []


def test_a_change_from_what_the_person_is_not_is_refused(review):
    gender = dict(zip(review.data.train.groups, values(review.data, "gender").values, strict=True))["000003"]
    other = {"male": "female", "female": "male"}[gender]
    with pytest.raises(ValueError, match=f"its photos have gender {gender}; correct or remove the line"):
        take(review, f"000003,{other}->{gender}\n")


def test_of_two_classes_swap_says_enough(cells):
    review = Review(open_data(cells), cells)
    take(review, "a,swap\nb,ill->well\n")
    said = {one.path: one.value for one in review.store.read()}
    assert said == {"a1.png": "well", "a2.png": "ill", "b1.png": "well", "b2.png": "well"}
    review.store.close()


def test_what_is_exported_and_taken_in_again_exports_the_same(review, data, tmp_path):
    for stem, field, value in (("mask1", "mask", "normal"), ("mask2", "", "unsure"), ("mask2", "age", "<30")):
        review.say("anna", photo_of(review.data, "000003", stem), field, value)
    review.say("anna", photo_of(review.data, "000004", "normal"), "gender", "unsure")
    first = review.write()
    second = Review(review.data, tmp_path)
    take(second, (data / "corrections.csv").read_text(), reviewer="ben")
    assert sorted(line[:4] for line in second.write()) == sorted(line[:4] for line in first)
    second.store.close()


def test_corrections_of_other_labels_are_not_taken_in(review, data):
    review.say("anna", photo_of(review.data, "000003", "mask1"), "mask", "normal")
    review.write()
    text = (data / "corrections.csv").read_text().replace(origin(review.data), "0123456789abcdef")
    with pytest.raises(ValueError, match="made for photos and labels 0123456789abcdef"):
        take(review, text)


def test_a_line_of_one_photo_says_nothing_of_what_is_a_persons(review):
    photo = photo_of(review.data, "000003", "mask1")
    with pytest.raises(ValueError, match="gender is the same on all photos of a person"):
        take(review, f"path,person,field,value,note\n{photo},,gender,female,\n")
