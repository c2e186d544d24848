"""Mends the NNI 3.0 that is installed, here or on other machines; repairs/*.patch say what and why.

NNI is archived, so its faults are mended where it is installed, reversibly. To add a repair, add a hunk to a
patch, its reason behind the second @@; tests/test_nni_repair.py walks all of them.

python search/nni_repair.py --check | --apply | --undo [--config config_remote.yml [--host NAME]]

Without --config it is about this Python's NNI; with it, also about that of each machine in the file.
--host NAME narrows that to one machine. Exit code 1 where something is not repaired, or is no NNI 3.0.
"""

from __future__ import annotations

import argparse
import json
import posixpath
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "baseline"))  # for settings/

from machines import Connection, Machine, connect, machines_of

LISTEN = "NNI_LISTEN"  # environment variable of nnictl: where the page listens instead of 127.0.0.1 (door.patch)
FIX = "run python search/nni_repair.py --apply"
WHERE = """
import json, pathlib, sys
try:
    import importlib.metadata, importlib.util
    version = importlib.metadata.version("nni")
    root = str(pathlib.Path(importlib.util.find_spec("nni_node").origin).parent.parent)
except Exception:
    version = root = ""
print(json.dumps([version, root]))
"""


@dataclass(frozen=True)
class Repair:
    """One place: the lines `old`, which stand once in `file` as released, become `new`."""

    file: str  # relative to site-packages
    why: str
    old: str
    new: str


def read_repairs(folder: Path) -> list[Repair]:
    """The hunks of the unified diffs in `folder`; lines are found by their text, line numbers do not count."""
    found: list[Repair] = []
    for patch in sorted(folder.glob("*.patch")):
        file = ""
        for line in patch.read_text().splitlines(keepends=True):
            if line.startswith("+++ b/"):
                file = line.removeprefix("+++ b/").strip()
            elif line.startswith("@@ "):
                found.append(Repair(file, line.split("@@", 2)[2].strip(), "", ""))
            elif line.startswith("\\"):  # "no newline at end of file" is about the line before it
                found[-1] = replace(found[-1], old=found[-1].old[:-1], new=found[-1].new[:-1])
            elif not line.startswith("--- a/"):
                last = found[-1]
                old, new = ("" if line[0] == sign else line[1:] for sign in "+-")
                found[-1] = replace(last, old=last.old + old, new=last.new + new)
    return found


REPAIRS = read_repairs(Path(__file__).resolve().parent / "repairs")
FILES = sorted({repair.file for repair in REPAIRS})
KEPT = ".before_podium"  # beside each repaired file: what it was, and the hash of what was made of it


@dataclass(frozen=True)
class Installation:
    """The NNI of one Python: where it is, and how its files are read and written."""

    name: str
    root: str  # its site-packages
    read: Callable[[str], str]
    write: Callable[[str, str], None]


def local(root: Path | None = None) -> Installation:
    """This Python's NNI, or the copy below `root`. Raises ValueError where it is none."""
    if root is None:
        found = find_spec("nni_node")
        try:
            check_version(version("nni"), "this Python")
        except PackageNotFoundError as error:
            raise ValueError(f"{sys.executable} has no NNI; run make setup") from error
        root = Path(found.origin).parent.parent

    def write(name: str, text: str) -> None:
        scratch = root / f"{name}.podium"
        scratch.write_text(text)
        if (root / name).exists():
            scratch.chmod((root / name).stat().st_mode)
        scratch.replace(root / name)

    return Installation("this Python", str(root), lambda name: (root / name).read_text(), write)


def remote(connection: Connection) -> Installation:
    """The NNI of a machine's Python. Raises ValueError where it is none."""
    answer = connection.python(WHERE)
    if answer.code:
        raise ValueError(f"{connection.machine}: no Python runs there ({answer.err.strip()}); check pythonPath")
    found, root = json.loads(answer.out)
    check_version(found, str(connection.machine))
    sftp = connection.sftp()

    def read(name: str) -> str:
        with sftp.open(posixpath.join(root, name)) as file:
            return file.read().decode()

    def write(name: str, text: str) -> None:
        path = posixpath.join(root, name)
        scratch = f"{path}.podium"
        with sftp.open(scratch, "w") as file:
            file.write(text.encode())
        with suppress(FileNotFoundError):
            sftp.chmod(scratch, sftp.stat(path).st_mode)
        sftp.posix_rename(scratch, path)

    return Installation(str(connection.machine), root, read, write)


def check_version(found: str, where: str) -> None:
    if found != "3.0":
        raise ValueError(
            f"{where} has {f'NNI {found}' if found else 'no NNI'}; the repairs are for 3.0: pip install nni==3.0"
        )


def missing(installation: Installation) -> list[Repair]:
    """The repairs of all files that lack some. Raises ValueError for a file that somebody else changed."""
    lacking = []
    for name in FILES:
        now, released = look(installation, name)
        if now != repaired(name, released):
            lacking += [repair for repair in REPAIRS if repair.file == name]
    return lacking


def apply(installation: Installation) -> int:
    """Writes what is missing; returns how many repairs that was. A file is written once, whole."""
    lacking = missing(installation)
    for name in FILES:
        now, released = look(installation, name)
        text = repaired(name, released)
        if now != text:
            # so that later repairs know what NNI released, and that it was not somebody else who changed it
            kept = {"released": released, "written": sha256(text.encode()).hexdigest()}
            installation.write(name + KEPT, json.dumps(kept))
            installation.write(name, text)
    return len(lacking)


def undo(installation: Installation) -> int:
    """Puts back what was released; returns how many files that changed."""
    changed = 0
    for name in FILES:
        now, released = look(installation, name)
        if now != released:
            installation.write(name, released)
            changed += 1
    return changed


def repaired(name: str, released: str) -> str:
    for repair in REPAIRS:
        if repair.file == name:
            released = released.replace(repair.old, repair.new)
    return released


def look(installation: Installation, name: str) -> tuple[str, str]:
    """A file as it is and as NNI released it. Raises ValueError where that cannot be told."""
    now = released = installation.read(name)
    with suppress(FileNotFoundError):  # nothing is kept beside a file that was never repaired
        kept = json.loads(installation.read(name + KEPT))
        if sha256(now.encode()).hexdigest() == kept["written"]:
            released = kept["released"]
    if any(released.count(repair.old) != 1 for repair in REPAIRS if repair.file == name):
        raise ValueError(
            f"{installation.name}: {installation.root}/{name} is neither as NNI 3.0 released it nor as it "
            "was repaired; pip install --force-reinstall --no-deps nni==3.0, then apply the repair"
        )
    return now, released


def report(installation: Installation, action: str) -> bool:
    """Does `action` and prints a line; whether the installation is repaired now."""
    if action == "check":
        lacking = missing(installation)
        if lacking:
            listing = Counter(repair.file for repair in lacking)
            print(f"{installation.name}: NNI lacks {len(lacking)} of {len(REPAIRS)} repairs; {FIX}")
            print("".join(f"  {name}: {count}\n" for name, count in sorted(listing.items())), end="")
        else:
            print(f"{installation.name}: NNI 3.0 is repaired ({len(REPAIRS)} places, {installation.root})")
        return not lacking
    count = apply(installation) if action == "apply" else undo(installation)
    done = f"{count} repairs applied" if action == "apply" else f"{count} files are as released again"
    print(f"{installation.name}: {done if count else 'nothing to do'}")
    return action == "apply"


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="nni_repair.py", description=__doc__.splitlines()[0])
    action = parser.add_mutually_exclusive_group(required=True)
    for name in ("check", "apply", "undo"):
        action.add_argument(f"--{name}", dest="action", action="store_const", const=name)
    parser.add_argument("--config", metavar="FILE", help="an experiment config: also the machines it names")
    parser.add_argument("--host", metavar="NAME", help="of those only this one, and not this Python")
    given = parser.parse_args(argv)
    try:
        machines = chosen(given.config, given.host)
        good = [report(local(), given.action)] if not given.host else []
        for machine in machines:
            with connect(machine) as connection:
                good.append(report(remote(connection), given.action))
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    sys.exit(0 if all(good) or given.action == "undo" else 1)


def chosen(config: str | None, host: str | None) -> list[Machine]:
    """The machines of a config, or the one of them named `host`."""
    if not config and not host:
        return []
    if not config:
        raise ValueError("--host NAME is one of the machines of --config FILE; name the file too")
    from settings.schemas import read_config

    machines = machines_of(read_config(Path(config)))
    if host and host not in [machine.host for machine in machines]:
        raise ValueError(f"{config} names no host {host!r}; it has {', '.join(machine.host for machine in machines)}")
    return [machine for machine in machines if host in (None, machine.host)]


if __name__ == "__main__":
    main(sys.argv[1:])
