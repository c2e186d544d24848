"""One pass over photos: train_epoch and predict, the only places that run a model."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from loss import Loss
from memory import Pieces
from team import Team, joined_statistics
from views import ViewSet

LOG_SECONDS = 10.0
FLAT = 1e-3  # a quarter of a grey level of 255, which only a channel without a motif falls below
DTYPES = {"float32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def choose_device(name: str) -> torch.device:
    """`auto` is the GPU where there is one. Raises ValueError for a GPU that is not there."""
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("--device cuda: torch sees no GPU here; pass --device cpu or auto")
    torch.backends.cudnn.benchmark = True  # tries the ways to convolve; batches have but two or three sizes
    return torch.device("cuda" if name == "auto" and torch.cuda.is_available() else name.replace("auto", "cpu"))


def normaliser(
    kind: str, mean: tuple[float, ...], std: tuple[float, ...], device: torch.device
) -> Callable[[Tensor], Tensor]:
    """Photos (B, C, H, W) in [0, 1] -> (photos - mean) / std, per channel, channels last in memory.

    mean and std, (C,), are those given where `kind` is channels, and each photo's own where it is photo, std then at
    least FLAT.
    """
    centre, spread = (torch.tensor(values, device=device).view(1, -1, 1, 1) for values in (mean, std))

    def apply(photos: Tensor) -> Tensor:
        if kind == "photo":
            deviation, level = torch.std_mean(photos, (2, 3), correction=0, keepdim=True)
            normal = (photos - level) / deviation.clamp_min(FLAT)
        else:
            normal = (photos - centre) / spread
        return normal.contiguous(memory_format=torch.channels_last)

    return apply


def autocast(device: torch.device, precision: str) -> AbstractContextManager:
    return torch.autocast(device.type, DTYPES[precision], enabled=precision != "float32")


@dataclass
class Stepper:
    """A model and how it takes a step. `model` may be compiled, or share its gradients with a team."""

    model: nn.Module
    criterion: Loss
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler  # of fp16, whose small gradients would vanish; disabled otherwise
    precision: str
    pieces: Pieces
    team: Team

    def step(self, photos: Tensor, target: Tensor, lengths: list[int]) -> Tensor:
        """One optimizer step on this process's part of a batch; returns the whole batch's mean loss.

        photos (b, C, H, W) and target (b, K); lengths[rank] is each process's b.
        """
        together = self.team.size > 1  # one that began the step anew would leave the others waiting
        loss = self.pieces.fitting(max(lengths), lambda most: self.gradients(photos, target, lengths, most), together)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return loss

    def gradients(self, photos: Tensor, target: Tensor, lengths: list[int], most: int) -> Tensor:
        """Sets the gradients of the batch's mean loss, at most `most` photos at a time; returns that loss.

        They are those of the whole batch, to rounding, where the criterion is a mean over photos (f1 is not) and no
        layer looks across them (batch normalisation does) or draws random numbers.
        """
        self.optimizer.zero_grad(set_to_none=True)
        total = torch.zeros((), device=photos.device)
        count = split_count(max(lengths), most)
        parts = zip(photos.tensor_split(count), target.tensor_split(count), strict=True)
        for number, (part, wanted) in enumerate(parts):
            with autocast(photos.device, self.precision):
                logits = self.model(part)
            of_each = [length // count + (number < length % count) for length in lengths]  # as tensor_split does
            logits, wanted = self.team.joined(logits.float(), of_each), self.team.joined(wanted, of_each)
            loss = self.criterion(logits, wanted) * (len(wanted) / sum(lengths))
            self.scaler.scale(loss * self.team.size).backward()  # a team takes the mean of its gradients
            total += loss.detach()
        return total


def split_count(count: int, most: int) -> int:
    """Into how many pieces of at most `most`, but of at least 2 unless most is 1, a batch of `count` is split."""
    return min(math.ceil(count / most), max(count // min(most, 2), 1))


def train_epoch(
    stepper: Stepper,
    batches: Iterator[tuple[Tensor, Tensor, list[int]]],
    learning_rate: Callable[[int], float],
    watch: Callable[[int, float], None],
    log_interval: int,
) -> float:
    """One epoch over batches as Stepper.step() takes them; returns the mean loss over its steps.

    learning_rate(step) is asked before each step; watch(steps done, mean loss since the last call) is
    told every log_interval steps, or after LOG_SECONDS. Raises FloatingPointError once the loss is not finite,
    and MemoryFullError.
    """
    stepper.model.train()
    losses, since, told = [], 0, time.monotonic()
    for step, batch in enumerate(batches):
        for group in stepper.optimizer.param_groups:
            group["lr"] = learning_rate(step)
        losses.append(stepper.step(*batch))
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


@torch.no_grad()
def take_statistics(model: nn.Module, photos: Iterator[Tensor], precision: str, team: Team) -> None:
    """Sets the statistics of each batch normalisation to their mean over the batches `photos`, over the whole team's.

    As torch's update_bn(), but all else is as it predicts: update_bn()'s dropout would draw random numbers, and give
    the layers behind it statistics of what they never see in a prediction. Takes no photo where nothing has statistics.
    """
    norms = [part for part in model.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
    norms = [part for part in norms if part.track_running_stats]
    if not norms:
        return
    model.eval()
    usual = [part.momentum for part in norms]
    for part in norms:
        part.reset_running_stats()
        part.training, part.momentum = True, None  # None is a plain mean
    for batch in photos:
        with autocast(batch.device, precision), joined_statistics(team.size):
            model(batch)
    for part, momentum in zip(norms, usual, strict=True):
        part.training, part.momentum = False, momentum


@torch.inference_mode()
def predict(
    model: nn.Module,
    photos: Iterator[Tensor],
    views: ViewSet,
    precision: str,
    pieces: Pieces,
    watch: Callable[[int], None],
) -> np.ndarray:
    """Logits (V, N, K), float32, of the V views of each of the N photos, in their order, all views in one pass.

    watch(photos done) is told after each batch. Raises FloatingPointError where a logit is not finite, and
    MemoryFullError.
    """
    model.eval()
    logits, done = [], 0
    for batch in photos:
        seen = views(batch)
        shown = torch.cat(seen)

        def forward(most: int, shown: Tensor = shown) -> Tensor:
            with autocast(shown.device, precision):
                return torch.cat([model(part).float().cpu() for part in shown.split(most)])

        logits.append(pieces.fitting(len(shown), forward).unflatten(0, (len(seen), -1)))
        done += len(batch)
        watch(done)
    joined = torch.cat(logits, dim=1).numpy()
    if not np.isfinite(joined).all():
        raise FloatingPointError("the model predicts values that are not finite")
    return joined
