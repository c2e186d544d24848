"""What became of earlier trials: run folders and trials.jsonl, of this search space or of another."""

import json
import math

import pytest

from sampling.past import Past, find_past, from_line, searched
from sampling.space import read_space
from tuner import OptunaTuner

CLASSES = [["young", "old"]]


def run(folder, knobs=(), *, status="SUCCEEDED", objective=0.5, curve=(), classes=CLASSES, metric="accuracy"):
    """A run folder as a trial leaves it, its photos and weights aside."""
    folder.mkdir(parents=True)
    heads = [{"name": "age", "classes": names} for names in classes]
    parameters = {"metric": metric, "lr": 0.01, "resize": [64, 64]} | dict(knobs)
    (folder / "config.json").write_text(json.dumps({"parameters": parameters, "heads": heads}))
    metrics = {f"val_{metric}": objective, "val_loss": 1.0} if objective is not None else {}
    (folder / "summary.json").write_text(json.dumps({"status": status, "metrics": metrics}))
    if curve:
        rows = [{"epoch": epoch, f"val_{metric}": value, "val_loss": 9.0} for epoch, value in enumerate(curve, 1)]
        (folder / "history.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def line(name, status, **entries):
    return {"id": name, "number": 0, "parameters": {}, "status": status, "objective": None, "started": ""} | entries


def write_lines(folder, *lines):
    (folder / "trials.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in lines))


def what(pasts):
    return [(past.status, past.objective, past.curve) for past in pasts]


def test_the_run_folders_of_an_experiment_are_its_history(tmp_path):
    run(tmp_path / "outputs/exp/a", {"lr": 0.1}, objective=0.75, curve=(0.5, 0.75))
    run(tmp_path / "outputs/exp/b", status="EARLY_STOPPED", objective=0.25, curve=(0.25,))
    run(tmp_path / "outputs/exp/c", status="FAILED", objective=None)
    run(tmp_path / "outputs/exp/d", status="RUNNING")
    run(tmp_path / "outputs/exp/e", status="INTERRUPTED", curve=(0.9,))
    run(tmp_path / "outputs/exp/blend-greedy")
    pasts = find_past(["outputs/*"], tmp_path)
    assert what(pasts) == [("SUCCEEDED", 0.75, (0.5, 0.75)), ("EARLY_STOPPED", 0.25, (0.25,)), ("FAILED", None, ())]
    assert pasts[0].knobs["lr"] == 0.1
    assert pasts[0].where == str(tmp_path / "outputs/exp/a")


def test_a_trial_run_by_hand_counts_by_its_own_folder_and_among_others(tmp_path):
    single = run(tmp_path / "outputs/single/20260101", objective=0.75)
    for pattern in ("outputs/single/20260101", "outputs/*", str(single), str(tmp_path / "out*/*/2026*")):
        assert what(find_past([pattern], tmp_path)) == [("SUCCEEDED", 0.75, ())]


def test_a_folder_that_two_patterns_name_counts_once_and_one_may_be_passed_over(tmp_path):
    run(tmp_path / "outputs/one/a")
    run(tmp_path / "outputs/two/b")
    assert len(find_past(["outputs/*", "outputs/one", "outputs/one/a"], tmp_path)) == 2
    (past,) = find_past(["outputs/*"], tmp_path, but=tmp_path / "outputs/two")
    assert past.where.endswith("one/a")


def test_trials_jsonl_knows_more_than_the_folder_of_a_killed_trial(tmp_path):
    run(tmp_path / "exp/killed", status="RUNNING", objective=0.5, curve=(0.5, 0.25))
    run(tmp_path / "exp/folds", status="INTERRUPTED", objective=None)
    run(tmp_path / "exp/goes on", status="FAILED")
    write_lines(
        tmp_path / "exp",
        line("killed", "EARLY_STOPPED", intermediate=[0.5]),
        line("folds", "EARLY_STOPPED", intermediate=[0.75, None, 0.625]),
        line("goes on", "RUNNING"),
        line("never came", "SUCCEEDED", objective=0.9),
    )
    found = {past.where.rpartition("/")[2]: past for past in find_past(["exp"], tmp_path)}
    assert found.keys() == {"killed", "folds"}
    assert found["killed"].curve == (0.5, 0.25)
    assert found["folds"].curve == pytest.approx((0.75, math.nan, 0.625), nan_ok=True)  # each at its place


def test_a_line_of_trials_jsonl_is_a_trial_with_flat_knobs():
    entry = line("t", "EARLY_STOPPED", parameters={"a": {"_name": "x", "b": 1}}, intermediate=[0.5, "bad", 1])
    assert from_line(entry) == Past({"a": "x", "b": 1}, "EARLY_STOPPED", None, (0.5, 1), "t")


@pytest.mark.parametrize("pattern", ["outputs/*", "outputs/exp", "nowhere", "outputs/exp/notes.txt"])
def test_where_no_run_folder_is_the_history_is_refused(tmp_path, pattern):
    (tmp_path / "outputs/exp/empty").mkdir(parents=True)
    (tmp_path / "outputs/exp/notes.txt").write_text("x")
    write_lines(tmp_path / "outputs/exp", line("a", "SUCCEEDED", objective=0.5))  # of which task?
    run(tmp_path / "good/a")
    with pytest.raises(ValueError, match=r"no run folder of an ended trial is there; collect.py brings them") as error:
        find_past(["good", pattern], tmp_path)
    assert str(error.value).startswith(f"history {pattern}: ")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"classes": [["young", "old", "older"]]}, "accuracy of 3 classes"),
        ({"classes": [["cat", "dog"]]}, "accuracy of 2 classes"),
        ({"classes": [*CLASSES, ["red", "blue"]]}, "accuracy of 2 and 2 classes"),
        ({"metric": "macro_f1"}, "macro_f1 of 2 classes"),
    ],
)
def test_trials_of_two_tasks_are_refused_with_both_their_names(tmp_path, changes, words):
    one, other = run(tmp_path / "one/a"), run(tmp_path / "two/b", **changes)
    run(tmp_path / "one/c")
    with pytest.raises(ValueError, match="^history holds two tasks: ") as error:
        find_past(["one", "two"], tmp_path)
    assert f"{other} ({words}); name one" in str(error.value)
    assert f"{one.parent}/" in str(error.value)


def test_a_broken_history_is_refused_by_its_folder(tmp_path):
    folder = run(tmp_path / "exp/a", curve=(0.5,))
    (folder / "history.jsonl").write_text('{"epoch": 1, "val_accuracy": 0.5}\n{"epo')
    with pytest.raises(ValueError, match=r"exp/a/history.jsonl cannot be read .*; remove that folder"):
        find_past(["exp"], tmp_path)
    (folder / "history.jsonl").write_text('{"epoch": 1, "val_macro_f1": 0.5}\n')
    with pytest.raises(ValueError, match=r"exp/a/history.jsonl cannot be read \(KeyError\('val_accuracy'\)\)"):
        find_past(["exp"], tmp_path)


@pytest.mark.parametrize(
    ("spec", "trained", "found"),
    [
        (("choice", [64, 96]), [64, 64], 64),
        (("choice", [64, 96]), [64, 96], [64, 96]),
        (("choice", ["64 96", "64"]), [64, 96], "64 96"),
        (("choice", [[64, 96]]), [64, 96], [64, 96]),
        (("randint", [32, 128]), [96, 96], 96),
        (("quniform", [32, 128, 32]), [96, 96], 96.0),
        (("choice", [64, 96]), [128, 128], [128, 128]),
    ],
)
def test_a_resize_of_64_is_the_64_64_that_the_trial_wrote(spec, trained, found):
    space = read_space({"resize": dict(zip(("_type", "_value"), spec, strict=True))})
    assert searched(space, {"resize": trained, "lr": 0.1}) == {"resize": found, "lr": 0.1}


def test_a_knob_that_several_choices_have_is_read_by_the_one_that_has_its_value():
    resize = {name: {"_type": "choice", "_value": sizes} for name, sizes in (("a", [64, 128]), ("b", [300, 380]))}
    options = [{"_name": name, "resize": spec} for name, spec in resize.items()]
    space = read_space({"model": {"_type": "choice", "_value": options}})
    assert searched(space, {"model": "a", "resize": [64, 64]}) == {"model": "a", "resize": 64}
    assert searched(space, {"model": "b", "resize": [380, 380]}) == {"model": "b", "resize": 380}


def test_words_for_numbers_are_these_numbers():
    space = read_space({"batch_size": {"_type": "choice", "_value": ["16", "32"]}})
    assert searched(space, {"batch_size": 32}) == {"batch_size": "32"}


def test_of_a_changed_space_what_fits_is_used_and_the_rest_is_counted(tmp_path, monkeypatch, caplog):
    monkeypatch.delenv("NNI_LOG_DIRECTORY", raising=False)
    caplog.set_level("INFO", "nni.podium")
    run(tmp_path / "exp/a", {"lr": 0.01, "resize": [64, 64]}, objective=0.75)
    run(tmp_path / "exp/b", {"lr": 0.01, "resize": [96, 96]}, status="EARLY_STOPPED", curve=(0.25, 0.5, 0.375))
    run(tmp_path / "exp/c", {"lr": 0.01}, status="FAILED", objective=None)
    run(tmp_path / "exp/d", {"lr": 5.0}, objective=0.9)
    run(tmp_path / "exp/e", {"lr": 6.0}, objective=0.9)
    run(tmp_path / "exp/f", {"lr": 0.01, "resize": [64, 96]}, objective=0.9)
    run(tmp_path / "exp/g", {"lr": 0.02}, objective=0.25)
    own = OptunaTuner(history=str(tmp_path / "exp"))
    own.update_search_space(
        {"lr": {"_type": "loguniform", "_value": [0.001, 1]}, "resize": {"_type": "choice", "_value": [64, 96, 128]}}
    )
    known = [(trial.state.name, trial.value, trial.params) for trial in own.pool.study.trials]
    assert sorted(known, key=str) == [
        ("COMPLETE", 0.25, {"lr": 0.01, "resize": 0}),  # the one that failed
        ("COMPLETE", 0.25, {"lr": 0.02, "resize": 0}),
        ("COMPLETE", 0.75, {"lr": 0.01, "resize": 0}),
        ("PRUNED", 0.5, {"lr": 0.01, "resize": 1}),
    ]
    said = [record.getMessage() for record in caplog.records]
    assert "history: 1 trials are left out: lr = 5.0 is not within 0.001 and 1" in said
    assert "history: 1 trials are left out: resize = [64, 96] is none of 64, 96, 128" in said
    assert "history: 4 of 7 trials fit the search space" in said
