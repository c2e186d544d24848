"""A search's own memory in outputs/<experiment>/, from which it goes on after `nnictl resume`.

suggested.jsonl: a line {parameter_id, parameters} for each point before its trial begins; trials.jsonl: how each ended.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from pathlib import Path
from typing import Any

import ledger
from sampling.past import from_line
from sampling.space import Point

SUGGESTED = "suggested.jsonl"
PATIENCE = 10.0  # seconds for the process of a manager that was killed to end


def has_begun(folder: Path) -> bool:
    """Whether a search has suggested points in its `folder`."""
    return (folder / SUGGESTED).is_file() and (folder / SUGGESTED).stat().st_size > 0


class Journal:
    """Has the experiment's folder until its process ends. Raises RuntimeError where another search has it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.file = open(folder / SUGGESTED, "a+")  # noqa: SIM115  as long as the process
        deadline = time.monotonic() + PATIENCE
        while not self.held():
            if time.monotonic() > deadline:
                self.file.close()
                raise RuntimeError(
                    f"{folder / SUGGESTED} is being written by another search; end that (nnictl list, nnictl stop ID)"
                )
            time.sleep(0.2)
        self.file.seek(0)
        if not f"\n{self.file.read()}".endswith("\n"):  # or the next line would be lost with half a one
            self.file.write("\n")

    def held(self) -> bool:
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def suggested(self) -> dict[int, Point]:
        """By parameter_id, but for those taken back; of a line that a power cut left half written nothing was begun."""
        self.file.seek(0)
        points = {}
        for line in self.file.read().splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            points[entry["parameter_id"]] = entry["parameters"]
        return {number: point for number, point in points.items() if point is not None}

    def ended(self) -> dict[str, dict[str, Any]]:
        """Lines of trials.jsonl."""
        return ledger.read(self.folder / ledger.LEDGER)

    def suggest(self, parameter_id: int, point: Point | None) -> None:
        """None takes it back: its trial was cancelled."""
        self.file.seek(0, os.SEEK_END)
        self.file.write(json.dumps({"parameter_id": parameter_id, "parameters": point}) + "\n")
        self.file.flush()
        os.fsync(self.file.fileno())

    def end(self, line: dict[str, Any]) -> None:
        ledger.merge(self.folder / ledger.LEDGER, {line["id"]: line})


def open_journal(outputs: Path) -> Journal | None:
    """None outside NNI, where nothing is kept."""
    folder = folder_of_search(outputs)
    return Journal(folder) if folder else None


def read_curves(outputs: Path) -> dict[str, tuple[float, ...]]:
    """The reports of this search's ended trials, by trial; none at its start, and outside NNI."""
    folder = folder_of_search(outputs)
    lines = ledger.read(folder / ledger.LEDGER) if folder else {}
    curves = {name: from_line(line).curve for name, line in lines.items() if line["status"] in ledger.FINAL}
    return {name: curve for name, curve in curves.items() if curve}


def folder_of_search(outputs: Path) -> Path | None:
    """Of NNI's dispatcher the folder of its logs tells the experiment."""
    logs = os.environ.get("NNI_LOG_DIRECTORY")
    return outputs / Path(logs).parent.name if logs else None
