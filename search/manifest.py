"""What lies in the run folders of an experiment: sizes, times, SHA-256.

It runs on the machine that holds them: collect.py calls it here, and sends its text to the Python of
others. So it imports the standard library alone, and is understood by Python 3.8.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import re
import string
from datetime import datetime
from typing import Any

BY_ITSELF = ("SUCCEEDED", "EARLY_STOPPED", "FAILED")  # a summary's words for an end that the trial wrote last
TAIL = 8192  # bytes of trial.stderr that are read for its last line


def script(request: dict[str, Any]) -> str:
    """The text of a program that prints look(request) as its last line."""
    with open(__file__, encoding="utf8") as file:
        return f"{file.read()}\nprint(json.dumps(look(json.loads({json.dumps(json.dumps(request))}))))\n"


def look(request: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """{trial: {folder, status, started, files, unreadable, alive, last}} for the trials that were ever on this machine.

    A trial that was started again can have a run folder in each of its environments; told is the one of highest rank().
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
        best = max((copy_of(request, work, trial, living.get(trial, set())) for work in works or [""]), key=rank)
        folder, work = best["folder"], best.pop("work")
        if works or folder:
            files, unreadable = (
                read(folder, request["known"].get(trial, {}), request["without"]) if folder else ({}, {})
            )
            last = last_line(os.path.join(work, "trial.stderr")) if works else ""
            found[trial] = dict(best, files=files, unreadable=unreadable, last=last)
    return found


def rank(copy: dict[str, Any]) -> tuple[bool, bool, bool, float]:
    """The highest of a trial's copies is the one that counts: a process writes it, or else the trial itself ended
    there, or else it was begun last. A lost machine's copy goes on saying RUNNING.
    """
    return bool(copy["alive"]), bool(copy["folder"]), copy["status"] in BY_ITSELF, float(copy["started"])


def copy_of(request: dict[str, Any], work: str, trial: str, environments: set[str]) -> dict[str, Any]:
    """{work, folder, alive, status, started}; `environments` are those in which a process of the trial runs.

    started is that of the latest attempt, in seconds; of a folder that tells none, when a file of it was written last.
    """
    folder = run_folder(request, work, trial)
    folder = folder if os.path.isdir(folder) else ""
    summary = summary_of(folder) if folder else {}
    status = summary.get("status", "")
    return {
        "work": work,
        "folder": folder,
        "alive": bool(environments) and (not work or not environments.isdisjoint(("", environment_of(work)))),
        "status": status if isinstance(status, str) else "",
        "started": begun(summary, newest(folder or work)),
    }


def environment_of(work: str) -> str:
    """remote-worker1 of …/environments/remote-worker1/trials/TRIAL, by whatever path a home is reached."""
    return os.path.basename(os.path.dirname(os.path.dirname(work)))


def summary_of(folder: str) -> dict[str, Any]:
    """summary.json, empty where it cannot be read."""
    try:
        with open(os.path.join(folder, "summary.json"), encoding="utf8") as file:
            summary = json.load(file)
    except (OSError, ValueError):
        return {}
    return summary if isinstance(summary, dict) else {}


def begun(summary: dict[str, Any], otherwise: float) -> float:
    """When the latest attempt began, in seconds since 1970; machines write it in their own time zones."""
    try:
        return datetime.fromisoformat(summary["attempts"][-1]["started"]).timestamp()
    except (LookupError, TypeError, ValueError, OverflowError):
        return otherwise


def newest(folder: str) -> float:
    """When something in `folder` was written last, in seconds since 1970; 0 where there is nothing."""
    times = [0.0]
    try:
        for entry in os.scandir(folder or os.devnull):
            times.append(entry.stat().st_mtime)
    except OSError:
        pass  # it changes while it is read
    return max(times)


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
    """({file: [bytes, mtime_ns, sha256]}, {file: why it cannot be read}), those of its folds as fold-0/NAME.

    summary.json is read before the others are listed: when it says that the trial ended, they are all there.
    """
    files, unreadable = {}, {}
    for names in (["summary.json"], listing(folder)):
        for name in names:
            path, own = os.path.join(folder, name), os.path.basename(name)
            if name in files or own in without or own.startswith(".") or not os.path.isfile(path):
                continue
            try:
                files[name] = measure(path, known.get(name))
            except FileNotFoundError:
                continue  # moved away after it was listed
            except OSError as error:
                unreadable[name] = error.strerror
    return files, unreadable


def listing(folder: str) -> list[str]:
    names = sorted(os.listdir(folder))
    parts = [name for name in names if re.fullmatch(r"fold-\d+", name) and os.path.isdir(os.path.join(folder, name))]
    return names + [f"{part}/{name}" for part in parts for name in sorted(os.listdir(os.path.join(folder, part)))]


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


def living_trials() -> dict[str, set[str]]:
    """{trial: environments in which a process of it runs here}, as far as this user may see; "" is any."""
    living: dict[str, set[str]] = {}
    for path in glob.glob("/proc/[0-9]*/environ"):
        try:
            with open(path, "rb") as file:
                words = file.read().decode(errors="replace").split("\0")
        except OSError:
            continue  # another user's, or just ended
        names = dict(word.split("=", 1) for word in words if "=" in word)
        if "NNI_TRIAL_JOB_ID" in names:
            work = os.path.normpath(names.get("NNI_OUTPUT_DIR", ""))
            living.setdefault(names["NNI_TRIAL_JOB_ID"], set()).add(environment_of(work))
    return living
