"""What values knobs may have: a word becomes a knob's value, and several must fit together."""

from __future__ import annotations

import json
import typing
from dataclasses import replace
from pathlib import Path
from typing import Any

from config import FIELDS, TYPES, Config
from knob import check_range, scalar
from registry import unknown
from run import place_of


def convert(name: str, raw: Any, source: str) -> Any:
    """`raw` as the type of knob `name`, checked against its range. Raises ValueError."""
    if name not in FIELDS:
        raise unknown(f"knob from {source}:", name, FIELDS)
    kind, rules = TYPES[name], FIELDS[name].metadata
    try:
        if typing.get_origin(kind) is tuple:
            items = raw if isinstance(raw, (list, tuple)) else str(raw).split()
            value = tuple(scalar(typing.get_args(kind)[0], item) for item in items)
            value = value * 2 if name == "resize" and len(value) == 1 else value
            if rules["length"] and len(value) != rules["length"]:
                raise ValueError(f"{rules['length']} numbers are needed")
        else:
            value = scalar(kind, raw)
        check_range(value, rules)
    except ValueError as error:
        raise ValueError(f"{source}: {name} = {raw!r} is impossible: {error}. {name} is {rules['text']}") from error
    return value


def check(config: Config) -> Config:
    """Rules over several knobs. Raises ValueError."""
    if config.age_boundaries[0] >= config.age_boundaries[1]:
        raise ValueError(f"age_boundaries {config.age_boundaries} must rise")
    for name in ("scale", "blur_sigma", "erasing_area"):
        low, high = getattr(config, name)
        if low > high:
            raise ValueError(f"{name} {low:g} {high:g} is empty; give the smaller number first")
    if config.lr_decay_step and config.schedule not in ("auto", "step"):
        raise ValueError(f"lr_decay_step {config.lr_decay_step} belongs to --schedule step, not {config.schedule}")
    if config.nesterov and (config.optimizer.lower() != "sgd" or not config.momentum):
        raise ValueError(
            f"--nesterov true needs --optimizer SGD with a --momentum above 0, not {config.optimizer} with "
            f"{config.momentum:g}"
        )
    if config.fold != "all" and not (config.fold.isascii() and config.fold.isdigit()):
        raise ValueError(f"--fold {config.fold!r} is neither a number from 0 nor all")
    if config.folds == 1:
        raise ValueError("--folds 1 would leave nobody to train on; 2 at least, or 0 for those of --val_ratio")
    if sum(config.head_weights) == 0:
        raise ValueError("--head_weights are all 0, so nothing would be learnt")
    if config.name != Path(config.name).name or config.name in ("", ".", ".."):
        raise ValueError(f"--name {config.name!r} names a folder under the output root, so it has no / and is not ..")
    if config.schedule == "step" and not config.lr_decay_step:
        raise ValueError("--schedule step needs --lr_decay_step EPOCHS")
    return config


def anchored(config: Config) -> Config:
    """`config` with the places of notes and run folders as they are from anywhere, since a run folder keeps them."""
    places = {"notes_dir": config.notes_dir, "groups": config.groups, "corrections": config.corrections}
    named = {name: place for name, place in places.items() if place not in ("", "auto", "none")}
    host, path = place_of(config.continue_run)
    if config.continue_run and not host:  # on another machine ~ is another folder
        named["continue_run"] = str(path)
    return replace(config, **{name: str(Path(place).expanduser().absolute()) for name, place in named.items()})


def restore(path: Path, **changes: Any) -> Config:
    """The Config that a run folder's config.json holds, with `changes`."""
    stored = json.loads(path.read_text())["parameters"]
    return check(Config(**{name: convert(name, value, str(path)) for name, value in (stored | changes).items()}))
