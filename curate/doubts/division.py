"""Whether the column fold of val_soft.csv is what the data itself says, where the data is here to ask."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dataset import read
from doubts.unseen import Unseen
from folds import divide
from rules import restore


def check_division(runs: Sequence[Unseen], root: Path) -> None:
    """Raises ValueError where a photo of a run validates in another fold of the data `root` than the run says.

    The folds are those that the run's knobs make. Where they are not those that it trained in, as groups.csv has
    changed since, nothing can be told, which is printed.
    """
    known: dict[str, dict[str, int]] = {}
    for run in runs:
        name = run.config["folds"]["hash"]
        if name not in known:
            known[name] = folds_of(run, root)
        folds = known[name]
        for photo, fold in zip(run.validation.ids, run.validation.folds.tolist(), strict=True):
            if folds.get(photo, fold) != fold:
                raise ValueError(
                    f"{run.validation.path}: {photo} stands in fold {fold} and validates in {folds[photo]}, so a model "
                    "may have been trained on it; bring back the file that the run wrote"
                )


def folds_of(run: Unseen, root: Path) -> dict[str, int]:
    """The fold of each photo, of a run whose folds are those of its hash; none where that cannot be told."""
    try:
        config = restore(run.path / "config.json", data_dir=str(root), corrections="none")
        data = read(config.data_dir, config.dataset, config.values())
        split = divide(config, data)
        if split.hash == run.config["folds"]["hash"]:
            return dict(zip(data.train.ids, split.folds.tolist(), strict=True))
        why = f"the data now makes the folds {split.hash}, the run had {run.config['folds']['hash']}"
    except (ValueError, OSError, KeyError) as error:
        why = str(error)
    print(f"note: whether {run.path} holds the photos of its fold is not checked: {why}", flush=True)
    return {}
