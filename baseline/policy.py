"""Augmentation policies: each photo is varied by one of a list of sub-policies, drawn for it alone.

A sub-policy is two operations in a row, each `[name, probability, magnitude]`, the last two from 0 to 1. A file holds
`{"policy": [[["shear_x", 0.4, 0.7], ["equalize", 0.6, 0.0]], …]}`, and in "from" whatever tells where it is from.
operations.py has the operations. Cubuk et al. 2019, https://arxiv.org/abs/1805.09501.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from draws import Draws
from operations import OPERATIONS, Drawn, Operation
from pixels import to_float
from registry import unknown

Policy = tuple[tuple[tuple[str, float, float], ...], ...]  # sub-policies of operations
LENGTH = 2  # operations in a sub-policy
EXAMPLE = '{"policy": [[["rotate", 0.5, 0.3], ["equalize", 0.2, 0]], …]}'
BASELINE = Path(__file__).resolve().parent
RANDOM = "random:"
RANDOM_SUBPOLICIES = 5
RANDOM_OPERATIONS = (  # in the order that numbers of random policies stand for: another order makes other policies
    *("shear_x", "shear_y", "translate_x", "translate_y", "rotate", "auto_contrast", "invert", "equalize", "solarize"),
    *("posterize", "contrast", "color", "brightness", "sharpness", "cutout", "horizontal_flip", "vertical_flip"),
)  # all that photos of any shape can have


def read_policy(source: str) -> Policy:
    """The policy of `random:N`, or of the file `source`, found from the working directory or else from baseline/.

    Raises ValueError.
    """
    if source.startswith(RANDOM):
        number = source.removeprefix(RANDOM)
        if not (number.isascii() and number.isdigit()):
            raise ValueError(f"augmentation policy:{source} lacks a number; write policy:random:0, policy:random:1, …")
        return random_policy(int(number))
    return load_policy(find_policy(source))


def find_policy(source: str) -> Path:
    """The policy file `source`, in the working directory or else in baseline/. Raises ValueError."""
    given = Path(source).expanduser()
    found = [path for path in (given, BASELINE / given) if path.is_file()]
    if not source or not found:
        raise ValueError(
            f"augmentation policy:{source}: no such file in {Path.cwd()} or {BASELINE}; write policy:FILE or "
            "policy:random:N (a name ends at +, so a file must not have one in its name)"
        )
    return found[0]


def random_policy(number: int) -> Policy:
    """The policy of that number: the same on every machine, as of random.Random Python keeps seeds and random()."""
    draw = random.Random(number).random

    def operation() -> tuple[str, float, float]:
        name = RANDOM_OPERATIONS[int(draw() * len(RANDOM_OPERATIONS))]
        return name, round(draw(), 2), round(draw(), 2)

    return tuple(tuple(operation() for _ in range(LENGTH)) for _ in range(RANDOM_SUBPOLICIES))


def load_policy(path: Path) -> Policy:
    """Raises ValueError for a file that is no policy."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}; write {EXAMPLE}") from error
    if not isinstance(content, dict) or "policy" not in content or set(content) - {"policy", "from"}:
        raise ValueError(f'{path} must hold {EXAMPLE}, and beside "policy" nothing but "from"')
    given = content["policy"]
    if not isinstance(given, list) or not given:
        raise ValueError(f'{path}: "policy" must be a list of at least one sub-policy, but is {given!r}')
    return tuple(check_subpolicy(part, f"{path}: sub-policy {place}") for place, part in enumerate(given, 1))


def check_subpolicy(given: Any, where: str) -> tuple[tuple[str, float, float], ...]:
    if not isinstance(given, list) or len(given) != LENGTH:
        raise ValueError(f"{where} must be a list of {LENGTH} operations, but is {given!r}")
    return tuple(check_operation(part, f"{where}, operation {place}") for place, part in enumerate(given, 1))


def check_operation(given: Any, where: str) -> tuple[str, float, float]:
    if not isinstance(given, list) or len(given) != 3:
        raise ValueError(f"{where} must be [name, probability, magnitude], but is {given!r}")
    name, *numbers = given
    if not isinstance(name, str) or name not in OPERATIONS.entries:
        raise ValueError(f"{where}: {unknown('operation', name, OPERATIONS.entries)}")
    for word, number in zip(("probability", "magnitude"), numbers, strict=True):
        if isinstance(number, bool) or not isinstance(number, int | float) or not 0 <= number <= 1:
            raise ValueError(f"{where}: the {word} of {name} must be a number from 0 to 1, but is {number!r}")
    return name, float(numbers[0]), float(numbers[1])


def build_policy(policy: Policy, knobs: dict[str, Any]) -> Callable[[Tensor, Draws], Tensor]:
    """An operation of augment.py. Raises ValueError for what these photos cannot have."""
    names = [[name for name, _, _ in part] for part in policy]
    chances = torch.tensor([[chance for _, chance, _ in part] for part in policy])
    magnitudes = torch.tensor([[magnitude for _, _, magnitude in part] for part in policy])
    operations = {name: OPERATIONS.build(name, knobs) for part in names for name in part}

    def apply(photos: Tensor, draws: Draws) -> Tensor:
        chosen = draws.integers(len(policy))
        happens = draws.uniform(0, 1, LENGTH) < chances[chosen]
        signs = draws.integers(2, LENGTH).mul_(2).sub_(1)
        places = draws.uniform(0, 1, LENGTH, 2)
        photos = to_float(photos).clone(memory_format=torch.contiguous_format)
        for step in range(LENGTH):
            drawn = Drawn(magnitudes[chosen, step], signs[:, step], places[:, step])
            words = [names[part][step] for part in chosen.tolist()]
            apply_each(photos, words, happens[:, step].tolist(), drawn, operations)
        return photos

    return apply


def apply_each(
    photos: Tensor, words: list[str], happens: list[bool], drawn: Drawn, operations: dict[str, Operation]
) -> None:
    """Writes to `photos`: the operation `words[i]` to photo i where it happens, all photos of a word at once."""
    groups: dict[str, list[int]] = {}
    for row, (word, does) in enumerate(zip(words, happens, strict=True)):
        if does:
            groups.setdefault(word, []).append(row)
    for word, members in groups.items():
        rows = torch.tensor(members)
        own = Drawn(drawn.magnitude[rows], drawn.sign[rows], drawn.place[rows])
        on_device = rows.to(photos.device, non_blocking=True)
        photos.index_copy_(0, on_device, operations[word](photos.index_select(0, on_device), own))
