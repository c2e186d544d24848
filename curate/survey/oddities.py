"""What is unusual about a photo, in a word, and what that word means.

To add one, decorate `f(measures, usual) -> bool` with `@oddity("word", "what to read after 'n photos'")`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from survey.census import Measures

FAR = 4  # times smaller or larger than the usual side
DARK, BRIGHT = 0.06, 0.94  # mean brightness
LEAN, MOST, ENOUGH = 1.1, 0.8, 20  # ratio of the sides; share of the photos, and their number, that make a custom


@dataclass(frozen=True)
class Usual:
    """What most photos are like."""

    shorter: float  # median side in pixels
    longer: float
    brightness: float  # median
    lean: str  # wide or high, where most are that, else empty


@dataclass(frozen=True)
class Oddity:
    holds: Callable[[Measures, Usual], bool]
    text: str
    act: bool  # whether a person should do something, else it is good to know


ODDITIES: dict[str, Oddity] = {}


def oddity(word: str, text: str, act: bool = False) -> Callable:
    def add(holds: Callable[[Measures, Usual], bool]) -> Callable[[Measures, Usual], bool]:
        ODDITIES[word] = Oddity(holds, text, act)
        return holds

    return add


def oddities(photos: Sequence[Measures]) -> list[tuple[str, ...]]:
    """The words that hold of each photo; of one that cannot be read that alone."""
    usual = usual_of(photos)
    return [
        ("unreadable",)
        if photo.fault
        else tuple(word for word, odd in ODDITIES.items() if word != "unreadable" and odd.holds(photo, usual))
        for photo in photos
    ]


def usual_of(photos: Sequence[Measures]) -> Usual:
    sides = np.array([sorted((photo.width, photo.height)) for photo in photos if not photo.fault])
    if not len(sides):
        return Usual(0, 0, 0, "")
    shorter, longer = np.median(sides, axis=0)
    leans = [lean(photo) for photo in photos if not photo.fault]
    custom = [kind for kind in ("wide", "high") if leans.count(kind) >= max(ENOUGH, MOST * len(leans))]
    light = float(np.median([photo.brightness for photo in photos if not photo.fault]))
    return Usual(float(shorter), float(longer), light, custom[0] if custom else "")


def lean(photo: Measures) -> str:
    """wide or high; empty where the sides are about as long as each other."""
    if photo.width > LEAN * photo.height:
        return "wide"
    return "high" if photo.height > LEAN * photo.width else ""


@oddity("unreadable", "cannot be read: mend or remove them, else a trial wants --skip_unreadable", act=True)
def unreadable(photo: Measures, usual: Usual) -> bool:
    return bool(photo.fault)


@oddity("blank", "are blank, of one even colour: nothing can be learnt from them", act=True)
def blank(photo: Measures, usual: Usual) -> bool:
    return photo.blank


@oddity("tiny", f"are tiny, a side less than 1/{FAR} of the usual one: look whether they show anything", act=True)
def tiny(photo: Measures, usual: Usual) -> bool:
    return FAR * min(photo.width, photo.height) < usual.shorter


@oddity("huge", f"are huge, a side more than {FAR} times the usual one: their detail is lost at --resize")
def huge(photo: Measures, usual: Usual) -> bool:
    return max(photo.width, photo.height) > FAR * usual.longer


@oddity("sideways", "stand where most lie, or lie where most stand: look whether they are turned", act=True)
def sideways(photo: Measures, usual: Usual) -> bool:
    return bool(usual.lean) and lean(photo) not in ("", usual.lean)


@oddity("dark", "are nearly black, unlike most")
def dark(photo: Measures, usual: Usual) -> bool:
    return photo.brightness < min(DARK, usual.brightness / FAR) and not photo.blank


@oddity("bright", "are nearly white, unlike most")
def bright(photo: Measures, usual: Usual) -> bool:
    return 1 - photo.brightness < min(1 - BRIGHT, (1 - usual.brightness) / FAR) and not photo.blank


@oddity("grey", "are grey, without any colour")
def grey(photo: Measures, usual: Usual) -> bool:
    return photo.grey and not photo.blank


@oddity("turned", "are stored turned or mirrored (EXIF); trials turn them upright, other programs may not")
def turned(photo: Measures, usual: Usual) -> bool:
    return photo.orientation != 1


@oddity("misnamed", "are not what their ending says; trials read them all the same")
def misnamed(photo: Measures, usual: Usual) -> bool:
    return photo.misnamed


@oddity("cmyk", "are made for print (CMYK); trials read them as RGB, which may shift colours")
def cmyk(photo: Measures, usual: Usual) -> bool:
    return photo.mode in ("CMYK", "YCbCr", "LAB", "HSV")


@oddity("deep", "have more than 8 bits a channel; trials read 8")
def deep(photo: Measures, usual: Usual) -> bool:
    return photo.mode.startswith(("I", "F"))


@oddity("transparent", "have transparency, which trials leave out")
def transparent(photo: Measures, usual: Usual) -> bool:
    return photo.mode in ("LA", "PA", "La", "RGBa") or (photo.mode == "RGBA" and not photo.stacked)


@oddity("animated", "hold several pictures; trials read the first")
def animated(photo: Measures, usual: Usual) -> bool:
    return photo.frames > 1
