"""`--seeds 5`: how much of a trial's result is chance? The same trial with five seeds, one after another."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from checkpoint import scores
from config import Config


def each_seed(config: Config) -> Iterator[Config]:
    """The trial of each seed. Raises ValueError for several that are to go on in one run folder."""
    if config.seeds > 1 and config.resume not in ("", "auto"):
        raise ValueError(
            f"--seeds {config.seeds} trains in as many run folders, but --resume {config.resume} names one; "
            "--resume auto goes on with all of them"
        )
    for number in range(config.seeds):
        yield replace(config, seed=config.seed + number)


def tell_seeds(paths: list[Path]) -> None:
    """Prints mean, standard deviation (of n - 1) and each value of every metric; nothing of a single trial.

    Raises ValueError where they were not trained on the same photos and folds.
    """
    if len(paths) == 1:
        return
    configs = [json.loads((path / "config.json").read_text()) for path in paths]
    for path, config in zip(paths, configs, strict=True):
        if any(
            config[name][key] != configs[0][name][key] for name, key in (("data", "fingerprint"), ("folds", "hash"))
        ):
            raise ValueError(
                f"{path} and {paths[0]} were trained on other data or folds, so their scores do not compare; train all "
                "seeds anew, without --resume auto"
            )
    found = [scores(json.loads((path / "summary.json").read_text())["metrics"]) for path in paths]
    print(f"seeds {', '.join(str(config['parameters']['seed']) for config in configs)} in {paths[0].parent}:")
    for name in found[0]:
        values = [each[name] for each in found]
        each = " ".join(f"{value:.4f}" for value in values)
        print(f"{name}: {statistics.fmean(values):.4f} ± {statistics.stdev(values):.4f}  ({each})", flush=True)
