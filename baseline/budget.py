"""`--max_trial_minutes`: a trial ends in order, after an epoch, where the next would pass its time."""

from __future__ import annotations

import time
from collections.abc import Iterator

from config import Config
from predecessor import taken_over
from run import Run


def epochs_to_go(run: Run, config: Config) -> Iterator[int]:
    """The numbers of the epochs that are to be trained, each one asked for when the one before has ended.

    Where the time is over before all are, summary.json's `budget` says so.
    """
    for epoch in range(len(run.history) + 1, config.epochs + 1):
        if config.max_trial_minutes and len(run.history) > taken_over(run) and would_pass(run, config):
            told = f"max_trial_minutes {config.max_trial_minutes:g}: ended after epoch {epoch - 1} of {config.epochs}"
            print(told, flush=True)
            run.update(budget=told)
            return
        began = time.monotonic()
        yield epoch
        if config.max_trial_minutes:  # kept, as a resumed trial is to know it
            run.update(epoch_seconds=max(run.summary.get("epoch_seconds", 0.0), time.monotonic() - began))


def would_pass(run: Run, config: Config) -> bool:
    """Whether another epoch, as long as the longest of this trial so far, would end after its time.

    The seconds in its history are those of training alone; they count where it was killed before more was known.
    """
    trained = [row["seconds"] for row in run.history[taken_over(run) :]]
    return run.seconds + max(run.summary.get("epoch_seconds", 0.0), *trained) > config.max_trial_minutes * 60
