import json

import pytest

from check import main
from predictions import write_hard

IDS = ["0001", "0002", "0003", "0010"]
CLASSES = ["Audi A4", "BMW [i3]", "Ford F-450"]


@pytest.fixture
def check(tmp_path, capsys):
    """Checks a submission of some lines against --like of others; answers the exit code and the lines, by check."""
    submission, like = tmp_path / "submission.csv", tmp_path / "sample.csv"

    def run(lines, *words, wanted=("id,ans", "0001,0", "0002,0", "0003,0", "0010,0")):
        submission.write_text("\n".join([*lines, ""]))
        like.write_text("\n".join([*wanted, ""]))
        code = main([str(submission), "--like", str(like), *map(str, words)])
        said = capsys.readouterr().out
        findings = [line for line in said.splitlines() if line[:5] in ("ok   ", "warn ", "FAIL ")]
        assert code == int(any(line.startswith("FAIL") for line in findings))
        return findings, said

    return run


@pytest.fixture
def folder(tmp_path):
    """A run folder of three classes, a photo a person."""
    path = tmp_path / "run"
    path.mkdir()
    write_config(path, CLASSES, [0.5, 0.25, 0.25])
    return path


def write_config(path, classes, prior):
    content = {"heads": [{"name": "car", "classes": classes}], "prior": prior, "data": {"photos": 9, "groups": 9}}
    (path / "config.json").write_text(json.dumps(content))


def rows(answers, ids=IDS, header="id,ans"):
    return [header, *(f"{photo},{answer}" for photo, answer in zip(ids, answers, strict=True))]


def only(findings, name, state="FAIL"):
    """The one finding that is not ok."""
    (bad,) = [line for line in findings if not line.startswith("ok")]
    assert bad.startswith(f"{state:<4} {name}: ")
    return bad


def test_a_sound_submission_passes_every_check(check, folder):
    findings, said = check(rows([0, 1, 2, 0]), "--run", folder)
    assert [line.partition(":")[0] for line in findings] == [
        f"ok   {name}" for name in ("columns", "rows", "ids", "order", "answers", "classes")
    ]
    assert "BMW [i3]" in said  # rich would take [i3] for a style


def test_without_a_run_the_shares_alone_are_shown(check):
    findings, said = check(rows([0, 1, 7, 0]))
    assert "ok   classes: 3 predicted; --run FOLDER holds them against a run's" in findings
    assert "50.0%" in said
    assert "BMW" not in said


def test_a_submission_in_a_run_folder_is_held_against_that_run(folder, tmp_path, capsys):
    write_hard(folder / "hard.csv", "id", "ans", IDS, [0, 1, 0, 1])
    (tmp_path / "sample.csv").write_text("\n".join(rows([0, 0, 0, 0])))
    assert main([str(folder / "hard.csv"), "--like", str(tmp_path / "sample.csv")]) == 0
    assert "warn classes: never predicted: 2 Ford F-450" in capsys.readouterr().out


def test_another_system_s_config_beside_a_submission_says_nothing(check, tmp_path):
    (tmp_path / "config.json").write_text('{"lr": 0.1}')
    findings, _ = check(rows([0, 1, 7, 0]))
    assert all(line.startswith("ok") for line in findings)


@pytest.mark.parametrize(
    ("lines", "name", "says"),
    [
        (rows([0] * 4, header="ID,ans"), "columns", "ID,ans instead of id,ans; name and order them as"),
        (rows([0] * 4, header="id,label"), "columns", "id,label instead of id,ans"),
        ([f"{line.split(',')[1]},{line.split(',')[0]}" for line in rows([0] * 4)], "columns", "ans,id instead of"),
        ([f"{n},{line}" if n else f",{line}" for n, line in enumerate(rows([0] * 4))], "columns", "pandas' index"),
        ([f"{line},.5,.5" if n else f"{line},0,1" for n, line in enumerate(rows([0] * 4))], "columns", "upload hard"),
        (rows([0, 0, 0, 0], ["0002", "0001", "0003", "0010"]), "order", "'0002' stands where '0001' is expected"),
        (rows(["0", "1.0", "3.0", "2"]), "answers", "a float written for an integer: line 3 (0002) '1.0', line 4"),
        (rows(["0", "", "1", "2"]), "answers", "empty: line 3 (0002) ''"),
        (["id,ans", "0001,0", "0002", "0003,0", "0010,0"], "answers", "empty: line 3 (0002) ''"),
        (rows(["0", "NaN", "1", "2"]), "answers", "no answer: line 3 (0002) 'NaN'"),
        (
            rows(["0", "1.5", "Audi", " 2"]),
            "answers",
            "the number of a class: line 3 (0002) '1.5', line 4 (0003) 'Audi',",
        ),
        (rows(["0", "-1", "1", "2"]), "answers", "not a class from 0: line 3 (0002) '-1'"),
    ],
)
def test_a_fault_is_named_where_it_is(check, lines, name, says):
    findings, _ = check(lines)
    assert says in only(findings, name)


def test_an_id_that_stands_twice_is_named_and_so_is_the_one_that_it_replaced(check):
    findings, _ = check(rows([0, 0, 0, 0], ["0001", "0002", "0003", "0003"]))
    assert "FAIL ids: twice or more: '0003'; keep one row of each" in findings
    assert "FAIL ids: missing: '0010'; predict them too" in findings


def test_floats_are_refused_but_counted_as_their_classes(check, folder):
    findings, _ = check(rows(["0.0", "1.0", "2.", "0.0"]), "--run", folder)
    assert "a float written for an integer: line 2 (0001) '0.0'" in only(findings, "answers")
    assert "ok   classes: all are predicted, none far from its share of the training photos" in findings


def test_rows_that_are_missing_or_too_many_are_counted_and_named(check):
    findings, _ = check(rows([0, 0, 0], ["0001", "x", "y"]))
    assert "FAIL rows: 3 instead of 4" in findings
    assert "FAIL ids: missing: '0002', '0003', '0010'; predict them too" in findings
    assert any(line.startswith("FAIL ids: not in ") and "'x', 'y'; remove" in line for line in findings)


def test_of_many_the_first_few_are_named_and_all_counted(check):
    wanted = rows([0] * 1000, [f"a{n}" for n in range(1000)])
    findings, _ = check(wanted[:3], wanted=wanted)
    assert "FAIL ids: missing: 'a2', 'a3', 'a4' … (998 in all); predict them too" in findings


@pytest.mark.parametrize("ids", [["1", "2", "3", "10"], ["1.0", "2.0", "3.0", "10.0"], ["01", "02", "03", "10"]])
def test_zeros_lost_from_the_front_of_ids_are_called_that(check, ids):
    findings, _ = check(rows([0, 1, 2, 0], ids))
    said = only(findings, "ids")
    assert f"{ids[0]!r} stands where '0001' is expected (4 such ids), so the zeros at the front are lost" in said


def test_an_id_of_nothing_but_zeros_keeps_one(check):
    findings, _ = check(rows([0, 1], ["0", "7"]), wanted=rows([0, 0], ["000", "7"]))
    assert "'0' stands where '000' is expected (1 such ids)" in only(findings, "ids")


def test_a_header_that_is_a_row_is_told(check):
    findings, _ = check(rows([0, 1, 2, 0])[1:])
    assert "its first line is a row already" in findings[0]
    assert any("missing: '0001'" in line for line in findings)


def test_all_faults_are_listed_at_once(check, folder):
    findings, _ = check(["Id,ans", "2,0", "0001,9", "0001,3.0", "x,"], "--run", folder)
    for said in ("columns: Id", "'2' stands", "twice or more: '0001'", "missing: '0003', '0010'", "'x'", "order: "):
        assert any(line.startswith("FAIL") and said in line for line in findings), said
    for said in ("not a class from 0 to 2: line 3 (0001) '9'", "a float written", "empty: line 5 (x)"):
        assert any(line.startswith("FAIL answers") and said in line for line in findings), said


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is not a CSV"),
        ("id,ans\n", "has no rows"),
        ("id;ans\n1;0\n", "semicolons"),
        ("id,ans\n1,0,3\n", "more cells"),
    ],
)
def test_a_file_that_is_no_table_fails(tmp_path, capsys, text, says):
    (tmp_path / "submission.csv").write_text(text)
    (tmp_path / "sample.csv").write_text("id,ans\n1,0\n")
    assert main([str(tmp_path / "submission.csv"), "--like", str(tmp_path / "sample.csv")]) == 1
    said = capsys.readouterr().out
    assert said.startswith("FAIL file: ")
    assert says in said


def test_a_table_without_a_column_of_answers_fails(check):
    findings, _ = check(["id", *IDS])
    assert "FAIL columns: id instead of id,ans" in findings[0]
    assert "unknown which column holds the answers" in findings[1]


SEVERAL = rows(["0", "0 1", "", "2"], header="Id,Predicted")


def test_any_number_of_classes_in_a_row_is_read_and_empty_rows_are_named(check, folder):
    findings, said = check(rows(["0 2", "", "1", "2 0"], header="Id,Predicted"), "--run", folder, wanted=SEVERAL)
    assert "no class, which is allowed: line 3 (0002) ''" in only(findings, "answers", "warn")
    assert said.count("50.0%") == 3  # the classes 0 and 2 in two rows of four each; and the prior of 0


def test_faults_among_several_classes_are_named(check, folder):
    cells = ["0 3", "0;1", "1 1", "2.0 nan"]
    findings, _ = check(rows(cells, header="Id,Predicted"), "--run", folder, wanted=SEVERAL)
    answers = [line.partition(";  ")[0] for line in findings if " answers: " in line]
    assert [line[:4] for line in answers] == ["FAIL"] * 4 + ["warn"]
    for said in ("from 0 to 2: line 2", "number of a class: line 3", "integer: line 5", "no answer: line 5"):
        assert any(said in line for line in answers), said
    assert "the same class twice: line 4 (0003) '1 1'" in answers[-1]


NAMED = rows(["Audi A4"] * 4, header="id,label")


def test_names_are_held_against_the_classes_of_the_run(check, folder):
    good = rows(["Audi A4", "BMW [i3]", "Ford F-450", "Audi A4"], header="id,label")
    findings, _ = check(good, "--run", folder, wanted=NAMED)
    assert "ok   answers: names of classes" in findings
    assert all(line.startswith("ok") for line in findings)
    bad = rows(["Audi A4", "bmw [i3]", "Ford F-450", "0"], header="id,label")
    findings, _ = check(bad, "--run", folder, wanted=NAMED)
    assert any("not the name of a class: line 3 (0002) 'bmw [i3]', line 5 (0010) '0'" in line for line in findings)


def test_numbers_are_no_names_even_where_no_run_says_which_there_are(check):
    findings, _ = check(rows(["Audi A4", "7", "Ford", "Audi A4"], header="id,label"), wanted=NAMED)
    assert "not the name of a class: line 3 (0002) '7'" in only(findings, "answers")


@pytest.mark.parametrize("answers", [["0", "1", "2", "0"], ["Audi A4", "BMW [i3]", "Ford F-450", "Audi A4"]])
def test_a_list_of_ids_alone_leaves_numbers_or_names_to_the_submission(check, folder, answers):
    for wanted in (["id", *IDS], rows([""] * 4)):
        findings, _ = check(rows(answers), "--run", folder, wanted=wanted)
        assert all(line.startswith("ok") for line in findings)


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        (["0", "1", "2", "0"], "ok   answers: "),
        (["Audi A4", "BMW [i3]", "Ford", "Audi A4"], "ok   answers: names of classes"),
        (["0", "1", "Ford", "0"], "FAIL answers: not the number of a class: line 4 (0003) 'Ford'"),
        (["Audi A4", "BMW [i3]", "7", "Audi A4"], "FAIL answers: not the name of a class: line 4 (0003) '7'"),
    ],
)
def test_where_nothing_tells_names_from_numbers_most_answers_do(check, answers, says):
    findings, _ = check(rows(answers), wanted=["id", *IDS])
    (said,) = [line for line in findings if " answers: " in line]
    assert said.startswith(says)


@pytest.mark.parametrize(
    ("wanted", "words", "says"),
    [
        (("id,gender,age", "1,f,3"), (), "name a file of ids and answers alone"),
        (("id,ans", "1,0", "1,0"), (), "names '1' twice"),
        (("id,ans",), (), "has no rows"),
        (("id,ans", "1,0"), ("--run", "{0}/gone"), "gone/config.json tells no classes and their prior"),
        (("id,ans", "1,0"), ("--run", "{0}"), "config.json tells no classes and their prior; .*1 shares for 2 classes"),
    ],
)
def test_what_is_compared_with_must_be_sound_itself(check, tmp_path, wanted, words, says):
    write_config(tmp_path, ["a", "b"], [1.0])
    with pytest.raises(SystemExit, match=says):
        check(["id,ans", "1,0"], *(word.format(tmp_path) for word in words), wanted=wanted)
