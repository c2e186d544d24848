"""How run folders stand beside those that answered the same question: scores, intervals, ranks.

The same question is one head, one fold, and the same photos, people and labels. Other scores are not comparable:
folds differ by more than trials do, and a model of gender alone has an easier life than one of 18 classes.
"""

from __future__ import annotations

import hashlib
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "baseline"))

from decisions import plain
from judge import Interval, around, draw_people, resample
from members import HEADS, WHOLE, Member
from metrics import METRICS
from predictions import Validation

UNFITTED = {"equal", "given"}
NO_FOLD = ""
OTHER = "; not the same photos, people or labels as above"


@dataclass(frozen=True, eq=False)
class Standing:
    """A run folder in a table; `draws` (resamples,) are the metrics over drawn people, in an order all share."""

    member: Member
    scores: dict[str, Interval] = field(default_factory=dict)
    draws: dict[str, np.ndarray] = field(default_factory=dict)
    asked: str = ""  # what photos, people and labels it validated on; empty where no predictions are
    size: tuple[int, int] = (0, 0)  # photos, people
    problem: str = ""
    rank: int | None = None
    tied: bool = False  # not told apart from the best

    @property
    def status(self) -> str:
        return self.member.summary.get("status", "no summary.json")


@dataclass(frozen=True, eq=False)
class Section:
    """Standings that may be compared, the best first; `reference` is the one that ties are with."""

    title: str
    standings: list[Standing]
    reference: Standing | None


def ranking_metric(given: str | None, members: Sequence[Member]) -> tuple[str, list[str]]:
    """The metric to rank by, and a note where trials had different objectives. Raises ValueError for an unknown one."""
    found = Counter(one.summary["objective"] for one in members if "objective" in one.summary)
    metric = given or (found.most_common(1)[0][0] if found else "macro_f1")
    METRICS[metric]
    if given or len(found) < 2:
        return metric, []
    told = ", ".join(f"{name} ({count})" for name, count in found.most_common())
    return metric, [f"The trials had different objectives: {told}; ranked by {metric}, --metric names another."]


def sections_of(standings: Sequence[Standing], metric: str) -> list[Section]:
    """Whole models first, then those of single heads, what never came to a fold last."""
    order = [WHOLE, *HEADS]
    divided = divide(standings)
    divided.sort(key=lambda group: (of_group(group)[1] == NO_FOLD, order.index(of_group(group)[0]), -len(group)))
    places = [of_group(group) for group in divided]
    return [
        Section(title_of(group) + OTHER * (places[number] in places[:number]), *rank(group, metric))
        for number, group in enumerate(divided)
    ]


def measure(member: Member) -> Standing:
    """Its metrics with intervals over people. A fitted blend's val_soft.csv is of people left out of the fit."""
    if "best_epoch" not in member.summary and not (member.is_blend or (member.path / "val_soft.csv").exists()):
        return Standing(member)  # no epoch has ended, so nothing is missing
    try:
        validation = member.validation
        check_count(member, validation)
    except ValueError as error:
        return Standing(member, problem=str(error).replace(f"{member.path}/", ""))
    order = np.argsort(validation.ids)
    truth, groups = validation.truth[order], [validation.groups[row] for row in order]
    asked = hashlib.sha256(repr((sorted(validation.ids), groups, np.argwhere(truth).tolist())).encode()).hexdigest()
    found = Standing(member, asked=asked, size=(len(groups), len(set(groups))), problem=validation.note)
    if has_rule(member):
        return replace(found, scores=judged_scores(member))
    decided = plain(validation.exclusive).decide(validation.probabilities)[order]
    drawn = draw_people(groups)
    draws = {name: resample(one, decided, truth, groups, drawn) for name, one in METRICS.entries.items()}
    scores = {name: around(METRICS[name](decided, truth), values) for name, values in draws.items()}
    return replace(found, scores=scores, draws=draws)


def check_count(member: Member, validation: Validation) -> None:
    """Raises ValueError for a file that was cut between two lines, which reads well."""
    told = member.config.get("folds", {}).get("validation", len(validation.ids))
    wanted = member.summary.get("validated", told)  # less those that could not be read
    if len(validation.ids) != wanted:
        raise ValueError(
            f"{validation.path} holds {len(validation.ids)} photos, but the trial validated {wanted}: it was cut or "
            "changed; bring it back from its machine, or train again"
        )


def plan_of(member: Member) -> dict[str, Any]:
    """How a blend was to be made: `fit`, `mean`, `recombine`, `decide`, and whether `temperature` was fitted."""
    return member.config["blend"]["plan"]


def is_fitted(member: Member) -> bool:
    """Whether the weights, the temperatures or the decision of a blend were learnt from labels."""
    if not member.is_blend:
        return False
    plan = plan_of(member)
    return plan["fit"] not in UNFITTED or plan["temperature"] or has_rule(member)


def has_rule(member: Member) -> bool:
    """Whether a blend decides by a rule, so that its val_soft.csv does not tell what it answered."""
    return member.is_blend and plan_of(member)["decide"] != "plain"


def judged_scores(member: Member) -> dict[str, Interval]:
    """What the fit and rule of a blend reached on people left out of them; empty where that is not known."""
    judged, plan = member.summary.get("judged", {}), plan_of(member)
    for row in judged.get("rows", []):
        if row["name"].startswith(plan["fit"]) and row["name"].endswith(f"+ {plan['decide']}"):
            return {judged["metric"]: Interval(row["value"], row["low"], row["high"])}
    return {}


def divide(standings: Sequence[Standing]) -> list[list[Standing]]:
    """Those that answered the same question together; who has no answers stands with most of his own fold."""
    groups: dict[tuple[Any, str], list[Standing]] = {}
    for standing in sorted(standings, key=lambda standing: not standing.asked):
        place = place_of(standing.member)
        key = (place, standing.asked)
        if not standing.asked:
            key = max((key for key in groups if key[0] == place), key=lambda key: len(groups[key]), default=key)
        groups.setdefault(key, []).append(standing)
    return list(groups.values())


def place_of(member: Member) -> tuple[str, str, str]:
    """Head, fold hash and fold."""
    folds = member.config.get("folds", {})
    return member.head, folds.get("hash", NO_FOLD), str(folds.get("fold", 0))


def of_group(group: Sequence[Standing]) -> tuple[str, str, str]:
    return place_of(group[0].member)


def title_of(group: Sequence[Standing]) -> str:
    head, digest, fold = of_group(group)
    if digest == NO_FOLD:
        return "ended before their folds were known"
    photos, people = max(standing.size for standing in group)
    size = f", {photos} photos of {people} people" if photos else ""
    which = "all folds" if fold == "all" else f"fold {fold} of folds"
    return f"{head if head != WHOLE else 'whole'} models, {which} {digest}{size}"


def rank(standings: Sequence[Standing], metric: str) -> tuple[list[Standing], Standing | None]:
    """Best first, failed ones last; and which of them the others are compared with, on the same drawn people."""
    able = [one for one in standings if metric in one.scores and one.status != "FAILED"]
    able.sort(key=lambda one: -one.scores[metric].value)
    others = sorted((one for one in standings if one not in able), key=lambda one: one.status == "FAILED")
    reference = next((one for one in able if one.draws), None)
    values = [one.scores[metric].value for one in able]
    ranked = [
        replace(one, rank=1 + values.index(value), tied=is_tied(one, reference, metric))  # equal values share a rank
        for one, value in zip(able, values, strict=True)
    ]
    return ranked + others, reference


def is_tied(one: Standing, best: Standing | None, metric: str) -> bool:
    """Whether the interval of the paired difference from `best`, of judge.difference(), reaches 0."""
    if best is None or one is best or not one.draws:
        return False
    return around(0, best.draws[metric] - one.draws[metric]).low <= 0
