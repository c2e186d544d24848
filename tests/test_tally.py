import numpy as np
import pytest

from copies import tally
from copies.clusters import Photos
from copies.tally import SHOWN, Tally


def photos_of(groups, tests=0):
    ids = [f"{k}" for k in range(len(groups) + tests)]
    return Photos(ids, [*groups, *[""] * tests], np.arange(len(ids)) < len(groups))


def add(found, *pairs):
    a, b, distance = (np.array(column) for column in zip(*pairs, strict=True))
    found.add(a, b, distance)


def test_each_step_has_its_own_pairs_and_clusters():
    found = Tally(photos_of("abcd"), np.arange(4), [0, 2, 4])
    add(found, (0, 1, 0), (1, 2, 2), (0, 2, 4))
    add(found, (2, 3, 3))
    assert [found.count(step).pairs for step in (0, 2, 4)] == [1, 2, 4]
    assert [found.count(step).largest for step in (0, 2, 4)] == [2, 3, 4]


def test_photos_that_are_one_thing_count_each():
    # photos 0, 1 and 2 are thing 0, photo 3 is thing 1
    found = Tally(photos_of("abcd"), np.array([0, 0, 0, 1]), [0, 2])
    add(found, (0, 1, 2))
    assert [found.count(step).pairs for step in (0, 2)] == [3, 6]
    assert [found.count(step).photos for step in (0, 2)] == [3, 4]


def test_leaks_are_all_pairs_within_their_distance_the_nearest_first():
    # labelled 0, 1, 2; to be predicted 3, 4; photos 0 and 3 are the same thing
    found = Tally(photos_of("abc", tests=2), np.array([0, 1, 2, 0, 3]), [0, 2, 4], leak=2)
    add(found, (0, 1, 2), (1, 3, 1), (2, 3, 3))
    assert found.nearest() == [(3, 0, 0), (4, 1, 1), (3, 1, 2)]


def test_too_many_leaks_are_refused(monkeypatch):
    monkeypatch.setattr(tally, "MOST_LEAKS", 5)
    with pytest.raises(ValueError, match="more than 5 pairs .* lower --leak_distance"):
        Tally(photos_of("abc", tests=2), np.zeros(5, int), [0], leak=0)


def test_pairs_to_look_at_are_of_different_people_or_leaks_and_few_of_each_step():
    groups = ["p"] * 50 + ["q"] * 50
    found = Tally(photos_of(groups, tests=2), np.arange(102), [0, 2])
    pairs = [(a, b, 1) for a in range(50) for b in range(50, 100)] + [(0, 1, 1), (100, 101, 0), (3, 100, 0)]
    add(found, *pairs)
    a, b, distance = found.shown[0]
    assert sorted(distance.tolist()) == [0] + [1] * SHOWN
    shown = set(zip(a.tolist(), b.tolist(), strict=True))
    assert (3, 100) in shown
    assert not shown & {(0, 1), (100, 101)}


def test_the_pairs_shown_are_the_same_however_they_came():
    pairs = [(a, b, 1) for a in range(40) for b in range(a + 1, 40)]
    whole, cut = (Tally(photos_of([str(k) for k in range(40)]), np.arange(40), [0, 2]) for _ in range(2))
    add(whole, *pairs)
    for start in range(0, len(pairs), 70):
        add(cut, *pairs[::-1][start : start + 70])
    for one, other in zip(whole.shown[0], cut.shown[0], strict=True):
        np.testing.assert_array_equal(one, other)


def test_clusters_are_the_same_whether_pairs_wait_or_not(monkeypatch):
    joins = []
    monkeypatch.setattr(
        tally.Forest, "join", lambda self, a, b, join=tally.Forest.join: joins.append(0) or join(self, a, b)
    )
    for most, joined in ((100, 2), (2, 4), (1, 8)):  # of two steps each; what is left is joined when it is asked for
        monkeypatch.setattr(tally, "MOST_WAITING", most)
        found = Tally(photos_of("abcdef"), np.arange(6), [0, 2])
        joins.clear()
        for pair in ((0, 1, 0), (1, 2, 2), (3, 4, 2), (4, 5, 0)):
            add(found, pair)
        assert found.count(0).clusters == found.count(2).clusters == 2
        assert (found.count(0).photos, found.count(2).photos) == (4, 6)
        assert len(joins) == joined


def test_equal_photos_of_different_people_are_shown():
    found = Tally(photos_of("ppq"), np.array([0, 0, 0]), [0])
    assert [part.tolist() for part in found.shown[0]] == [[0], [2], [0]]


@pytest.mark.parametrize("size", [0, 1])
def test_nothing_and_one_photo_have_nothing(size):
    found = Tally(photos_of("p" * size), np.arange(size), [0, 2], leak=2)
    assert found.count(2).pairs == 0
    assert found.nearest() == []
