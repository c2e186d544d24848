"""The split's leak: what the same models are claimed to be worth by photo, by person, and what they are on new people.

    python benchmarks/leak.py DATA … [--folder outputs/leak] [--out benchmarks/leak.md] [options of train.py]

DATA is a data root that says which photos belong together. Its people are divided into five parts. Five models train on
three parts each; one part validates and one is held out of everything, in turns, so that everybody validates once and
is held out once. Of the people who train, a part of the photos is kept out too: those are what a split by photo
asks about. Each model answers for all three with the weights of the epoch that was best by person. Roots named as in
RECIPES have knobs of their own, to which the options are added. Finished runs in --folder are not trained again.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from real_photos import HOME, find_run
from sets import FACES, GLYPHS, LITE0, fetch_lite0

for room in ("baseline", "ensemble"):
    sys.path.insert(0, str(HOME / room))

from config import Config
from dataset import read
from folds import NEVER, WORDS, divide, fold_of_rows
from inference import predict
from judge import Interval, Metric, around, draw_people, resample
from metrics import METRICS
from order import Order
from predictions import read_validation, write_csv
from rules import restore
from samples import Data
from sources import load
from task import LIKELY, Task, one_hot

PARTS, PLACE_OF = 5, {0: "0", 1: "test_val"}  # the part that validates, and the one held out; others train
FIXED = "--photo_holdout .15 --metric macro_f1 --precision float32 --compile false"
CELLS = f"{LITE0} --resize 64 --epochs 4 --batch_size 32 --lr 1e-3"
RECIPES = {
    "mask18-utk": f"{FACES} --classification heads",
    "mask-real": f"{LITE0} --resize 112 --epochs 3 --batch_size 32 --lr 2e-3 --augmentation crop+flip",
    "malaria-patients": CELLS,
    "glyph4-multilabel": GLYPHS,
}
REMARKS = {"mask18-utk": "The seven photos of a person are one face with masks pasted on, so this leak is a large one."}
ASKED = ("by photo", "by person", "new people")
Choice = Callable[["Answers"], tuple[np.ndarray, np.ndarray]]  # what was decided and what is true, (N, k) bool each


@dataclass(frozen=True)
class Answers:
    """What was predicted of N photos: `probabilities` and `truth` (N, C), and whom they show."""

    probabilities: np.ndarray
    truth: np.ndarray  # bool
    groups: Sequence[str]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="+", help="data roots")
    parser.add_argument("--folder", type=Path, default=HOME / "outputs" / "leak", help="of the run folders")
    parser.add_argument("--out", type=Path, default=HOME / "benchmarks" / "leak.md")
    given, options = parser.parse_known_args()
    parts = []
    for root in given.data:
        if root.name not in RECIPES and "--model" not in options:
            parser.error(f"{root.name} is none of {', '.join(RECIPES)}: say how to train, --model … --epochs …")
        words = " ".join([*RECIPES.get(root.name, "").split(), *FIXED.split(), *options])
        try:
            parts.append(report(root, words, given.folder.resolve()))
        except ValueError as error:
            sys.exit(f"error: {error}")
    given.out.write_text("\n".join([*heading(), *(part[0] for part in parts), "", *(part[1] for part in parts)]) + "\n")
    print(given.out.read_text())


def report(root: Path, words: str, folder: Path) -> tuple[str, str]:
    """The rows of the table about the data root `root`; its recipe, and what was said after each epoch."""
    runs = [train(root, words, folder / root.name, turn) for turn in range(PARTS)]
    print(f"{root.name}: asking {len(runs)} models about people they know and people held out", flush=True)
    asked = [ask(run) for run in runs]
    answers = {name: join([one[name] for one, _ in asked]) for name in ASKED}
    rows = [row(root.name, what, choose, metric, answers) for what, choose, metric in measures(asked[0][1])]
    return "\n".join(rows), epochs(root.name, words, runs)


def train(root: Path, words: str, folder: Path, turn: int) -> Path:
    """The run folder of one turn, trained unless one of the same knobs and folds ended well. Raises ValueError."""
    folder.mkdir(parents=True, exist_ok=True)
    options = [*words.split(), "--data_dir", str(root.resolve()), "--fold_file", str(write_turn(root, folder, turn))]
    options += ["--name", folder.name, "--model_dir", str(folder.parent)]
    options += ["--split_seed", str(turn)]  # as the file says who is in which fold, it draws the photos kept out alone
    if "--pretrained" not in words:
        options += ["--weights", str(fetch_lite0(folder.parent))]
    wanted = load(options, {}, {})[0].values()
    if (run := find_run(folder, wanted)) is None:
        print(f"{root.name}, model {turn + 1} of {PARTS}", flush=True)
        subprocess.run([sys.executable, HOME / "baseline" / "train.py", *options, "--resume", "auto"], check=True)
        run = find_run(folder, wanted)
    return run


def write_turn(root: Path, folder: Path, turn: int) -> Path:
    """The fold file of a turn: part `turn` validates, the next one is held out. Raises ValueError without groups."""
    config = Config(data_dir=str(root), folds=PARTS)
    data = read(config.data_dir, config.dataset, config.values())
    if len(set(data.train.groups)) == len(data.train.ids):
        raise ValueError(f"nothing in {root} says which photos belong together, so no leak can be measured")
    places = [PLACE_OF.get((part - turn) % PARTS, "train") for part in fold_of_rows(config, data)]
    assert set(places) <= {"0", *WORDS}
    file = folder / f"turn-{turn}.csv"
    write_csv(file, {"id": data.train.ids, "fold": places})
    return file


def ask(run: Path) -> tuple[dict[str, Answers], Task]:
    """What the model of a run folder says of photos of people it trained on, of those that validated, of new ones."""
    data, predicted = predict(Order(run), lambda data, config, path: of_rows(data, kept(run, data)), "photos kept out")
    rows = kept(run, data)
    new = divide(restore(run / "config.json"), data).folds[rows] == NEVER
    truth, groups = data.truth[rows] > LIKELY, np.array(data.train.groups)[rows]
    found = read_validation(run / "val_soft.csv")
    answers = {
        "by photo": Answers(predicted.classes[~new], truth[~new], groups[~new]),
        "by person": Answers(found.probabilities, found.truth, found.groups),
        "new people": Answers(predicted.classes[new], truth[new], groups[new]),
    }
    return answers, data.task


def kept(run: Path, data: Data) -> np.ndarray:
    """The rows that neither trained nor validated, of people who trained and of others."""
    folds = divide(restore(run / "config.json"), data)
    return np.concatenate([folds.holdout, folds.test_val])


def of_rows(data: Data, rows: np.ndarray) -> tuple[list, list]:
    return tuple([values[row] for row in rows] for values in (data.train.ids, data.train.paths))


def join(answers: Sequence[Answers]) -> Answers:
    probabilities, truth = (np.concatenate([getattr(a, name) for a in answers]) for name in ("probabilities", "truth"))
    return Answers(probabilities, truth, [group for a in answers for group in a.groups])


def measures(task: Task) -> list[tuple[str, Choice, Metric]]:
    """What the table compares: all classes by both metrics, and each of several heads by itself."""

    def whole(answers: Answers) -> tuple[np.ndarray, np.ndarray]:
        return task.decide(answers.probabilities), answers.truth

    def of_head(part: slice) -> Choice:
        def choose(answers: Answers) -> tuple[np.ndarray, np.ndarray]:
            values, truth = (task.separate(v)[:, part] for v in (answers.probabilities, answers.truth.astype(float)))
            return one_hot(values.argmax(axis=1), values.shape[1]) > 0, truth > LIKELY

        return choose

    classes, exact = len(task.classes), METRICS["accuracy"]
    found = [
        (f"macro F1, {classes} classes", whole, METRICS["macro_f1"]),
        (f"accuracy, {classes} classes", whole, exact),
    ]
    heads = list(zip(task.heads, task.slices, strict=True)) if len(task.heads) > 1 else []
    return found + [(f"accuracy of {head.name}", of_head(part), exact) for head, part in heads]


def row(name: str, what: str, choose: Choice, metric: Metric, answers: dict[str, Answers]) -> str:
    """A line of the table: the three figures, and by how much the first two are above the third."""
    people = sorted({group for each in answers.values() for group in each.groups})
    drawn, values, draws = draw_people(people), {}, {}
    for kind, each in answers.items():
        decided, truth = choose(each)
        values[kind] = metric(decided, truth)
        draws[kind] = resample(metric, decided, truth, each.groups, drawn[:, np.isin(people, each.groups)])
    *claims, new = ASKED
    figures = [show(around(values[kind], draws[kind])) for kind in ASKED]
    excess = [show(around(values[kind] - values[new], draws[kind] - draws[new]), "+") for kind in claims]
    return f"| {name} | {what} | {' | '.join([*figures, *excess])} |"


def show(found: Interval, sign: str = "") -> str:
    return f"**{found.value:{sign}.3f}** ({found.low:{sign}.3f} to {found.high:{sign}.3f})"


def epochs(name: str, words: str, runs: Sequence[Path]) -> str:
    """A paragraph: the recipe, who was asked, and the mean of both validation accuracies after each epoch."""
    histories = [[json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()] for run in runs]
    told = {
        what: ", ".join(f"{np.mean([line[key] for line in lines]):.3f}" for lines in zip(*histories, strict=True))
        for what, key in (("by photo", "photo_split_accuracy"), ("by person", "val_accuracy"))
    }
    return (
        f"- {name}: `{words}`. Accuracy after each epoch, mean of the models: by photo {told['by photo']}; by person "
        f"{told['by person']}. {REMARKS.get(name, '')}".rstrip()
    )


def heading() -> list[str]:
    return [
        "# The split's leak",
        "",
        f"`python benchmarks/leak.py DATA …`: {PARTS} models for each set of photos, each trained on three fifths of",
        "the people; one fifth validates and one is held out of everything, in turns. The same weights answer three",
        "times: *by photo*, for photos of people they trained on, which were kept out (what a random split of photos",
        "claims); *by person*, for people who validated and so chose the epoch; *new people*, for those held out.",
        "Intervals are of 95 %, over people or groups, of the differences too.",
        "",
        "| photos | measure | by photo | by person | new people | by photo above new people | by person above them |",
        "|---|---|---|---|---|---|---|",
    ]


if __name__ == "__main__":
    main()
