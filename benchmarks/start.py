"""Seconds from a trial's exec to its first training step, against those that importing torch and torchvision takes.

    python benchmarks/start.py [--people 2700] [--rounds 5] [--out benchmarks/start.md]

The trials are real ones on as many people as the competition has (20 drawn ones over and over), their photos
decoded and their precision measured before. A start is the time to the end of step 1, less one step: the second, so
that what a first step takes longer counts too. Imports and trials take turns (A B A B), with --threads 1 and --compile
false, as compiling is a matter of its own. Beside each time are the seconds of processor it took, which other work on
the machine lengthens less.
"""

from __future__ import annotations

import argparse
import csv
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import psutil

HOME = Path(__file__).resolve().parent.parent
sys.path[0] = str(HOME / "demo")  # in place of this folder, whose trial.py would hide the trial's

from draw import draw_competition

MODELS = ("Efficientnet_b0", "resnet18")
DRAWN, TEST_PHOTOS, SIDE = 20, 12600, 128
BUDGET = 1.25
Seconds = np.ndarray  # of the clock, and of processor
BUILD = f"""
import sys, time, torch, torchvision, efficientnet_pytorch
sys.path.insert(0, {str(HOME / "baseline")!r})
from config import Config
from model import build_model
torch.set_num_threads(1)
began = time.monotonic(), time.process_time()
build_model(sys.argv[1], 18, Config(pretrained=False, resize=({SIDE}, {SIDE})).values())
print(time.monotonic() - began[0], time.process_time() - began[1])
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=2700, help="labelled people, 7 photos each")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=HOME / "benchmarks" / "start.md")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        make_data(folder / "data", given.people)
        imports = {}
        for model in MODELS:
            trial(folder, model)  # decodes the photos, and brings all files to the memory
            imports[model] = largest_imports(trial(folder, model, "-X", "importtime")[2])
        found: dict[str, list[Seconds]] = {}
        for number in range(given.rounds):
            for name, seconds in measure(folder):
                found.setdefault(name, []).append(seconds)
                print(f"round {number + 1}/{given.rounds}, {name}: {show(seconds)}", flush=True)
    given.out.write_text(report(found, imports, given.people))
    print(given.out.read_text())


def make_data(root: Path, people: int) -> None:
    """A data root of `people` people: a few drawn ones, and links to their photos under other names."""
    draw_competition(root, DRAWN, 1, seed=1)
    table = root / "train" / "train.csv"
    with open(table, newline="") as file:
        header, *drawn = csv.reader(file)
    rows = []
    for number in range(people):
        row = drawn[number % DRAWN]
        folder = table.parent / "images" / row[-1]
        name = f"{number:06d}_{folder.name}"
        shutil.copytree(folder, folder.with_name(name), copy_function=os.link)
        rows.append([f"{number:06d}", *row[1:-1], name])
    for row in drawn:
        shutil.rmtree(table.parent / "images" / row[-1])
    with open(table, "w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    photos = "".join(f"{number:040x}.jpg,0\n" for number in range(TEST_PHOTOS))
    (root / "eval" / "info.csv").write_text(f"ImageID,ans\n{photos}")


def measure(folder: Path) -> Iterator[tuple[str, Seconds]]:
    """One round, in turns."""
    for model in MODELS:
        yield "import", run("import torch, torchvision")
        built = subprocess.run([sys.executable, "-c", BUILD, model], check=True, capture_output=True, text=True)
        yield f"{model}, construction", np.array([float(figure) for figure in built.stdout.split()])
        for way in ("", " under NNI"):
            first, step, _ = trial(folder, model, under_nni=bool(way))
            yield f"{model}{way}, to the end of step 1", first
            yield f"{model}{way}, step 2", step


def run(code: str) -> Seconds:
    """What `python -c code` takes in all."""
    began = time.monotonic()
    process = subprocess.Popen([sys.executable, "-c", code])
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return np.array([time.monotonic() - began, usage.ru_utime + usage.ru_stime])


def trial(folder: Path, model: str, *options: str, under_nni: bool = False) -> tuple[Seconds, Seconds, str]:
    """From exec to the end of the first step, the second step, and what stood on stderr."""
    command = [sys.executable, *options, HOME / "baseline" / "train.py", "--data_dir", folder / "data"]
    command += ["--model", model, "--pretrained", "false", "--resize", str(SIDE), "--batch_size", "8", "--threads", "1"]
    command += ["--device", "cpu", "--compile", "false", "--log_interval", "1"]
    command += ["--cache_dir", folder / "cache", "--model_dir", folder / "runs"]
    environment = os.environ | (nni_environment(folder) if under_nni else {})
    ended: list[Seconds] = []
    with open(folder / "errors.txt", "w+") as errors:
        began = time.monotonic()
        process = psutil.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment)
        with closing(process.stdout):
            for line in process.stdout:
                if " step 1/" in line or " step 2/" in line:
                    ended.append(np.array([time.monotonic() - began, sum(process.cpu_times()[:2])]))
                if len(ended) == 2:
                    process.kill()
                    break
        process.wait()
        errors.seek(0)
        told = errors.read()
    if len(ended) < 2:
        raise SystemExit(f"error: the trial took no two steps: {told[-2000:]}")
    return ended[0], ended[1] - ended[0], told


def nni_environment(folder: Path) -> dict[str, str]:
    """What NNI gives a new trial on a machine whose service has no command channel, which needs no manager."""
    own = Path(tempfile.mkdtemp(prefix="trial-", dir=folder))
    (own / "parameter.cfg").write_text('{"parameter_id": 0, "parameters": {"lr": 0.001}}')
    output = own / "experiment" / "environments" / "one" / "trials" / "output"
    names = {"NNI_PLATFORM": "remote", "NNI_EXP_ID": "start", "NNI_TRIAL_JOB_ID": own.name, "NNI_REPAIRED": "1"}
    return names | {"NNI_SYS_DIR": str(own), "NNI_OUTPUT_DIR": str(output)}


def largest_imports(told: str) -> list[tuple[str, float]]:
    """The ten imports that take longest with all that they import, in seconds, this project's own modules left out.

    `told` is what -X importtime writes: a module after those that it imports, and to the left of them.
    """
    own = {file.stem for file in (HOME / "baseline").glob("*.py")}
    found, within = [], None
    for line in reversed(told.splitlines()):
        _, _, figures = line.partition("import time:")
        if not figures or "cumulative" in figures:
            continue
        _, cumulative, name = figures.split("|")
        depth = len(name) - len(name.lstrip())
        if within is not None and depth > within:
            continue
        within = None
        if name.strip() not in own:
            found.append((name.strip(), int(cumulative) / 1e6))
            within = depth
    return sorted(found, key=lambda entry: -entry[1])[:10]


def show(seconds: Seconds) -> str:
    return f"{seconds[0]:.2f} ({seconds[1]:.2f})"


def report(found: dict[str, list[Seconds]], imports: dict[str, list[tuple[str, float]]], people: int) -> str:
    middle = {name: np.median(seconds, axis=0) for name, seconds in found.items()}
    rounds = len(found["import"]) // len(MODELS)
    lines = [
        "# From exec to the first training step",
        "",
        f"`python benchmarks/start.py --people {people} --rounds {rounds}`: {people * 7} labelled photos, cache warm,",
        f"{SIDE} px, batches of 8, one thread, {platform.machine()}, python {platform.python_version()}. Medians in",
        "seconds, in brackets of processor. A start is the time to the end of step 1 less that of step 2; its ratio to",
        f"`import torch, torchvision` plus the model's construction is to be at most {BUDGET}.",
        "Under NNI is without the wait for its manager's answer.",
        "",
        "| trial | import | construction | end of step 1 | step 2 | start | ratio |",
        "|---|---|---|---|---|---|---|",
    ]
    for model in MODELS:
        for way in ("", " under NNI"):
            allowed, built = middle["import"], middle[f"{model}, construction"]
            first, step = (middle[f"{model}{way}, {what}"] for what in ("to the end of step 1", "step 2"))
            seconds = " | ".join(map(show, (allowed, built, first, step, first - step)))
            lines.append(f"| {model}{way} | {seconds} | {show((first - step) / (allowed + built))} |")
    lines += ["", "Each round:", ""]
    lines += [f"- {name}: {', '.join(map(show, seconds))}" for name, seconds in found.items()]
    for model, entries in imports.items():
        lines += ["", f"The ten largest imports of {model} (`-X importtime`, which itself slows them):", ""]
        lines += ["| module | seconds with all that it imports |", "|---|---|"]
        lines += [f"| {name} | {seconds:.3f} |" for name, seconds in entries]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
