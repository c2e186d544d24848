"""The parts of a report below its answer, by the names that its template has for them."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "baseline"))

import figures
from axes import ENOUGH, importances, lay_axis, word
from decisions import plain
from entries import common_knobs, unlike
from gallery import Gallery, fill, locate
from members import Member, differing_knobs
from mistakes import calibrate, confuse, score_classes
from standings import Standing, plan_of


def show_blend(blend: Standing | None, metric: str) -> dict[str, Any] | None:
    if blend is None:
        return None
    made, judged = blend.member.config["blend"], blend.member.summary.get("judged")
    pairs = sorted(zip(made["weights"], made["members"], strict=True), key=lambda pair: -pair[0])
    used = [(Path(name).name, weight) for weight, name in pairs if weight > 0]
    return {
        "name": blend.member.path.name,
        "plan": plan_of(blend.member),
        "unused": len(pairs) - len(used),
        "weights": figures.plot(figures.draw_bars(*zip(*used, strict=True), ".1%")),
        "judged": judged,
        "gains": figures.plot(figures.draw_gains(judged["rows"], judged["recommended"], metric)) if judged else None,
    }


def show_curves(standings: Sequence[Standing], metric: str) -> dict[str, Any]:
    trials, curves, damaged = [one for one in standings if not one.member.is_blend], {}, []
    for one in trials:
        try:
            curves[label(one)] = read_curve(one.member.path, metric)
        except ValueError as error:
            damaged.append(str(error))
    drawn = {name: curve for name, curve in curves.items() if curve}
    return {
        "plot": figures.plot(figures.draw_curves(list(drawn.values()), list(drawn), metric)) if drawn else None,
        "legend": list(zip(figures.PALETTE, drawn, strict=False)),
        "count": len(drawn),
        "lacking": len(curves) - len(drawn),
        "damaged": damaged,
    }


def label(standing: Standing) -> str:
    return f"#{standing.rank} {standing.member.path.name}"


def read_curve(folder: Path, metric: str) -> list[tuple[int, float]]:
    """Epoch and validation metric of those lines of history.jsonl that have it. Raises ValueError."""
    path = folder / "history.jsonl"
    if not path.is_file():
        return []
    try:
        entries = [json.loads(line) for line in path.read_text().splitlines()]
        return [(int(entry["epoch"]), float(entry[f"val_{metric}"])) for entry in entries if f"val_{metric}" in entry]
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"history.jsonl of {folder.name} is damaged ({error}); remove it or bring it back") from error


def show_knobs(trials: Sequence[Standing], metric: str) -> dict[str, Any]:
    """Parallel axes and importance of the knobs that differ, where some do."""
    names = differing_knobs([one.member for one in trials])
    scores = [one.scores[metric].value for one in trials]
    axes = [lay_axis(name, [one.member.config["parameters"].get(name) for one in trials]) for name in names]
    shares = importances(axes, scores)
    found = {"names": names, "trials": len(trials), "enough": ENOUGH, "parallel": None, "importance": None}
    if axes:
        last = lay_axis(metric, scores, even=False)
        found["parallel"] = figures.plot(figures.draw_parallel([*axes, last], [label(one) for one in trials]))
    if shares:
        found["importance"] = figures.plot(figures.draw_bars(list(shares), list(shares.values()), ".0%"))
    return found


def show_classes(member: Member) -> dict[str, Any]:
    """Confusion, F1 of each class and reliability; where several classes may hold at once, F1 alone."""
    validation, names = member.validation, names_of(member)
    decided = plain(validation.exclusive).decide(validation.probabilities)
    scores = score_classes(decided, validation.truth, validation.groups)
    rows = np.argsort(scores.f1, kind="stable")[: figures.FEW_ENOUGH]
    rows = np.arange(len(names)) if len(names) <= figures.FEW_ENOUGH else rows
    bars = figures.draw_classes(scores.take(rows), [names[k] for k in rows])
    found = {"exclusive": validation.exclusive, "count": len(names), "bars": len(rows), "f1": figures.plot(bars)}
    if validation.exclusive:
        calibration = calibrate(validation.probabilities, validation.truth)
        found["error"] = calibration.error
        found["confusion"] = figures.plot(figures.draw_confusion(confuse(validation.truth, decided), names))
        found["reliability"] = figures.plot(figures.draw_reliability(calibration))
    return found


def names_of(member: Member) -> list[str]:
    """The K classes of its predictions; numbers where its config names others."""
    count = member.validation.truth.shape[1]
    return member.classes if len(member.classes) == count else [str(number) for number in range(count)]


def hang(member: Member, trials: Sequence[Standing], data_dir: Path | None) -> Gallery:
    """Raises ValueError where `data_dir` holds none of the photos."""
    recorded = [one.config.get("parameters", {}).get("data_dir") for one in (member, *(t.member for t in trials))]
    root = locate(data_dir, recorded, member.validation.ids)
    return fill(member.validation, names_of(member), root)


def tabulate(standings: Sequence[Standing], metric: str) -> dict[str, Any]:
    """The rows of a table; a knob is named in a row unless most trials have the same value."""
    common, names = common_knobs([one.member for one in standings])
    return {
        "rows": [(one, one.scores[metric], unlike(one.member, common, names)) for one in standings],
        "usual": {name: word(value) for name, value in common.items()},
        "tied": any(one.tied for one in standings),
    }
