"""Photos decoded once into a memory-mapped uint8 store that the trials of a machine share.

A store is a folder of the cache: photos.npy (N, H, W, 3) and unreadable.json. It is named after
everything its pixels depend on, built under another name, and appears by one rename; so a store that
exists is whole, and of two trials that build the same one the later takes the earlier's.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps

from config import Config
from progress import Progress

VERSION = 1  # raise it when the pixels that decode() gives change


@dataclass(frozen=True)
class Store:
    pixels: np.ndarray  # (N, H, W, 3) uint8; zeros where unreadable
    unreadable: dict[int, str]  # row -> reason

    def batch(self, rows: Sequence[int] | np.ndarray) -> torch.Tensor:
        """Photos of `rows` as uint8 (B, 3, H, W), channels last in memory."""
        return torch.from_numpy(self.pixels[rows]).permute(0, 3, 1, 2)


def open_store(paths: Sequence[Path], config: Config, label: str) -> Store:
    """The store of `paths`, built if it is not there. Photos that cannot be read are listed, not dropped."""
    root = Path(config.cache_dir).expanduser()
    folder = root / key(paths, config.crop, config.resize)
    if not folder.is_dir():
        root.mkdir(parents=True, exist_ok=True)
        make_room(root, config.cache_gib * 2**30 - len(paths) * config.resize[0] * config.resize[1] * 3)
        build(folder, paths, config.crop, config.resize, label)
    os.utime(folder)  # the least recently used go first
    unreadable = json.loads((folder / "unreadable.json").read_text())
    pixels = np.load(folder / "photos.npy", mmap_mode="r")
    return Store(pixels, {int(row): reason for row, reason in unreadable.items()})


def key(paths: Sequence[Path], crop: int, resize: tuple[int, int]) -> str:
    digest = hashlib.sha256(f"{VERSION} {crop} {resize}".encode())
    for path in paths:
        stat = path.stat() if path.is_file() else None
        digest.update(f"\n{path}\t{stat and stat.st_size}\t{stat and stat.st_mtime_ns}".encode())
    return digest.hexdigest()[:24]


def build(folder: Path, paths: Sequence[Path], crop: int, resize: tuple[int, int], label: str) -> None:
    scratch = Path(tempfile.mkdtemp(prefix=".building-", dir=folder.parent))
    try:
        pixels = np.lib.format.open_memmap(scratch / "photos.npy", "w+", np.uint8, (len(paths), *resize, 3))
        unreadable = {}
        progress = Progress(f"decoding {label}", len(paths), "photos")

        def fill(row: int) -> None:
            try:
                pixels[row] = decode(paths[row], crop, resize)
            except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
                unreadable[row] = f"{type(error).__name__}: {error}"

        with ThreadPoolExecutor(os.cpu_count()) as pool:  # Pillow decodes and resizes outside the interpreter's lock
            for done, _ in enumerate(pool.map(fill, range(len(paths))), 1):
                progress.show(done)
        pixels.flush()
        (scratch / "unreadable.json").write_text(json.dumps(dict(sorted(unreadable.items()))))
        try:
            scratch.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def make_room(root: Path, allowed: float) -> None:
    """Removes the least recently used stores until the others fit into `allowed` bytes.

    A store in use stays readable: its pages outlive its name.
    """
    stores = sorted(
        (p for p in root.iterdir() if (p / "photos.npy").is_file() and p.name[0] != "."),
        key=lambda p: p.stat().st_mtime,
    )
    sizes = [(store / "photos.npy").stat().st_size for store in stores]
    while stores and sum(sizes) > allowed:
        print(f"cache: removing {stores[0]}, the least recently used, to stay within --cache_gib", flush=True)
        shutil.rmtree(stores.pop(0))
        sizes.pop(0)


def decode(path: Path, crop: int, resize: tuple[int, int]) -> np.ndarray:
    """One photo as uint8 (H, W, 3): upright, RGB, centre-cropped, resized (bilinear).

    Grey, CMYK, palette, transparent and 16-bit photos become RGB. Raises OSError or ValueError.
    """
    with Image.open(path) as opened:
        photo = to_rgb(ImageOps.exif_transpose(opened))
    width, height = (min(crop, side) if crop else side for side in photo.size)
    left, top = (photo.width - width) // 2, (photo.height - height) // 2
    photo = photo.crop((left, top, left + width, top + height))
    return np.asarray(photo.resize((resize[1], resize[0]), Image.Resampling.BILINEAR))


def to_rgb(photo: Image.Image) -> Image.Image:
    if photo.mode.startswith("I") or photo.mode == "F":
        # convert("RGB") would clip the brightness of 16-bit photos at 255
        levels = np.asarray(photo, dtype=np.float64)
        top = 65535 if levels.max() > 255 else 255
        photo = Image.fromarray(np.clip(levels * 255 / top, 0, 255).round().astype(np.uint8))
    return photo.convert("RGB")
