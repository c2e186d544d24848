"""All pairs of 64-bit hashes that differ in few bits: exact, in memory that grows with their number alone.

Two hashes within a distance of d agree in at least one of d + 1 blocks of bits (the pigeonhole principle; Norouzi et
al. 2012, "Fast Search in Hamming Space with Multi-Index Hashing"). So the hashes are sorted by each block in turn,
those with equal blocks are compared, and a pair counts in the first block in which it agrees. Where blocks of so few
bits are shared by too many, all are compared with all, in tiles that fit the processor's cache.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

BITS = 64
CHUNK = 1 << 20  # pairs that are compared at a time
TILE = (16, 16384)  # hashes compared with hashes at a time where all are: 2 MiB
DEARER = 8  # times that a pair found by its block costs what one of a tile does: 7.5 ns and 0.9 ns measured

Pairs = tuple[np.ndarray, np.ndarray]
Found = tuple[np.ndarray, np.ndarray, np.ndarray]


def search(plain: np.ndarray, limit: int, need: int, mirrored: np.ndarray | None = None) -> Iterator[Found]:
    """Rows a < b (M,) of `plain` (N, H) whose distance (M,) is at most `limit`, each pair once, in pieces.

    The distance of two rows is the need-th smallest of the H distances of their hashes: with need = H all of them are
    within it, with need = 1 any. With `mirrored` (N, H) it is the smallest of that, of the one between row a and the
    mirror image of row b, and of the one between row b and the mirror image of row a, as hashes of a mirror image are
    not quite the same both ways.
    """
    check(plain, limit, need)
    yield from matches(plain, plain, limit, need, mirrored, None)
    if mirrored is not None:
        yield from matches(plain, mirrored, limit, need, None, plain)


def matches(
    left: np.ndarray, right: np.ndarray, limit: int, need: int, other: np.ndarray | None, but: np.ndarray | None
) -> Iterator[Found]:
    """Pairs a < b of rows of `left` and of `right`, whichever is of which; without those that `but` gives.

    The distance is the smaller of both ways, and by `other` if it is nearer.
    """
    searched = left.shape[1] - need + 1  # of so many hashes, one at least is within the limit
    for column in range(searched):
        same = left is right
        for a, b in near(left[:, column], None if same else right[:, column], limit):
            if not same:
                a, b = a[a != b], b[a != b]
            every = np.bitwise_count(left[a] ^ right[b])
            found = nth(every, need)
            fresh = (found <= limit) & ~(every[:, :column] <= limit).any(axis=1)
            if but is not None:
                fresh &= between(left, a, but, b, need) > limit
            a, b, found = a[fresh], b[fresh], found[fresh]
            if not same:
                back = between(left, b, right, a, need)
                once = (a < b) | (back > limit)  # else it is given the other way round
                a, b, found = np.minimum(a, b)[once], np.maximum(a, b)[once], np.minimum(found, back)[once]
            if other is not None:
                for one, two in ((a, b), (b, a)):
                    found = np.minimum(found, between(left, one, other, two, need))
            if len(a):
                yield a, b, found


def between(left: np.ndarray, a: np.ndarray, right: np.ndarray, b: np.ndarray, need: int) -> np.ndarray:
    """(M,) the distances of rows a of `left` and b of `right`."""
    return nth(np.bitwise_count(left[a] ^ right[b]), need)


def nth(distances: np.ndarray, need: int) -> np.ndarray:
    """(M,) the need-th smallest of each row of (M, H)."""
    return np.partition(distances, need - 1, axis=1)[:, need - 1]


def check(hashes: np.ndarray, limit: int, need: int) -> None:
    if hashes.dtype != np.uint64 or hashes.ndim != 2:
        raise ValueError(f"hashes are uint64 (N, H), not {hashes.dtype} {hashes.shape}")
    if not 0 <= limit < BITS:
        raise ValueError(f"a distance of {limit} bits is not in 0 to {BITS - 1}")
    if not 1 <= need <= hashes.shape[1]:
        raise ValueError(f"{need} of {hashes.shape[1]} hashes cannot agree")


def near(left: np.ndarray, right: np.ndarray | None, limit: int) -> Iterator[Pairs]:
    """(M,) places of `left` and of `right` (N,) that differ in at most `limit` bits, each pair once, in pieces.

    Without `right` pairs within `left`, the first place being the smaller.
    """
    count = len(left) * (len(left) - 1) // 2 if right is None else len(left) * len(right)
    blocks = [Block(left, right, mask) for mask in masks(limit)]
    if sum(block.count for block in blocks) * DEARER >= count:
        yield from near_tiled(left, right, limit)
        return
    for number, block in enumerate(blocks):
        for a, b, differing in block.compared():
            keep = np.bitwise_count(differing) <= limit
            for earlier in blocks[:number]:
                keep &= (differing & earlier.mask) != 0
            a, b = a[keep], b[keep]
            if len(a):
                yield (np.minimum(a, b), np.maximum(a, b)) if right is None else (a, b)


def masks(limit: int) -> list[np.uint64]:
    """limit + 1 blocks that share the bits out; a block takes every (limit + 1)-th.

    Neighbouring bits of a hash are neighbouring parts of a photo, and alike: apart, they tell more photos apart.
    """
    return [np.uint64(sum(1 << bit for bit in range(start, BITS, limit + 1))) for start in range(limit + 1)]


class Block:
    """The hashes sorted by those of their bits that stand in `mask`."""

    def __init__(self, left: np.ndarray, right: np.ndarray | None, mask: np.uint64) -> None:
        self.mask, self.left, self.right = mask, left, left if right is None else right
        self.left_order = np.argsort(left & mask)
        self.right_order = self.left_order if right is None else np.argsort(right & mask)
        sorted_left, sorted_right = (left & mask)[self.left_order], (self.right & mask)[self.right_order]
        # where the run of hashes begins and ends that each is to be compared with
        ends = np.searchsorted(sorted_right, sorted_left, "right")
        self.starts = np.arange(1, len(left) + 1) if right is None else np.searchsorted(sorted_right, sorted_left)
        self.sizes = ends - self.starts
        self.count = int(self.sizes.sum())

    def compared(self) -> Iterator[Found]:
        """Places in left and in right that agree in this block, and the bits in which they differ."""
        left, right = self.left[self.left_order], self.right[self.right_order]
        for start, end in spans(self.sizes, CHUNK):
            sizes = self.sizes[start:end]
            before = np.cumsum(sizes) - sizes
            a = np.repeat(np.arange(start, end), sizes)
            b = np.arange(int(sizes.sum())) + np.repeat(self.starts[start:end] - before, sizes)
            yield self.left_order[a], self.right_order[b], left[a] ^ right[b]


def spans(sizes: np.ndarray, chunk: int) -> Iterator[tuple[int, int]]:
    """Consecutive places whose sizes add up to at most `chunk`, or a single one whose own is larger."""
    ends, start = np.cumsum(sizes), 0
    while start < len(sizes):
        so_far = ends[start - 1] if start else 0
        end = max(start + 1, int(np.searchsorted(ends, so_far + chunk, "right")))
        yield start, end
        start = end


def near_tiled(left: np.ndarray, right: np.ndarray | None, limit: int) -> Iterator[Pairs]:
    """As near(), comparing all with all."""
    others = left if right is None else right
    high, wide = TILE
    differing, counts = np.empty(TILE, np.uint64), np.empty(TILE, np.uint8)
    for top in range(0, len(left), high):
        rows = left[top : top + high, None]
        for start in range(0 if right is not None else top, len(others), wide):
            part = others[None, start : start + wide]
            cut = np.s_[: rows.shape[0], : part.shape[1]]
            np.bitwise_count(np.bitwise_xor(rows, part, out=differing[cut]), out=counts[cut])
            if not len(hits := np.flatnonzero(counts[cut] <= limit)):
                continue
            a, b = np.divmod(hits, part.shape[1])
            a, b = a + top, b + start
            if right is None:
                a, b = a[a < b], b[a < b]
            if len(a):
                yield a, b
