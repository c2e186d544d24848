"""The learner: a model and all that an epoch of training or a prediction needs beside the photos."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from augment import Augmentation, build_augmentation, evaluation_view, stored_size
from config import Config
from dataset import Data
from draws import Draws
from engine import Stepper, normaliser, predict, train_epoch
from feed import Batches, Feed, in_order, shuffled
from loss import CRITERIA, balanced_weights
from memory import Pieces
from mix import Mix, build_mix
from model import build_model, read_weights, try_on
from optim import SCHEDULES, Schedule, build_optimizer, schedule_name
from progress import Progress, duration
from task import Task
from team import Team
from views import VIEWS, ViewSet


@dataclass
class Learner:
    config: Config
    task: Task
    device: torch.device
    team: Team
    generator: torch.Generator  # order and augmentation; on the CPU, so that a GPU draws the same
    model: nn.Module
    stepper: Stepper
    schedule: Schedule
    augmentation: Augmentation
    mix: Mix | None
    normalise: Callable[[Tensor], Tensor]
    views: ViewSet
    predicted: Pieces  # photos of a prediction step that pass the model at once
    targets: Tensor  # (N, K), on the device
    first: int = 1  # the first epoch of this process, more than 1 after a resume
    started: float | None = None  # when that began, in seconds of the monotonic clock

    @property
    def stored(self) -> tuple[int, int]:
        """Height and width of the photos in the store."""
        return stored_size(self.config.resize, self.augmentation.margin)

    def train(self, feed: Feed, rows: np.ndarray, epoch: int) -> dict[str, float]:
        """Epoch `epoch`, from 1: its history entries."""
        self.team.order("train", label=feed.label, rows=rows, epoch=epoch, generator=self.generator.get_state())
        if self.team.size > 1:  # each its own dropout, the same when a trial goes on
            torch.manual_seed((self.config.seed * 1_000_003 + epoch) * 1_009 + self.team.rank)
        self.stepper.pieces.spare = feed.leave_device
        batches = shuffled(rows, self.config.batch_size, self.generator)
        watch = self.teller(epoch, batches)
        began = time.monotonic()
        self.started = self.started or began
        loss = train_epoch(
            self.stepper,
            self.varied(feed, batches),
            lambda step: self.config.lr * self.schedule(epoch - 1 + step / len(batches)),
            watch,
            self.config.log_interval,
        )
        seconds = time.monotonic() - began
        rate = self.stepper.optimizer.param_groups[0]["lr"]
        row = {"train_loss": loss, "lr": rate, "seconds": seconds, "images_per_second": len(rows) / seconds}
        return row | ({"micro_batch": self.stepper.pieces.most} if self.stepper.pieces.most else {})

    def varied(self, feed: Feed, batches: Batches) -> Iterator[tuple[Tensor, Tensor, list[int]]]:
        """This process's share of each batch, augmented, mixed and normalised, as Stepper.step() takes it."""
        shares = [self.team.shares(len(rows)) for rows in batches]
        own = [rows[share[self.team.rank]] for rows, share in zip(batches, shares, strict=True)]
        for photos, rows, whole, share in zip(feed.batches(own), own, batches, shares, strict=True):
            draws = Draws(self.generator, len(whole), share[self.team.rank])
            varied = self.augmentation.vary(photos, draws)
            target = self.targets[torch.from_numpy(rows).to(self.device, non_blocking=True)]
            if self.mix:
                varied, target = self.mix(varied, target, draws)
            yield self.normalise(varied), target, [part.stop - part.start for part in share]

    def predict(self, feed: Feed, rows: np.ndarray, what: str) -> np.ndarray:
        """Probabilities (N, K) of `rows` in the evaluation view, the mean over the views; `what` names it."""
        shared = len(rows) >= self.team.size
        if shared:
            self.team.order("predict", label=feed.label, rows=rows, what=what)
        parts = np.array_split(rows, self.team.size) if shared else [rows]
        own = parts[self.team.rank if shared else 0]
        self.predicted.spare = feed.leave_device
        photos = feed.batches(in_order(own, self.config.valid_batch_size))
        logits = predict(
            self.model,
            (self.normalise(evaluation_view(batch, self.config.resize)) for batch in photos),
            self.views,
            self.config.precision,
            self.predicted,
            Progress(what, len(own), "photos", every=10).show,
        )
        if shared:
            joined = self.team.joined(torch.from_numpy(logits).transpose(0, 1).to(self.device), list(map(len, parts)))
            logits = joined.transpose(0, 1).cpu().numpy()
        return np.mean([self.task.activate(view) for view in logits], axis=0)

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
                f"{self.stepper.optimizer.param_groups[0]['lr']:.3g}, {rate:.0f} images/s, {duration(to_go)} to go",
                flush=True,
            )

        return tell

    def load(self, weights: Path) -> None:
        """Puts the state_dict in the file `weights` into the model."""
        self.team.order("load", weights=weights)
        self.model.load_state_dict(read_weights(weights))

    def state(self, epoch: int) -> dict[str, Any]:
        """All that a resumed trial needs, as tensors and numbers. The schedule is a function of the epoch."""
        return {
            "epoch": epoch,
            "model": self.model.state_dict(),
            "optimizer": self.stepper.optimizer.state_dict(),
            "scaler": self.stepper.scaler.state_dict(),
            "micro_batch": self.stepper.pieces.most,
            "generator": self.generator.get_state(),
            "torch_generator": torch.get_rng_state(),
            "cuda_generators": torch.cuda.get_rng_state_all() if self.device.type == "cuda" else [],
        }

    def restore(self, file: Path) -> dict[str, Any]:
        """Goes back to where state() was taken and saved in `file`, to go on with the epoch after it; returns it."""
        self.team.order("restore", file=file)
        state = torch.load(file, map_location="cpu", weights_only=True)
        self.model.load_state_dict(state["model"])
        self.stepper.optimizer.load_state_dict(state["optimizer"])
        self.stepper.scaler.load_state_dict(state["scaler"])
        self.stepper.pieces.most = state["micro_batch"]
        self.generator.set_state(state["generator"])
        torch.set_rng_state(state["torch_generator"])
        if self.device.type == "cuda":  # none are stored by a CPU; another machine may have fewer GPUs
            torch.cuda.set_rng_state_all(state["cuda_generators"][: torch.cuda.device_count()])
        self.first = state["epoch"] + 1
        return state


def prepare(config: Config, data: Data, rows: np.ndarray, team: Team, device: torch.device) -> Learner:
    """A learner at its start; `rows` are those it will train on, from which class weights come.

    precision and compile of `config` are settled: neither is auto.
    """
    torch.manual_seed(config.seed)
    model = build_model(config.model, data.task.size, config.values())
    model = model.to(device, memory_format=torch.channels_last)
    try_on(model, config.model, config.resize, device)
    targets = torch.from_numpy(data.train.target)
    balanced = config.class_weights == "balanced"
    weights = balanced_weights(targets[rows]) if balanced else torch.ones(data.task.size)
    knobs = config.values() | {"weights": weights}
    return Learner(
        config=config,
        task=data.task,
        device=device,
        team=team,
        generator=torch.Generator().manual_seed(config.seed),
        model=model,
        stepper=Stepper(
            model=torch.compile(model) if config.compile == "true" and team.size == 1 else team.wrapped(model, device),
            criterion=CRITERIA.build(config.criterion, knobs),
            optimizer=build_optimizer(config.optimizer, list(model.parameters()), knobs),
            scaler=torch.amp.GradScaler(device.type, enabled=config.precision == "fp16"),
            precision=config.precision,
            pieces=Pieces(config.micro_batch, "training"),
            team=team,
        ),
        schedule=SCHEDULES.build(schedule_name(config.schedule, config.lr_decay_step), knobs),
        augmentation=build_augmentation(config.augmentation, knobs),
        mix=build_mix(knobs),
        normalise=normaliser(config.mean, config.std, device),
        views=VIEWS.build(config.views, knobs),
        predicted=Pieces(0, "predicting"),
        targets=targets.to(device),
    )
