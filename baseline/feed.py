"""The photos of a store, a batch at a time, on the training device."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from bands import Photo
from cache import Store, open_store
from config import Config
from stream import Stream

Batches = list[np.ndarray]  # rows of each batch
MOST_RESIDENT = 0.4  # of the free device memory; the rest is the model's
CHUNK = 1024  # photos copied to the device at once


def shuffled(rows: np.ndarray, batch_size: int, generator: torch.Generator) -> Batches:
    """`rows` in random order, in batches of at most batch_size whose sizes differ by one at most.

    So no photo is dropped and no batch is a lone photo, which batch normalisation could not use.
    """
    order = torch.randperm(len(rows), generator=generator).numpy()
    return np.array_split(rows[order], math.ceil(len(rows) / batch_size))


def in_order(rows: np.ndarray, batch_size: int) -> Batches:
    return [rows[start : start + batch_size] for start in range(0, len(rows), batch_size)]


def open_feed(
    paths: Sequence[Photo],
    config: Config,
    stored: tuple[int, int],
    device: torch.device,
    label: str,
    channels: int = 3,
) -> Feed:
    """The photos at `paths`, kept at a height and width of `stored`; `label` names them."""
    return Feed(open_store(paths, config, label, stored, channels), device, label)


class Feed:
    """Photos wait in device memory where they fit, else a batch is copied while the last one is computed.

    On a CPU the rows are taken from the store when they are wanted: that takes a thousandth of the step, so a
    thread that prepares the next batch has nothing to gain.
    """

    def __init__(self, store: Store | Stream, device: torch.device, label: str) -> None:
        self.store, self.device, self.label = store, device, label
        self.unreadable = store.unreadable
        self.resident: Tensor | None = None  # uint8 (N, H, W, C)
        if device.type == "cuda" and store.pixels is not None:
            free, _ = torch.cuda.mem_get_info(device)
            if store.pixels.nbytes <= MOST_RESIDENT * free:
                self.resident = upload(store.pixels, device)

    def batches(self, batches: Batches) -> Iterator[Tensor]:
        """uint8 (B, C, H, W) on the device for each of `batches`, channels last in memory."""
        if self.device.type == "cpu":
            return self.store.batches(batches)
        return self.taken(batches)

    def leave_device(self) -> bool:
        """Gives the device's memory back, if any was taken; the epoch goes on from the store."""
        left, self.resident = self.resident is not None, None
        return left

    def close(self) -> None:
        if self.leave_device():
            torch.cuda.empty_cache()
        self.store.close()

    def taken(self, batches: Batches) -> Iterator[Tensor]:
        for place, rows in enumerate(batches):
            if self.resident is None:
                yield from copied_ahead(self.store.batches(batches[place:]), self.device)
                return
            yield self.resident[torch.from_numpy(rows).to(self.device, non_blocking=True)].permute(0, 3, 1, 2)


def upload(pixels: np.ndarray, device: torch.device) -> Tensor:
    """A copy of `pixels` on the device; no more than CHUNK photos are in the process's own memory meanwhile."""
    copy = torch.empty(pixels.shape, dtype=torch.uint8, device=device)
    for start in range(0, len(pixels), CHUNK):
        copy[start : start + CHUNK] = torch.from_numpy(np.array(pixels[start : start + CHUNK]))
    return copy


def copied_ahead(batches: Iterator[Tensor], device: torch.device) -> Iterator[Tensor]:
    """Each batch on the device, copied on a stream of its own from pinned memory, one batch ahead of its use."""
    stream = torch.cuda.Stream(device)

    def copy() -> Tensor | None:
        batch = next(batches, None)
        if batch is None:
            return None
        with torch.cuda.stream(stream):
            return batch.pin_memory().to(device, non_blocking=True)

    ahead = copy()
    while ahead is not None:
        torch.cuda.current_stream(device).wait_stream(stream)
        ahead.record_stream(torch.cuda.current_stream(device))
        batch, ahead = ahead, copy()  # the next one is on its way before this one is computed
        yield batch
