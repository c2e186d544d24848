"""Checks of the computer that starts the search: NNI itself, its port, the tuner, the code folder, the address."""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from checks.command import is_local
from checks.finding import FAIL, HERE, OK, WARN, Finding, from_error
from experiment import is_taken
from nni_repair import LISTEN, REPAIRS, Installation, missing

MOST_FILES, MOST_BYTES = 2000, 300 * 2**20  # NNI's own, in nni_node/common/tarball.js
WAITS = 60  # seconds for a tuner to be made; importing NNI and scipy takes some on a busy computer
# counts as NNI's tarball.js does, with the package by which it reads .nniignore
COUNT = """
const fs = require('fs'), path = require('path');
const root = process.argv[1], file = path.join(root, '.nniignore');
const ig = fs.existsSync(file) ? require('ignore')().add(fs.readFileSync(file, 'utf8')) : null;
let count = 0, size = 0;
(function walk(folder) {
    for (const entry of fs.readdirSync(path.join(root, folder))) {
        const relative = path.join(folder, entry), stats = fs.lstatSync(path.join(root, relative));
        if (ig && ig.ignores(relative + (stats.isDirectory() ? path.sep : ''))) continue;
        if (stats.isDirectory()) walk(relative); else { count += 1; size += stats.size; }
    }
})('');
console.log(JSON.stringify([count, size]));
"""
MAKE = """
import json, sys
given = json.load(sys.stdin)
block, kind = given["block"], given["kind"]
if block.get("name"):
    from nni.tools.package_utils import create_builtin_class_instance
    made = create_builtin_class_instance(block["name"], block.get("classArgs"), kind + "s")
    if kind == "tuner" and "pbt" not in block["name"].lower():  # which makes folders
        made.update_search_space(given["space"])
else:
    import importlib
    import nni.assessor, nni.tuner
    from nni.runtime.msg_dispatcher_base import MsgDispatcherBase
    sys.path.append(block["codeDirectory"])
    module, name = block["className"].rsplit(".", 1)
    made = getattr(importlib.import_module(module), name)
    parent = nni.tuner.Tuner if kind == "tuner" else nni.assessor.Assessor
    if not issubclass(made, (parent, MsgDispatcherBase)):
        raise TypeError(f"{name} is no {parent.__module__}.{parent.__name__}")
    if getattr(made, "makes_nothing", False):  # ours; others may leave files, so NNI makes them first
        made = made(**(block.get("classArgs") or {}))
        if kind == "tuner":
            made.update_search_space(given["space"])
"""


def check_nni() -> list[Finding]:
    """What nnictl imports besides NNI."""
    if importlib.util.find_spec("pkg_resources"):
        return [Finding("setuptools", "this computer", OK, "has pkg_resources, which nnictl imports")]
    found = "has no pkg_resources, without which nnictl does not start (setuptools 82 removed it)"
    todo = f"{sys.executable} -m pip install 'setuptools>=77.0.3,<80.9'"
    return [Finding("setuptools", "this computer", FAIL, found, todo)]


def check_ports(port: int, remote: bool) -> list[Finding]:
    """The port of the page, and the one behind it, which a remote search takes for its machines."""
    findings = []
    for number in (port, port + 1) if remote else (port,):
        if is_taken(number):
            found = f"is taken{listener(number)}"
            if number != port:
                found += f"; a remote search on {port} needs it too"
            todo = "end that (nnictl list, nnictl stop ID), or choose another with --port"
            findings.append(Finding("port", str(number), FAIL, found, todo))
        else:
            findings.append(Finding("port", str(number), OK, "free"))
    return findings


def listener(port: int) -> str:
    """Who listens at a port, as far as this user may see it."""
    with suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            if connection.laddr.port == port and connection.status == psutil.CONN_LISTEN and connection.pid:
                return f" by pid {connection.pid} ({' '.join(psutil.Process(connection.pid).cmdline())[:60]})"
    return ""


def check_algorithm(kind: str, config: dict[str, Any]) -> list[Finding]:
    """Makes the tuner or assessor as NNI's dispatcher would, whose failing nobody is told of."""
    block = config[kind]
    name = block.get("name") or block["className"]
    given = json.dumps({"block": block, "kind": kind, "space": config["searchSpace"]})
    try:
        run = subprocess.run(
            [sys.executable, "-c", MAKE], input=given, capture_output=True, text=True, timeout=WAITS, check=False
        )
    except subprocess.TimeoutExpired:
        return [Finding(kind, name, WARN, f"was not made within {WAITS} s", "see what its module does when imported")]
    if run.returncode:
        words = (run.stderr.strip().splitlines() or ["no word"])[-1]
        todo = "correct classArgs, the search space or the class; the search would end at once"
        return [Finding(kind, name, FAIL, f"cannot be made: {words}", todo)]
    mode = (block.get("classArgs") or {}).get("optimize_mode")
    if kind == "tuner" and (mode == "minimize" or (mode is None and name.lower() == "tpe")):
        found = "minimises" + ("" if mode else ", TPE's default") + ", but Podium's metrics are better when higher"
        return [Finding(kind, name, WARN, found, "set classArgs: with optimize_mode: maximize below it")]
    return [Finding(kind, name, OK, "can be made")]


def check_code(config: dict[str, Any]) -> list[Finding]:
    """The folder that NNI uploads, against its limits; a local search has none."""
    folder = config["trialCodeDirectory"]
    if is_local(config):
        return [Finding("code folder", folder, OK, "is there; a local search has no limits")]
    import nni_node

    node = Path(nni_node.__path__[0])
    run = subprocess.run(
        [node / "node", "-e", COUNT, folder], cwd=node, capture_output=True, text=True, timeout=WAITS, check=False
    )
    if run.returncode:
        words = (run.stderr.strip().splitlines() or [""])[-1]
        return [Finding("code folder", folder, FAIL, f"cannot be listed: {words}", "see that all of it can be read")]
    count, size = json.loads(run.stdout)
    found = f"{count:,} files, {size / 2**20:.1f} MB"
    if count <= MOST_FILES and size <= MOST_BYTES:
        return [Finding("code folder", folder, OK, found)]
    found += f", but NNI uploads at most {MOST_FILES:,} files and {MOST_BYTES // 2**20} MB and then ends"
    return [Finding("code folder", folder, FAIL, found, "list in its .nniignore what trials do not need")]


def check_address(config: dict[str, Any]) -> list[Finding]:
    """Whether the machines can reach NNI's manager at the address that they are told."""
    address, opened = config["nniManagerIp"], os.environ.get(LISTEN, "")
    try:
        meant = {info[4][0] for info in socket.getaddrinfo(address, None)}
    except OSError as error:
        found = f"{address} cannot be looked up ({error})"
        return [
            Finding("nniManagerIp", address, WARN, found, "write 127.0.0.1, or this computer's address as a number")
        ]
    if any(number.startswith("127.") or number == "::1" for number in meant):
        return [Finding("nniManagerIp", address, OK, "the machines reach NNI through their ssh connections")]
    if opened in ("", "127.0.0.1", "localhost", "::1"):
        found = "the machines cannot reach NNI there, since it listens on loopback only"
        todo = f"write 127.0.0.1 (through ssh), or start with {LISTEN}={address} nnictl create …, which opens the page"
        return [Finding("nniManagerIp", address, FAIL, found, todo)]
    here = {entry.address for entries in psutil.net_if_addrs().values() for entry in entries}
    if meant & here:
        return [Finding("nniManagerIp", address, OK, "is this computer's")]
    others = ", ".join(sorted(number for number in here if "." in number and not number.startswith("127.")))
    todo = "write that of this computer, unless a router leads it here"
    return [Finding("nniManagerIp", address, WARN, f"is none of this computer's addresses ({others})", todo)]


def check_door() -> list[Finding]:
    """Who can open NNI's page, which has no login."""
    opened = os.environ.get(LISTEN)
    if not opened:
        return [Finding("page", HERE, OK, "is for this computer alone")]
    found = f"{LISTEN}={opened} opens NNI's page there: without a login, and with every file name and command in it"
    return [
        Finding("page", "this computer", WARN, found, f"unset {LISTEN}, and watch through ssh -L 8080:127.0.0.1:8080")
    ]


def check_repair(where: str, installation: Callable[[], Installation]) -> list[Finding]:
    """Whether NNI's known faults are mended there; without that no search should be trusted."""
    try:
        lacking = missing(installation())
    except (ValueError, OSError) as error:
        return [from_error("NNI's repair", where, error)]
    if not lacking:
        return [Finding("NNI's repair", where, OK, f"all {len(REPAIRS)} places")]
    todo = "python search/nni_repair.py --apply" + (" --config with this file" if where != HERE else "")
    return [Finding("NNI's repair", where, FAIL, f"{len(lacking)} of {len(REPAIRS)} places are not mended", todo)]
