"""Mends the NNI 3.0 that is installed, here or on other machines; repairs/*.patch say what and why.

NNI is archived, so its faults are mended where it is installed, reversibly. To add a repair, add a hunk to a
patch, its reason behind the second @@; tests/test_nni_repair.py walks all of them.

python search/nni_repair.py --check | --apply | --undo [--config config_remote.yml] [--python PYTHON]

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
from dataclasses import dataclass, replace
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
        sftp.chmod(scratch, sftp.stat(path).st_mode)
        sftp.posix_rename(scratch, path)

    return Installation(str(connection.machine), root, read, write)


def check_version(found: str, where: str) -> None:
    if found != "3.0":
        raise ValueError(
            f"{where} has {f'NNI {found}' if found else 'no NNI'}; the repairs are for 3.0: pip install nni==3.0"
        )


def is_applied(repair: Repair, text: str) -> bool:
    return repair.new in text and (repair.old in repair.new or repair.old not in text)


def missing(installation: Installation) -> list[Repair]:
    """The repairs that an installation lacks. Raises ValueError for a file that is neither released nor repaired."""
    texts = {name: installation.read(name) for name in {repair.file for repair in REPAIRS}}
    lacking = [repair for repair in REPAIRS if not is_applied(repair, texts[repair.file])]
    for repair in lacking:
        if texts[repair.file].count(repair.old) != 1:
            raise ValueError(
                f"{installation.name}: {installation.root}/{repair.file} is neither as NNI 3.0 released it nor as it "
                "was repaired; pip install --force-reinstall --no-deps nni==3.0, then apply the repair"
            )
    return lacking


def apply(installation: Installation) -> int:
    """Writes what is missing; returns how many repairs that was. A file is written once, whole."""
    lacking = missing(installation)
    for name in sorted({repair.file for repair in lacking}):
        text = installation.read(name)
        for repair in lacking:
            if repair.file == name:
                text = text.replace(repair.old, repair.new)
        installation.write(name, text)
    return len(lacking)


def undo(installation: Installation) -> int:
    """Puts back what was released; returns how many repairs were taken back."""
    lacking = missing(installation)
    applied = [repair for repair in reversed(REPAIRS) if repair not in lacking]
    for name in sorted({repair.file for repair in applied}):
        text = installation.read(name)
        for repair in applied:
            if repair.file == name:
                text = text.replace(repair.new, repair.old)
        installation.write(name, text)
    return len(applied)


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
    word = "applied" if action == "apply" else "taken back"
    print(
        f"{installation.name}: {count} of {len(REPAIRS)} repairs {word}"
        if count
        else f"{installation.name}: nothing to do"
    )
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
