import io
import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from test_standings import answers, blend, make_run

from entries import correlate
from leaderboard import main
from sheet import Sheet, show, to_html, to_markdown


@pytest.fixture
def exp(tmp_path):
    """Three trials of falling quality, a blend, one that failed and one whose predictions are damaged."""
    folder = tmp_path / "exp"
    knobs = {"model": "tiny", "batch_size": 32, "lr": 0.1, "resize": [64, 64], "threads": 2}
    attempts = [{"host": "one"}, {"host": "two"}]
    make_run(folder / "a", 0.8, 1, parameters=knobs, summary={"seconds": 90.0, "images_per_second": 81.5})
    make_run(folder / "b", 0.5, 2, parameters=knobs | {"lr": 0.003, "threads": 1}, summary={"attempts": attempts})
    make_run(folder / "c", 0.2, 3, parameters=knobs | {"resize": [96, 96]})
    make_run(folder / "blend-equal", 0.9, 4, blend=blend("equal"), parameters={"data_dir": "data"})
    make_run(folder / "damaged", parameters=knobs)
    (folder / "damaged" / "val_soft.csv").write_text("id\n")
    broken = make_run(
        folder / "broken", parameters=knobs, summary={"status": "FAILED", "error": "no <b>room</b> [red]|\nx"}
    )
    (broken / "val_soft.csv").unlink()
    for number, name in enumerate("abc"):
        (folder / name / "hard.csv").write_text(f"ImageID,ans\nx.jpg,{number}\n")
    return folder


def board(capsys, *words):
    main([str(word) for word in words])
    return capsys.readouterr().out


def csv_of(tmp_path, capsys, *words):
    board(capsys, *words, "-o", tmp_path / "board.csv")
    return pd.read_csv(tmp_path / "board.csv", dtype={"rank": "Int64"})


def test_the_csv_holds_every_number_in_a_column_of_its_own(tmp_path, capsys, exp):
    table = csv_of(tmp_path, capsys, exp).set_index("trial")
    assert list(table.index) == ["blend-equal", "a", "b", "c", "damaged", "broken"]
    assert table["rank"].tolist()[:4] == [1, 2, 3, 4]
    assert table["rank"].isna().tolist()[4:] == [True, True]
    assert table["kind"].tolist() == ["blend", *["trial"] * 5]
    assert table.loc["b", "lr"] == 0.003
    assert table.loc["c", "resize"] == "96 96"
    assert not {"threads", "model", "batch_size"} & set(table.columns)
    right = answers(0.8, 1).argmax(axis=1) == answers(1, 0).argmax(axis=1)
    assert table.loc["a", "accuracy"] == pytest.approx(right.mean(), rel=1e-6)
    for name in ("accuracy", "macro_f1"):
        good = table.iloc[:4]
        assert ((good[f"{name}_low"] < good[name]) & (good[name] < good[f"{name}_high"])).all()
    assert (table.loc["a", "seconds"], table.loc["a", "images_per_second"]) == (90, 81.5)
    assert (table.loc["a", "best_epoch"], table.loc["a", "epochs"]) == (4, 5)
    assert table.loc["b", "host"] == "one two"
    assert "val_soft.csv" in table.loc["damaged", "error"]
    assert table.loc["broken", "error"] == "no <b>room</b> [red]| val_soft.csv is missing"


def test_trials_are_ranked_by_their_objective_or_by_the_metric_asked_for(tmp_path, capsys, exp):
    board(capsys, exp, "-o", tmp_path / "x.md")
    assert "| rank | trial | macro_f1 | accuracy |" in (tmp_path / "x.md").read_text()
    board(capsys, exp, "--metric", "accuracy", "-o", tmp_path / "x.md")
    assert "| rank | trial | accuracy | macro_f1 |" in (tmp_path / "x.md").read_text()
    with pytest.raises(SystemExit, match="unknown metric 'acuracy'. Did you mean 'accuracy'"):
        main([str(exp), "--metric", "acuracy"])
    summary = exp / "c" / "summary.json"
    summary.write_text(summary.read_text().replace('"macro_f1"', '"accuracy"'))
    assert "The trials had different objectives: macro_f1 (5), accuracy (1); ranked by macro_f1" in " ".join(
        board(capsys, exp).split()
    )


def test_a_row_names_only_what_most_trials_have_otherwise(tmp_path, capsys, exp):
    board(capsys, exp, "-o", tmp_path / "x.md")
    text = (tmp_path / "x.md").read_text()
    assert "| b  SUCCEEDED on one two<br>lr 0.003 |" in text
    assert "| c  SUCCEEDED<br>resize 96 96 |" in text
    assert "| a  SUCCEEDED |" in text
    assert "Where a trial says nothing else: lr 0.1, resize 64 64." in text
    for name, lr in (("a", 0.2), ("c", 0.3)):  # now none has the majority
        config = exp / name / "config.json"
        config.write_text(config.read_text().replace('"lr": 0.1', f'"lr": {lr}'))
    shutil.rmtree(exp / "broken")
    board(capsys, exp, "-o", tmp_path / "x.md")
    text = (tmp_path / "x.md").read_text()
    assert all(f"lr {lr}" in text for lr in (0.1, 0.2, 0.003, 0.3))
    assert "says nothing else: resize 64 64." in text
    assert "blend of 2: probability mean, equal weights, plain decision" in text


def test_runs_that_are_not_comparable_stand_in_sections_and_it_is_said(tmp_path, capsys, exp):
    make_run(exp / "gender", head="gender")
    make_run(tmp_path / "other" / "a", folds={"hash": "bb"})
    table = csv_of(tmp_path, capsys, exp, tmp_path / "other").set_index("trial")
    assert table.loc["exp/gender", "section"].startswith("gender models")
    assert table.loc[["exp/gender", "other/a"], "rank"].tolist() == [1, 1]
    assert table.groupby("section").size().tolist() == [1, 6, 1]
    assert "Sections cannot be compared" in board(capsys, exp, tmp_path / "other")


@pytest.mark.parametrize("width", [50, 74, 80, 140])
@pytest.mark.parametrize("others", [(), ("private=.1111", "public_f1=.2222", "public_acc=.4444")])
def test_a_terminal_of_any_width_shows_every_number_whole(capsys, exp, monkeypatch, width, others):
    for name, f1 in (("a", ".8"), ("b", ".6"), ("c", ".3")):
        board(capsys, exp, "--record", exp / name / "hard.csv", f"f1={f1}", "acc=.7", *others)
    monkeypatch.setenv("COLUMNS", str(width))
    text = board(capsys, exp)
    for score in ("0.8000", "0.6000", "0.3000", *(f"0{word.partition('=')[2]}" for word in others)):
        assert score in text
    assert len(re.findall(r"\b0\.\d{3}–0\.\d{3}\b", text)) == 8  # four runs, two metrics
    assert max(map(len, text.splitlines())) <= width
    words = " ".join(text.split())  # a line may end between a number and its unit
    assert all(word in words for word in ("no <b>room</b>", "[red]|", "82 img/s", "epoch 4/5"))


def test_errors_are_inert_in_a_page_and_in_markdown():
    row = {"trial": "<script>x</script>\na|b [l](u) *c*"}
    sheets = [Sheet("<i>", "trial", ["trial"], [row], ["<u>"])]
    page = to_html("<t>", sheets, ["<n>"])
    assert "&lt;script&gt;x&lt;/script&gt;<br>a|b" in page
    assert not re.search(r"<(script|i|u|t|n)>", page)
    assert not re.search(r"https?:|src=|href=|@import", page)
    text = to_markdown("t", sheets, [])
    assert r"| &lt;script&gt;x&lt;/script&gt;<br>a\|b \[l\](u) \*c\* |" in text


def test_brackets_are_no_markup_of_the_terminal():
    console = Console(file=io.StringIO(), width=60)
    show([Sheet("[b]title", "trial", ["trial"], [{"trial": "[Errno 2] [red]x"}], ["[b]note"])], ["[i]"], console)
    shown = console.file.getvalue()
    for text in ("[b]title", "[Errno 2] [red]x", "[b]note", "[i]"):
        assert text in shown


def test_the_plain_board_has_its_six_columns(tmp_path, capsys, exp):
    board(capsys, exp, "--record", exp / "a" / "hard.csv", "f1=.75", "acc=58.16%")
    table = csv_of(tmp_path, capsys, exp, "--board")
    assert list(table.columns) == ["section", "model", "epoch", "batch_size", "val_acc", "board_f1", "board_acc"]
    assert table.iloc[1, 1:4].tolist() == ["tiny", 4, 32]
    assert table.iloc[1, 5:].tolist() == [0.75, 0.5816]
    assert table.iloc[0]["model"] == "blend-equal"


def test_correlations_are_those_of_scipy_s_definitions():
    """By hand: deviations (-1, 0, 1) and (-2, 1, 1) / 3 give 3 / sqrt(2 * 6); ranks of the second are 1, 2.5, 2.5."""
    points = np.array([[0.1, 0.2], [0.2, 0.5], [0.3, 0.5]])
    assert correlate(points) == "Spearman 0.87, Pearson 0.87 (3 points)"
    assert correlate(np.array([[0.1, 0.3], [0.2, 0.2], [0.3, 0.1]])) == "Spearman -1.00, Pearson -1.00 (3 points)"
    assert correlate(points[:2]) == "2 points: too few"
    assert correlate(points[:1]) == "1 point: too few"
    assert correlate(np.array([[0.1, 0.5], [0.2, 0.5], [0.3, 0.5]])).endswith("all equal: no correlation")


def test_recorded_scores_stand_in_the_table_and_are_correlated(tmp_path, capsys, exp):
    for name, f1 in (("a", ".8"), ("b", ".6")):
        text = board(capsys, exp, "--record", exp / name / "hard.csv", f"f1={f1}", "private=.5")
    assert "val macro_f1 ~ board_f1: 2 points: too few" in text
    text = board(capsys, exp, "--record", exp / "c" / "hard.csv", "f1=30%")
    assert "val macro_f1 ~ board_f1: Spearman 1.00" in text
    table = csv_of(tmp_path, capsys, exp).set_index("trial")
    assert table["board_f1"].dropna().to_dict() == {"a": 0.8, "b": 0.6, "c": 0.3}
    assert table["board_private"].dropna().to_dict() == {"a": 0.5, "b": 0.5}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("{exp}", "-o", "{exp}/x.txt"), "x.txt ends in none of .md, .csv, .html"),
        (("{exp}", "--of", "a"), "--of names the run of a submission"),
        ((), "no run folder given"),
        (("{exp}/gone",), "is missing"),
        (("{exp}", "--record", "{exp}/gone.csv", "f1=.5"), "gone.csv is missing"),
        (("{exp}", "-o", "{exp}/no/x.md"), "x.md: there is no folder"),
        (("{exp}", "-o", "{exp}"), "exp is a folder; name a file in it"),
    ],
)
def test_a_command_that_makes_no_sense_is_refused(tmp_path, capsys, exp, words, says):
    with pytest.raises(SystemExit, match=f"error: .*{re.escape(says)}"):
        main([word.format(exp=exp) for word in words])
    assert not list(exp.glob("x.*"))


def test_the_glob_of_an_experiment_that_holds_a_board_and_a_report_is_a_table_of_its_runs(tmp_path, capsys, exp):
    board(capsys, exp, "--record", exp / "a" / "hard.csv", "f1=.75")
    for name in ("report.html", "trials.jsonl"):
        (exp / name).write_text("")
    table = csv_of(tmp_path, capsys, *sorted(exp.iterdir())).set_index("trial")
    assert len(table) == 6
    assert table.loc["a", "board_f1"] == 0.75


def test_scores_of_answers_that_a_run_has_no_more_are_left_out_and_named(tmp_path, capsys, exp):
    for name, f1 in (("a", ".8"), ("b", ".6"), ("c", ".3")):
        board(capsys, exp, "--record", exp / name / "hard.csv", f"f1={f1}")
    (exp / "a" / "hard.csv").write_text("ImageID,ans\nx.jpg,7\n")
    text = " ".join(board(capsys, exp).split())
    assert "val macro_f1 ~ board_f1: 2 points: too few" in text
    assert re.search(r"Left out: board_f1 0.8000 of \S+, as exp/a has answered otherwise since.", text)
    assert csv_of(tmp_path, capsys, exp).set_index("trial")["board_f1"].dropna().to_dict() == {"b": 0.6, "c": 0.3}


def test_an_experiment_where_every_trial_failed_early_is_shown(tmp_path, capsys):
    for name in ("a", "b"):
        (tmp_path / "exp" / name).mkdir(parents=True)
        (tmp_path / "exp" / name / "summary.json").write_text(json.dumps({"status": "FAILED", "error": "no photos"}))
    text = board(capsys, tmp_path / "exp")
    assert text.count("no photos") == 2
    assert "ended before their folds were known" in text


def test_nothing_of_a_page_that_could_not_be_written_is_left(tmp_path, capsys, exp, monkeypatch):
    page = tmp_path / "x.html"
    page.write_text("old")
    shutil.rmtree(exp / "a")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(SystemExit, match="No space left on device"):
        main([str(exp), "-o", str(page)])
    assert page.read_text() == "old"
    assert not list(tmp_path.glob(".x*"))
