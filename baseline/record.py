"""config.json: what a trial was given, and whether that is what it is given now."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Set
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from config import ASKED, Config
from folds import Split
from run import Run
from samples import Data, Test

REPRODUCIBLE = (
    "on a CPU of the same kind, with the same threads and versions, bit for bit; with others, or on a GPU, to "
    "rounding, which grows: cuDNN tries its kernels and may take another one each time (cudnn.benchmark), "
    "convolutions may round to TF32, some backward kernels add in any order, and several processes add gradients "
    "in pieces and draw a dropout of their own"
)
VERSIONS = ("torch", "torchvision", "timm", "efficientnet-pytorch", "nni", "numpy", "pandas", "pillow")


def describe(
    run: Run, config: Config, overrides: list[dict], data: Data, folds: Split, prior: np.ndarray, **origin: Any
) -> None:
    """config.json, and the entries of summary.json that hold from the start; `origin` is an earlier run folder."""
    parameters = config.values() | {"data_dir": str(data.root)}
    for name in ASKED:  # a trial that takes these with --config is a new one
        del parameters[name]
    run.write_json(
        "config.json",
        {
            "parameters": parameters,
            "overrides": overrides,
            **origin,
            "reproducible": REPRODUCIBLE,
            "versions": versions(),
            "data": described(data),
            "folds": {"hash": folds.hash, "fold": fold_of(config), "count": folds.count}
            | {name: len(getattr(folds, name)) for name in ("train", "validation", "holdout", "test_val")},
            "heads": [
                {"name": head.name, "classes": list(head.classes), "exclusive": head.exclusive}
                for head in data.task.heads
            ],
            "prior": [float(share) for share in prior],
            "submission": submission(data.test),
            "files": files_of(config),
        },
    )
    reason = "no epoch has ended yet" if data.test else f"{data.root} has no test photos"
    run.update(objective=config.metric, test={"predicted": False, "reason": reason})


def described(data: Data) -> dict[str, Any]:
    """What config.json tells of the data."""
    return {
        "fingerprint": data.fingerprint(),
        "layout": data.layout,
        "photos": len(data.train.groups),
        "groups": len(set(data.train.groups)),
        "test_photos": len(data.test.ids) if data.test else 0,
        "notes": data.notes,
    }


def fold_of(config: Config) -> int | str:
    return "all" if config.fold == "all" else int(config.fold)


def files_of(config: Config) -> dict[str, str]:
    """The files of the user's that a trial is made of, its model's and its policies', and what is in them: a hash."""
    from augment import POLICY  # here, as blends have no use for models
    from custom import is_custom, locate
    from policy import RANDOM, find_policy

    files = {config.model: locate(config.model)[0]} if is_custom(config.model) else {}
    for part in config.augmentation.split("+"):
        if part.startswith(POLICY) and not part.startswith(POLICY + RANDOM):
            files[part] = find_policy(part.removeprefix(POLICY))
    return {name: hashlib.sha256(path.read_bytes()).hexdigest()[:16] for name, path in files.items()}


def submission(test: Test | None) -> dict[str, Any]:
    """What hard.csv looks like: its columns, and the answer that stands for each class."""
    return {"columns": [test.id_column, test.answer_column], "answers": list(test.answers)} if test else {}


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


def check_unchanged(path: Path, config: Config, data: Data, folds: Split) -> None:
    """Raises ValueError where the data, its folds or the user's files are not those that `path` was begun with."""
    stored = json.loads((path / "config.json").read_text())
    files = files_of(config)
    if changed := [name for name, digest in stored.get("files", {}).items() if files.get(name) != digest]:
        raise ValueError(
            f"{changed[0]} has changed since {path} was begun; bring the file back as it was, or begin a new run "
            "without --resume"
        )
    noted, notes = stored["data"].get("notes", {}), data.notes
    for name in ("groups", "corrections"):
        if (was := noted.get(name, {}).get("hash")) != (now := notes.get(name, {}).get("hash")):
            raise ValueError(
                f"{name}.csv was {was or 'not there'} at the start of {path}, and is {now or 'not there'} now; bring "
                "it back as it was, or begin a new run without --resume"
            )
    for what, before, now in (
        ("fingerprint", stored["data"]["fingerprint"], data.fingerprint()),
        ("folds", stored["folds"]["hash"], folds.hash),
    ):
        if before != now:
            raise ValueError(
                f"{data.root} is not the data that {path} was trained on: its {what} were {before} and are {now}; "
                "bring that data back, or begin a new run without --resume"
            )
