"""The run folder outputs/<experiment>/<trial>/: what a trial leaves behind, valid at every moment.

Every file is written beside its place and moved there, so a reader sees the old one or the new one.
"""

from __future__ import annotations

import json
import os
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch


@dataclass
class Run:
    path: Path
    history: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)

    def write_json(self, name: str, content: dict[str, Any]) -> None:
        text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        atomic(self.path / name, lambda file: file.write_text(text))

    def add_epoch(self, row: dict[str, Any]) -> None:
        self.history.append(row)
        lines = "".join(json.dumps(entry) + "\n" for entry in self.history)
        atomic(self.path / "history.jsonl", lambda file: file.write_text(lines))

    def save(self, name: str, state: dict[str, Any]) -> None:
        """Weights or training state, loadable with weights_only=True."""
        atomic(self.path / name, lambda file: torch.save(state, file))

    def update(self, **entries: Any) -> None:
        """Sets entries of summary.json."""
        self.summary |= entries
        self.write_json("summary.json", self.summary)

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Keeps summary.json's status true however the block ends: RUNNING, then how it ended and why."""
        started = time.monotonic()

        def end(status: str, **entries: Any) -> None:
            self.update(status=status, seconds=round(time.monotonic() - started, 1), **entries)

        self.update(status="RUNNING")
        try:
            yield
        except KeyboardInterrupt:
            end("INTERRUPTED", error="told to stop")
            raise
        except BaseException as error:
            trace = traceback.format_exc()
            atomic(self.path / "traceback.txt", lambda file: file.write_text(trace))
            end("FAILED", error=f"{error}" if isinstance(error, ValueError) else f"{type(error).__name__}: {error}")
            raise
        end("SUCCEEDED")


def create_run(root: Path, experiment: str, trial: str) -> Run:
    """A new, empty run folder; a second trial of the same name gets a number behind it."""
    for number in range(1, 1000):
        path = root / experiment / (trial if number == 1 else f"{trial}-{number}")
        try:
            path.mkdir(parents=True)
            return Run(path)
        except FileExistsError:
            continue
        except OSError as error:
            raise ValueError(
                f"the run folder {path} cannot be made ({error.strerror}); pass another --model_dir"
            ) from error
    raise ValueError(f"{root / experiment} holds too many trials named {trial}; pass another --name")


def open_run(path: Path) -> Run:
    """The run folder at `path`. Raises ValueError if it is none."""
    if not (path / "config.json").is_file() or not (path / "summary.json").is_file():
        raise ValueError(f"{path} is no run folder: it lacks config.json or summary.json")
    return Run(path, summary=json.loads((path / "summary.json").read_text()))


def atomic(path: Path, write: Callable[[Path], Any]) -> None:
    """Calls write(file beside `path`), makes it durable and moves it to `path`."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        write(scratch)
        with open(scratch, "rb") as file:
            os.fsync(file.fileno())
        os.replace(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)
