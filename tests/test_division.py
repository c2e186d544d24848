import numpy as np
import pytest
from test_unseen import WHOLE, leave, rewrite

from config import Config
from dataset import read
from doubts.division import check_division
from doubts.unseen import read_runs
from folds import divide


@pytest.fixture
def validated(drawn):
    """The drawn data, the folds that it is divided into, and those of its photos that validate in fold 1."""
    data = read(str(drawn), "auto", Config().values())
    split = divide(Config(fold="1"), data)
    return data, split, split.validation


def run_of(folder, data, split, rows, **changes):
    """A run of fold 1 whose val_soft.csv says that the photos `rows` validated in it."""
    groups, labels = [data.train.groups[row] for row in rows], data.truth[rows].argmax(axis=1)
    ids, even = [data.train.ids[row] for row in rows], np.full((len(rows), 18), 1 / 18)
    folds = {"hash": split.hash, "fold": 1, "validation": len(split.validation)}
    parameters = {"data_dir": str(data.root), "fold": "1"} | changes
    leave(folder, ids, groups, [1] * len(rows), labels, even, [WHOLE])
    rewrite(folder, folds=folds, parameters=parameters)
    return read_runs([folder])


def test_the_photos_of_the_fold_pass_though_some_are_missing(validated, tmp_path, capsys):
    data, split, rows = validated
    check_division(run_of(tmp_path / "run", data, split, rows[3:]), data.root)
    assert "not checked" not in capsys.readouterr().out


def test_photos_of_another_fold_that_pose_as_those_of_this_one_are_refused(validated, tmp_path):
    data, split, rows = validated
    wrong = np.flatnonzero(split.folds == 2)[:5]
    runs = run_of(tmp_path / "run", data, split, [*rows[5:], *wrong])
    with pytest.raises(ValueError, match=rf"{data.train.ids[wrong[0]]} stands in fold 1 and validates in 2"):
        check_division(runs, data.root)


def test_folds_that_the_data_no_longer_makes_are_not_checked_which_is_told(validated, tmp_path, capsys):
    data, split, rows = validated
    check_division(run_of(tmp_path / "run", data, split, rows, split_seed=7), data.root)
    assert "is not checked: the data now makes the folds" in capsys.readouterr().out


def test_folds_that_cannot_be_made_are_not_checked_which_is_told(validated, tmp_path, capsys):
    data, split, rows = validated
    check_division(run_of(tmp_path / "run", data, split, rows, fold_file="gone.csv"), data.root)
    assert "is not checked: " in capsys.readouterr().out


def test_runs_of_the_same_folds_have_the_data_read_once(validated, tmp_path, monkeypatch):
    data, split, rows = validated
    runs = [run for name in "ab" for run in run_of(tmp_path / name, data, split, rows)]
    told = []
    monkeypatch.setattr("doubts.division.read", lambda *words: told.append(words) or data)
    check_division(runs, data.root)
    assert len(told) == 1
