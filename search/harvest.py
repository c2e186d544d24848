"""One round of collecting: ask every machine what it has, fetch what is new, write down what became of each trial."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import paramiko

import ledger
import manifest
from download import (
    ChangedError,
    File,
    LocalFiles,
    RemoteFiles,
    Tally,
    checked,
    digest,
    fetch,
    kept,
    read_record,
    state,
    write_record,
)
from ledger import LEDGER, Found, Record
from machines import Connection, Machine, connect

WITHOUT = {"best": ["last.pt"], "all": [], "none": ["best.pt", "last.pt"]}  # --weights: what stays there
LOOK_SECONDS = 600  # a slow disk reads some 60 GB of weights in this time
LOST = (OSError, EOFError, paramiko.SSHException)  # what a connection that breaks off raises


@dataclass(frozen=True)
class Search:
    """What NNI tells of an experiment. Without machines it is a local one."""

    id: str
    records: list[Record]
    machines: list[Machine]
    model_dir: str  # as in the trial command, "" where it has none
    root: str = ""  # of NNI's files here, for a local one
    code: str = ""  # trialCodeDirectory, for a local one
    over: bool = False  # no manager is left that could start or end a trial
    closed: bool = False  # no trial will start any more
    frozen: bool = False  # NNI is in ERROR, so it no longer notes what becomes of its trials


@dataclass
class Sight:
    """A trial's run folder as its machine tells of it; no `folder` where the trial made none."""

    host: str
    files: LocalFiles | RemoteFiles
    folder: str
    content: list[File]
    lacking: list[str]  # a line for each file of it that cannot be read there
    rank: tuple  # manifest's, among the trial's copies
    alive: bool
    last: str


@dataclass
class Round:
    """A round's state; `outputs` is the experiment's own folder."""

    search: Search
    outputs: Path
    weights: str
    say: Callable[[str], None]
    entries: dict[str, dict[str, dict[str, list]]] = field(default_factory=dict)  # of .collected.json
    lines: dict[str, dict[str, Any]] = field(default_factory=dict)  # of trials.jsonl
    whole: set[str] = field(default_factory=set)  # trials whose run folder at home is what its machine has
    got: int = 0  # bytes that were transferred
    changing: set[str] = field(default_factory=set)  # trials of which a file changed while it was fetched
    unreached: list[str] = field(default_factory=list)  # machines that a later round may reach
    troubles: list[str] = field(default_factory=list)

    def trouble(self, line: str) -> None:
        self.troubles.append(line)
        self.say(line)


def harvest(search: Search, outputs: Path, weights: str, say: Callable[[str], None]) -> Round:
    """Raises ValueError for a broken trials.jsonl or record, OSError where this machine's disk fails."""
    outputs.mkdir(parents=True, exist_ok=True)
    work = Round(search, outputs, weights, say, read_record(outputs), ledger.read(outputs / LEDGER))
    try:
        with ExitStack() as stack:
            sights = survey(work, stack)
            bring_all(work, sights)
    finally:
        write_record(outputs, work.entries)
    settle(work, sights)
    return work


@contextmanager
def reach(machine: Machine | None) -> Iterator[tuple[Callable[[dict], dict], LocalFiles | RemoteFiles]]:
    """manifest.look and the files of a machine; None is this one."""
    if machine is None:
        yield manifest.look, LocalFiles()
        return
    with connect(machine) as connection:
        yield partial(ask, connection), RemoteFiles(connection.sftp())


def ask(connection: Connection, request: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """manifest.look() on another machine. Raises OSError with its Python's last words."""
    answer = connection.python(manifest.script(request), timeout=LOOK_SECONDS)
    try:
        told = json.loads(answer.out.splitlines()[-1])
    except (ValueError, IndexError):
        told = None
    if isinstance(told, dict) and not answer.code:
        return told
    reason = answer.err.strip().split("\n")[-1] or f"it prints {answer.out[-80:]!r}"
    raise OSError(
        f"{connection.machine}: its Python cannot list the run folders (exit {answer.code}, {reason}); check pythonPath"
    )


def survey(work: Round, stack: ExitStack) -> dict[str, Sight]:
    """Every trial that was found, from the machine whose copy ranks highest, the first of equals: two can share a home.

    Not told is a trial whose folder at home ranks higher, such as one that another machine finished.
    """
    search = work.search
    request = {
        "experiment": search.id,
        "trials": [record.id for record in search.records],
        "root": search.root,
        "model_dir": search.model_dir,
        "code": search.code,
        "known": {trial: {name: old["there"] for name, old in files.items()} for trial, files in work.entries.items()},
        "without": WITHOUT[work.weights],
    }
    sights: dict[str, Sight] = {}
    for machine in dict.fromkeys(search.machines) or [None]:
        host = str(machine or "local")
        try:
            look, files = stack.enter_context(reach(machine))
            told = look(request)
        except (*LOST, ValueError) as error:
            lose(work, host, error)
            continue
        for trial in request["trials"]:
            if trial in told:
                try:
                    seen = sight(host, files, told[trial])
                except (ValueError, KeyError, TypeError, AttributeError) as error:
                    work.trouble(f"{trial}: {error}")
                    continue
                if trial not in sights or seen.rank > sights[trial].rank:
                    sights[trial] = seen
    return {trial: seen for trial, seen in sights.items() if seen.rank >= ledger.rank_at_home(work.outputs / trial)}


def lose(work: Round, host: str, error: Exception) -> None:
    """Says once that a machine cannot be reached, or was lost."""
    if host not in work.unreached:
        work.unreached.append(host)
        reason = f"{error}" or "the connection broke off"
        reason = reason if reason.startswith(host) else f"{host}: {reason}"
        work.trouble(f"{reason}. Its trials wait until it can be reached; collect again, or let --watch do so")


def sight(host: str, files: LocalFiles | RemoteFiles, told: dict[str, Any]) -> Sight:
    content = checked(told["files"], host)
    lacking = [
        f"{host}: {told['folder']}/{name} cannot be read ({reason}); mend its permissions there"
        for name, reason in told["unreadable"].items()
    ]
    return Sight(host, files, told["folder"], content, lacking, manifest.rank(told), told["alive"], told["last"])


def bring_all(work: Round, sights: dict[str, Sight]) -> None:
    """Fetches what is not at home yet, trial by trial."""
    wanted = {trial: plan(work, trial, seen) for trial, seen in sights.items() if seen.folder}
    records = {record.id: record for record in work.search.records}
    ended = {trial: ledger.has_ended(records[trial], work.outputs / trial) for trial in wanted}
    home = [trial for trial, files in wanted.items() if not files and ended[trial]]
    tally = Tally(len(home), len(records), sum(file.size for files in wanted.values() for file in files))
    for trial, files in wanted.items():
        seen = sights[trial]
        if seen.host in work.unreached:
            continue
        try:
            whole = bring_folder(work, trial, seen, files, tally)
        except LOST as error:
            if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
                raise OSError(f"{work.outputs}: {error.strerror}; make room and collect again") from error
            lose(work, seen.host, error)
            continue
        finally:
            if files:
                write_record(work.outputs, work.entries)
        if whole:
            work.whole.add(trial)
            was = work.lines.get(trial, {}).get("status")
            if ledger.has_ended(records[trial], work.outputs / trial) and (files or was == "RUNNING"):
                tally.home += bool(files)
                work.say(f"{trial} is home from {seen.host}; {tally}")
    work.got = tally.got


def plan(work: Round, trial: str, seen: Sight) -> list[File]:
    """The files to fetch; none where the run folder lies at home by itself. Takes note of those that are home."""
    home = work.outputs / trial
    if isinstance(seen.files, LocalFiles) and home.is_dir() and home.samefile(seen.folder):
        return []
    entries, files = work.entries.setdefault(trial, {}), []
    for file in seen.content:
        entry = kept(home / file.name, file, entries.get(file.name))
        if entry:
            entries[file.name] = entry
        else:
            files.append(file)
    return files


def bring_folder(work: Round, trial: str, seen: Sight, files: list[File], tally: Tally) -> bool:
    """Whether all came; summary.json, the last, comes only with all others, so that it speaks of a whole folder."""
    for line in seen.lacking:
        work.trouble(line)
    whole = not seen.lacking
    for file in files:
        if file.name == "summary.json" and not whole:
            return False
        whole = bring(work, trial, seen, file, tally) and whole
    return whole


def bring(work: Round, trial: str, seen: Sight, file: File, tally: Tally) -> bool:
    """Fetches a file; False where it is left to a later round."""
    target, before = work.outputs / trial / file.name, tally.got
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        fetch(seen.files, f"{seen.folder}/{file.name}", target, file, tally.add)
    except (ChangedError, FileNotFoundError):
        work.changing.add(trial)  # it goes on writing
        return False
    except (PermissionError, ValueError) as error:
        work.trouble(f"{seen.host}: {error}")
        return False
    finally:
        tally.cut += file.size - (tally.got - before)
    work.entries[trial][file.name] = {"there": file.there, "home": state(target, file.sha256)}
    return True


def settle(work: Round, sights: dict[str, Sight]) -> None:
    """Writes trials.jsonl, and corrects the summary.json of killed trials."""
    for record in work.search.records:
        seen, folder = sights.get(record.id), work.outputs / record.id
        found = Found(
            host=seen.host if seen else work.lines.get(record.id, {}).get("host", ""),
            folder=folder if folder.is_dir() else None,
            whole=record.id in work.whole,
            alive=seen.alive if seen else bool(work.unreached),
            last=seen.last if seen else "",
        )
        summary = ledger.load(found.folder, "summary.json")
        killed = ledger.is_killed(record, summary, found, work.search.over)
        line = ledger.describe(record, found, summary, killed)
        if killed and summary:
            ledger.correct(folder, summary, line["status"])
            if "summary.json" in work.entries.get(record.id, {}):
                path = folder / "summary.json"
                work.entries[record.id]["summary.json"]["home"] = state(path, digest(path))
        work.lines[record.id] = line
        warn(work, record, line, found)
    ledger.merge(work.outputs / LEDGER, work.lines)
    write_record(work.outputs, work.entries)


def warn(work: Round, record: Record, line: dict[str, Any], found: Found) -> None:
    """Says where NNI's record and the run folder disagree."""
    for name, value in line["parameters"].items():
        if value != record.parameters[name]:
            work.say(
                f"warning: {record.id} trained with {name} = {value!r}, but NNI's record says "
                f"{record.parameters[name]!r}; trials.jsonl keeps both"
            )
    if record.status in ("SUCCEEDED", "EARLY_STOPPED") and not found.folder and not work.unreached:
        where = work.search.model_dir or "outputs/ beside the trial code"
        work.trouble(f"{record.id}: NNI says {record.status}, but there is no run folder of it in {where}")
