import numpy as np
import pytest
from scipy.spatial.distance import pdist, squareform

from copies import hamming
from copies.hamming import masks, near, near_tiled, search


def by_scipy(plain, limit, need, mirrored=None):
    """{(a, b): distance} of all pairs, from scipy's distances of the single bits."""

    def distances(left, right):
        both = np.concatenate([left, right])
        bits = np.unpackbits(np.ascontiguousarray(both)[:, None].view(np.uint8), axis=1)
        return squareform(np.round(pdist(bits, "hamming") * 64))[: len(left), len(left) :]

    def nth(right):
        every = [distances(plain[:, k], right[:, k]) for k in range(plain.shape[1])]
        return np.sort(every, axis=0)[need - 1]

    found = nth(plain)
    if mirrored is not None:
        found = np.minimum(found, np.minimum(nth(mirrored), nth(mirrored).T))
    return {(a, b): int(found[a, b]) for a, b in zip(*np.nonzero(found <= limit), strict=True) if a < b}


def gathered(pieces):
    """{(a, b): distance}, each pair once."""
    found = [(int(a), int(b), int(d)) for piece in pieces for a, b, d in zip(*piece, strict=True)]
    assert len({pair[:2] for pair in found}) == len(found)
    return {(a, b): d for a, b, d in found}


def planted(count, hashes, seed, near_by=0.5, flips=8):
    """Random hashes, of which a share is another one with 0 to `flips` bits turned, in each of its hashes."""
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 2**64, (count, hashes), dtype=np.uint64)
    order = rng.permutation(count)
    copies, sources = order[: int(near_by * count)], order[int(near_by * count) :]
    values[copies] = values[rng.choice(sources, len(copies))]
    for row in copies:
        for _ in range(rng.integers(flips + 1)):
            values[row] ^= np.uint64(1) << rng.integers(0, 64, hashes, dtype=np.uint64)
    return values


@pytest.mark.parametrize("limit", [0, 1, 4, 7, 15])
@pytest.mark.parametrize(("hashes", "need"), [(1, 1), (3, 1), (3, 2), (3, 3)])
def test_the_pairs_are_those_of_scipy(limit, hashes, need):
    values = planted(300, hashes, limit + 10 * need)
    expected = by_scipy(values, limit, need)
    assert gathered(search(values, limit, need)) == expected
    assert expected


@pytest.mark.parametrize("need", [1, 3])
def test_a_mirror_image_counts_where_it_is_nearer(need):
    plain = planted(200, 3, 5, near_by=0.3)
    mirrored = plain[::-1] ^ np.uint64(0b101)  # row a is the mirror image of row 199 - a, but for two bits
    mirrored[40:80] = plain[40:80]  # photos that are their own mirror images: near both ways, and to be given once
    expected = by_scipy(plain, 6, need, mirrored)
    assert gathered(search(plain, 6, need, mirrored)) == expected
    assert len(expected) > len(by_scipy(plain, 6, need))


@pytest.mark.parametrize(("first", "second"), [(0, 1), (1, 0)])
def test_a_pair_near_its_mirror_image_one_way_only_is_found_in_either_order(first, second):
    plain, mirrored = np.array([[0], [2**64 - 1]], np.uint64), np.array([[0b111], [0b11111]], np.uint64)
    order = [first, second]  # the mirror image of the second is 5 bits from the first; the other way 61
    assert gathered(search(plain[order], 5, 1, mirrored[order])) == {(0, 1): 5}
    assert gathered(search(plain[order], 4, 1, mirrored[order])) == {}


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_a_pair_that_is_near_as_it_is_may_be_nearer_as_a_mirror_image_either_way(order):
    plain, mirrored = np.array([[0], [0b1111]], np.uint64), np.array([[2**64 - 1], [0b1]], np.uint64)
    assert gathered(search(plain[order], 5, 1, mirrored[order])) == {(0, 1): 1}


@pytest.mark.parametrize("limit", [0, 4])
def test_the_blocks_and_the_tiles_find_the_same(limit, monkeypatch):
    values = planted(3000, 1, 1)[:, 0]
    expected = {(a, b) for piece in near_tiled(values, None, limit) for a, b in zip(*piece, strict=True)}
    monkeypatch.setattr(hamming, "near_tiled", None)  # so that a fall back on it would fail
    monkeypatch.setattr(hamming, "CHUNK", 100)
    found = [pair for piece in near(values, None, limit) for pair in zip(*piece, strict=True)]
    assert len(found) == len(set(found)) > 100
    assert set(found) == expected


def test_hashes_that_share_a_block_are_compared_in_tiles(monkeypatch):
    values = planted(500, 1, 2)[:, 0] & np.uint64(0xFFFF)  # three quarters of the bits are the same in all
    expected = by_scipy(values[:, None], 4, 1)
    monkeypatch.setattr(hamming, "TILE", (7, 64))
    assert gathered(search(values[:, None], 4, 1)) == expected


def test_two_lists_are_compared_with_each_other():
    left, right = planted(120, 1, 3)[:, 0], planted(150, 1, 4)[:, 0]
    right[::3] = left[np.arange(50)] ^ np.uint64(0b11)
    expected = {(a, b) for a in range(120) for b in range(150) if bin(int(left[a] ^ right[b])).count("1") <= 2}
    for pieces in (near(left, right, 2), near_tiled(left, right, 2)):
        assert {(int(a), int(b)) for piece in pieces for a, b in zip(*piece, strict=True)} == expected
    assert len(expected) >= 50


@pytest.mark.parametrize("limit", [0, 1, 4, 10, 63])
def test_every_bit_is_in_one_block(limit):
    blocks = [int(mask) for mask in masks(limit)]
    assert len(blocks) == limit + 1
    assert sum(blocks) == 2**64 - 1
    assert all(block.bit_count() >= 64 // (limit + 1) for block in blocks)


@pytest.mark.parametrize("count", [0, 1])
def test_nothing_and_one_hash_have_no_pairs(count):
    values = np.zeros((count, 2), np.uint64)
    assert list(search(values, 4, 2, values)) == []


def test_equal_hashes_in_masses_stay_within_bounded_pieces(monkeypatch):
    monkeypatch.setattr(hamming, "CHUNK", 1000)
    monkeypatch.setattr(hamming, "DEARER", 0)  # even here by blocks
    pieces = list(search(np.zeros((300, 1), np.uint64), 3, 1))
    assert max(len(a) for a, _, _ in pieces) <= 1000
    assert sum(len(a) for a, _, _ in pieces) == 300 * 299 // 2


@pytest.mark.parametrize(
    ("hashes", "limit", "need", "says"),
    [
        (np.zeros((3, 1), np.int64), 4, 1, "uint64"),
        (np.zeros((3, 1), np.uint64), 64, 1, "64 bits is not in 0 to 63"),
        (np.zeros((3, 1), np.uint64), -1, 1, "-1 bits"),
        (np.zeros((3, 2), np.uint64), 4, 3, "3 of 2 hashes cannot agree"),
    ],
)
def test_what_cannot_be_searched_is_refused(hashes, limit, need, says):
    with pytest.raises(ValueError, match=says):
        list(search(hashes, limit, need))
