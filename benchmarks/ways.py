"""How others train: S3's way, and loops like torchvision's reference and timm's train.py. One run of one of them.

    python benchmarks/ways.py {s3,torchvision,timm} PHOTOS --model resnet18 --side 128 --epochs 2

PHOTOS holds train/CLASS/ and validation/CLASS/ (benchmarks/subset.py). Prints "first step" once that is done, and at
the end one line of JSON: the photos and the seconds of each epoch's training. All are NCHW float32 on the CPU, from
random weights; after each epoch the validation photos pass the model.

s3           every photo opened by PIL, cropped to its middle 350 pixels, resized and normalised alone; DataLoader;
             stock efficientnet-pytorch, or torchvision's model where that has none; Adam
torchvision  references/classification/train.py and presets.py with their defaults: RandomResizedCrop, flip,
             PILToTensor, ConvertImageDtype, Normalize; ImageFolder; SGD with momentum
timm         train.py with its defaults, but colour jitter 0, which no other way is asked for: create_dataset,
             create_loader without the prefetcher (that is for GPUs), create_optimizer_v2, label smoothing
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision import models, transforms
from torchvision.datasets import ImageFolder

CLASSES, CROP = 18, 350
MEAN, STD = (0.548, 0.504, 0.479), (0.237, 0.247, 0.246)
Parts = tuple[nn.Module, torch.optim.Optimizer, nn.Module, Iterable, Iterable]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("way", choices=WAYS)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--model", default="efficientnet_b0", help="torchvision's name (default: %(default)s)")
    parser.add_argument("--side", type=int, default=128, help="pixels")
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--workers", type=int, default=2, help="processes of each loader")
    given = parser.parse_args()
    torch.manual_seed(42)
    print(json.dumps(run(*WAYS[given.way](given), given.epochs)), flush=True)


def run(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    criterion: nn.Module,
    training: Iterable,
    validating: Iterable,
    epochs: int,
) -> dict[str, list[float]]:
    photos, seconds = [], []
    for epoch in range(epochs):
        model.train()
        began, done = time.monotonic(), 0
        for images, wanted in training:
            optimizer.zero_grad()
            loss = criterion(model(images), wanted)
            loss.backward()
            optimizer.step()
            if epoch == done == 0:
                print("first step", flush=True)
            done += len(images)
        photos.append(done)
        seconds.append(time.monotonic() - began)
        model.eval()
        with torch.inference_mode():
            for images, _ in validating:
                model(images)
    return {"photos": photos, "seconds": seconds}


class Photos(Dataset):
    """Photos by path, each opened, cropped, resized and normalised alone every time."""

    def __init__(self, paths: list[Path], labels: list[int], look: Callable[[Image.Image], torch.Tensor]) -> None:
        self.paths, self.labels, self.look = paths, labels, look

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: int) -> tuple[torch.Tensor, int]:
        with Image.open(self.paths[row]) as photo:
            return self.look(photo.convert("RGB")), self.labels[row]


def s3_look(side: int, crop: bool, mean: tuple[float, ...] = MEAN, std: tuple[float, ...] = STD) -> Callable:
    return transforms.Compose(
        [
            *([transforms.CenterCrop(CROP)] if crop else []),
            transforms.Resize((side, side), Image.Resampling.BILINEAR),
            transforms.ToTensor(),
            transforms.Normalize(mean, std),
        ]
    )


def s3(given: argparse.Namespace) -> Parts:
    def photos(part: str) -> Photos:
        paths = sorted((given.photos / part).glob("*/*"))
        with Image.open(paths[0]) as first:
            look = s3_look(given.side, crop=min(first.size) >= CROP)  # smaller ones it would frame in black
        return Photos(paths, [int(path.parent.name) for path in paths], look)

    if given.model.startswith("efficientnet_"):
        from efficientnet_pytorch import EfficientNet

        model = EfficientNet.from_name(given.model.replace("_", "-"), num_classes=CLASSES)
    else:
        model = models.get_model(given.model, num_classes=CLASSES)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, weight_decay=5e-5)
    training = DataLoader(photos("train"), given.batch_size, shuffle=True, num_workers=given.workers)
    validating = DataLoader(photos("validation"), 256, num_workers=given.workers)
    return model, optimizer, nn.CrossEntropyLoss(), training, validating


def torchvision_reference(given: argparse.Namespace) -> Parts:
    as_tensor = [
        transforms.PILToTensor(),
        transforms.ConvertImageDtype(torch.float),
        transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ]
    varied = [transforms.RandomResizedCrop(given.side), transforms.RandomHorizontalFlip()]
    middle = [transforms.Resize(given.side * 256 // 224), transforms.CenterCrop(given.side)]

    def loader(part: str, look: list[Any]) -> DataLoader:
        dataset = ImageFolder(given.photos / part, transforms.Compose([*look, *as_tensor]))
        order = torch.utils.data.RandomSampler if part == "train" else torch.utils.data.SequentialSampler
        return DataLoader(dataset, given.batch_size, sampler=order(dataset), num_workers=given.workers)

    model = models.get_model(given.model, num_classes=CLASSES)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    return model, optimizer, nn.CrossEntropyLoss(), loader("train", varied), loader("validation", middle)


def timm_loop(given: argparse.Namespace) -> Parts:
    from timm import create_model
    from timm.data import create_dataset, create_loader, resolve_data_config
    from timm.loss import LabelSmoothingCrossEntropy
    from timm.optim import create_optimizer_v2

    model = create_model(given.model, num_classes=CLASSES)
    looks = resolve_data_config({"input_size": (3, given.side, given.side)}, model=model)

    def loader(part: str, training: bool) -> Iterable:
        return create_loader(
            create_dataset("", root=given.photos, split=part, is_training=training, batch_size=given.batch_size),
            input_size=looks["input_size"],
            batch_size=given.batch_size,
            is_training=training,
            color_jitter=0.0,
            interpolation="random" if training else looks["interpolation"],
            mean=looks["mean"],
            std=looks["std"],
            crop_pct=looks["crop_pct"],
            num_workers=given.workers,
            use_prefetcher=False,
            device=torch.device("cpu"),
        )

    optimizer = create_optimizer_v2(model, opt="sgd", lr=0.05, momentum=0.9, weight_decay=2e-5)
    return model, optimizer, LabelSmoothingCrossEntropy(0.1), loader("train", True), loader("validation", False)


WAYS: dict[str, Callable[[argparse.Namespace], Parts]] = {
    "s3": s3,
    "torchvision": torchvision_reference,
    "timm": timm_loop,
}


if __name__ == "__main__":
    main()
