"""The learner: a model and all that an epoch of training or a prediction needs beside the photos."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from augment import AUGMENTATIONS, Augmentation, to_float
from cache import Store
from config import Config
from dataset import Data
from engine import Batches, choose_device, feed, in_order, normaliser, predict, shuffled, train_epoch
from loss import CRITERIA, Loss, balanced_weights
from model import build_model
from optim import SCHEDULES, Schedule, build_optimizer, schedule_name
from progress import Progress, duration


@dataclass
class Learner:
    config: Config
    device: torch.device
    generator: torch.Generator  # order and augmentation; on the CPU, so that a GPU draws the same
    model: nn.Module
    criterion: Loss
    optimizer: torch.optim.Optimizer
    schedule: Schedule
    augment: Augmentation
    normalise: Callable[[torch.Tensor], torch.Tensor]
    targets: torch.Tensor  # (N, K), on the device
    first: int = 1  # the first epoch of this process, more than 1 after a resume
    started: float | None = None  # when that began, in seconds of the monotonic clock

    def train(self, store: Store, rows: np.ndarray, epoch: int) -> dict[str, float]:
        """Epoch `epoch`, from 1: its history entries."""
        batches = shuffled(rows, self.config.batch_size, self.generator)
        watch = self.teller(epoch, batches)
        began = time.monotonic()
        self.started = self.started or began
        loss = train_epoch(
            self.model,
            feed(store, batches, lambda photos: self.normalise(self.augment(photos, self.generator)), self.device),
            (self.targets[batch] for batch in batches),
            self.criterion,
            self.optimizer,
            lambda step: self.config.lr * self.schedule(epoch - 1 + step / len(batches)),
            watch,
            self.config.log_interval,
            self.config.micro_batch,
        )
        seconds = time.monotonic() - began
        rate = self.optimizer.param_groups[0]["lr"]
        return {"train_loss": loss, "lr": rate, "seconds": seconds, "images_per_second": len(rows) / seconds}

    def predict(self, store: Store, rows: np.ndarray) -> np.ndarray:
        """Logits (N, K) of `rows` with the evaluation transform."""
        batches = in_order(rows, self.config.valid_batch_size)
        photos = feed(store, batches, lambda photos: self.normalise(to_float(photos)), self.device)
        return predict(self.model, photos, Progress("validating", len(rows), "photos", every=10).show)

    def teller(self, epoch: int, batches: Batches) -> Callable[[int, float], None]:
        """A watch() that prints where the trial stands and how long it still takes."""
        began, total, steps = time.monotonic(), self.config.epochs, len(batches)
        before = epoch - self.first  # epochs that this process has done

        def tell(done: int, loss: float) -> None:
            now = time.monotonic()
            rate = sum(map(len, batches[:done])) / (now - began)
            to_go = (now - self.started) / (before + done / steps) * (total - epoch + 1 - done / steps)
            print(
                f"epoch {epoch}/{total} step {done}/{steps} loss {loss:.4f} lr "
                f"{self.optimizer.param_groups[0]['lr']:.3g}, {rate:.0f} images/s, {duration(to_go)} to go",
                flush=True,
            )

        return tell

    def state(self, epoch: int) -> dict[str, Any]:
        """All that a resumed trial needs, as tensors and numbers. The schedule is a function of the epoch."""
        return {
            "epoch": epoch,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
            "torch_generator": torch.get_rng_state(),
            "cuda_generators": torch.cuda.get_rng_state_all() if self.device.type == "cuda" else [],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Goes back to where state() was taken, to go on with the epoch after it."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"])
        torch.set_rng_state(state["torch_generator"])
        if self.device.type == "cuda":  # none are stored by a CPU; another machine may have fewer GPUs
            torch.cuda.set_rng_state_all(state["cuda_generators"][: torch.cuda.device_count()])
        self.first = state["epoch"] + 1


def prepare(config: Config, data: Data, rows: np.ndarray) -> Learner:
    """A learner at its start; `rows` are those it will train on, from which class weights come."""
    device = choose_device(config.device)
    torch.manual_seed(config.seed)
    model = build_model(config.model, data.task.size, config.values())
    model = model.to(device, memory_format=torch.channels_last)
    try_on(model, config, device)
    targets = torch.from_numpy(data.train.target)
    balanced = config.class_weights == "balanced"
    weights = balanced_weights(targets[rows]) if balanced else torch.ones(data.task.size)
    knobs = config.values() | {"weights": weights}
    return Learner(
        config=config,
        device=device,
        generator=torch.Generator().manual_seed(config.seed),
        model=model,
        criterion=CRITERIA.build(config.criterion, knobs),
        optimizer=build_optimizer(config.optimizer, list(model.parameters()), knobs),
        schedule=SCHEDULES.build(schedule_name(config.schedule, config.lr_decay_step), knobs),
        augment=AUGMENTATIONS.build(config.augmentation, knobs),
        normalise=normaliser(config.mean, config.std, device),
        targets=targets.to(device),
    )


@torch.inference_mode()
def try_on(model: nn.Module, config: Config, device: torch.device) -> None:
    """Raises ValueError where the model cannot take photos of the configured size."""
    try:
        model.eval()(torch.zeros(2, 3, *config.resize, device=device))
    except (RuntimeError, AssertionError, ValueError) as error:  # each library refuses in its own way
        height, width = config.resize
        raise ValueError(
            f"{config.model} cannot take photos of {height} x {width}: {error}. Change --resize"
        ) from error
