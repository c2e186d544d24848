"""Writes the search that goes on with the best trials of a shorter one, each after its last epoch.

    python search/promote.py EXPERIMENT --best 5 --epochs 30 --config config_local.yml -o config_promoted.yml
    nnictl create --config config_promoted.yml --port 8080

Each trial of it takes over one run folder (train.py --continue_run; its help says what becomes of schedules): weights,
optimizer, average and random state, and all parameters but --epochs. Machines and limits are --config's, and of its
command what says where a trial works. Tuner, assessor and search space are others: each run folder once, to its end.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

HOME = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(HOME / "baseline"))

import ledger
from machines import machines_of
from promoted_command import command_of
from run import atomic, fold_folders
from settings.schemas import read_config

STOPPED = ("EARLY_STOPPED", "INTERRUPTED")  # with --ended these are left out
MARK = "made by search/promote.py"
HEADER = f"""# {{count}} trials of {{experiment}} go on to {{epochs}} epochs; {MARK} from {{config}}.
# nnictl create --config {{out}} --port 8080
"""


@dataclass(frozen=True)
class Candidate:
    """A trial that could go on."""

    path: Path  # of its run folder at home
    host: str  # as trials.jsonl has it, "" where it is not told
    model_dir: str  # as it was given there
    objective: float
    metric: str
    epochs: int


def main(argv: list[str]) -> None:
    given = parse(argv)
    try:
        config = read_config(given.config)
        found, left = candidates(given.outputs / given.experiment, given.ended, given.machine)
        best = choose(found, left, given.best, given.epochs)
        places = [place_of(candidate, config) for candidate in best]
        space = given.out.with_name(f"search_space_{given.out.stem.removeprefix('config_')}.json")
        check_targets(given.out, space)
        promoted = derive(config, best, places, given.epochs) | {"searchSpaceFile": space.name}
        write(given, promoted, space, places)
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    show(best, left)
    print(f"{given.out}, {space}: {len(best)} trials go on to {given.epochs} epochs in all")
    for line in scattered(best, config):
        print(f"warning: {line}")
    print(f"check them: python search/preflight.py {given.out} --port 8080; then nnictl create --config {given.out}")


def parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="promote.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("experiment", help="its folder in --outputs: NNI's id of it")
    parser.add_argument("--best", type=count, required=True, metavar="N", help="trials to go on with")
    parser.add_argument(
        "--epochs", type=count, required=True, metavar="N", help="of each in all, those it had included"
    )
    parser.add_argument(
        "--config", type=Path, required=True, metavar="FILE", help="experiment config to derive it from"
    )
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="FILE", help="the config to write")
    parser.add_argument(
        "--ended", action="store_true", help="leave out trials that were stopped before their last epoch"
    )
    parser.add_argument(
        "--machine", default="", metavar="HOST", help="take trials of this machine alone, and run them there"
    )
    parser.add_argument(
        "--outputs",
        type=Path,
        default=HOME / "outputs",
        metavar="DIR",
        help="where experiments are (default: %(default)s)",
    )
    return parser.parse_args(argv)


def count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text)):
        raise argparse.ArgumentTypeError(f"{text} is no number from 1")
    return int(text)


def candidates(folder: Path, ended: bool, machine: str) -> tuple[list[Candidate], list[str]]:
    """The trials in the experiment's `folder` that could go on, best first, and why each other one could not.

    Raises ValueError where there are none, or their objectives do not compare.
    """
    if not folder.is_dir():
        raise ValueError(f"there is no folder {folder}; collect the experiment first, or say where with --outputs")
    lines, found, left = ledger.read(folder / ledger.LEDGER), [], []
    for path in sorted(path.parent for path in folder.glob("*/summary.json")):
        stored, summary = ledger.load(path, "config.json"), ledger.load(path, "summary.json")
        objective, host = objective_of(summary), lines.get(path.name, {}).get("host", "")
        if not stored or "blend" in stored:
            continue
        if reason := unfit(summary, objective, ended) or (
            "" if machine in host else f"it is on {host or 'no machine'}"
        ):
            left.append(f"{path.name}: {reason}")
        else:
            model_dir = stored["parameters"].get("model_dir", "")
            found.append(Candidate(path, host, model_dir, objective, summary["objective"], epochs_of(summary)))
    if len(metrics := sorted({candidate.metric for candidate in found})) > 1:
        raise ValueError(
            f"the trials in {folder} have different objectives, {' and '.join(metrics)}, and do not compare"
        )
    return sorted(found, key=lambda candidate: (-candidate.objective, candidate.path.name)), left


def unfit(summary: dict[str, Any], objective: float | None, ended: bool) -> str:
    """Why the trial with this summary.json cannot go on, or is not to."""
    status = summary.get("status", "without a status")
    if status in STOPPED and ended:
        return f"{status}, and --ended wants whole ones"
    if status not in (*STOPPED, "SUCCEEDED"):
        return status + (f", {summary['error']}" if summary.get("error") else "")
    return "" if objective is not None else f"{status} before an epoch or fold had ended"


def objective_of(summary: dict[str, Any]) -> float | None:
    """Of its best epoch; of a trial of all folds that was stopped the mean over those that ended. None without any."""
    name = f"val_{summary.get('objective')}"
    if name in summary.get("metrics", {}):
        return summary["metrics"][name]
    told = [fold["metrics"][name] for fold in summary.get("folds", [])]
    return sum(told) / len(told) if told else None


def epochs_of(summary: dict[str, Any]) -> int:
    """Epochs that it ended; of a trial of all folds in the fold that had most."""
    return max((fold["epochs"] for fold in summary.get("folds", [])), default=summary.get("epochs", 0))


def choose(found: list[Candidate], left: list[str], best: int, epochs: int) -> list[Candidate]:
    """The best ones. Raises ValueError where there are too few, or one has as many epochs already."""
    if len(found) < best:
        why = "".join(f"\n  {line}" for line in left)
        raise ValueError(
            f"{len(found)} trials can go on, fewer than --best {best}; lower it. Left out:{why or ' none'}"
        )
    for candidate in found[:best]:
        if candidate.epochs >= epochs:
            raise ValueError(
                f"{candidate.path} was trained for {candidate.epochs} epochs already; --epochs {epochs} is to be more"
            )
    return found[:best]


def place_of(candidate: Candidate, config: dict[str, Any]) -> str:
    """The run folder as --continue_run takes it. Raises ValueError where the config's trials could not go on there."""
    path, machines = candidate.path.resolve(), [str(machine) for machine in machines_of(config)]
    if not machines:
        for part in fold_folders(path) or [path]:
            if not (part / "last.pt").is_file() and epochs_of(ledger.load(part, "summary.json")):
                raise ValueError(
                    f"{part} has no last.pt, which training goes on from; fetch it: "
                    f"python search/collect.py {path.parent.name} --weights all"
                )
        return str(path)
    if candidate.host not in machines:
        raise ValueError(
            f"{path} was trained on {candidate.host or 'a machine that trials.jsonl does not tell'}, which is not in "
            f"the config's machineList ({', '.join(machines)}); name a config that has it, or a local one after "
            f"collect.py {path.parent.name} --weights all"
        )
    if not candidate.model_dir.startswith(("/", "~")):
        raise ValueError(
            f"{path} was written to {candidate.model_dir or 'the folder that NNI uploaded'} on {candidate.host}, which "
            "other trials do not find; name a local config after collect.py --weights all, and pass --model_dir next "
            "time"
        )
    there = PurePosixPath(candidate.model_dir) / path.parent.name / path.name
    return f"{candidate.host}:{there}"


def derive(config: dict[str, Any], best: list[Candidate], places: list[str], epochs: int) -> dict[str, Any]:
    """The config of the new search, without its search space."""
    config = {
        name: value for name, value in config.items() if name not in ("assessor", "searchSpace", "searchSpaceFile")
    }
    service = dict(config["trainingService"])
    if machines := machines_of(config):
        hosts = {candidate.host for candidate in best}
        entries = zip(machines, service["machineList"], strict=True)
        service["machineList"] = [entry for machine, entry in entries if str(machine) in hosts]
    changed = {
        "experimentName": f"{config.get('experimentName') or best[0].path.parent.name} promoted",
        "trialCommand": command_of(config["trialCommand"], epochs),
        "trialConcurrency": min(config["trialConcurrency"], len(places)),
        "maxTrialNumber": len(places),
        "tuner": {"name": "GridSearch"},
        "trainingService": service,
    }
    return without_empty(config | changed)


def without_empty(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: without_empty(inner) for name, inner in value.items() if inner is not None}
    return [without_empty(inner) for inner in value] if isinstance(value, list) else value


def check_targets(out: Path, space: Path) -> None:
    """Raises ValueError where files that promote.py did not make would be written over."""
    if out.is_file() and MARK in out.read_text().partition("\n")[0]:
        return
    if taken := next((path for path in (out, space) if path.exists()), None):
        raise ValueError(f"{taken} is there already, and not made by promote.py; name another file with -o")


def write(given: argparse.Namespace, config: dict[str, Any], space: Path, places: list[str]) -> None:
    """The config and its search space, one choice of run folders."""
    knob = {"continue_run": {"_type": "choice", "_value": places}}
    atomic(space, lambda file: file.write_text(json.dumps(knob, indent=2) + "\n"))
    told = {"experiment": given.experiment, "config": given.config, "out": given.out, "epochs": given.epochs}
    text = HEADER.format(count=len(places), **told) + yaml.safe_dump(
        config, sort_keys=False, allow_unicode=True, width=110
    )
    atomic(given.out, lambda file: file.write_text(text))


def show(best: list[Candidate], left: list[str]) -> None:
    print(f"rank  {best[0].metric:>9}  epochs  trial")
    for rank, one in enumerate(best, 1):
        print(
            f"{rank:4}  {one.objective:9.4f}  {one.epochs:6}  {one.path.name}" + (f" on {one.host}" if one.host else "")
        )
    for line in left:
        print(f"left out: {line}")


def scattered(best: list[Candidate], config: dict[str, Any]) -> Iterator[str]:
    """What is wrong with run folders on several machines, where NNI alone says which trial starts on which."""
    hosts = sorted({candidate.host for candidate in best})
    if machines_of(config) and len(hosts) > 1:
        yield (
            f"these run folders are on {len(hosts)} machines ({', '.join(hosts)}), and a trial that NNI starts on "
            "another one than its folder's fails, and says so; write a search for each with --machine, unless they "
            "share --model_dir"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
