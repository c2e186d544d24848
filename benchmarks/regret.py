"""What replayed searches came to, over seeds: tables in Markdown, and a picture."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from replay import Record

from run import atomic

SHARES = (1 / 8, 1 / 4, 1 / 3, 1 / 2, 3 / 4, 1.0)  # of the stock search's time
NAMES = ("1/8", "1/4", "1/3", "1/2", "3/4", "1")
GOAL = 1 / 3


@dataclass(frozen=True)
class Outcome:
    """A contest: its records by rival and seed, the stock one's name among them."""

    title: str
    text: str
    start: float  # simulated seconds of a trial beside its epochs
    records: Mapping[str, Sequence[Record]]
    stock: str
    best: float  # of the space that the rivals searched

    @property
    def clock(self) -> float:
        """The stock search's whole time, median over seeds, in simulated seconds."""
        return float(np.median([record.seconds for record in self.records[self.stock]]))

    @property
    def target(self) -> float:
        """What the stock search has found in the end, median over seeds."""
        return float(np.median(finals(self, self.stock)))


def finals(outcome: Outcome, name: str) -> np.ndarray:
    """The best score (seeds,) at the end: of the stock search its own, of the others that of the stock's time."""
    until = math.inf if name == outcome.stock else outcome.clock
    return np.array([record.at(until) for record in outcome.records[name]])


def values_at(outcome: Outcome, name: str, seconds: float) -> np.ndarray:
    return np.array([record.at(seconds) for record in outcome.records[name]])


def quartiles(values: np.ndarray) -> str:
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
    return f"{middle:.3f} ({low:.3f}-{high:.3f})"


def ahead(values: np.ndarray, others: np.ndarray) -> float:
    """The share of all pairs in which the first is higher; a tie counts half."""
    difference = values[:, None] - others[None, :]
    return float((difference > 0).mean() + 0.5 * (difference == 0).mean())


def tables(outcome: Outcome) -> list[str]:
    """The contest in Markdown: how far each had come when, and how soon it was where the stock search ended."""
    return [f"## {outcome.title}", "", outcome.text, *told(outcome), "", *course(outcome), "", *goals(outcome)]


def told(outcome: Outcome) -> list[str]:
    stock = outcome.records[outcome.stock]
    return [
        f"Stock's {stock[0].begun} trials take {outcome.clock:.4g} simulated seconds, median of {len(stock)} seeds; "
        f"{outcome.start:.2g} s of a trial are beside its epochs.",
        f"The best of the space is {outcome.best:.4f}; stock ends at {quartiles(finals(outcome, outcome.stock))}.",
    ]


def course(outcome: Outcome) -> list[str]:
    lines = [
        f"| best so far, median (quartiles), at share of stock's time | {' | '.join(NAMES)} | regret at 1/3 | at 1 |",
        f"|---|{'--:|' * (len(SHARES) + 2)}",
    ]
    for name in outcome.records:
        values = [values_at(outcome, name, share * outcome.clock) for share in SHARES]
        regrets = [outcome.best - np.median(values[SHARES.index(share)]) for share in (GOAL, 1.0)]
        cells = [*map(quartiles, values), *(f"{regret:.3f}" for regret in regrets)]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def goals(outcome: Outcome) -> list[str]:
    lines = [
        f"| until stock's end, {outcome.target:.4f}, is reached | share of its time, median | seeds by 1/3 "
        "| seeds by 1 | final, equal time | ahead of stock | trials | stopped |",
        f"|---|{'--:|' * 7}",
    ]
    end = finals(outcome, outcome.stock)
    for name, records in outcome.records.items():
        shares = np.array([record.reached(outcome.target) for record in records]) / outcome.clock
        own = finals(outcome, name)
        middle = float(np.sort(shares)[(len(shares) - 1) // 2])  # a mean of two would hide that one is never
        begun, stopped = (
            np.median(values) for values in ([r.begun for r in records], [r.ended["EARLY_STOPPED"] for r in records])
        )
        cells = [
            f"{middle:.2f}" if middle <= 1 else "> 1",
            f"{(shares <= GOAL).sum()} of {len(shares)}",
            f"{(shares <= 1).sum()} of {len(shares)}",
            quartiles(own),
            "" if name == outcome.stock else f"{ahead(own, end):.0%}",
            f"{begun:.0f}",
            f"{stopped:.0f}",
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def draw(path: Path, outcomes: Sequence[Outcome], shown: Mapping[str, str], banded: Sequence[str]) -> None:
    """Best so far over the share of the stock's time, a panel a contest: `shown` are rivals and their colours."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows = -(-len(outcomes) // 2)
    figure, panels = pyplot.subplots(rows, 2, figsize=(13, 5 * rows + 0.8), layout="constrained", squeeze=False)
    for panel, outcome in zip(panels.flat, outcomes, strict=False):
        plot(panel, outcome, shown, banded)
    for panel in panels[:, 0]:
        panel.set_ylabel("best validation macro F1 so far, median of seeds")
    figure.legend(*panels[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=10)
    atomic(path, lambda file: figure.savefig(file, dpi=110, format="png"))
    pyplot.close(figure)


def plot(panel: Any, outcome: Outcome, shown: Mapping[str, str], banded: Sequence[str]) -> None:
    moments, early = np.linspace(0.0, 1.0, 401)[1:], []
    for name, colour in shown.items():
        course = np.array([values_at(outcome, name, share * outcome.clock) for share in moments])
        low, middle, high = np.quantile(course, [0.25, 0.5, 0.75], axis=1)
        label, width = (f"{name} (band: quartiles)", 2.4) if name in banded else (name, 1.4)
        panel.plot(moments, np.where(middle > 0, middle, np.nan), color=colour, label=label, linewidth=width)
        if name in banded:
            panel.fill_between(moments, low, high, where=low > 0, color=colour, alpha=0.16, linewidth=0)
        early.append(middle[len(moments) // 10])
    panel.axhline(outcome.target, color="0.4", linewidth=0.9, linestyle="--")
    panel.annotate("stock's end", (0.01, outcome.target), va="bottom", fontsize=9, color="0.3")
    panel.axvline(GOAL, color="0.4", linewidth=0.9, linestyle=":")
    panel.annotate(" 1/3 of its time", (GOAL, 0.02), xycoords=("data", "axes fraction"), fontsize=9, color="0.3")
    spread = outcome.best - min(early)
    panel.set_ylim(min(early) - 0.1 * spread, outcome.best + 0.05 * spread)
    panel.set_xlim(0, 1)
    panel.set_title(outcome.title, fontsize=12)
    panel.set_xlabel("simulated time / stock S3's time")
    panel.grid(alpha=0.25)
