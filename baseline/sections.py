"""Files of knobs in sections, {train: {batch_size: 16}, optimizer: {name: adam, params: {lr: .001}}}, made flat.

A value sets the knob of its own name, whatever sections it stands in; `name` in a section sets what the section
chooses. Other systems' words for both are translated.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from config import FIELDS
from registry import unknown

# what the `name` in a section chooses
SECTIONS = {
    "model": "model",
    "optimizer": "optimizer",
    "criterion": "criterion",
    "loss": "criterion",
    "schedule": "schedule",
    "scheduler": "schedule",
    "augmentation": "augmentation",
    "transform": "augmentation",
    "dataset": "dataset",
    "data": "dataset",
}
RENAMED = {
    **{word: knob for word, knob in SECTIONS.items() if word != "data"},  # loss: focal is {name: focal}
    "num_epochs": "epochs",
    "num_grad_acc": "accumulation",
    "step_size": "lr_decay_step",
    "milestones": "lr_drops",
}
# by the word of the section and the value's own
WITHIN = {
    **{(word, "gamma"): "lr_decay" for word in ("schedule", "scheduler")},
    **{(word, "gamma"): "focal_gamma" for word in ("criterion", "loss")},
    **{(word, "batch_size"): "valid_batch_size" for word in ("eval", "valid", "validation")},
    **{(word, "dir"): "data_dir" for word in ("dataset", "data")},
}
SCHEDULE_WORDS = {"multi_step": "drops", "none": "constant"}
PARAMS = "params"  # a section's further values


def flatten(path: Path, content: dict[str, Any]) -> dict[str, Any]:
    """The knobs in `content` of the file `path`. Raises ValueError for what is none, naming its place (train.foo)."""
    knobs, places = {}, {}
    for trail, value in leaves(content):
        place = ".".join(trail)
        name = knob_of(path, trail)
        if value is None:
            raise ValueError(f"--config {path}: {place} is empty; give it a value, or remove it")
        if name == "schedule":
            value = SCHEDULE_WORDS.get(str(value).lower(), value)
        if name in knobs and knobs[name] != value:
            raise ValueError(
                f"--config {path}: {places[name]} and {place} both set {name}, to {knobs[name]!r} and {value!r}; "
                "keep one of them"
            )
        knobs[name], places[name] = value, place
    return knobs


def refuse_twice(path: Path, node: Any, place: str = "") -> None:
    """Raises ValueError where a mapping of the YAML `node` has a word twice, of which the first would be lost."""
    seen = set()
    for word, value in node.value if getattr(node, "id", "") == "mapping" else ():
        here = f"{place}{word.value}"
        if here in seen:
            raise ValueError(f"--config {path} line {word.start_mark.line + 1}: {here} stands there twice; keep one")
        seen.add(here)
        refuse_twice(path, value, f"{here}.")


def leaves(content: dict[str, Any], before: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Each value that is no section, with the words that lead to it."""
    for word, value in content.items():
        trail = (*before, str(word))
        if isinstance(value, dict):
            yield from leaves(value, trail)
        elif not (value is None and before and word == PARAMS):
            yield trail, value


def knob_of(path: Path, trail: tuple[str, ...]) -> str:
    """The knob that the value at `trail` sets. Raises ValueError for none."""
    *sections, word = trail
    sections = [section for section in sections if section != PARAMS]
    nearest = sections[-1] if sections else ""
    if word == "name" and nearest in SECTIONS:
        return SECTIONS[nearest]
    name = WITHIN.get((nearest, word)) or (word if word in FIELDS else RENAMED.get(word, word))
    if name not in FIELDS:
        raise unknown(f"knob in --config {path}, at {'.'.join(trail)}:", word, {*FIELDS, *RENAMED})
    return name
