import pytest
from test_unseen import pets, rewrite

from doubts.unseen import read_runs


def fold(folder, number, **changes):
    """A run of one fold: of a and b the first, of c and d the second."""
    return pets(folder, ("ab", "cd")[number], (number, number), (0, 1), (0.9, 0.2), fold=number, **changes)


def started_from(run, weights):
    rewrite(run, parameters={"data_dir": "gone", "weights": str(weights)})
    return run


def with_weights(run):
    (run / "best.pt").write_bytes(b"")
    return run / "best.pt"


def test_a_run_that_started_from_the_weights_of_another_fold_is_refused(tmp_path):
    weights = with_weights(fold(tmp_path / "a", 1))
    run = started_from(fold(tmp_path / "b", 0), weights)
    with pytest.raises(ValueError, match=r"b started from .*best.pt, the weights of a run of another fold"):
        read_runs([run])


def test_the_same_fold_of_other_folds_is_refused(tmp_path):
    other = fold(tmp_path / "a", 0)
    rewrite(other, folds={"hash": "other", "fold": 0})
    with pytest.raises(ValueError, match="or of other folds"):
        read_runs([started_from(fold(tmp_path / "b", 0), with_weights(other))])


def test_weights_of_a_run_that_says_no_fold_are_refused(tmp_path):
    other = fold(tmp_path / "a", 0)
    rewrite(other, folds={})
    with pytest.raises(ValueError, match="may have been trained on the photos that it validated"):
        read_runs([started_from(fold(tmp_path / "b", 0), with_weights(other))])


def test_a_run_of_all_folds_that_started_from_one_of_them_is_refused(tmp_path):
    weights = with_weights(fold(tmp_path / "a", 0))
    with pytest.raises(ValueError, match="of another fold"):
        read_runs([started_from(pets(tmp_path / "b"), weights)])


def test_weights_of_the_same_fold_pass_unless_those_came_from_another(tmp_path):
    second = started_from(fold(tmp_path / "b", 0), with_weights(fold(tmp_path / "a", 0)))
    third = started_from(fold(tmp_path / "c", 0), with_weights(second))
    assert len(read_runs([third])) == 1
    rewrite(tmp_path / "a", folds={"hash": "h", "fold": 1})
    with pytest.raises(ValueError, match=r"c started from .*a/best.pt"):
        read_runs([third])


def test_other_files_pass_and_one_that_is_gone_is_told(tmp_path, capsys):
    (tmp_path / "imagenet.pt").write_bytes(b"")
    assert read_runs([started_from(fold(tmp_path / "a", 0), tmp_path / "imagenet.pt")])
    assert "note" not in capsys.readouterr().out
    assert read_runs([started_from(fold(tmp_path / "b", 0), tmp_path / "gone.pt")])
    assert "gone.pt, which is not here to tell what it had been trained on" in capsys.readouterr().out


def test_runs_that_name_each_other_end(tmp_path):
    runs = [fold(tmp_path / name, 0) for name in "ab"]
    for run, other in zip(runs, runs[::-1], strict=True):
        started_from(run, with_weights(other))
    assert len(read_runs(runs)) == 2
