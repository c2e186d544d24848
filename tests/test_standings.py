import json

import numpy as np
import pytest
from sklearn.metrics import f1_score

from judge import difference
from members import find_members
from metrics import METRICS
from predictions import write_validation
from standings import is_fitted, measure, sections_of

PEOPLE, PHOTOS = 20, 6
GROUPS = [f"p{number:02d}" for number in range(PEOPLE) for _ in range(PHOTOS)]
IDS = [f"{group}/{number}.jpg" for number, group in enumerate(GROUPS)]
LABELS = np.random.default_rng(0).integers(0, 3, len(IDS))


def answers(right, seed):
    """Probabilities (N, 3) whose arg-max is right for about a share of the rows."""
    rng = np.random.default_rng(seed)
    said = np.where(rng.random(len(IDS)) < right, LABELS, rng.integers(0, 3, len(IDS)))
    return np.eye(3)[said] * 0.7 + 0.1


def make_run(folder, right=0.7, seed=1, *, labels=LABELS, order=None, summary=None, folds=None, head="multi", **config):
    folder.mkdir(parents=True)
    folds = {"hash": "aa", "fold": 0, "validation": len(IDS)} | (folds or {})
    told = {"parameters": {"lr": 0.1}, "folds": folds, "heads": [{"name": head, "classes": ["a", "b", "c"]}]} | config
    (folder / "config.json").write_text(json.dumps(told))
    done = {"status": "SUCCEEDED", "objective": "macro_f1", "epochs": 5, "best_epoch": 4} | (summary or {})
    (folder / "summary.json").write_text(json.dumps(done))
    rows = np.arange(len(IDS)) if order is None else order
    truth = np.eye(3)[labels[rows]] > 0
    where = [[values[row] for row in rows] for values in (IDS, GROUPS)]
    write_validation(
        folder / "val_soft.csv", where[0], np.zeros(len(rows), int), where[1], truth, truth, answers(right, seed)[rows]
    )
    return folder


def sections(tmp_path, metric="macro_f1"):
    members = find_members([tmp_path / "exp"], with_blends=True)
    return sections_of([measure(member) for member in members], metric)


def by_name(section):
    return {one.member.path.name: one for one in section.standings}


def test_scores_are_those_of_scikit_learn_and_lie_in_their_intervals(tmp_path):
    make_run(tmp_path / "exp" / "a")
    (section,) = sections(tmp_path)
    said = answers(0.7, 1).argmax(axis=1)
    score = section.standings[0].scores["macro_f1"]
    assert score.value == pytest.approx(f1_score(LABELS, said, average="macro"))
    assert section.standings[0].scores["accuracy"].value == pytest.approx((said == LABELS).mean())
    assert score.low < score.value < score.high


def test_several_labels_at_once_are_decided_at_one_half(tmp_path):
    folder = make_run(tmp_path / "exp" / "a")
    truth = np.eye(3)[LABELS] > 0
    write_validation(
        folder / "val_soft.csv", IDS, np.zeros(len(IDS), int), GROUPS, truth, truth, np.where(truth, 0.5, 0.49), False
    )
    (member,) = find_members([folder], with_blends=True)
    assert measure(member).scores["macro_f1"].value == 1


def test_the_best_stands_first_and_equal_ones_share_a_rank(tmp_path):
    for name, right, seed in (("bad", 0.2, 1), ("good", 0.9, 2), ("twin", 0.9, 2)):
        make_run(tmp_path / "exp" / name, right, seed)
    (section,) = sections(tmp_path)
    assert [(one.member.path.name, one.rank) for one in section.standings] == [("good", 1), ("twin", 1), ("bad", 3)]


def test_ties_are_those_of_the_paired_difference_whatever_the_order_of_rows(tmp_path):
    order = np.random.default_rng(5).permutation(len(IDS))
    rights = {"best": 0.8, "near": 0.74, "far": 0.3}
    for seed, (name, right) in enumerate(rights.items()):
        make_run(tmp_path / "exp" / name, right, seed, order=order if name == "near" else None)
    found = by_name(sections(tmp_path)[0])
    decided = {name: np.eye(3)[answers(right, seed).argmax(1)] > 0 for seed, (name, right) in enumerate(rights.items())}
    for name in ("near", "far"):
        apart = difference(METRICS["macro_f1"], decided["best"], decided[name], np.eye(3)[LABELS] > 0, GROUPS)
        assert found[name].tied == (apart.low <= 0)
    assert (found["best"].tied, found["near"].tied, found["far"].tied) == (False, True, False)


def test_heads_folds_and_labels_that_differ_are_not_ranked_together(tmp_path):
    make_run(tmp_path / "exp" / "a")
    make_run(tmp_path / "exp" / "b")
    make_run(tmp_path / "exp" / "gender", head="gender")
    make_run(tmp_path / "exp" / "fold", folds={"fold": 1})
    make_run(tmp_path / "exp" / "hash", folds={"hash": "bb"})
    corrected = np.where(np.arange(len(IDS)) == 7, (LABELS + 1) % 3, LABELS)
    make_run(tmp_path / "exp" / "corrected", labels=corrected)
    found = sections(tmp_path)
    together = [sorted(by_name(section)) for section in found]
    assert together == [["a", "b"], ["corrected"], ["fold"], ["hash"], ["gender"]]
    assert found[0].title == "whole models, fold 0 of folds aa, 120 photos of 20 people"
    assert found[1].title == found[0].title + "; not the same photos, people or labels as above"
    assert found[-1].title.startswith("gender models")


def test_failed_trials_stand_last_without_a_rank_beside_their_own_fold(tmp_path):
    failed = make_run(tmp_path / "exp" / "a-failed", 0.95, summary={"status": "FAILED", "error": "loss is NaN\nx"})
    make_run(tmp_path / "exp" / "b")
    early = tmp_path / "exp" / "c-early"
    early.mkdir()
    (early / "summary.json").write_text('{"status": "FAILED", "error": "unknown model"}')
    section, unknown = sections(tmp_path)
    assert [one.member.path.name for one in section.standings] == ["b", "a-failed"]
    assert by_name(section)["a-failed"].rank is None
    assert by_name(section)["b"].rank == 1
    (failed / "val_soft.csv").unlink()
    assert [one.member.path.name for one in sections(tmp_path)[0].standings] == ["b", "a-failed"]
    assert unknown.title == "ended before their folds were known"
    assert unknown.standings[0].problem == ""


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda text: text[: len(text) // 2].rsplit("\n", 1)[0] + "\n", "photos, but the trial validated 120"),
        (lambda text: text.replace("0.8,", "nan,", 1), "is not a finite number"),
        (lambda text: "", "is not a CSV"),
        (lambda text: text.replace("group", "person", 1), "lacks the column group"),
        (None, "val_soft.csv is missing"),
    ],
)
def test_a_damaged_file_is_told_in_its_row_and_the_others_stay(tmp_path, change, says):
    folder = make_run(tmp_path / "exp" / "a")
    make_run(tmp_path / "exp" / "b", 0.6)
    text = (folder / "val_soft.csv").read_text()
    (folder / "val_soft.csv").unlink()
    if change:
        (folder / "val_soft.csv").write_text(change(text))
    found = by_name(sections(tmp_path)[0])
    assert says in found["a"].problem
    assert not found["a"].scores
    assert found["a"].rank is None
    assert found["b"].rank == 1


def blend(fit, *, temperatures=(1, 1), **plan):
    plan = {"fit": fit, "mean": "probability", "recombine": "product", "decide": "plain", "temperature": False} | plan
    return {"members": ["exp/a", "exp/b"], "weights": [0.5, 0.5], "temperatures": temperatures, "plan": plan}


@pytest.mark.parametrize(
    ("made", "fitted"),
    [
        (blend("equal"), False),
        (blend("given"), False),
        (blend("equal", temperature=True), True),
        (blend("equal", decide="thresholds"), True),
        (blend("greedy"), True),
    ],
)
def test_a_blend_is_fitted_where_anything_in_it_was_learnt(tmp_path, made, fitted):
    make_run(tmp_path / "exp" / "blend", blend=made)
    (member,) = find_members([tmp_path / "exp"], with_blends=True)
    assert is_fitted(member) == fitted


def test_a_blend_with_a_fitted_decision_has_the_score_it_reached_on_people_left_out(tmp_path):
    names = {"equal": 0.9, "greedy": 0.8, "greedy + temperature + prior": 0.55, "convex + prior": 0.7}
    rows = [{"name": name, "value": value, "low": value - 0.1, "high": value + 0.1} for name, value in names.items()]
    judged = {"judged": {"metric": "macro_f1", "rows": rows}}
    make_run(tmp_path / "exp" / "a", 0.6)
    make_run(tmp_path / "exp" / "blend-rule", 1, blend=blend("greedy", decide="prior"), summary=judged)
    make_run(tmp_path / "exp" / "blend-unknown", 1, blend=blend("greedy", decide="thresholds"))
    make_run(tmp_path / "exp" / "blend-greedy", 0.9, blend=blend("greedy"), summary=judged)
    (section,) = sections(tmp_path)
    found = by_name(section)
    assert {name: one.value for name, one in found["blend-rule"].scores.items()} == {"macro_f1": 0.55}
    assert (found["blend-rule"].rank, found["blend-rule"].tied) == (3, False)
    assert (found["blend-unknown"].rank, found["blend-unknown"].scores) == (None, {})
    right = (answers(0.9, 1).argmax(axis=1) == LABELS).mean()
    assert found["blend-greedy"].scores["accuracy"].value == pytest.approx(right)
    assert section.reference.member.path.name == "blend-greedy"
