import numpy as np
import pytest
from test_unseen import HEADS, SIZES, WHOLE, leave, pets, rewrite

from doubts.beliefs import join
from doubts.unseen import read_runs
from task import combine


def test_a_run_of_all_folds_is_one_opinion_of_one_field(tmp_path):
    (said,) = join(read_runs([pets(tmp_path / "exp" / "a")]))
    assert (said.field, said.classes, said.ids) == ("label", ("cat", "dog"), ("a.jpg", "b.jpg", "c.jpg", "d.jpg"))
    np.testing.assert_allclose(said.probabilities[:, 0], [0.9, 0.2, 0.7, 0.4])
    assert said.truth.argmax(axis=1).tolist() == [0, 1, 0, 1]


def test_runs_of_single_folds_join_and_runs_of_one_photo_are_averaged(tmp_path):
    runs = [
        pets(tmp_path / "a", "ab", (0, 0), (0, 1), (0.9, 0.2), fold=0),
        pets(tmp_path / "b", "bc", (1, 1), (1, 0), (0.4, 0.7), fold=1),
    ]
    rewrite(runs[1], folds={"hash": "other", "fold": 1})
    (said,) = join(read_runs(runs))
    assert said.ids == ("a.jpg", "b.jpg", "c.jpg")
    np.testing.assert_allclose(said.probabilities[:, 0], [0.9, 0.3, 0.7])
    assert said.runs.tolist() == [1, 2, 1]


def test_18_classes_are_judged_by_field_beside_models_of_single_heads(tmp_path):
    rng = np.random.default_rng(0)
    parts = [rng.dirichlet(np.ones(size), 4) for size in SIZES.values()]
    about = (["a.jpg", "b.jpg", "c.jpg", "d.jpg"], list("aabb"), [0, 0, 1, 1])
    labels = [0 * 6 + 1 * 3 + 2, 2 * 6 + 0 * 3 + 1, 5, 17]
    gender = [1, 0, 1, 1]
    runs = [
        leave(tmp_path / "whole", *about, labels, combine(*parts), [WHOLE]),
        leave(tmp_path / "heads", *about, labels, combine(*parts), HEADS),
        leave(tmp_path / "gender", *about, gender, 1 - parts[1], HEADS[1:2]),
    ]
    mask, sex, age = join(read_runs(runs))
    assert [said.field for said in (mask, sex, age)] == ["mask", "gender", "age"]
    assert mask.classes == ("mask", "incorrect", "normal")
    np.testing.assert_allclose(mask.probabilities, parts[0], atol=1e-6)
    np.testing.assert_allclose(sex.probabilities, (2 * parts[1] + (1 - parts[1])) / 3, atol=1e-6)
    assert (mask.truth.argmax(1).tolist(), age.truth.argmax(1).tolist()) == ([0, 2, 0, 2], [2, 1, 2, 2])
    assert sex.truth.argmax(1).tolist() == gender
    assert sex.runs.tolist() == [3, 3, 3, 3]


def test_runs_of_other_labels_for_one_photo_are_refused(tmp_path):
    runs = [pets(tmp_path / "a"), pets(tmp_path / "b", labels=(0, 1, 1, 1), data={"fingerprint": "f"})]
    with pytest.raises(ValueError, match=r"b has another label for 'c.jpg' than the runs before it \(1 such photos\)"):
        join(read_runs(runs))


def test_runs_of_other_people_are_refused(tmp_path):
    first, second = pets(tmp_path / "a"), pets(tmp_path / "b")
    table = (second / "val_soft.csv").read_text().replace("d.jpg,1,d", "d.jpg,1,c")
    (second / "val_soft.csv").write_text(table)
    with pytest.raises(ValueError, match=r"b has another person for 'd.jpg'"):
        join(read_runs([first, second]))


def test_runs_of_other_classes_are_refused(tmp_path):
    mice = [{"name": "label", "classes": ["cat", "mouse"], "exclusive": True}]
    with pytest.raises(ValueError, match="has the label classes cat, mouse, and .* has cat, dog"):
        join(read_runs([pets(tmp_path / "a"), pets(tmp_path / "b", heads=mice)]))
