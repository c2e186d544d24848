import numpy as np
import pytest
from sklearn.metrics.pairwise import cosine_similarity

from copies.clusters import Photos, components
from copies.hashes import HASHES
from copies.likeness import Rule, alike, by_embedding, by_hashes, joined, warnings

ALL = Rule(tuple(HASHES), 4, 3, mirrored=True, leak_distance=2)


def photos_of(size, groups=None):
    names = groups or [str(k) for k in range(size)]
    return Photos([f"{k}.jpg" for k in range(size)], names, np.ones(size, bool))


def rows_of(*differing, seed=0):
    """Rows as hash_pixels() gives them: the first at random, the others with so many bits of each hash turned."""
    base = np.random.default_rng(seed).integers(0, 2**64, 7, dtype=np.uint64)
    return np.stack([base, *(base ^ np.uint64(2**count - 1) for count in differing)])


def test_all_hashes_must_agree_or_any():
    rows = rows_of(0)
    rows[1, 0] ^= np.uint64(0b111111)  # one hash of three is six bits away, and so is the mirror image
    rows[1, 3] ^= np.uint64(0b111111)
    for need, pairs in ((3, 0), (1, 1)):
        rule = Rule(tuple(HASHES), 4, need, mirrored=True, leak_distance=2)
        assert by_hashes(rows, photos_of(2), rule).count(4).pairs == pairs
    assert by_hashes(rows, photos_of(2), ALL).count(6).pairs == 1


def test_mirror_images_are_found_where_they_are_asked_for():
    rows = np.random.default_rng(0).integers(0, 2**64, (2, 7), dtype=np.uint64)
    rows[1, :3], rows[1, 3:6] = rows[0, 3:6], rows[0, :3]
    assert by_hashes(rows, photos_of(2), ALL).count(0).pairs == 1
    plain = Rule(tuple(HASHES), 4, 3, mirrored=False, leak_distance=2)
    assert by_hashes(rows, photos_of(2), plain).count(4).pairs == 0


def test_steps_reach_beyond_the_distance_and_hold_it():
    assert ALL.steps == [0, 2, 4, 6, 8]
    assert Rule((), 5, 1, True, 3).steps == [0, 2, 3, 4, 5, 6, 8]
    assert Rule((), 0, 1, True, 6).steps == [0, 2, 4, 6]


@pytest.mark.parametrize("size", [0, 1])
def test_nothing_and_one_photo_are_searched(size):
    assert by_hashes(np.zeros((size, 7), np.uint64), photos_of(size), ALL).count(4).pairs == 0
    assert by_embedding(np.zeros((size, 8)), photos_of(size), 0.9, np.arange(size)).count(0.1).pairs == 0


def test_alike_vectors_are_those_of_sklearn(monkeypatch):
    monkeypatch.setattr("copies.likeness.TILE", 13)
    vectors = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    cosine = cosine_similarity(vectors.astype(np.float64))
    expected = {(a, b): 1 - cosine[a, b] for a, b in zip(*np.nonzero(cosine >= 0.9), strict=True) if a < b}
    found = {(int(a), int(b)): d for piece in alike(vectors, 0.9) for a, b, d in zip(*piece, strict=True)}
    assert found.keys() == expected.keys()
    assert found == pytest.approx(expected, abs=1e-5)


def test_an_embedding_joins_what_hashes_leave_apart():
    by_one, by_other = np.array([0, 0, 1, 2, 3]), np.array([0, 1, 1, 2, 3])
    labels = joined([by_one, by_other])
    assert labels[0] == labels[1] == labels[2]
    assert len(set(labels.tolist())) == 3


def test_a_chain_is_warned_of_and_copies_are_not():
    chain = np.zeros((30, 7), np.uint64)
    for k in range(1, 30):  # each three bits from the one before, ten of them thirty bits apart
        chain[k] = chain[k - 1] ^ np.uint64(0b111 << 3 * (k % 20))
    for rows, told in ((chain, True), (np.zeros((30, 7), np.uint64), False)):
        tally = by_hashes(rows, photos_of(30), ALL)
        lines = [line for line in warnings(tally.labels(4), rows, ALL, tally) if "is a chain" in line]
        assert bool(lines) == told
        assert all("30 photos" in line and "duplicates.png" in line for line in lines)


def test_what_an_embedding_joins_is_no_chain_of_hashes():
    rows = np.random.default_rng(0).integers(0, 2**64, (30, 7), dtype=np.uint64)
    rows[:, -1] = 99
    tally = by_hashes(rows, photos_of(30), ALL)
    lines = warnings(np.zeros(30, int), rows, ALL, tally)
    assert len(lines) == 1
    assert "the largest cluster holds 100% of all photos" in lines[0]


def test_a_cluster_of_many_of_the_photos_is_warned_of():
    rows = np.zeros((30, 7), np.uint64)
    tally = by_hashes(rows, photos_of(30), ALL)
    assert any("holds 100% of all photos" in line for line in warnings(tally.labels(4), rows, ALL, tally))


def test_pairs_that_multiply_with_the_distance_are_warned_of():
    rng = np.random.default_rng(0)
    # hashes that share 52 bits: all are within 12 of each other, few within 4
    rows = rng.integers(0, 2**12, (200, 7), dtype=np.uint64)
    rule = Rule(("phash",), 1, 1, mirrored=False, leak_distance=0)
    tally = by_hashes(rows, photos_of(200), rule)
    lines = warnings(np.arange(200), rows, rule, tally)
    assert len(lines) == 1
    assert "look much alike without being the same" in lines[0]


def test_components_hold_all_nodes():
    assert components(np.array([0]), np.array([2]), 4).tolist() == [0, 1, 0, 2]
