"""What a run's model had seen before its own training: the weights that it started from may be another run's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def check_weights(folder: Path, config: dict[str, Any]) -> None:
    """Raises ValueError where the run started from weights of a run that may have trained on its validation photos.

    Weights of a run of the same fold of the same folds pass, if those that it started from do; other files pass too.
    """
    folds, seen = config["folds"], {folder}
    while given := config.get("parameters", {}).get("weights", ""):
        weights = Path(given).expanduser()
        if not weights.is_file():
            print(
                f"note: {folder} started from {given}, which is not here to tell what it had been trained on",
                flush=True,
            )
            return
        beside = weights.resolve().parent
        config = read_json(beside / "config.json")
        if not config or beside in seen:
            return
        theirs = config.get("folds", {})
        same = all(str(theirs.get(name)) == str(folds[name]) for name in ("hash", "fold"))
        if not same or str(folds["fold"]) == "all":
            raise ValueError(
                f"{folder} started from {weights}, the weights of a run of another fold or of other folds, so its "
                "model may have been trained on the photos that it validated; leave it out"
            )
        seen.add(beside)


def read_json(path: Path) -> dict[str, Any]:
    """Empty where there is none. Raises ValueError for what is not JSON."""
    try:
        return json.loads(path.read_text()) if path.is_file() else {}
    except ValueError as error:
        raise ValueError(f"{path} is not JSON ({error}); bring it back, or leave the run out") from error
