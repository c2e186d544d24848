"""The project's own parts alone: seconds to decode a trial's photos, and its training step on one batch in memory.

    python benchmarks/parts.py RUN_FOLDER [--steps 8] [--feeds]

Decodes into an empty cache. The step is the trial's own, in the precision and memory format that the trial took, again
and again on the same batch, prepared before: no trial can be faster. With --feeds also the share of the time in which
a GPU computes, and the rate with the photos in its memory and with each batch copied to it. Prints one line of JSON at
the end.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

HOME = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(HOME / "baseline")]  # before benchmarks/trial.py

from dataset import read
from engine import choose_device, train_epoch
from feed import Feed, open_feed
from folds import divide
from learner import Learner, prepare
from rules import restore
from samples import Data, fitted
from team import Team


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a trial")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--feeds", action="store_true", help="measure what is beside the steps, too")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as cache:
        data, rows, learner = rebuild(given.run, cache)
        began = time.monotonic()
        size, device = learner.stored, learner.device
        feed = open_feed(data.train.paths, learner.config, size, device, "training photos", data.channels)
        decoding = time.monotonic() - began
        batch = next(learner.varied(feed, [rows[: learner.config.batch_size]]))
        seconds = step_seconds(learner, batch, given.steps)
        found = {"decoded": len(data.train.paths), "decoding": decoding, "batch": len(batch[0]), "step": seconds}
        if given.feeds:
            found |= feeds(learner, feed, rows[: len(rows) // len(batch[0]) * len(batch[0])], given.steps)
        feed.close()
    print(json.dumps(found), flush=True)


def rebuild(run: Path, cache: str) -> tuple[Data, np.ndarray, Learner]:
    """What the trial of the folder `run` had at its start: its data, the rows it trained on, its learner."""
    summary = json.loads((run / "summary.json").read_text())
    config = restore(run / "config.json", cache_dir=cache)
    config = replace(config, precision=summary["precision"], compile=summary["compile"])
    if config.threads:
        torch.set_num_threads(config.threads)
    data = read(config.data_dir, config.dataset, config.values())
    config = fitted(config, data)
    rows = divide(config, data).train
    return data, rows, prepare(config, data, rows, Team(), choose_device(config.device))


def step_seconds(learner: Learner, batch: tuple[torch.Tensor, torch.Tensor, list[int]], steps: int) -> float:
    """Seconds of one training step on `batch`, after two that warm up."""

    def again(count: int) -> Iterator[tuple[torch.Tensor, torch.Tensor, list[int]]]:
        return (batch for _ in range(count))

    def train(count: int) -> None:
        # reads the losses once, after all steps, so a GPU is done when it returns
        train_epoch(learner.stepper, again(count), lambda step: learner.config.lr, lambda done, loss: None, count)

    train(2)
    began = time.monotonic()
    train(steps)
    return (time.monotonic() - began) / steps


def feeds(learner: Learner, feed: Feed, rows: np.ndarray, steps: int) -> dict[str, float]:
    """Images per second of an epoch of whole batches from device memory and from pinned memory; the busy share."""
    some = rows[: steps * learner.config.batch_size]
    learner.train(feed, some, 1)
    found = {"busy": busy_share(learner, feed, some)}
    if feed.resident is not None:
        found["resident"] = learner.train(feed, rows, 1)["images_per_second"]
        feed.resident = None  # from here on batches are copied ahead
        learner.train(feed, some, 1)
    return found | {"copied": learner.train(feed, rows, 1)["images_per_second"]}


def busy_share(learner: Learner, feed: Feed, rows: np.ndarray) -> float:
    """Share of the time in which at least one kernel runs while training on `rows`; copies are no kernels."""
    on_gpu = learner.device.type == "cuda"
    with profile(activities=[ProfilerActivity.CUDA if on_gpu else ProfilerActivity.CPU]) as profiled:
        learner.train(feed, rows, 1)
    kind = DeviceType.CUDA if on_gpu else DeviceType.CPU
    spans = [
        (event.time_range.start, event.time_range.end)
        for event in profiled.events()
        if event.device_type == kind
        and not event.is_user_annotation
        and not event.name.startswith(("Memcpy", "Memset"))
    ]
    return covered(spans)


def covered(spans: list[tuple[float, float]]) -> float:
    """The share of the time from the first start to the last end that the spans cover together."""
    spans = sorted(spans)
    total, reached = 0.0, spans[0][0]
    for start, end in spans:
        total += max(end - max(start, reached), 0.0)
        reached = max(reached, end)
    return total / (reached - spans[0][0])


if __name__ == "__main__":
    main()
