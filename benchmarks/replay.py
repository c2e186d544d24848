"""A search replayed over learning curves that were trained before: simulated workers and a simulated clock.

What searches is real: tuners, assessors and advisors of NNI's interface are called as NNI's dispatcher calls them
(nni/runtime/msg_dispatcher.py, repaired by search/repairs/search.patch), in the order in which their trials' reports
would arrive. A trial takes `start` seconds, then the seconds of its curve's epochs, and reports after each of these.
What an assessor says of a trial's last report comes too late to stop it.
"""

from __future__ import annotations

import heapq
import itertools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

Parameters = dict[str, Any]
Report = dict[str, float]  # what a trial tells NNI after an epoch: {"default": its objective, "epoch": from 1}


@dataclass(frozen=True)
class Curve:
    scores: tuple[
        float, ...
    ]  # validation macro F1 of each epoch that ended; fewer than all where the loss was no number
    seconds: float  # of an epoch


@dataclass(frozen=True)
class Table:
    """The curves of a whole grid by their places in it, (place of the first knob's value, …)."""

    grid: Mapping[str, tuple]
    curves: Mapping[tuple[int, ...], Curve]
    epochs: int

    def find(self, parameters: Mapping[str, Any]) -> Curve:
        """The curve of `parameters`; a number between two of the grid takes the one whose logarithm is nearer.

        Raises ValueError for any other value that the grid does not have.
        """
        return self.curves[tuple(place_of(values, name, parameters[name]) for name, values in self.grid.items())]

    def best(self, chosen: Mapping[str, Sequence]) -> float:
        """The highest score of any epoch of a configuration whose values are all in `chosen`."""
        inside = {name: {self.grid[name].index(value) for value in chosen[name]} for name in self.grid}
        return max(
            score
            for places, curve in self.curves.items()
            if all(place in own for place, own in zip(places, inside.values(), strict=True))
            for score in curve.scores
        )


def place_of(values: tuple, name: str, value: Any) -> int:
    if value in values:
        return values.index(value)
    if isinstance(value, float) and values[0] < value < values[-1]:
        return min(range(len(values)), key=lambda place: abs(math.log(values[place] / value)))
    raise ValueError(f"no curve has {name} = {value!r}; there are {', '.join(map(str, values))}")


def read_table(path: Path) -> Table:
    """A file of curves.py. Raises ValueError where it does not hold its whole grid."""
    read = json.loads(path.read_text())
    grid = {name: tuple(values) for name, values in read["knobs"].items()}
    curves = {tuple(places): Curve(tuple(scores), seconds) for places, seconds, scores, _ in read["curves"]}
    if missing := math.prod(map(len, grid.values())) - len(curves):
        raise ValueError(f"{path} lacks {missing} curves of its grid; train them with benchmarks/curves.py")
    return Table(grid, curves, read["epochs"])


@dataclass
class Trial:
    job: str  # NNI's name for it
    number: Any  # parameter_id
    parameters: Parameters
    epochs: int  # that it is asked to train
    history: list[Report] = field(default_factory=list)


class Search(Protocol):
    """What decides: a tuner with or without an assessor (Dispatched), or an advisor (rivals.py)."""

    def ask(self, job: str, epochs: int) -> Trial | None:
        """The next trial, None if there is none now."""

    def report(self, trial: Trial) -> bool:
        """Takes the last entry of the trial's history; whether it may go on."""

    def finish(self, trial: Trial, value: Report) -> None:
        """The trial's own final result."""

    def end(self, trial: Trial, event: str) -> None:
        """The trial's process has ended: SUCCEEDED, EARLY_STOPPED or FAILED."""


class Dispatched:
    """A tuner and an assessor behind NNI's dispatcher."""

    def __init__(self, tuner: Any, assessor: Any | None, space: Mapping[str, Any]) -> None:
        self.tuner, self.assessor = tuner, assessor
        self.count = itertools.count()
        tuner.update_search_space(space)

    def ask(self, job: str, epochs: int) -> Trial | None:
        number = next(self.count)
        points = self.tuner.generate_multiple_parameters([number], st_callback=None)
        return Trial(job, number, points[0], epochs) if points else None

    def report(self, trial: Trial) -> bool:
        if self.assessor is None:
            return True
        verdict = self.assessor.assess_trial(trial.job, list(trial.history))
        if not isinstance(verdict, bool) and getattr(verdict, "name", None) not in ("Good", "Bad"):
            raise RuntimeError(f"the assessor answers {verdict!r}, of which NNI's dispatcher dies")
        return verdict if isinstance(verdict, bool) else verdict.name == "Good"

    def finish(self, trial: Trial, value: Report) -> None:
        told = {"customized": False, "trial_job_id": trial.job}
        self.tuner.receive_trial_result(trial.number, trial.parameters, value, **told)

    def end(self, trial: Trial, event: str) -> None:
        if self.assessor is not None and trial.history:  # NNI's dispatcher tells only of trials that reported
            self.assessor.trial_end(trial.job, event == "SUCCEEDED")
        told = {"trial_job_id": trial.job, "event": event, "history": trial.history if self.assessor else []}
        self.tuner.trial_end(trial.number, event == "SUCCEEDED", **told)


@dataclass
class Record:
    """What a replayed search did. `best` are the moments at which its best score so far rose: (seconds, score)."""

    best: list[tuple[float, float]] = field(default_factory=list)
    begun: int = 0
    ended: dict[str, int] = field(default_factory=lambda: {"SUCCEEDED": 0, "EARLY_STOPPED": 0, "FAILED": 0})
    seconds: float = 0.0  # when the last trial ended, or the clock was stopped

    def at(self, seconds: float) -> float:
        """The best score that was reported by then; 0 before the first."""
        return max((score for moment, score in self.best if moment <= seconds), default=0.0)

    def reached(self, score: float) -> float:
        """When the best score first was at least `score`, in seconds; infinity if never."""
        return next((moment for moment, found in self.best if found >= score), math.inf)

    def note(self, now: float, event: str | None, trial: Trial) -> None:
        """An epoch of `trial` has ended, and the trial with it where there is an event."""
        self.seconds = now
        if event != "FAILED" and (score := trial.history[-1]["default"]) > self.at(now):
            self.best.append((now, score))
        if event is not None:
            self.ended[event] += 1


def replay(
    table: Table,
    search: Search,
    workers: int,
    start: float,
    until: float = math.inf,
    most: float = math.inf,
    watch: Callable[[float, str, Trial], None] = lambda now, what, trial: None,
) -> Record:
    """Runs `search` until no trial is left, `most` trials have begun and ended, or the clock shows `until` seconds.

    `watch` hears what happens: began, reported, how a trial ended; of two at one moment the one planned first.
    """
    record, queue, order = Record(), [], itertools.count()

    def plan(trial: Trial, now: float) -> None:
        heapq.heappush(queue, (now + table.find(trial.parameters).seconds, next(order), trial))

    def fill(now: float) -> None:
        while len(queue) < workers and record.begun < most:
            if (trial := search.ask(f"job{record.begun}", table.epochs)) is None:
                return
            record.begun += 1
            watch(now, "began", trial)
            plan(trial, now + start)

    fill(0.0)
    while queue and queue[0][0] <= until:
        now, _, trial = heapq.heappop(queue)
        event = step(table.find(trial.parameters), search, trial)
        record.note(now, event, trial)
        watch(now, event or "reported", trial)
        if event is None:
            plan(trial, now)
            continue
        search.end(trial, event)
        fill(now)
    if queue:
        record.seconds = until
    return record


def step(curve: Curve, search: Search, trial: Trial) -> str | None:
    """An epoch of `trial` has ended: the report, and how the trial ended, if it did.

    Its final result is that of its best epoch, as baseline/train.py has it.
    """
    done = len(trial.history)
    if done == len(curve.scores):  # the loss was no number
        return "FAILED"
    trial.history.append({"default": curve.scores[done], "epoch": done + 1})
    goes_on = search.report(trial)
    if done + 1 == trial.epochs:
        search.finish(trial, max(trial.history, key=lambda report: report["default"]))
        return "SUCCEEDED"
    return None if goes_on else "EARLY_STOPPED"
