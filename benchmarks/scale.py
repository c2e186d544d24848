"""What many trials and many machines cost NNI's manager, its database and its page: measured, and what follows.

    python benchmarks/scale.py [--trials 300] [--concurrency 16] [--hosts 1 2 6] [--out benchmarks/scale.md]

Remote searches on stand-ins for machines (sshds on loopback) with trials of no work (idle_trial.py). At each quarter
the keepers are held still, so times are those of a manager at rest. A straight line through the quarters says what
to expect of 2,000 trials, one through --hosts what to expect of 20 machines; `--trials 300 2000 --hosts 1 2 6 20`
runs those too, beside the prediction. --out keeps what it has from "## What" on. Needs make system and root.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shutil
import sqlite3
import statistics
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import yaml

HOME = Path(__file__).resolve().parent.parent
sys.path[0:1] = [str(HOME / part) for part in ("tests", "search", "baseline", "demo")]  # not this folder's trial.py

from remote import make_box
from test_browser import page

from experiment import ENDED, Experiment, free_port, start

CONTINUOUS = {"lr": {"_type": "loguniform", "_value": [0.001, 0.1]}}  # as it stands, search_space.json has 540 points


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, nargs="+", default=[300])
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--hosts", type=int, nargs="+", default=[1, 2, 6])
    parser.add_argument("--out", type=Path, default=HOME / "benchmarks" / "scale.md")
    given = parser.parse_args()
    trials, hosts = {}, {}
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["HOME"] = scratch  # NNI's, ssh's and chromium's files stay in there
        for count in given.trials:
            found = measure_trials(Path(scratch, f"trials{count}"), count, given.concurrency)
            trials |= {max(found): found[max(found)]} if trials else found
        write(given.out, trials, hosts)
        for count in given.hosts:
            hosts[count] = measure_hosts(Path(scratch, f"hosts{count}"), count)
            write(given.out, trials, hosts)


def write(out: Path, trials: dict[int, dict[str, float]], hosts: dict[int, dict[str, float]]) -> None:
    _, mark, notes = (out.read_text() if out.exists() else "").partition("## What")
    head = ["# Many trials, many machines", "", f"`{' '.join(sys.argv)}`, {os.cpu_count()} cores", ""]
    tables = [*table("trials", trials, 2000), "", *(table("machines", hosts, 20) if len(hosts) > 1 else []), ""]
    out.write_text("\n".join([*head, *tables, mark + notes]))


@contextmanager
def search(folder: Path, hosts: int, trials: int, concurrency: int) -> Iterator[Experiment]:
    """A running search on as many stand-ins for machines; nothing is left of them, or of it, afterwards."""
    (folder / "code").mkdir(parents=True)
    shutil.copy(HOME / "benchmarks" / "idle_trial.py", folder / "code")
    config = {
        "searchSpace": json.loads((HOME / "search_space.json").read_text()) | CONTINUOUS,
        "trialCommand": f"{sys.executable} -S -E idle_trial.py",
        "trialCodeDirectory": str(folder / "code"),
        "trialConcurrency": concurrency,
        "maxTrialNumber": trials,
        "maxTrialDuration": "2m",
        "maxExperimentDuration": "20m",
        "nniManagerIp": "127.0.0.1",
        "tuner": {"name": "Random"},
    }
    boxes, running = [], None
    try:
        for number in range(hosts):
            boxes.append(make_box(folder, f"box{number}"))
        config["trainingService"] = {"platform": "remote", "machineList": [box.entry() for box in boxes]}
        (folder / "config.yml").write_text(yaml.safe_dump(config))
        running = start(folder / "config.yml", free_port(), folder)
        yield running
    finally:
        if running:
            running.stop()
        for box in boxes:
            box.stop()
        for process in itertools.chain(*family(folder).values()):
            process.kill()


def family(folder: Path) -> dict[str, list[psutil.Process]]:
    """What runs with a HOME in `folder`."""
    kinds = {"trial_keeper/main.js": "keeper", "nni_node/main.js": "manager", "-m nni --exp_params": "tuner"}
    found = {"manager": [], "tuner": [], "keeper": [], "other": []}
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if Path(process.environ().get("HOME", "")).is_relative_to(folder):
                words = " ".join(process.cmdline()) if process.name() != "sh" else ""
                found[next((kind for word, kind in kinds.items() if word in words), "other")].append(process)
    return found


def sizes(found: dict[str, list[psutil.Process]], kind: str) -> dict[str, float]:
    """Means over the processes of this kind."""
    memory = statistics.mean(process.memory_info().rss for process in found[kind]) / 2**20
    files = statistics.mean(process.num_fds() for process in found[kind])
    return {f"{kind}: memory, MiB": memory, f"{kind}: open files and connections": files}


def measure_hosts(folder: Path, count: int) -> dict[str, float]:
    """What `count` machines cost when each has run two trials."""
    began = time.monotonic()
    with search(folder, count, 2 * count, count) as experiment:
        wait(experiment, 1, {"RUNNING", *ENDED})
        seconds = time.monotonic() - began
        wait(experiment, 2 * count)
        costs = sizes(family(folder), "manager") | sizes(family(folder), "keeper")
        print(f"{count} machines, {seconds:.0f} s: {costs}", flush=True)
    return {"until the first trial runs, s": seconds} | costs


def measure_trials(folder: Path, trials: int, concurrency: int) -> dict[int, dict[str, float]]:
    """What each quarter of a search on two machines costs, by the number of trials that had ended."""
    found: dict[int, dict[str, float]] = {}
    with search(folder, 2, trials, concurrency) as experiment:
        wait(experiment, 1, {"RUNNING", *ENDED})
        ended, began = 0, time.monotonic()
        for quarter in range(1, 5):
            wait(experiment, trials * quarter // 4)
            before, seconds = ended, time.monotonic() - began
            ended, seen = look(experiment, folder)
            found[ended] = {"trials per second since the column before": (ended - before) / seconds} | seen
            print(f"{ended} of {trials} trials, {seconds:.0f} s: {found[ended]}", flush=True)
            began = time.monotonic()
        print(Counter(trial.status for trial in experiment.trials()), flush=True)
    return found


def wait(experiment: Experiment, count: int, states: set[str] = ENDED) -> None:
    """Until `count` trials are in `states`. Raises RuntimeError after 20 minutes."""
    deadline = time.monotonic() + 1200
    while sum(trial.status in states for trial in experiment.trials()) < count:
        if time.monotonic() > deadline:
            raise RuntimeError(f"not {count} trials {states} within 20 minutes; {experiment.logs()}")
        experiment.status()  # raises where the manager is gone
        time.sleep(1)


def look(experiment: Experiment, folder: Path) -> tuple[int, dict[str, float]]:
    """The number of ended trials, and what the manager, its database and its page need for them at rest."""
    found = family(folder)
    empty, _ = timed(lambda: page("about:blank", folder / "profile"))
    try:
        for keeper in found["keeper"]:
            keeper.suspend()  # the manager gives a machine up that is silent for 45 s
        time.sleep(2)
        ended = sum(trial.status in ENDED for trial in experiment.trials())
        answers = fastest(experiment, "trial-jobs") | fastest(experiment, "metric-data")
        full, _ = timed(lambda: page(f"{experiment.page}/detail", folder / "profile"))
    finally:
        for keeper in found["keeper"]:
            keeper.resume()
    answers["page with its trial table, s more than an empty page"] = full - empty
    answers["manager: processor seconds so far"] = sum(found["manager"][0].cpu_times()[:2])
    costs = sizes(found, "manager") | sizes(found, "tuner") | sizes(found, "keeper")
    return ended, costs | database(experiment, folder) | answers


def timed(action: Callable[[], str | bytes]) -> tuple[float, str | bytes]:
    began = time.monotonic()
    answer = action()
    return time.monotonic() - began, answer


def fastest(experiment: Experiment, what: str) -> dict[str, float]:
    address = f"{experiment.page}/api/v1/nni/{what}"
    took, answer = min(timed(lambda: urllib.request.urlopen(address, timeout=60).read()) for _ in range(5))
    return {f"GET {what}, best of 5, ms": 1000 * took, f"GET {what}: answer, MiB": len(answer) / 2**20}


def database(experiment: Experiment, folder: Path) -> dict[str, float]:
    """Its size and rows, from a copy: a reader could make the manager's writing fail."""
    copy = shutil.copy(folder / "nni-experiments" / experiment.id / "db" / "nni.sqlite", folder / "copy.sqlite")
    opened = sqlite3.connect(copy)
    names = ("TrialJobEvent", "MetricData", "ExperimentProfile")
    rows = sum(opened.execute(f"select count(*) from {name}").fetchone()[0] for name in names)
    opened.close()
    return {"database: rows": rows, "database, MiB": Path(copy).stat().st_size / 2**20}


def table(unit: str, found: dict[int, dict[str, float]], wanted: int) -> list[str]:
    """Markdown: measured below `wanted`, where a straight line through that ends, measured at `wanted` if it was."""
    near, far = [size for size in found if size < wanted], [size for size in found if size >= wanted]
    heads = [*(f"measured: {n}" for n in near), f"**predicted: {wanted}**", *(f"measured: {n}" for n in far)]
    lines = [f"| {unit} | {' | '.join(heads)} |", "|---" + "|--:" * len(heads) + "|"]
    for name in found[near[0]]:
        slope, zero = statistics.linear_regression(near, [found[size][name] for size in near])
        line = "" if "per second" in name else f"**{show(zero + slope * wanted)}**" if slope > 0 else "no growth"
        cells = [*(show(found[n][name]) for n in near), line, *(show(found[n][name]) for n in far)]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def show(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.2g}"


if __name__ == "__main__":
    main()
