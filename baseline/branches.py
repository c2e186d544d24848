"""NNI's nested choices as knobs: {"optimizer": {"_name": "SGD", "momentum": 0.9}} sets optimizer and momentum."""

from __future__ import annotations

from typing import Any

NAME = "_name"


def flat(parameters: dict[str, Any]) -> dict[str, Any]:
    """Raises ValueError where a knob would have two values."""
    knobs: dict[str, Any] = {}
    for name, value in parameters.items():
        nested = isinstance(value, dict) and NAME in value
        inner = flat({knob: given for knob, given in value.items() if knob != NAME}) if nested else {}
        if twice := (knobs.keys() & {name, *inner}) | (inner.keys() & {name}):
            raise ValueError(f"NNI: {name} and another choice both set {min(twice)}; rename one of them")
        knobs |= {name: value[NAME] if nested else value} | inner
    return knobs
