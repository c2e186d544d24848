"""The channels of a photo as grey images: a file of its own for each, or the bands of one file."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageChops

Photo = Path | str | tuple[Path | str, ...]  # one file, or a grey one for each channel
TURNS = {  # EXIF orientation -> what makes the photo upright; from 5 on it exchanges the sides
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def files_of(photo: Photo) -> tuple[Path | str, ...]:
    return photo if isinstance(photo, tuple) else (photo,)


def bands_of(photo: Photo, channels: int) -> list[Image.Image]:
    """The channels of a photo, whole, upright, grey and of one size. Raises ValueError naming the file."""
    if not isinstance(photo, tuple):
        stacked = read_upright(photo)
        if stacked.mode != "RGBA" or channels != 4:
            raise ValueError(f"{Path(photo).name} is {stacked.mode}; {channels} channels are wanted, RGBA for 4")
        return list(stacked.split())
    if len(photo) != channels:
        raise ValueError(f"{len(photo)} files for {channels} channels")
    bands = [to_grey(read_upright(path)) for path in photo]
    if other := next((place for place, band in enumerate(bands) if band.size != bands[0].size), 0):
        told = [f"{Path(photo[k]).stem.rpartition('_')[2]} {bands[k].width}x{bands[k].height}" for k in (0, other)]
        raise ValueError(f"channels of different sizes: {', '.join(told)}")
    return bands


def read_upright(path: Path | str) -> Image.Image:
    """Raises ValueError naming the file, as a photo of several may be at fault by one."""
    try:
        with Image.open(path) as opened:
            opened.load()
            turn = orientation(opened)
            return opened.transpose(TURNS[turn]) if turn in TURNS else opened
    except MemoryError:
        raise
    except Exception as error:  # Pillow's plugins fail in many ways
        raise ValueError(f"{Path(path).name}: {type(error).__name__}: {error}") from error


def to_grey(photo: Image.Image) -> Image.Image:
    """Of a coloured one the brightest of red, green and blue: a channel may have been saved in its own colour."""
    photo = to_8_bits(photo)
    if photo.mode in ("1", "L", "LA"):
        return photo.convert("L")
    return functools.reduce(ImageChops.lighter, photo.convert("RGB").split())


def orientation(opened: Image.Image) -> int:
    """1 to 8, as EXIF counts; 1 is upright."""
    try:
        value = opened.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # EXIF that cannot be parsed, in whatever way, says nothing about the pixels
        return 1
    return value if value in TURNS else 1


def to_8_bits(photo: Image.Image) -> Image.Image:
    """A photo of 16-bit grey as 8-bit grey, whose brightness convert() would clip at 255; others as they are."""
    if not photo.mode.startswith("I") and photo.mode != "F":
        return photo
    levels = np.asarray(photo, dtype=np.float64)
    top = 65535 if levels.max() > 255 else 255
    return Image.fromarray(np.clip(levels * 255 / top, 0, 255).round().astype(np.uint8))
