import math

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from desk.agreement import agree, agreements
from desk.opinions import Labels, disagreements, join, opinions_of
from desk.verdicts import Verdict
from samples import Field

FIELDS = (
    Field("mask", ("mask", "incorrect", "normal"), ("mask", "normal", "mask", "normal"), swaps=("incorrect", "normal")),
    Field("gender", ("male", "female"), ("male", "male", "female", "female"), of_group=True),
    Field(
        "age", ("<30", "30-59", ">=60"), ("20", "20", "59", "59"), of_group=True, ranges=((0, 29), (30, 59), (60, 120))
    ),
)
PHOTOS = {"p/1": "p", "p/2": "p", "q/1": "q", "q/2": "q"}


@pytest.fixture
def labels():
    values = {}
    for field in FIELDS:
        for photo, value in zip(PHOTOS, field.values, strict=True):
            values[field.name, photo] = value
    return Labels(FIELDS, PHOTOS, values)


def log(*said):
    """Verdicts (reviewer, photo, field, value), one after the other; `!` before the reviewer settles."""
    return [
        Verdict(f"k{n}", who.lstrip("!"), photo, PHOTOS[photo], field, value, who[0] == "!", number=n, at="2026-01-02")
        for n, (who, photo, field, value) in enumerate(said, 1)
    ]


def joint(labels, *said):
    return join(labels, opinions_of(labels, log(*said)))


@pytest.mark.parametrize("seed", range(5))
def test_kappa_is_scikit_learns(seed):
    rng = np.random.default_rng(seed)
    first = rng.choice(["a", "b", "c"], 60, p=[0.6, 0.3, 0.1])
    second = np.where(rng.random(60) < 0.7, first, rng.choice(["a", "b", "d"], 60))
    raw, kappa = agree(list(first), list(second))
    assert raw == pytest.approx((first == second).mean())
    assert kappa == pytest.approx(cohen_kappa_score(first, second))


def test_kappa_is_undefined_where_both_say_one_class_of_all_or_there_is_nothing():
    assert agree(["a", "a"], ["a", "a"])[0] == 1
    assert math.isnan(agree(["a", "a"], ["a", "a"])[1])
    assert all(math.isnan(number) for number in agree([], []))


def test_a_mark_right_is_an_opinion_that_the_labels_hold_as_they_came(labels):
    opinions = opinions_of(labels, log(("anna", "p/1", "", "right")))
    assert opinions["mask", "p/1"]["anna"].value == "mask"
    assert opinions["gender", "p"]["anna"].value == "male"
    assert ("mask", "p/2") not in opinions
    assert not opinions["gender", "p"]["anna"].given


def test_a_mark_that_is_taken_for_another_implies_nothing_any_more(labels):
    opinions = opinions_of(labels, log(("anna", "p/1", "", "right"), ("anna", "p/1", "", "wrong")))
    assert ("mask", "p/1") not in opinions
    assert ("gender", "p") not in opinions


def test_a_value_given_counts_for_all_photos_of_a_person_and_more_than_a_mark(labels):
    for said in (
        [("anna", "p/1", "gender", "female"), ("anna", "p/2", "", "right")],
        [("anna", "p/2", "", "right"), ("anna", "p/1", "gender", "female")],
    ):
        assert joint(labels, *said)["gender", "p"].value == "female"


def test_reviewers_who_give_different_classes_disagree_until_one_settles_it(labels):
    said = [("anna", "p/1", "gender", "female"), ("ben", "p/2", "", "right")]
    assert set(disagreements(joint(labels, *said))) == {("gender", "p")}
    assert joint(labels, *said, ("!ben", "p/1", "gender", "female"))["gender", "p"].value == "female"
    # who settles by `right` says that what he sees is right: anna sees what she gave
    assert joint(labels, *said, ("!anna", "p/1", "", "right"))["gender", "p"].value == "female"
    assert joint(labels, *said, ("!ben", "p/1", "", "right"))["gender", "p"].value == "male"


def test_who_contradicts_a_settlement_later_disagrees_again(labels):
    said = [("anna", "p/1", "mask", "normal"), ("ben", "p/1", "", "right"), ("!anna", "p/1", "mask", "incorrect")]
    assert joint(labels, *said)["mask", "p/1"].value == "incorrect"
    assert joint(labels, *said, ("ben", "p/1", "mask", "normal"))["mask", "p/1"].value == ""


def test_wrong_without_a_class_against_right_is_a_disagreement_and_with_one_it_is_by_field(labels):
    said = [("anna", "p/1", "", "wrong"), ("ben", "p/1", "", "right")]
    assert set(disagreements(joint(labels, *said))) == {("", "p/1")}
    said.append(("anna", "p/1", "mask", "normal"))
    assert set(disagreements(joint(labels, *said))) == {("mask", "p/1")}


def test_unsure_says_nothing_against_one_who_knows(labels):
    found = joint(labels, ("anna", "p/1", "", "unsure"), ("ben", "p/1", "", "right"), ("anna", "q/1", "age", "unsure"))
    assert not disagreements(found)
    assert found["", "p/1"].value == "right"
    assert found["age", "q"].value == "unsure"


def test_years_and_a_class_that_they_lie_in_agree_and_the_years_are_kept(labels):
    said = [("anna", "q/1", "age", "63"), ("ben", "q/1", "age", ">=60")]
    assert joint(labels, *said)["age", "q"].value == "63"
    assert joint(labels, *said, ("carl", "q/1", "age", "59"))["age", "q"].value == ""


def test_agreement_counts_what_both_decided_and_leaves_out_what_settled(labels):
    said = log(
        ("anna", "p/1", "", "right"), ("ben", "p/1", "", "right"),
        ("anna", "p/2", "", "right"), ("ben", "p/2", "mask", "incorrect"),
        ("anna", "q/1", "", "right"), ("ben", "q/1", "mask", "unsure"),
        ("!ben", "p/2", "mask", "normal"), ("anna", "q/2", "", "wrong"),
    )  # fmt: skip
    found = {one.field: one for one in agreements(labels, said)}
    assert found["mask"].both == 2
    assert found["mask"].raw == 0.5
    assert found["mask"].kappa == pytest.approx(cohen_kappa_score(["mask", "normal"], ["mask", "incorrect"]))
    assert (found[""].both, found[""].raw) == (1, 1)
    assert found["gender"].both == 1
    assert found["gender"].reviewers == ("anna", "ben")


def test_one_reviewer_alone_has_nobody_to_agree_with(labels):
    assert agreements(labels, log(("anna", "p/1", "", "right"))) == []


@pytest.mark.parametrize("photos", [("p/1", "p/2"), ("p/2", "p/1")])
def test_a_later_right_counts_though_its_reviewer_marked_another_photo_of_the_person_before(labels, photos):
    said = [
        ("anna", photos[0], "", "right"),
        ("ben", "p/1", "gender", "female"),
        ("cleo", "p/1", "gender", "male", "settles"),
        ("anna", photos[1], "", "right"),
    ]
    verdicts = [
        Verdict(f"k{n}", who, photo, "p", field, value, bool(more), number=n)
        for n, (who, photo, field, value, *more) in enumerate(said, 1)
    ]
    opinions = opinions_of(labels, verdicts)
    assert opinions["gender", "p"]["anna"].number == 4
    assert [one.reviewer for one in join(labels, opinions)["gender", "p"].opinions] == ["cleo", "anna"]


def test_two_who_find_photos_of_a_person_right_that_came_with_other_genders_do_not_disagree(labels):
    mixed = Labels(FIELDS, PHOTOS, dict(labels.values) | {("gender", "p/2"): "female"})
    both = (("anna", "p/1", "", "right"), ("ben", "p/2", "", "right"))
    assert disagreements(joint(mixed, *both)) == {}
    assert disagreements(joint(mixed, *both, ("cleo", "p/1", "gender", "female"))).keys() == {("gender", "p")}
