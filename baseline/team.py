"""The processes of one trial: this one alone, or one per GPU that share each batch (DistributedDataParallel).

The trial is the first of them. It starts the others (follower.py), tells them through a pipe what to
compute with it, and is the only one that writes files and talks to NNI. A batch's loss, gradients and
batch statistics are those of the whole batch, so the result is that of one process, to rounding.
"""

from __future__ import annotations

import math
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from config import Config
from samples import Data

PATIENCE = timedelta(minutes=30)  # for the slowest of the processes, which may be compiling
LAST_WORDS_SECONDS = 5.0


class Team:
    """`rank` of `size` processes; the first, of rank 0, leads."""

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank, self.size = rank, size
        self.followers: list[subprocess.Popen] = []
        self.ending = False

    def shares(self, count: int) -> list[slice]:
        """Who takes what of `count` photos in a row; shares begin at even places, so that pairs stay together."""
        ends = [round(count * rank / self.size / 2) * 2 for rank in range(self.size)] + [count]
        return [slice(start, end) for start, end in pairwise(ends)]

    def order(self, name: str, **given: Any) -> None:
        """Tells the followers, if there are any, to call their method `name` as this process is about to."""
        for follower in self.followers:
            pickle.dump((name, given), follower.stdin)
            follower.stdin.flush()

    def wrapped(self, model: nn.Module, device: torch.device) -> nn.Module:
        """`model` with gradients that are the mean of the team's; all begin with the first one's weights."""
        if self.size == 1:
            return model
        from torch.nn.parallel import DistributedDataParallel

        devices = [device] if device.type == "cuda" else None
        return JoinedStatistics(DistributedDataParallel(model, devices, gradient_as_bucket_view=True))

    def joined(self, mine: Tensor, lengths: list[int]) -> Tensor:
        """What each process has, (lengths[rank], …), one after the other; gradients reach only this one's part."""
        if self.size == 1:
            return mine
        padded = mine.new_zeros(max(lengths), *mine.shape[1:])
        padded[: len(mine)] = mine.detach()
        parts = [torch.empty_like(padded) for _ in lengths]
        torch.distributed.all_gather(parts, padded)
        parts = [part[:length] for part, length in zip(parts, lengths, strict=True)]
        return torch.cat([*parts[: self.rank], mine, *parts[self.rank + 1 :]])

    def __enter__(self) -> Team:
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        """Ends the followers. Raises ChildProcessError where one that ended too early is the reason of `error`."""
        lost = self.lost(patience=1) if isinstance(error, (RuntimeError, OSError)) else ""
        self.ending = True
        for follower in self.followers:
            with suppress(OSError):
                follower.stdin.close()
            follower.wait()
        if self.followers:
            torch.distributed.destroy_process_group()
        if lost:
            raise ChildProcessError(lost) from error

    def lost(self, patience: float) -> str:
        """Which followers have ended after `patience` seconds, and how; empty if none has."""
        with suppress(subprocess.TimeoutExpired):
            for follower in self.followers:
                follower.wait(patience)
        ended = [follower for follower in self.followers if follower.poll() is not None]
        said = ", ".join(f"process {follower.pid} of this trial ended with {follower.returncode}" for follower in ended)
        return f"{said}; what it said is above" if said else ""


def gather_team(
    processes: int, config: Config, device: torch.device, data: Data, rows: np.ndarray, fail: Callable[[str], None]
) -> Team:
    """A team of `processes`, led by this one, that will train on `rows`. Raises ValueError where it cannot be had.

    fail(reason) is told before this process ends itself, because it waits on its GPU for one that is lost.
    """
    team = Team(0, processes)
    if processes == 1:
        return team
    if device.type == "cuda" and processes > torch.cuda.device_count():
        raise ValueError(f"--processes {processes}: torch sees {torch.cuda.device_count()} GPUs here")
    steps = math.ceil(len(rows) / (config.batch_size * config.accumulation))
    smallest = min(config.batch_size, len(rows) // steps)  # of what passes the model at once
    if smallest < 2 * processes:
        raise ValueError(
            f"--processes {processes}: a batch has {smallest} photos, and each process needs 2; raise --batch_size"
        )
    if config.compile == "true":
        print("note: several processes train without --compile true", flush=True)
    # the weights to start from are the leader's
    # the data as it was read here, for notes beside it may change meanwhile; encode() is a reader's own, and not needed
    known = {"data": replace(data, encode=None), "rows": rows}
    setting = {"config": replace(config, pretrained=False, weights="")} | known
    store = torch.distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    for rank in range(1, processes):
        command = [sys.executable, str(Path(__file__).with_name("follower.py"))]
        follower = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        team.followers.append(follower)
        threading.Thread(target=end_with, args=(follower, team, fail), daemon=True).start()
        pickle.dump(setting | {"rank": rank, "size": processes, "port": store.port}, follower.stdin)
        follower.stdin.flush()
    join(store, 0, processes, device)
    return team


def join(store: torch.distributed.TCPStore, rank: int, size: int, device: torch.device) -> None:
    backend = "nccl" if device.type == "cuda" else "gloo"
    torch.distributed.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=PATIENCE)


def end_with(follower: subprocess.Popen, team: Team, fail: Callable[[str], None]) -> None:
    """Ends this process where a follower ends too early and it does not end by itself: it may wait on its GPU."""
    follower.wait()
    lost = team.lost(patience=LAST_WORDS_SECONDS)
    threading.Event().wait(LAST_WORDS_SECONDS)
    if not team.ending:
        print(f"error: {lost}", flush=True)
        fail(lost)
        os._exit(1)


class JoinedStatistics(nn.Module):
    """Calls `inner` with every batch normalisation over the whole team's batch, whichever class it is of."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, photos: Tensor) -> Tensor:
        with BatchNormMode():
            return self.inner(photos)


def joined_statistics(size: int) -> AbstractContextManager:
    """Where every batch normalisation in training is over the batches of all `size` processes."""
    return BatchNormMode() if size > 1 else nullcontext()


class Total(torch.autograd.Function):
    """The sum over the processes; its gradient is the sum of their gradients."""

    @staticmethod
    def forward(context: Any, mine: Tensor) -> Tensor:
        total = mine.clone()
        torch.distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        return Total.forward(context, gradient)


class BatchNormMode(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        if func is torch.nn.functional.batch_norm and kwargs["training"]:
            return joined_batch_norm(*args, **kwargs)
        return func(*args, **(kwargs or {}))


def joined_batch_norm(
    photos: Tensor,
    mean: Tensor | None,
    variance: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
) -> Tensor:
    """torch's batch_norm of (B, C, …) in training over all processes' photos; updates the running statistics."""
    if photos.device.type == "cuda":
        from torch.nn.modules._functions import SyncBatchNorm

        group = torch.distributed.group.WORLD
        return SyncBatchNorm.apply(photos, weight, bias, mean, variance, eps, momentum, group, group.size())
    others = [axis for axis in range(photos.dim()) if axis != 1]
    shape = [1, -1] + [1] * (photos.dim() - 2)
    exact = photos.to(torch.promote_types(photos.dtype, torch.float32))
    counted = exact.new_full((1,), exact.numel() / exact.shape[1])
    sums = Total.apply(torch.cat([exact.sum(others), counted]))  # torch's SyncBatchNorm is for GPUs alone
    count = sums[-1].detach()
    centred = exact - (sums[:-1] / count).view(shape)
    spread = Total.apply(centred.square().sum(others)) / count
    if mean is not None:
        with torch.no_grad():
            mean.lerp_(sums[:-1] / count, momentum)
            variance.lerp_(spread * count / (count - 1), momentum)
    result = centred * (spread + eps).rsqrt().view(shape)
    if weight is not None:
        result = result * weight.view(shape) + bias.view(shape)
    return result.to(photos.dtype)
