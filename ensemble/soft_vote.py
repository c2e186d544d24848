"""Blends saved soft predictions into a submission.

    python ensemble/soft_vote.py outputs/*/*/soft.csv -o submission.csv       all equally
    python ensemble/soft_vote.py outputs/EXPERIMENT --fit -o submission.csv   weights fitted on validation predictions

Files of the same classes are averaged; files of separate mask, gender and age models are averaged per head and
recombined. Rows are matched by id, in the order of the first file. Run folders also get a blend's run folder,
outputs/EXPERIMENT/blend-NAME. What is fitted is judged on people that it was not fitted on.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "baseline"))

from blend import Tested, choose_folder, representative, write_blend
from config import Config
from dataset import locate, read
from decisions import DECISIONS
from leaks import Twin, find_leaks, labels_of, leak_twin, twin_of
from library import Library, read_library
from means import MEANS
from members import HEADS, WHOLE, Member
from metrics import METRICS
from nested import Judgement, judge
from progress import Progress
from recipe import Plan, Recipe, teach
from rules import restore
from soft_files import SoftFile, check_heads, check_weights, gather, holds_classes
from tables import show_judgement, show_weights
from votes import predict, validate
from weights import FITTERS

AUTO = "auto"


def main(argv: list[str]) -> None:
    given = parse(argv)
    try:
        vote(given)
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")


def vote(given: argparse.Namespace) -> None:
    """Reads everything, then writes. Raises ValueError naming the file and the id that do not fit."""
    began = time.monotonic()
    files = gather(given)
    check_targets([given.output, *filter(None, [given.soft])], [file.path for file in files])
    plan = plan_of(given, files)
    members = [file.member for file in files if file.member]
    if len(members) == len(files):
        whole = next((len(member.classes) for member in members if member.head == WHOLE), 0)
        check_heads([member.head for member in members], [member.name for member in members], whole)
    recipe = judgement = library = None
    if plan.learns:
        library = read_library(check_members(members, files))
        recipe, judgement = fit(plan, library)
        show_weights(recipe, members)
    tested, recipe = predict(files, recipe or plan)
    twin = find_known_twin(given, members, tested) if tested else None
    if len(members) == len(files):
        validated = validate(members, recipe, library, judgement)
        folder = choose_folder(members[0].path.parent, given.name, members, recipe.plan)
        judged = judgement.described() if judgement else {}
        write_blend(folder, members, recipe, validated, tested, twin, judged, time.monotonic() - began)
        print(f"{folder}: the blend's run folder")
    else:
        print("no run folder for the blend: not all files lie in run folders")
    if tested is None:
        print("no submission: there are no test predictions to blend")
        return
    write_submission(given, tested, twin, len(files))


def parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="soft_vote.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("files", nargs="*", type=Path, help="soft CSVs, run folders, or experiment folders")
    for head in HEADS:
        add(f"--{head}", nargs="+", type=Path, default=[], metavar="FILE", help=f"soft CSVs of {head} models")
    add(
        "--weights",
        nargs="+",
        type=float,
        metavar="W",
        help="one per file, in the order files, mask, gender, age (default: equal)",
    )
    add_fit_options(add)
    add("--with_blends", "--with-blends", action="store_true", help="blend blends too")
    add("--leaks", type=Path, metavar="FILE", help="leaks.csv (default: the one beside the data, if there is one)")
    add("--data_dir", "--data-dir", help="data root with leaks.csv, where it is not the one that the trials read")
    add("--name", help="of the blend's run folder (default: how it was made)")
    add("-o", "--output", type=Path, default=Path("submission.csv"), help="(default: %(default)s)")
    add("--soft", type=Path, metavar="FILE", help="also write the blended probabilities, to blend again")
    return parser.parse_args(argv)


def add_fit_options(add: Callable[..., Any]) -> None:
    """What is averaged, and what is learnt from validation predictions."""
    add(
        "--fit",
        nargs="?",
        const=AUTO,
        choices=[AUTO, *FITTERS.entries],
        help="fit the weights on val_soft.csv: greedy raises the metric, convex lowers the log loss; auto (or no word) "
        "tries both, and takes the equal blend where they are not better on left-out people beyond noise; stands after "
        "the files",
    )
    add("--mean", choices=list(MEANS.entries), default="probability", help="what is averaged (default: %(default)s)")
    add(
        "--temperature",
        action="store_true",
        help="first make each model as sure as it is right on its validation photos",
    )
    add(
        "--decide",
        choices=list(DECISIONS.entries),
        default="plain",
        help="from probabilities to answers: prior and thresholds are fitted for the metric (default: %(default)s)",
    )
    add(
        "--recombine",
        choices=("product", "argmax"),
        default="product",
        help="mask, gender and age to 18 classes (default: %(default)s)",
    )
    add("--metric", choices=list(METRICS.entries), help="what is fitted for (default: what the trials were chosen by)")
    add("--rounds", type=positive, default=50, help="greedy: models added, one after another (default: %(default)s)")
    add("--bags", type=positive, default=10, help="greedy: fits on random halves of the models (default: %(default)s)")
    add("--seed", type=int, default=0, help="greedy: of the random halves (default: %(default)s)")


def positive(text: str) -> int:
    if not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)


def check_targets(targets: list[Path], sources: list[Path]) -> None:
    """Raises ValueError for a folder that is not there, and where soft predictions would be lost."""
    known = {source.resolve() for source in sources}
    for target in targets:
        if not target.parent.is_dir():
            raise ValueError(f"{target}: there is no folder {target.parent}")
        if target.is_dir():
            raise ValueError(f"{target} is a folder; name a file in it")
        if target.resolve() in known or targets.count(target) > 1:
            raise ValueError(f"{target} would be written over; name another file with -o or --soft")
        if target.name == "val_soft.csv":
            raise ValueError(f"{target} is a trial's validation predictions; name another file with -o or --soft")
    output = targets[0]
    if output.is_file() and holds_classes(output):
        raise ValueError(f"{output} holds soft predictions that a submission would replace; name another file with -o")


def plan_of(given: argparse.Namespace, files: Sequence[SoftFile]) -> Plan:
    """Raises ValueError where the options contradict each other."""
    if given.weights and given.fit:
        raise ValueError("--weights gives the weights that --fit would fit; drop one of them")
    if given.name and (given.name != Path(given.name).name or given.name in (".", "..")):
        raise ValueError(f"--name {given.name!r} names a folder beside the trials, so it has no / and is not ..")
    if len(files) == 1:
        print(f"note: {files[0].name} is the only file, so there is nothing to blend", flush=True)
    objectives = [file.member.summary.get("objective") for file in files if file.member]
    return Plan(
        fit=given.fit or ("given" if given.weights else "equal"),
        metric=given.metric or next((name for name in objectives if name in METRICS.entries), "macro_f1"),
        mean=given.mean,
        recombine=given.recombine,
        decide=given.decide,
        temperature=given.temperature,
        rounds=given.rounds,
        bags=given.bags,
        seed=given.seed,
        given=check_weights(given.weights, len(files)) if given.weights else None,
    )


def check_members(members: Sequence[Member], files: Sequence[SoftFile]) -> Sequence[Member]:
    """Raises ValueError where a file lies in no run folder, which a fit learns from."""
    if loose := [file for file in files if not file.member]:
        raise ValueError(
            f"{loose[0].path} lies in no run folder; a fit, a temperature and a decision are learnt from the "
            "val_soft.csv and config.json beside soft.csv"
        )
    return members


def fit(plan: Plan, library: Library) -> tuple[Recipe, Judgement]:
    """The recipe to use, learnt from all people, and what such recipes are worth on people left out of the fit."""
    equal = replace(plan, fit="equal", temperature=False, decide="plain", given=None)
    single = Plan("best single", plan.metric, recombine=plan.recombine)
    asked = [replace(plan, fit=name) for name in FITTERS.entries] if plan.fit == AUTO else [plan]
    judgement = judge([equal, single, *asked], asked, library)
    show_judgement(judgement)
    chosen = judgement.held[judgement.recommended if plan.fit == AUTO else judgement.of].plan
    if chosen == equal and (plan.temperature or plan.decide != "plain"):
        print("--temperature and --decide are not used; --fit greedy or --fit convex insists on them", flush=True)
    watch = Progress("fitting on all people", chosen.rounds * chosen.bags, "rounds")
    recipe = teach(chosen, library, lambda now, total: watch.show(now))
    return recipe, judgement


def find_known_twin(given: argparse.Namespace, members: Sequence[Member], tested: Tested) -> Twin | None:
    """find_twin(), or a line that says why there is none, unless --leaks asks for it: the submission does not wait."""
    try:
        return find_twin(given, members, tested)
    except ValueError as error:
        if given.leaks:
            raise
        print(f"note: no second submission, as {error}", flush=True)
        return None


def find_twin(given: argparse.Namespace, members: Sequence[Member], tested: Tested) -> Twin | None:
    """The answers that labelled photos give, where leaks.csv is known: the one given, or the one beside the data."""
    if not members:
        if given.leaks:
            raise ValueError("--leaks needs the labelled photos; blend run folders, whose config.json names the data")
        return None
    config = restore(representative(members).path / "config.json")
    root = Path(given.data_dir or config.data_dir).expanduser()
    if not root.is_dir():
        if given.leaks or given.data_dir:
            raise ValueError(f"the labelled photos are not at {root}; name the data root with --data_dir")
        print(f"note: {root} is not on this machine, so no leaks.csv is known (--data_dir names it)", flush=True)
        return None
    config = with_notes(config, given.data_dir)
    leaks = given.leaks or find_leaks(Path(config.notes_dir) if config.notes_dir else locate(str(root)))
    if leaks is None:
        return None
    knobs = replace(config, classification="multi", age_boundaries=Config().age_boundaries)  # what answers mean
    return leak_twin(leaks, tested.ids, tested.decided, labels_of(read(str(root), config.dataset, knobs.values())))


def with_notes(config: Config, data_dir: Path | None) -> Config:
    """`config` with notes that can be read here: the trial's own, or those beside the data that --data_dir names."""
    places = [place for place in (config.groups, config.corrections) if place not in ("auto", "none")]
    if data_dir or any(not Path(place).exists() for place in places):
        return replace(config, notes_dir="", groups="auto", corrections="auto")
    if config.notes_dir and not Path(config.notes_dir).is_dir():
        print(f"note: {config.notes_dir} is not on this machine; notes beside the data are taken", flush=True)
        return replace(config, notes_dir="")
    return config


def write_submission(given: argparse.Namespace, tested: Tested, twin: Twin | None, files: int) -> None:
    if given.soft:
        tested.write_soft(given.soft)
    tested.write_hard(given.output)
    rows, classes = tested.probabilities.shape
    print(f"{given.output}: {rows} rows, {classes} classes, from {files} files")
    stale = twin_of(given.output)
    if twin:
        print(f"{tested.write_twin(given.output, twin)}: {twin}")
    elif stale.is_file():
        stale.unlink()
        print(f"{stale} was of an earlier submission, and is removed")


if __name__ == "__main__":
    main(sys.argv[1:])
