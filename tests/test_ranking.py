import numpy as np
import pytest
from test_unseen import pets

from config import Config
from dataset import read
from doubts.beliefs import join
from doubts.ranking import is_of_person, judge_field, names_of, rank
from doubts.unseen import read_runs


@pytest.fixture
def of_pets(tmp_path):
    return join(read_runs([pets(tmp_path / "run")]))[0]


def test_classes_that_hold_are_named():
    chosen = np.array([[True, False, True], [False, True, False], [False, False, False]])
    assert names_of(chosen, ("0", "4", "12")) == ["0 12", "4", ""]


def test_gender_and_age_are_a_persons_with_and_without_the_data(drawn):
    data = read(str(drawn), "auto", Config().values())
    for known in (data, None):
        assert [is_of_person(field, known) for field in ("mask", "gender", "age", "label")] == [
            False,
            True,
            True,
            False,
        ]


def test_the_lowest_score_stands_first(of_pets):
    ranked = rank(judge_field(of_pets, None))
    assert [suspect.path for suspect in ranked] == ["d.jpg", "c.jpg", "b.jpg", "a.jpg"]
    np.testing.assert_allclose([suspect.score for suspect in ranked], [0.6, 0.7, 0.8, 0.9])


def test_labels_that_changed_since_the_training_are_counted(tmp_path, capsys):
    root = tmp_path / "data"
    root.mkdir()
    rows = zip("abcd", ("dog", "dog", "cat", "dog"), strict=True)
    (root / "manifest.csv").write_text("path,label\n" + "".join(f"{name}.jpg,{label}\n" for name, label in rows))
    for name in "abcd":
        (root / f"{name}.jpg").write_bytes(b"")
    data = read(str(root), "auto", Config().values())
    judge_field(join(read_runs([pets(tmp_path / "run")]))[0], data)
    assert "note: label: 1 labels of the data have changed since the runs were trained" in capsys.readouterr().out


def test_a_class_of_one_label_is_told(tmp_path, capsys):
    judge_field(join(read_runs([pets(tmp_path / "run", labels=(0, 1, 0, 0))]))[0], None)
    assert "note: label dog: one label alone, which cleanlab never calls wrong" in capsys.readouterr().out
