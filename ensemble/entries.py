"""What a leaderboard says of each run, in cells for people and in numbers for a CSV."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "baseline"))

from axes import word
from members import Member, differing_knobs
from metrics import METRICS
from progress import duration
from sheet import Sheet
from standings import Section, Standing, is_fitted, plan_of

PAIRS = {"f1": "macro_f1", "acc": "accuracy"}  # a competition's words in ours
PLAIN = ("model", "epoch", "batch_size", "val_acc", "board_f1", "board_acc")
COST = ("best_epoch", "epochs", "seconds", "images_per_second")  # of summary.json
BOUNDS = {"": "value", "_low": "low", "_high": "high"}
FEWEST = 3  # points of a correlation
TIED = "≈"
Scores = dict[Path, dict[str, float]]  # recorded, by run folder


def sheet_of(section: Section, metric: str, board: Scores, names: dict[Path, str]) -> Sheet:
    members = [one.member for one in section.standings]
    common, knobs = common_knobs(members)
    metrics = [metric, *(name for name in METRICS.entries if name != metric)]
    rows = []
    for one in section.standings:
        row = {
            "rank": f"{one.rank or '–'}{' ' + TIED if one.tied else ''}",
            "trial": describe(one, names[one.member.path], common, knobs),
            "cost": cost_of(one.member),
        }
        row |= {name: f"{score.value:.4f}\n{score.low:.3f}–{score.high:.3f}" for name, score in one.scores.items()}
        rows.append(row | {name: f"{value:.4f}" for name, value in board[one.member.path].items()})
    columns = ["rank", "trial", *metrics, "cost", *board_columns(members, board)]
    notes = [*notes_of(section, metric, names, common), *correlations(section, board)]
    return Sheet(section.title, "trial", columns, rows, notes)


def notes_of(section: Section, metric: str, names: dict[Path, str], common: dict[str, Any]) -> list[str]:
    notes = []
    if common:
        told = ", ".join(f"{name} {word(value)}" for name, value in common.items())
        notes.append(f"Where a trial says nothing else: {told}.")
    if any(one.tied for one in section.standings):
        best = names[section.reference.member.path]
        notes.append(
            f"{TIED} is not told apart from {best}: the 95 % interval of their difference in {metric}, over the same "
            "drawn people, reaches 0."
        )
    if any(is_fitted(one.member) for one in section.standings):
        notes.append(
            "What blends have fitted is scored on people left out of the fit. Of a blend with a fitted decision only "
            f"the metric that it was fitted for is known, and {TIED} says nothing."
        )
    return notes


def common_knobs(members: Sequence[Member]) -> tuple[dict[str, Any], list[str]]:
    """Of the knobs that differ: the value that more than half of the trials have; and all their names."""
    trials = [one for one in members if not one.is_blend and one.config.get("parameters")]
    names, knobs = differing_knobs(trials), [one.config["parameters"] for one in trials]
    common = {}
    for name in names:
        text, count = Counter(json.dumps(values.get(name)) for values in knobs).most_common(1)[0]
        if 2 * count > len(knobs):
            common[name] = json.loads(text)
    return common, names


def describe(one: Standing, name: str, common: dict[str, Any], knobs: Sequence[str]) -> str:
    """Name and status, the knobs unlike most trials', and what went wrong: a line each."""
    hosts = hosts_of(one.member)
    told = ", ".join(f"{knob} {value}" for knob, value in unlike(one.member, common, knobs))
    lines = [
        f"{name}  {one.status}{' on ' + hosts if hosts else ''}",
        blend_of(one.member) if one.member.is_blend else told,
        error_of(one.member),
        one.problem,
    ]
    return "\n".join(filter(None, lines))


def unlike(member: Member, common: dict[str, Any], knobs: Sequence[str]) -> list[tuple[str, str]]:
    """Of a trial's `knobs`, those without a common value or with another one; none of a trial that has no config."""
    values = {} if member.is_blend else member.config.get("parameters", {})
    told = [knob for knob in knobs if knob not in common or values.get(knob) != common[knob]]
    return [(knob, word(values.get(knob))) for knob in told] if values else []


def blend_of(member: Member) -> str:
    plan, count = plan_of(member), len(member.config["blend"]["members"])
    heated = ", temperatures" * plan["temperature"]
    return f"blend of {count}: {plan['mean']} mean, {plan['fit']} weights{heated}, {plan['decide']} decision"


def error_of(member: Member) -> str:
    return next(iter(str(member.summary.get("error") or "").splitlines()), "")


def hosts_of(member: Member) -> str:
    """The machines that trained it, in their order."""
    return " ".join(dict.fromkeys(one["host"] for one in member.summary.get("attempts", []) if "host" in one))


def cost_of(member: Member) -> str:
    """Best epoch of how many, time, speed: a line each, as far as they are known."""
    best, epochs, seconds, speed = (member.summary.get(name) for name in COST)
    lines = [f"epoch {best}/{epochs}" if best else "", duration(seconds) if seconds is not None else ""]
    return "\n".join(filter(None, [*lines, f"{speed:.0f} img/s" if speed else ""]))


def board_columns(members: Sequence[Member], board: Scores) -> list[str]:
    names = dict.fromkeys(name for one in members for name in board[one.path])
    return sorted(names, key=lambda name: name.endswith("_leak"))


def correlations(section: Section, board: Scores) -> list[str]:
    """How well validation foretold the competition, a line for each pair of scores that belong together."""
    lines = []
    for name in board_columns([one.member for one in section.standings], board):
        metric = PAIRS.get(name.removeprefix("board_"), name.removeprefix("board_"))
        recorded = [(one.scores.get(metric), board[one.member.path].get(name)) for one in section.standings]
        points = [(score.value, value) for score, value in recorded if score is not None and value is not None]
        if metric in METRICS.entries:
            lines.append(f"val {metric} ~ {name}: {correlate(np.array(points).reshape(-1, 2))}")
    return lines


def correlate(points: np.ndarray) -> str:
    """Spearman and Pearson of points (n, 2), in words."""
    from scipy.stats import pearsonr, spearmanr

    if len(points) < FEWEST:
        return f"{len(points)} point{'s' * (len(points) != 1)}: too few"
    if (np.ptp(points, axis=0) < 1e-9).any():
        return f"{len(points)} points, one side of them all equal: no correlation"
    rank, line = spearmanr(*points.T).statistic, pearsonr(*points.T).statistic
    return f"Spearman {rank:.2f}, Pearson {line:.2f} ({len(points)} points)"


def plain_sheet(section: Section, board: Scores) -> Sheet:
    rows = [
        {name: f"{value:.4f}" if isinstance(value, float) else str(value) for name, value in line.items()}
        for line in plain_lines(section, board)
    ]
    return Sheet(section.title, "model", list(PLAIN), rows, correlations(section, board))


def plain_lines(section: Section, board: Scores) -> list[dict[str, Any]]:
    """The plain board: best epoch, validation accuracy, what the competition said; "" for what is not known."""
    lines = []
    for one in section.standings:
        knobs, accuracy = one.member.config.get("parameters", {}), one.scores.get("accuracy")
        scores = board[one.member.path]
        cells = (
            knobs.get("model", one.member.path.name),  # a blend has no model of its own
            one.member.summary.get("best_epoch", ""),
            knobs.get("batch_size", ""),
            accuracy.value if accuracy else "",
            scores.get("board_f1", ""),
            scores.get("board_acc", ""),
        )
        lines.append(dict(zip(PLAIN, cells, strict=True)))
    return lines


def full_lines(section: Section, board: Scores, names: dict[Path, str], knobs: Sequence[str]) -> list[dict[str, Any]]:
    """A row of the CSV for each run: every number in a column of its own, "" for what is not known."""
    lines = []
    for one in section.standings:
        member = one.member
        line = {
            "rank": one.rank or "",
            "trial": names[member.path],
            "kind": "blend" if member.is_blend else "trial",
            "status": one.status,
            "not_told_apart": int(one.tied),
        }
        for name in knobs:
            value = member.config.get("parameters", {}).get(name, "")
            line[name] = word(value) if isinstance(value, list) else value
        for name in METRICS.entries:
            line |= {f"{name}{end}": getattr(one.scores.get(name), bound, "") for end, bound in BOUNDS.items()}
        line |= {name: member.summary.get(name, "") for name in COST}
        line |= {"host": hosts_of(member), **board[member.path]}
        lines.append(line | {"error": " ".join(filter(None, [error_of(member), one.problem]))})
    return lines
