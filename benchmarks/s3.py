"""S3's way of training, from weights: one photo at a time by PIL, NCHW, float32, its own loop. One run of it.

    python benchmarks/s3.py DATA WEIGHTS [--seed 0] [--epochs 3]

WEIGHTS is the file that benchmarks/lite0.py writes. Trains and validates on the people that a trial of this project
does, and prints one line of JSON at the end: the scores of the best epoch, chosen on the validation people as a trial
chooses its own.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors.torch import load_file
from sklearn.metrics import accuracy_score, f1_score
from torch import nn
from torch.utils.data import DataLoader

HOME = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(HOME / "baseline")]  # before benchmarks/trial.py

from subset import divide
from ways import Photos, s3_look

SIDE, BATCH, LR, WEIGHT_DECAY, CLASSES = 112, 32, 2e-3, 5e-5, 18
HALF = (0.5, 0.5, 0.5)
Result = dict[str, Any]  # macro_f1 and accuracy of the best epoch, images_per_second of training, precision


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=3)
    given = parser.parse_args()
    torch.manual_seed(given.seed)
    model = lite0(given.weights)
    training, validating = loaders(given.data)
    print(json.dumps(train_model(model, training, validating, given.epochs)), flush=True)


def loaders(data: Path) -> tuple[DataLoader, DataLoader]:
    train, folds = divide(data)
    labels = train.target.argmax(axis=1)
    look = s3_look(SIDE, crop=False, mean=HALF, std=HALF)

    def photos(rows: Any) -> Photos:
        return Photos([train.paths[row] for row in rows], labels[rows].tolist(), look)

    training = DataLoader(photos(folds.train), BATCH, shuffle=True, num_workers=2)
    return training, DataLoader(photos(folds.validation), 256, num_workers=2)


def train_model(model: nn.Module, training: DataLoader, validating: DataLoader, epochs: int) -> Result:
    optimizer = torch.optim.Adam(model.parameters(), lr=LR, weight_decay=WEIGHT_DECAY)
    steps = len(training)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: cosine(step / steps, epochs))
    criterion, best, seconds = nn.CrossEntropyLoss(), {"macro_f1": -1.0}, 0.0
    for epoch in range(1, epochs + 1):
        model.train()
        began = time.monotonic()
        for photos, wanted in training:
            optimizer.zero_grad()
            loss = criterion(model(photos), wanted)
            loss.backward()
            optimizer.step()
            schedule.step()
        seconds += time.monotonic() - began
        model.eval()
        with torch.inference_mode():
            decided = torch.cat([model(photos).argmax(dim=1) for photos, _ in validating]).numpy()
        scores = score(validating.dataset.labels, decided)
        print(f"epoch {epoch}/{epochs}: macro F1 {scores['macro_f1']:.4f}, {seconds:.0f} s of training", flush=True)
        best = max(best, scores, key=lambda one: one["macro_f1"])
    return best | {"images_per_second": epochs * len(training.dataset) / seconds, "precision": "float32"}


def lite0(weights: Path) -> nn.Module:
    """timm's model in its own memory format, with all the tensors of `weights` but the last layer's."""
    model = timm.create_model("tf_efficientnet_lite0", num_classes=CLASSES)
    state = {name: tensor for name, tensor in load_file(weights).items() if not name.startswith("classifier.")}
    missing, unknown = model.load_state_dict(state, strict=False)
    if set(missing) != {"classifier.weight", "classifier.bias"} or unknown:
        sys.exit(f"error: {weights} does not fit: {missing} are missing, {unknown} unknown")
    return model


def cosine(epoch: float, epochs: int) -> float:
    """The share of the peak learning rate: a linear rise over one epoch, then half a cosine to 0."""
    rise = min(1.0, epochs / 2)
    if epoch < rise:
        return max(epoch / rise, 0.01)
    return 0.5 * (1 + math.cos(math.pi * (epoch - rise) / (epochs - rise)))


def score(truth: Any, decided: Any) -> dict[str, float]:
    macro = f1_score(truth, decided, labels=range(CLASSES), average="macro", zero_division=0)
    return {"macro_f1": float(macro), "accuracy": float(accuracy_score(truth, decided))}


if __name__ == "__main__":
    main()
