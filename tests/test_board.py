import json
import math

import pytest

from board import record, scores_of, to_share
from members import find_members

ROWS = [("x.jpg", "3"), ("y.jpg", "0"), ("z.jpg", "17")]


def write_rows(path, rows, header="ImageID,ans"):
    path.write_text("\n".join([header, *(",".join(row) for row in rows)]) + "\n")
    return path


def make_run(folder, rows, twin=None):
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    write_rows(folder / "hard.csv", rows)
    if twin:
        write_rows(folder / "hard.csv.leak.csv", twin)


@pytest.fixture
def members(tmp_path):
    """Runs a, with a leak twin, and b."""
    make_run(tmp_path / "exp" / "a", ROWS, [("x.jpg", "5"), *ROWS[1:]])
    make_run(tmp_path / "exp" / "b", [*ROWS[:2], ("z.jpg", "1")])
    return find_members([tmp_path / "exp"], with_blends=True)


def lines(tmp_path):
    return [json.loads(line) for line in (tmp_path / "exp" / "board.jsonl").read_text().splitlines()]


def test_the_run_is_found_by_its_rows_in_any_order_under_any_header(tmp_path, members):
    submission = write_rows(tmp_path / "s.csv", ROWS[::-1], "id,label")
    assert record(submission, ["f1=.75", "acc=58.16%"], members, None) == ["exp/a: recorded f1 0.7500, acc 0.5816"]
    (line,) = lines(tmp_path)
    assert (line["run"], line["leak"], line["scores"]) == ("a", False, {"f1": 0.75, "acc": 0.5816})
    assert len(line["file"]) == 64
    found = {members[0].path: {"board_f1": 0.75, "board_acc": 0.5816}, members[1].path: {}}
    assert scores_of(members) == (found, [])


def test_the_score_of_a_leak_twin_is_kept_apart(tmp_path, members):
    twin = members[0].path / "hard.csv.leak.csv"
    assert record(twin, ["f1=.9"], members, None) == ["exp/a (leak twin): recorded f1 0.9000"]
    record(members[0].path / "hard.csv", ["f1=.7"], members, None)
    assert scores_of(members)[0][members[0].path] == {"board_f1_leak": 0.9, "board_f1": 0.7}


def test_the_same_submission_again_replaces_and_says_so(tmp_path, members):
    submission = members[1].path / "hard.csv"
    record(submission, ["f1=.75", "acc=.8"], members, None)
    assert record(submission, ["f1=.7"], members, None) == ["exp/b: recorded f1 0.7000 (replaces 0.7500)"]
    (line,) = lines(tmp_path)
    assert line["scores"] == {"f1": 0.7, "acc": 0.8}


def test_a_score_counts_while_its_run_answers_as_it_did(tmp_path, members):
    hard, twin = (members[0].path / name for name in ("hard.csv", "hard.csv.leak.csv"))
    record(hard, ["f1=.75", "acc=.8"], members, None)
    record(twin, ["f1=.9"], members, None)
    write_rows(hard, ROWS[::-1], "id,label")
    assert scores_of(members)[1] == []
    write_rows(hard, [("x.jpg", "4"), *ROWS[1:]])
    found, (note,) = scores_of(members)
    assert found[members[0].path] == {"board_f1_leak": 0.9}
    assert note.startswith("Left out: board_f1 0.7500, board_acc 0.8000 of 20")
    assert note.endswith("as exp/a has answered otherwise since.")
    record(hard, ["f1=.7"], members, None)  # of another submission, so nothing is replaced or mixed
    assert scores_of(members)[0][members[0].path] == {"board_f1": 0.7, "board_f1_leak": 0.9}
    write_rows(hard, ROWS)
    assert scores_of(members)[0][members[0].path]["board_f1"] == 0.75
    twin.unlink()
    found, notes = scores_of(members)
    assert len(notes) == 2
    assert "board_f1_leak" not in found[members[0].path]


def test_a_score_recorded_by_name_counts_though_its_rows_are_not_those_of_the_run(tmp_path, members):
    submission = write_rows(tmp_path / "s.csv", [("x.jpg", "9"), *ROWS[1:]])
    record(submission, ["f1=.5"], members, "b")
    assert scores_of(members) == ({members[0].path: {}, members[1].path: {"board_f1": 0.5}}, [])


def test_runs_of_equal_rows_are_all_named_and_all_get_it(tmp_path, members):
    make_run(tmp_path / "other" / "c", ROWS[::-1])
    both = find_members([tmp_path / "exp", tmp_path / "other"], with_blends=True)
    said = record(members[0].path / "hard.csv", ["f1=.5"], both, None)
    assert [line.split(":")[0] for line in said] == ["exp/a", "other/c"]
    assert (tmp_path / "other" / "board.jsonl").is_file()


def test_a_submission_of_no_run_is_refused_with_the_nearest_and_of_names_one(tmp_path, members):
    submission = write_rows(tmp_path / "s.csv", [("x.jpg", "9"), *ROWS[1:]])
    with pytest.raises(ValueError, match=r"none of the 2 runs given; exp/a comes nearest, 1 of its rows.*--of RUN"):
        record(submission, ["f1=.5"], members, None)
    assert not (tmp_path / "exp" / "board.jsonl").exists()
    said = record(submission, ["f1=.5"], members, "b")
    assert said == [
        f"warning: {submission} has not the rows of exp/b, for which it is recorded",
        "exp/b: recorded f1 0.5000",
    ]
    record(submission, ["f1=.6"], members, str(members[0].path))
    assert [line["run"] for line in lines(tmp_path)] == ["b", "a"]
    twin = write_rows(tmp_path / "s.csv.leak.csv", [("x.jpg", "8"), *ROWS[1:]])
    assert record(twin, ["f1=.9"], members, "a")[-1] == "exp/a (leak twin): recorded f1 0.9000"
    with pytest.raises(ValueError, match="--of q names 0 of the runs given; they are exp/a, exp/b"):
        record(submission, ["f1=.6"], members, "q")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "give the scores that came back"),
        (["f1"], "'f1' is not NAME=VALUE"),
        (["outputs/exp", "f1=.5"], "run folders stand before it"),
        (["f1=75"], "'f1=75' is no share from 0 to 1; write .75 or 75%"),
        (["f1=101%"], "no share"),
        (["f1=-.1"], "no share"),
        (["f1=nan"], "no share"),
        (["f1=inf"], "no share"),
        (["f1="], "no share"),
        (["f1=0,75"], "no share"),
        (["f1=.5", "f1=.6"], "f1 is given twice"),
    ],
)
def test_what_is_no_score_is_refused_and_nothing_is_written(tmp_path, members, words, says):
    with pytest.raises(ValueError, match=says.replace("+", r"\+")):
        record(members[0].path / "hard.csv", words, members, None)
    assert not (tmp_path / "exp" / "board.jsonl").exists()


def test_percentages_are_shares_to_the_last_digit():
    assert [to_share("", text) for text in ("58.16%", ".5816", "100%", "1", "0")] == [0.5816, 0.5816, 1, 1, 0]
    assert math.copysign(1, to_share("", "0")) == 1


@pytest.mark.parametrize(
    ("rows", "header", "says"),
    [
        ([("x.jpg", "3"), ("x.jpg", "3")], "ImageID,ans", "holds an id twice: 2 rows, 1 ids"),
        ([("x.jpg", "3", "0.5")], "ImageID,ans,0", "has 3 columns; a submission has two"),
        ([], "ImageID,ans", "has no rows"),
    ],
)
def test_a_file_that_is_no_submission_is_refused(tmp_path, members, rows, header, says):
    with pytest.raises(ValueError, match=says):
        record(write_rows(tmp_path / "s.csv", rows, header), ["f1=.5"], members, None)


def test_a_damaged_hard_csv_of_one_run_is_told_and_the_others_are_compared(tmp_path, members):
    (members[0].path / "hard.csv").write_text("")
    said = record(members[1].path / "hard.csv", ["f1=.5"], members, None)
    assert said[0].startswith("warning: not compared: ")
    assert said[1] == "exp/b: recorded f1 0.5000"


@pytest.mark.parametrize("text", ['{"run": "a"', '{"run": "a"}', "[1]"])
def test_a_damaged_board_is_named_by_its_line_and_stays(tmp_path, members, text):
    record(members[1].path / "hard.csv", ["f1=.5"], members, None)
    path = tmp_path / "exp" / "board.jsonl"
    path.write_text(before := path.read_text() + text + "\n")
    for act in (lambda: scores_of(members), lambda: record(members[0].path / "hard.csv", ["f1=.6"], members, None)):
        with pytest.raises(ValueError, match="board.jsonl, line 2 is no score"):
            act()
    assert path.read_text() == before
