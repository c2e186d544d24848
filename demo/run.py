"""The whole job on drawn photos: a real NNI search, its trials, a blend, its page and its score.

It also shows, from the same trials, what a split by photo would have claimed.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

HOME = Path(__file__).resolve().parent.parent
for room in ("baseline", "search"):
    sys.path.insert(0, str(HOME / room))

from experiment import ENDED, Experiment, TrialState, free_port, start
from metrics import METRICS
from preflight import require
from progress import duration
from task import one_hot

CONFIG, TRUTH = HOME / "config_local.yml", HOME / "data" / "demo-truth.csv"
KNOBS = ("model", "lr", "batch_size", "criterion", "augmentation")
PATIENCE = 180  # seconds without the end of an epoch after which the demo calls the search stuck
QUIET = 8  # seconds without a line after which the running trials' own last lines are shown


@dataclass(frozen=True)
class Result:
    """One trial: its knobs, its best epoch's metrics, and its score on the test people's true answers.

    A trial that the assessor stopped has not predicted them.
    """

    folder: Path
    parameters: dict[str, Any]
    summary: dict[str, Any]
    truth: dict[str, float] | None

    @property
    def claimed(self) -> dict[str, float]:
        return self.summary["metrics"]


def main() -> None:
    began = time.monotonic()
    try:
        experiment = search()
        results = read_results(HOME / "outputs" / experiment.id)
        submission = blend(results, HOME / "outputs" / experiment.id)
        subprocess.run([sys.executable, HOME / "ensemble" / "report.py", submission.parent], check=True)
    except (RuntimeError, OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"error: {error}")
    console = Console(width=None if sys.stdout.isatty() else 140)
    console.print(table(results))
    blended = score(submission)
    console.print(leak(results))
    console.print(
        f"NNI's page was {experiment.page}; `.venv/bin/nnictl view {experiment.id} --port 8080` shows it again."
    )
    console.print(f"Submission: {submission}", soft_wrap=True)
    console.print(f"Its score against the drawn truth: {show(blended)}. Done in {duration(time.monotonic() - began)}.")


def search() -> Experiment:
    """Runs the experiment to its end and stops it. Raises RuntimeError where a trial failed."""
    if "--data_dir ../data/demo\n" not in CONFIG.read_text():
        raise RuntimeError(f"{CONFIG.name} was changed; the demo runs it as shipped (git checkout {CONFIG.name})")
    port = free_port()
    print("checking what a search needs …", flush=True)
    require(CONFIG, port)
    print("starting NNI …", flush=True)
    experiment = start(CONFIG, port, Path.home())
    print(f"watch it at {experiment.page}  (experiment {experiment.id})", flush=True)
    try:
        watch(experiment)
        failed = [trial for trial in experiment.trials() if trial.status not in ("SUCCEEDED", "EARLY_STOPPED")]
    finally:
        experiment.stop()
    if failed:
        tail = "\n".join(experiment.trial_file(failed[0].id, "trial.stderr").splitlines()[-15:])
        raise RuntimeError(f"{len(failed)} trials did not succeed; {failed[0].id} is {failed[0].status}:\n{tail}")
    return experiment


def watch(experiment: Experiment) -> None:
    """Prints what each trial is at, and how long the search still takes. Raises RuntimeError when it is stuck."""
    began = moved = printed = time.monotonic()
    shown: dict[str, int] = {}  # trial -> its epochs
    total = experiment.get("experiment")["params"]["maxTrialNumber"]
    while (status := experiment.status()) != "DONE":
        now = time.monotonic()
        trials = experiment.trials()
        for trial in trials:
            folder = HOME / "outputs" / experiment.id / trial.id
            epochs = read_lines(folder / "history.jsonl")
            if trial.id not in shown:
                shown[trial.id], printed = 0, now
                print(f"trial {trial.number + 1}/{total} starts: {describe(trial.parameters)}", flush=True)
            if len(epochs) > shown[trial.id]:
                shown[trial.id], moved, printed = len(epochs), now, now
                print(progress(trial, folder, epochs, total, sum(shown.values()), now - began), flush=True)
        if len(trials) == total and all(trial.status in ENDED for trial in trials):
            return
        if now - moved > PATIENCE:
            raise RuntimeError(f"the search is {status}, but no epoch ended in {PATIENCE} s; {experiment.logs()}")
        if now - printed > QUIET:
            printed = now
            for trial in trials:
                if trial.status == "RUNNING":
                    print(f"trial {trial.number + 1}/{total}: {experiment.last_line(trial.id)}", flush=True)
        time.sleep(1)


def describe(parameters: dict[str, Any]) -> str:
    return ", ".join(f"{name} {parameters[name]:.2g}" if name == "lr" else str(parameters[name]) for name in KNOBS)


def progress(trial: TrialState, folder: Path, epochs: list[dict], total: int, done: int, elapsed: float) -> str:
    """A line about the epoch that `trial` ended; `done` epochs of all trials took `elapsed` seconds."""
    wanted = json.loads((folder / "config.json").read_text())["parameters"]["epochs"]
    left = elapsed / done * (total * wanted - done)
    return (
        f"trial {trial.number + 1}/{total} {trial.parameters['model']}: epoch {len(epochs)}/{wanted}, "
        f"accuracy {epochs[-1]['val_accuracy']:.3f}; about {duration(left)} to go"
    )


def read_lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def read_results(outputs: Path) -> list[Result]:
    """The trials of an experiment, best validation first."""
    results = []
    for file in outputs.glob("*/summary.json"):
        folder, summary = file.parent, json.loads(file.read_text())
        parameters = json.loads((folder / "config.json").read_text())["parameters"]
        predicted = summary["status"] == "SUCCEEDED"
        results.append(Result(folder, parameters, summary, score(folder / "hard.csv") if predicted else None))
    return sorted(results, key=lambda result: -result.claimed["val_accuracy"])


def score(submission: Path) -> dict[str, float]:
    """Each metric of a submission's answers against the drawn truth."""
    given, right = (pd.read_csv(path, index_col=0)["ans"] for path in (submission, TRUTH))
    predicted, wanted = (one_hot(answers.to_numpy(), 18) > 0 for answers in (given.loc[right.index], right))
    return {name: metric(predicted, wanted) for name, metric in METRICS.entries.items()}


def blend(results: list[Result], outputs: Path) -> Path:
    """The best half of the trials, voted into submission.csv by the ensemble script."""
    whole = [result for result in results if result.truth]
    best = whole[: max(2, len(whole) // 2)]
    submission = outputs / "submission.csv"
    files = [result.folder / "soft.csv" for result in best]
    subprocess.run([sys.executable, HOME / "ensemble" / "soft_vote.py", *files, "-o", submission], check=True)
    return submission


def table(results: list[Result]) -> Table:
    shown = Table(title="trials, best validation first (accuracy, 18 classes)")
    for name in ("trial", *KNOBS, "best epoch"):
        shown.add_column(name)
    for name in ("split by photo\nwould claim", "split by person\nsays", "truth"):
        shown.add_column(name, justify="right")
    for result in results:
        knobs = [f"{result.parameters[name]:.2g}" if name == "lr" else str(result.parameters[name]) for name in KNOBS]
        numbers = (result.claimed["photo_split_accuracy"], result.claimed["val_accuracy"])
        stopped = f", stopped after {result.summary['epochs']}"
        shown.add_row(
            result.folder.name,
            *(knob.removesuffix("Augmentation") for knob in knobs),
            f"{result.summary['best_epoch']}" + ("" if result.truth else stopped),
            *(f"{number:.3f}" for number in numbers),
            f"{result.truth['accuracy']:.3f}" if result.truth else "-",
        )
    return shown


def leak(results: list[Result]) -> str:
    whole = [
        (r.claimed["photo_split_accuracy"], r.claimed["val_accuracy"], r.truth["accuracy"]) for r in results if r.truth
    ]
    photo, person, truth = (float(np.mean(values)) for values in zip(*whole, strict=True))
    people, margin = margin_of_error(results[0].folder)
    return (
        f"The leak: over these trials a split by photo would have claimed {photo:.3f}, because it asks about people"
        f" that the model has seen.\nThe split by person says {person:.3f} (± {margin:.3f}, being {people} people);"
        f" on new people it is {truth:.3f}."
    )


def margin_of_error(folder: Path) -> tuple[int, float]:
    """How many people validated, and 1.96 standard errors of their accuracy."""
    table = pd.read_csv(folder / "val_soft.csv", dtype={"group": str})
    decided = table[[str(number) for number in range(18)]].to_numpy().argmax(axis=1)
    of_person = (decided == table["label"]).groupby(table["group"]).mean()
    return len(of_person), 1.96 * float(of_person.std() / np.sqrt(len(of_person)))


def show(metrics: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.3f}" for name, value in metrics.items())


if __name__ == "__main__":
    main()
