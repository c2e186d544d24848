"""soft_vote.py on run folders: what is fitted, what the blend's own run folder holds, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from library_of_runs import TEST_IDS, answers_of, make_run
from walks import load_json

from predictions import read_soft, read_validation, write_validation
from soft_vote import main


@pytest.fixture
def experiment(tmp_path):
    """Four trials of the same photos; the first knows most."""
    labels = answers_of()
    for seed, skill in enumerate((3.0, 1.5, 1.0, 0.5)):
        make_run(tmp_path / "exp" / f"t{seed}", seed, labels, skill=skill)
    return tmp_path / "exp"


def vote(experiment, *words):
    out = experiment.parent / "submission.csv"
    main([*map(str, words or [experiment]), "-o", str(out)])
    return pd.read_csv(out)


def refused(experiment, *words):
    out = experiment.parent / "submission.csv"
    with pytest.raises(SystemExit) as stop:
        main([*map(str, words), "-o", str(out)])
    assert not out.exists()
    assert not list(experiment.glob("blend-*")) + list(experiment.glob(".blend-*"))
    return str(stop.value)


def test_an_equal_blend_leaves_a_run_folder_like_a_trial_s(experiment):
    table = vote(experiment)
    folder = experiment / "blend-equal"
    softs = [read_soft(experiment / f"t{n}" / "soft.csv").probabilities for n in range(4)]
    np.testing.assert_allclose(read_soft(folder / "soft.csv").probabilities, np.mean(softs, axis=0), rtol=1e-6)
    np.testing.assert_array_equal(table["ans"], np.mean(softs, axis=0).argmax(axis=1))
    assert (folder / "hard.csv").read_text() == (experiment.parent / "submission.csv").read_text()
    parts = [read_validation(experiment / f"t{n}" / "val_soft.csv") for n in range(4)]
    own = read_validation(folder / "val_soft.csv")
    np.testing.assert_allclose(own.probabilities, np.mean([v.probabilities for v in parts], axis=0), rtol=1e-5)
    assert (own.ids, own.groups) == (parts[0].ids, parts[0].groups)
    summary, config = load_json(folder, "summary.json"), load_json(folder, "config.json")
    right = (own.probabilities.argmax(axis=1) == answers_of()[0]).mean()
    assert summary["metrics"]["val_accuracy"] == pytest.approx(right)
    assert summary["status"] == "SUCCEEDED"
    assert config["blend"]["members"] == [f"exp/t{n}" for n in range(4)]
    assert config["folds"] == load_json(experiment / "t0", "config.json")["folds"]


def test_a_fit_prints_what_it_is_worth_beside_the_best_trial_and_the_equal_blend(experiment, capsys):
    vote(experiment, experiment, "--fit")
    said = capsys.readouterr().out
    for word in ("best single", "equal", "greedy", "convex", "interval over people", "nested folds", "recommended"):
        assert word in said
    (folder,) = experiment.glob("blend-*")
    judged = load_json(folder, "summary.json")["judged"]
    assert [row["name"] for row in judged["rows"]] == ["equal", "best single", "greedy", "convex"]
    assert judged["people"] == 30
    assert judged["gain"]["over"] == "equal"


def test_the_validation_predictions_of_a_fit_are_those_for_people_left_out(experiment):
    vote(experiment, experiment, "--fit", "greedy")
    summary = load_json(experiment / "blend-greedy", "summary.json")
    nested = next(row for row in summary["judged"]["rows"] if row["name"] == "greedy")
    assert summary["metrics"]["val_accuracy"] == pytest.approx(nested["value"])
    own = read_validation(experiment / "blend-greedy" / "val_soft.csv")
    assert (own.probabilities.argmax(axis=1) == own.truth.argmax(axis=1)).mean() == pytest.approx(nested["value"])


def test_a_fit_that_is_not_better_beyond_noise_gives_way_to_the_equal_blend(tmp_path, capsys):
    labels = answers_of()
    for seed in range(4):
        make_run(tmp_path / "exp" / f"t{seed}", seed, labels, skill=1.0)
    vote(tmp_path / "exp", tmp_path / "exp", "--fit")
    assert "the equal blend is recommended, being simpler" in " ".join(capsys.readouterr().out.split())
    assert load_json(tmp_path / "exp" / "blend-equal", "config.json")["blend"]["plan"]["fit"] == "equal"
    assert "judged" in load_json(tmp_path / "exp" / "blend-equal", "summary.json")


def test_blends_are_left_out_of_plain_globs(experiment, capsys):
    alone = vote(experiment)
    again = vote(experiment, *sorted(experiment.glob("*/soft.csv")))
    pd.testing.assert_frame_equal(alone, again)
    assert "left out: exp/blend-equal; --with_blends takes blends too" in capsys.readouterr().out
    vote(experiment, experiment, "--with_blends", "--name", "both", "--fit", "greedy")
    assert "exp/blend-equal" in load_json(experiment / "blend-both", "config.json")["blend"]["members"]


def test_another_blend_never_takes_the_folder_of_one(experiment):
    vote(experiment)
    before = (experiment / "blend-equal" / "config.json").read_text()
    vote(experiment, experiment / "t0", experiment / "t1")
    vote(experiment, experiment, "--mean", "logit")
    vote(experiment, experiment, "--with_blends")
    names = sorted(path.name for path in experiment.glob("blend-*"))
    assert names == ["blend-equal", "blend-equal-2", "blend-equal-3", "blend-equal-logit"]
    assert (experiment / "blend-equal" / "config.json").read_text() == before
    with pytest.raises(SystemExit, match="blend-equal is another blend; choose another --name"):
        main([str(experiment / "t0"), "-o", str(experiment.parent / "x.csv"), "--name", "equal"])


def test_what_a_killed_blend_left_is_cleared_away(experiment):
    vote(experiment)
    (experiment / "blend-equal").rename(experiment / ".blend-equal.old.999999999")
    (experiment / ".blend-equal.999999998").mkdir()
    (experiment / ".blend-equal.999999998" / "config.json").write_text("{}")
    vote(experiment)  # is not confused by the leftovers either
    assert sorted(path.name for path in experiment.iterdir()) == ["blend-equal", "t0", "t1", "t2", "t3"]


def test_a_blend_is_replaced_whole(experiment):
    vote(experiment)
    (experiment / "blend-equal" / "old.txt").write_text("of an earlier blend")
    vote(experiment)
    assert not (experiment / "blend-equal" / "old.txt").exists()
    assert [path.name for path in experiment.iterdir() if "blend" in path.name] == ["blend-equal"]


@pytest.mark.parametrize("words", [("--mean", "logit"), ("--mean", "rank"), ("--temperature",), ("--decide", "prior")])
def test_every_kind_of_blend_can_be_made(experiment, words):
    table = vote(experiment, experiment, *words, "--name", "kind")
    assert table["ImageID"].tolist() == TEST_IDS
    assert table["ans"].isin(range(4)).all()


def test_a_fitted_decision_is_judged_too_and_written_down(experiment, capsys):
    vote(experiment, experiment, "--decide", "thresholds")
    assert "equal + thresholds" in capsys.readouterr().out
    config = load_json(experiment / "blend-equal-thresholds", "config.json")
    assert len(config["blend"]["decision"]["factors"]) == 4


def test_trials_without_predictions_are_left_out_by_name(experiment, capsys):
    (experiment / "t9").mkdir()
    (experiment / "t9" / "summary.json").write_text('{"status": "FAILED"}')
    vote(experiment)
    assert "left out: exp/t9 (FAILED) has no soft.csv" in capsys.readouterr().out


def test_trials_without_test_predictions_are_left_out_with_what_makes_them(experiment, capsys):
    (experiment / "t1" / "soft.csv").unlink()
    (experiment / "t1" / "best.pt").touch()
    vote(experiment)
    advice = f"left out: exp/t1 (SUCCEEDED) has no soft.csv; python baseline/inference.py {experiment}/t1 makes them"
    assert advice in capsys.readouterr().out


def test_a_soft_file_that_is_named_and_missing_is_an_error(experiment):
    (experiment / "t1" / "soft.csv").unlink()
    said = refused(experiment, experiment / "t0" / "soft.csv", experiment / "t1" / "soft.csv")
    assert f"t1/soft.csv is missing: python baseline/inference.py {experiment}/t1" in said


def test_without_a_test_part_the_blend_still_gets_its_run_folder(experiment, capsys):
    for run in experiment.iterdir():
        (run / "soft.csv").unlink()
    main([str(experiment), "-o", str(experiment.parent / "submission.csv")])
    assert "no submission: there are no test predictions to blend" in capsys.readouterr().out
    assert (experiment / "blend-equal" / "val_soft.csv").is_file()
    assert not (experiment.parent / "submission.csv").exists()


def test_a_shell_s_glob_of_an_experiment_finds_its_trials(experiment, capsys):
    for name in ("board.jsonl", "report.html", "trials.jsonl"):
        (experiment / name).write_text("{}")
    vote(experiment)
    (experiment / "submission.csv").write_text((experiment.parent / "submission.csv").read_text())
    vote(experiment, *sorted(experiment.iterdir()))
    said = capsys.readouterr().out
    assert "passed over: board.jsonl holds no soft predictions" in said
    assert "passed over: submission.csv" in said
    assert load_json(experiment / "blend-equal", "config.json")["blend"]["members"] == [f"exp/t{n}" for n in range(4)]


def test_trials_of_other_folds_can_be_voted_but_not_fitted(experiment, capsys):
    config = load_json(experiment / "t1", "config.json")
    config["folds"]["fold"] = 1
    (experiment / "t1" / "config.json").write_text(json.dumps(config))
    assert "exp/t1 has fold 1, exp/t0 has 0; blend runs that share their folds" in refused(
        experiment, experiment, "--fit"
    )
    vote(experiment)
    assert "the blend gets no validation predictions: exp/t1 has fold 1" in capsys.readouterr().out
    assert not (experiment / "blend-equal" / "val_soft.csv").exists()


def cut(path):
    path.write_text(path.read_text()[:-40])


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (lambda run: (run / "val_soft.csv").unlink(), "exp/t1 has no val_soft.csv, which a fit learns from"),
        (lambda run: cut(run / "val_soft.csv"), "exp/t1/val_soft.csv"),
        (lambda run: cut(run / "soft.csv"), "exp/t1/soft.csv"),
        (lambda run: relabel(run), "exp/t1 and exp/t0 have other labels or classes"),
        (lambda run: reorder_classes(run), "exp/t1 and exp/t0 have other labels or classes"),
        (
            lambda run: poison(run / "val_soft.csv"),
            "exp/t1/val_soft.csv: id 'p0/0.jpg' has a value that is not a finite",
        ),
        (lambda run: repeat(run / "val_soft.csv"), "id 'p29/3.jpg' stands twice"),
    ],
)
def test_what_cannot_be_fitted_is_refused_and_nothing_is_written(experiment, harm, says):
    harm(experiment / "t1")
    assert says in refused(experiment, experiment, "--fit", "greedy")


def relabel(run):
    table = pd.read_csv(run / "val_soft.csv")
    table["label"] = (table["label"] + 1) % 4
    table.to_csv(run / "val_soft.csv", index=False)


def reorder_classes(run):
    config = load_json(run, "config.json")
    config["heads"][0]["classes"].reverse()
    (run / "config.json").write_text(json.dumps(config))


def poison(path):
    table = pd.read_csv(path, dtype=str)
    table.loc[0, "2"] = "nan"
    table.to_csv(path, index=False)


def repeat(path):
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines, lines[-1]]) + "\n")


def test_columns_in_another_order_are_matched_by_name(experiment):
    before = vote(experiment)
    for name in ("soft.csv", "val_soft.csv"):
        table = pd.read_csv(experiment / "t1" / name)
        classes = [str(k) for k in range(4)]
        table[[c for c in table.columns if c not in classes] + classes[::-1]].to_csv(
            experiment / "t1" / name, index=False
        )
    pd.testing.assert_frame_equal(vote(experiment), before)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--fit", "--weights", "1", "1", "1", "1"), "drop one of them"),
        (("--weights", "1", "1", "-1", "1"), "expected numbers from 0"),
        (("--name", "a/b"), "names a folder beside the trials"),
        (("--decide", "prevalence"), "is for several labels at once"),
        (("-o", "no/where.csv"), "there is no folder"),
    ],
)
def test_options_that_make_no_sense_are_refused(experiment, words, says):
    with pytest.raises(SystemExit, match=says):
        main([str(experiment), "-o", str(experiment.parent / "s.csv"), *words])


def test_loose_files_have_nothing_to_fit_on(experiment, tmp_path):
    for n in range(2):
        (tmp_path / f"{n}.csv").write_text((experiment / f"t{n}" / "soft.csv").read_text())
    said = refused(experiment, tmp_path / "0.csv", tmp_path / "1.csv", "--fit")
    assert "0.csv lies in no run folder" in said


def test_one_file_is_said_to_be_the_only_one(experiment, capsys):
    vote(experiment, experiment / "t0")
    assert "exp/t0 is the only file" in capsys.readouterr().out


def test_other_corrections_are_not_taken_for_other_age_boundaries(experiment, capsys):
    config = load_json(experiment / "t0", "config.json")
    config["parameters"]["age_boundaries"] = [30, 58]
    config.setdefault("data", {})["notes"] = {"corrections": {"hash": "1"}}
    (experiment / "t0" / "config.json").write_text(json.dumps(config))
    relabel(experiment / "t0")
    vote(experiment)
    assert "share their corrections and classes" in capsys.readouterr().out


def test_other_age_boundaries_are_judged_by_the_usual_ones(experiment, capsys):
    config = load_json(experiment / "t0", "config.json")
    config["parameters"]["age_boundaries"] = [30, 58]
    config["heads"][0]["classes"][3] = "older"
    (experiment / "t0" / "config.json").write_text(json.dumps(config))
    relabel(experiment / "t0")
    vote(experiment)
    assert "exp/t0 was trained with other age boundaries; it is judged by those of exp/t1" in capsys.readouterr().out
    own = read_validation(experiment / "blend-equal" / "val_soft.csv")
    np.testing.assert_array_equal(own.truth.argmax(axis=1), answers_of()[0])


@pytest.fixture
def several(tmp_path):
    """Two models of three labels that may hold at once."""
    rng = np.random.default_rng(0)
    truth = rng.random((60, 3)) < 0.4
    truth[~truth.any(axis=1), 0] = True
    groups = [f"p{n // 2}" for n in range(60)]
    for seed in range(2):
        run = tmp_path / "exp" / f"t{seed}"
        run.mkdir(parents=True)
        probabilities = np.clip(0.5 * truth + 0.5 * rng.random((60, 3)), 0, 1)
        write_validation(
            run / "val_soft.csv", groups_ids(60), np.zeros(60, int), groups, truth, truth, probabilities, False
        )
        rows = "\n".join(f"{n:04d},{a:.3f},{b:.3f},{c:.3f}" for n, (a, b, c) in enumerate(rng.random((5, 3))))
        (run / "soft.csv").write_text(f"Id,P00,P01,P02\n{rows}\n")
        heads = [{"name": "labels", "classes": ["a", "b", "c"]}]
        config = {"parameters": {"data_dir": ""}, "folds": {"hash": "x", "fold": 0}, "heads": heads, "prior": [0.4] * 3}
        (run / "config.json").write_text(json.dumps(config))
        (run / "summary.json").write_text(json.dumps({"status": "SUCCEEDED", "objective": "macro_f1"}))
    return tmp_path / "exp"


def groups_ids(count):
    return [f"{n}.png" for n in range(count)]


@pytest.mark.parametrize("decide", ["plain", "thresholds", "prevalence"])
@pytest.mark.parametrize("fit", ["greedy", "convex"])
def test_several_labels_at_once_are_blended_and_decided(several, fit, decide):
    table = vote(several, several, "--fit", fit, "--decide", decide, "--name", "labels")
    assert list(table.columns) == ["Id", "Predicted"]
    text = Path(several.parent / "submission.csv").read_text().splitlines()
    assert text[1].startswith("0000,")  # ids keep their zeros
    soft = read_soft(several / "blend-labels" / "soft.csv")
    assert not soft.exclusive
    assert all(set(answer.split()) <= {"0", "1", "2"} for answer in table["Predicted"].fillna("").astype(str))


def test_validation_predictions_and_folders_are_never_written_over(experiment):
    before = (experiment / "t0" / "val_soft.csv").read_text()
    for words, says in (
        (["--soft", experiment / "t0" / "val_soft.csv"], "is a trial's validation predictions"),
        (["-o", experiment], "is a folder"),
    ):
        with pytest.raises(SystemExit, match=says):
            main([str(experiment), "-o", str(experiment.parent / "s.csv"), *map(str, words)])
    assert (experiment / "t0" / "val_soft.csv").read_text() == before
    assert not list(experiment.glob("blend-*"))


def test_logits_among_validation_predictions_are_named(experiment, capsys):
    path = experiment / "t0" / "val_soft.csv"
    table = pd.read_csv(path)
    table[[str(k) for k in range(4)]] *= 9
    table.to_csv(path, index=False)
    vote(experiment)
    assert "t0/val_soft.csv holds raw logits" in capsys.readouterr().out


def test_heads_without_their_fellows_are_refused_before_anything_is_read(tmp_path):
    make_run(tmp_path / "exp" / "m", 0, answers_of(classes=3), classes=3, head="mask")
    assert "expected mask, gender and age models together" in refused(tmp_path / "exp", tmp_path / "exp", "--fit")
