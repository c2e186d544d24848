"""Photos that no store holds: worker processes decode them anew each time, a few batches ahead of the trial.

The workers are started with the first batch and stay until close(). They come from a fork server, a process of its
own without the trial's threads, locks and GPU, which a copy of the trial itself might find in any state; it imports
torch once for all of them. A task names its photos, so no worker holds the list of all. They end with the trial,
also when it is killed, as each watches a pipe that closes with it.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import torch

from bands import Photo, files_of
from decode import Photos, StaleError, decode, decode_all, read_unreadable, write_unreadable

AHEAD = 2  # batches that are being decoded while one is used


@dataclass
class Stream:
    """As cache.Store, but for `pixels`."""

    photos: Photos
    unreadable: dict[int, str]  # row -> reason; their pixels are zeros
    workers: int
    pool: ProcessPoolExecutor
    pixels: None = None

    def batch(self, rows: Sequence[int] | np.ndarray) -> torch.Tensor:
        """Photos of `rows` as uint8 (B, C, H, W), channels last in memory."""
        return next(self.batches([np.asarray(rows)]))

    def batches(self, batches: Iterable[np.ndarray]) -> Iterator[torch.Tensor]:
        """batch(rows) of each of `batches` in turn. Raises ChildProcessError where a worker has died."""
        ahead: deque[list[Future[np.ndarray]]] = deque()
        known: list[BaseProcess] = []
        try:
            for rows in batches:
                ahead.append(self.submit(rows))
                known = known or multiprocessing.active_children()
                if len(ahead) > AHEAD:
                    yield joined(ahead.popleft())
            while ahead:
                yield joined(ahead.popleft())
        except BrokenProcessPool as error:
            raise ChildProcessError(
                f"a process that decodes photos was ended{by_signal(known)}, as happens when the memory is full; lower"
                " --threads, their number, or mend what keeps the photos from being stored"
            ) from error
        finally:
            for future in (future for futures in ahead for future in futures):
                future.cancel()

    def submit(self, rows: np.ndarray) -> list[Future[np.ndarray]]:
        """A batch in as many pieces as there are workers."""
        pieces = np.array_split(rows, max(1, min(self.workers, len(rows))))
        photos = self.photos
        paths = [[None if row in self.unreadable else in_words(photos.paths[row]) for row in piece] for piece in pieces]
        return [self.pool.submit(decode_some, some, photos.crop, photos.size, photos.channels) for some in paths]

    def close(self) -> None:
        """Ends the workers as soon as they have done what they are at, without waiting for it."""
        self.pool.shutdown(wait=False, cancel_futures=True)


def open_stream(photos: Photos, listing: Path, workers: int) -> Stream:
    """All photos are tried first, to know those that cannot be read, unless the file `listing` has them."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["__main__", "torch"])
    pool = ProcessPoolExecutor(workers, context, initializer=begin)
    return Stream(photos, examine(photos, listing), workers, pool)


def examine(photos: Photos, listing: Path) -> dict[int, str]:
    with suppress(StaleError):
        return read_unreadable(listing, photos)
    unreadable = decode_all(photos, "checking", lambda row, pixels: None)
    with suppress(OSError):  # then the next trial tries them again
        write_unreadable(listing, unreadable)
    return unreadable


def in_words(photo: Photo) -> str | tuple[str, ...]:
    """As a task names it: text is pickled in a third of the time that a Path takes."""
    return tuple(map(str, photo)) if isinstance(photo, tuple) else str(photo)


def joined(futures: list[Future[np.ndarray]]) -> torch.Tensor:
    return torch.from_numpy(np.concatenate([future.result() for future in futures])).permute(0, 3, 1, 2)


def by_signal(processes: list[BaseProcess]) -> str:
    """' by SIGKILL', or nothing where it is not known; the pool ends the others by SIGTERM."""
    codes = {process.exitcode for process in processes} - {None, 0, -signal.SIGTERM}
    return "".join(f" by {signal.Signals(-code).name}" for code in codes if code < 0)


def begin() -> None:
    """The start of a worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches it too; the trial decides when to end
    threading.Thread(target=end_with_trial, daemon=True).start()


def end_with_trial() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)


def decode_some(
    paths: list[str | tuple[str, ...] | None], crop: int, size: tuple[int, int], channels: int
) -> np.ndarray:
    """uint8 (B, H, W, C), zeros for None. Raises ValueError where a photo cannot be read any more."""
    photos = np.zeros((len(paths), *size, channels), np.uint8)
    for place, path in enumerate(paths):
        if path is None:
            continue
        try:
            photos[place] = decode(path, crop, size, channels)
        except MemoryError:
            raise
        except Exception as error:  # Pillow's plugins fail in many ways
            raise ValueError(
                f"{', '.join(files_of(path))} could be read when the trial began and cannot be now"
                f" ({type(error).__name__}: {error}); mend it and start the trial again"
            ) from error
    return photos
