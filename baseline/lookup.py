"""Which run folder is meant: the one that was trained with certain knobs, or the newest one in a folder."""

from __future__ import annotations

import json
from collections.abc import Iterable, Set
from pathlib import Path

from config import Config
from record import differing
from run import is_fold, weights_of

FITTED = ("crop", "mean", "std")  # left open, they are what suits the data, and config.json may say so


def with_parameters(root: Path, wanted: Config, but: Set[str]) -> Path:
    """The newest run folder of --name `wanted.name` that has its parameters, leaving out the knobs `but`.

    Raises ValueError saying what was looked for, and how the nearest one differs.
    """
    folder, default = root / wanted.name, Config()
    found = newest_first(folder.glob("*/config.json"))
    if not found:
        raise ValueError(
            f"{folder} holds no run folder with a best.pt; train one with these knobs first, or say where it is "
            "with --model_dir and --name, or name the run folder itself"
        )
    open_ones = {name for name in FITTED if getattr(wanted, name) == getattr(default, name)}
    others = {path: differing(path, wanted.values(), but | open_ones) for path in found}
    if path := next((path for path in found if not others[path]), None):
        return path
    nearest = min(found, key=lambda path: len(others[path]))
    raise ValueError(
        f"none of the {len(found)} run folders in {folder} has these parameters; of the nearest, {nearest}, "
        f"{', '.join(others[nearest])}. Pass what differs on the command line too, or name the run folder itself"
    )


def newest(folder: Path, model: str) -> Path:
    """`folder` if it is a run folder, else the newest one in it that ended well and is of `model` ("" for any).

    `folder` holds run folders or experiments of them. Raises ValueError.
    """
    if (folder / "config.json").is_file():
        return folder
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder; it is to be a run folder, or one that holds run folders")
    found = newest_first([*folder.glob("*/config.json"), *folder.glob("*/*/config.json")])
    ended = [path for path in found if content(path / "summary.json").get("status") == "SUCCEEDED"]
    if not ended:
        raise ValueError(f"{folder} holds no run folder that ended well; {len(found)} others have a best.pt")
    models = {path: content(path / "config.json")["parameters"]["model"] for path in ended}
    if model and model not in models.values():
        known = ", ".join(sorted(set(models.values())))
        raise ValueError(f"{folder} holds no run folder of model {model} (NAME) that ended well; there are {known}")
    return next(path for path in ended if model in ("", models[path]))


def newest_first(configs: Iterable[Path]) -> list[Path]:
    """The run folders of these config.json that have weights, the one whose best epoch was last first; no folds."""
    folders = [file.parent for file in configs if not is_fold(file.parent)]
    written = {path: max((file.stat().st_mtime_ns for file in weights_of(path)), default=0) for path in folders}
    return sorted((path for path in folders if written[path]), key=written.__getitem__, reverse=True)


def content(path: Path) -> dict:
    return json.loads(path.read_text()) if path.is_file() else {}
