from dataclasses import replace

import numpy as np
import pytest

from survey.advice import SHOWN, Entry, Finding, of_classes, of_copies, of_photos, of_shift
from survey.census import Measures
from survey.roster import Class, Roster

PLAIN = Measures(width=384, height=512, mode="RGB", format="JPEG", brightness=0.5, contrast=0.2, colour=0.8)


def entry(name, part="train", label="x", group="", digest="", odd=()):
    return Entry(name, part, label, group or name, replace(PLAIN, digest=digest or name), tuple(odd))


def texts(findings):
    return [(str(finding), finding.act) for finding in findings]


def test_odd_photos_are_counted_by_part_and_named():
    entries = [entry("a", odd=["grey"]), entry("b"), entry("c", "test", odd=["grey", "blank"])]
    (blank, acts), (grey, _) = texts(of_photos(entries))
    assert blank == "1 of 3 photos (1 test) are blank, of one even colour: nothing can be learnt from them: c"
    assert acts
    assert grey == "2 of 3 photos (1 train, 1 test) are grey, without any colour: a, c"


def test_a_kind_that_all_photos_are_of_is_said_in_one_word():
    ((text, _),) = texts(of_photos([entry(name, odd=["grey"]) for name in "abcdef"]))
    assert text == "all 6 photos (6 train) are grey, without any colour"


def test_of_many_photos_the_first_are_named_and_where_the_others_are():
    text = str(Finding("many", True, tuple("abcdef")))
    assert text == f"many: {', '.join('abcdef'[:SHOWN])} … (stats.csv names all 6)"


def test_copies_with_other_labels_other_groups_and_among_test_photos_are_told_apart():
    entries = [
        entry("a", digest="1", label="x", group="p"),
        entry("b", digest="1", label="x", group="p"),  # a plain copy
        entry("c", digest="2", label="x", group="p"),
        entry("d", digest="2", label="y", group="p"),  # of another label
        entry("e", digest="3", label="x", group="p"),
        entry("f", digest="3", label="x", group="q"),  # of another person
        entry("g", digest="4"),
        entry("h", "test", digest="4", label=""),  # of a test photo
        entry("i", "test", digest="5", label=""),
        entry("j", "test", digest="5", label=""),  # two test photos
        entry("k"),
    ]
    copies, torn, apart, leaks = of_copies(entries)
    assert (copies.text.partition(" photos")[0], copies.act) == ("5", False)
    assert copies.photos == ("a = b", "c = d", "e = f", "g = h", "i = j")
    assert (torn.photos, apart.photos, leaks.photos) == (("c = d",), ("e = f",), ("g = h",))
    assert torn.act
    assert apart.act
    assert leaks.act


def test_photos_that_cannot_be_read_are_no_copies_of_each_other():
    broken = [replace(entry(name), measures=Measures(fault="gone")) for name in "ab"]
    assert list(of_copies(broken)) == []


def test_classes_of_fewer_people_than_folds_and_of_no_photo_are_named():
    roster = Roster("label", 100, (Class("a", 60, 30, 0, 0), Class("b", 40, 4, 0, 0), Class("c", 0, 0, 0, 0)))
    few, absent = texts(of_classes(roster, 5, "people"))
    text = "1 class has fewer people than there are folds (5): not all can judge: b (4)"
    assert few == (text, True)
    assert absent == ("1 class has no photo, so that nothing is learnt of it: c", True)


def test_steep_classes_are_told_with_their_ratio():
    roster = Roster("label", 110, (Class("a", 100, 30, 0, 0), Class("b", 10, 9, 0, 0)))
    ((text, act),) = texts(of_classes(roster, 5, "photos"))
    assert text.startswith("a has 100 photos and b 10, 10 times as many")
    assert not act
    assert list(of_classes(Roster("label", 109, (Class("a", 99, 30, 0, 0), Class("b", 10, 9, 0, 0))), 5, "")) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda photo: replace(photo, brightness=photo.brightness - 0.2), "test photos are darker"),
        (lambda photo: replace(photo, brightness=photo.brightness + 0.2), "test photos are brighter"),
        (lambda photo: replace(photo, colour=0.0), "100% of the test photos are grey, of the labelled ones 0%"),
        (lambda photo: replace(photo, width=2 * photo.width), "test photos are larger"),
    ],
)
def test_test_photos_unlike_the_others_are_told(change, said):
    rng = np.random.default_rng(0)
    ours, theirs = ([replace(PLAIN, brightness=b) for b in rng.normal(0.5, 0.1, count)] for count in (300, 100))
    assert list(of_shift(ours, theirs)) == []
    (finding,) = of_shift(ours, [change(photo) for photo in theirs])
    assert finding.text.startswith(said)
    assert finding.act


def test_without_test_photos_nothing_is_said_of_them():
    assert list(of_shift([PLAIN], [])) == []
