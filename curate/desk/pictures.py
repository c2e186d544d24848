"""Labelled photos as a browser is shown them: by their number, upright, scaled, and never from outside the data.

What leaves is drawn anew from pixels, so that a file which is no photo cannot leave at all.
"""

from __future__ import annotations

import io
import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageChops

from bands import TURNS, Photo, bands_of, files_of, orientation
from decode import to_rgb
from proteins import COLOURS
from samples import Data

QUALITY = 90  # of JPEGs, of 100
LOSSLESS = 320 * 320  # pixels of a photo that is sent as it is
SIDES = (128, 512, 1024, 1536, 2048, 4096)  # those that are made: pixels of the longer side
HELD = 256 * 2**20  # bytes of scaled photos that are kept
Stamp = tuple[tuple[int, int], ...]
Key = tuple[int, int, str, Stamp]  # row, side, channel


@dataclass(frozen=True)
class Picture:
    content: bytes
    kind: str  # image/jpeg or image/png
    fault: str = ""  # why there is none, for people


class Pictures:
    """The labelled photos of `data`; files must lie below the data root or one of `allowed`, links followed."""

    def __init__(self, data: Data, allowed: Sequence[Path] = (), held: int = HELD) -> None:
        self.paths, self.channels = data.train.paths, data.channels
        self.roots = [folder.resolve() for folder in (data.root, *allowed)]
        self.limit, self.size, self.lock = held, 0, threading.Lock()
        self.kept: OrderedDict[Key, Picture] = OrderedDict()

    def get(self, row: int, side: int, channel: str = "") -> Picture:
        """Photo `row` no larger than the first of SIDES that is at least `side`; one channel of several, grey.

        One whose files changed is made anew. Pictures with a fault are not kept: the photo may be mended meanwhile.
        """
        fit = next((known for known in SIDES if known >= side), SIDES[-1])
        key = (row, fit, channel, stamp(self.paths[row]))
        with self.lock:
            if key in self.kept:
                self.kept.move_to_end(key)
                return self.kept[key]
        made = self.make(self.paths[row], fit, channel)
        if not made.fault:
            self.keep(key, made)
        return made

    def keep(self, key: Key, made: Picture) -> None:
        with self.lock:
            if key not in self.kept:
                self.kept[key] = made
                self.size += len(made.content)
            while self.size > self.limit:
                self.size -= len(self.kept.popitem(last=False)[1].content)

    def make(self, photo: Photo, side: int, channel: str) -> Picture:
        try:
            files = tuple(inside(Path(path), self.roots) for path in files_of(photo))
            return encode(read(files if isinstance(photo, tuple) else files[0], side, self.channels, channel))
        except MemoryError:
            return Picture(b"", "", "there is not enough memory to show it")
        except OutsideError as error:
            return Picture(b"", "", str(error))
        except Exception as error:  # Pillow's plugins fail in many ways
            return Picture(b"", "", f"cannot be read: {type(error).__name__}: {without_folder(str(error), photo)}")


def stamp(photo: Photo) -> Stamp:
    """When each of its files was written, ns, and its size, bytes; empty where one cannot be asked."""
    try:
        found = [os.stat(path) for path in files_of(photo)]
    except (OSError, ValueError):
        return ()
    return tuple((one.st_mtime_ns, one.st_size) for one in found)


class OutsideError(Exception):
    """A file that must not be shown."""


def inside(path: Path, roots: Sequence[Path]) -> Path:
    """The file at `path`, links followed. Raises OutsideError where it is none, or does not lie in one of `roots`."""
    try:
        file = path.resolve(strict=True)
    except (OSError, RuntimeError) as error:  # a link that leads nowhere, or in circles
        raise OutsideError(f"there is no file {path.name} ({getattr(error, 'strerror', None) or error})") from error
    if not any(file.is_relative_to(root) for root in roots):
        raise OutsideError(
            f"{path.name} is a link or a path that leads out of the data root, so it is not shown; "
            "start with --also FOLDER, the folder that it leads to, if it may be"
        )
    if not file.is_file():
        raise OutsideError(f"{path.name} is no file")
    return file


def without_folder(message: str, photo: Photo) -> str:
    """An error's message with the names of files, not where they lie."""
    for path in files_of(photo):
        message = message.replace(str(Path(path).parent) + "/", "").replace(str(Path(path).resolve().parent) + "/", "")
    return message


def read(photo: Photo, side: int, channels: int, channel: str) -> Image.Image:
    """The photo upright, in RGB, at most `side` pixels high and wide; grey where a channel is named.

    Of four channels yellow is shown as red and green. Raises what Pillow raises.
    """
    if isinstance(photo, tuple) or channels > 3:
        bands = bands_of(photo, channels)
        shown = bands[list(COLOURS.values()).index(channel)] if channel else coloured(bands)
    else:
        with Image.open(photo) as opened:
            opened.draft(None, (2 * side, 2 * side))  # a JPEG is decoded at a fraction of its size
            opened.load()
            turn = orientation(opened)
            shown = to_rgb(opened.transpose(TURNS[turn]) if turn in TURNS else opened)
    shown.thumbnail((side, side))
    return shown


def coloured(bands: Sequence[Image.Image]) -> Image.Image:
    red, green, blue, *yellow = bands
    for band in yellow:
        red, green = ImageChops.lighter(red, band), ImageChops.lighter(green, band)
    return Image.merge("RGB", (red, green, blue))


def encode(photo: Image.Image) -> Picture:
    content = io.BytesIO()
    kind = "PNG" if photo.width * photo.height <= LOSSLESS else "JPEG"
    photo.save(content, kind, **({"compress_level": 1} if kind == "PNG" else {"quality": QUALITY}))
    return Picture(content.getvalue(), f"image/{kind.lower()}")
