"""What the terminal shows of a blend: what it is worth, and what it is made of."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from entries import common_knobs, unlike
from members import Member
from nested import Judgement
from recipe import Recipe


def console() -> Console:
    return Console(width=None if sys.stdout.isatty() else 120, highlight=False)


def show_judgement(judgement: Judgement) -> None:
    """Scores on people left out of each fit, and in words whether the fit is worth its trouble."""
    table = Table()
    table.add_column("blend")
    table.add_column(judgement.metric, justify="right")
    table.add_column("95 % interval over people", justify="right")
    for name, score in judgement.rows.items():
        table.add_row(name, f"{score.value:.4f}", f"{score.low:.4f} to {score.high:.4f}")
    out, gain = console(), judgement.gain
    out.print(f"Judged on {judgement.people} validation people, each left out of the fit that answers for it:")
    out.print(table)
    change = f"{gain.value:+.4f} ({gain.low:+.4f} to {gain.high:+.4f})"
    out.print(
        f"{judgement.of} against {judgement.equal}: {change} in {judgement.parts} nested folds of people.",
        soft_wrap=True,
    )
    if judgement.recommended == judgement.equal:
        out.print("That is not better beyond noise: the equal blend is recommended, being simpler.", soft_wrap=True)
    else:
        out.print(f"That is better beyond noise: {judgement.of} is recommended.", soft_wrap=True)


def show_weights(recipe: Recipe, members: Sequence[Member]) -> None:
    """The members by weight, with the knobs unlike most of theirs; temperatures where they were fitted."""
    table, (common, knobs) = Table(), common_knobs(members)
    for name in ("weight", *(["temperature"] if recipe.plan.temperature else [])):
        table.add_column(name, justify="right")
    table.add_column("model", no_wrap=True)
    table.add_column("knobs unlike most")
    for number in recipe.weights.argsort(kind="stable")[::-1]:
        cells = [f"{recipe.weights[number]:.3f}"]
        cells += [f"{recipe.temperatures[number]:.2f}"] if recipe.plan.temperature else []
        others = ", ".join(" ".join(pair) for pair in unlike(members[number], common, knobs))
        table.add_row(*cells, Text(members[number].name), Text(others))
    console().print(f"The blend: {recipe.plan.name}, mean of {recipe.plan.mean} values, {len(members)} models:")
    console().print(table)
