"""Perceptual hashes: 64 bits of what a photo shows, which stay nearly the same when it is resized or compressed anew.

A photo is decoded as a trial decodes it (upright, 8 bits, all its channels), made SIDE pixels square and given to
imagehash; one that is not of three channels as the mean of them. Its mirror image is hashed beside it.
"""

from __future__ import annotations

import math
import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import imagehash
import numpy as np
from PIL import Image, ImageOps

from bands import Photo
from decode import cores, decode

HASHES: dict[str, Callable[[Image.Image], imagehash.ImageHash]] = {
    "phash": imagehash.phash,  # of the lowest frequencies, whether above their median
    "dhash": imagehash.dhash,  # whether it gets brighter from left to right
    "ahash": imagehash.average_hash,  # whether brighter than the mean
}
VERSION = 1  # raise it when the hashes of a photo change
SIDE = 64  # pixels; twice what pHash looks at, so that the first reduction hardly shows
SHAPE = (2 * len(HASHES) + 1,)  # the hashes, those of the mirror image, and the spread
BLANK = 4  # of 255 levels: a photo whose 8 x 8 parts differ by no more is blank, and hashes to noise
PIECE = 64  # photos that a process takes at a time
ENOUGH = 512  # photos that are worth a further process, which takes half a second to start

Piece = tuple[Sequence[int], list[np.ndarray | str]]


def hash_all(photos: Sequence[Photo], channels: int, workers: int = 0) -> Iterator[Piece]:
    """Rows of `photos`, and of each what hash_pixels() gives or why it cannot be read; as they get ready.

    `workers` processes share the work; 0 takes as many as there are cores and photos worth it. Raises
    ChildProcessError where one of them has died.
    """
    pieces = [range(start, min(start + PIECE, len(photos))) for start in range(0, len(photos), PIECE)]
    work = [([photos[row] for row in rows], channels) for rows in pieces]
    workers = workers or max(1, min(cores(), math.ceil(len(photos) / ENOUGH)))
    if workers == 1:
        yield from zip(pieces, map(hash_some, work), strict=True)
        return
    # from a fork server, as a copy of this process might find its threads' locks in any state
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("forkserver"), initializer=leave_signals)
    try:
        yield from zip(pieces, pool.map(hash_some, work), strict=True)
    except BrokenProcessPool as error:
        raise ChildProcessError(
            "a process that hashes photos was ended, as happens when the memory is full; free some, and run this again:"
            " what was hashed is kept"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def leave_signals() -> None:
    """Ctrl-C reaches every process; the first decides when to end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def hash_some(work: tuple[Sequence[Photo], int]) -> list[np.ndarray | str]:
    photos, channels = work
    found: list[np.ndarray | str] = []
    for photo in photos:
        try:
            found.append(hash_pixels(decode(photo, 0, (SIDE, SIDE), channels)))
        except MemoryError:
            raise
        except Exception as error:  # Pillow's plugins fail in many ways
            found.append(f"{type(error).__name__}: {error}")
    return found


def hash_pixels(pixels: np.ndarray) -> np.ndarray:
    """Of uint8 (H, W, C) the hashes in the order of HASHES, then those of the mirror image, then the spread: uint64.

    The spread is by how many of 255 levels the brightest of 8 x 8 parts is brighter than the darkest.
    """
    three = pixels.shape[2] == 3
    grey = Image.fromarray(pixels).convert("L") if three else Image.fromarray(pixels.mean(axis=2).round().astype("u1"))
    parts = np.asarray(grey.resize((8, 8), Image.Resampling.BOX))
    views = (grey, ImageOps.mirror(grey))
    return np.array([*(bits(function(view)) for view in views for function in HASHES.values()), np.ptp(parts)], "u8")


def bits(found: imagehash.ImageHash) -> int:
    """As imagehash writes it in hex: the first bit is the highest."""
    return int(str(found), 16)


def columns(rows: np.ndarray, names: Sequence[str], mirrored: bool = False) -> np.ndarray:
    """(N, H) of what hash_pixels() gave for N photos: the hashes `names`, of the photo or of its mirror image."""
    start = len(HASHES) if mirrored else 0
    return rows[:, [start + place for place, name in enumerate(HASHES) if name in names]]


def blank(rows: np.ndarray) -> np.ndarray:
    """(N,) bool: of photos so even that their hashes say nothing."""
    return rows[:, -1] <= BLANK
