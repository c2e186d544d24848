"""The learner: a model and all that an epoch of training or a prediction needs beside the photos."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from augment import Augmentation, build_augmentation, evaluation_view, stored_size
from averaging import Average, build_average, photos_for_statistics
from config import Config
from draws import Draws
from engine import Stepper, normaliser, predict, take_statistics, train_epoch
from feed import Batches, Feed, in_order, shuffled
from loss import build_loss
from memory import Pieces, most_at_once
from mix import Mix, build_mix
from model import build_model, try_on
from optim import SCHEDULES, Schedule, build_optimizer, schedule_name
from pretrained import read_weights
from progress import Progress, duration
from samples import Data
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
    average: Average | None
    first: int = 1  # the first epoch of this process, more than 1 after a resume
    started: float | None = None  # when that began, in seconds of the monotonic clock

    @property
    def judged(self) -> nn.Module:
        """The model that validates, is kept in best.pt and predicts: the average, once there is one."""
        return self.average.model if self.average and self.average.count else self.model

    @property
    def stored(self) -> tuple[int, int]:
        """Height and width of the photos in the store."""
        return stored_size(self.config.resize, self.augmentation.margin)

    def train(self, feed: Feed, rows: np.ndarray, epoch: int, past: Sequence[float] = ()) -> dict[str, float]:
        """Epoch `epoch`, from 1: its history entries; `past` has the objective of each epoch before."""
        given = {"rows": rows, "epoch": epoch, "past": past, "generator": self.generator.get_state()}
        self.team.order("train", label=feed.label, **given)
        if self.average and epoch <= self.average.first:
            self.average.count = 0  # swa: of a trial that was to have fewer epochs, and goes on with more
        if self.team.size > 1:  # each its own dropout, the same when a trial goes on
            torch.manual_seed((self.config.seed * 1_000_003 + epoch) * 1_009 + self.team.rank)
        self.stepper.pieces.spare = feed.leave_device
        batches = shuffled(rows, self.config.batch_size * self.config.accumulation, self.generator)
        watch = self.teller(epoch, batches)
        began = time.monotonic()
        self.started = self.started or began
        loss = train_epoch(
            self.stepper,
            self.varied(feed, batches),
            lambda step: self.config.lr * self.schedule(epoch - 1 + step / len(batches), past),
            watch,
            self.config.log_interval,
        )
        seconds = time.monotonic() - began
        rate = self.stepper.optimizer.param_groups[0]["lr"]
        if self.average and self.average.every == "epoch" and epoch >= self.average.first:
            self.average.join()
            self.take_statistics(feed, rows)
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

    def take_statistics(self, feed: Feed, rows: np.ndarray) -> None:
        """Batch-norm statistics for the average, from some of the training photos `rows` in the evaluation view."""
        most = self.stepper.pieces.most or self.config.batch_size  # so it fits, and a resumed trial takes the same
        batch_size = min(max(most, 2) * self.team.size, self.config.batch_size)
        batches = photos_for_statistics(rows, batch_size, self.config.seed)
        own = [batch[self.team.shares(len(batch))[self.team.rank]] for batch in batches]
        photos = (self.normalise(evaluation_view(batch, self.config.resize)) for batch in feed.batches(own))
        take_statistics(self.average.model, photos, self.config.precision, self.team)
        print(f"swa: epochs in the mean that validates: {self.average.count}", flush=True)

    def predict(self, feed: Feed, rows: np.ndarray, what: str) -> np.ndarray:
        """Probabilities (N, K) of `rows` in the evaluation view, the mean over the views; `what` names it."""
        shared = len(rows) >= self.team.size
        if shared:
            self.team.order("predict", label=feed.label, rows=rows, what=what)
        parts = np.array_split(rows, self.team.size) if shared else [rows]
        own = parts[self.team.rank if shared else 0]
        self.predicted.spare = feed.leave_device
        views = len(self.views(torch.zeros(1, 1, 2, 2)))
        photos = feed.batches(in_order(own, max(1, self.config.valid_batch_size // views)))
        logits = predict(
            self.judged,
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
        """Puts the state_dict in the file `weights` into the model that predicts."""
        self.team.order("load", weights=weights)
        self.judged.load_state_dict(read_weights(weights))

    def state(self, epoch: int) -> dict[str, Any]:
        """All that a resumed trial needs, as tensors and numbers. The schedule is a function of the epoch."""
        average = {"average": self.average.state()} if self.average else {}
        return average | {
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
        if self.average:
            self.average.restore(state["average"])
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
    model = build_model(config.model, data.task.size, config.values(), data.channels)
    model = model.to(device, memory_format=torch.channels_last)
    try_on(model, config.model, config.resize, device, data.channels, data.task.size)
    targets = torch.from_numpy(data.train.target)
    knobs = config.values()
    stepper = Stepper(
        model=torch.compile(model) if config.compile == "true" and team.size == 1 else team.wrapped(model, device),
        criterion=build_loss(config, data.task, targets[rows]),
        optimizer=build_optimizer(config.optimizer, list(model.parameters()), knobs),
        scaler=torch.amp.GradScaler(device.type, enabled=config.precision == "fp16"),
        precision=config.precision,
        pieces=Pieces(most_at_once(config.batch_size, config.accumulation, config.micro_batch, team.size), "training"),
        team=team,
    )
    return Learner(
        config=config,
        task=data.task,
        device=device,
        team=team,
        generator=torch.Generator().manual_seed(config.seed),
        model=model,
        stepper=stepper,
        schedule=SCHEDULES.build(schedule_name(config.schedule, config.lr_decay_step), knobs),
        augmentation=build_augmentation(config.augmentation, knobs),
        mix=build_mix(knobs),
        normalise=normaliser(config.normalisation, config.mean, config.std, device),
        views=VIEWS.build(config.views, knobs),
        predicted=Pieces(0, "predicting"),
        targets=targets.to(device),
        average=averaged(config, model, stepper.optimizer),
    )


def averaged(config: Config, model: nn.Module, optimizer: torch.optim.Optimizer) -> Average | None:
    """The average that --averaging asks for, once `model` has the weights of the team's first process."""
    if config.averaging == "none":
        return None
    average = build_average(config.averaging, model, config.epochs, config.ema_decay, config.swa_last)
    if average.every == "step":
        average.follow(optimizer)
    return average
