import json

import pytest
from sklearn.metrics import accuracy_score, f1_score

import evaluation


def write(path, header, rows):
    path.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n")
    return path


def test_the_line_printed_is_the_old_one_s(tmp_path, monkeypatch, capsys):
    truth, answers = [0, 1, 2, 2, 5, 0, 1], [0, 2, 2, 1, 5, 0, 3]
    names = [f"p{number}.jpg" for number in range(7)]
    write(tmp_path / "gt.csv", "ImageID,ans", zip(names, truth, strict=True))
    shuffled = list(zip(names, answers, strict=True))[::-1]  # rows are matched by name, not by place
    write(tmp_path / "output.csv", "ImageID,ans", shuffled)
    monkeypatch.setenv("SM_GROUND_TRUTH_DIR", str(tmp_path))
    monkeypatch.setenv("SM_OUTPUT_DATA_DIR", str(tmp_path))
    evaluation.main([])
    line = capsys.readouterr().out
    expected = f1_score(truth, answers, average="macro", zero_division=0)  # over 0, 1, 2, 3 and 5
    assert accuracy_score(truth, answers) == pytest.approx(4 / 7)
    assert json.loads(line) == {"accuracy": {"value": "57.14%"}, "f1": {"value": round(expected, 4)}}
    # by hand: F1 of classes 0, 2 and 5 is 1, 1/2 and 1; of 1 and 3 it is 0; 2.5 / 5
    assert line == '{"accuracy": {"value": "57.14%"}, "f1": {"value": 0.5}}\n'


def test_labels_by_name_are_compared_as_text(tmp_path):
    truth = write(tmp_path / "t.csv", "id,label", [("001", "Audi A4"), ("01", "BMW X5")])
    output = write(tmp_path / "o.csv", "id,label", [("01", "BMW X5"), ("001", "BMW X5")])
    # Audi 0; BMW: precision 1/2, recall 1, F1 2/3
    assert evaluation.compare(truth, output) == {"accuracy": {"value": "50.00%"}, "f1": {"value": 0.3333}}


def test_several_labels_at_once_count_by_class_and_whole_rows(tmp_path):
    truth = write(tmp_path / "t.csv", "Id,Target", [("a", "0 23"), ("b", "23"), ("c", "5")])
    output = write(tmp_path / "o.csv", "Id,Predicted", [("a", "23 0"), ("b", "0"), ("c", "5")])
    # class 0: 1 right, 1 wrong: 2/3; class 5: 1; class 23: 1 found of 2: 2/3
    assert evaluation.compare(truth, output) == {"accuracy": {"value": "66.67%"}, "f1": {"value": 0.7778}}


@pytest.mark.parametrize(
    ("header", "rows", "says"),
    [
        ("ImageID,ans", [("a", 1)], r"output.csv lacks 1 of the 2 rows of .*gt.csv: 'b'"),
        ("ImageID,ans", [("a", 1), ("b", 0), ("c", 0)], r"output.csv has 1 rows that .*gt.csv has not: 'c'"),
        ("ImageID,ans", [("a", 1), ("b", 0), ("a", 0)], r"output.csv has 'a' in two rows"),
        ("ImageID,answer", [("a", 1), ("b", 0)], r"output.csv: expected the columns .*found ImageID,answer"),
        ("ImageID", [("a",), ("b",)], r"output.csv: expected two columns"),
        ("ImageID,ans", [("a", 1), ("b", "")], r"has no answer for 'b'"),
        ("Id,Predicted", [("a", 1), ("b", "")], r"output.csv may hold several labels a row, and the other"),
    ],
)  # fmt: skip
def test_files_that_do_not_belong_together_are_refused(tmp_path, header, rows, says):
    truth = write(tmp_path / "gt.csv", "ImageID,ans", [("a", 1), ("b", 0)])
    output = write(tmp_path / "output.csv", header, rows)
    with pytest.raises(SystemExit, match=says):
        evaluation.main(["--truth", str(truth), "--output", str(output)])


def test_without_folders_it_says_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.delenv("SM_GROUND_TRUTH_DIR", raising=False)
    with pytest.raises(SystemExit, match="which gt.csv.*--truth FILE, or set SM_GROUND_TRUTH_DIR"):
        evaluation.main([])
    with pytest.raises(SystemExit, match="gt.csv is missing"):
        evaluation.main(["--truth", str(tmp_path / "gt.csv"), "--output", str(tmp_path / "o.csv")])
