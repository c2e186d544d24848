import csv

import pytest

from config import Config
from dataset import read
from survey.roster import buckets, count_classes, group_sizes, who_is_split


def read_it(root, **knobs):
    return read(str(root), "auto", Config(classification="heads", **knobs).values())


def classes_of(data):
    return {
        roster.head: {one.name: (one.photos, one.people) for one in roster.classes} for roster in count_classes(data)
    }


def test_heads_and_their_combinations_are_counted_as_train_csv_has_them(drawn):
    found = classes_of(read_it(drawn))
    with open(drawn / "train" / "train.csv") as file:
        people = list(csv.DictReader(file))
    women = [person for person in people if person["gender"].lower() == "female"]
    old = [person for person in women if int(person["age"]) >= 60]
    assert list(found) == ["mask", "gender", "age", "mask x gender x age"]
    assert found["mask"] == {"mask": (5 * 20, 20), "incorrect": (20, 20), "normal": (20, 20)}
    assert found["gender"]["female"] == (7 * len(women), len(women))
    assert found["mask x gender x age"]["mask female >=60"] == (5 * len(old), len(old))
    assert sum(photos for photos, _ in found["mask x gender x age"].values()) == 140


def test_corrections_are_counted_as_a_trial_counts_them(data):
    with open(data / "train" / "train.csv") as file:
        person = next(row for row in csv.DictReader(file) if row["gender"].lower() == "male")
    notes = f"path,person,field,value,note\n,{person['id']},gender,female,\n"
    before = classes_of(read_it(data))
    (data / "corrections.csv").write_text(notes)
    corrected = read_it(data)
    after = classes_of(corrected)
    photos, people = before["gender"]["male"]
    assert after["gender"]["male"] == (photos - 7, people - 1)
    gender = next(roster for roster in count_classes(corrected) if roster.head == "gender")
    assert [(one.name, one.gained, one.lost) for one in gender.classes] == [("male", 0, 7), ("female", 7, 0)]
    assert classes_of(read_it(data, corrections="none")) == before


def test_groups_that_are_united_count_as_one(data):
    whole = read_it(data)
    pair = [whole.train.ids[0], whole.train.ids[7]]
    (data / "groups.csv").write_text("path,group\n" + "".join(f"{photo},g\n" for photo in pair))
    united = read_it(data)
    assert group_sizes(united).most_common(1)[0][1] == 14
    assert classes_of(united)["mask"]["mask"] == (100, 19)
    assert group_sizes(read_it(data, groups="none")).most_common(1)[0][1] == 7


@pytest.fixture
def listed(tmp_path):
    def write(text):
        for row in text.splitlines()[1:]:
            (tmp_path / row.partition(",")[0]).touch()
        (tmp_path / "manifest.csv").write_text(text)
        return read_it(tmp_path)

    return write


def test_who_is_split_is_people_groups_or_photos(drawn, listed):
    assert who_is_split(read_it(drawn)) == "people"
    assert who_is_split(listed("path,label\na.jpg,x\nb.jpg,y\n")) == "photos"
    assert who_is_split(listed("path,label,group\na.jpg,x,1\nb.jpg,y,1\nc.jpg,y,2\n")) == "groups"


def test_samples_of_several_labels_count_for_each(tmp_path):
    (tmp_path / "train").mkdir()
    for sample in "abc":
        for colour in ("red", "green", "blue", "yellow"):
            (tmp_path / "train" / f"{sample}_{colour}.png").touch()
    (tmp_path / "train.csv").write_text("Id,Target\na,0\nb,0 2\nc,2\n")
    roster = count_classes(read_it(tmp_path))[0]
    assert [(one.name, one.photos, one.people) for one in roster.classes] == [("0", 2, 2), ("1", 0, 0), ("2", 2, 2)]
    assert roster.photos == 3


def test_sizes_of_groups_are_told_by_number_or_where_many_by_powers_of_two():
    assert buckets([7, 7, 3]) == {"3": 1, "7": 2}
    assert buckets(list(range(1, 18))) == {"1": 1, "2": 1, "3-4": 2, "5-8": 4, "9-16": 8, "17-32": 1}
    assert sum(buckets(list(range(1, 1000))).values()) == 999
