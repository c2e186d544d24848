"""Where curating writes: what trials read lies beside the data, what people read in the folder curation/ there.

Beside the data, or in --notes_dir, are groups.csv, corrections.csv and leaks.csv, which preflight.py compares between
machines and sends to them. curation/ holds all else, tables, pictures and the journal of a review: no trial reads it,
and preflight.py leaves it out.
"""

from __future__ import annotations

import errno
import stat
import tempfile
from pathlib import Path

CURATION = "curation"
ANYBODY = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH  # root can write where nobody is meant to


def notes_of(root: Path, notes_dir: str) -> Path:
    """The folder of what trials read."""
    return Path(notes_dir).expanduser() if notes_dir else root


def curation_of(root: Path, notes_dir: str) -> Path:
    """The folder of what people read; it may not be there yet."""
    return notes_of(root, notes_dir) / CURATION


def writable(folder: Path, option: str) -> Path:
    """`folder`, made where its parent is there. Raises ValueError before the work where it is of no use.

    `option` is what names another one.
    """
    folder = folder.expanduser()
    try:
        if folder.name == CURATION:
            writable(folder.parent, option)
        folder.mkdir(exist_ok=True)
        if not folder.stat().st_mode & ANYBODY:
            raise PermissionError(errno.EACCES, "it is marked read-only")
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        why = error.strerror
        raise ValueError(f"{folder} cannot be written to ({why}); name another place with {option}") from error
