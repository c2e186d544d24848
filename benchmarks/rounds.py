"""Rounds of a contest, a rival's search with one seed each: replayed in processes, and kept in files."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import multiprocessing
import time
import warnings
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from replay import Record, Table, read_table, replay
from rivals import HOME, Rival, build

from progress import duration
from run import atomic

BENCHMARKS = HOME / "benchmarks"
WORKERS = 2  # of the simulated machine
CODE = ("benchmarks/replay.py", "benchmarks/hyperband.py")
SAMPLING = ("first", "pool", "reports", "samplers", "scales", "space")  # without what reads and writes trials.jsonl
OURS = (
    *("search/tuner.py", "search/assessor.py", "search/stopping.py", "search/known_good.json"),
    *(f"search/sampling/{name}.py" for name in SAMPLING),
)


@dataclass(frozen=True)
class Round:
    name: str  # of the rival
    rival: Rival
    seed: int
    curves: str  # file of curves.py
    space: Mapping[str, Any]  # NNI's search space
    start: float  # seconds of a trial beside its epochs
    until: float  # when the simulated clock stops, in seconds
    most: float  # trials

    def key(self) -> str:
        """The same for the same round of the same curves and code."""
        told = repr((self.rival, self.seed, self.space, self.start, self.until, self.most))
        return hashlib.sha256((told + digest(self.curves, self.rival.ours)).encode()).hexdigest()[:16]


@functools.cache
def digest(curves: str, ours: bool) -> str:
    """Over the curves and the code that a round runs; NNI's own is released, and stays."""
    files = [BENCHMARKS / curves, *(HOME / name for name in (*CODE, *(OURS if ours else ())))]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


@functools.cache
def table_of(curves: str) -> Table:
    return read_table(BENCHMARKS / curves)


def play(one: Round) -> Record:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NNI's Curvefitting divides by zero, Optuna says what is experimental
        search = build(one.rival, one.space, one.seed)
        return replay(table_of(one.curves), search, WORKERS, one.start, one.until, one.most)


def play_all(rounds: Sequence[Round], folder: Path, processes: int) -> list[Record]:
    """The records of `rounds`, in order. Those that `folder` has are not replayed; the others are added to it."""
    keys = [one.key() for one in rounds]
    kept = {name: read_kept(file_of(folder, name)) for name in {one.name for one in rounds}}
    left = [(one, key) for one, key in zip(rounds, keys, strict=True) if key not in kept[one.name]]
    began, done = time.monotonic(), 0
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        running = {pool.submit(play, one): (one, key) for one, key in left}
        for future in as_completed(running):
            one, key = running[future]
            kept[one.name][key] = future.result()
            with open(file_of(folder, one.name), "a") as file:
                file.write(json.dumps({"key": key, "seed": one.seed} | dataclasses.asdict(future.result())) + "\n")
            done += 1
            if done % 10 == 0 or done == len(left):
                to_go = (len(left) - done) / done * (time.monotonic() - began)
                print(f"{done}/{len(left)} searches replayed, {one.name} last, {duration(to_go)} to go", flush=True)
    return [kept[one.name][key] for one, key in zip(rounds, keys, strict=True)]


def file_of(folder: Path, name: str) -> Path:
    return folder / f"{name.replace(' ', '-').replace('+-', '').replace('(', '').replace(')', '')}.jsonl"


def read_kept(path: Path) -> dict[str, Record]:
    """Records by key. A last line that a killed run did not finish is taken out of the file."""
    text = path.read_text() if path.is_file() else ""
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        atomic(path, lambda file: file.write_text(whole))
    found = {}
    for line in map(json.loads, whole.splitlines()):
        moments = [tuple(moment) for moment in line["best"]]
        found[line["key"]] = Record(moments, line["begun"], line["ended"], line["seconds"])
    return found


def by_rival(rounds: Sequence[Round], records: Sequence[Record]) -> dict[str, list[Record]]:
    found = defaultdict(list)
    for one, record in zip(rounds, records, strict=True):
        found[one.name].append(record)
    return dict(found)
