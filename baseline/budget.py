"""`--max_trial_minutes`: a trial ends in order, after an epoch, where the next would pass its time."""

from __future__ import annotations

import time
from collections.abc import Iterator

from config import Config
from predecessor import taken_over
from run import Run


class Budget:
    """The time of a trial; where it is over before all epochs are trained, summary.json's `budget` says so."""

    def __init__(self, run: Run, config: Config) -> None:
        self.run, self.config = run, config
        self.over = False
        self.began: float | None = None  # of an epoch that is not counted yet

    def epochs(self) -> Iterator[int]:
        """The numbers of the epochs that are to be trained, each one asked for when the one before has ended."""
        for epoch in range(len(self.run.history) + 1, self.config.epochs + 1):
            if self.last() < epoch:
                return
            self.began = time.monotonic()
            yield epoch

    def last(self) -> int:
        """The number of the trial's last epoch, as it is known when an epoch has ended."""
        run, most = self.run, self.config.max_trial_minutes
        if not most:
            return self.config.epochs
        if self.began is not None:  # kept, as a resumed trial is to know it
            spent = time.monotonic() - self.began
            run.update(epoch_seconds=max(run.summary.get("epoch_seconds", 0.0), spent))
            self.began = None
        done = len(run.history)
        if not self.over and taken_over(run) < done < self.config.epochs and self.would_pass():
            told = f"max_trial_minutes {most:g}: ended after epoch {done} of {self.config.epochs}"
            print(told, flush=True)
            run.update(budget=told)
            self.over = True
        return done if self.over else self.config.epochs

    def would_pass(self) -> bool:
        """Whether another epoch, as long as the longest of this trial so far, would end after its time.

        The seconds in its history are those of training alone; they count where it was killed before more was known.
        """
        run = self.run
        trained = [row["seconds"] for row in run.history[taken_over(run) :]]
        return run.seconds + max(run.summary.get("epoch_seconds", 0.0), *trained) > self.config.max_trial_minutes * 60
