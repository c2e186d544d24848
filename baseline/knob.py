"""A knob: a Config field with what its help and its checks need, and how a word becomes its value."""

from __future__ import annotations

from dataclasses import field
from typing import Any

from registry import unknown


def knob(
    default: Any,
    text: str,
    *,
    unit: str = "",
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
    length: int = 0,
    environment: str = "",
    option: str = "",
    strict: bool = False,
) -> Any:
    """A Config field. `low` and `high` are inclusive unless `strict`; `length` fixes a tuple's length.

    `option` is another name on the command line, for one that Python keeps for itself.
    """
    return field(
        default=default,
        metadata={
            "text": text,
            "unit": unit,
            "low": low,
            "high": high,
            "choices": choices,
            "length": length,
            "environment": environment,
            "option": option,
            "strict": strict,
        },
    )


def scalar(kind: type, raw: Any) -> Any:
    if kind is bool:
        words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
        if str(raw).lower() not in words:
            raise ValueError("expected true or false")
        return words[str(raw).lower()]
    if kind is str:
        return str(raw).lower() if isinstance(raw, bool) else str(raw)
    try:
        number = float(raw)
    except (TypeError, ValueError):
        raise ValueError(f"expected {'a whole number' if kind is int else 'a number'}") from None
    if number != number or number in (float("inf"), float("-inf")):
        raise ValueError("expected a finite number")
    if kind is int and number != int(number):
        raise ValueError("expected a whole number")
    return int(number) if kind is int else number


def check_range(value: Any, rules: Any) -> None:
    for item in value if isinstance(value, tuple) else (value,):
        low, high = rules["low"], rules["high"]
        if low is not None and (item <= low if rules["strict"] else item < low):
            raise ValueError(f"expected {'more than' if rules['strict'] else 'at least'} {low:g}")
        if high is not None and item > high:
            raise ValueError(f"expected at most {high:g}")
        if rules["choices"] and item not in rules["choices"]:
            raise ValueError(str(unknown("choice", item, rules["choices"])))
