"""Experiments as a night of trials leaves them, without the training: run folders with made-up predictions."""

import json

import numpy as np

from dataset import read
from predictions import write_validation
from task import one_hot, softmax

MULTI = {"classification": "multi", "age_boundaries": (30, 60)}


def write_trial(folder, root, quality=1.0, *, knobs=(), seed=0, head="multi", **summary):
    """A run folder whose trial knows `quality` of the truth, in logits, about the drawn photos at `root`."""
    data = read(str(root), "auto", MULTI | {"classification": head})
    rng = np.random.default_rng(seed)
    rows, size = range(len(data.train.ids)), data.task.size
    people = {person: rng.normal(size=size) for person in dict.fromkeys(data.train.groups)}
    chance = np.array([people[person] for person in data.train.groups]) + rng.normal(0, 0.8, (len(rows), size))
    probabilities = softmax(quality * data.train.target + chance)
    knobs = {"data_dir": str(root), "model": "tiny", "lr": 0.001, "epochs": 3, "optimizer": "Adam"} | dict(knobs)
    heads = [{"name": one.name, "classes": list(one.classes)} for one in data.task.heads]
    decided = one_hot(probabilities.argmax(axis=1), size) > 0
    accuracy = float((decided == data.train.target).all(axis=1).mean())
    metrics = {"val_accuracy": accuracy, "val_macro_f1": accuracy, "val_loss": 1.0}
    folder.mkdir(parents=True)
    folds = {"hash": "f01d", "fold": 0, "count": 2, "validation": len(rows)}
    write_json(folder / "config.json", {"parameters": knobs, "folds": folds, "heads": heads, "data": {}})
    done = {"status": "SUCCEEDED", "objective": "accuracy", "epochs": 3, "best_epoch": 2, "seconds": 60.0}
    write_json(folder / "summary.json", done | {"metrics": metrics} | summary)
    lines = [{"epoch": e, "val_accuracy": accuracy * e / 3, "val_macro_f1": accuracy * e / 4} for e in (1, 2, 3)]
    (folder / "history.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "hard.csv").write_text("ImageID,ans\na.jpg,0\n")
    truth = data.train.target > 0.5
    write_validation(
        folder / "val_soft.csv",
        data.train.ids,
        np.zeros(len(rows), int),
        data.train.groups,
        truth,
        truth,
        probabilities,
    )
    return folder


def write_night(experiment, root, trials=9):
    """Trials whose learning rate alone decides how good they are, and one that failed at once."""
    for number in range(trials):
        lr = 10 ** -(2 + 2 * number / max(1, trials - 1))
        knobs = {"lr": lr, "optimizer": ("Adam", "SGD")[number % 2], "resize": [64, 64 + 16 * (number % 3 == 0)]}
        quality = 4 - 2 * (np.log10(lr) + 3) ** 2
        write_trial(experiment / f"t{number:02d}", root, quality, knobs=knobs, seed=number)
    (experiment / "broken").mkdir()
    write_json(experiment / "broken" / "summary.json", {"status": "FAILED", "error": "no space left\nat line 7"})
    return experiment


def write_blend(
    experiment, root, fit="greedy", recommended=None, *, rule="plain", name=None, members=None, quality=4.2, **plan
):
    """A blend of the first three trials; `recommended`: as judged on people left out of its fit."""
    folder = write_trial(experiment / f"blend-{name or fit}", root, quality, seed=99)
    (folder / "history.jsonl").unlink()
    names = members or [f"{experiment.name}/t{number:02d}" for number in range(3)]
    weights = [1 / len(names)] * len(names) if fit == "equal" else [0.75, 0.25, 0.0]
    plan = {"fit": fit, "mean": "probability", "recombine": "product", "decide": rule, "temperature": False} | plan
    temperatures = [1.3 if plan["temperature"] else 1.0] * len(names)
    made = {"members": names, "plan": plan, "weights": weights, "temperatures": temperatures}
    change(folder, "config.json", parameters={}, blend=made | {"decision": {"name": rule}})
    if recommended:
        of = f"{fit} + {rule}" if rule != "plain" else fit
        rows = [
            {"name": name, "value": value, "low": value - 0.1, "high": value + 0.09}
            for name, value in (("best single", 0.803), ("equal", 0.812), (of, 0.834), ("convex", 0.827))
        ]
        low = -0.011 if recommended == "equal" else 0.004
        gain = {"of": of, "over": "equal", "value": 0.022, "low": low, "high": 0.053}

        judged = {"metric": "accuracy", "parts": 5, "people": 20, "rows": rows, "gain": gain}
        change(folder, "summary.json", judged=judged | {"recommended": recommended})
    return folder


def change(folder, name, **entries):
    write_json(folder / name, json.loads((folder / name).read_text()) | entries)


def write_json(path, content):
    path.write_text(json.dumps(content))
