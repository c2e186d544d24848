"""A further process of a trial on several GPUs: computes what the first one (team.py) tells it through a pipe."""

from __future__ import annotations

import os
import pickle
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from engine import choose_device
from feed import Feed, open_feed
from learner import prepare
from team import Team, join


class Follower:
    """What an order may name."""

    def __init__(self, setting: dict[str, Any]) -> None:
        self.config = setting["config"]
        rank, size = setting["rank"], setting["size"]
        device = choose_device(self.config.device)
        if device.type == "cuda":
            torch.cuda.set_device(rank)
            device = torch.device("cuda", rank)
        if self.config.threads:
            torch.set_num_threads(self.config.threads)
        store = torch.distributed.TCPStore("127.0.0.1", setting["port"], is_master=False)
        join(store, rank, size, device)
        self.data = setting["data"]
        self.learner = prepare(self.config, self.data, setting["rows"], Team(rank, size), device)
        self.feeds: dict[str, Feed] = {}

    def restore(self, file: Path) -> None:
        self.learner.restore(file)

    def load(self, weights: Path) -> None:
        self.learner.load(weights)

    def train(self, label: str, rows: np.ndarray, epoch: int, past: Sequence[float], generator: torch.Tensor) -> None:
        self.learner.generator.set_state(generator)
        self.learner.train(self.feed(label), rows, epoch, past)

    def predict(self, label: str, rows: np.ndarray, what: str) -> None:
        self.learner.predict(self.feed(label), rows, what)

    def feed(self, label: str) -> Feed:
        if label not in self.feeds:
            paths = self.data.train.paths if label == "training photos" else self.data.test.paths
            self.feeds[label] = open_feed(
                paths, self.config, self.learner.stored, self.learner.device, label, self.data.channels
            )
        return self.feeds[label]


def listen(orders: queue.Queue) -> None:
    """Takes orders until the pipe ends, as it does when the first process dies: then nothing is left to do."""
    while True:
        try:
            orders.put(pickle.load(sys.stdin.buffer))
        except Exception:  # the end, perhaps within an order
            os._exit(0)


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # what stops the first process ends the pipe
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    orders: queue.Queue = queue.Queue()
    threading.Thread(target=listen, args=(orders,), daemon=True).start()
    try:
        follower = Follower(orders.get())
        while True:
            name, given = orders.get()
            getattr(follower, name)(**given)
    except BaseException:
        traceback.print_exc()
        os._exit(1)  # not sys.exit(), which would wait for the pipe


if __name__ == "__main__":
    main()
