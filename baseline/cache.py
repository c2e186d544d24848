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
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps

from config import Config
from progress import Progress

LEFT_BEHIND = 24 * 3600  # seconds after which a store still under construction is that of a trial that was killed
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
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"{root} cannot be made ({error.strerror}); pass another --cache_dir") from error
    for _ in range(3):  # another trial may remove a store between its being built and its being opened
        if (store := load(folder)) and not any(readable(paths[row], config) for row in store.unreadable):
            return store
        remove(folder)
        make_room(root, config.cache_gib * 2**30 - len(paths) * config.resize[0] * config.resize[1] * 3)
        build(folder, paths, config, label)
    if store := load(folder):
        return store
    raise ValueError(f"{folder} is removed as soon as it is built; raise --cache_gib or pass another --cache_dir")


def load(folder: Path) -> Store | None:
    try:
        os.utime(folder)  # the least recently used go first
        unreadable = json.loads((folder / "unreadable.json").read_text())
        pixels = np.load(folder / "photos.npy", mmap_mode="r")
    except FileNotFoundError:
        return None
    return Store(pixels, {int(row): reason for row, reason in unreadable.items()})


def readable(path: Path, config: Config) -> bool:
    """Whether a photo that could not be read can be now: a permission or a network disk may have been mended."""
    try:
        decode(path, config.crop, config.resize)
    except Exception:  # as in build
        return False
    return True


def key(paths: Sequence[Path], crop: int, resize: tuple[int, int]) -> str:
    digest = hashlib.sha256(f"{VERSION} {crop} {resize}".encode())
    for path in paths:
        stat = path.stat() if path.is_file() else None
        digest.update(f"\n{path}\t{stat and stat.st_size}\t{stat and stat.st_mtime_ns}".encode())
    return digest.hexdigest()[:24]


def build(folder: Path, paths: Sequence[Path], config: Config, label: str) -> None:
    scratch = Path(tempfile.mkdtemp(prefix=".building-", dir=folder.parent))
    try:
        pixels = reserve(scratch / "photos.npy", (len(paths), *config.resize, 3))
        unreadable = {}
        progress = Progress(f"decoding {label}", len(paths), "photos")

        def fill(row: int) -> None:
            try:
                pixels[row] = decode(paths[row], config.crop, config.resize)
            except MemoryError:
                raise
            except Exception as error:  # Pillow's plugins fail in many ways
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


def reserve(file: Path, shape: tuple[int, ...]) -> np.ndarray:
    """A new array on disk whose space is taken now: a disk that fills up later would end the process by a signal."""
    pixels = np.lib.format.open_memmap(file, "w+", np.uint8, shape)
    try:
        with open(file, "r+b") as opened:
            os.posix_fallocate(opened.fileno(), 0, file.stat().st_size)
    except OSError as error:
        raise ValueError(
            f"{file.parent.parent} has no room for {pixels.nbytes / 2**30:.2f} GiB of decoded photos"
            f" ({error.strerror}); free some, or pass another --cache_dir"
        ) from error
    return pixels


def make_room(root: Path, allowed: float) -> None:
    """Removes the least recently used stores until the others fit into `allowed` bytes.

    A store in use stays readable: its pages outlive its name. What killed trials left behind goes too.
    """
    stores = []
    for folder in root.iterdir():
        with suppress(FileNotFoundError):  # another trial makes room as well
            used = folder.stat().st_mtime
            if folder.name[0] != ".":
                stores.append((used, (folder / "photos.npy").stat().st_size, folder))
            elif time.time() - used > LEFT_BEHIND:
                shutil.rmtree(folder, ignore_errors=True)
    stores.sort()
    while stores and sum(size for _, size, _ in stores) > allowed:
        oldest = stores.pop(0)[2]
        print(f"cache: removing {oldest}, the least recently used, to stay within --cache_gib", flush=True)
        remove(oldest)


def remove(folder: Path) -> None:
    """Takes the name away first, so that no half-removed store is ever found under it."""
    doomed = folder.with_name(f".removing-{folder.name}-{os.getpid()}")
    with suppress(FileNotFoundError):
        folder.rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)


def decode(path: Path, crop: int, resize: tuple[int, int]) -> np.ndarray:
    """One photo as uint8 (H, W, 3): upright, RGB, centre-cropped, resized (bilinear).

    Grey, CMYK, palette, transparent and 16-bit photos become RGB. Raises what Pillow raises.
    """
    with Image.open(path) as opened:
        opened.load()
        try:
            upright = ImageOps.exif_transpose(opened)
        except Exception:  # EXIF that cannot be parsed says nothing about the pixels, which were read
            upright = opened
        photo = to_rgb(upright)
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
