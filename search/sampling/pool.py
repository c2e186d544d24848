"""The points of a search: which to try next, no point twice, and what became of each (an Optuna study)."""

from __future__ import annotations

import math
import random
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.trial import TrialState

from branches import flat
from sampling.past import Past
from sampling.reports import running
from sampling.samplers import KNOW_STOPPED, SAMPLERS
from sampling.scales import MOST
from sampling.space import Numbers, Point, Space, key

AGAIN = 100  # draws of a space without end before it is taken for used up

optuna.logging.set_verbosity(optuna.logging.WARNING)


@dataclass
class Pool:
    """A search's points in one space. `best` is max or min: which of two objectives is better."""

    space: Space
    sampler: str
    seed: int | None
    startup: int
    best: Callable[[float, float], float] = max
    study: optuna.Study = field(init=False)
    used: set[str] = field(default_factory=set)  # keys of points
    waiting: list[Numbers] = field(default_factory=list)  # to be tried first, perhaps in part
    failed: list[optuna.Trial | int] = field(default_factory=list)  # until one value is worse than another
    values: list[float] = field(default_factory=list)  # the worst and the best so far; alike after one trial

    def __post_init__(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)  # group of TPE, margins of CMA-ES
            sampler = SAMPLERS.build(self.sampler, {"seed": self.seed, "startup": self.startup})
        direction = "maximize" if self.best is max else "minimize"
        self.study = optuna.create_study(direction=direction, sampler=sampler)
        self.rng = random.Random(self.seed)
        self.grid = self.shuffled() if self.sampler == "grid" else None

    def shuffled(self) -> list[Point]:
        count = self.space.count()
        if count is None or count > MOST:
            raise ValueError(
                f"the sampler grid counts every point, and this search space has {count or 'values without end'}; "
                "write choices, or take the sampler random"
            )
        points = list(self.space.points())
        self.rng.shuffle(points)
        return points

    def draw(self) -> tuple[optuna.Trial, Point] | None:
        """The next point; None where all have been tried, or are being tried."""
        if self.waiting:
            self.study.enqueue_trial(self.waiting.pop(0))
        elif self.grid is not None:
            point = next((point for point in self.grid if key(point) not in self.used), None)
            return self.take(point) if point else None
        trial = self.study.ask()
        point = self.space.draw(trial)
        if key(point) not in self.used:
            return self.hand_out(trial, point)
        self.study.tell(trial, state=TrialState.FAIL)  # teaches nothing
        other = self.unused(trial.params)
        return self.take(other) if other else None

    def unused(self, numbers: Numbers) -> Point | None:
        """The point nearest to what a sampler wanted, of those left; a random one where they cannot be counted."""
        count = self.space.count()
        if count is not None and count <= MOST:
            left = (point for point in self.space.points() if key(point) not in self.used)
            return min(left, key=lambda point: (self.apart(point, numbers), self.rng.random()), default=None)
        by_chance = optuna.create_study(sampler=SAMPLERS.build("random", {"seed": self.rng.randrange(2**32)}))
        for _ in range(AGAIN):
            point = self.space.draw(by_chance.ask())
            if key(point) not in self.used:
                return point
        return None

    def apart(self, point: Point, numbers: Numbers) -> float:
        return self.space.apart(self.space.numbers(flat(point)), numbers)

    def take(self, point: Point) -> tuple[optuna.Trial, Point]:
        """`point` itself."""
        self.study.enqueue_trial(self.space.numbers(flat(point)))
        trial = self.study.ask()
        self.space.draw(trial)
        return self.hand_out(trial, point)

    def hand_out(self, trial: optuna.Trial, point: Point) -> tuple[optuna.Trial, Point]:
        self.used.add(key(point))
        return trial, point

    def give_back(self, trial: optuna.Trial, point: Point) -> None:
        """A trial that somebody cancelled: its point may come again."""
        self.study.tell(trial, state=TrialState.FAIL)
        self.used.discard(key(point))

    def succeeded(self, trial: optuna.Trial, value: float) -> None:
        self.study.tell(trial, value)
        self.compare(value)

    def stopped(self, trial: optuna.Trial, so_far: dict[int, float]) -> None:
        """Ended early; `so_far`: what its result would have been after each epoch, or fold."""
        if self.sampler not in KNOW_STOPPED:
            self.succeeded(trial, list(so_far.values())[-1])
            return
        for step, value in so_far.items():
            trial.report(value, step)
        self.study.tell(trial, state=TrialState.PRUNED)

    def has_failed(self, trial: optuna.Trial | int) -> None:
        """As bad as the worst trial so far; it waits until there is a worse and a better one."""
        self.failed.append(trial)
        self.tell_failed()

    def compare(self, value: float) -> None:
        worse = min if self.best is max else max
        worst, best = self.values or (value, value)
        self.values = [worse(worst, value), self.best(best, value)]
        self.tell_failed()

    def tell_failed(self) -> None:
        if len(set(self.values)) > 1:
            for trial in self.failed:
                self.study.tell(trial, self.values[0])
            self.failed = []

    def learn(self, past: Past, numbers: Numbers) -> None:
        """Of a trial of another search, or of this one before it was resumed; the point is not used up by that.

        Raises ValueError for one that says nothing.
        """
        so_far = running(enumerate(past.curve, 1), self.best, past.folds)
        if past.status == "SUCCEEDED" and past.objective is not None and math.isfinite(past.objective):
            self.add(numbers, value=past.objective)
            self.compare(past.objective)
        elif past.status == "EARLY_STOPPED" and so_far and self.sampler in KNOW_STOPPED:
            last = list(so_far.values())[-1]
            self.add(numbers, state=TrialState.PRUNED, value=last, intermediate_values=so_far)
        elif past.status == "EARLY_STOPPED" and so_far:
            self.learn(replace(past, status="SUCCEEDED", objective=list(so_far.values())[-1]), numbers)
        elif past.status == "FAILED":
            self.add(numbers, state=TrialState.RUNNING)
            self.has_failed(len(self.study.get_trials(deepcopy=False)) - 1)
        else:
            raise ValueError(f"{past.status}, but no objective is known")

    def add(self, numbers: Numbers, **how: Any) -> None:
        """A trial that the sampler was not asked for."""
        distributions = self.space.distributions(numbers)
        self.study.add_trial(optuna.trial.create_trial(params=numbers, distributions=distributions, **how))
