"""The data on this computer and on the machines: the same copy everywhere, and the notes beside it sent there."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import paramiko

from checks.finding import FAIL, HERE, OK, Finding, from_error
from checks.inspection import NOTES, SECONDS
from machines import Machine, connect

Listing = dict[str, Any]  # probe.data's answer


def compare(listings: dict[str, Listing], local: Listing | None) -> list[Finding]:
    """Each machine's copy against the one here or, without one, against the first that is whole."""
    findings = [finding for where, listing in listings.items() for finding in check_whole(where, listing)]
    whole = {where: listing for where, listing in listings.items() if "root" in listing and not listing["errors"]}
    model = (HERE, local) if local and "root" in local else next(iter(whole.items()), None)
    if model is None:
        return findings
    for where, listing in whole.items():
        wrong = [*differences(where, listing, *model), *note_differences(where, listing, *model)]
        count = sum(part[0] for part in listing["parts"].values())
        against = f"as {model[0]}" if where != model[0] else "which nothing here can be compared with (--data DIR)"
        findings += wrong or [Finding("data", where, OK, f"{count:,} files in {listing['root']}, {against}")]
    return findings


def check_whole(where: str, listing: Listing) -> Iterator[Finding]:
    if "error" in listing:
        todo = "copy the data there, or correct --data_dir in trialCommand"
        yield Finding("data", where, FAIL, listing["error"], todo)
    elif listing["errors"]:
        found = f"cannot be read in part: {listing['errors'][0]}"
        yield Finding("data", where, FAIL, found, f"give this user the right to read {listing['root']}")


def differences(where: str, listing: Listing, other: str, model: Listing) -> Iterator[Finding]:
    """Parts of the data that are not the same, each with what is seen of it."""
    ours, theirs = model["parts"], listing["parts"]
    wrong = [name for name in sorted(ours.keys() | theirs.keys()) if ours.get(name) != theirs.get(name)]
    if not wrong:
        return
    name = wrong[0]
    there, here = theirs.get(name, [0, 0]), ours.get(name, [0, 0])
    if there[0] != here[0]:
        found = f"{name} has {there[0]:,} files there, and {here[0]:,} on {other}"
    elif there[1] != here[1]:
        found = f"{name} has {there[1]:,} bytes there, and {here[1]:,} on {other}"
    else:
        found = f"{name} has other names, sizes or labels there than on {other}"
    more = f" (and {len(wrong) - 1} more parts)" if len(wrong) > 1 else ""
    todo = f"copy it: rsync -a --delete {model['root']}/ to {listing['root']}/ there"
    yield Finding("data", where, FAIL, f"{found}{more}", todo)


def note_differences(where: str, listing: Listing, other: str, model: Listing) -> Iterator[Finding]:
    """Notes decide who is in which fold, so trials with other ones cannot be compared."""
    for name in NOTES:
        ours, theirs = model["notes"][name], listing["notes"][name]
        if ours == theirs:
            continue
        if ours is None:
            found, todo = f"has {name}, which {other} has not", f"take it away there, or copy it to {model['notes_in']}"
        else:
            found = f"{'lacks' if theirs is None else 'has another'} {name} beside the data; it is on {other}"
            todo = "run preflight with --push"
        yield Finding("data", where, FAIL, found.replace("; it", ", it"), todo)


def push(machine: Machine, local: Listing, listing: Listing) -> list[Finding]:
    """Sends the notes to where a machine's trials look for them and enters their hashes in its `listing`."""
    where = str(machine)
    findings = []
    try:
        with connect(machine, SECONDS) as connection, connection.sftp() as sftp:
            for name in NOTES:
                if local["notes"][name] not in (None, listing["notes"][name]):
                    listing["notes"][name] = send(sftp, Path(local["notes_in"]) / name, f"{listing['notes_in']}/{name}")
                    findings.append(Finding("push", where, OK, f"{name} is in {listing['notes_in']} now"))
    except (ValueError, OSError, EOFError) as error:
        return [*findings, from_error("push", where, error)]
    return findings or [Finding("push", where, OK, "nothing to send")]


def send(sftp: paramiko.SFTPClient, source: Path, target: str) -> str:
    """Puts a file there whole or not at all; returns its hash as read back. Raises OSError where it arrives broken."""
    content = source.read_bytes()
    folder, name = os.path.split(target)
    part = f"{folder}/.{name}.{os.getpid()}.part"
    try:
        with sftp.open(part, "wb") as file:
            file.write(content)
        with sftp.open(part, "rb") as file:
            arrived = hashlib.sha256(file.read()).hexdigest()
        if arrived != hashlib.sha256(content).hexdigest():
            raise OSError(f"{target} arrived broken; see the disk there")
        sftp.posix_rename(part, target)
    except BaseException:
        with suppress(OSError):
            sftp.remove(part)
        raise
    return arrived
