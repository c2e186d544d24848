"""The run folder outputs/<experiment>/<trial>/: what a trial leaves behind, valid at every moment.

Every file is written beside its place and moved there, so a reader sees the old one or the new one. One
process at a time has the folder: it holds a lock on its file .lock, which the system takes away when the
process ends, however that happens.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any


@dataclass
class Run:
    """A run folder that this process has until close()."""

    path: Path
    lock: int  # file descriptor
    history: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    zero: float | None = None  # when summary.json's seconds were 0, in seconds of the monotonic clock

    def close(self) -> None:
        os.close(self.lock)

    def write_json(self, name: str, content: dict[str, Any]) -> None:
        text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        atomic(self.path / name, lambda file: file.write_text(text))

    def write_history(self) -> None:
        lines = "".join(json.dumps(entry) + "\n" for entry in self.history)
        atomic(self.path / "history.jsonl", lambda file: file.write_text(lines))

    def save(self, name: str, state: dict[str, Any]) -> None:
        """Weights or training state, loadable with weights_only=True."""
        import torch  # here, as readers of run folders need it not

        def write(file: Path) -> None:
            with open(file, "wb") as stream:  # torch's own would stay open, and keep a full disk full, after an error
                try:
                    torch.save(state, stream)
                except RuntimeError as error:
                    if isinstance(error.__context__, OSError):  # torch cannot end a file that it could not write
                        raise error.__context__ from None
                    raise

        atomic(self.path / name, write)

    def update(self, **entries: Any) -> None:
        """Sets entries of summary.json."""
        if self.zero is not None:
            entries["seconds"] = round(self.seconds, 1)
        self.summary |= entries
        self.write_json("summary.json", self.summary)

    @property
    def seconds(self) -> float:
        """How long the trial has taken, all attempts together; while recording()."""
        return time.monotonic() - self.zero

    def attempts(self, **entries: Any) -> list[dict[str, Any]]:
        """summary.json's attempts, with `entries` set in the present one."""
        *earlier, present = self.summary["attempts"]
        return [*earlier, present | entries]

    def attempted(self, **entries: Any) -> list[dict[str, Any]]:
        """summary.json's attempts and one that begins now; from_epoch counts the epochs that earlier ones ended."""
        earlier = [
            attempt | {"ended": "killed"} if attempt["ended"] == "RUNNING" else attempt
            for attempt in self.summary.get("attempts", [])
        ]
        begun = {"started": datetime.now().astimezone().isoformat(timespec="seconds"), "host": socket.gethostname()}
        return [*earlier, begun | {"from_epoch": 0, "ended": "RUNNING"} | entries]

    def end(self, status: str, **entries: Any) -> None:
        self.update(status=status, attempts=self.attempts(ended=status), **entries)

    @contextmanager
    def recording(self, ending: Callable[[], tuple[str, str]]) -> Iterator[None]:
        """Keeps summary.json's status true however the block ends: RUNNING, then how it ended and why.

        ending() tells the status of a trial that is told to stop, and why.
        """

        self.zero = time.monotonic() - self.summary.get("seconds", 0)
        self.summary.pop("error", None)
        self.update(status="RUNNING", attempts=self.attempted())
        (self.path / "traceback.txt").unlink(missing_ok=True)
        try:
            yield
        except KeyboardInterrupt:
            status, reason = ending()
            self.end(status, error=reason)
            raise
        except BaseException as error:
            trace = traceback.format_exc()
            atomic(self.path / "traceback.txt", lambda file: file.write_text(trace))
            self.end(
                "FAILED", error=f"{error}" if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
            )
            raise
        self.end("SUCCEEDED")


def fold_folders(path: Path) -> list[Path]:
    """The run folders of the folds inside one of all folds, in order; none in a run folder of one."""
    folders = [folder for folder in path.glob("fold-*") if is_fold(folder)]
    return sorted(folders, key=lambda folder: int(folder.name.removeprefix("fold-")))


def is_fold(path: Path) -> bool:
    return re.fullmatch(r"fold-\d+", path.name) is not None


def place_of(place: str) -> tuple[str, Path]:
    """The machine, "" where it is not told, and the folder of [HOST:]FOLDER; with a HOST it begins with / or ~."""
    host, path = re.fullmatch(r"(?:([^/~]+):(?=[/~]))?(.*)", place).groups()
    return host or "", Path(path).expanduser().absolute()


def root_of(path: Path) -> Path:
    """The output root of the run folder `path`."""
    return (path.parent if is_fold(path) else path).parent.parent


def weights_of(path: Path) -> list[Path]:
    """The best weights of a run folder, and of its folds, as far as they are there."""
    files = [folder / "best.pt" for folder in (path, *fold_folders(path))]
    return [file for file in files if file.is_file()]


def create_run(root: Path, experiment: str, trial: str) -> Run:
    """A new, empty run folder; a second trial of the same name gets a number behind it."""
    for number in range(1, 1000):
        path = root / experiment / (trial if number == 1 else f"{trial}-{number}")
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            continue
        return hold_run(path)
    raise ValueError(f"{root / experiment} holds too many trials named {trial}; pass another --name")


def open_run(path: Path) -> Run:
    """The run folder at `path`. Raises ValueError if it is none, or if another process has it."""
    check_run(path)
    return hold_run(path)


def check_run(path: Path) -> None:
    """Raises ValueError if `path` is no run folder."""
    if not (path / "config.json").is_file() or not (path / "summary.json").is_file():
        raise ValueError(f"{path} is no run folder: it lacks config.json or summary.json")


def hold_run(path: Path, patience: float = 0) -> Run:
    """The run folder `path`, which may be empty. Raises ValueError if another process has it after `patience` s."""
    deadline = time.monotonic() + patience
    while (lock := hold(path)) is None and time.monotonic() < deadline:
        time.sleep(0.5)
    if lock is None:
        process, _, host = (path / ".lock").read_text().strip().partition(" ")
        raise ValueError(f"{path} is being trained by process {process} on {host}; wait for it or end it")
    return load_run(path, lock)


def load_run(path: Path, lock: int) -> Run:
    """The run folder `path`, locked by `lock`, as far as it got, without what a killed process was writing."""
    for file in path.iterdir():
        if re.fullmatch(r"\..+\.\d+", file.name):  # atomic()'s scratch
            file.unlink()
    summary = path / "summary.json"
    return Run(path, lock, summary=json.loads(summary.read_text()) if summary.is_file() else {})


def hold(path: Path) -> int | None:
    """The descriptor of the locked file .lock, which falls with this process; None if another one has it."""
    lock = os.open(path / ".lock", os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    os.ftruncate(lock, 0)
    os.write(lock, f"{os.getpid()} {socket.gethostname()}\n".encode())
    return lock


def is_held(path: Path) -> bool:
    """Whether a process has the run folder `path`, which asking leaves as it is."""
    if not (path / ".lock").is_file():
        return False
    with open(path / ".lock") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def atomic(path: Path, write: Callable[[Path], Any]) -> None:
    """Calls write(file beside `path`), makes it durable and moves it to `path`; so may several threads at once."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        write(scratch)
        with open(scratch, "rb") as file:
            os.fsync(file.fileno())
        os.replace(scratch, path)
    except OSError as error:
        raise OSError(f"{path} cannot be written: {error.strerror or error}; make room there") from error
    finally:
        scratch.unlink(missing_ok=True)
