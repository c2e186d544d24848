"""What lies in the run folders of an experiment: sizes, times, SHA-256.

It runs on the machine that holds them: collect.py calls it here, and sends its text to the Python of
others. So it imports the standard library alone, and is understood by Python 3.8.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import string
from typing import Any

ID = b"NNI_TRIAL_JOB_ID="
TAIL = 8192  # bytes of trial.stderr that are read for its last line


def script(request: dict[str, Any]) -> str:
    """The text of a program that prints look(request) as its last line."""
    with open(__file__, encoding="utf8") as file:
        return f"{file.read()}\nprint(json.dumps(look(json.loads({json.dumps(json.dumps(request))}))))\n"


def look(request: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """{trial: {folder, files, unreadable, alive, last}} for the trials that were ever on this machine.

    `request` holds: experiment; trials, their ids; root, of NNI's files, "" for ~/nni-experiments; model_dir
    as in the trial command, "" where it has none; code, the folder of train.py, "" for the one that NNI
    uploaded; known, {trial: {file: [bytes, mtime_ns, sha256]}}, which is not read again where size and time
    are the same; without, names of files that are not wanted.
    """
    root = request["root"] or os.path.join(os.path.expanduser("~"), "nni-experiments")
    places = os.path.join(glob.escape(os.path.join(root, request["experiment"])), "environments", "*", "trials")
    living, found = living_trials(), {}
    for trial in request["trials"]:
        works = sorted(glob.glob(os.path.join(places, glob.escape(trial))))
        candidates = [run_folder(request, work, trial) for work in works or [""]]
        folder = next((path for path in candidates if path and os.path.isdir(path)), "")
        if works or folder:
            files, unreadable = (
                read(folder, request["known"].get(trial, {}), request["without"]) if folder else ({}, {})
            )
            found[trial] = {
                "folder": folder,
                "files": files,
                "unreadable": unreadable,
                "alive": trial in living,
                "last": last_line(os.path.join(works[0], "trial.stderr")) if works else "",
            }
    return found


def run_folder(request: dict[str, Any], work: str, trial: str) -> str:
    """Where the trial writes, `work` being its NNI_OUTPUT_DIR; "" where that cannot be told without it."""
    code = request["code"] or (work and os.path.join(os.path.dirname(os.path.dirname(work)), "upload", "trial_code"))
    names = {
        "NNI_OUTPUT_DIR": work,
        "NNI_SYS_DIR": work,
        "NNI_EXP_ID": request["experiment"],
        "NNI_TRIAL_JOB_ID": trial,
    }
    text = request["model_dir"] or os.path.join(os.pardir, "outputs")
    path = os.path.expanduser(string.Template(text).safe_substitute(dict(os.environ, **names)))
    if not work and ("NNI_" in text or not (code or os.path.isabs(path))):
        return ""
    return os.path.normpath(os.path.join(code, path, request["experiment"], trial))


def read(folder: str, known: dict[str, list], without: list[str]) -> tuple[dict[str, list], dict[str, str]]:
    """({file: [bytes, mtime_ns, sha256]}, {file: why it cannot be read}).

    summary.json is read before the others are listed: when it says that the trial ended, they are all there.
    """
    files, unreadable = {}, {}
    for names in (["summary.json"], sorted(os.listdir(folder))):
        for name in names:
            path = os.path.join(folder, name)
            if name in files or name in without or name.startswith(".") or not os.path.isfile(path):
                continue
            try:
                files[name] = measure(path, known.get(name))
            except FileNotFoundError:
                continue  # moved away after it was listed
            except OSError as error:
                unreadable[name] = error.strerror
    return files, unreadable


def measure(path: str, known: list | None) -> list:
    """[bytes, mtime_ns, sha256]; of a file that grows meanwhile, those of its beginning."""
    with open(path, "rb") as file:
        state = os.fstat(file.fileno())
        if known and known[:2] == [state.st_size, state.st_mtime_ns]:
            return known
        digest, left = hashlib.sha256(), state.st_size
        while left:
            chunk = file.read(min(left, 1 << 20))
            if not chunk:
                break
            digest.update(chunk)
            left -= len(chunk)
        return [state.st_size - left, state.st_mtime_ns, digest.hexdigest()]


def last_line(path: str) -> str:
    try:
        with open(path, "rb") as file:
            file.seek(max(0, os.path.getsize(path) - TAIL))
            lines = file.read().decode(errors="replace").split("\n")
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def living_trials() -> set[str]:
    """Trials of which a process runs here, as far as this user may see."""
    living = set()
    for path in glob.glob("/proc/[0-9]*/environ"):
        try:
            with open(path, "rb") as file:
                words = file.read().split(b"\0")
        except OSError:
            continue  # another user's, or just ended
        living.update(word[len(ID) :].decode(errors="replace") for word in words if word.startswith(ID))
    return living
