import json

import numpy as np
import pandas as pd
import pytest
from walks import run_trial

from config import Config
from dataset import read
from leaks import find_leaks, labels_of, leak_twin, write_twin
from predictions import read_rows, read_validation
from soft_vote import main

IDS = ("a.jpg", "b.jpg", "c.jpg")
DECIDED = np.eye(3, dtype=bool)[[0, 1, 2]]
LABELS = {f"train/{k}.jpg": row for k, row in enumerate(np.eye(3, dtype=bool))}  # photo k is of class k


@pytest.fixture
def twin(tmp_path):
    def make(*lines, decided=DECIDED, labels=LABELS):
        (tmp_path / "leaks.csv").write_text("\n".join(["test_id,train_path,distance", *lines, ""]))
        return leak_twin(tmp_path / "leaks.csv", IDS, decided, labels)

    return make


def test_a_leaked_row_takes_the_label_and_the_others_stay(twin):
    made = twin("b.jpg,train/2.jpg,3", "c.jpg,train/2.jpg,0")
    np.testing.assert_array_equal(made.decided.argmax(axis=1), [0, 2, 2])
    assert (made.matched, made.changed, made.disagree) == (2, 1, 0)  # c.jpg was right already
    assert str(made) == "2 of 3 test photos are labelled ones, 1 answers changed"
    np.testing.assert_array_equal(DECIDED.argmax(axis=1), [0, 1, 2])  # the first answer is not touched


def test_the_nearest_labelled_photo_counts_wherever_it_stands(twin):
    lines = ["a.jpg,train/1.jpg,10", "a.jpg,train/2.jpg,9", "a.jpg,train/0.jpg,11.5"]  # as text, 10 would come first
    for order in (lines, lines[::-1]):
        assert twin(*order).decided[0].argmax() == 2


def test_nearest_photos_that_disagree_change_nothing_and_are_counted(twin):
    made = twin("a.jpg,train/1.jpg,2", "a.jpg,train/2.jpg,2.0", "a.jpg,train/2.jpg,4")
    np.testing.assert_array_equal(made.decided, DECIDED)
    assert (made.matched, made.changed, made.disagree) == (1, 0, 1)
    assert "1 left as they were, their nearest labelled photos disagree" in str(made)


def test_farther_photos_that_disagree_do_not_matter(twin):
    made = twin("a.jpg,train/0.jpg,2", "a.jpg,train/2.jpg,2", "a.jpg,train/1.jpg,1")
    assert made.decided[0].argmax() == 1
    assert made.disagree == 0


def test_several_labels_at_once_are_taken_whole(twin):
    several = np.array([[1, 1, 0], [0, 0, 0], [0, 0, 1]], dtype=bool)
    labels = {"x": several[0], "y": several[0].copy(), "z": several[1]}
    made = twin("c.jpg,x,0", "c.jpg,y,0", "a.jpg,z,0", decided=several, labels=labels)
    np.testing.assert_array_equal(made.decided, several[[1, 1, 0]])
    assert (made.matched, made.changed) == (2, 2)
    assert twin("c.jpg,x,0", "c.jpg,z,0", decided=several, labels=labels).disagree == 1


@pytest.mark.parametrize("text", ["test_id,train_path,distance\n", '"distance","test_id","train_path"\r\n\r\n'])
def test_a_search_that_found_no_duplicates_changes_nothing(tmp_path, text):
    (tmp_path / "leaks.csv").write_text(text)
    made = leak_twin(tmp_path / "leaks.csv", IDS, DECIDED, LABELS)
    np.testing.assert_array_equal(made.decided, DECIDED)
    assert (made.matched, made.changed, made.disagree) == (0, 0, 0)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("x.jpg,train/0.jpg,0", r"leaks.csv line 3: the submission has no test photo 'x.jpg'; correct the line"),
        ("b.jpg,0.jpg,0", r"leaks.csv line 3: the data has no labelled photo '0.jpg'.*relative to the data root"),
        ("b.jpg,train/0.jpg,near", "leaks.csv line 3: distance 'near' is not a number from 0"),
        ("b.jpg,train/0.jpg,-1", "leaks.csv line 3: distance '-1'"),
        ("b.jpg,train/0.jpg,nan", "leaks.csv line 3: distance 'nan'"),
        ("b.jpg,train/0.jpg,inf", "leaks.csv line 3: distance 'inf'"),
        ("b.jpg,train/0.jpg", "leaks.csv line 3: distance is empty"),
    ],
)
def test_a_line_that_is_wrong_is_named(twin, line, says):
    with pytest.raises(ValueError, match=says):
        twin("a.jpg,train/0.jpg,0", line)


@pytest.mark.parametrize(
    ("text", "says"), [("", "is not a CSV"), ("test_id,distance\n", "has no rows"), ("a,b\n1,2\n", "lacks the column")]
)
def test_a_file_of_other_columns_is_refused(tmp_path, text, says):
    (tmp_path / "leaks.csv").write_text(text)
    with pytest.raises(ValueError, match=says):
        leak_twin(tmp_path / "leaks.csv", IDS, DECIDED, LABELS)


def test_leaks_are_looked_for_beside_the_data(tmp_path):
    assert find_leaks(tmp_path) is None
    (tmp_path / "leaks.csv").touch()
    assert find_leaks(tmp_path) == tmp_path / "leaks.csv"


def test_labels_come_from_the_data_by_the_names_that_leaks_use(drawn, tmp_path):
    data = read(str(drawn), "auto", Config().values())
    labels = labels_of(data)
    path = next(path for path in labels if path.endswith("/normal.jpg"))
    assert (drawn / path).is_file()
    (tmp_path / "leaks.csv").write_text(f"test_id,train_path,distance\n{data.test.ids[1]},{path},0\n")
    decided = np.zeros((len(data.test.ids), 18), dtype=bool)
    decided[:, 0] = True  # masked
    made = leak_twin(tmp_path / "leaks.csv", data.test.ids, decided, labels)
    assert made.decided[1].argmax() >= 12  # the six classes without a mask
    assert made.changed == 1


def test_the_twin_stands_beside_the_submission_which_stays_as_it_is(tmp_path):
    submission = tmp_path / "submission.csv"
    submission.write_text("untouched")
    path = write_twin(submission, "Id", "Predicted", ["0001", "0002"], ["0 23", ""])
    assert path == tmp_path / "submission.csv.leak.csv"
    assert list(read_rows(path).values()) == [{"Id": "0001", "Predicted": "0 23"}, {"Id": "0002", "Predicted": ""}]
    assert submission.read_text() == "untouched"


@pytest.fixture
def leaked(data, quick):
    """Two trials, the first with other age boundaries; a test photo that is a labelled one, by leaks.csv; its label."""
    runs = [run_trial(data, quick, "--seed", 1, "--age_boundaries", 20, 40), run_trial(data, quick, "--seed", 2)]
    other, usual = (read_validation(run / "val_soft.csv") for run in runs)
    row = int((other.truth != usual.truth).any(axis=1).argmax())
    answers = pd.read_csv(runs[1] / "hard.csv")
    photo, label = usual.ids[row], int(usual.truth[row].argmax())
    assert label != other.truth[row].argmax()
    test = answers.loc[answers["ans"] != label, "ImageID"].iloc[0]
    (data / "leaks.csv").write_text(f"test_id,train_path,distance\n{test},{photo},2\n")
    return runs, test, label


def test_a_test_photo_that_is_a_labelled_one_takes_its_label_in_a_second_file(leaked, capsys, tmp_path):
    runs, test, label = leaked
    out, second = tmp_path / "submission.csv", tmp_path / "submission.csv.leak.csv"
    main([*map(str, runs), "-o", str(out)])
    assert "1 of 35 test photos are labelled ones" in capsys.readouterr().out
    first, twin = pd.read_csv(out), pd.read_csv(second)
    assert set(first.loc[first["ans"] != twin["ans"], "ImageID"]) <= {test}
    assert twin.set_index("ImageID")["ans"][test] == label  # by the usual age boundaries, not the first trial's
    folder = runs[0].parent / "blend-equal"
    assert (folder / "hard.csv.leak.csv").read_text() == second.read_text()
    assert (folder / "hard.csv").read_text() == out.read_text()


def test_the_second_file_of_an_earlier_submission_does_not_stay(leaked, data, capsys, tmp_path):
    runs, _, _ = leaked
    out, second = tmp_path / "submission.csv", tmp_path / "submission.csv.leak.csv"
    main([*map(str, runs), "-o", str(out)])
    (data / "leaks.csv").unlink()
    main([*map(str, runs), "-o", str(out)])
    assert not second.exists()
    assert "was of an earlier submission, and is removed" in capsys.readouterr().out


def test_data_on_another_machine_is_said_and_may_be_named(leaked, data, capsys, tmp_path):
    runs, _, _ = leaked
    moved = data.rename(tmp_path / "moved")
    main([*map(str, runs), "-o", str(tmp_path / "s.csv")])
    assert "is not on this machine, so no leaks.csv is known" in capsys.readouterr().out
    main([*map(str, runs), "-o", str(tmp_path / "s.csv"), "--data_dir", str(moved)])
    assert (tmp_path / "s.csv.leak.csv").is_file()
    with pytest.raises(SystemExit, match="name the data root with --data_dir"):
        main([*map(str, runs), "-o", str(tmp_path / "s.csv"), "--leaks", str(moved / "leaks.csv")])


def test_a_leak_that_fits_no_photo_does_not_hold_up_the_submission(leaked, data, capsys, tmp_path):
    runs, _, _ = leaked
    (data / "leaks.csv").write_text("test_id,train_path,distance\nnowhere,a.jpg,0\n")
    out = tmp_path / "s.csv"
    main([*map(str, runs), "-o", str(out)])
    assert "note: no second submission, as" in capsys.readouterr().out
    assert len(pd.read_csv(out)) == 35
    assert not (tmp_path / "s.csv.leak.csv").exists()
    with pytest.raises(SystemExit, match="leaks.csv line 2: the submission has no test photo 'nowhere'"):
        main([*map(str, runs), "-o", str(out), "--leaks", str(data / "leaks.csv")])


def test_leaks_lie_with_the_notes_of_the_trials_or_beside_the_data_that_is_named(leaked, data, quick, capsys, tmp_path):
    runs, _, _ = leaked
    (tmp_path / "notes").mkdir()
    moved = (data / "leaks.csv").rename(tmp_path / "notes" / "leaks.csv")
    for run in runs:
        config = json.loads((run / "config.json").read_text())
        config["parameters"]["notes_dir"] = str(tmp_path / "notes")
        (run / "config.json").write_text(json.dumps(config))
    out, second = tmp_path / "s.csv", tmp_path / "s.csv.leak.csv"
    main([*map(str, runs), "-o", str(out)])
    assert second.is_file()
    main([*map(str, runs), "-o", str(out), "--data_dir", str(data)])
    assert not second.exists()
    moved.rename(data / "leaks.csv")
    (tmp_path / "notes").rmdir()
    capsys.readouterr()
    main([*map(str, runs), "-o", str(out)])
    assert "is not on this machine; notes beside the data are taken" in capsys.readouterr().out
    assert second.is_file()
