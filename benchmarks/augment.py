"""Milliseconds a batch of each augmentation takes: torchvision one photo at a time, kornia, and this project.

    python benchmarks/augment.py [--rounds 15] [--threads 2] [--out benchmarks/augment.md]

Each starts from a batch as the store holds it (uint8) and ends with floats in [0, 1] as the model takes them, both
channels last, each photo varied by random numbers of its own. The three take turns (A B C A B C …); medians. On the
CPU, and on a GPU if there is one. Beside them what importing each takes after torch: a trial pays for it at its start.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

HOME = Path(__file__).resolve().parent.parent
sys.path[0] = str(HOME / "baseline")  # in place of this folder, whose augment.py would hide the trial's

import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode, v2

from augment import build_augmentation, stored_size
from config import Config
from draws import Draws
from mix import build_mix
from pixels import planes
from profiles import MEAN, STD

WAYS = ("torchvision", "kornia", "this project")
BATCHES = ((32, 128), (64, 224))
MODULES = {"torchvision": "torchvision.transforms.v2", "kornia": "kornia.augmentation", "this project": "augment"}
Way = Callable[[], object]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--out", type=Path, default=HOME / "benchmarks" / "augment.md")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of the CPU")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    lines = [
        "# Augmentation by the batch",
        "",
        f"`python benchmarks/augment.py --rounds {given.rounds} --threads {given.threads}`: milliseconds a batch, from",
        "uint8 as stored to floats as the model takes them, both channels last; medians of turns. torchvision varies",
        "one photo at a time, but mixes a batch by one share; kornia and this project give each photo its own numbers.",
        "",
        *import_table(),
    ]
    for device in devices():
        for count, side in BATCHES:
            lines += table(device, count, side, given.rounds)
    given.out.write_text("\n".join(lines) + "\n")
    print(given.out.read_text())


def devices() -> list[torch.device]:
    return [torch.device(name) for name in ("cpu", "cuda")[: 1 + torch.cuda.is_available()]]


def import_table() -> list[str]:
    rows = [f"| {way} | `{MODULES[way]}` | {import_seconds(MODULES[way]):.2f} |" for way in WAYS]
    return [
        "| way | imports | seconds after `import torch` (`-X importtime`, median of 5) |",
        "|---|---|---|",
        *rows,
        "",
    ]


def import_seconds(module: str) -> float:
    """What importing `module` takes where torch is imported already."""
    found = []
    for _ in range(5):
        command = [sys.executable, "-X", "importtime", "-c", f"import torch, sys; import {module}"]
        told = subprocess.run(command, cwd=HOME / "baseline", check=True, capture_output=True, text=True).stderr
        # self | cumulative | name, the name indented where another import asked for it; packages come before modules
        rows = [line.split("|") for line in told.splitlines() if line.startswith("import time:")]
        names = [".".join(module.split(".")[: depth + 1]) for depth in range(module.count(".") + 1)]
        found.append(sum(int(row[1]) for row in rows if row[2].removeprefix(" ").rstrip() in names) / 1e6)
    return statistics.median(found)


def table(device: torch.device, count: int, side: int, rounds: int) -> list[str]:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU ({platform.machine()})"
    threads = f", {torch.get_num_threads()} threads" if device.type == "cpu" else ""
    lines = [
        f"## {name}{threads}: {count} photos of {side} px",
        "",
        f"| operation | {' | '.join(WAYS)} |",
        "|---|---|---|---|",
    ]
    for operation, ways in operations(device, count, side).items():
        medians = take_turns(ways, rounds, device)
        lines.append(f"| {operation} | {' | '.join(format(medians[way], '.1f') for way in WAYS)} |")
        print(f"{name}, {count} at {side} px: {lines[-1]}", flush=True)
    return [*lines, ""]


def take_turns(ways: dict[str, Way], rounds: int, device: torch.device) -> dict[str, float]:
    """Median milliseconds of each; the first turn warms up and does not count."""
    found: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds + 1):
        for way, run in ways.items():
            wait(device)
            began = time.perf_counter()
            run()
            wait(device)
            found[way].append(1000 * (time.perf_counter() - began))
    return {way: statistics.median(times[1:]) for way, times in found.items()}


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def operations(device: torch.device, count: int, side: int) -> dict[str, dict[str, Way]]:
    """For each operation how each way varies a batch."""
    knobs = Config(resize=(side, side), mean=MEAN, std=STD).values()
    generator = torch.Generator().manual_seed(0)
    twins, rivals = torchvision_twins(knobs), kornia_rivals(knobs)
    found = {}
    for name in twins:
        augmentation = build_augmentation(name, knobs)
        size = stored_size(knobs["resize"], augmentation.margin)
        photos = torch.randint(0, 256, (count, *size, 3), dtype=torch.uint8, device=device).permute(0, 3, 1, 2)
        found[name] = {
            "torchvision": partial(one_by_one, twins[name], photos),
            "kornia": partial(at_once, rivals[name], photos),
            "this project": partial(ours, augmentation.vary, generator, photos),
        }
    return found | mixes(torch.rand(count, 3, side, side, device=device), generator)


def one_by_one(transform: Callable[[Tensor], Tensor], photos: Tensor) -> Tensor:
    return for_model(torch.stack([transform(photo) for photo in photos]))


def at_once(transform: Callable[[Tensor], Tensor], photos: Tensor) -> Tensor:
    return for_model(transform(planes(photos)))


def for_model(photos: Tensor) -> Tensor:
    return photos.contiguous(memory_format=torch.channels_last)


def ours(transform: Callable[..., object], generator: torch.Generator, *batch: Tensor) -> object:
    return transform(*batch, Draws(generator, len(batch[0])))


def torchvision_twins(knobs: dict) -> dict[str, Callable[[Tensor], Tensor]]:
    to_float = v2.ToDtype(torch.float32, scale=True)
    shear, scale, jitter = knobs["shear"], knobs["scale"], knobs["jitter"]
    affine = v2.RandomAffine(0, shear=shear, scale=scale, interpolation=InterpolationMode.BILINEAR)
    colours, noise = v2.ColorJitter(jitter, jitter, jitter, jitter), v2.GaussianNoise(sigma=knobs["noise_std"])
    return {
        "crop": v2.Compose([v2.RandomCrop(knobs["resize"]), to_float]),
        "flip": v2.Compose([v2.RandomHorizontalFlip(), to_float]),
        "affine": v2.Compose([affine, to_float]),
        "jitter": v2.Compose([colours, to_float]),
        "noise": v2.Compose([to_float, noise]),
        "blur": v2.Compose([v2.GaussianBlur(13, knobs["blur_sigma"]), to_float]),
        "erasing": v2.Compose([to_float, v2.RandomErasing(scale=knobs["erasing_area"], value=knobs["mean"])]),
        "affine+jitter+noise": v2.Compose([affine, colours, to_float, noise]),
    }


def kornia_rivals(knobs: dict) -> dict[str, Callable[[Tensor], Tensor]]:
    import kornia.augmentation as kornia

    affine = kornia.RandomAffine(0.0, shear=knobs["shear"], scale=knobs["scale"], p=1.0)
    colours = kornia.ColorJitter(*[knobs["jitter"]] * 4, p=1.0)
    noise = kornia.RandomGaussianNoise(std=knobs["noise_std"], p=1.0)
    return {
        "crop": kornia.RandomCrop(knobs["resize"]),
        "flip": kornia.RandomHorizontalFlip(),
        "affine": affine,
        "jitter": colours,
        "noise": noise,
        "blur": kornia.RandomGaussianBlur((13, 13), knobs["blur_sigma"], p=1.0),
        "erasing": kornia.RandomErasing(knobs["erasing_area"], (0.3, 3.3)),
        "affine+jitter+noise": torch.nn.Sequential(affine, colours, noise),
    }


def mixes(photos: Tensor, generator: torch.Generator) -> dict[str, dict[str, Way]]:
    """The same for mixup and cutmix of photos that are floats already."""
    import kornia.augmentation as kornia

    labels = torch.randint(0, 18, (len(photos),), device=photos.device)
    target = torch.nn.functional.one_hot(labels, 18).float()
    twins = {"mixup": v2.MixUp(alpha=1.0, num_classes=18), "cutmix": v2.CutMix(alpha=1.0, num_classes=18)}
    rivals = {"mixup": kornia.RandomMixUpV2, "cutmix": kornia.RandomCutMixV2}
    return {
        name: {
            "torchvision": partial(twin, photos, target),
            "kornia": partial(rivals[name](p=1.0, data_keys=["input", "class"]), photos, labels),
            "this project": partial(
                ours, build_mix({"mixup": 0.0, "cutmix": 0.0, name: 1.0}), generator, photos, target
            ),
        }
        for name, twin in twins.items()
    }


if __name__ == "__main__":
    main()
