"""What can be measured of each photo: size, file, brightness, colour, and why it cannot be read."""

from __future__ import annotations

import hashlib
import io
import math
import warnings
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageChops

from bands import TURNS, Photo, files_of, orientation, to_8_bits
from decode import cores
from progress import Progress

PIECE = 16  # photos that a thread takes at a time
LEVELS = np.arange(256)
# a grey JPEG kept as RGB differs by rounding; grey cars in a studio have two pixels of a thousand in colour
SPREAD, COLOURED = 10, 0.001  # levels between the strongest and the weakest of red, green and blue; share of the pixels
FLAT = 1.0  # standard deviation, in levels of 255, up to which each channel of a blank photo is constant
KIN = {"MPO": "JPEG"}  # a JPEG with a second photo behind it, as some telephones make them
ENDINGS = {ending: name for ending, name in Image.registered_extensions().items() if name in Image.OPEN}


@dataclass(frozen=True)
class Measures:
    """Of one sample, of several files together; where it cannot be read `fault` says why and the rest may be 0."""

    width: int = 0  # pixels, upright
    height: int = 0
    mode: str = ""  # Pillow's: RGB, L, CMYK, I;16 …
    format: str = ""  # what the file is, whatever it is called
    bytes: int = 0
    brightness: float = math.nan  # mean, 0 to 1
    contrast: float = math.nan  # standard deviation of the brightness
    colour: float = math.nan  # share of the pixels that are not grey; of samples of several files nan
    orientation: int = 1  # EXIF's, 1 is upright
    frames: int = 1
    blank: bool = False
    misnamed: bool = False  # the file's ending is that of another format
    stacked: bool = False  # the file's bands are the channels of a sample, the fourth no transparency
    digest: str = ""  # 16 hex digits of the bytes
    fault: str = ""

    @property
    def grey(self) -> bool:
        return self.colour <= COLOURED


def measure_all(photos: Sequence[Photo], channels: int, label: str) -> list[Measures]:
    """The measures of each photo in order, with all cores; shows progress under `label`."""
    progress, found = Progress(label, len(photos), "photos"), []

    def work(piece: Iterable[Photo]) -> list[Measures]:
        return [measure(photo, channels) for photo in piece]

    with ThreadPoolExecutor(cores()) as pool:  # Pillow works outside the interpreter's lock
        try:
            for part in pool.map(work, [photos[start : start + PIECE] for start in range(0, len(photos), PIECE)]):
                found += part
                progress.show(len(found))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return found


def measure(photo: Photo, channels: int = 3) -> Measures:
    """One file, of RGB or, where `channels` is another number, of as many bands; or a file for each channel."""
    found = join([measure_file(Path(file)) for file in files_of(photo)])
    if channels == 3 or found.fault or isinstance(photo, tuple):
        return found
    fault = "" if found.mode == "RGBA" else f"{Path(photo).name} is {found.mode}; RGBA is wanted for 4 channels"
    return replace(found, colour=math.nan, stacked=True, fault=fault)


def measure_file(path: Path) -> Measures:
    found = Measures()
    try:
        content = path.read_bytes()
        found = replace(found, bytes=len(content), digest=hashlib.sha256(content).hexdigest()[:16])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Pillow about odd metadata and large photos
            with Image.open(io.BytesIO(content)) as opened:
                return read(opened, path, found)
    except MemoryError:
        raise
    except Exception as error:  # Pillow's plugins fail in many ways
        told = f"{error}".replace(f" {io.BytesIO.__name__}", "").partition("<_io.BytesIO")[0].strip()
        reason = getattr(error, "strerror", None) or told
        return replace(found, fault=f"{path.name}: {type(error).__name__}: {reason}")


def read(opened: Image.Image, path: Path, found: Measures) -> Measures:
    """`found` with what `opened` shows. Raises what Pillow raises."""
    kind, frames, mode = opened.format or "", getattr(opened, "n_frames", 1), opened.mode
    opened.load()
    turn = orientation(opened)  # after loading, as EXIF may lie behind the pixels
    sides = opened.size[::-1] if turn in TURNS and turn >= 5 else opened.size
    called = ENDINGS.get(path.suffix.lower(), "")
    rgb = to_8_bits(opened).convert("RGB")
    shown = np.array(rgb.histogram()).reshape(3, 256)
    mean, deviation = moments(np.array(rgb.convert("L").histogram()))
    return replace(
        found,
        width=sides[0],
        height=sides[1],
        mode=mode,
        format=kind,
        brightness=mean,
        contrast=deviation,
        colour=coloured(rgb),
        orientation=turn,
        frames=frames,
        blank=all(255 * moments(counts)[1] <= FLAT for counts in shown),
        misnamed=bool(called) and KIN.get(called, called) != KIN.get(kind, kind),
    )


def moments(counts: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation, as shares of full brightness, of the levels that `counts` (256,) counts."""
    weight = counts / counts.sum()
    mean = float(weight @ LEVELS)
    return mean / 255, float(np.sqrt(max(weight @ (LEVELS - mean) ** 2, 0))) / 255


def coloured(rgb: Image.Image) -> float:
    """The share of the pixels whose red, green and blue differ by more than SPREAD levels."""
    red, green, blue = rgb.split()
    highest = ImageChops.lighter(ImageChops.lighter(red, green), blue)
    lowest = ImageChops.darker(ImageChops.darker(red, green), blue)
    spread = np.array(ImageChops.subtract(highest, lowest).histogram())
    return float(spread[SPREAD + 1 :].sum() / spread.sum())


def join(files: Sequence[Measures]) -> Measures:
    """Those of a sample of several files, a channel each."""
    if len(files) == 1:
        return files[0]
    fault = next((file.fault for file in files if file.fault), "")
    if not fault and len({(file.width, file.height) for file in files}) > 1:
        fault = f"channels of different sizes: {', '.join(f'{file.width}x{file.height}' for file in files)}"
    brightness, contrast = (float(np.mean([getattr(f, name) for f in files])) for name in ("brightness", "contrast"))
    return Measures(
        width=files[0].width,
        height=files[0].height,
        mode=alike(file.mode for file in files),
        format=alike(file.format for file in files),
        bytes=sum(file.bytes for file in files),
        brightness=brightness,
        contrast=contrast,
        orientation=max(file.orientation for file in files),
        frames=max(file.frames for file in files),
        blank=all(file.blank for file in files),
        misnamed=any(file.misnamed for file in files),
        digest=hashlib.sha256(" ".join(file.digest for file in files).encode()).hexdigest()[:16],
        fault=fault,
    )


def alike(words: Iterable[str]) -> str:
    """The words that there are, each once."""
    return "+".join(dict.fromkeys(word for word in words if word))
