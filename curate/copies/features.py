"""Numbers made of each photo (hashes, an embedding), kept from run to run in a file of the cache.

They are kept by path, size and time of change, so only photos that are new or changed are looked at again; what was
done when a run is stopped is kept too. Photos that cannot be read are tried again each time.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bands import Photo, files_of
from progress import Progress
from run import atomic

Compute = Callable[[Sequence[Photo]], Iterator[tuple[Sequence[int], Sequence[np.ndarray | str]]]]


@dataclass(frozen=True)
class Features:
    rows: np.ndarray  # (N, …), zeros where unreadable
    unreadable: dict[int, str]  # row -> reason
    fresh: int  # how many were made anew


def features(
    file: Path, photos: Sequence[Photo], shape: tuple[int, ...], dtype: str, compute: Compute, doing: str
) -> Features:
    """One row of `shape` for each of the photos, from `file` or else by compute(those missing).

    compute yields places in what it was given with, for each, its row or why there is none. A file that cannot be
    written is told, and costs the next run the same work.
    """
    keys = np.array([key(photo) for photo in photos], "S32")
    rows, there = load(file, keys, shape, dtype)
    missing = np.flatnonzero(~there)
    unreadable: dict[int, str] = {}
    progress = Progress(doing, len(missing), "photos")
    try:
        done = 0
        for places, values in compute([photos[row] for row in missing]) if len(missing) else ():
            for row, value in zip(missing[list(places)], values, strict=True):
                if isinstance(value, str):
                    unreadable[int(row)] = value
                else:
                    rows[row], there[row] = value, True
            done += len(places)
            progress.show(done)
    finally:
        if len(missing):
            save(file, keys[there], rows[there])
    return Features(rows, dict(sorted(unreadable.items())), len(missing) - len(unreadable))


def cache_file(cache_dir: str, kind: str, root: Path) -> Path:
    """Where the numbers of `kind` are kept for the photos of the data root."""
    name = hashlib.sha256(str(root.absolute()).encode()).hexdigest()[:24]
    return Path(cache_dir).expanduser() / f"{kind}-{name}.npz"


def key(photo: Photo) -> bytes:
    """A name for the state that a photo's files are in; of one that is not there for its path."""
    digest = hashlib.blake2b(digest_size=16)
    for path in files_of(photo):
        state = "none"
        with suppress(OSError):
            stat = os.stat(path)
            state = f"{stat.st_size}\t{stat.st_mtime_ns}"
        digest.update(f"{os.path.abspath(path)}\t{state}\n".encode())
    return digest.hexdigest().encode()


def load(file: Path, keys: np.ndarray, shape: tuple[int, ...], dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """(N, …) what is kept of `keys`, zeros for the others, and (N,) bool which are there."""
    rows, there = np.zeros((len(keys), *shape), dtype), np.zeros(len(keys), bool)
    if not file.is_file():
        return rows, there
    try:
        with np.load(file) as kept:  # pickles are refused, as is numpy's default
            names, values = kept["keys"], kept["rows"]
        if values.shape != (len(names), *shape) or values.dtype != rows.dtype:
            raise ValueError(f"holds {values.dtype} {values.shape}")
    except Exception as error:  # damaged files fail in many ways
        print(f"cache: {file} is damaged ({error}) and is made anew", flush=True)
        return rows, there
    place = {name: row for row, name in enumerate(names.tolist())}
    found = np.array([place.get(name, -1) for name in keys.tolist()], int)
    there = found >= 0
    rows[there] = values[found[there]]
    return rows, there


def save(file: Path, keys: np.ndarray, rows: np.ndarray) -> None:
    def write(scratch: Path) -> None:
        with open(scratch, "wb") as stream:  # numpy would put .npz behind a name
            np.savez(stream, keys=keys, rows=rows)

    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        atomic(file, write)
    except OSError as error:
        print(f"note: {error}; the next run does this work again", flush=True)
