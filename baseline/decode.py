"""Photos as the pixels that a trial works on: upright, RGB or of several channels, centre-cropped, resized.

A large JPEG is decoded at a half, a quarter or an eighth of its size (the scaled DCT of libjpeg, Pillow's draft
mode) where the crop does not show it: it is then made of whole pixels of the smaller photo, and at least GAP times
as high and wide as what is wanted.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, JpegImagePlugin

from bands import TURNS, Photo, bands_of, files_of, orientation, to_8_bits
from progress import Progress
from run import atomic

VERSION = 2  # raise it when the pixels that decode() gives change
# "With reducing_gap greater or equal to 3.0, the result is indistinguishable from fair resampling in most cases",
# https://pillow.readthedocs.io/en/stable/reference/Image.html#PIL.Image.Image.resize
GAP = 3
PIECE = 16  # photos that a thread takes at a time


@dataclass(frozen=True)
class Photos:
    paths: Sequence[Photo]
    crop: int  # pixels, 0 for the whole photo
    size: tuple[int, int]  # H, W wanted
    label: str
    channels: int = 3

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.paths), *self.size, self.channels)


class StaleError(Exception):
    """What is kept of earlier trials' work on some photos cannot be used."""


def decode(photo: Photo, crop: int, size: tuple[int, int], channels: int = 3) -> np.ndarray:
    """One photo as uint8 (H, W, C) of `size` (H, W), resized bilinearly from its central `crop` pixels, 0 for all.

    Where a file is to give 3 channels, grey, CMYK, palette, transparent and 16-bit ones become RGB; for any other
    number, or a file for each, they are as bands_of() has them. Raises what Pillow raises, and ValueError.
    """
    if channels == 3 and not isinstance(photo, tuple):
        return decode_rgb(photo, crop, size)
    bands = bands_of(photo, channels)
    box = centre(bands[0].size, crop)
    # each by itself: Pillow would weigh the first three of RGBA with the fourth
    resized = [band.crop(box).resize(size[::-1], Image.Resampling.BILINEAR) for band in bands]
    return np.stack([np.asarray(band) for band in resized], axis=2)


def decode_rgb(path: Path | str, crop: int, size: tuple[int, int]) -> np.ndarray:
    with Image.open(path) as opened:
        if not isinstance(opened, JpegImagePlugin.JpegImageFile):
            opened.load()  # before its EXIF is asked for, which may lie behind the pixels
        turn = orientation(opened)
        sides = opened.size[::-1] if turn >= 5 else opened.size
        box = centre(sides, crop)
        scale = shrink(opened, box, size)
        opened.load()
        photo = to_rgb(opened.transpose(TURNS[turn]) if turn in TURNS else opened)
    photo = photo.crop(tuple(edge // scale for edge in box))
    return np.asarray(photo.resize(size[::-1], Image.Resampling.BILINEAR))


def centre(sides: tuple[int, int], crop: int) -> tuple[int, int, int, int]:
    """Left, top, right and bottom edge of the central crop, in pixels; it is never larger than the photo."""
    wide, high = (min(crop, side) if crop else side for side in sides)
    left, top = (sides[0] - wide) // 2, (sides[1] - high) // 2
    return left, top, left + wide, top + high


def shrink(opened: Image.Image, box: tuple[int, int, int, int], size: tuple[int, int]) -> int:
    """Has a JPEG decoded at 1 / the returned scale (1, 2, 4 or 8) of its sides; `box` is the crop, `size` (H, W)."""
    left, top, right, bottom = box
    wide, high = opened.size
    for scale in (8, 4, 2):
        enough = right - left >= GAP * scale * size[1] and bottom - top >= GAP * scale * size[0]
        # else a pixel at the crop's edge would show what is outside, or at the photo's the encoder's padding
        whole = not any(edge % scale for edge in (*box, wide, high))
        if enough and whole and opened.draft(None, (wide // scale, high // scale)):
            return scale
    return 1


def to_rgb(photo: Image.Image) -> Image.Image:
    return to_8_bits(photo).convert("RGB")


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0))


def decode_all(photos: Photos, doing: str, keep: Callable[[int, np.ndarray], None]) -> dict[int, str]:
    """Decodes every photo once, with all cores; returns row -> reason of those that cannot be read.

    keep(row, uint8 (H, W, C)) takes each of the others, from several threads and in no order; what it raises is
    raised. Threads, since Pillow works outside the interpreter's lock: on 2 cores they decoded 1.4 (176 px photos)
    and 1.6 times (384 x 512) as many photos a second as as many processes that hand the pixels back.
    """
    unreadable: dict[int, str] = {}
    everyone = range(len(photos.paths))
    progress = Progress(f"{doing} the {photos.label}", len(everyone), "photos")

    def work(rows: range) -> int:
        for row in rows:
            try:
                pixels = decode(photos.paths[row], photos.crop, photos.size, photos.channels)
            except MemoryError:
                raise
            except Exception as error:  # Pillow's plugins fail in many ways
                unreadable[row] = f"{type(error).__name__}: {error}"
            else:
                keep(row, pixels)
        return rows.stop

    with ThreadPoolExecutor(cores()) as pool:
        for done in pool.map(work, [everyone[start : start + PIECE] for start in everyone[::PIECE]]):
            progress.show(done)
    return dict(sorted(unreadable.items()))


def key(photos: Photos) -> str:
    """A name for everything that the pixels of all photos depend on."""
    digest = hashlib.sha256(f"{VERSION} {photos.crop} {photos.size} {photos.channels}".encode())
    for photo in photos.paths:
        digest.update(b"\n")
        for path in files_of(photo):
            try:
                stat = path.stat()
                state = f"{stat.st_size}\t{stat.st_mtime_ns}"
            except OSError:
                state = "none"
            digest.update(f"\t{path.absolute()}\t{state}".encode())
    return digest.hexdigest()[:24]


def write_unreadable(path: Path, unreadable: dict[int, str]) -> None:
    atomic(path, lambda file: file.write_text(json.dumps(unreadable)))


def read_unreadable(path: Path, photos: Photos) -> dict[int, str]:
    """Row -> reason, as written. Raises StaleError where a photo can be read by now, or `path` is damaged."""
    try:
        unreadable = {int(row): str(reason) for row, reason in json.loads(path.read_text()).items()}
        paths = [photos.paths[row] for row in unreadable]
    except Exception as error:  # damaged files fail in many ways
        raise StaleError(f"{path} is damaged ({error})") from error
    for photo in paths:
        try:
            decode(photo, photos.crop, photos.size, photos.channels)
        except Exception:  # as in decode_all
            continue
        raise StaleError(f"{', '.join(map(str, files_of(photo)))} could not be read and can be now")
    return unreadable
