import numpy as np
import pandas as pd
import pytest

from predictions import check_hard, read_rows, read_soft, read_validation, write_hard, write_soft, write_validation
from task import one_hot, softmax

IDS = ("b.jpg", "a.jpg", "001.jpg")
PROBABILITIES = np.array([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8], [0.3, 0.4, 0.3]])


def test_a_soft_file_is_read_as_written(tmp_path):
    write_soft(tmp_path / "soft.csv", "ImageID", IDS, PROBABILITIES)
    assert (tmp_path / "soft.csv").read_text().splitlines()[:2] == ["ImageID,ans,0,1,2", "b.jpg,0,0.7,0.2,0.1"]
    soft = read_soft(tmp_path / "soft.csv")
    assert soft.ids == IDS
    assert soft.id_column == "ImageID"
    assert soft.note == ""
    np.testing.assert_allclose(soft.probabilities, PROBABILITIES)


@pytest.mark.parametrize("logits", [[[2.0, -1.0, 0.5]], [[12.0, 3.0, 1.0]]])
def test_raw_logits_are_recognised_and_softmaxed(tmp_path, logits):
    write_soft(tmp_path / "old.csv", "ImageID", IDS[:1], np.array(logits))
    soft = read_soft(tmp_path / "old.csv")
    assert "raw logits" in soft.note
    np.testing.assert_allclose(soft.probabilities, softmax(np.array(logits)))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("ImageID,ans,0,1\na,0,0.5,\n", "soft.csv: id 'a' has a value that is not a finite number"),
        ("ImageID,ans,0,1\na,0,nan,1\n", "id 'a'"),
        ("ImageID,ans,0,1\na,0,inf,1\n", "id 'a'"),
        ("ImageID,ans,0,1\na,0,.5,.5\na,0,.5,.5\n", "id 'a' stands twice"),
        ("ImageID,ans,0,2\na,0,.5,.5\n", 'expected an id column, ans and "0".."K-1"'),
        ("ImageID,ans,0,1\na,0,.3,.3\n", "id 'a' sums to 0.6: neither probabilities nor logits"),
        ("ImageID,ans\na,0\n", "expected an id column"),
        ("ImageID,ans,0,1\n", "has no rows"),
        ("", "is not a CSV"),
    ],
)
def test_a_soft_file_that_cannot_be_voted_with_is_refused(tmp_path, text, says):
    (tmp_path / "soft.csv").write_text(text)
    with pytest.raises(ValueError, match=says):
        read_soft(tmp_path / "soft.csv")


@pytest.mark.parametrize(
    "text",
    [
        "id,age\n01,30\n02,\n",
        '\ufeffid,age\n"01",30\n02,""\n',  # a spreadsheet's byte-order mark
        "id,age\r\n01,30\r\n02,\r\n",
        "id,age\r01,30\r02,\r",
        "id,age\n01,30\n02\n",  # what some spreadsheets make of an empty cell at the end of a row
    ],
)
def test_every_spelling_of_a_csv_gives_the_same_cells(tmp_path, text):
    (tmp_path / "t.csv").write_text(text, newline="")
    assert read_rows(tmp_path / "t.csv") == {2: {"id": "01", "age": "30"}, 3: {"id": "02", "age": ""}}


def test_rows_are_known_by_the_line_that_an_editor_shows(tmp_path):
    (tmp_path / "t.csv").write_text('id,note\n\n1,"two\nlines"\n2,x\n')
    assert list(read_rows(tmp_path / "t.csv")) == [4, 5]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("id,age\n1,30\n2,30,40\n", "t.csv line 3 has more cells than the 2 columns; quote its commas"),
        ("id,age,age\n1,30,40\n", "has two columns 'age'"),
        ('id,age\n1,"30\n', "t.csv is not a CSV: unexpected end of data"),
        ("\nid,age\n1,30\n", "t.csv is not a CSV: its first line names no columns"),
    ],
)
def test_a_csv_of_which_cells_would_be_lost_or_moved_is_refused(tmp_path, text, says):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(ValueError, match=says):
        read_rows(tmp_path / "t.csv")


def test_a_validation_file_holds_the_columns_that_ensembling_learns_from(tmp_path):
    file, truth = tmp_path / "val_soft.csv", one_hot(np.array([0, 2, 1]), 3) > 0
    write_validation(file, IDS, np.array([0, 0, 1]), ["p", "p", "q"], truth, truth, PROBABILITIES.astype(np.float32))
    assert file.read_text().splitlines() == [
        "id,fold,group,label_given,label,0,1,2",
        "b.jpg,0,p,0,0,0.69999999,0.2,0.1",
        "a.jpg,0,p,2,2,0.1,0.1,0.80000001",
        "001.jpg,1,q,1,1,0.30000001,0.40000001,0.30000001",
    ]


def test_a_hard_file_has_the_competition_s_rows(tmp_path):
    write_hard(tmp_path / "hard.csv", "ImageID", "ans", IDS, [0, 2, 1])
    assert (tmp_path / "hard.csv").read_text() == "ImageID,ans\nb.jpg,0\na.jpg,2\n001.jpg,1\n"
    check_hard(tmp_path / "hard.csv", "ImageID", "ans", IDS, ("0", "1", "2"))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda table: table.iloc[::-1], "line 2: expected 'b.jpg', found '001.jpg'"),
        (lambda table: table.iloc[1:], "expected 3 rows, found 2"),
        (lambda table: table.assign(ans=3), r"line 2 \(b.jpg\): '3' is none of the 3 answers 0 … 2"),
        (lambda table: table.assign(ans=0.5), "'0.5' is none of"),
        (lambda table: table.rename(columns={"ans": "answer"}), "expected the columns ImageID,ans"),
    ],
)
def test_a_hard_file_that_the_competition_would_refuse_is_found(tmp_path, change, says):
    table = pd.DataFrame({"ImageID": IDS, "ans": [0, 1, 2]})
    change(table).to_csv(tmp_path / "hard.csv", index=False)
    with pytest.raises(ValueError, match=says):
        check_hard(tmp_path / "hard.csv", "ImageID", "ans", IDS, ("0", "1", "2"))


def test_validation_predictions_are_read_as_written(tmp_path):
    truth = one_hot(np.array([0, 2, 1]), 3) > 0
    write_validation(tmp_path / "v.csv", IDS, np.array([0, 0, 1]), ["p", "p", "1"], truth[::-1], truth, PROBABILITIES)
    found = read_validation(tmp_path / "v.csv")
    assert (found.ids, found.groups, found.exclusive) == (IDS, ("p", "p", "1"), True)
    np.testing.assert_array_equal(found.folds, [0, 0, 1])
    np.testing.assert_array_equal(found.given, truth[::-1])
    np.testing.assert_array_equal(found.truth, truth)
    np.testing.assert_allclose(found.probabilities, PROBABILITIES)


def test_several_labels_at_once_are_read_as_written(tmp_path):
    truth = np.array([[True, True, False], [False, False, False], [False, True, True]])
    probabilities = np.array([[0.9, 0.8, 0.1], [0.2, 0.2, 0.2], [0.0, 1.0, 0.7]])
    write_validation(tmp_path / "v.csv", IDS, np.zeros(3, int), ["p", "q", "r"], truth, truth, probabilities, False)
    assert (tmp_path / "v.csv").read_text().splitlines()[0] == "id,fold,group,L00,L01,L02,P00,P01,P02"
    found = read_validation(tmp_path / "v.csv")
    assert not found.exclusive
    np.testing.assert_array_equal(found.truth, truth)
    np.testing.assert_allclose(found.probabilities, probabilities)
    write_soft(tmp_path / "soft.csv", "Id", IDS, probabilities, exclusive=False)
    assert (tmp_path / "soft.csv").read_text().splitlines()[0] == "Id,P00,P01,P02"
    np.testing.assert_allclose(read_soft(tmp_path / "soft.csv").probabilities, probabilities)


def test_columns_of_single_heads_behind_the_classes_are_passed_over(tmp_path):
    (tmp_path / "soft.csv").write_text("ImageID,ans,0,1,mask_0,mask_1\na,0,.75,.25,.5,.5\n")
    np.testing.assert_allclose(read_soft(tmp_path / "soft.csv").probabilities, [[0.75, 0.25]])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("id,fold,group,label,0,1\na,0,p,0,.5,.5\n", "lacks the column label_given"),
        (
            "id,fold,group,label_given,label,0,1\na,0,p,0,2,.5,.5\n",
            "id 'a' has label '2', which is not a number from 0 to 1",
        ),
        ("id,fold,group,label_given,label,0,1\na,x,p,0,1,.5,.5\n", "id 'a' has fold 'x'"),
        ("id,fold,group,label_given,label,0,1\na,0,p,0,1,.5,\n", "id 'a' has a value that is not a finite number"),
        ("id,fold,group,label_given,label,0,1\na,0,p,0,1,.5,.5\na,0,p,0,1,.5,.5\n", "id 'a' stands twice"),
        (
            "id,fold,group,label_given,label,0,1\na,0,p,0,1,.5,.5\nb,0\n",
            "id 'b' has a value that is not a finite number",
        ),
        ("id,fold,group,L00,P00,P01\na,0,p,1,.5,.5\n", "lacks the column L01"),
        ("id,fold,group,L00,L01,P00,P01\na,0,p,1,2,.5,.5\n", "id 'a' has L01 '2'"),
        ("id,fold,group,L00,L01,P00,P01\na,0,p,1,1,.5,1.5\n", "id 'a' has a value outside 0 to 1"),
        ("id,fold,group\n", "has no rows"),
    ],
)
def test_validation_predictions_that_cannot_be_learnt_from_are_refused(tmp_path, text, says):
    (tmp_path / "v.csv").write_text(text)
    with pytest.raises(ValueError, match=says):
        read_validation(tmp_path / "v.csv")
