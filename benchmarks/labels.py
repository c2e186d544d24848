"""What finding wrong labels is worth: labels are flipped, suspects.py finds some, and mending those gains a score.

    python benchmarks/labels.py DATA [--folder outputs/labels] [--only flips|flipped|suspects|corrected|clean|report]

DATA is a data root of faces. 5 % of the photos get another mask (incorrect and normal exchanged, mask to incorrect),
5 % of the people another gender and 5 % another age class, through a corrections.csv, so that trials train and
validate on wrong labels. Then: `flipped` trains on these, `suspects` ranks all labels, `corrected` trains once those
flips are mended that a reviewer meets in the first 10 % of the ranking, `clean` trains without flips; `report` writes
the table. Without --only all of it is done; trainings that ended well are not run again, others go on.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from real_photos import HOME, find_run
from sets import FACES, THREE, fetch_lite0

for room in ("baseline", "ensemble"):
    sys.path.insert(0, str(HOME / room))

from config import Config
from dataset import read
from judge import difference, interval
from members import Member, find_members
from metrics import METRICS
from notes import CORRECTIONS, digest, origin
from predictions import write_csv
from samples import Data
from sources import load
from task import Head, Task

RECIPE = f"{FACES} --classification heads {THREE} --metric macro_f1"
SHARE, LOOKS = 0.05, (0.05, 0.10)  # of labels flipped; of the ranking looked at, the last of them by the reviewer
MASKS = {"mask": "incorrect", "incorrect": "normal", "normal": "incorrect"}
STEPS = ("flips", "flipped", "suspects", "corrected", "clean", "report")
Flips = dict[tuple[str, str], str]  # the wrong value by field and photo, or by field and person


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--folder", type=Path, default=HOME / "outputs" / "labels", help="run folders, flips, suspects")
    parser.add_argument("--out", type=Path, default=HOME / "benchmarks" / "labels.md")
    parser.add_argument("--only", choices=STEPS, help="one step, once those before it are done")
    parser.add_argument("--seed", type=int, default=0, help="of the flips")
    parser.add_argument("--recipe", default=RECIPE, help="knobs of the three trainings (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads of a training; 0 takes all")
    given = parser.parse_args()
    folder = given.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    data = read(str(given.data), "auto", Config().values() | {"groups": "none", "corrections": "none"})
    flips = plant(data, given.seed)
    for step in STEPS if given.only is None else [given.only]:
        if step == "flips":
            write_notes(folder / "notes-flipped", data, flips)
            write_notes(folder / "notes-clean", data, {})
        elif step == "suspects":
            find_suspects(given.data, folder, trained(given, folder, "flipped"))
        elif step == "report":
            given.out.write_text(report(data, flips, folder, given))
            print(given.out.read_text())
        else:
            if step == "corrected":
                met = review(flips, read_suspects(folder), LOOKS[-1])
                write_notes(folder / "notes-corrected", data, {key: flips[key] for key in flips.keys() - met})
            train(given, folder, step)


def plant(data: Data, seed: int) -> Flips:
    """5 % of the photos' masks, of the people's genders and of their age classes, each drawn by itself."""
    rng = np.random.default_rng(seed)
    train, fields = data.train, {field.name: field for field in data.fields}
    of_person = {group: row for row, group in reversed(list(enumerate(train.groups)))}
    people = sorted(of_person)
    flips: Flips = {}
    for row in sorted(rng.choice(len(train.ids), round(SHARE * len(train.ids)), replace=False)):
        flips["mask", train.ids[row]] = MASKS[fields["mask"].values[row]]
    for name in ("gender", "age"):
        field = fields[name]
        for place in sorted(rng.choice(len(people), round(SHARE * len(people)), replace=False)):
            true = field.class_of(field.values[of_person[people[place]]])
            flips[name, people[place]] = str(rng.choice([other for other in field.classes if other != true]))
    return flips


def write_notes(folder: Path, data: Data, flips: Mapping[tuple[str, str], str]) -> None:
    """A folder for --notes_dir whose corrections.csv plants `flips`."""
    folder.mkdir(exist_ok=True)
    rows = [
        (key if field == "mask" else "", "" if field == "mask" else key, field, value, "planted")
        for (field, key), value in sorted(flips.items())
    ]
    rows.append(("", "", "data", origin(data), ""))
    write_csv(folder / "corrections.csv", dict(zip(CORRECTIONS, zip(*rows, strict=True), strict=True)))


def options_of(given: argparse.Namespace, folder: Path, step: str) -> list[str]:
    options = [*given.recipe.split(), "--data_dir", str(given.data.resolve()), "--groups", "none"]
    options += ["--notes_dir", str(folder / f"notes-{step}"), "--name", step, "--model_dir", str(folder)]
    if "--pretrained" not in given.recipe:
        options += ["--weights", str(fetch_lite0(folder))]
    return options


def train(given: argparse.Namespace, folder: Path, step: str) -> None:
    """Trains unless a trial of the same knobs and labels ended well; goes on with one that was stopped."""
    (folder / step).mkdir(exist_ok=True)
    options = options_of(given, folder, step)
    if find_run(folder / step, load(options, {}, {})[0].values()) is None:
        print(f"{step}: {given.recipe}", flush=True)
        extra = ["--threads", str(given.threads), "--resume", "auto"]
        subprocess.run([sys.executable, HOME / "baseline" / "train.py", *options, *extra], check=True)
    trained(given, folder, step)


def trained(given: argparse.Namespace, folder: Path, step: str) -> Member:
    """The trial of a step. Exits where there is none, or where it was trained on other labels."""
    run = find_run(folder / step, load(options_of(given, folder, step), {}, {})[0].values())
    if run is None:
        sys.exit(f"error: {folder / step} holds no finished trial of this recipe; run it with --only {step} first")
    member = find_members([run], with_blends=False)[0]
    if member.config["data"]["notes"]["corrections"]["hash"] != digest(folder / f"notes-{step}" / "corrections.csv"):
        sys.exit(f"error: {run} was trained on other flips; take another --folder for another --seed, or remove it")
    return member


def find_suspects(data: Path, folder: Path, flipped: Member) -> None:
    command = [sys.executable, HOME / "curate" / "suspects.py", flipped.path.resolve(), "--data_dir", data]
    subprocess.run([*command, "-o", folder / "suspects.csv"], check=True)


def read_suspects(folder: Path) -> list[tuple[str, str]]:
    """The ranking, as keys of flips."""
    path = folder / "suspects.csv"
    if not path.is_file():
        sys.exit(f"error: {path} is missing; run this with --only suspects first")
    with open(path) as file:
        return [(row["field"], row["path" if row["field"] == "mask" else "person"]) for row in csv.DictReader(file)]


def review(flips: Flips, ranking: Sequence[tuple[str, str]], share: float) -> set[tuple[str, str]]:
    """The flips that somebody meets who looks at the first `share` of the ranking."""
    return flips.keys() & set(ranking[: round(share * len(ranking))])


def rank_plainly(member: Member) -> list[tuple[str, str]]:
    """Keys of flips by the probability of the label of each photo and field, without a person's other photos."""
    found, task = member.validation, Task(tuple(Head(h["name"], tuple(h["classes"])) for h in member.config["heads"]))
    believed, truth = task.separate(found.probabilities), task.separate(found.truth.astype(float))
    scores, keys = [], []
    for head, part in zip(task.heads, task.slices, strict=True):
        scores.append((believed[:, part] * truth[:, part]).sum(axis=1))
        keys += [(head.name, key) for key in (found.ids if head.name == "mask" else found.groups)]
    return [keys[place] for place in np.argsort(np.concatenate(scores), kind="stable")]


def report(data: Data, flips: Flips, folder: Path, given: argparse.Namespace) -> str:
    ranking = read_suspects(folder)
    runs = {step: trained(given, folder, step) for step in ("flipped", "corrected", "clean")}
    plain = rank_plainly(runs["flipped"])
    met = review(flips, ranking, LOOKS[-1])
    people = len(set(data.train.groups))
    lines = [
        "# Wrong labels, found and mended",
        "",
        f"`python benchmarks/labels.py DATA`, seed {given.seed}: {given.recipe}",
        "",
        f"{len(data.train.ids)} photos of {people} people. {len(flips)} labels were flipped, {SHARE:.0%} each of the",
        "photos' masks, the people's genders and their ages, and a trial trained and validated on them. suspects.py",
        "ranks all labels; a plain ranking, by the probability of each photo's label alone, is read for as many looks.",
        "",
        *recall_table(flips, ranking, plain),
        "",
        f"A reviewer who looks at the first {LOOKS[-1]:.0%} ({round(LOOKS[-1] * len(ranking))} labels) meets and mends "
        f"{len(met)} of the {len(flips)} flips.",
        "Out of fold, all photos, against the true labels:",
        "",
        *score_table(runs),
        "",
        "Intervals are of 95 %, over people; they do not hold what another --seed of the training would change.",
    ]
    return "\n".join(lines) + "\n"


def recall_table(flips: Flips, ranking: Sequence[tuple[str, str]], plain: Sequence[tuple[str, str]]) -> list[str]:
    heads = [f"first {share:.0%}" for share in LOOKS]
    lines = [
        f"| labels | judged | flipped | {' | '.join(heads)} | {' | '.join(f'plain, {head}' for head in heads)} |",
        f"|---|--:|--:|{'--:|' * 4}",
    ]
    for field in ("mask", "gender", "age", "all"):
        own = {key for key in flips if field in (key[0], "all")}
        judged = sum(field in (name, "all") for name, _ in ranking)
        cells = []
        for order in (ranking, plain):
            for share in LOOKS:
                looked = set(order[: round(share * len(ranking))])
                cells.append(f"{len(own & looked)} ({len(own & looked) / max(1, len(own)):.0%})")
        lines.append(f"| {field} | {judged} | {len(own)} | {' | '.join(cells)} |")
    chance = " | ".join(f"{share:.0%}" for share in LOOKS)
    return [*lines, f"| by chance | | | {chance} | | |"]


def score_table(runs: Mapping[str, Member]) -> list[str]:
    """Macro F1 of each training over the same out-of-fold photos, and what it gained on the flipped one."""
    metric, first = METRICS["macro_f1"], runs["flipped"].validation
    place = {photo: row for row, photo in enumerate(first.ids)}
    decided = {}
    for step, member in runs.items():
        found = member.validation
        assert set(found.ids) == place.keys(), f"{step} validated other photos"
        answers = np.empty_like(first.given)
        answers[[place[photo] for photo in found.ids]] = np.eye(answers.shape[1], dtype=bool)[
            found.probabilities.argmax(axis=1)
        ]
        decided[step] = answers
    lines = ["| trained on | wrong labels | macro F1 | gain over the flipped ones |", "|---|--:|---|---|"]
    names = {"flipped": "flipped labels", "corrected": "after the review", "clean": "labels as they came"}
    for step, answers in decided.items():
        wrong = json.loads((runs[step].path / "config.json").read_text())["data"]["notes"]["corrections"]["photos"]
        score = interval(metric, answers, first.given, first.groups)
        gain = difference(metric, answers, decided["flipped"], first.given, first.groups)
        told = "" if step == "flipped" else f"{gain.value:+.4f} ({gain.low:+.4f} to {gain.high:+.4f})"
        lines.append(f"| {names[step]} | {wrong} photos | {score} | {told} |")
    return lines


if __name__ == "__main__":
    main()
