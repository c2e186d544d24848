"""Files brought home whole or not at all: continued where a transfer was cut, checked by size and SHA-256."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import paramiko

from progress import duration
from run import atomic

RECORD = ".collected.json"
WINDOW = 32 << 20  # bytes asked for at once, so that a far machine's answers overlap
PIECE = 32768  # bytes of one sftp answer; readv() gets slow with longer ones, which it joins one by one
SILENCE = 60  # seconds without a byte after which a machine counts as gone
SHA256 = re.compile("[0-9a-f]{64}")
PLAIN = re.compile(r"(fold-\d+/)?[^/\\\0.][^/\\\0]*")  # a file of a run folder, or of one of its folds


class ChangedError(Exception):
    """The file is no longer the one that the manifest tells of."""


@dataclass(frozen=True)
class File:
    """A file of a trial's run folder as its machine tells of it."""

    name: str
    size: int
    mtime_ns: int
    sha256: str

    @property
    def there(self) -> list:
        return [self.size, self.mtime_ns, self.sha256]


class LocalFiles:
    """The files of this machine."""

    def stat(self, path: str) -> os.stat_result:
        return os.stat(path)

    def open(self, path: str) -> Any:
        return open(path, "rb")

    def read(self, file: Any, start: int, size: int) -> Iterator[bytes]:
        file.seek(start)
        yield file.read(size)


class RemoteFiles:
    """The files of another machine, over sftp."""

    def __init__(self, sftp: paramiko.SFTPClient) -> None:
        self.sftp = sftp
        sftp.get_channel().settimeout(SILENCE)

    def stat(self, path: str) -> paramiko.SFTPAttributes:
        return self.sftp.stat(path)

    def open(self, path: str) -> paramiko.SFTPFile:
        return self.sftp.open(path, "rb")

    def read(self, file: paramiko.SFTPFile, start: int, size: int) -> Iterator[bytes]:
        file.stat()  # a dead connection shows here, and not as a traceback of the thread that readv() starts
        end = start + size
        yield from file.readv([(place, min(PIECE, end - place)) for place in range(start, end, PIECE)])


class Tally:
    """How far a round is; prints it at most every `every` seconds while bytes come in."""

    def __init__(self, home: int, trials: int, bytes_wanted: int, every: float = 5.0) -> None:
        self.home, self.trials, self.wanted, self.every = home, trials, bytes_wanted, every
        self.got = self.cut = 0  # bytes that came over the wire; bytes that need not come after all
        self.started = self.printed = time.monotonic()

    def add(self, count: int) -> None:
        self.got += count
        if time.monotonic() - self.printed >= self.every:
            print(self, flush=True)

    def __str__(self) -> str:
        self.printed = time.monotonic()
        left = self.wanted - self.cut - self.got
        line = f"{self.home}/{self.trials} trials home, {size_of(self.got)}"
        if self.got and left > 0:
            line += f", about {duration(left * (self.printed - self.started) / self.got)} to go"
        return line


def size_of(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count < 1e9 else f"{count / 1e9:.2f} GB"


def checked(files: dict[str, Any], machine: str) -> list[File]:
    """A machine's word for the files of a run folder, summary.json last, so that a folder that says how it ended
    is whole. Raises ValueError for a name that could lead out of the folder, or what is no size, time and SHA-256.
    """
    for name, told in files.items():
        if not PLAIN.fullmatch(name):
            raise ValueError(f"{machine} names a file {name!r}, which is no plain name; nothing of it is taken")
        kinds = [type(value) for value in told] if isinstance(told, list) else []
        if kinds != [int, int, str] or told[0] < 0 or not SHA256.fullmatch(told[2]):
            raise ValueError(f"{machine} tells of {name} what is no size, time and SHA-256: {told!r}")
    return sorted((File(name, *told) for name, told in files.items()), key=lambda file: file.name == "summary.json")


def fetch(files: LocalFiles | RemoteFiles, source: str, target: Path, file: File, tell: Callable[[int], None]) -> None:
    """Brings the file at `source` to `target`, telling of the bytes that come.

    A part left by an earlier call is continued, and once taken anew where its content turns out wrong. Raises
    ChangedError where the file there changed, ValueError where its content stays wrong.
    """
    part = target.with_name(f".{target.name}.{file.sha256[:16]}.part")
    for _ in range(2):
        if not fits(files.stat(source), file):
            raise ChangedError
        with files.open(source) as there, open(part, "ab") as here:
            while (done := here.tell()) < file.size:
                for piece in files.read(there, done, min(WINDOW, file.size - done)):
                    here.write(piece)
                    tell(len(piece))
                if here.tell() == done:
                    break  # it got shorter
            here.flush()
            os.fsync(here.fileno())
        if part.stat().st_size == file.size and digest(part) == file.sha256:
            os.replace(part, target)
            for old in target.parent.glob(f".{glob.escape(target.name)}.*.part"):
                old.unlink()  # of contents that the file no longer has
            return
        part.unlink()
    if files.stat(source).st_size > file.size:
        raise ChangedError
    raise ValueError(
        f"{source}: what comes over the wire has another SHA-256 than the file there, twice; "
        "run the same command again, and if it stays so check that machine's disk"
    )


def fits(found: os.stat_result | paramiko.SFTPAttributes, file: File) -> bool:
    """Whether a file still is, or at least begins with, what the manifest tells; sftp's times are whole seconds."""
    return found.st_size > file.size or [found.st_size, int(found.st_mtime)] == [file.size, file.mtime_ns // 10**9]


def digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def state(path: Path, sha256: str) -> list:
    found = path.stat()
    return [found.st_size, found.st_mtime_ns, sha256]


def kept(path: Path, file: File, entry: dict[str, list] | None) -> dict[str, list] | None:
    """The record entry of a file that is at home already; None where it has to be fetched.

    An entry holds [bytes, mtime_ns, sha256] as it was `there` and as it was put at `home`. The file at home is
    read only where its time is not the recorded one.
    """
    if not path.is_file():
        return None
    if not entry or entry["there"][2] != file.sha256:
        entry = {"there": file.there, "home": file.there}
    found = state(path, entry["home"][2])
    if found != entry["home"] and (found[0] != entry["home"][0] or digest(path) != found[2]):
        return None
    return {"there": file.there, "home": found}


def read_record(outputs: Path) -> dict[str, dict[str, dict[str, list]]]:
    """{trial: {file: entry}} of what was fetched before."""
    path = outputs / RECORD
    try:
        return json.loads(path.read_text()) if path.is_file() else {}
    except ValueError as error:
        raise ValueError(f"{path} is not JSON ({error}); remove it, and every file is compared anew") from error


def write_record(outputs: Path, record: dict[str, Any]) -> None:
    atomic(outputs / RECORD, lambda file: file.write_text(json.dumps(record)))
