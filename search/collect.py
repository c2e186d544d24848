"""Brings the run folders of an NNI experiment home from its machines, into outputs/<experiment>/<trial>/.

    python search/collect.py EXPERIMENT --watch

Run it as often as you like: only what is new is fetched, and a transfer that was cut is continued.
outputs/<experiment>/trials.jsonl tells what became of each trial.
"""

from __future__ import annotations

import argparse
import itertools
import shlex
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from http.client import HTTPException
from pathlib import Path
from typing import Any

import psutil

HOME = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(HOME / "baseline"))

from experiment import Experiment, processes, readable, registered
from harvest import WITHOUT, Round, Search, harvest
from ledger import LEDGER, has_ended, records_of
from machines import machines_of
from registry import unknown

ENDS = ("DONE", "STOPPED", "ERROR", "TUNER_NO_MORE_TRIAL")  # the last: the search space is used up
GOING = ("INITIALIZED", "RUNNING", "NO_MORE_TRIAL", "TUNER_NO_MORE_TRIAL", "STOPPING")


@dataclass
class Voice:
    """Prints what was not said in the round before: a machine that stays away is named once."""

    before: set[str] = field(default_factory=set)
    now: set[str] = field(default_factory=set)

    def __call__(self, line: str) -> None:
        if line not in self.before | self.now:
            print(line, flush=True)
        self.now.add(line)

    def turn(self) -> None:
        self.before, self.now = self.now, set()


def main(argv: list[str]) -> None:
    given = parse(argv)
    try:
        sys.exit(collect(given))
    except KeyboardInterrupt:
        print("\nstopped; what came so far stays, and the same command goes on from there", flush=True)
        sys.exit(130)
    except (ValueError, RuntimeError, OSError, HTTPException) as error:
        sys.exit(f"error: {error}")


def parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="collect.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("experiment", help="NNI's id of it; nnictl experiment list --all tells")
    parser.add_argument("--watch", action="store_true", help="go on until the experiment is over and all is home")
    parser.add_argument(
        "--weights", choices=WITHOUT, default="best", help="best.pt, last.pt too, or neither (default: %(default)s)"
    )
    parser.add_argument("--outputs", type=Path, default=HOME / "outputs", metavar="DIR", help="(default: %(default)s)")
    parser.add_argument(
        "--home", type=Path, default=Path.home(), metavar="DIR", help="holds nni-experiments (default: %(default)s)"
    )
    parser.add_argument(
        "--every", type=float, default=20, metavar="SECONDS", help="pause between the rounds of --watch (default: 20)"
    )
    return parser.parse_args(argv)


def collect(given: argparse.Namespace) -> int:
    """All rounds; returns the exit code, 1 where something stayed away or all trials failed."""
    known = registered(given.home)
    if given.experiment not in known:
        raise unknown(f"experiment in {given.home / 'nni-experiments'}:", given.experiment, known)
    outputs, say, ended = given.outputs / given.experiment, Voice(), False
    while True:
        try:
            if not ended:
                search = read_search(given.experiment, given.home, say)
        except (OSError, HTTPException) as error:  # the manager ended while it was asked, or has too much to do
            if not given.watch:
                raise
            say(f"NNI does not answer ({error}); asking again every {given.every:g} s")
        else:
            work = harvest(search, outputs, given.weights, say)
            ended = is_over(search, outputs)
            if not given.watch or (ended and not work.unreached and not work.changing):
                break
            say(f"{counts(work)}; looking again every {given.every:g} s, Ctrl-C ends it")
        time.sleep(given.every)
        say.turn()
    link_events(given.home / "nni-experiments" / given.experiment, outputs, say)
    print(report(work, outputs), flush=True)
    failure = all_failed(work) if ended else ""
    if failure:
        print(failure, flush=True)
    return int(bool(failure or work.troubles or (ended and work.changing)))


def is_over(search: Search, outputs: Path) -> bool:
    """Whether nothing more is to come."""
    return search.over or (
        search.closed
        and all(record.ended or (search.frozen and has_ended(record, outputs / record.id)) for record in search.records)
    )


def link_events(experiment: Path, outputs: Path, say: Callable[[str], None]) -> None:
    """Leads the TensorBoard button of NNI's page to the run folders that came home."""
    for folder in outputs.glob("*/summary.json"):
        trial = folder.parent.name
        link = experiment / "trials" / trial / "output" / "tensorboard"
        try:
            if link.is_symlink() and not link.exists():
                link.unlink()  # the run folders were moved
            if not link.exists():
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(folder.parent.resolve(), target_is_directory=True)
        except OSError as error:
            say(f"warning: the TensorBoard button of NNI's page cannot show {trial}: {error}")


def read_search(experiment: str, home: Path, say: Voice) -> Search:
    """What NNI tells. Says what is wrong with it."""
    entry = registered(home)[experiment]
    before = entry["status"]
    with readable(experiment, home) as opened:
        status = opened.get("check-status")
        profile, records = opened.get("experiment"), records_of(opened.get("trial-jobs"), opened.get("metric-data"))
    gone = status["status"] == "VIEWED"
    if gone and before in GOING:
        say(
            f"the manager of experiment {experiment} is gone, though NNI's registry says {before}: killed? Its trials "
            f"may still run; {opened.logs()}; nnictl resume {experiment} goes on with it"
        )
    if "ERROR" in (status["status"], before if gone else ""):
        errors = "; ".join(map(str, status.get("errors") or []))
        say(
            f"experiment {experiment}: NNI says ERROR {errors}; {opened.logs()}; nnictl stop {experiment}, then "
            f"nnictl resume {experiment} --port {entry['port']} goes on"
        )
    mute = status["status"] == "RUNNING" and lacks_dispatcher(opened)
    if mute:
        say(
            f"the dispatcher of experiment {experiment} has died, so no trial will start any more; see the end of "
            f"{home / 'nni-experiments' / experiment / 'log' / 'dispatcher.log'}, then nnictl stop {experiment}"
        )
    closed, frozen = mute or status["status"] in ENDS, status["status"] == "ERROR"
    return replace(search_of(profile, records, gone), closed=closed, frozen=frozen)


def search_of(profile: dict[str, Any], records: list, gone: bool) -> Search:
    """From REST's experiment. Raises ValueError for a training service other than local and remote."""
    params = profile["params"]
    service = params["trainingService"]
    platform = service["platform"] if isinstance(service, dict) else "hybrid"
    if platform not in ("local", "remote"):
        raise ValueError(
            f"experiment {profile['id']} runs on {platform!r}; only local and remote ones can be collected"
        )
    local = platform == "local"
    return Search(
        id=profile["id"],
        records=records,
        machines=machines_of(params),
        model_dir=model_dir(params["trialCommand"]),
        root=params["experimentWorkingDirectory"] if local else "",
        code=params["trialCodeDirectory"] if local else "",
        over=gone,
    )


def model_dir(command: str) -> str:
    """The last --model_dir of a trial command, its variables unexpanded; "" where there is none."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    lexer.commenters = ""
    found, words = "", [*lexer, ""]
    for word, following in itertools.pairwise(words):
        option, equals, value = word.partition("=")
        if option in ("--model_dir", "--model-dir"):
            found = value if equals else following
    return found


def lacks_dispatcher(experiment: Experiment) -> bool:
    """Whether the manager's process can be seen here, but not that of its dispatcher."""
    lines = []
    for process in processes(experiment.id):
        try:
            lines.append(" ".join(process.cmdline()))
        except psutil.Error:
            return False  # just ending; the next round sees clearer
    return any("nni_node" in line for line in lines) and not any("--exp_params" in line for line in lines)


def all_failed(work: Round) -> str:
    lines = [work.lines[record.id] for record in work.search.records]
    if not lines or any(line["status"] != "FAILED" for line in lines):
        return ""
    return f"all {len(lines)} trials failed: {next((line['error'] for line in lines if line['error']), 'no word why')}"


def counts(work: Round) -> str:
    found = Counter(line["status"] for line in work.lines.values())
    listing = ", ".join(f"{count} {status}" for status, count in found.most_common())
    return f"trials of {work.search.id}: {listing or 'none yet'}"


def report(work: Round, outputs: Path) -> str:
    lines = [counts(work)]
    lines += [f"{trial} changed while it was fetched; collect again for the rest" for trial in sorted(work.changing)]
    lines += [f"run folders: {outputs}; what became of each: {outputs / LEDGER}"]
    if any(outputs.glob("*/soft.csv")):
        lines.append(f"blend them:  python ensemble/soft_vote.py {outputs}/*/soft.csv -o submission.csv")
    lines.append(f"see them:    tensorboard --logdir {outputs}")
    return "\n".join(lines)


if __name__ == "__main__":
    main(sys.argv[1:])
