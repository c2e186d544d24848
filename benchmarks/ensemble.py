"""Seconds and memory of blending many runs: the equal vote, reading what fits learn from, the fits, writing.

    python benchmarks/ensemble.py [--runs 200] [--rows 12600] [--val_rows 18900] [--rounds 3] [--out FILE.md]

Predictions of 18 classes are drawn and written once. The equal vote is soft_vote.py's, from the CSVs and from the
copies that columns.keep() puts beside them, against the plain pandas way: read_csv of all, concat, groupby mean,
idxmax; each in a process of its own. The greedy fit is against the direct loop: in each round each model is added to
the sum, and the arg-max and the metric of all rows taken; all scores must be equal. Ways take turns (A B A B);
medians. All files are in the system's cache.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

HOME = Path(__file__).resolve().parent.parent
sys.path[0] = str(HOME / "ensemble")  # in place of this folder, whose trial.py would hide the trial's
sys.path.insert(1, str(HOME / "baseline"))

from ahead import read_ahead
from columns import keep
from means import MEANS
from metrics import METRICS
from predictions import read_validation, write_soft, write_validation
from task import softmax
from weights import convex, greedy

CLASSES, FEW, GREEDY_ROUNDS = 18, 50, 50
PANDAS, CSV, COPIES = "pandas", "this project, CSVs alone", "this project, copies beside them"
FOLDERS = {PANDAS: "csv", CSV: "csv", COPIES: "copies"}
# a vote of the files sys.argv[2:] as sys.argv[1]: seconds after the imports, and the peak of its memory; not ru_maxrss,
# which begins at the memory of the process that started this one
VOTE = """
import json, sys, time
IMPORTS
began, busy = time.perf_counter(), time.process_time()
WORK
seconds = {"clock": time.perf_counter() - began, "processor": time.process_time() - busy}
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(json.dumps(seconds | {"mebibytes": int(peak.split()[1]) / 1024}))
"""
VOTE_BY_PANDAS = VOTE.replace("IMPORTS", "import pandas as pd, pyarrow").replace(
    "WORK",
    """
table = pd.concat([pd.read_csv(path) for path in sys.argv[2:]])
means = table.groupby("ImageID", sort=False)[[str(number) for number in range(18)]].mean()
means.idxmax(axis=1).astype(int).rename("ans").reset_index().to_csv(sys.argv[1], index=False)
""",
)
VOTE_BY_PODIUM = VOTE.replace(
    "IMPORTS", f"sys.path.insert(0, {str(HOME / 'ensemble')!r})\nimport pandas, pyarrow.csv, soft_vote"
).replace("WORK", 'soft_vote.main([*sys.argv[2:], "-o", sys.argv[1]])')
VOTES = {PANDAS: VOTE_BY_PANDAS, CSV: VOTE_BY_PODIUM, COPIES: VOTE_BY_PODIUM}
DIRECT, PODIUM = "direct loop", "this project"
Times = dict[str, np.ndarray]  # by way: (rounds, 2) seconds of the clock and of processor


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--rows", type=int, default=12600, help="of a soft.csv")
    parser.add_argument("--val_rows", type=int, default=18900, help="of a val_soft.csv")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=HOME / "benchmarks" / "ensemble.md")
    given = parser.parse_args()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        written = write(folder, given)
        lines = vote_table(folder, given)
        reading, (values, truth) = reading_table(folder, given.rounds)
    lines += [f"## Fits on {given.runs} models and {given.val_rows} validation rows", "", *reading]
    lines += greedy_table(values, truth, given.rounds) + convex_table(values, truth) + write_table(written)
    given.out.write_text("\n".join([*heading(given, load), *lines]) + "\n")
    print(given.out.read_text())


def heading(given: argparse.Namespace, load: float) -> list[str]:
    sizes = f"--runs {given.runs} --rows {given.rows} --val_rows {given.val_rows} --rounds {given.rounds}"
    return [
        "# Blending many runs",
        "",
        f"`python benchmarks/ensemble.py {sizes}`:",
        f"{os.cpu_count()} cores, {platform.machine()}, begun at a load average of {load:.1f}. Medians of "
        f"{given.rounds} rounds, in which the ways take turns; in",
        "brackets seconds of processor, which other work on the machine lengthens less.",
        "",
    ]


def write(folder: Path, given: argparse.Namespace) -> dict[str, list[float]]:
    """All runs in csv/, CSVs alone; in copies/ with copies of their columns beside them. Seconds for each file."""
    rng = np.random.default_rng(0)
    photos = {
        "soft": [f"{number:040x}.jpg" for number in range(given.rows)],
        "val_soft": [f"train/images/{n // 7:06d}_female_Asian_45/mask{n % 7}.jpg" for n in range(given.val_rows)],
    }
    shares = rng.dirichlet(np.full(CLASSES, 2.0))
    labels = {kind: rng.choice(CLASSES, len(names), p=shares) for kind, names in photos.items()}
    shared = {kind: rng.normal(0, 1.5, (len(names), CLASSES)) for kind, names in photos.items()}
    for kind, logits in shared.items():
        logits[np.arange(len(logits)), labels[kind]] += 3.5
    people = np.arange(given.val_rows) // 7
    truth = np.eye(CLASSES, dtype=bool)[labels["val_soft"]]
    about = (photos["val_soft"], people % 5, [f"{person:06d}" for person in people], truth, truth)
    found: dict[str, list[float]] = {}
    for number in range(given.runs):
        for name in set(FOLDERS.values()):
            (folder / name / f"{number:03d}").mkdir(parents=True)
        own = rng.uniform(0.9, 2.1)  # models differ in how good they are, and err together on some rows
        for kind, logits in shared.items():
            chances = softmax(logits + rng.normal(0, own, logits.shape))
            file = folder / "copies" / f"{number:03d}" / f"{kind}.csv"
            before = ("ImageID", photos[kind]) if kind == "soft" else about
            save = partial(write_soft if kind == "soft" else write_validation, file, *before, chances)
            found.setdefault(f"{kind}.csv", []).append(timed(save)[0][0])
            found.setdefault(f"the copy beside {kind}.csv", []).append(timed(partial(keep, file))[0][0])
            os.link(file, folder / "csv" / file.parent.name / file.name)
        if number % 20 == 19:
            print(f"written: {number + 1}/{given.runs} runs", flush=True)
    return found


def timed(work: Callable[[], Any]) -> tuple[tuple[float, float], Any]:
    """Seconds of the clock and of processor, and what `work` returns."""
    began, busy = time.perf_counter(), time.process_time()
    result = work()
    return (time.perf_counter() - began, time.process_time() - busy), result


def take_turns(ways: dict[str, Callable[[], Any]], rounds: int, what: str) -> tuple[Times, dict[str, Any]]:
    """The seconds of each, and what each returned in the last round."""
    found: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
    results = {}
    for number in range(rounds):
        for way, work in ways.items():
            results.pop(way, None)  # so that two rounds' need no memory at once
            seconds, results[way] = timed(work)
            found[way].append(seconds)
            print(f"{what}, round {number + 1}/{rounds}, {way}: {seconds[0]:.2f} s", flush=True)
    return {way: np.array(seconds) for way, seconds in found.items()}, results


def show(seconds: np.ndarray) -> str:
    return f"{seconds[0]:.2f} ({seconds[1]:.2f})"


def vote(way: str, folder: Path, count: int) -> dict[str, float]:
    """An equal vote of `count` runs in a process of its own; `whole` is what that takes from its start to its end."""
    paths = sorted((folder / FOLDERS[way]).glob("*/soft.csv"))[:count]
    began = time.perf_counter()
    command = [sys.executable, "-c", VOTES[way], folder / f"{way}.csv", *paths]
    told = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return json.loads(told.splitlines()[-1]) | {"whole": time.perf_counter() - began}


def vote_table(folder: Path, given: argparse.Namespace) -> list[str]:
    few, middle = min(FEW, given.runs), {}
    for count in (few, given.runs):  # the larger last, as its answers are compared
        found: dict[str, list[dict[str, float]]] = {way: [] for way in FOLDERS}
        for number in range(given.rounds):
            for way, results in found.items():
                results.append(vote(way, folder, count))
                print(f"vote of {count}, round {number + 1}/{given.rounds}, {way}: {results[-1]}", flush=True)
        for way, results in found.items():
            middle[way, count] = {name: statistics.median(one[name] for one in results) for name in results[0]}
    answers = {way: (folder / f"{way}.csv").read_text().splitlines() for way in FOLDERS}
    rows = []
    for way in FOLDERS:
        one, pandas = middle[way, given.runs], middle[PANDAS, given.runs]
        ratios = " | ".join(f"{pandas[name] / one[name]:.1f}" for name in ("clock", "processor"))
        peaks = " | ".join(f"{middle[way, count]['mebibytes']:.0f}" for count in (few, given.runs))
        other = sum(mine != its for mine, its in zip(answers[way], answers[PANDAS], strict=True))
        seconds = show(np.array([one["clock"], one["processor"]]))
        rows.append(f"| {way} | {seconds} | {ratios} | {one['whole']:.2f} | {peaks} | {other} |")
    return [
        f"## The equal vote of {given.runs} soft CSVs of {given.rows} rows",
        "",
        "At least 5 times as fast as pandas is the target. Imports count in the whole process alone.",
        "",
        "| way | seconds | times as fast as pandas | by processor seconds | whole process "
        f"| peak MiB, {few} runs | {given.runs} runs | other answers than pandas |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
        *rows,
        "",
    ]


def read_all(paths: list[Path]) -> tuple[list[np.ndarray], np.ndarray]:
    """Of all models what the fits learn from, and what is true."""
    values = []
    for validation in read_ahead(paths, read_validation):
        values.append(validation.probabilities.astype(np.float32))
    return values, validation.truth


def reading_table(folder: Path, rounds: int) -> tuple[list[str], tuple[list[np.ndarray], np.ndarray]]:
    """What reading all val_soft.csv takes, and what they hold."""
    import pandas as pd

    paths = {way: sorted((folder / name).glob("*/val_soft.csv")) for way, name in FOLDERS.items()}
    ways: dict[str, Callable[[], Any]] = {way: partial(read_all, paths[way]) for way in (CSV, COPIES)}
    ways[PANDAS] = lambda: [pd.read_csv(path).iloc[:, 5:].to_numpy(np.float32) for path in paths[PANDAS]]
    times, results = take_turns(ways, rounds, "reading")
    rows = [f"| {way} | {show(np.median(times[way], axis=0))} |" for way in FOLDERS]
    table = ["| reading all val_soft.csv (pandas: unchecked) | seconds |", "|---|--:|", *rows, ""]
    return table, results[COPIES]


def greedy_table(values: list[np.ndarray], truth: np.ndarray, rounds: int) -> list[str]:
    rows = []
    for name, metric in METRICS.entries.items():
        ways = {DIRECT: partial(fit_directly, values, truth, metric), PODIUM: partial(fit_here, values, truth, metric)}
        times, results = take_turns(ways, rounds, f"greedy fit for {name}")
        (weights, scores), (ours, our_scores) = results[DIRECT], results[PODIUM]
        assert scores == our_scores, "other scores, so perhaps other picks"
        assert np.array_equal(weights, ours), "other weights"
        direct, podium = (np.median(times[way], axis=0) for way in (DIRECT, PODIUM))
        ratios = " | ".join(f"{ratio:.1f}" for ratio in direct / podium)
        rows.append(f"| {name} | {show(direct)} | {show(podium)} | {ratios} |")
    return [
        f"The greedy fit, {GREEDY_ROUNDS} rounds, run whole both ways. All models' scores in all rounds are equal,",
        "and so the picks. At least 10 times as fast is the target.",
        "",
        "| metric | seconds of the direct loop | of this project | times as fast | by processor seconds |",
        "|---|--:|--:|--:|--:|",
        *rows,
        "",
    ]


def fit_directly(values: list[np.ndarray], truth: np.ndarray, metric: Callable) -> tuple[np.ndarray, list[float]]:
    """Weights, and the scores of all models in all rounds."""
    total, counts, best, told = np.zeros(truth.shape), np.zeros(len(values)), -np.inf, []
    one_hot = np.eye(truth.shape[1], dtype=bool)
    for number in range(GREEDY_ROUNDS):
        scores = [metric(one_hot[(total + one).argmax(axis=1)], truth) for one in values]
        told += scores
        pick = int(np.argmax(scores))
        total += values[pick]
        counts[pick] += 1
        if scores[pick] > best:
            best, weights = scores[pick], counts / (number + 1)
    return weights, told


def fit_here(values: list[np.ndarray], truth: np.ndarray, metric: Callable) -> tuple[np.ndarray, list[float]]:
    told: list[float] = []

    def heard(*arguments: np.ndarray) -> float:
        told.append(metric(*arguments))
        return told[-1]

    return greedy(values, truth, heard, MEANS["probability"](True).back, True, GREEDY_ROUNDS), told


def convex_table(values: list[np.ndarray], truth: np.ndarray) -> list[str]:
    lines = ["| the convex fit, averaging | seconds | models of a weight above 0 |", "|---|--:|--:|"]
    for name in ("probability", "logit"):
        mean = MEANS[name](True)
        averaged = [mean.values(one).astype(np.float32) for one in values]
        seconds, weights = timed(partial(convex, averaged, truth, mean.back, True))
        print(f"convex fit, {name}: {seconds[0]:.2f} s", flush=True)
        lines.append(f"| {name} | {show(np.array(seconds))} | {(weights > 0).sum()} |")
    return [*lines, ""]


def write_table(written: dict[str, list[float]]) -> list[str]:
    rows = [f"| {name} | {1000 * statistics.median(times):.0f} |" for name, times in written.items()]
    return ["| writing | median milliseconds |", "|---|--:|", *rows]


if __name__ == "__main__":
    main()
