"""Trials that train with other parameters than NNI shows for them: NNI as released, with our guard, and repaired.

    python benchmarks/parameters.py [--trials 50] [--out benchmarks/parameters.md]

Trials without work ask for their parameters up to half a second late. What each took is compared with NNI's
page (its REST interface), its database and what its tuner was told. Remote: two sshds on this computer.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import yaml

HOME = Path(__file__).resolve().parent.parent
for room in ("tests", "search", "demo", "baseline"):
    sys.path.insert(0, str(HOME / room))

from released import released_nni
from remote import make_box
from walks import all_ended, brief_search, mismatches, wait_for

from experiment import free_port, start

PLAIN, GUARDED, REPAIRED = "NNI as released", "released, with the guard in trial.py", "repaired"
CELLS = [
    (PLAIN, 2, False),
    (PLAIN, 4, False),
    (GUARDED, 2, False),
    (GUARDED, 4, True),
    (REPAIRED, 2, False),
    (REPAIRED, 4, False),
    (REPAIRED, 2, True),
    (REPAIRED, 4, True),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=50)
    parser.add_argument("--out", type=Path, default=HOME / "benchmarks" / "parameters.md")
    given = parser.parse_args()
    lines = [
        "# Right parameters",
        "",
        f"`python benchmarks/parameters.py --trials {given.trials}`: trials whose parameters are not those on NNI's",
        "page, in its database and at its tuner. NNI as released is stopped where its tuner dies of it.",
        "",
        "| way | concurrency | machines | trials ended | mismatches |",
        "|---|---|---|---|---|",
    ]
    for way, concurrency, remote in CELLS:
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            ended, wrong = measure(Path(folder), way, concurrency, remote, given.trials)
        machines = "2 over ssh" if remote else "this one"
        lines.append(f"| {way} | {concurrency} | {machines} | {ended} | {wrong} |")
        print(f"{lines[-1]}  {time.monotonic() - began:.0f} s", flush=True)
    given.out.write_text("\n".join(lines) + "\n")


def measure(folder: Path, way: str, concurrency: int, remote: bool, trials: int) -> tuple[int, int]:
    """One search: how many trials ended, and how many of them took other parameters than are shown."""
    config = brief_search(folder / "search", trials, concurrency)
    if way == PLAIN:
        config["trialCommand"] = config["trialCommand"].replace("brief_trial", "plain_trial")
    boxes = [make_box(folder, name) for name in ("one", "two")] if remote else []
    if remote:
        machines = {"platform": "remote", "machineList": [box.entry() for box in boxes]}
        config |= {"nniManagerIp": "127.0.0.1", "trainingService": machines}
    (folder / "config.yml").write_text(yaml.safe_dump(config))
    kept = os.environ.pop("PYTHONPATH", None)
    if way != REPAIRED:
        os.environ["PYTHONPATH"] = str(released_nni(folder / "released"))
    experiment = start(folder / "config.yml", free_port(), folder)
    try:
        wait_for(lambda: all_ended(experiment, trials), 300)
    except AssertionError:
        print("not all trials ended within 300 s", flush=True)
    finally:
        time.sleep(2)
        shown = experiment.trials()
        wrong = mismatches(experiment, folder / "search")
        experiment.stop()
        for box in boxes:
            box.stop()
        os.environ.pop("PYTHONPATH", None)
        if kept:
            os.environ["PYTHONPATH"] = kept
    return len(shown), len(wrong)


if __name__ == "__main__":
    main()
