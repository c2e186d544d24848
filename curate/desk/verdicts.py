"""What reviewers said of photos, each word kept at once: a log in one SQLite file that only ever grows.

Undoing is one more entry, which names the entry it takes back. An entry is on the disk when append() returns: the
journal is written ahead and flushed (WAL, synchronous FULL), so neither a killed process nor a power cut loses it.
One process at a time has a file, by a lock that falls with the process however it ends.
"""

from __future__ import annotations

import fcntl
import os
import re
import socket
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

MARKS = RIGHT, WRONG, UNSURE = "right", "wrong", "unsure"  # of a photo as a whole: its field is empty
NAME = re.compile(
    r"[^\W\d_][\w .'-]{0,39}"
)  # a reviewer's; it starts with a letter, so no spreadsheet takes it for more
SCHEMA = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS verdicts (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  key TEXT NOT NULL UNIQUE,
  at TEXT NOT NULL,
  reviewer TEXT NOT NULL,
  path TEXT NOT NULL,
  person TEXT NOT NULL,
  field TEXT NOT NULL,
  value TEXT NOT NULL,
  settles INTEGER NOT NULL,
  undoes TEXT NOT NULL
);
"""


@dataclass(frozen=True)
class Verdict:
    """One entry. `field` is empty for a mark of the photo; `undoes` is the key of the entry that is taken back."""

    key: str  # the sender's name for it: one that comes twice is kept once
    reviewer: str
    path: str = ""  # the photo that was looked at
    person: str = ""
    field: str = ""
    value: str = ""  # a mark; else a class, an age in years, or unsure
    settles: bool = False  # meant to end a disagreement
    undoes: str = ""
    number: int = 0  # its place in the log, from 1
    at: str = ""  # ISO 8601, UTC


class Store:
    """The log at `path`, made for the data whose labels as they came have the fingerprint `origin`."""

    def __init__(self, path: Path, origin: str, carries_over: bool = False) -> None:
        """Raises ValueError for a file that is no log, or one of other data, which `carries_over` takes for this."""
        self.path, self.lock = path, threading.Lock()
        try:
            self.base = sqlite3.connect(path, timeout=30, check_same_thread=False, isolation_level=None)
            self.base.execute("PRAGMA journal_mode=WAL")
            self.base.execute("PRAGMA synchronous=FULL")
            self.base.executescript(SCHEMA)
        except sqlite3.DatabaseError as error:
            raise ValueError(f"{path} cannot be opened ({error}); move it away, or name another --notes_dir") from error
        made_for = self.fact("origin", origin)
        if made_for != origin and carries_over:
            self.base.execute("UPDATE facts SET value = ? WHERE name = 'origin'", (origin,))
        elif made_for != origin:
            self.close()
            raise ValueError(
                f"{path} holds decisions on other photos or labels ({made_for}; these are {origin}): name the data that"
                " they were made for; where photos were only added, removed or labelled anew, --carry_over goes on with"
                " the decisions on those that are there; another --notes_dir begins a review of its own"
            )

    def close(self) -> None:
        self.base.close()

    def fact(self, name: str, otherwise: str) -> str:
        """What is kept under `name`; from now on `otherwise` where nothing is."""
        with self.lock:
            self.base.execute("INSERT OR IGNORE INTO facts VALUES (?, ?)", (name, otherwise))
            return self.base.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()[0]

    def add_word(self, name: str, word: str) -> None:
        """Adds to the words of a fact, whatever another process adds meanwhile."""
        more = "INSERT INTO facts VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = value || ' ' || excluded.value"
        with self.lock:
            self.base.execute(more, (name, word))

    def append(self, verdicts: Iterable[Verdict]) -> int:
        """Keeps them, all or none; returns how many were new. Raises ValueError for an undo of what is not there."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        with self.lock, self.writing():
            before = self.base.total_changes
            for one in verdicts:
                if one.undoes and self.author(one.undoes) != one.reviewer:
                    raise ValueError(f"{one.reviewer} has no entry {one.undoes!r} that could be undone")
                row = (one.key, now, one.reviewer, one.path, one.person, one.field, one.value, one.settles, one.undoes)
                self.base.execute(
                    "INSERT INTO verdicts (key, at, reviewer, path, person, field, value, settles, undoes)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO NOTHING",
                    row,
                )
            return self.base.total_changes - before

    @contextmanager
    def writing(self) -> Iterator[None]:
        self.base.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self.base.execute("ROLLBACK")
            raise
        self.base.execute("COMMIT")

    def author(self, key: str) -> str | None:
        found = self.base.execute("SELECT reviewer FROM verdicts WHERE key = ?", (key,)).fetchone()
        return found[0] if found else None

    def read(self) -> list[Verdict]:
        """The whole log, in order."""
        columns = "key, reviewer, path, person, field, value, settles, undoes, number, at"
        with self.lock:
            rows = self.base.execute(f"SELECT {columns} FROM verdicts ORDER BY number").fetchall()
        return [Verdict(*row[:6], bool(row[6]), *row[7:]) for row in rows]


def live(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Those that hold: neither undone nor an undo."""
    undone = {one.undoes for one in verdicts if one.undoes}
    return [one for one in verdicts if not one.undoes and one.key not in undone]


def leave_gone(store: Store, ids: Set[str], people: Set[str]) -> int:
    """Takes back what holds of photos or persons that are gone from the data; returns how many entries that are."""
    gone = [one for one in live(store.read()) if one.path not in ids | {""} or one.person not in people | {""}]
    return store.append([Verdict(f"{one.key} gone", one.reviewer, undoes=one.key) for one in gone])


def check_name(reviewer: str) -> str:
    """A reviewer's name without blanks around it. Raises ValueError."""
    name = " ".join(reviewer.split())
    if not NAME.fullmatch(name):
        raise ValueError(f"reviewer {reviewer!r} is no name: a letter, then up to 39 letters, digits, blanks or . ' -")
    return name


def hold(store: Path, told: str) -> int:
    """Locks the log `store` for this process; `told` is what others will read. Raises ValueError where one has it.

    The lock is on a file beside it, as SQLite has locks of its own on the log, and falls with the process.
    """
    beside = store.with_name(f".{store.name}.lock")
    lock = os.open(beside, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise ValueError(
            f"{store} is in use by {beside.read_text().strip() or 'another process'}; several reviewers share one page,"
            " each under a name of his own: open that address, or end that process"
        ) from None
    os.ftruncate(lock, 0)
    os.write(lock, f"process {os.getpid()} on {socket.gethostname()}{told}\n".encode())
    return lock
