"""What is lost, and how long it takes to go on, when parts of a search are killed (-9) at random moments.

    python benchmarks/faults.py [--kills 3] [--seed 0] [--out benchmarks/faults.md]

Real trials on drawn photos: single ones, a local search, and a search on two machines, which are sshds of this
computer. What a fault could take is each epoch that a last.pt holds and each final result that NNI has at that
moment; at the end each must still be there, word for word. A search has recovered when NNI has a new metric of
the trials that were hit, a single trial when its history.jsonl has a new line.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import yaml

HOME = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(HOME / room) for room in ("baseline", "search", "demo", "tests")]  # before benchmarks/trial.py

from harm import (
    AGAIN,
    ALONE,
    DISPATCHER,
    DOWN,
    EPOCHS,
    FAULTS,
    KEEPER,
    MANAGER,
    ORDER,
    SSHD,
    TRIAL,
    Fault,
    Search,
    at_work,
    committed,
    living_at,
)
from kills import assert_as_never_stopped
from remote import make_box
from walks import history, load_json, wait_for

from draw import draw_competition
from experiment import free_port, nnictl, processes, start

TRAIN = f"{sys.executable} {HOME / 'baseline' / 'train.py'}"
WORDS = f"--model squeezenet1_1 --pretrained false --resize 64 --epochs {EPOCHS} --threads 1 --device cpu"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--kills", type=int, default=3, help="of each kind, twice that of trials alone (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=HOME / "benchmarks" / "faults.md")
    given = parser.parse_args()
    rng, began, notes = random.Random(given.seed), time.monotonic(), []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        os.environ["HOME"] = scratch  # of all that is started here
        draw_competition(Path(scratch, "data"), people=20, eval_people=3, seed=3)
        faults = kill_alone(Path(scratch), rng, 2 * given.kills)
        faults += run_search(Path(scratch), "local", [TRIAL, MANAGER, DISPATCHER] * given.kills, rng, notes)
        faults += run_search(Path(scratch), "remote", [KEEPER, SSHD] * given.kills, rng, notes)
    given.out.write_text(report(faults, notes, given.seed, time.monotonic() - began))
    print(given.out.read_text())


def kill_alone(home: Path, rng: random.Random, kills: int) -> list[Fault]:
    """Kills each trial once after its first epoch, goes on with it and compares it with one never stopped."""
    places = f"--data_dir {home / 'data'} --cache_dir {home / 'cache'} --model_dir {home / 'runs'}"
    command = f"{TRAIN} {WORDS} {places} --augmentation FlipAugmentation --name".split()
    subprocess.run([*command, "twin"], check=True, stdout=subprocess.DEVNULL)
    (twin,) = (home / "runs" / "twin").iterdir()
    faults = []
    for name in map(str, range(kills)):
        trial = subprocess.Popen([*command, name], stdout=subprocess.DEVNULL)
        wait_for(lambda name=name: list((home / "runs" / name).glob("*/history.jsonl")), 90)
        time.sleep(rng.uniform(0, load_json(twin, "summary.json")["seconds"] / 2))
        trial.kill()
        began = time.monotonic()
        trial.wait()
        (run,) = (home / "runs" / name).iterdir()
        fault = Fault(ALONE, committed(run))
        again = subprocess.Popen([*command, name, "--resume", "auto"], stdout=subprocess.DEVNULL)
        while again.poll() is None and len(history(run)) <= len(fault.held):
            time.sleep(0.1)
        fault.seconds = time.monotonic() - began
        again.wait()
        fault.lost = len(fault.held - committed(run))
        try:
            assert_as_never_stopped(run, twin)
            fault.end = "--resume auto; bit-equal to a twin never stopped"
        except AssertionError as error:
            fault.end = f"--resume auto; NOT as its twin: {error}"
        faults.append(fault)
        say(fault)
    return faults


def say(fault: Fault) -> None:
    print(f"killed {fault.kind}: {fault.seconds:.1f} s, {fault.end} ({len(fault.held)} results)", flush=True)


def run_search(folder: Path, service: str, kinds: list[str], rng: random.Random, notes: list[str]) -> list[Fault]:
    """A search with all these faults in random order, then run to its end."""
    home = folder / service
    home.mkdir()
    boxes = [make_box(home, name) for name in ("one", "two")] if service == "remote" else []
    machines = {"machineList": [box.entry() for box in boxes]} if boxes else {}
    places = f"--data_dir {folder / 'data'} --cache_dir {folder / 'cache'} --model_dir {home / 'runs'}"
    config = {
        "searchSpace": {"lr": {"_type": "uniform", "_value": [0.0005, 0.002]}},
        "trialCommand": f"{TRAIN} {WORDS} {places}",
        "trialCodeDirectory": str(HOME / "baseline"),
        "trialConcurrency": 2,
        "maxExperimentDuration": "15m",
        "nniManagerIp": "127.0.0.1",
        "tuner": {"name": "Random"},
        "trainingService": {"platform": service} | machines,
    }
    (home / "config.yml").write_text(yaml.safe_dump(config))
    experiment = start(home / "config.yml", free_port(), home)
    search = Search(experiment, home / "runs" / experiment.id, boxes, rng)
    try:
        for kind in rng.sample(kinds, len(kinds)):
            inject(search, kind)
        notes.append(f"The {service} search: {finish(search)}.")
    finally:
        experiment.stop()
        for box in boxes:
            box.stop()
        left = [process for box in boxes for process in living_at(box)]
        notes.append(f"Processes left over from it: {len(left) + len(processes(experiment.id))}.")
        for process in left:
            process.kill()
    return search.faults


def inject(search: Search, kind: str) -> None:
    """One fault, while there is something to lose. Raises AssertionError where the search does not go on."""
    for pause in (search.rng.uniform(0, 4), 0):  # none may be left after the first
        wait_for(lambda: at_work(search), 180, lambda: "no trial is at work")
        time.sleep(pause)
    search.victims = at_work(search)
    metrics = search.experiment.get("metric-data")
    held = {(metric["trialJobId"], metric["data"]) for metric in metrics if metric["type"] == "FINAL"}
    fault = Fault(kind, held.union(*map(committed, search.runs.iterdir())))
    search.faults.append(fault)
    FAULTS[kind](search, fault, time.monotonic())
    say(fault)


def finish(search: Search) -> str:
    """Lets the running trials end, counts what is lost, completes alone what NNI gave up; says how it ended."""
    experiment, lost = search.experiment, set()
    nnictl(experiment.home, "update", "trialnum", experiment.id, "--value", str(len(experiment.trials())))
    wait_for(lambda: experiment.status() == "DONE", 180, lambda: str(experiment.trials()))
    metrics, trials = experiment.get("metric-data"), experiment.trials()
    kept = {(metric["trialJobId"], metric["data"]) for metric in metrics}
    given_up = [trial.id for trial in trials if trial.status != "SUCCEEDED" and committed(search.runs / trial.id)]
    for trial in given_up:
        subprocess.run(f"{TRAIN} --resume {search.runs / trial}".split(), check=True, stdout=subprocess.DEVNULL)
    kept = kept.union(*map(committed, search.runs.iterdir()))
    for fault in search.faults:
        fault.lost = len(fault.held - kept - lost)
        lost |= fault.held - kept
    states = ", ".join(f"{n} {state}" for state, n in sorted(Counter(trial.status for trial in trials).items()))
    return f"{states}; of those that did not succeed, {len(given_up)} were completed with --resume FOLDER"


def report(faults: list[Fault], notes: list[str], seed: int, seconds: float) -> str:
    rows = []
    for kind in [kind for kind in ORDER if any(fault.kind == kind for fault in faults)]:
        those = [fault for fault in faults if fault.kind == kind]
        times = [fault.seconds for fault in those]
        held = sum(len(fault.held) for fault in those)
        ends = "; ".join(f"{n} x {end}" for end, n in Counter(fault.end for fault in those).most_common())
        lost = f"{sum(fault.lost for fault in those)} of {held}" if held else ""
        rows.append(f"| {kind} | {len(those)} | {lost} | {statistics.median(times):.1f} | {max(times):.1f} | {ends} |")
    kills = sum(fault.kind != AGAIN for fault in faults)
    lines = [
        "# Faults",
        "",
        f"`python benchmarks/faults.py --seed {seed}`: {kills} times kill -9 at a random moment, {os.cpu_count()} "
        f"cores, {platform.machine()}, {seconds / 60:.0f} minutes. Trials of {EPOCHS} epochs, two at once; "
        f"an sshd stays away for {DOWN[0]} to {DOWN[1]} s.",
        "",
        "| killed | times | lost results | seconds, median | worst | how it ends |",
        "|---|---|---|---|---|---|",
        *rows,
        "",
        *notes,
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
