"""trials.jsonl: what became of each trial of an experiment, from NNI's record and from its run folder.

A line holds id, number, parameters (as trained), nni_parameters (only where NNI's record has others), status,
metrics, objective, intermediate, host, seconds, started, error.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import manifest
from branches import flat
from experiment import ENDED
from rules import convert
from run import atomic

LEDGER = "trials.jsonl"
WORDS = {
    "SUCCEEDED": "SUCCEEDED",
    "EARLY_STOPPED": "EARLY_STOPPED",
    "FAILED": "FAILED",
    "USER_CANCELED": "INTERRUPTED",
    "SYS_CANCELED": "INTERRUPTED",
}  # NNI's words for an end in those of summary.json; its other words mean that the trial runs or waits
FINAL = ("SUCCEEDED", "EARLY_STOPPED", "FAILED")  # after which no trial starts again
LATER = "~"  # sorts what has not started behind every date
KILLED = "ended without a word; killed?"


@dataclass(frozen=True)
class Record:
    """A trial as NNI knows it."""

    id: str
    number: int
    parameters: dict[str, Any]
    status: str  # NNI's word
    objective: float | None
    intermediate: tuple[float, ...]
    started: str  # ISO 8601, UTC
    seconds: float | None

    @property
    def ended(self) -> bool:
        return self.status in ENDED


@dataclass(frozen=True)
class Found:
    """What a round saw of a trial. `whole`: its run folder at home is what its machine has."""

    host: str = ""
    folder: Path | None = None
    whole: bool = False
    alive: bool = True  # a process of it runs, or its machine was not asked
    last: str = ""  # line of its stderr


def records_of(jobs: Iterable[dict[str, Any]], metrics: Iterable[dict[str, Any]]) -> list[Record]:
    """From REST's trial-jobs and metric-data."""
    told: dict[tuple[str, str], list[float]] = {}
    for entry in sorted(metrics, key=lambda entry: (entry["timestamp"], entry["sequence"])):
        value = json.loads(json.loads(entry["data"]))
        told.setdefault((entry["trialJobId"], entry["type"]), []).append(
            value.get("default") if isinstance(value, dict) else value
        )
    records = []
    for job in jobs:
        name, began, end = job["trialJobId"], job.get("startTime"), job.get("endTime")
        chosen = json.loads(job["hyperParameters"][0])["parameters"] if job.get("hyperParameters") else {}
        final = told.get((name, "FINAL"), [None])[-1]
        records.append(
            Record(
                id=name,
                number=job["sequenceId"],
                parameters=flat(chosen),
                status=job["status"],
                objective=final,
                intermediate=tuple(told.get((name, "PERIODICAL"), [])),
                started=datetime.fromtimestamp(began / 1000, UTC).isoformat(timespec="seconds") if began else "",
                seconds=round((end - began) / 1000, 1) if began and end else None,
            )
        )
    return sorted(records, key=lambda record: (record.started or LATER, record.number))


def load(folder: Path | None, name: str) -> dict[str, Any]:
    """A JSON file of a run folder; empty where there is none. Raises ValueError for what is not JSON."""
    path = folder / name if folder else None
    if not path or not path.is_file():
        return {}
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path} is not JSON ({error}); remove it and collect again") from error


def has_ended(record: Record, folder: Path) -> bool:
    """Whether NNI or the run folder at home says so; the folder is the first to know."""
    return record.ended or load(folder, "summary.json").get("status") in WORDS.values()


def is_killed(record: Record, summary: dict[str, Any], found: Found, over: bool) -> bool:
    """Whether a trial ended without writing so: its folder says RUNNING, but nothing of it runs.

    `over` says that no manager is left which could end it later.
    """
    if found.alive or not (record.ended or over):
        return False
    if found.folder:
        return found.whole and summary.get("status") == "RUNNING"
    return not record.ended


def status_of(record: Record, summary: dict[str, Any], killed: bool) -> str:
    """RUNNING, SUCCEEDED, EARLY_STOPPED, FAILED or INTERRUPTED."""
    nni, own = WORDS.get(record.status, "RUNNING"), summary.get("status")
    if killed:
        return nni if nni in ("FAILED", "EARLY_STOPPED") else "INTERRUPTED"
    if own in WORDS.values():
        return nni if (nni, own) == ("EARLY_STOPPED", "INTERRUPTED") else own
    return nni


def describe(record: Record, found: Found, summary: dict[str, Any], killed: bool) -> dict[str, Any]:
    """A line of trials.jsonl."""
    trained = parameters_of(record, load(found.folder, "config.json"))
    status = status_of(record, summary, killed)
    error = KILLED if killed and summary else summary.get("error") or (found.last if status == "FAILED" else "")
    line = {"id": record.id, "number": record.number, "parameters": trained}
    if trained != record.parameters:
        line["nni_parameters"] = record.parameters
    return line | {
        "status": status,
        "metrics": summary.get("metrics", {}),
        "objective": record.objective,
        "intermediate": list(record.intermediate),
        "host": found.host,
        "seconds": summary.get("seconds", record.seconds),
        "started": record.started,
        "error": error or None,
    }


def correct(folder: Path, summary: dict[str, Any], status: str) -> None:
    """Writes into summary.json how a killed trial ended, as the trial itself would have."""
    content = summary | {"status": status, "error": KILLED}
    if summary.get("attempts"):
        *earlier, last = summary["attempts"]
        content["attempts"] = [*earlier, last | {"ended": "killed"}]
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    atomic(folder / "summary.json", lambda file: file.write_text(text))


def parameters_of(record: Record, config: dict[str, Any]) -> dict[str, Any]:
    """The searched knobs as the trial trained with them; NNI's record where no config.json says other."""
    trained = config.get("parameters", {})
    return {
        name: value if name not in trained or agrees(name, value, trained[name]) else trained[name]
        for name, value in record.parameters.items()
    }


def agrees(name: str, value: Any, trained: Any) -> bool:
    """Whether NNI's `value` is what config.json calls `trained`: a resize of 64 is there [64, 64]."""
    try:
        known = convert(name, value, "NNI")
    except ValueError:
        return value == trained  # a knob of another version of this program
    return (list(known) if isinstance(known, tuple) else known) == trained


def read(path: Path) -> dict[str, dict[str, Any]]:
    """{trial: line}. Raises ValueError naming a line that is none."""
    lines = {}
    for number, text in enumerate(path.read_text().splitlines() if path.is_file() else [], 1):
        try:
            line = json.loads(text)
            lines[line["id"]] = line
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path}, line {number} is no trial ({error}); mend or remove it") from error
    return lines


def merge(path: Path, lines: dict[str, dict[str, Any]]) -> None:
    """Puts `lines` into the file, which a search and a collector both write; a trial's end is not undone by an older
    look at it."""
    with alone(path.parent):
        there = read(path)
        there |= {name: line for name, line in lines.items() if not is_older(line, there.get(name))}
        ordered = sorted(there.values(), key=lambda line: (line["started"] or LATER, line["number"]))
        text = "".join(json.dumps(finite(line), ensure_ascii=False) + "\n" for line in ordered)
        atomic(path, lambda file: file.write_text(text))


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """One process at a time is here; the others wait."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def is_older(line: dict[str, Any], there: dict[str, Any] | None) -> bool:
    return there is not None and line["status"] == "RUNNING" and there["status"] in FINAL


def finite(value: Any) -> Any:
    """With null for NaN and infinity, which JSON does not know."""
    if isinstance(value, dict):
        return {name: finite(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def rank_at_home(folder: Path) -> tuple:
    """manifest.rank() of a run folder at home, by what the trial itself wrote there."""
    summary = load(folder, "summary.json")
    status = "RUNNING" if summary.get("error") == KILLED else summary.get("status")
    # its files' times are those of its transfer, and tell nothing
    return manifest.rank(
        {"alive": False, "folder": bool(summary), "status": status, "started": manifest.begun(summary, 0)}
    )
