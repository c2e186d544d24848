"""The files that a search for duplicates leaves: groups.csv and leaks.csv, and in curation/ the others.

groups.csv      path,group                      for trials: photos that stay on one side of the split
leaks.csv       test_id,train_path,distance     for submissions: photos to be predicted that are labelled ones
conflicts.csv   cluster,field,path,person,value for people: clusters whose labels disagree
duplicates.json what was searched and found, and what these files were when written: a file that somebody has
                changed since, or wrote by hand, is not written over. It is written first, with what lay there
                `before`, so that a search that is killed between the files still knows them as its own
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from notebook import CURATION, writable
from notes import digest
from predictions import write_csv
from run import atomic

FILES = {
    "groups.csv": ("path", "group"),
    "leaks.csv": ("test_id", "train_path", "distance"),
    "conflicts.csv": ("cluster", "field", "path", "person", "value"),
}
READ_LATER = ("groups.csv", "leaks.csv")  # by trials and submissions
RECORD = "duplicates.json"


def place(folder: Path, name: str) -> Path:
    """Where a file lies, given the folder of those that trials read."""
    return folder / name if name in READ_LATER else folder / CURATION / name


def check_room(folder: Path, overwrite: bool) -> None:
    """Raises ValueError where `folder` cannot take the files, or has some that are not as a search left them."""
    if not folder.is_dir():
        raise ValueError(f"--notes_dir {folder} is no folder; make it, or name another")
    writable(folder / CURATION, "--notes_dir, and pass that to trials too")
    ours = written(folder)
    strange = [
        name
        for name, found in present(folder).items()
        if found not in (ours["files"].get(name), ours["before"].get(name))
    ]
    if strange and not overwrite:
        raise ValueError(
            f"{folder} holds {', '.join(strange)}, written or changed by somebody; move that away, name another folder "
            "with --notes_dir, or pass --overwrite to lose it"
        )


def present(folder: Path) -> dict[str, str]:
    """The digest of each file of FILES that is there."""
    return {name: digest(place(folder, name)) for name in FILES if place(folder, name).is_file()}


def written(folder: Path) -> dict[str, dict[str, str]]:
    """The digests of the `files` as the last search left them, and of those `before` that it had not replaced yet.

    None where its record is not there or damaged.
    """
    try:
        record = json.loads(place(folder, RECORD).read_text())
        return {"files": dict(record["files"]), "before": dict(record.get("before", {}))}
    except (OSError, ValueError, KeyError, TypeError):
        return {"files": {}, "before": {}}


def write_findings(folder: Path, tables: dict[str, Sequence[Sequence[Any]]], record: dict[str, Any]) -> None:
    """`tables` has the rows of each file of FILES; one without rows holds its header alone."""
    columns = {}
    for name, heads in FILES.items():
        cells = list(zip(*tables[name], strict=True)) or [[]] * len(heads)
        columns[name] = dict(zip(heads, cells, strict=True))
    files = {name: digest_of(columns[name]) for name in FILES}
    write_record(folder, record | {"files": files, "before": present(folder)})
    for name in FILES:
        write_csv(place(folder, name), columns[name])
    write_record(folder, record | {"files": files})


def digest_of(columns: dict[str, Sequence[Any]]) -> str:
    """What digest() gives of the file that write_csv() makes of these."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "table.csv"
        write_csv(path, columns)
        return digest(path)


def write_record(folder: Path, record: dict[str, Any]) -> None:
    text = json.dumps(record, indent=2, ensure_ascii=False) + "\n"
    atomic(place(folder, RECORD), lambda file: file.write_text(text))
