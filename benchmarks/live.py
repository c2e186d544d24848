"""A real search by the older platform's configuration and one by ours, one after the other, for the same time.

    python benchmarks/lite0.py lite0.safetensors
    python benchmarks/live.py DATA --weights lite0.safetensors [--minutes 25] [--people 112]

Both are real nnictl experiments on this machine, two trials at a time on a core each, of five epochs at 112 pixels
on one fold of people, over the older platform's choices of lr, batch size, criterion and augmentation; its models are
replaced by three that two cores can train. Its tuner is NNI's TPE as it comes, every trial trained to its end; ours
is search/tuner.py with known-good points and search/assessor.py. What is kept lies in live.json, so that a second call
runs what is missing; live.md and live.png are made of it.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

HOME = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(HOME / room) for room in ("baseline", "search")]

import ledger
from experiment import Experiment, free_port, start
from progress import duration
from run import atomic

FILE = HOME / "benchmarks" / "live.json"
COMMAND = (
    "{python} train.py --data_dir {data} --model_dir {outputs} --cache_dir {cache} --epochs 5 --resize 112 --threads 1"
    " --pretrained false --mean .5 .5 .5 --std .5 .5 .5 --schedule constant --metric macro_f1 --precision float32"
    " --compile false"
)
OVER = ("DONE", "STOPPED", "NO_MORE_TRIAL", "TUNER_NO_MORE_TRIAL")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--minutes", type=int, default=25, help="for each search (default: %(default)s)")
    parser.add_argument("--people", type=int, default=0, help="of the labelled ones, so that trials are short; 0: all")
    given = parser.parse_args()
    found = json.loads(FILE.read_text()) if FILE.is_file() else {}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        data = some_people(given.data.resolve(), given.people, Path(scratch) / "data") if given.people else given.data
        for way in WAYS:
            if way not in found:
                found[way] = run(way, data.resolve(), given, Path(scratch)) | {"people": given.people}
                text = json.dumps(found)
                atomic(FILE, lambda path, text=text: path.write_text(text))
    write(found)


def some_people(data: Path, count: int, folder: Path) -> Path:
    """A data root of `count` of its labelled people, without test photos."""
    (folder / "train").mkdir(parents=True)
    people = pd.read_csv(data / "train" / "train.csv", dtype=str).sample(count, random_state=0).sort_index()
    people.to_csv(folder / "train" / "train.csv", index=False)
    (folder / "train" / "images").symlink_to(data / "train" / "images")
    return folder


def space(weights: Path) -> dict[str, Any]:
    """The older platform's search space; only one of the models has weights without a download."""

    def choice(*options: Any) -> dict[str, Any]:
        return {"_type": "choice", "_value": list(options)}

    lite0 = {"_name": "timm/tf_efficientnet_lite0", "weights": choice(str(weights.resolve()))}
    return {
        "batch_size": choice(8, 16, 32, 64, 128),
        "lr": choice(0.001, 0.01, 0.1),
        "model": choice(lite0, {"_name": "resnet18"}, {"_name": "Efficientnet_b0"}),
        "criterion": choice("cross_entropy", "focal", "label_smoothing", "f1"),
        "augmentation": choice("BaseAugmentation", "AffineAugmentation", "GaussianAugmentation"),
    }


def stock(outputs: Path) -> dict[str, Any]:
    return {"tuner": {"name": "TPE", "classArgs": {"optimize_mode": "maximize"}}}


def ours(outputs: Path) -> dict[str, Any]:
    shipped = yaml.safe_load((HOME / "config_remote.yml").read_text())
    blocks = {kind: shipped[kind] | {"codeDirectory": str(HOME / "search")} for kind in ("tuner", "assessor")}
    blocks["assessor"]["classArgs"] |= {"min_epochs": 1}  # of five
    for block in blocks.values():
        block["classArgs"] |= {"outputs": str(outputs)}
    return blocks


WAYS = {"ours": ours, "stock": stock}


def run(way: str, data: Path, given: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """{"minutes", "reports": [seconds since the start, trial, epoch, macro F1], "trials": {trial: [status, knobs]}}."""
    home, outputs = scratch / way, scratch / way / "outputs"
    home.mkdir()
    command = COMMAND.format(python=sys.executable, data=data, outputs=outputs, cache=scratch / "cache")
    config = {
        "searchSpace": space(given.weights),
        "trialCodeDirectory": str(HOME / "baseline"),
        "trialCommand": command,
        "trialConcurrency": 2,
        "maxExperimentDuration": f"{given.minutes}m",
        "trainingService": {"platform": "local"},
    } | WAYS[way](outputs)
    path = home / "config.yml"
    path.write_text(yaml.safe_dump(config))
    began = time.time()
    experiment = start(path, free_port(), home)
    try:
        watch(experiment, way, given.minutes)
        return {"minutes": given.minutes} | results(experiment, began)
    finally:
        experiment.stop()


def watch(experiment: Experiment, way: str, minutes: int) -> None:
    end = time.monotonic() + 60 * minutes
    while (left := end - time.monotonic()) > 0 and experiment.status() not in OVER:
        trials = experiment.trials()
        ended = sum(trial.status in ("SUCCEEDED", "EARLY_STOPPED", "FAILED") for trial in trials)
        print(f"{way}: {ended} of {len(trials)} trials have ended; {duration(left)} to go", flush=True)
        time.sleep(min(30, left))


def results(experiment: Experiment, began: float) -> dict[str, Any]:
    reports = []
    for entry in experiment.get("metric-data"):
        value = json.loads(json.loads(entry["data"]))
        if entry["type"] == "PERIODICAL":
            seconds = round(entry["timestamp"] / 1000 - began, 1)
            reports.append([seconds, entry["trialJobId"], entry["sequence"] + 1, round(value["default"], 4)])
    records = ledger.records_of(experiment.get("trial-jobs"), [])
    hidden = {"weights"}  # a path of this machine
    knobs = {r.id: {name: value for name, value in r.parameters.items() if name not in hidden} for r in records}
    return {"reports": sorted(reports), "trials": {r.id: [r.status, knobs[r.id]] for r in records}}


def best_so_far(reports: list[list[Any]]) -> list[tuple[float, float]]:
    """(minutes, best macro F1) at each report that raised it."""
    steps: list[tuple[float, float]] = []
    for seconds, _, _, value in reports:
        if not steps or value > steps[-1][1]:
            steps.append((seconds / 60, value))
    return steps


def reached(steps: list[tuple[float, float]], value: float) -> float | None:
    return next((minutes for minutes, best in steps if best >= value), None)


def write(found: dict[str, Any]) -> None:
    steps = {way: best_so_far(kept["reports"]) for way, kept in found.items()}
    goal = steps["stock"][-1][1]
    when = {way: reached(steps[way], goal) for way in steps}
    told = found["stock"]
    lines = [
        "# Two real searches for the same time",
        "",
        f"`python benchmarks/live.py DATA --weights lite0.safetensors --minutes {told['minutes']} --people"
        f" {told['people']}` on photos of",
        "mask18-utk, 2 cores, two trials at a time, ours first, beside some other work; one run of each,",
        "so a matter of luck: the replay in search.md has many. Macro F1 on the fifth of the people who validate, the",
        "best of all epochs of all trials so far; as the best of many it is too high an estimate, for both alike.",
        "",
        "| | the older platform's configuration | ours |",
        "|---|--:|--:|",
    ]
    rows = {
        "trials that began": lambda way: len(found[way]["trials"]),
        "of these stopped early": lambda way: sum(s == "EARLY_STOPPED" for s, _ in found[way]["trials"].values()),
        "epochs trained": lambda way: len(found[way]["reports"]),
        "best macro F1 in the end": lambda way: f"{steps[way][-1][1]:.3f}",
        f"minutes until the older one's last value, {goal:.3f}": lambda way: f"{when[way]:.1f}" if when[way] else "-",
    }
    lines += [f"| {label} | {row('stock')} | {row('ours')} |" for label, row in rows.items()]
    lines += ["", "![best macro F1 so far](live.png)", ""]
    atomic(FILE.with_suffix(".md"), lambda path: path.write_text("\n".join(lines)))
    draw(found, steps)


def draw(found: dict[str, Any], steps: dict[str, list[tuple[float, float]]]) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4))
    for way, label in (("stock", "the older platform's configuration"), ("ours", "ours")):
        ends = [*steps[way], (found[way]["minutes"], steps[way][-1][1])]
        (line,) = axes.step(*zip(*ends, strict=True), where="post", label=label)
        points = [(seconds / 60, value) for seconds, _, _, value in found[way]["reports"]]
        axes.plot(*zip(*points, strict=True), ".", color=line.get_color(), alpha=0.4, markersize=4)
    axes.set(xlabel="minutes", ylabel="macro F1 (points: each epoch; line: best so far)", ylim=(0, None))
    axes.legend(loc="lower right")
    atomic(FILE.with_suffix(".png"), lambda path: figure.savefig(path, format="png", dpi=130, bbox_inches="tight"))


if __name__ == "__main__":
    main()
