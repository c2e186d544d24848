"""Photos decoded once into a memory-mapped uint8 store that the trials of a machine share.

A store is a folder of the cache: photos.npy (N, H, W, C) and unreadable.json. It is named after everything its
pixels depend on, built under another name, and appears by one rename once it is on the disk; so what a crash leaves
is never taken for a store. One process builds at a time, with all cores; the others wait. A trial that uses a store
has a shared lock on its photos.npy, and no store in use is removed. Where none can be had, photos are streamed.
"""

from __future__ import annotations

import fcntl
import math
import os
import shutil
import socket
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from bands import Photo
from config import Config
from decode import Photos, StaleError, cores, decode_all, key, read_unreadable, write_unreadable
from stream import Stream, open_stream

GIB = 2**30


@dataclass(frozen=True)
class Store:
    pixels: np.ndarray  # (N, H, W, C) uint8, zeros where unreadable
    unreadable: dict[int, str]  # row -> reason

    def batch(self, rows: Sequence[int] | np.ndarray) -> torch.Tensor:
        """Photos of `rows` as uint8 (B, C, H, W), channels last in memory."""
        return torch.from_numpy(self.pixels[rows]).permute(0, 3, 1, 2)

    def batches(self, batches: Iterable[np.ndarray]) -> Iterator[torch.Tensor]:
        """batch(rows) of each of `batches` in turn."""
        return map(self.batch, batches)

    def close(self) -> None:
        """Only a Stream has something to end; a store is in use as long as an array shows its pixels."""


class NoRoomError(Exception):
    """--cache_gib allows for no other store."""


def open_store(
    paths: Sequence[Photo],
    config: Config,
    label: str,
    size: tuple[int, int] | None = None,
    channels: int = 3,
) -> Store | Stream:
    """The photos at `paths`, `size` (H, W) or else --resize large, from a store that is built if it is not there.

    Photos that cannot be read are listed, not dropped. Where the cache cannot take them, it says so and streams.
    """
    photos = Photos(paths, config.crop, tuple(size or config.resize), label, channels)
    root = Path(config.cache_dir).expanduser()
    folder = root / key(photos)
    try:
        with suppress(StaleError):
            if store := load(folder, photos):
                return store
        root.mkdir(parents=True, exist_ok=True)
        return load_or_build(folder, photos, config.cache_gib)
    except NoRoomError as error:
        reason = f"{error}; raise it to store them"
    except OSError as error:
        reason = f"{root} cannot store them ({error}); mend that or pass another --cache_dir"
    workers = config.threads or cores()
    print(f"cache: worker processes, {workers} in all, decode the {label} anew each time: {reason}", flush=True)
    return open_stream(photos, folder.with_suffix(".json"), workers)


def load(folder: Path, photos: Photos) -> Store | None:
    """None if it is not there. Raises StaleError."""
    if not folder.is_dir():
        return None
    with suppress(OSError):  # another user's store
        os.utime(folder)  # the least recently used go first
    try:
        unreadable = read_unreadable(folder / "unreadable.json", photos)
        return Store(map_pixels(folder / "photos.npy", photos.shape), unreadable)
    except Exception as error:  # damaged files fail in many ways
        raise error if isinstance(error, StaleError) else StaleError(f"{folder} is damaged ({error})") from error


def map_pixels(file: Path, shape: tuple[int, ...]) -> np.ndarray:
    with open(file, "rb") as opened:
        # lasts as long as the mapping, which has a copy of the descriptor
        fcntl.flock(opened, fcntl.LOCK_SH)
        np.lib.format.read_magic(opened)
        found = np.lib.format.read_array_header_1_0(opened)
        if found != (shape, False, np.uint8):
            raise ValueError(f"{file.name} is {found[0]}, not {shape}")
        return np.memmap(opened, np.uint8, "r", opened.tell(), shape)


def load_or_build(folder: Path, photos: Photos, bound: float) -> Store:
    """Raises NoRoomError and OSError; `bound` in GiB."""
    need = math.prod(photos.shape)
    if need > bound * GIB:
        raise NoRoomError(f"--cache_gib {bound:g} is less than their {need / GIB:.3g} GiB")
    with alone(folder.parent, photos.label):
        try:
            if store := load(folder, photos):
                return store
        except StaleError as reason:
            print(f"cache: removing the stored {photos.label}: {reason}", flush=True)
            remove(folder)
        make_room(folder.parent, need, bound * GIB)
        return build(folder, photos)


@contextmanager
def alone(root: Path, label: str) -> Iterator[None]:
    """One process at a time builds in the cache `root`; the others wait here. The lock falls with its process."""
    with open(root / ".lock", "a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            print(f"cache: the {label} wait until {lock.read().strip()}", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        lock.truncate(0)
        lock.write(f"process {os.getpid()} on {socket.gethostname()} has decoded the {label}\n")
        lock.flush()
        yield


def build(folder: Path, photos: Photos) -> Store:
    gib = math.prod(photos.shape) / GIB
    print(f"cache: decoding {len(photos.paths)} {photos.label} into {folder} ({gib:.3g} GiB)", flush=True)
    scratch = folder.with_name(f".building-{folder.name}")
    try:
        scratch.mkdir()
        unreadable = write_pixels(scratch / "photos.npy", photos)
        write_unreadable(scratch / "unreadable.json", unreadable)
        make_durable(scratch)
        scratch.rename(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    make_durable(folder.parent)
    return Store(map_pixels(folder / "photos.npy", photos.shape), unreadable)


def write_pixels(path: Path, photos: Photos) -> dict[int, str]:
    """Decodes all photos into the new file `path`; returns row -> reason of those that cannot be read."""
    with open(path, "wb", buffering=0) as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": photos.shape}
        np.lib.format.write_array_header_1_0(file, header)
        start, each = file.tell(), math.prod(photos.shape[1:])
        os.posix_fallocate(file.fileno(), 0, start + math.prod(photos.shape))  # so that a full disk shows now

        def write(row: int, pixels: np.ndarray) -> None:
            # not into a mapping, where a disk that is full all the same would end the process by a signal
            left, place = memoryview(pixels).cast("B"), start + row * each
            while left:
                written = os.pwrite(file.fileno(), left, place)
                left, place = left[written:], place + written

        unreadable = decode_all(photos, "decoding", write)
        os.fsync(file.fileno())
    return unreadable


def make_durable(folder: Path) -> None:
    """So that the names in it outlast a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_room(root: Path, need: int, bound: float) -> None:
    """Removes what killed trials were building, and the least recently used stores until `need` more bytes fit.

    Raises NoRoomError, and removes no store, where those in use leave too little of `bound` bytes.
    """
    for folder in (*root.glob(".building-*"), *root.glob(".removing-*")):
        shutil.rmtree(folder, ignore_errors=True)
    stores = sorted(root.glob("[0-9a-f]" * 24 + "/photos.npy"), key=lambda file: file.parent.stat().st_mtime)
    sizes = {file: file.stat().st_size for file in stores}
    idle = [file for file in stores if not in_use(file)]
    excess = sum(sizes.values()) + need - bound
    used = sum(sizes.values()) - sum(sizes[file] for file in idle)
    if used + need > bound:
        raise NoRoomError(
            f"--cache_gib {bound / GIB:g} holds their {need / GIB:.3g} GiB"
            f" not beside the {used / GIB:.3g} GiB that trials are using"
        )
    for file in idle:
        if excess > 0:
            print(f"cache: removing {file.parent}, the least recently used, to stay within --cache_gib", flush=True)
            remove(file.parent)
            excess -= sizes[file]


def in_use(file: Path) -> bool:
    try:
        with open(file, "r+b") as opened:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # a trial has it mapped, or it is another user's
        return True
    return False


def remove(folder: Path) -> None:
    """Takes the name away first, so that no half-removed store is ever found under it."""
    doomed = folder.with_name(f".removing-{folder.name}")
    folder.rename(doomed)
    shutil.rmtree(doomed, ignore_errors=True)
