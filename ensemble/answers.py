"""How the answers of a submission are spelt, and which of them a competition would refuse."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from predictions import class_columns
from task import Head, Task

OK, WARN, FAIL = "ok", "warn", "FAIL"
FLOAT = ("a float written for an integer", "convert the column with astype(int)")
NOTHING = {"nan", "none", "null", "na", "n/a", "<na>"}  # what programs write where a value is missing


class Finding(NamedTuple):
    """A FAIL means that the competition would refuse the submission, or score other answers than were meant."""

    check: str
    state: str
    found: str
    todo: str = ""

    def __str__(self) -> str:
        return f"{self.state:<4} {self.check}: {self.found}" + (f"; {self.todo}" if self.todo else "")


class Answer(NamedTuple):
    line: int
    photo: str
    cell: str

    def __str__(self) -> str:
        return f"line {self.line} ({self.photo}) {self.cell!r}"


@dataclass(frozen=True)
class Training:
    """What a run folder says: the K classes, `prior` (K,) their shares of the training photos, photos of a person."""

    classes: tuple[str, ...]
    prior: np.ndarray
    photos_each: float


def read_training(run: Path) -> Training:
    """Raises ValueError for what is no run folder of this project."""
    try:
        content = json.loads((run / "config.json").read_text())
        heads = tuple(Head(head["name"], tuple(head["classes"])) for head in content["heads"])
        classes, prior = Task(heads).classes, np.array(content["prior"], dtype=float)
        if prior.shape != (len(classes),):
            raise ValueError(f"it has {prior.size} shares for {len(classes)} classes")
        return Training(classes, prior, content["data"]["photos"] / content["data"]["groups"])
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise ValueError(
            f"{run / 'config.json'} tells no classes and their prior; name a run folder ({error})"
        ) from error


@dataclass(frozen=True)
class Spelling:
    """Rows hold one class or `several`, as a number or a name; `codes` are the classes so spelt, () where unknown."""

    several: bool
    named: bool
    codes: tuple[str, ...]

    def parts(self, cell: str) -> list[str]:
        return cell.split() if self.several else [cell]

    def fault(self, part: str) -> tuple[str, str] | None:
        """What is wrong with one class of a cell, and what to do; None where nothing is."""
        if part in self.codes:
            return None
        if not part.strip():
            return "empty", "predict a class for each row"
        if part.lower() in NOTHING:
            return "no answer", "predict a class for each row"
        if self.named:
            odd = self.codes or part.isdigit()
            return ("not the name of a class", "spell them as the training labels do") if odd else None
        if re.fullmatch(r"-?\d{1,9}\.0*", part):
            return FLOAT
        if not re.fullmatch(r"-?\d{1,9}", part):
            return "not the number of a class", "write a whole number"
        if int(part) < 0 or (self.codes and int(part) >= len(self.codes)):
            highest = f" to {len(self.codes) - 1}" if self.codes else ""
            return f"not a class from 0{highest}", "predict with a run of this competition's classes"
        return None

    def classes(self, cell: str) -> set[str]:
        """The classes of a cell, each spelt in one way; without those that cannot be told."""
        parts = [part for part in self.parts(cell) if self.fault(part) in (None, FLOAT)]
        return set(parts) if self.named else {str(int(float(part))) for part in parts}


def spell(answers: list[Answer], placeholders: list[str], several: bool, training: Training | None) -> Spelling:
    """Names where the `placeholders` of --like are; numbers where they are; if there are none, what `answers` hold.

    Without placeholders and classes too, they are what most answers are.
    """
    classes = training.classes if training else ()
    filled = [cell for cell in placeholders if cell.strip()]
    if filled:
        named = not all(re.fullmatch(r"-?\d+", cell.strip()) for cell in filled)
    elif training:
        named = any(answer.cell in classes for answer in answers)
    else:
        numbers = [re.fullmatch(r"-?\d+(\.\d*)?", answer.cell.strip()) is not None for answer in answers]
        named = sum(numbers) * 2 < len(numbers)
    named = named and not several
    return Spelling(several, named, classes if named else tuple(class_columns(len(classes))))


def check_answers(answers: list[Answer], spelling: Spelling) -> list[Finding]:
    faults, repeated = defaultdict(list), []
    for answer in answers:
        parts = spelling.parts(answer.cell)
        for fault in dict.fromkeys(map(spelling.fault, parts)):
            if fault:
                faults[fault].append(answer)
        if len(set(parts)) < len(parts):
            repeated.append(answer)
    findings = [Finding("answers", FAIL, f"{found}: {listing(those)}", todo) for (found, todo), those in faults.items()]
    if repeated:
        findings.append(Finding("answers", WARN, f"the same class twice: {listing(repeated)}"))
    if empty := [answer for answer in answers if not spelling.parts(answer.cell)]:
        found = f"no class, which is allowed: {listing(empty)}"
        findings.append(Finding("answers", WARN, found, "lower the thresholds if each row has one"))
    kind = "names of classes" if spelling.named else "whole numbers"
    return findings or [Finding("answers", OK, kind)]


def count_classes(answers: list[Answer], spelling: Spelling) -> Counter[str]:
    """How many rows name each class."""
    return Counter(code for answer in answers for code in spelling.classes(answer.cell))


def listing(items: Iterable[object], number: int = 3) -> str:
    words = list(map(str, items))
    return ", ".join(words[:number]) + (f" … ({len(words):,} in all)" if len(words) > number else "")
