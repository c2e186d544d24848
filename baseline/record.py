"""config.json: what a trial was given, and whether that is what it is given now."""

from __future__ import annotations

import json
import platform
from collections.abc import Set
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from config import Config
from dataset import Data
from folds import Split
from run import Run

VERSIONS = ("torch", "torchvision", "timm", "efficientnet-pytorch", "nni", "numpy", "pandas", "pillow")


def describe(run: Run, config: Config, overrides: list[dict], data: Data, folds: Split, prior: np.ndarray) -> None:
    """config.json, and the entries of summary.json that hold from the start."""
    parameters = config.values() | {"data_dir": str(data.root)}
    del parameters["resume"]  # a trial that takes these with --config is a new one
    run.write_json(
        "config.json",
        {
            "parameters": parameters,
            "overrides": overrides,
            "versions": versions(),
            "data": {
                "fingerprint": data.fingerprint(),
                "photos": len(data.train.groups),
                "groups": len(set(data.train.groups)),
                "test_photos": len(data.test.ids) if data.test else 0,
            },
            "folds": {"hash": folds.hash, "fold": config.fold, "count": int(folds.folds.max()) + 1}
            | {name: len(getattr(folds, name)) for name in ("train", "validation", "holdout")},
            "heads": [{"name": head.name, "classes": list(head.classes)} for head in data.task.heads],
            "prior": [float(share) for share in prior],
        },
    )
    reason = "no epoch has ended yet" if data.test else f"{data.root} has no eval part"
    run.update(objective=config.metric, test={"predicted": False, "reason": reason})


def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in VERSIONS:
        with suppress(PackageNotFoundError):  # a machine may lack what its trials do not use
            found[name] = version(name)
    return found


def differing(path: Path, parameters: dict[str, Any], but: Set[str]) -> list[str]:
    """What the run folder `path` was given otherwise than `parameters`, leaving out the knobs `but`."""
    # a knob that is newer than the folder had its default
    stored = Config().values() | json.loads((path / "config.json").read_text())["parameters"]
    return [
        f"{name} is {stored[name]!r} there and {parameters.get(name)!r} now"
        for name in stored
        if name not in but and stored[name] != parameters.get(name)
    ]


def check_data(path: Path, data: Data, folds: Split) -> None:
    """Raises ValueError where the data or its folds are not those that the run folder `path` was begun with."""
    stored = json.loads((path / "config.json").read_text())
    for what, before, now in (
        ("fingerprint", stored["data"]["fingerprint"], data.fingerprint()),
        ("folds", stored["folds"]["hash"], folds.hash),
    ):
        if before != now:
            raise ValueError(
                f"{data.root} is not the data that {path} was trained on: its {what} were {before} and are {now}; "
                "bring that data back, or begin a new run without --resume"
            )
