import numpy as np

from doubts.evidence import MANY, Unit, mean_over, tell, units_of

PEOPLE = ["a", "b", "a", "a"]


def test_a_photos_label_is_judged_by_itself_with_the_persons_others_beside_it():
    units = units_of(PEOPLE, ["x", "x", "x", "x"], of_person=False)
    assert units == [Unit((0,), (2, 3)), Unit((1,), ()), Unit((2,), (0, 3)), Unit((3,), (0, 2))]


def test_a_persons_label_is_judged_once():
    assert units_of(PEOPLE, ["f", "m", "f", "f"], of_person=True) == [Unit((0, 2, 3), ()), Unit((1,), ())]


def test_photos_of_a_person_with_unlike_labels_are_judged_apart():
    units = units_of(PEOPLE, ["f", "m", "m", "f"], of_person=True)
    assert units == [Unit((0, 3), (2,)), Unit((1,), ()), Unit((2,), (0, 3))]


def test_the_photos_of_a_unit_count_alike():
    values = np.array([[1.0, 0.0], [0.5, 0.5], [0.4, 0.6], [0.1, 0.9]])
    np.testing.assert_allclose(mean_over(values, [Unit((0, 2, 3), ()), Unit((1,), ())]), [[0.5, 0.5], [0.5, 0.5]])


def test_what_the_photos_of_a_person_look_like_is_counted():
    looks = ["female"] * 6 + ["male"]
    assert tell(Unit(tuple(range(7)), ()), ["male"] * 7, looks) == "6 of 7 photos look female, 1 male"
    assert tell(Unit((0, 1), ()), ["male"] * 2, looks) == "2 of 2 photos look female"


def test_a_persons_only_photo_has_no_evidence():
    assert tell(Unit((0,), ()), ["x"], ["y"]) == ""


def test_two_exchanged_photos_are_seen_in_the_others():
    labels = ["incorrect", "normal", "mask", "mask"]
    looks = ["normal", "incorrect", "mask", "mask"]
    told = tell(Unit((0,), (1, 2, 3)), labels, looks)
    assert told == "3 others are labelled mask 2, normal 1 and look mask 2, incorrect 1"


def test_others_that_look_as_labelled_are_said_to():
    labels = looks = ["x", "mask", "normal"]
    assert tell(Unit((0,), (1, 2)), labels, looks) == "2 others are labelled mask 1, normal 1 and look so"
    assert tell(Unit((0,), (1,)), labels, looks) == "the other photo is labelled mask and looks so"
    assert tell(Unit((0,), (1,)), labels, ["x", "x", "x"]) == "the other photo is labelled mask and looks x"


def test_equal_counts_do_not_hide_that_photos_look_otherwise():
    labels, looks = ["x", "mask", "normal"], ["x", "normal", "mask"]
    assert tell(Unit((0,), (1, 2)), labels, looks) == "2 others are labelled mask 1, normal 1, 2 look otherwise"


def test_many_kinds_are_summed_up():
    labels = ["x", *"abcde"]
    assert tell(Unit((0,), (1, 2, 3, 4, 5)), labels, ["x", *"abcdx"]) == "of 5 others 1 look otherwise than labelled"


def test_a_person_with_two_labels_is_told():
    told = tell(Unit((0, 1), (2, 3)), ["f", "f", "m", "m"], ["m", "m", "m", "m"])
    assert told == "2 of 2 photos look m; 2 others are labelled m 2 and look so"


def test_a_group_of_very_many_photos_is_no_evidence_for_one_of_them():
    assert {len(unit.others) for unit in units_of(["a"] * (MANY - 1), ["x"] * (MANY - 1), False)} == {MANY - 2}
    assert {unit.others for unit in units_of(["a"] * MANY, ["x"] * MANY, False)} == {()}
