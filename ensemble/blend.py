"""A blend's run folder, outputs/EXPERIMENT/blend-NAME, like a trial's: it can be tabled, shown and blended again."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "baseline"))

from columns import keep
from leaks import Twin, write_twin
from library import has_usual_boundaries
from members import HEADS, WHOLE, Member, load
from metrics import METRICS
from predictions import Validation, answers_of, write_hard, write_soft, write_validation
from recipe import Plan, Recipe
from record import versions
from run import atomic
from temperature import log_loss


@dataclass(frozen=True)
class Validated:
    """A blend's validation predictions: rows of `reference`, what is true, what it says and what it decides."""

    reference: Validation
    truth: np.ndarray  # (N, K) bool
    probabilities: np.ndarray  # (N, K)
    decided: np.ndarray  # (N, K) bool


@dataclass(frozen=True)
class Tested:
    """A blend's test predictions, in the order of the competition's rows."""

    columns: tuple[str, str]  # of ids and answers
    words: Sequence[str]  # (K,) how an answer names each class
    ids: Sequence[str]
    probabilities: np.ndarray  # (N, K)
    decided: np.ndarray  # (N, K) bool
    exclusive: bool

    def write_hard(self, path: Path) -> None:
        write_hard(path, *self.columns, self.ids, answers_of(self.decided, self.words))

    def write_soft(self, path: Path) -> None:
        answers = self.decided.argmax(axis=1) if self.exclusive else None
        write_soft(path, self.columns[0], self.ids, self.probabilities, self.exclusive, answers)

    def write_twin(self, submission: Path, twin: Twin) -> Path:
        """SUBMISSION.leak.csv; its path."""
        return write_twin(submission, *self.columns, self.ids, answers_of(twin.decided, self.words))


def spelling(members: Sequence[Member], id_column: str, classes: int, exclusive: bool) -> dict[str, list[str]]:
    """`columns` and `answers` of the members' own submissions, or what competitions usually have."""
    whole = [
        member.config["submission"] for member in members if member.head == WHOLE and "submission" in member.config
    ]
    numbers = [str(number) for number in range(classes)]
    return next(filter(None, whole), {"columns": [id_column, "ans" if exclusive else "Predicted"], "answers": numbers})


def choose_folder(experiment: Path, name: str, members: Sequence[Member], plan: Plan) -> Path:
    """blend-NAME in `experiment`, or blend-NAME-2 … where others of that name blend otherwise or other models.

    Without a name it is called by its plan. Raises ValueError where `name` is one of another blend.
    """
    made = described(members, plan)
    for number in range(1, 1000):
        plain = name or plan.name.replace(" + ", "-")
        folder = experiment / f"blend-{plain}{f'-{number}' if number > 1 else ''}"
        if not folder.exists():
            return folder
        before = load(folder, "config.json").get("blend", {})
        if json.loads(json.dumps(made)).items() <= before.items():
            return folder
        if name:
            raise ValueError(f"{folder} is another blend; choose another --name, or remove it")
    raise ValueError(f"{experiment} holds too many blends; give this one a --name")


def described(members: Sequence[Member], plan: Plan) -> dict[str, Any]:
    """Of config.json, what a blend is to be."""
    return {"members": [member.name for member in members], "plan": plan.described()}


def clear(folder: Path) -> None:
    """Takes away what writers of `folder` left when they were killed; puts the folder back if one had moved it away."""
    for left in folder.parent.glob(f".{folder.name}.*"):
        if Path("/proc", left.name.rpartition(".")[2]).exists():
            continue
        if ".old." in left.name and not folder.exists():
            os.replace(left, folder)
        else:
            shutil.rmtree(left, ignore_errors=True)


def write_blend(
    folder: Path,
    members: Sequence[Member],
    recipe: Recipe,
    validated: Validated | None,
    tested: Tested | None,
    twin: Twin | None,
    judged: dict[str, Any],
    seconds: float,
) -> None:
    """The whole folder at once: what stood there before is replaced when all is written, and not earlier."""
    clear(folder)
    scratch = folder.with_name(f".{folder.name}.{os.getpid()}")
    scratch.mkdir()
    try:
        write_json(scratch / "config.json", describe(members, recipe, validated))
        if validated:
            ref = validated.reference
            given = ref.given if ref.given.shape == validated.truth.shape else validated.truth  # of a head alone
            about = (ref.ids, ref.folds, ref.groups, given, validated.truth, validated.probabilities)
            write_validation(scratch / "val_soft.csv", *about, ref.exclusive)
            keep(scratch / "val_soft.csv")
        if tested:
            tested.write_soft(scratch / "soft.csv")
            keep(scratch / "soft.csv")
            tested.write_hard(scratch / "hard.csv")
        if twin:
            tested.write_twin(scratch / "hard.csv", twin)
        write_json(scratch / "summary.json", summarise(recipe, validated, tested, judged, seconds))
        replace_folder(scratch, folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def replace_folder(new: Path, folder: Path) -> None:
    """Moves `new` to `folder`. A folder cannot be replaced in one step, so the old one is moved away first."""
    old = folder.with_name(f".{folder.name}.old.{os.getpid()}")
    if folder.exists():
        os.replace(folder, old)
    try:
        os.replace(new, folder)
    except OSError:
        if old.exists():
            os.replace(old, folder)
        raise
    shutil.rmtree(old, ignore_errors=True)


def write_json(path: Path, content: dict[str, Any]) -> None:
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    atomic(path, lambda file: file.write_text(text))


def describe(members: Sequence[Member], recipe: Recipe, validated: Validated | None) -> dict[str, Any]:
    """config.json: a trial's entries that hold for the blend too, and how it was made."""
    first = representative(members)
    whole = first.head == WHOLE
    return {
        "parameters": {"data_dir": first.config.get("parameters", {}).get("data_dir", "")},
        "versions": versions(),
        "data": first.config.get("data", {}),
        "folds": first.config.get("folds", {}) if validated else {},
        "heads": first.config["heads"] if whole else [{"name": "multi", "classes": combined_classes(members)}],
        "prior": first.config.get("prior", []) if whole else combined_prior(members),
        "submission": first.config.get("submission", {}) if whole else {},
        "blend": described(members, recipe.plan)
        | {
            "weights": [round(float(weight), 6) for weight in recipe.weights],
            "temperatures": [round(float(t), 6) for t in recipe.temperatures],
            "decision": recipe.rule.described(),
        },
    }


def representative(members: Sequence[Member]) -> Member:
    """A model of all classes where there is one, with the usual age boundaries where one has them."""
    return min(members, key=lambda member: (member.head != WHOLE, not has_usual_boundaries(member)))


def of_heads(members: Sequence[Member]) -> list[Member]:
    """The first member of each head."""
    return [next(member for member in members if member.head == head) for head in HEADS]


def combined_classes(members: Sequence[Member]) -> list[str]:
    mask, gender, age = (member.classes for member in of_heads(members))
    return [f"{m} {g} {a}" for m in mask for g in gender for a in age]


def combined_prior(members: Sequence[Member]) -> list[float]:
    """As if mask, gender and age did not depend on each other: the heads' trials know no more."""
    mask, gender, age = (member.config["prior"] for member in of_heads(members))
    return [m * g * a for m in mask for g in gender for a in age]


def summarise(
    recipe: Recipe, validated: Validated | None, tested: Tested | None, judged: dict[str, Any], seconds: float
) -> dict[str, Any]:
    metrics = {}
    if validated:
        scores = {name: metric(validated.decided, validated.truth) for name, metric in METRICS.entries.items()}
        scores["loss"] = log_loss(validated.probabilities, validated.truth, validated.reference.exclusive)
        metrics = {f"val_{name}": value for name, value in scores.items()}
    test = {"predicted": True, "photos": len(tested.ids)} if tested else {"predicted": False}
    return {
        "status": "SUCCEEDED",
        "objective": recipe.plan.metric,
        "metrics": metrics,
        "seconds": round(seconds, 1),
        "test": test,
    } | ({"judged": judged} if judged else {})
