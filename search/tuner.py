"""The tuner of our configs, for NNI: Optuna's samplers, known-good points first, what earlier trials found, no point
twice, and something learnt from trials that failed or were stopped.

tuner:
  className: tuner.OptunaTuner
  codeDirectory: search
  classArgs: {sampler: tpe, first: known_good.json, history: ["outputs/*"], seed: 0}
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nni
import optuna
from nni.tuner import Tuner

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT / "baseline"))

import ledger
from branches import flat
from sampling.first import first_points, untried
from sampling.journal import folder_of_search, has_begun, open_journal
from sampling.past import Past, find_past, from_line, searched
from sampling.pool import Pool
from sampling.reports import counts_folds, curve_of, objective_of, running
from sampling.samplers import SAMPLERS
from sampling.space import Numbers, Point, Space, key, read_space

LOG = logging.getLogger("nni.podium")  # NNI writes what is below nni to the experiment's log/dispatcher.log
MODES = {"maximize": max, "minimize": min}


@dataclass
class Live:
    """A trial that has been handed out and has not ended."""

    point: Point
    began: datetime
    trial: optuna.Trial | None = None  # None where the search space has been changed and lacks its point
    job: str | None = None  # NNI's id, once it is known
    reports: tuple[Any, ...] = ()


class OptunaTuner(Tuner):
    """sampler: tpe, gp, cmaes, random or grid. seed: the same suggestions for the same results in the same order.

    startup: points drawn at random before the sampler learns; those of first and history count. first: points to begin
    with, a list of knobs by name or a JSON file of them by model (sampling/first.py). history: folders of earlier
    searches or trials, `outputs/*`, relative to the project. outputs: where this search has its own folder.
    """

    makes_nothing = True  # until it is told the search space under NNI: preflight.py may try it
    knows_earlier_trials = True  # those that were under way when NNI was resumed: repairs/search.patch

    def __init__(
        self,
        sampler: str = "tpe",
        seed: int | None = None,
        startup: int = 8,
        first: str | list[dict[str, Any]] = (),
        history: str | list[str] = (),
        optimize_mode: str = "maximize",
        outputs: str = "outputs",
    ) -> None:
        SAMPLERS[sampler]
        if optimize_mode not in MODES:
            raise ValueError(f"optimize_mode is {optimize_mode!r}; write maximize or minimize")
        self.settings = {"sampler": sampler, "startup": startup, "best": MODES[optimize_mode]}
        self.seed, self.first = seed, first or ()
        self.outputs = PROJECT / Path(outputs).expanduser()
        own = folder_of_search(self.outputs)
        self.history = self.found([history] if isinstance(history, str) else history or (), own)
        self.pool: Pool | None = None
        self.journal = None
        self.live: dict[int, Live] = {}
        self.known: list[Past] = []  # of this search
        self.lock = threading.Lock()  # NNI calls from two threads

    def found(self, patterns: Iterable[str], own: Path | None) -> list[Past]:
        """The trials of `history`. Raises ValueError, but not where a search goes on that had begun with another."""
        try:
            return find_past(patterns, PROJECT, but=own)
        except ValueError as error:
            if not own or not has_begun(own):
                raise
            LOG.error("going on without the trials of history: %s", error)
            return []

    def update_search_space(self, search_space: dict[str, Any]) -> None:
        """At the start, and when somebody changes it on NNI's page or with nnictl; what is wrong then is told in the
        log, since NNI would wait for ever."""
        with self.lock:
            if self.pool is None:
                self.journal = open_journal(self.outputs)
                unfinished = self.recall()
                pool = self.make_pool(search_space, len(self.known) + len(unfinished))
                self.go_on(pool, unfinished)
                return
            try:
                pool = self.make_pool(search_space, len(self.known) + len(self.live))
            except ValueError as error:
                LOG.error("the changed search space is not taken: %s", error)
                return
            self.go_on(pool, self.live)

    def make_pool(self, search_space: dict[str, Any], begun: int) -> Pool:
        """`begun`: trials, so that a resumed search does not draw what it drew at first."""
        seed = None if self.seed is None else self.seed + begun
        return Pool(read_space(search_space), seed=seed, **self.settings)

    def untried(self, space: Space, unfinished: dict[int, Live]) -> list[Numbers]:
        """The first points with which no trial has begun. Raises ValueError for one outside the space, but not later,
        when it is the space that was changed."""
        begun = [past.knobs for past in self.known] + [flat(live.point) for live in unfinished.values()]
        try:
            return untried(first_points(self.first, space, LOG.warning), begun, space)
        except ValueError as error:
            if not begun and self.pool is None:
                raise
            LOG.warning("what is left of the first points is not tried: %s", error)
            return []

    def go_on(self, pool: Pool, unfinished: dict[int, Live]) -> None:
        """With a pool that learns what was known before."""
        pool.waiting = self.untried(pool.space, unfinished)
        self.pool = pool
        self.remember([*self.history, *self.known], pool.space)
        pool.used |= {key(past.knobs) for past in self.known}
        self.live = {number: self.adopted(number, live) for number, live in unfinished.items()}

    def recall(self) -> dict[int, Live]:
        """What this search did before it was resumed: fills `known`, returns the trials that had not ended."""
        if self.journal is None:
            return {}
        ended = [line for line in self.journal.ended().values() if line["status"] in ledger.FINAL]
        self.known = [from_line(line) for line in ended]
        done = {key(past.knobs) for past in self.known}
        suggested, now = self.journal.suggested(), datetime.now(UTC)
        left = {number: Live(point, now) for number, point in suggested.items() if key(point) not in done}
        if self.known or left:
            LOG.info("going on: %d trials have ended, %d were under way", len(self.known), len(left))
        return left

    def remember(self, pasts: list[Past], space: Space) -> None:
        """Teaches the pool what fits its space, and says how much does not."""
        strange: dict[str, int] = {}
        for past in sorted(pasts, key=lambda past: past.status != "SUCCEEDED"):  # failures need a value to compare with
            try:
                self.pool.learn(past, space.numbers(searched(space, past.knobs)))
            except ValueError as error:
                strange[str(error)] = strange.get(str(error), 0) + 1
        for why, count in strange.items():
            LOG.warning("history: %d trials are left out: %s", count, why)
        if pasts:
            LOG.info("history: %d of %d trials fit the search space", len(pasts) - sum(strange.values()), len(pasts))

    def adopted(self, number: int, live: Live) -> Live:
        """A trial that runs, or will run again, though this pool did not suggest it."""
        try:
            return replace(live, trial=self.pool.take(live.point)[0])
        except ValueError as error:
            LOG.warning("trial %d is not learnt from: %s", number, error)
            return replace(live, trial=None)

    def generate_parameters(self, parameter_id: int, **_: Any) -> Point:
        with self.lock:
            if parameter_id in self.live:  # from before a resume: NNI gives a number again where no trial began
                return self.live[parameter_id].point
            drawn = self.pool.draw()
            if drawn is None:
                raise nni.NoMoreTrialError("every point of the search space has been tried")
            trial, point = drawn
            if self.journal:
                self.journal.suggest(parameter_id, point)
            self.live[parameter_id] = Live(point, datetime.now(UTC), trial)
            return point

    def receive_trial_result(self, parameter_id: int, parameters: Point, value: Any, **given: Any) -> None:
        with self.lock:
            self.result(parameter_id, value, given.get("trial_job_id"))

    def result(self, number: int, value: Any, job: str | None) -> None:
        if number in self.live:
            self.live[number].job = job
        if objective_of(value) is None:
            self.conclude(number, "FAILED", error=f"its final result is {value!r}, no number")
        else:
            self.conclude(number, "SUCCEEDED", value)

    def trial_end(self, parameter_id: int, success: bool, **given: Any) -> None:
        """Repaired NNI calls it behind the result and gives trial_job_id, event (NNI's word), history (the reports) and
        reported (whether there was a result) too: repairs/search.patch."""
        with self.lock:
            reports, job = tuple(given.get("history", ())), given.get("trial_job_id")
            if parameter_id not in self.live:
                self.complete(job, reports)
                return
            live = self.live[parameter_id]
            live.job, live.reports = job, reports
            if not success:
                self.conclude(parameter_id, ledger.WORDS.get(given.get("event", ""), "INTERRUPTED"))
            elif not given.get("reported", True):  # and nothing comes behind it, where NNI is repaired
                self.conclude(parameter_id, "FAILED", error="it reported no final result")

    def import_data(self, data: list[dict[str, Any]]) -> None:
        """All results of this search when NNI is resumed, those of trials that were under way then when they come, and
        what `nnictl import` brings."""
        with self.lock:
            for entry in data:
                job = entry.get("trial_job_id") or entry.get("trialJobId")
                running_now = {key(live.point): number for number, live in self.live.items()}
                if job and job in {past.where for past in self.known}:
                    continue
                if (point := key(entry["parameter"])) in running_now:
                    self.result(running_now[point], entry["value"], job)
                else:
                    value = objective_of(entry["value"])
                    status = "FAILED" if value is None else "SUCCEEDED"
                    self.known.append(Past(flat(entry["parameter"]), status, value, where=job or ""))
                    self.pool.used.add(key(entry["parameter"]))
                    self.remember(self.known[-1:], self.pool.space)

    def conclude(self, number: int, status: str, value: Any = None, error: str | None = None) -> None:
        """A trial has ended, with what it reported as `value`: the pool learns it, trials.jsonl tells it."""
        if number not in self.live:
            LOG.warning("the result of trial %d is not learnt from: it is not known, or has ended before", number)
            return
        live = self.live.pop(number)
        so_far = running(curve_of(live.reports), self.settings["best"], counts_folds(live.reports))
        if status == "EARLY_STOPPED" and not so_far:
            status, error = "FAILED", "it was stopped before it reported a number"
        if live.trial is not None:
            self.teach(live, status, objective_of(value), so_far)
        line = line_of(number, live, status, value, error)
        if status in ledger.FINAL:
            self.known.append(from_line(line))
        elif self.journal:
            self.journal.suggest(number, None)
        self.write(line)

    def write(self, line: dict[str, Any]) -> None:
        if self.journal and line["id"]:
            self.journal.end(line)

    def teach(self, live: Live, status: str, objective: float | None, so_far: dict[int, float]) -> None:
        if status == "SUCCEEDED":
            self.pool.succeeded(live.trial, objective)
        elif status == "EARLY_STOPPED":
            self.pool.stopped(live.trial, so_far)
        elif status == "FAILED":
            self.pool.has_failed(live.trial)
        else:
            self.pool.give_back(live.trial, live.point)

    def complete(self, job: str | None, reports: tuple[Any, ...]) -> None:
        """Adds the reports of a trial whose result came before its end."""
        if self.journal and job and reports and (line := self.journal.ended().get(job)):
            self.write(line | {"intermediate": [value for _, value in curve_of(reports)]})


def line_of(number: int, live: Live, status: str, value: Any, error: str | None) -> dict[str, Any]:
    """A line of trials.jsonl, until collect.py knows more."""
    told = {name: entry for name, entry in value.items() if name != "default"} if isinstance(value, dict) else {}
    folds = {"folds": True} if counts_folds(live.reports) else {}
    return folds | {
        "id": live.job or "",
        "number": number,
        "parameters": flat(live.point),
        "status": status,
        "metrics": {f"val_{name}": entry for name, entry in told.items()},
        "objective": objective_of(value),
        "intermediate": [entry for _, entry in curve_of(live.reports)],
        "host": "",
        "seconds": round((datetime.now(UTC) - live.began).total_seconds(), 1),
        "started": live.began.isoformat(timespec="seconds"),
        "error": error,
    }
