"""Seconds until a search's trials start: NNI as released against the repaired one with our trial's guards.

    python benchmarks/dispatch.py [--gaps 5] [--rounds 2] [--out benchmarks/dispatch.md]

Trials of no work, local, at concurrency 1, 2 and 4; the ways take turns (A B A B). A start is when NNI started the
trial's process (startTime of its REST interface), an end is its endTime; "first line" is when the trial's own first
line ran. With concurrency c, the i-th end is what the (c + i)-th start waited for.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

HOME = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(HOME / room) for room in ("baseline", "search", "demo", "tests")]  # before benchmarks/trial.py

from released import released_nni
from walks import all_ended, toy_code, wait

from experiment import free_port, start

CONCURRENCIES = (1, 2, 4)
WAYS = ("plain", "ours", "ours, own tuner")
STAMP = "import time; began = time.time()\nimport pathlib, sys, nni\n"
KEEP = "pathlib.Path(sys.argv[1], nni.get_trial_id()).write_text(repr(began))\n"
PLAIN = STAMP + KEEP + 'nni.report_final_result(nni.get_next_parameter()["x"])\n'
OURS = STAMP + KEEP + (
    'sys.path.insert(0, "baseline")\nfrom trial import start_trial\n'
    'trial = start_trial()\ntrial.finish({"default": trial.parameters["x"]})\n'
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--gaps", type=int, default=5, help="between the trials of one experiment (default: %(default)s)"
    )
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--out", type=Path, default=HOME / "benchmarks" / "dispatch.md")
    given = parser.parse_args()
    began = time.monotonic()
    found = {(count, way): {"start": [], "line": [], "gap": []} for count in CONCURRENCIES for way in WAYS}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        folder = Path(scratch)
        code, released = toy_code(folder / "code"), released_nni(folder / "released")
        (code / "plain.py").write_text(PLAIN)
        (code / "ours.py").write_text(OURS)
        for number in range(given.rounds):
            for count in CONCURRENCIES:
                for way in WAYS:
                    home = folder / f"{number}-{count}-{WAYS.index(way)}"
                    measured = measure(home, code, released, way, count, given.gaps + count)
                    for name, values in measured.items():
                        found[count, way][name] += values
                    shown = ", ".join(f"{name} {statistics.median(v):.2f} s" for name, v in measured.items())
                    print(f"round {number + 1}/{given.rounds}, {count} at once, {way}: {shown}", flush=True)
    given.out.write_text(report(found, given.rounds, time.monotonic() - began))
    print(given.out.read_text())


def measure(home: Path, code: Path, released: Path, way: str, count: int, trials: int) -> dict[str, list[float]]:
    """Seconds of one experiment: from `nnictl create` to the first start and its first line, and all gaps."""
    stamps = home / "stamps"
    stamps.mkdir(parents=True)
    (home / "config.yml").write_text(yaml.safe_dump(search(home, code, way, count, trials)))
    if way == "plain":
        os.environ["PYTHONPATH"] = str(released)
    called = time.time()
    try:
        experiment = start(home / "config.yml", free_port(), home)
    finally:
        os.environ.pop("PYTHONPATH", None)
    try:
        wait(experiment, lambda: all_ended(experiment, trials), 150)
        jobs = experiment.get("trial-jobs")
    finally:
        experiment.stop()
    if bad := [job["status"] for job in jobs if job["status"] != "SUCCEEDED"]:
        raise SystemExit(f"error: trials of {way!r} ended {bad}; run it alone to see why")
    starts = sorted(job["startTime"] / 1000 for job in jobs)
    ends = sorted(job["endTime"] / 1000 for job in jobs)
    lines = [float(file.read_text()) for file in stamps.iterdir()]
    gaps = [begun - ended for begun, ended in zip(starts[count:], ends, strict=False)]
    return {"start": [starts[0] - called], "line": [min(lines) - called], "gap": gaps}


def search(home: Path, code: Path, way: str, count: int, trials: int) -> dict[str, Any]:
    tuner = {"name": "Random"}
    if way == "ours, own tuner":
        told = {"out": str(home / "told.jsonl")}
        fixtures = str(HOME / "tests" / "fixtures")
        tuner = {"className": "recording_tuner.Recorder", "codeDirectory": fixtures, "classArgs": told}
    return {
        "searchSpace": {"x": {"_type": "uniform", "_value": [0, 1]}},
        "trialCommand": f"{sys.executable} {'plain' if way == 'plain' else 'ours'}.py {home / 'stamps'}",
        "trialCodeDirectory": str(code),
        "trialConcurrency": count,
        "maxTrialNumber": trials,
        "maxExperimentDuration": "3m",
        "tuner": tuner,
        "trainingService": {"platform": "local"},
    }


def report(found: dict[tuple[int, str], dict[str, list[float]]], rounds: int, seconds: float) -> str:
    rows = []
    for (count, way), measured in found.items():
        medians = {name: statistics.median(values) for name, values in measured.items()}
        plain = {name: statistics.median(values) for name, values in found[count, "plain"].items()}
        cells = [f"{medians[name]:.2f} ({medians[name] / plain[name]:.2f})" for name in ("start", "line", "gap")]
        rows.append(f"| {count} | {way} | {' | '.join(cells)} | {max(measured['gap']):.2f} | {len(measured['gap'])} |")
    lines = [
        "# From nnictl create to a trial, and from trial to trial",
        "",
        f"`python benchmarks/dispatch.py`: {os.cpu_count()} cores, {platform.machine()}, local, trials of no work, "
        f"{rounds} experiments a row, the ways in turns; {seconds / 60:.0f} minutes.",
        'Medians in seconds, in brackets the ratio to plain NNI. "plain" is NNI 3.0 as released, its trials ask with '
        'nni.get_next_parameter; "ours" is the repaired NNI, its trials begin with start_trial; both with the tuner '
        'Random. "Own tuner" is a class of our own (tests/fixtures/recording_tuner.py).',
        "",
        "| at once | way | create to first start | create to its first line | end to next start | longest | gaps |",
        "|---|---|---|---|---|---|---|",
        *rows,
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
