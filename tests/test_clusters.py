import numpy as np
import pytest
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from copies.clusters import Forest, Photos, conflicts, count, members, united


def photos_of(groups, labels=None, tests=0):
    ids = [f"{k}.jpg" for k in range(len(groups) + tests)]
    labelled = np.arange(len(ids)) < len(groups)
    return Photos(ids, [*groups, *[""] * tests], labelled, {"label": labels} if labels else {})


def labels_of(size, *pairs):
    forest = Forest(size)
    for a, b in pairs:
        forest.join(np.array([a]), np.array([b]))
    return forest.labels


def test_what_is_joined_through_others_is_one_cluster():
    labels = labels_of(6, (0, 1), (3, 4), (1, 3))
    assert [part.tolist() for part in members(labels)] == [[0, 1, 3, 4]]
    assert labels[2] != labels[5]


def test_clusters_are_scipys_however_the_pairs_are_cut_into_pieces():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 500, (2, 300))
    expected = connected_components(coo_array((np.ones(300), (a, b)), shape=(500, 500)), directed=False)[1]
    forest = Forest(500)
    for piece in np.split(np.arange(300), [1, 2, 50, 200]):
        forest.join(a[piece], b[piece])
    pairs = set(zip(expected.tolist(), forest.labels.tolist(), strict=True))
    assert len(pairs) == len(set(expected)) == len(set(forest.labels))


def test_a_count_by_hand():
    #          p     p    q    r    r    s    and two to be predicted, 6 and 7
    photos = photos_of("ppqrrs", ["x", "x", "y", "x", "x", "x"], tests=2)
    labels = labels_of(8, (0, 1), (1, 2), (3, 4), (5, 6))
    found = count(labels, photos, 4)
    assert (found.pairs, found.clusters, found.photos, found.largest) == (4, 3, 7, 3)
    assert found.people == 1  # 0, 1 and 2 are p's and q's; 3 and 4 both r's
    assert found.leaks == 1  # 5 and 6
    assert found.disagree == 1  # x, x, y


def test_photos_to_be_predicted_among_themselves_are_neither_people_nor_leaks():
    found = count(labels_of(3, (1, 2)), photos_of("p", ["x"], tests=2), 1)
    assert (found.clusters, found.people, found.leaks, found.disagree) == (1, 0, 0, 0)


@pytest.mark.parametrize("size", [0, 1])
def test_nothing_and_one_photo_are_counted(size):
    found = count(np.arange(size), photos_of("p" * size), 0)
    assert (found.clusters, found.photos, found.largest, found.people, found.leaks) == (0, 0, 0, 0, 0)
    assert united(np.arange(size), photos_of("p" * size)) == {}


def test_people_of_a_cluster_become_one_group_and_so_do_clusters_that_share_a_person():
    photos = photos_of(["b", "b", "c", "a", "d", "e", "e"])
    labels = labels_of(7, (0, 2), (1, 3), (5, 6))  # b with c, b with a; 5 and 6 are e's own
    # each person once: b's photo 0 says enough
    assert united(labels, photos) == {"0.jpg": "a", "2.jpg": "a", "3.jpg": "a"}


def test_a_person_is_named_by_the_first_of_the_photos_though_another_is_in_an_earlier_cluster():
    photos = photos_of("baca")  # if photo 3 is from elsewhere, 1 and 2 are the same picture without it, too
    assert united(labels_of(4, (0, 3), (1, 2)), photos).keys() == {"0.jpg", "1.jpg", "2.jpg"}


def test_photos_to_be_predicted_are_in_no_group_though_they_may_join_two_people():
    photos = photos_of("pq", tests=1)
    assert united(labels_of(3, (0, 2), (2, 1)), photos) == {"0.jpg": "p", "1.jpg": "p"}


def test_labels_that_disagree_are_listed_with_their_cluster():
    photos = photos_of("abcde", ["x", "y", "x", "x", "z"], tests=1)
    labels = labels_of(6, (0, 1), (2, 3), (4, 5))
    assert list(conflicts(labels, photos)) == [(1, "label", 0, "x"), (1, "label", 1, "y")]


def test_each_field_is_asked_by_itself():
    photos = Photos(
        ["a", "b"], ["p", "q"], np.ones(2, bool), {"mask": ["normal", "normal"], "gender": ["male", "female"]}
    )
    assert [row[1:] for row in conflicts(labels_of(2, (0, 1)), photos)] == [
        ("gender", 0, "male"),
        ("gender", 1, "female"),
    ]


def test_some_of_the_photos_keep_their_classes():
    photos = photos_of("pqr", ["x", "y", "z"], tests=2).only(np.array([0, 2, 4]))
    assert photos.ids == ["0.jpg", "2.jpg", "4.jpg"]
    assert photos.groups == ["p", "r", ""]
    assert photos.labelled.tolist() == [True, True, False]
    assert photos.fields == {"label": ["x", "z"]}
