"""The picture of a data set: one page of findings, classes, sizes, brightness, people and odd photos."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

WIDE, MARGIN, GAP = 1400, 40, 36  # pixels of the page, as everything here is before SCALE
SCALE = 2  # drawn larger and shrunk, as Pillow draws no smooth edges
# Okabe & Ito 2008, https://jfly.uni-koeln.de/color/: told apart by colour-blind eyes too
BLUE, ORANGE, GREEN = (0, 114, 178), (213, 94, 0), (0, 158, 115)
DARK, GREY, LIGHT, PALE = (40, 40, 40), (120, 120, 120), (190, 200, 210), (232, 232, 232)
ROW, BAR, NAMES = 22, 14, 215  # of one class
SIDE = 150  # of a photo
BINS = 25  # of brightness
LOGARITHMIC = 6  # largest by smallest side, from which sizes are drawn by their logarithm


@dataclass
class Page:
    image: Image.Image
    pen: ImageDraw.ImageDraw

    def text(self, x: float, y: float, words: str, size: int = 14, colour=DARK, anchor: str = "la") -> None:
        font = ImageFont.load_default(size * SCALE)
        self.pen.text((x * SCALE, y * SCALE), words, fill=colour, font=font, anchor=anchor)

    def box(self, x: float, y: float, wide: float, high: float, colour) -> None:
        if min(wide, high) * SCALE >= 1:
            self.pen.rectangle([x * SCALE, y * SCALE, (x + wide) * SCALE - 1, (y + high) * SCALE - 1], fill=colour)

    def line(self, points: Sequence[tuple[float, float]], colour, wide: float = 1) -> None:
        self.pen.line([(x * SCALE, y * SCALE) for x, y in points], fill=colour, width=round(wide * SCALE))

    def dot(self, x: float, y: float, radius: float, colour, outline=None) -> None:
        box = [(x - radius) * SCALE, (y - radius) * SCALE, (x + radius) * SCALE, (y + radius) * SCALE]
        self.pen.ellipse(box, fill=colour, outline=outline, width=2 * SCALE)


@dataclass(frozen=True)
class Bars:
    """A title and bars: (name, length, what stands behind it)."""

    title: str
    rows: tuple[tuple[str, int, str], ...]


@dataclass(frozen=True)
class Portrait:
    """What the page shows; sizes (N, 2) are width and height in pixels, brightness (N,) is in [0, 1]."""

    title: str
    subtitle: str
    findings: tuple[tuple[str, bool], ...]  # a sentence, and whether to act
    classes: tuple[Bars, ...]
    people: tuple[Bars, ...]  # one, or none where nothing says which photos belong together
    sizes: tuple[np.ndarray, np.ndarray]  # of labelled and of test photos
    brightness: tuple[np.ndarray, np.ndarray]
    photos: tuple[tuple[str, Image.Image], ...]  # the odd ones: caption and photo


def draw(portrait: Portrait) -> Image.Image:
    """The page, WIDE pixels wide and as high as it must be."""
    half = (WIDE - 2 * MARGIN - GAP) / 2
    image = Image.new("RGB", (WIDE * SCALE, 40 * SCALE), "white")
    high = draw_all(Page(image, ImageDraw.Draw(image)), portrait, half)  # once to see how high
    image = Image.new("RGB", (WIDE * SCALE, round(high) * SCALE), "white")
    draw_all(Page(image, ImageDraw.Draw(image)), portrait, half)
    return image.resize((WIDE, round(high)), Image.Resampling.LANCZOS)


def draw_all(page: Page, portrait: Portrait, half: float) -> float:
    """Returns the height."""
    y = draw_head(page, portrait)
    left, right = y, y
    for bars in portrait.classes:
        left = draw_bars(page, MARGIN, left, half, bars, BLUE) + 22
    x = MARGIN + half + GAP
    right = draw_sizes(page, x, right, half, portrait.sizes) + 26
    right = draw_brightness(page, x, right, half, portrait.brightness) + 26
    for bars in portrait.people:
        right = draw_bars(page, x, right, half, bars, GREEN)
    return draw_photos(page, max(left, right) + 10, portrait.photos) + MARGIN


def draw_head(page: Page, portrait: Portrait) -> float:
    page.text(MARGIN, 34, portrait.title, 30)
    page.text(MARGIN, 76, portrait.subtitle, 16, GREY)
    y = 112
    for text, act in portrait.findings:
        page.dot(MARGIN + 6, y + 10, 5, ORANGE if act else LIGHT)
        page.text(MARGIN + 22, y, fit(text, WIDE - 2 * MARGIN - 22, 15), 15)
        y += 25
    return y + 22


def draw_bars(page: Page, x: float, y: float, wide: float, bars: Bars, colour) -> float:
    page.text(x, y, bars.title, 17)
    y, names = y + 32, NAMES
    longest = max((length for _, length, _ in bars.rows), default=1) or 1
    for name, length, behind in bars.rows:
        page.text(x + names - 10, y + BAR / 2, fit(name, names - 12, 13), 13, anchor="rm")
        reach = (wide - names - 130) * length / longest
        page.box(x + names, y, max(reach, 1 if length else 0), BAR, colour)
        page.text(x + names + reach + 7, y + BAR / 2, behind, 12, GREY, "lm")
        y += ROW
    return y


def draw_sizes(page: Page, x: float, y: float, wide: float, sizes: tuple[np.ndarray, np.ndarray]) -> float:
    """A dot for each size, its area the share of the photos that have it."""
    page.text(x, y, "Width and height, pixels", 17)
    legend(page, x + wide, y + 10, bool(len(sizes[1])))
    y, high, inset = y + 36, 270, 46
    every = np.concatenate([part for part in sizes if len(part)] or [np.ones((1, 2))])
    place, marks = scale_of(every)
    left, top, across = x + inset, y, wide - inset - 20
    for mark in marks:
        page.line([(left + across * place(mark), top), (left + across * place(mark), top + high)], PALE)
        page.line([(left, top + high * (1 - place(mark))), (left + across, top + high * (1 - place(mark)))], PALE)
        page.text(left + across * place(mark), top + high + 6, f"{mark:g}", 12, GREY, "ma")
        page.text(left - 8, top + high * (1 - place(mark)), f"{mark:g}", 12, GREY, "rm")
    for part, colour in zip(sizes, (BLUE, ORANGE), strict=True):
        for (width, height), count in Counter(map(tuple, part.tolist())).most_common():
            radius = 3 + 12 * (count / len(part)) ** 0.5
            at = left + across * place(width), top + high * (1 - place(height))
            page.dot(*at, radius, colour if colour == BLUE else None, None if colour == BLUE else ORANGE)
    return y + high + 24


def scale_of(sides: np.ndarray) -> tuple[Callable[[float], float], list[float]]:
    """From pixels to [0, 1], and the marks of the axis."""
    low, high = max(float(sides.min()), 1), float(sides.max())
    if high <= LOGARITHMIC * low:
        step = next(s * 10**p for p in range(6) for s in (1, 2, 5) if high * 1.1 / (s * 10**p) <= 6)
        return lambda side: side / (1.1 * high), [step * k for k in range(1, 7) if step * k <= 1.1 * high]
    ends = np.log(low / 1.3), np.log(high * 1.3)
    marks = [float(2**power) for power in range(20) if low / 1.3 <= 2**power <= high * 1.3]
    return lambda side: float((np.log(side) - ends[0]) / (ends[1] - ends[0])), marks[:: -(-len(marks) // 6)]


def draw_brightness(page: Page, x: float, y: float, wide: float, brightness: tuple[np.ndarray, np.ndarray]) -> float:
    page.text(x, y, "Mean brightness, share of the photos", 17)
    legend(page, x + wide, y + 10, bool(len(brightness[1])))
    y, high, inset = y + 34, 130, 46
    left, across = x + inset, wide - inset - 20
    shares = [np.histogram(part, BINS, (0, 1))[0] / max(len(part), 1) for part in brightness]
    top = max(float(np.max(shares)), 1e-9)
    for number, share in enumerate(shares[0]):
        at = high * share / top
        page.box(left + across * number / BINS + 0.5, y + high - at, across / BINS - 1, at, BLUE)
    if len(brightness[1]):
        levels = [y + high * (1 - share / top) for share in shares[1]]
        steps = [(left + across * (k + side) / BINS, level) for k, level in enumerate(levels) for side in (0, 1)]
        page.line(steps, ORANGE, 2)
    page.line([(left, y + high), (left + across, y + high)], GREY)
    for mark in (0, 0.25, 0.5, 0.75, 1):
        page.text(left + across * mark, y + high + 6, f"{mark:g}", 12, GREY, "ma")
    return y + high + 22


def legend(page: Page, right: float, y: float, test: bool) -> None:
    if test:
        page.dot(right - 142, y, 5, BLUE)
        page.text(right - 132, y, "labelled", 13, GREY, "lm")
        page.dot(right - 66, y, 5, None, ORANGE)
        page.text(right - 55, y, "test", 13, GREY, "lm")


def draw_photos(page: Page, y: float, photos: Sequence[tuple[str, Image.Image]]) -> float:
    if not photos:
        return y
    page.text(MARGIN, y, "Odd photos", 17)
    across = (WIDE - 2 * MARGIN) / 8
    for number, (caption, photo) in enumerate(photos):
        x, top = MARGIN + number % 8 * across, y + 34 + number // 8 * (SIDE + 44)
        small = photo.convert("RGB")
        small.thumbnail((SIDE * SCALE, SIDE * SCALE))
        page.image.paste(small, (round(x * SCALE), round(top * SCALE)))
        page.text(x, top + SIDE + 6, fit(caption, across - 10, 12), 12, GREY)
    return y + 34 + -(-len(photos) // 8) * (SIDE + 44)


def fit(text: str, wide: float, size: int) -> str:
    """`text`, cut where it is wider than `wide` pixels."""
    font = ImageFont.load_default(size)
    if font.getlength(text) <= wide:
        return text
    while text and font.getlength(text + "…") > wide:
        text = text[:-1]
    return text.rstrip() + "…"


def save(page: Image.Image, file: Path) -> None:
    """As a PNG of 256 colours, a third of the size."""
    page.quantize(256, dither=Image.Dither.NONE).save(file, "PNG", optimize=True)
