"""A picture of pairs side by side, the nearest first, by which a person sees where a threshold should lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from bands import Photo
from copies.clusters import Photos
from copies.tally import Tally
from decode import decode
from run import atomic

SIDE, ACROSS = 120, 6  # pixels of a photo, pairs in a row
LINE, GAP = 13, 14  # pixels of a line of text, and between pairs
CUT = 32  # letters of a name that a pair has room for
INK, PALE, LEAK, PAPER = "#222222", "#999999", "#b00020", "#ffffff"


@dataclass(frozen=True)
class Pair:
    photos: tuple[Photo, Photo]
    lines: tuple[str, str]  # what is written under each
    leak: bool


@dataclass(frozen=True)
class Row:
    title: str
    joined: bool  # by the threshold
    pairs: Sequence[Pair]


def rows_of(files: Sequence[Photo], photos: Photos, tallies: Sequence[tuple[Tally, float]]) -> list[Row]:
    """Some pairs of each step, of the tally of hashes and of that of an embedding if there is one; with thresholds."""
    rows = []
    for (tally, chosen), unit in zip(tallies, ("bits", "similarity"), strict=False):
        a, b, distance = tally.shown[0]
        for below, step in zip((-1, *tally.steps), tally.steps, strict=False):
            these = np.flatnonzero((distance > below) & (distance <= step))
            these = these[np.argsort(distance[these], kind="stable")]
            name = f"up to {step:g} bits" if unit == "bits" else f"similarity from {1 - step:g}, and no hash near"
            title = f"{name}: {'joined' if step <= chosen else 'not joined'}"
            pairs = [pair_of(files, photos, int(a[k]), int(b[k]), float(distance[k]), unit) for k in these]
            rows += [Row(title, step <= chosen, pairs)] if pairs else []
    return rows or [Row("no pairs of different people, or of labelled photos and those to be predicted", True, [])]


def pair_of(files: Sequence[Photo], photos: Photos, a: int, b: int, distance: float, unit: str) -> Pair:
    far = f"{distance:g}" if unit == "bits" else f"{1 - distance:.3f}"
    lines = []
    for row in (a, b):
        labelled = photos.labelled[row]
        said = " ".join(values[row] for values in photos.fields.values()) if labelled else "to be predicted"
        lines.append(shortened(f"{photos.ids[row]} {said}"))
    leak = not photos.labelled[[a, b]].all()
    return Pair((files[a], files[b]), (f"{far}   {lines[0]}", lines[1]), leak)


def write_lineup(path: Path, rows: Sequence[Row], channels: int) -> None:
    """One PNG; photos are squared, as hashes see them. Of more than three channels the first three are shown."""
    font = ImageFont.load_default(LINE - 2)
    heights = [2 * LINE + GAP + -(-len(row.pairs) // ACROSS) * (SIDE + 2 * LINE + GAP) for row in rows]
    width = GAP + ACROSS * (2 * SIDE + 2 + GAP)
    page = Image.new("RGB", (width, GAP + sum(heights)), PAPER)
    pen, top = ImageDraw.Draw(page), GAP
    for row, height in zip(rows, heights, strict=True):
        pen.text((GAP, top), row.title, INK if row.joined else PALE, ImageFont.load_default(LINE + 3))
        for place, pair in enumerate(row.pairs):
            x = GAP + place % ACROSS * (2 * SIDE + 2 + GAP)
            y = top + 2 * LINE + place // ACROSS * (SIDE + 2 * LINE + GAP)
            for side, photo in enumerate(pair.photos):
                page.paste(Image.fromarray(thumbnail(photo, channels)), (x + side * (SIDE + 2), y))
                ink = LEAK if pair.leak else INK if row.joined else PALE
                pen.text((x, y + SIDE + 1 + side * LINE), pair.lines[side], ink, font)
        top += height
    atomic(path, lambda file: page.save(file, "PNG", optimize=True))


def shortened(text: str) -> str:
    return text if len(text) <= CUT else "…" + text[1 - CUT :]


def thumbnail(photo: Photo, channels: int) -> np.ndarray:
    """uint8 (SIDE, SIDE, 3); grey where the photo has gone since it was hashed."""
    try:
        return np.ascontiguousarray(decode(photo, 0, (SIDE, SIDE), channels)[..., :3])
    except Exception:  # Pillow's plugins fail in many ways
        return np.full((SIDE, SIDE, 3), 200, np.uint8)
