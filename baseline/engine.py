"""One pass over photos: train_epoch and predict, the only places that run a model."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from cache import Store

LOG_SECONDS = 10.0
Batches = list[np.ndarray]  # rows of each batch


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


def train_epoch(
    model: nn.Module,
    photos: Iterator[Tensor],
    targets: Iterator[Tensor],
    criterion: Callable[[Tensor, Tensor], Tensor],
    optimizer: torch.optim.Optimizer,
    learning_rate: Callable[[int], float],
    watch: Callable[[int, float], None],
    log_interval: int,
) -> float:
    """One epoch; returns the mean loss over its steps.

    learning_rate(step) is asked before each step; watch(steps done, mean loss since the last call) is
    told every log_interval steps, or after LOG_SECONDS. Raises FloatingPointError once the loss is not finite.
    """
    model.train()
    losses, since, told = [], 0, time.monotonic()
    for step, (batch, target) in enumerate(zip(photos, targets, strict=True)):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step)
        loss = criterion(model(batch), target)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
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


@torch.inference_mode()
def predict(model: nn.Module, photos: Iterator[Tensor], watch: Callable[[int], None]) -> np.ndarray:
    """Logits (N, K), float32, in the order of `photos`; watch(photos done) after each batch.

    Raises FloatingPointError where a logit is not finite.
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
