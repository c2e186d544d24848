"""board.jsonl: the scores that came back from the competition, a line for each submission of an experiment.

    {"run": "20261122-175450", "file": SHA-256, "rows": SHA-256, "leak": false, "scores": {"f1": 0.75}, "when": …}

Scores are shares, 0 to 1. `leak` says that the leak twin of the run's submission was scored: no score of the model.
`rows` is of what the run answered then, by which scores are known that belong to answers it has no more.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "baseline"))

from members import Member
from predictions import read_rows
from run import atomic

NAME = "board.jsonl"
COLUMNS = ("run", "file", "rows", "leak", "scores", "when")
TWIN = ".leak.csv"
FILES = {"hard.csv": False, f"hard.csv{TWIN}": True}  # what a run may have submitted, and whether that is its twin


def record(submission: Path, words: Sequence[str], members: Sequence[Member], of: str | None) -> list[str]:
    """Stores scores such as f1=.75 for the runs whose rows `submission` holds, or for run `of`; says what it did.

    Raises ValueError, before anything is written, for what is no score and for a submission of no run.
    """
    scores = to_scores(words)
    rows = answers_of(submission)
    matched, notes = match(rows, members)
    if of is not None:
        named = find_named(of, members)
        matched = [(member, leak) for member, leak in matched if member is named]
        if not matched:
            notes.append(f"warning: {submission} has not the rows of {named.name}, for which it is recorded")
            matched = [(named, submission.name.endswith(TWIN))]
    if not matched:
        raise ValueError(nearest(submission, rows, members))
    sha256 = hashlib.sha256(submission.read_bytes()).hexdigest()
    when = datetime.now(UTC).isoformat(timespec="seconds")
    for member, leak in matched:
        line = {"run": member.path.resolve().name, "file": sha256, "rows": rows_of(member, leak), "leak": leak}
        line |= {"scores": scores, "when": when}
        notes.append(f"{member.name}{' (leak twin)' if leak else ''}: {store(board_of(member), line)}")
    return notes


def to_scores(words: Sequence[str]) -> dict[str, float]:
    """NAME=VALUE words as shares. Raises ValueError."""
    scores = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or not re.fullmatch(r"[A-Za-z]\w*", name):
            raise ValueError(f"--record: {word!r} is not NAME=VALUE, for example f1=.75; run folders stand before it")
        if name in scores:
            raise ValueError(f"--record: {name} is given twice")
        scores[name] = to_share(word, text)
    if not scores:
        raise ValueError("--record: give the scores that came back, for example --record submission.csv f1=.75 acc=.81")
    return scores


def to_share(word: str, text: str) -> float:
    """`.5816`, or `58.16%`, as 0.5816. Raises ValueError outside 0 to 1."""
    try:
        value = Decimal(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except InvalidOperation:
        value = Decimal("nan")
    if not value.is_finite() or not 0 <= value <= 1:
        raise ValueError(f"--record: {word!r} is no share from 0 to 1; write .75 or 75% for three quarters")
    return float(value)


def answers_of(path: Path) -> dict[str, str]:
    """{id: answer} of a submission, cells as text. Raises ValueError naming the file."""
    table = [tuple(cells.values()) for cells in read_rows(path).values()]
    if len(table[0]) != 2:
        raise ValueError(f"{path} has {len(table[0])} columns; a submission has two, an id and an answer")
    answers = dict(table)
    if len(answers) < len(table):
        raise ValueError(f"{path} holds an id twice: {len(table)} rows, {len(answers)} ids")
    return answers


def rows_of(member: Member, leak: bool) -> str:
    """SHA-256 of what a run answers, or its leak twin, in order of ids; empty where its file is missing or damaged."""
    (name,) = (name for name, twin in FILES.items() if twin == leak)
    try:
        answers = answers_of(member.path / name)
    except ValueError:
        return ""
    return hashlib.sha256(json.dumps(sorted(answers.items())).encode()).hexdigest()


def match(rows: dict[str, str], members: Sequence[Member]) -> tuple[list[tuple[Member, bool]], list[str]]:
    """Which of the members submitted `rows`, and whether in the leak twin alone; and notes on unreadable files."""
    found: dict[str, tuple[Member, bool]] = {}
    notes = []
    for member in members:
        for name, leak in FILES.items():
            try:
                if (member.path / name).is_file() and answers_of(member.path / name) == rows:
                    found.setdefault(member.name, (member, leak))
            except ValueError as error:
                notes.append(f"warning: not compared: {error}")
    return list(found.values()), notes


def nearest(submission: Path, rows: dict[str, str], members: Sequence[Member]) -> str:
    """The error for a submission of no run, with the run that comes closest."""
    closest = []
    for member in members:
        try:
            there = answers_of(member.path / "hard.csv")
            closest.append((sum(rows.get(photo) != answer for photo, answer in there.items()), member.name))
        except ValueError:
            continue  # missing, or match() has named it
    hint = "; {1} comes nearest, {0} of its rows differ".format(*min(closest)) if closest else ""
    return (
        f"{submission} has the rows of none of the {len(members)} runs given{hint}. Give the folder of its run too, "
        "or name the run with --of RUN"
    )


def find_named(of: str, members: Sequence[Member]) -> Member:
    """The member of that name, folder name or path. Raises ValueError unless there is exactly one."""
    path = Path(of).resolve()
    found = [one for one in members if of in (one.name, one.path.name) or path == one.path.resolve()]
    if len(found) != 1:
        names = ", ".join(one.name for one in found or members)
        raise ValueError(f"--of {of} names {len(found)} of the runs given; they are {names}")
    return found[0]


def board_of(member: Member) -> Path:
    return member.path.resolve().parent / NAME


def store(path: Path, line: dict[str, Any]) -> str:
    """Puts `line` into board.jsonl; scores of the same name for the same submission are replaced. Says what it did."""
    lines = read_board(path)
    before = next((one for one in lines if same(one, line)), None)
    earlier = before["scores"] if before else {}
    kept = [one for one in lines if one is not before] + [line | {"scores": earlier | line["scores"]}]
    text = "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in kept)
    atomic(path, lambda file: file.write_text(text))
    said = []
    for name, value in line["scores"].items():
        changed = name in earlier and earlier[name] != value
        said.append(f"{name} {value:.4f}" + (f" (replaces {earlier[name]:.4f})" if changed else ""))
    return f"recorded {', '.join(said)}"


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return all(one[name] == other[name] for name in ("run", "leak", "rows"))


def read_board(path: Path) -> list[dict[str, Any]]:
    """The lines of board.jsonl; none where it is not. Raises ValueError naming a line that is none."""
    lines = []
    for number, text in enumerate(path.read_text().splitlines() if path.is_file() else [], 1):
        try:
            line = json.loads(text)
            lines.append({name: line[name] for name in COLUMNS})
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path}, line {number} is no score ({error!r}); mend or remove it") from error
    return lines


def scores_of(members: Sequence[Member]) -> tuple[dict[Path, dict[str, float]], list[str]]:
    """Recorded scores by run folder: board_f1, board_acc …, of a leak twin board_f1_leak; and notes on those left out.

    Left out are scores of answers that the run has no more. Raises ValueError.
    """
    boards = {path: read_board(path) for path in {board_of(member) for member in members}}
    found: dict[Path, dict[str, float]] = {member.path: {} for member in members}
    notes = []
    for member in members:
        for line in boards[board_of(member)]:
            if line["run"] != member.path.resolve().name:
                continue
            end = "_leak" if line["leak"] else ""
            scores = {f"board_{name}{end}": value for name, value in line["scores"].items()}
            if line["rows"] == rows_of(member, line["leak"]):
                found[member.path] |= scores
            else:
                told = ", ".join(f"{name} {value:.4f}" for name, value in scores.items())
                notes.append(f"Left out: {told} of {line['when']}, as {member.name} has answered otherwise since.")
    return found, notes
