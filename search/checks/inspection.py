"""A machine of a search looked into by probe.py, and what its answers mean; this computer is one too."""

from __future__ import annotations

import base64
import json
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from checks.command import Command, is_local, program_here
from checks.computer import check_repair
from checks.finding import FAIL, HERE, OK, WARN, Finding, from_error
from checks.gpus import check_gpus
from config import Config
from dataset import HEADERS, LAYOUTS
from machines import Connection, Machine, connect
from nni_repair import remote

NOTES = ("groups.csv", "corrections.csv", "leaks.csv")  # small files beside the data, which curating it writes
SECONDS = 10  # for a machine to answer
PROBE = Path(__file__).with_name("probe.py")
LEAST_PYTHON, FIRST_UNTRIED = [3, 11], [3, 14]
LITTLE_DISK, NO_DISK = 5 * 2**30, 0.5 * 2**30
SKEW_SECONDS, WRONG_CLOCK_SECONDS = 5, 300
MODULES = (
    "nni=nni",
    "torch=torch",
    "torchvision=torchvision",
    "numpy=numpy",
    "pandas=pandas",
    "PIL=pillow",
    "pyarrow=pyarrow",
)
OF_MODELS = {"Efficientnet_": "efficientnet_pytorch=efficientnet-pytorch", "timm/": "timm=timm"}
# paramiko's words that come without a cure
LOOK = (
    "if [ -d {0} ]; then [ -x {0}/python ] || [ -x {0}/python3 ] || echo no python; elif [ -e {0} ]; then echo file; \
else echo missing; fi"
)


@dataclass
class Report:
    """What probe.py answered on a machine; `answers` is empty where it could not be asked."""

    where: str
    answers: dict[str, Any]
    findings: list[Finding]


def questions(config: dict[str, Any], command: Command, knobs: Config | None) -> dict[str, Any]:
    """probe.py's argument. Without train.py's knobs nothing is asked about data and modules."""
    local, code = is_local(config), Path(config["trialCodeDirectory"])
    folders = [config.get("experimentWorkingDirectory", "~/nni-experiments") if local else "~/nni-experiments"]
    data, notes_dir, modules = "", "", []
    if knobs:
        output = knobs.model_dir or (str(code.parent / "outputs") if local else "")
        folders += [folder for folder in (output, knobs.cache_dir) if folder and "NNI_OUTPUT_DIR" not in folder]
        data, notes_dir = (
            str(code / Path(given).expanduser()) if local and given else given
            for given in (knobs.data_dir, knobs.notes_dir)
        )
        models = models_of(config["searchSpace"]) or [knobs.model]
        starts = [start for start in OF_MODELS if any(model.startswith(start) for model in models)]
        modules = [*MODULES, *(OF_MODELS[start] for start in starts)]
    return {
        "program": (program_here(command, config) if local else command.program) if command.is_python else "",
        "path": "",
        "modules": modules,
        "gpus": not local or config.get("trialGpuNumber") is not None,
        "folders": folders,
        "data": data,
        "markers": {marker: HEADERS.get(marker, ()) for marker in LAYOUTS},
        "notes": list(NOTES),
        "notes_dir": notes_dir,
    }


def models_of(space: Any) -> list[str]:
    """The models that a search space chooses from; none where it has not NNI's form, which searchspace.py refuses."""
    spec = space.get("model") if isinstance(space, dict) else None
    values = spec.get("_value") if isinstance(spec, dict) else None
    return list(map(str, values)) if isinstance(values, list) else []


def encode(asked: dict[str, Any]) -> str:
    return base64.b64encode(json.dumps(asked).encode()).decode()


def ask_here(asked: dict[str, Any]) -> dict[str, Any]:
    """probe.py's answers about this computer."""
    run = subprocess.run([sys.executable, PROBE, encode(asked)], capture_output=True, text=True, check=False)
    if run.returncode:
        raise RuntimeError(f"{PROBE} failed here: {run.stderr}")
    return json.loads(run.stdout.splitlines()[-1])


def inspect_here(config: dict[str, Any], asked: dict[str, Any]) -> Report:
    answers = ask_here(asked)
    findings = [*check_trial(HERE, answers), *check_disks(HERE, answers)]
    findings += check_gpus(HERE, config.get("trialGpuNumber"), config["trainingService"], answers["gpus"])
    return Report(HERE, answers, findings)


def ask_there(connection: Connection, asked: dict[str, Any]) -> dict[str, Any]:
    """probe.py's answers about a machine. Raises ValueError where its Python does not run it."""
    asked = asked | {"path": connection.machine.python_path}
    said = connection.python(PROBE.read_text(), encode(asked))
    if said.code == 127 and not said.err.strip():
        raise ValueError("there is no python in its PATH; name the folder that holds one with pythonPath")
    try:
        return json.loads(said.out.splitlines()[-1])
    except (ValueError, IndexError) as error:
        words = (said.err.strip().splitlines() or said.out.strip().splitlines() or ["no word"])[-1]
        raise ValueError(f"its python could not be asked ({words}); Podium needs Python 3.11 to 3.13 there") from error


def inspect(machine: Machine, config: dict[str, Any], entry: dict[str, Any], asked: dict[str, Any]) -> Report:
    """All that can be said of one machine, in some seconds; never raises for a machine's faults."""
    where, report = str(machine), Report(str(machine), {}, [])
    check = "ssh"
    try:
        with connect(machine, SECONDS) as connection:
            report.findings.append(Finding("ssh", where, OK, "answers and takes the login"))
            report.findings += check_clock(connection)
            check = "python"
            wrong = check_python_path(connection)
            if wrong:
                report.findings.append(wrong)
                return report
            answers = ask_there(connection, asked)
            if answers["own"].get("modules", {}).get("nni"):
                report.findings += check_repair(where, lambda: remote(connection))
    except (ValueError, OSError, EOFError) as error:
        report.findings.append(from_error(check, where, error))
        return report
    report.answers = answers
    report.findings += check_own_python(where, answers)
    report.findings += check_trial(where, answers)
    report.findings += check_disks(where, answers)
    report.findings += check_gpus(where, config.get("trialGpuNumber"), entry, answers["gpus"])
    return report


def check_clock(connection: Connection) -> Iterator[Finding]:
    """The machine's clock against the middle of the moment in which it was asked."""
    began = time.time()
    said = connection.run("date +%s", timeout=SECONDS).out.strip()
    middle = (began + time.time()) / 2
    if not said.isdigit():
        yield Finding("clock", str(connection.machine), WARN, f"date answers {said!r}", "see that date runs there")
        return
    skew = int(said) + 0.5 - middle  # date gives whole seconds
    state = FAIL if abs(skew) > WRONG_CLOCK_SECONDS else WARN if abs(skew) > SKEW_SECONDS else OK
    found = "agrees" if state == OK else f"is {abs(skew):.0f} s {'ahead' if skew > 0 else 'behind'}"
    yield Finding("clock", str(connection.machine), state, found, "" if state == OK else "set it by NTP there")


def check_python_path(connection: Connection) -> Finding | None:
    """NNI takes the python of PATH, without a word, where this folder is wrong."""
    path = connection.machine.python_path
    if not path:
        return None
    said = connection.run(f"sh -c {shlex.quote(LOOK.format(shlex.quote(path)))}", timeout=SECONDS).out.strip()
    faults = {
        "file": (f"pythonPath {path} is a file, so trials would run the system's Python", f"write {Path(path).parent}"),
        "missing": (f"pythonPath {path} is not there", "write the folder that holds python there (its venv's bin)"),
        "no python": (f"pythonPath {path} holds no python", "write the folder that does (its venv's bin)"),
    }
    return Finding("python", str(connection.machine), FAIL, *faults[said]) if said in faults else None


def check_own_python(where: str, answers: dict[str, Any]) -> Iterator[Finding]:
    """The Python with which NNI starts its keeper there."""
    executable, here = answers["executable"], version("nni")
    own = answers["own"].get("modules", {})  # a Python before 3.8 cannot look its packages up
    yield from check_version("python", where, executable, answers["version"])
    install = f"{executable} -m pip install nni=={here} there"
    if own.get("nni") is not None:
        yield Finding("nni", where, OK, f"{own['nni']} with {executable}")
    elif answers["managed"]:
        found = f"{executable} has no nni and is the system's, whose pip installs nothing (PEP 668)"
        yield Finding("nni", where, FAIL, found, "make a venv there and write its bin folder as pythonPath")
    else:
        yield Finding("nni", where, FAIL, f"{executable} has no nni", install)


def check_version(check: str, where: str, executable: str, number: list[int]) -> Iterator[Finding]:
    shown = ".".join(map(str, number))
    if number[:2] < LEAST_PYTHON:
        yield Finding(check, where, FAIL, f"{executable} is Python {shown}", "Podium needs Python 3.11 to 3.13")
    elif number[:2] >= FIRST_UNTRIED:
        yield Finding(check, where, WARN, f"{executable} is Python {shown}", "NNI was tried with 3.11 to 3.13")


def check_trial(where: str, answers: dict[str, Any]) -> Iterator[Finding]:
    """The interpreter of trialCommand and its packages."""
    trial = answers["trial"]
    if trial is None:
        return
    if "error" in trial:
        todo = "name the interpreter in trialCommand as it is called there"
        yield Finding("trial's python", where, FAIL, trial["error"], todo)
        return
    executable = trial["executable"]
    yield from check_version("trial's python", where, executable, trial["version"])
    lacking = [name for name, number in trial["modules"].items() if number is None]
    if lacking:
        todo = f"{executable} -m pip install -r requirements.txt"
        yield Finding("trial's python", where, FAIL, f"{executable} has no {', '.join(lacking)}", todo)
    else:
        found = ", ".join(f"{name} {number}" for name, number in trial["modules"].items() if "torch" in name)
        yield Finding("trial's python", where, OK, " with ".join(filter(None, (executable, found))))


def check_disks(where: str, answers: dict[str, Any]) -> Iterator[Finding]:
    """Space, told once for each disk, and whether trials could write there."""
    seen = set()
    for disk in answers["disks"]:
        if not disk["writable"]:
            found = f"{disk['folder']} cannot be written, because {disk['at']} cannot"
            yield Finding("disk", where, FAIL, found, "give this user the right to, or name another folder")
        elif disk["device"] not in seen:
            seen.add(disk["device"])
            free = disk["free"]
            state = FAIL if free < NO_DISK else WARN if free < LITTLE_DISK else OK
            todo = "" if state == OK else "make room: old experiments, outputs and the cache of decoded photos"
            yield Finding("disk", where, state, f"{free / 2**30:.1f} GiB free for {disk['folder']}", todo)
