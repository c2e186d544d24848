"""A picture of photos in rows: one large, with lines of text, and small ones beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from bands import Photo, bands_of, files_of, read_upright
from decode import to_rgb
from progress import Progress
from run import atomic

LARGE, SMALL, GAP, MARGIN = 168, 96, 8, 16  # pixels
MOST = 7  # small photos of an entry
FONT, LINE, ASIDE = 14, 19, 70  # pixels
WIDTH = 2 * MARGIN + LARGE + MOST * (SMALL + GAP) + GAP
HEIGHT = LARGE + 2 * GAP
INK, FAINT, PAPER, MARK = (25, 25, 25), (110, 110, 110), (255, 255, 255), (200, 30, 30)


@dataclass(frozen=True)
class Entry:
    photo: Photo
    lines: tuple[str, ...]  # the first stands out
    others: tuple[tuple[Photo, str, bool], ...]  # with a word for each, and whether that stands out


def write_sheet(path: Path, title: str, entries: Sequence[Entry]) -> None:
    """A PNG. A photo that cannot be read is a box that says so."""
    sheet = Image.new("RGB", (WIDTH, MARGIN * 3 + HEIGHT * len(entries)), PAPER)
    pen, progress = ImageDraw.Draw(sheet), Progress("drawing", len(entries), "rows")
    write(pen, (MARGIN, GAP), title, FAINT, WIDTH - 2 * MARGIN)
    for number, entry in enumerate(entries):
        draw_entry(sheet, pen, entry, MARGIN * 2 + GAP + number * HEIGHT)
        progress.show(number + 1)
    atomic(path, lambda file: sheet.save(file, "PNG"))


def draw_entry(sheet: Image.Image, pen: ImageDraw.ImageDraw, entry: Entry, top: int) -> None:
    paste(sheet, pen, entry.photo, (MARGIN, top), LARGE)
    left = MARGIN + LARGE + 2 * GAP
    for number, line in enumerate(entry.lines):
        write(pen, (left, top + number * LINE), line, FAINT if number else INK, WIDTH - left - MARGIN - ASIDE)
    below = top + LARGE - SMALL
    for number, (photo, word, odd) in enumerate(entry.others[:MOST]):
        corner = left + number * (SMALL + GAP), below
        height = paste(sheet, pen, photo, corner, SMALL - LINE)
        write(pen, (corner[0], below + height), word, MARK if odd else INK, SMALL)
    if (more := len(entry.others) - MOST) > 0:
        write(pen, (WIDTH - MARGIN - ASIDE, top), f"{more} more", FAINT, ASIDE)


def paste(sheet: Image.Image, pen: ImageDraw.ImageDraw, photo: Photo, corner: tuple[int, int], side: int) -> int:
    """Returns how high it is, in pixels."""
    try:
        shown = thumbnail(photo, side)
    except (ValueError, OSError):
        pen.rectangle((*corner, corner[0] + side - 1, corner[1] + side - 1), outline=FAINT)
        there = all(Path(file).is_file() for file in files_of(photo))
        write(pen, (corner[0] + 4, corner[1] + 4), "unreadable" if there else "missing", FAINT, side - 8)
        return side
    sheet.paste(shown, corner)
    return shown.height


def thumbnail(photo: Photo, side: int) -> Image.Image:
    """In RGB, its longer side `side` pixels; of channels in files of their own the first three. Raises ValueError."""
    if isinstance(photo, tuple):
        whole = Image.merge("RGB", bands_of(photo, len(photo))[:3])
    else:
        whole = to_rgb(read_upright(photo))
    share = side / max(whole.size)
    return whole.resize([max(1, round(length * share)) for length in whole.size], Image.Resampling.BICUBIC)


def write(pen: ImageDraw.ImageDraw, corner: tuple[int, int], text: str, ink: tuple[int, ...], width: int) -> None:
    """A line, cut short where it is wider than `width` pixels."""
    font = ImageFont.load_default(FONT)
    shown = text
    while shown and font.getlength(shown) > width:
        shown = shown[: min(len(shown) - 1, int(len(shown) * width / font.getlength(shown)))]
    pen.text(corner, shown if shown == text else f"{shown[:-1]}…", fill=ink, font=font)
