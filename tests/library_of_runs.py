"""Run folders as trials leave them, made of drawn probabilities: what blends, tables and reports are tested with."""

import json

import numpy as np

from predictions import write_hard, write_soft, write_validation
from task import one_hot

PEOPLE, PHOTOS, TESTS = 30, 4, 12
TEST_IDS = [f"{number}.jpg" for number in range(TESTS)]


def noisy(rng, labels, classes, skill):
    """Probabilities (N, classes): the more `skill`, the more of them on `labels`."""
    logits = rng.normal(0, 1, (len(labels), classes)) + skill * one_hot(labels, classes)
    powers = np.exp(logits)
    return powers / powers.sum(axis=1, keepdims=True)


def answers_of(seed=0, classes=4):
    """Labels of the validation photos and of the test photos, the same for every run of a seed."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, classes, PEOPLE * PHOTOS), rng.integers(0, classes, TESTS)


def make_run(folder, seed, labels, classes=4, skill=1.5, head="multi", fold=0, hash="abc", **changes):
    """Writes the run folder of a model with `skill` for answers_of() `labels`; returns its probabilities."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    names = [f"{head} {number}" for number in range(classes)]
    truth = one_hot(labels[0], classes) > 0
    config = {
        "parameters": {"lr": 0.001 * (seed + 1), "seed": 0, "data_dir": "gone"},
        "folds": {"hash": hash, "fold": fold},
        "heads": [{"name": head, "classes": names}],
        "prior": [1 / classes] * classes,
        "data": {},
    }
    probabilities = noisy(rng, labels[0], classes, skill)
    ids = [f"p{person}/{photo}.jpg" for person in range(PEOPLE) for photo in range(PHOTOS)]
    groups = [f"p{person}" for person in range(PEOPLE) for _ in range(PHOTOS)]
    write_validation(folder / "val_soft.csv", ids, np.full(len(ids), fold), groups, truth, truth, probabilities)
    test = noisy(rng, labels[1], classes, skill)
    write_soft(folder / "soft.csv", "ImageID", TEST_IDS, test)
    write_hard(folder / "hard.csv", "ImageID", "ans", TEST_IDS, test.argmax(axis=1))
    metrics = {"val_accuracy": float((probabilities.argmax(axis=1) == labels[0]).mean())}
    summary = {"status": "SUCCEEDED", "objective": "accuracy", "metrics": metrics, "seconds": 10.0}
    (folder / "config.json").write_text(json.dumps(config | changes))
    (folder / "summary.json").write_text(json.dumps(summary))
    return probabilities, test
