"""Photos small enough to stand inside a page, as data: URIs."""

from __future__ import annotations

import base64
import io
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "baseline"))

from bands import TURNS, Photo, bands_of, files_of, orientation
from decode import to_rgb
from progress import Progress
from proteins import Shelf

LARGE, SMALL = 160, 96  # pixels of the longer side
QUALITY = 80  # of the JPEGs, of 100


@dataclass(frozen=True)
class Thumbnail:
    uri: str  # empty where there is no photo to show
    fault: str  # why, in a word


def find_photos(given: Path, ids: Sequence[str]) -> Path | None:
    """The folder that photo `ids` are relative to, `given` or one of the two above it; None where none has one."""
    given = given.expanduser().resolve()
    for root in (given, given.parent, given.parent.parent):
        if any((root / photo).is_file() for photo in ids):
            return root
        shelf = Shelf(root, "train", "rgb")
        if any(shelf.has(photo) for photo in ids):
            return root
    return None


def shrink_all(root: Path, wanted: Iterable[tuple[str, int]]) -> dict[tuple[str, int], Thumbnail]:
    """A thumbnail for each (photo's id, pixels)."""
    wanted, shelf = list(dict.fromkeys(wanted)), Shelf(root, "train", "rgb")
    progress = Progress("shrinking photos for the page", len(wanted), "photos")
    found = {}
    for done, (photo, side) in enumerate(wanted, 1):
        # a sample of several files is named by its Id; red, green and blue are shown
        found[photo, side] = shrink(shelf.of(photo) if shelf.has(photo) else root / photo, side)
        progress.show(done)
    return found


def shrink(photo: Photo, side: int) -> Thumbnail:
    if not all(Path(file).is_file() for file in files_of(photo)):
        return Thumbnail("", "missing")
    try:
        return Thumbnail(encode(read(photo, side)), "")
    except MemoryError:
        raise
    except Exception:  # Pillow's plugins fail in many ways
        return Thumbnail("", "unreadable")


def read(photo: Photo, side: int) -> Image.Image:
    """The photo upright, in RGB, at most `side` pixels high and wide. Raises what Pillow raises."""
    if isinstance(photo, tuple):
        joined = Image.merge("RGB", bands_of(photo, 3))
        joined.thumbnail((side, side))
        return joined
    with Image.open(photo) as opened:
        opened.draft(None, (2 * side, 2 * side))  # a JPEG is decoded at a fraction of its size
        opened.load()
        turn = orientation(opened)
        photo = to_rgb(opened.transpose(TURNS[turn]) if turn in TURNS else opened)
    photo.thumbnail((side, side))
    return photo


def encode(photo: Image.Image) -> str:
    content = io.BytesIO()
    photo.save(content, "JPEG", quality=QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(content.getvalue()).decode()}"
