"""Heads trained on frozen features: what of a trial is left when its trunk does not learn, so that it takes seconds.

The trunk is EfficientNet-Lite0 with its ImageNet weights. Training photos pass it several times, varied anew by each of
the augmentations of a search; validation photos pass it once, as they are.
"""

from __future__ import annotations

import itertools
import math
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

HOME = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(HOME / "baseline")]  # before benchmarks/augment.py

from augment import build_augmentation, evaluation_view
from config import Config
from dataset import read
from draws import Draws
from engine import normaliser
from feed import Feed, in_order, open_feed, shuffled
from folds import divide
from loss import build_loss
from metrics import METRICS
from optim import SCHEDULES, build_optimizer
from progress import Progress
from run import atomic
from samples import Data, fitted
from task import Task, one_hot

SIDE, HALF, BATCH, PASSES = 112, (0.5, 0.5, 0.5), 64, 3  # pixels; photos; times that a training photo is varied
HIDDEN = {"linear": 0, "mlp128": 128, "mlp256": 256}  # units between the features and the classes
GRID = {  # S3's search space, its models replaced by heads, and learning rates on both sides of and between S3's
    "model": tuple(HIDDEN),
    "batch_size": (8, 16, 32, 64, 128),
    "lr": (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1),
    "criterion": ("cross_entropy", "focal", "label_smoothing", "f1"),
    "augmentation": ("BaseAugmentation", "AffineAugmentation", "GaussianAugmentation"),
}
Curve = dict[str, Any]  # macro_f1 and accuracy of each epoch that ended, its CPU seconds, whether the loss was finite


@dataclass(frozen=True)
class Features:
    """T training and V validation photos of fold 0. A pass is (T, F) float32; one suffices where nothing varies."""

    passes: dict[str, Tensor]  # (passes, T, F) by augmentation
    validation: Tensor  # (V, F)
    target: Tensor  # (T, K)
    truth: np.ndarray  # (V, K) bool
    task: Task
    origin: dict[str, str]  # fingerprint of the data, hash of the folds


def extract(root: Path, weights: Path, kept: Path) -> Features:
    """The features of the data at `root`, from the file `kept` where that has them."""
    config = Config(data_dir=str(root), resize=(SIDE, SIDE), crop=0, mean=HALF, std=HALF)
    data = read(config.data_dir, config.dataset, config.values())
    config = fitted(config, data)
    split = divide(config, data)
    origin = {"data": data.fingerprint(), "folds": split.hash}
    if not kept.is_file():
        arrays = compute(config, data, split.train, split.validation, weights)
        atomic(kept, lambda file: torch.save(arrays | origin, file))
    found = torch.load(kept, weights_only=True)
    if {name: found[name] for name in origin} != origin:
        raise ValueError(f"{kept} is of other photos or folds; remove it")
    target = torch.from_numpy(data.train.target)
    return Features(
        passes={name: found[name] for name in GRID["augmentation"]},
        validation=found["validation"],
        target=target[split.train],
        truth=data.truth[split.validation] > 0.5,
        task=data.task,
        origin=origin,
    )


def compute(config: Config, data: Data, train: np.ndarray, validation: np.ndarray, weights: Path) -> dict[str, Tensor]:
    import timm
    from safetensors.torch import load_file

    trunk = timm.create_model("tf_efficientnet_lite0")
    trunk.load_state_dict(load_file(weights))
    trunk.reset_classifier(0)  # what is left gives the mean over the photo, F = 1280
    trunk.eval().to(memory_format=torch.channels_last)
    normalise = normaliser(config.normalisation, config.mean, config.std, torch.device("cpu"))
    feed = open_feed(data.train.paths, config, config.resize, torch.device("cpu"), "photos", data.channels)
    found = {}
    with torch.inference_mode():
        for name in GRID["augmentation"]:
            times = 1 if name == "BaseAugmentation" else PASSES
            each = [
                torch.cat([trunk(normalise(batch)) for batch in varied(feed, train, replace(config, seed=seed), name)])
                for seed in range(times)
            ]
            found[name] = torch.stack(each)
        plain = (evaluation_view(batch, config.resize) for batch in feed.batches(in_order(validation, BATCH)))
        found["validation"] = torch.cat([trunk(normalise(batch)) for batch in plain])
    feed.close()
    return {name: tensor.clone() for name, tensor in found.items()}  # not inference tensors


def varied(feed: Feed, rows: np.ndarray, config: Config, name: str) -> Iterator[Tensor]:
    """The photos `rows` in order, in batches, each varied once by the augmentation `name`."""
    augmentation = build_augmentation(name, config.values())
    generator = torch.Generator().manual_seed(config.seed)
    progress = Progress(f"{name}, pass {config.seed + 1}", len(rows), "photos", every=10)
    for number, batch in enumerate(feed.batches(in_order(rows, BATCH))):
        yield augmentation.vary(batch, Draws(generator, len(batch)))
        progress.show(min(len(rows), (number + 1) * BATCH))


def settings() -> list[dict[str, Any]]:
    """All configurations of the grid, by knob."""
    return [dict(zip(GRID, values, strict=True)) for values in itertools.product(*GRID.values())]


def train_head(features: Features, chosen: dict[str, Any], epochs: int) -> Curve:
    """The learning curve of a head, of seed 42, with S3's drops of the learning rate at the same shares of the epochs.

    Ends with the epoch in which the loss is no number, as a trial does. Epoch n sees pass n of the varied photos, and
    then the first again. The seconds are of the CPU, so that what else the machine does counts little.
    """
    drops = tuple(drop * epochs / 30 for drop in (10, 20, 25))
    config = Config(**{name: value for name, value in chosen.items() if name != "model"}, lr_drops=drops)
    torch.manual_seed(config.seed)
    head = build_head(HIDDEN[chosen["model"]], features.validation.shape[1], features.task.size)
    optimizer = build_optimizer("Adam", list(head.parameters()), config.values())
    criterion = build_loss(config, features.task, features.target)
    schedule = SCHEDULES.build("drops", config.values())
    generator = torch.Generator().manual_seed(config.seed)
    passes, rows = features.passes[config.augmentation], np.arange(len(features.target))
    curve: Curve = {"macro_f1": [], "accuracy": [], "seconds": [], "failed": False}
    for epoch in range(epochs):
        began, total = time.process_time(), torch.zeros(())
        for group in optimizer.param_groups:
            group["lr"] = config.lr * schedule(epoch, ())
        photos = passes[epoch % len(passes)]
        for batch in shuffled(rows, config.batch_size, generator):
            own = torch.from_numpy(batch)
            optimizer.zero_grad(set_to_none=True)
            loss = criterion(head(photos[own]), features.target[own])
            loss.backward()
            optimizer.step()
            total += loss.detach()
        if not math.isfinite(float(total)):
            return curve | {"failed": True}
        for name, value in judge(head, features).items():
            curve[name].append(value)
        curve["seconds"].append(time.process_time() - began)
    return curve


def build_head(hidden: int, features: int, classes: int) -> nn.Module:
    if not hidden:
        return nn.Linear(features, classes)
    return nn.Sequential(nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, classes))


def judge(head: nn.Module, features: Features) -> dict[str, float]:
    """Validation scores by name, as a trial has them."""
    with torch.inference_mode():
        answers = head(features.validation).argmax(dim=1).numpy()
    decided = one_hot(answers, features.task.size) > 0
    return {name: METRICS[name](decided, features.truth) for name in ("macro_f1", "accuracy")}
