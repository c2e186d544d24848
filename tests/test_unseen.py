import json
from itertools import product

import numpy as np
import pytest

from doubts.unseen import read_runs
from predictions import write_csv, write_validation
from task import one_hot

SIZES = {"mask": 3, "gender": 2, "age": 3}
NAMES = {"mask": ("mask", "incorrect", "normal"), "gender": ("male", "female"), "age": ("<30", "30-59", ">=60")}
WHOLE = {"name": "multi", "classes": [" ".join(names) for names in product(*NAMES.values())]}
HEADS = [{"name": name, "classes": list(names), "exclusive": True} for name, names in NAMES.items()]
LABEL = [{"name": "label", "classes": ["cat", "dog"], "exclusive": True}]


def leave(folder, ids, groups, folds, labels, probabilities, heads=LABEL, fold="all", given=None, **changes):
    """A run folder; `labels` (N,) are class numbers, `probabilities` (N, K)."""
    folder.mkdir(parents=True)
    classes = probabilities.shape[1]
    truth, came = (one_hot(np.array(said), classes) > 0 for said in (labels, labels if given is None else given))
    write_validation(folder / "val_soft.csv", ids, np.array(folds), groups, came, truth, probabilities)
    config = {
        "parameters": {"data_dir": "gone"},
        "data": {"photos": 100, "fingerprint": "f"},
        "folds": {"hash": "h", "fold": fold, "validation": len(ids)},
        "heads": heads,
    }
    (folder / "config.json").write_text(json.dumps(config | changes))
    (folder / "summary.json").write_text(json.dumps({"status": "SUCCEEDED"}))
    return folder


def pets(folder, names="abcd", folds=(0, 0, 1, 1), labels=(0, 1, 0, 1), cat=(0.9, 0.2, 0.7, 0.4), **changes):
    cat = np.array(cat)
    ids = [f"{name}.jpg" for name in names]
    return leave(folder, ids, list(names), folds, labels, np.stack([cat, 1 - cat], axis=1), **changes)


def rewrite(run, **entries):
    path = run / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))


def test_an_experiment_folder_is_its_runs_without_blends(tmp_path, capsys):
    pets(tmp_path / "exp" / "a")
    pets(tmp_path / "exp" / "blend-equal", blend={"members": ["exp/a"]})
    (tmp_path / "exp" / "report.html").write_text("")
    assert [run.path.name for run in read_runs([tmp_path / "exp"])] == ["a"]
    assert "left out, a blend of the others: blend-equal" in capsys.readouterr().out


def test_a_glob_of_an_experiment_passes_over_other_files(tmp_path, capsys):
    pets(tmp_path / "exp" / "a")
    (tmp_path / "exp" / "report.html").write_text("")
    assert len(read_runs(sorted((tmp_path / "exp").glob("*")))) == 1
    assert "passed over: report.html" in capsys.readouterr().out


def test_the_folds_that_ended_of_a_run_of_all_are_taken(tmp_path):
    run = tmp_path / "a"
    pets(run / "fold-0", "ab", (0, 0), (0, 1), (0.9, 0.2), fold=0)
    (run / "config.json").write_text("{}")
    assert [one.path.name for one in read_runs([run])] == ["fold-0"]


def test_a_blend_is_taken_where_its_members_are_out_of_fold(tmp_path):
    pets(tmp_path / "exp" / "a")
    blend = pets(tmp_path / "exp" / "blend-equal", blend={"members": ["exp/a"]})
    assert read_runs([blend])[0].path == blend
    blend = pets(tmp_path / "exp" / "blend-lost", blend={"members": ["exp/gone"]})
    with pytest.raises(ValueError, match="gone is not there to tell; bring it back, or give the members"):
        read_runs([blend])


def test_a_blend_of_a_member_that_trained_on_the_photos_is_refused(tmp_path):
    pets(tmp_path / "exp" / "a", fold=0)
    blend = pets(tmp_path / "exp" / "blend-equal", blend={"members": ["exp/a"]})
    with pytest.raises(ValueError, match="holds photos of fold 1, but the model validated on fold 0 and trained on"):
        read_runs([blend])


def test_a_blend_of_other_folds_than_its_member_is_refused(tmp_path):
    member = pets(tmp_path / "exp" / "a")
    blend = pets(tmp_path / "exp" / "blend-equal", blend={"members": ["exp/a"]})
    rewrite(member, folds={"hash": "other", "fold": "all"})
    with pytest.raises(ValueError, match="is of other folds; blend again"):
        read_runs([blend])


def test_photos_of_another_fold_than_the_models_are_refused(tmp_path):
    run = pets(tmp_path / "a", fold=0)
    with pytest.raises(ValueError, match="holds photos of fold 1, but the model validated on fold 0 and trained on"):
        read_runs([run])


def test_a_file_of_more_photos_than_validated_is_refused(tmp_path):
    run = pets(tmp_path / "a", folds=(0, 0, 0, 0), fold=0)
    rewrite(run, folds={"hash": "h", "fold": 0, "validation": 2})
    with pytest.raises(ValueError, match="holds 4 photos, of which 2 validated: the model trained on the others"):
        read_runs([run])


def test_a_person_in_two_folds_is_refused(tmp_path):
    run = leave(tmp_path / "a", ["1", "2"], ["a", "a"], [0, 1], [0, 1], np.array([[0.9, 0.1], [0.2, 0.8]]))
    with pytest.raises(ValueError, match="'a' validates in folds 0 and 1, so models had trained on that person's"):
        read_runs([run])


def test_a_fold_column_that_is_not_the_runs_folds_is_refused(tmp_path):
    run = pets(tmp_path / "a", data={"photos": 4, "fingerprint": "f"})
    with pytest.raises(ValueError, match="its column fold is not the folds that the run trained in"):
        read_runs([run])


def test_a_file_without_its_run_folder_is_refused(tmp_path):
    run = pets(tmp_path / "a")
    (run / "config.json").unlink()
    with pytest.raises(ValueError, match="no config.json beside it, so nothing says that the model had not trained"):
        read_runs([run / "val_soft.csv"])


def test_a_config_that_knows_no_folds_is_refused(tmp_path):
    run = pets(tmp_path / "a", folds=(0, 0, 0, 0), fold=0)
    rewrite(run, folds={})
    with pytest.raises(ValueError, match="does not say which fold or classes"):
        read_runs([run])


def test_a_file_without_the_fold_column_is_refused(tmp_path):
    run = pets(tmp_path / "a")
    lines = (run / "val_soft.csv").read_text().splitlines()
    (run / "val_soft.csv").write_text("\n".join(",".join(line.split(",")[:1] + line.split(",")[2:]) for line in lines))
    with pytest.raises(ValueError, match="lacks the column fold"):
        read_runs([run])


def test_predictions_of_test_photos_are_refused(tmp_path):
    run = pets(tmp_path / "a")
    write_csv(run / "soft.csv", {"ImageID": ["x"], "ans": [0], "0": [0.5], "1": [0.5]})
    with pytest.raises(ValueError, match=r"soft.csv is no val_soft.csv: labels are judged by predictions of photos"):
        read_runs([run / "soft.csv"])


@pytest.mark.parametrize(
    ("data", "what"),
    [
        ({"fingerprint": "g"}, "photos or labels"),
        ({"fingerprint": "f", "notes": {"corrections": {"hash": "1"}}}, "corrections.csv"),
        ({"fingerprint": "f", "notes": {"groups": {"hash": "1"}}}, "groups.csv"),
    ],
)
def test_runs_of_other_data_are_refused_though_they_share_no_photo(tmp_path, data, what):
    runs = [
        pets(tmp_path / "a", "ab", (0, 0), (0, 1), (0.9, 0.2), fold=0),
        pets(tmp_path / "b", "cd", (1, 1), (0, 1), (0.9, 0.2), fold=1, data=data),
    ]
    with pytest.raises(ValueError, match=f"were trained with other {what}"):
        read_runs(runs)


def test_classes_that_do_not_fit_the_file_are_refused(tmp_path):
    run = pets(tmp_path / "a", heads=HEADS)
    with pytest.raises(ValueError, match=r"has 2 classes, and its config.json 18"):
        read_runs([run])


def test_a_folder_without_predictions_is_refused(tmp_path):
    with pytest.raises(ValueError, match="holds no val_soft.csv, and no run folder that does"):
        read_runs([tmp_path])
    with pytest.raises(ValueError, match="is missing"):
        read_runs([tmp_path / "gone"])
