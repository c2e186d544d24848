"""Look at labelled photos in a browser, mark those that are labelled wrongly, and give them their right class.

    python curate/review.py DATA                     # prints the page's address
    python curate/review.py DATA --import list.csv   # takes in person,change lines, or a corrections.csv
    python curate/review.py DATA --export            # writes corrections.csv and classes.csv, as the page's button does

corrections.csv lies beside the data, or in --notes_dir; all else in its folder curation/. Every decision is on the disk
before the page calls it saved (review.sqlite). Stop the server as you like and start it again: the open page goes on,
with all decisions.
"""

from __future__ import annotations

import argparse
import errno
import getpass
import logging
import os
import signal
import socket
import sys
from pathlib import Path

import waitress

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "baseline"))

import dataset
from config import Config
from desk.changes import read_changes
from desk.gate import lasting_token
from desk.handover import known, remember, result_of, write_classes, write_corrections
from desk.pictures import Pictures
from desk.server import Desk, create
from desk.shortlist import Suspect, read_suspects
from desk.verdicts import Store, check_name, hold, leave_gone
from notebook import CURATION, curation_of, notes_of, writable
from notes import digest, origin
from samples import Data

LOOPBACK = "127.0.0.1"
THREADS = 8  # of the server; a browser asks for six photos at a time


def main(argv: list[str]) -> int:
    given = parser().parse_args(argv)
    try:
        data = read(given)
        folder = notes_of(data.root, given.notes_dir)
        reviewer = check_name(given.reviewer or usual_name())
        path = curation_of(data.root, given.notes_dir) / "review.sqlite"
        if given.export:
            return export(data, path, folder)
        writable(path.parent, "--notes_dir")
        listener = None if given.taken_in else listen(given.listen, given.port)
        address = f"http://{shown_host(given.listen)}:{listener.getsockname()[1]}" if listener else ""
        lock = hold(path, f", {address}" if address else "")
        store = Store(path, origin(data), given.carry_over)
        if given.carry_over:
            left = leave_gone(store, set(data.train.ids), set(data.train.groups))
            print(f"carried over; {left} decisions were on photos that are gone, and are taken back", flush=True)
        if given.taken_in:
            take_in(data, store, Path(given.taken_in).expanduser(), reviewer)
        else:
            serve(build(given, data, store, folder, reviewer), listener, address)
        store.close()
        os.close(lock)
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        return 130
    return 0


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="review.py", description=__doc__.partition("\n")[0])
    parser.add_argument("data", help="data root, its train folder or train/images")
    parser.add_argument("--port", type=int, default=8090, help="of the page (default 8090; 0 takes a free one)")
    parser.add_argument(
        "--reviewer", default="", help="name to decide under (default: yours here; the page changes it)"
    )
    parser.add_argument(
        "--suspects", default="auto", help="CSV of suspects.py; auto takes curation/suspects.csv of the notes"
    )
    parser.add_argument("--notes_dir", default="", help="folder of corrections.csv and curation/ (default: DATA)")
    parser.add_argument("--dataset", default="auto", help="how the data root is laid out; auto recognises it")
    parser.add_argument(
        "--also",
        action="append",
        default=[],
        type=Path,
        metavar="FOLDER",
        help="folder outside the data root that links in it may lead to; may be repeated",
    )
    parser.add_argument(
        "--listen",
        default=LOOPBACK,
        metavar="ADDRESS",
        help="0.0.0.0 opens the page to all who reach this machine and know the token, which then crosses the network "
        "unencrypted; better: ssh -L 8090:127.0.0.1:8090 this-machine",
    )
    parser.add_argument(
        "--carry_over", action="store_true", help="go on after photos were added, removed or labelled anew"
    )
    job = parser.add_mutually_exclusive_group()
    job.add_argument("--export", action="store_true", help="write corrections.csv and classes.csv, and end")
    job.add_argument("--import", dest="taken_in", metavar="LIST", help="take in a CSV of changes, and end")
    return parser


def read(given: argparse.Namespace) -> Data:
    """The labels as they came."""
    if given.notes_dir and not given.export:
        Path(given.notes_dir).expanduser().mkdir(parents=True, exist_ok=True)
    knobs = Config().values() | {"groups": "none", "corrections": "none", "notes_dir": given.notes_dir}
    return dataset.read(given.data, given.dataset, knobs)


def usual_name() -> str:
    try:
        return check_name(getpass.getuser())
    except (ValueError, OSError, KeyError):  # a user without a name, or with a strange one
        return "reviewer"


def export(data: Data, path: Path, folder: Path) -> int:
    """Works beside a running server: it adds no decision, and SQLite lets both write what they remember of files."""
    if not path.is_file():
        raise ValueError(f"{path}: no such file, so there is nothing to export; review.py {data.root} starts a review")
    store = Store(path, origin(data))
    result = result_of(data, store.read())
    write_corrections(folder / "corrections.csv", store, result)
    write_classes(path.with_name("classes.csv"), result)
    store.close()
    print(f"{folder / 'corrections.csv'}: {len(result.corrections) - 1} lines, which every run applies")
    print(f"{path.with_name('classes.csv')}: {len(result.classes)} photos with their class")
    print(result, flush=True)
    return 0


def take_in(data: Data, store: Store, path: Path, reviewer: str) -> None:
    verdicts = read_changes(data, path, reviewer, store.read())
    new = store.append(verdicts)
    remember(store, digest(path))
    there = f"; {len(verdicts) - new} were there" if new < len(verdicts) else ""
    print(f"{path}: {new} decisions taken in as {reviewer}'s{there}", flush=True)


def listen(address: str, port: int) -> socket.socket:
    """A socket of the page. Raises ValueError where the port is taken or not ours to take."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # else a restart waits for the system's minute
    try:
        listener.bind((address, port))
        listener.listen(128)
    except (OSError, OverflowError) as error:
        listener.close()
        if getattr(error, "errno", None) == errno.EADDRINUSE:
            raise ValueError(f"port {port} is taken; name another with --port, or 0 for a free one") from error
        raise ValueError(f"cannot listen at {address} port {port}: {error}; change --listen or --port") from error
    return listener


def shown_host(address: str) -> str:
    """What stands in the address of the page, which this machine opens."""
    host = {"0.0.0.0": LOOPBACK, "::": "::1"}.get(address, address)
    return f"[{host}]" if ":" in host else host


def build(given: argparse.Namespace, data: Data, store: Store, folder: Path, reviewer: str) -> Desk:
    suspects = find_suspects(data, folder, given.suspects)
    token = lasting_token(store.path.with_name(".review.token"))
    pictures = Pictures(data, [path.expanduser() for path in given.also])
    notices = []
    corrections = folder / "corrections.csv"
    if corrections.is_file() and digest(corrections) not in known(store):
        notices.append(
            f"{corrections} was not made here: its corrections are neither shown nor overwritten. To go on from it,"
            f" stop the server and run review.py {data.root} --import {corrections}"
        )
    return Desk(data, store, pictures, token, folder, reviewer, suspects, notices)


def find_suspects(data: Data, folder: Path, choice: str) -> list[Suspect]:
    if choice == "none":
        return []
    path = folder / CURATION / "suspects.csv" if choice == "auto" else Path(choice).expanduser()
    if choice == "auto" and not path.is_file():
        return []
    suspects = read_suspects(data, path, corrected=(folder / "corrections.csv").is_file())
    wrong = sum(one.issue for one in suspects)
    print(f"{path}: {wrong} suspects" + ("" if suspects else "; it lists no label, so photos come in order"))
    return suspects


def serve(desk: Desk, listener: socket.socket, address: str) -> None:
    """Until Ctrl-C, or a signal to end."""
    for notice in desk.notices:
        print(f"note: {notice}")
    host = listener.getsockname()[0]
    if not host.startswith("127.") and host != "::1":
        print(
            f"note: --listen {host}: whoever reaches this machine and sees the token on the unencrypted network can "
            "look at the photos and decide; prefer ssh -L"
        )
    print(f"{len(desk.data.train.ids)} labelled photos of {desk.data.root}; decisions are kept in {desk.store.path}")
    print(f"open {address}/?token={desk.token}\nCtrl-C stops the server; nothing is lost.", flush=True)
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # photos asked for ahead may wait a moment
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the log is one file again in the end
    waitress.serve(create(desk), sockets=[listener], threads=THREADS, ident=None, _quiet=True)
    print(f"\nstopped; every decision is in {desk.store.path}, and the same command goes on", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
