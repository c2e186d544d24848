"""Run on a machine by its own Python: answers preflight's questions about it, as one line of JSON.

Stands alone and runs from Python 3.7 on, because a machine has neither this project nor, perhaps, Python 3.11.
Its argument is base64 of JSON, its keys being those of `answer`. inspection.py judges what it says.
"""

import base64
import csv
import glob
import hashlib
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import time

TEXTS = (".csv", ".json", ".txt", ".tsv", ".yml", ".yaml")  # labels: the same size may hold another label
TEXT_BYTES = 16 * 2**20
CURATION = "curation"  # the folder of a data root that holds what curating found, which no trial reads
MODULES = """
import importlib.metadata, importlib.util, json, sys
def look(module, package):
    if importlib.util.find_spec(module) is None:
        return None
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "?"
pairs = [word.split("=") for word in sys.argv[1:]]
print(json.dumps({"version": list(sys.version_info[:3]), "modules": {m: look(m, p) for m, p in pairs}}))
"""


def answer(questions):
    return {
        "time": time.time(),
        "executable": sys.executable,
        "version": list(sys.version_info[:3]),
        "managed": is_managed(),
        "own": look_with(sys.executable, ["nni=nni", "pip=pip", "pynvml=nvidia-ml-py"]),
        "trial": trial(questions["program"], questions["path"], questions["modules"]),
        "gpus": gpus() if questions["gpus"] else None,
        "disks": [disk(folder) for folder in questions["folders"]],
        "data": data(*(questions[name] for name in ("data", "markers", "notes", "notes_dir")))
        if questions["data"]
        else None,
    }


def is_managed():
    """Whether pip refuses to install here (PEP 668)."""
    marker = os.path.join(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED")
    return sys.prefix == sys.base_prefix and os.path.isfile(marker)


def trial(program, path, modules):
    """The interpreter that a trial would have, and the versions of its modules (`module=package`)."""
    if not program:
        return None
    program = os.path.expandvars(os.path.expanduser(program))
    search = os.pathsep.join(part for part in (path, os.environ.get("PATH", "")) if part)
    found = shutil.which(program, path=search)
    if not found:
        return {"error": "there is no such program"}
    return dict(look_with(found, modules), executable=found)


def look_with(executable, modules):
    run = subprocess.run([executable, "-c", MODULES, *modules], capture_output=True, text=True)
    try:
        return json.loads(run.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        return {"error": (run.stderr.strip().splitlines() or ["it printed nothing"])[-1]}


def gpus():
    """What NNI's own scheduler would see."""
    try:
        import pynvml

        pynvml.nvmlInit()
        listed = []
        for index in range(pynvml.nvmlDeviceGetCount()):
            device = pynvml.nvmlDeviceGetHandleByIndex(index)
            memory = pynvml.nvmlDeviceGetMemoryInfo(device)
            busy = pynvml.nvmlDeviceGetComputeRunningProcesses(device)
            busy = busy + pynvml.nvmlDeviceGetGraphicsRunningProcesses(device)
            listed.append({"free": memory.free, "total": memory.total, "active": sorted({p.pid for p in busy})})
        return {"listed": listed}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}


def disk(folder):
    """Space where `folder` is or would be, and whether it could be written."""
    path = os.path.abspath(os.path.expandvars(os.path.expanduser(folder)))
    at = path
    while not os.path.exists(at):
        at = os.path.dirname(at)
    writable = os.path.isdir(at) and os.access(at, os.W_OK | os.X_OK)
    return {
        "folder": path,
        "at": at,
        "free": shutil.disk_usage(at).free,
        "writable": writable,
        "device": os.stat(at).st_dev,
    }


def data(given, markers, notes, notes_dir=""):
    """The data root that `given` names, a listing of it, and hashes of the notes, which lie there or in `notes_dir`."""
    given, notes_dir = (
        os.path.abspath(os.path.expandvars(os.path.expanduser(path))) if path else "" for path in (given, notes_dir)
    )
    if not os.path.isdir(given):
        return {"error": f"there is no folder {given}"}
    roots = [given, os.path.dirname(given), os.path.dirname(os.path.dirname(given))]
    root = next((r for r in roots if any(is_marked(r, marker, columns) for marker, columns in markers.items())), None)
    if root is None:
        return {"error": f"{given} has no {' or '.join(markers)}"}
    if notes_dir and not os.path.isdir(notes_dir):
        return {"error": f"there is no folder {notes_dir} (--notes_dir)"}
    parts, errors = listing(root, notes)
    beside = notes_dir or root
    hashes = {name: note(beside, name) for name in notes}
    return {"root": root, "parts": parts, "errors": errors, "notes": hashes, "notes_in": beside}


def is_marked(root, marker, columns):
    """As dataset.py decides it: `root` has such a file, which is a table of `columns` where there are any."""
    found = glob.glob(os.path.join(glob.escape(root), marker))
    if not found or not columns:
        return bool(found)
    with open(found[0], encoding="utf-8-sig", errors="replace") as file:
        return set(columns) <= set(next(csv.reader(file), []))


def note(root, name):
    path = os.path.join(root, name)
    return content(path) if os.path.isfile(path) else None


def content(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def listing(root, notes):
    """Of each part of the root (train/images, eval, …): files, bytes, and a hash over names, sizes and label files.

    Hidden files, the notes and what curating leaves are left out; those that cannot be read are the second answer.
    """
    parts, errors, seen = {}, [], set()
    for folder, names, files in os.walk(root, followlinks=True, onerror=lambda error: errors.append(str(error))):
        if os.path.realpath(folder) in seen:
            names[:] = []
            continue
        seen.add(os.path.realpath(folder))
        left = ("__pycache__", CURATION if folder == root else "")
        names[:] = sorted(name for name in names if name[0] != "." and name not in left)
        for name in sorted(files):
            path = os.path.join(folder, name)
            relative = os.path.relpath(path, root).replace(os.sep, "/")
            if name[0] == "." or relative in notes:
                continue
            if not os.access(path, os.R_OK):
                errors.append(f"{path} cannot be read")
                continue
            size = os.stat(path).st_size
            labels = content(path) if name.lower().endswith(TEXTS) and size <= TEXT_BYTES else ""
            part = parts.setdefault("/".join(relative.split("/")[:2]), [0, 0, hashlib.sha256()])
            part[0], part[1] = part[0] + 1, part[1] + size
            part[2].update(f"{relative}\t{size}\t{labels}\n".encode())
    return {name: [count, size, digest.hexdigest()] for name, (count, size, digest) in parts.items()}, errors[:3]


if __name__ == "__main__":
    print(json.dumps(answer(json.loads(base64.b64decode(sys.argv[1]).decode()))))
