"""One pass over photos: train_epoch and predict, the only places that run a model."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from cache import Store

LOG_SECONDS = 10.0
FULL = ("allocate memory", "bad_alloc", "ALLOC_FAILED")  # in the text of a RuntimeError: torch on a CPU, cuDNN, cuBLAS
Batches = list[np.ndarray]  # rows of each batch


class MemoryFullError(Exception):
    """A step of training or prediction did not fit into the memory."""


def memory_is_full(error: BaseException) -> bool:
    kinds = (MemoryError, torch.OutOfMemoryError, MemoryFullError)
    return isinstance(error, kinds) or (isinstance(error, RuntimeError) and any(mark in str(error) for mark in FULL))


@contextmanager
def memory_watched() -> Iterator[None]:
    """Raises MemoryFullError where the memory runs full inside the block."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if memory_is_full(error):
            raise MemoryFullError(str(error) or type(error).__name__) from error
        raise


def choose_device(name: str) -> torch.device:
    """`auto` is the GPU where there is one. Raises ValueError for a GPU that is not there."""
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("--device cuda: torch sees no GPU here; pass --device cpu or auto")
    return torch.device("cuda" if name == "auto" and torch.cuda.is_available() else name.replace("auto", "cpu"))


def shuffled(rows: np.ndarray, batch_size: int, generator: torch.Generator) -> Batches:
    """`rows` in random order, in batches of at most batch_size whose sizes differ by one at most.

    So no photo is dropped and no batch is a lone photo, which batch normalisation could not use.
    """
    order = torch.randperm(len(rows), generator=generator).numpy()
    return np.array_split(rows[order], math.ceil(len(rows) / batch_size))


def in_order(rows: np.ndarray, batch_size: int) -> Batches:
    return [rows[start : start + batch_size] for start in range(0, len(rows), batch_size)]


def feed(
    store: Store, batches: Batches, transform: Callable[[Tensor], Tensor], device: torch.device
) -> Iterator[Tensor]:
    """Each batch of photos on `device` as transform(uint8 (B, 3, H, W)) gives it, channels last in memory."""
    for rows in batches:
        yield transform(store.batch(rows).to(device)).contiguous(memory_format=torch.channels_last)


def normaliser(mean: tuple[float, ...], std: tuple[float, ...], device: torch.device) -> Callable[[Tensor], Tensor]:
    """Photos (B, C, H, W) in [0, 1] -> (photos - mean) / std, per channel."""
    centre, spread = (torch.tensor(values, device=device).view(1, -1, 1, 1) for values in (mean, std))
    return lambda photos: (photos - centre) / spread


def pieces(count: int, micro_batch: int) -> int:
    """Into how many pieces of at most micro_batch, but at least 2, photos a batch of `count` is split; 0 is whole."""
    return min(math.ceil(count / micro_batch), max(count // 2, 1)) if micro_batch else 1


def gradients(
    model: nn.Module, batch: Tensor, target: Tensor, criterion: Callable[[Tensor, Tensor], Tensor], micro_batch: int
) -> Tensor:
    """Adds the gradients of the batch's mean loss, a piece of it at a time; returns that loss.

    They are those of the whole batch, to rounding, where the criterion is a mean over photos (f1 is not) and no
    layer looks across them (batch normalisation does) or draws random numbers.
    """
    total = torch.zeros((), device=batch.device)
    count = pieces(len(batch), micro_batch)
    for part, wanted in zip(batch.tensor_split(count), target.tensor_split(count), strict=True):
        loss = criterion(model(part), wanted) * (len(part) / len(batch))
        loss.backward()
        total += loss.detach()
    return total


@memory_watched()
def train_epoch(
    model: nn.Module,
    photos: Iterator[Tensor],
    targets: Iterator[Tensor],
    criterion: Callable[[Tensor, Tensor], Tensor],
    optimizer: torch.optim.Optimizer,
    learning_rate: Callable[[int], float],
    watch: Callable[[int, float], None],
    log_interval: int,
    micro_batch: int = 0,
) -> float:
    """One epoch; returns the mean loss over its steps.

    learning_rate(step) is asked before each step; watch(steps done, mean loss since the last call) is
    told every log_interval steps, or after LOG_SECONDS. Raises FloatingPointError once the loss is not finite,
    and MemoryFullError.
    """
    model.train()
    losses, since, told = [], 0, time.monotonic()
    for step, (batch, target) in enumerate(zip(photos, targets, strict=True)):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step)
        optimizer.zero_grad(set_to_none=True)
        losses.append(gradients(model, batch, target, criterion, micro_batch))
        optimizer.step()
        now = time.monotonic()
        if len(losses) - since == log_interval or now - told > LOG_SECONDS:
            # only here is a loss looked at, so that a GPU is not made to wait at every step
            watch(len(losses), finite_mean(losses[since:]))
            since, told = len(losses), now
    finite_mean(losses[since:] or losses[-1:])
    return torch.stack(losses).mean().item()


def finite_mean(losses: list[Tensor]) -> float:
    mean = torch.stack(losses).mean().item()
    if not math.isfinite(mean):
        raise FloatingPointError(f"the loss became {mean}")
    return mean


@memory_watched()
@torch.inference_mode()
def predict(model: nn.Module, photos: Iterator[Tensor], watch: Callable[[int], None]) -> np.ndarray:
    """Logits (N, K), float32, in the order of `photos`; watch(photos done) after each batch.

    Raises FloatingPointError where a logit is not finite, and MemoryFullError.
    """
    model.eval()
    logits, done = [], 0
    for batch in photos:
        logits.append(model(batch).float().cpu())
        done += len(batch)
        watch(done)
    joined = torch.cat(logits).numpy()
    if not np.isfinite(joined).all():
        raise FloatingPointError("the model predicts values that are not finite")
    return joined
