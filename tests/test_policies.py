import json
import subprocess
import sys

import pytest
from conftest import PROJECT

from policies import best_stretch, main
from policy import random_policy, read_policy


def write_run(folder, augmentation, values, *, name="val_macro_f1", status="SUCCEEDED", **parameters):
    folder.mkdir(parents=True)
    chosen = {"augmentation": augmentation, "lr": 0.1, "seed": 0, "fold": "0"} | parameters
    (folder / "config.json").write_text(json.dumps({"parameters": chosen}))
    (folder / "summary.json").write_text(json.dumps({"status": status, "error": "no room"}))
    rows = [{"epoch": epoch, "val_loss": 1.0, name: value} for epoch, value in enumerate(values, 1)]
    (folder / "history.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.fixture
def night(tmp_path):
    """Seven policies whose scores over 2 epochs fall with their number, and two rivals."""
    for number in range(7):
        level = 0.8 - number / 10
        values = [0.0, level - 0.05, level + 0.05, 0.99 if number == 6 else 0.0]  # one lucky epoch is not enough
        write_run(tmp_path / "outputs" / "night" / f"t{number}", f"crop+policy:random:{number}", values)
    write_run(tmp_path / "outputs" / "night" / "u0", "randaugment", [0.9, 0.9])
    write_run(tmp_path / "outputs" / "night" / "u1", "none", [0.1, 0.3])
    return tmp_path


def join(folder, *words):
    main([*map(str, words), "--outputs", str(folder / "outputs"), "-o", str(folder / "out.json")])
    return json.loads((folder / "out.json").read_text())


def test_the_sub_policies_of_the_best_policies_are_joined(night, capsys):
    found = join(night, "night", "--window", 2)
    best = [0, 1, 6, 2, 3]  # 6 scores (0.25 + 0.99) / 2
    expected = tuple(part for number in best for part in random_policy(number))
    assert len(expected) == 25
    assert read_policy(str(night / "out.json")) == expected
    kept = found["from"]["policies"]
    assert [entry["policy"] for entry in kept] == [f"random:{number}" for number in best]
    assert [round(entry["score"], 9) for entry in kept] == [0.8, 0.7, 0.62, 0.6, 0.5]
    assert kept[2]["runs"] == [str(night / "outputs" / "night" / "t6")]
    assert (found["from"]["metric"], found["from"]["epochs"]) == ("val_macro_f1", 2)


def test_the_table_has_all_policies_and_their_rivals_best_first(night, capsys):
    join(night, "night", "--window", 2, "--keep", 2)
    table = [line.split() for line in capsys.readouterr().out.splitlines()[2:11]]
    assert table == [
        ["1", "0.9000", "1-2", "1", "randaugment"],
        ["2*", "0.8000", "2-3", "1", "policy:random:0"],
        ["3*", "0.7000", "2-3", "1", "policy:random:1"],
        ["4", "0.6200", "3-4", "1", "policy:random:6"],
        ["5", "0.6000", "2-3", "1", "policy:random:2"],
        ["6", "0.5000", "2-3", "1", "policy:random:3"],
        ["7", "0.4000", "2-3", "1", "policy:random:4"],
        ["8", "0.3000", "2-3", "1", "policy:random:5"],
        ["9", "0.2000", "1-2", "1", "none"],
    ]


def test_a_joined_policy_can_be_joined_again(night, monkeypatch):
    join(night, "night", "--window", 2)
    folder = night / "again"
    (night / "out.json").rename(night / "first.json")
    monkeypatch.chdir(night)
    write_run(folder / "a", "policy:first.json", [0.5])
    write_run(folder / "b", "policy:random:40", [0.6])
    join(night, folder, "--window", 1, "--keep", 2)
    expected = random_policy(40) + read_policy("first.json")
    assert read_policy("out.json") == expected
    assert len(expected) == 30


def test_runs_of_one_policy_count_once_with_their_mean(tmp_path, capsys):
    for number, value in enumerate((0.9, 0.1)):
        write_run(tmp_path / "x" / f"a{number}", "policy:random:1", [value], seed=number)
    write_run(tmp_path / "x" / "b", "policy:random:2", [0.6])
    found = join(tmp_path, tmp_path / "x", "--window", 1, "--keep", 2)
    assert [(entry["policy"], entry["score"]) for entry in found["from"]["policies"]] == [
        ("random:2", 0.6),
        ("random:1", 0.5),
    ]
    assert "note" not in capsys.readouterr().out


def test_runs_that_do_not_compare_are_named(tmp_path, capsys):
    write_run(tmp_path / "x" / "a", "policy:random:1", [0.5])
    write_run(tmp_path / "x" / "b", "policy:random:2+noise", [0.6], lr=0.2)
    join(tmp_path, tmp_path / "x", "--window", 1, "--keep", 1)
    said = capsys.readouterr().out
    assert "these runs differ in more than their augmentation: lr\n" in said
    assert "beside their policies runs had noise or nothing\n" in said


def test_run_folders_can_be_named_one_by_one_and_count_once(night, capsys):
    runs = [night / "outputs" / "night" / f"t{number}" for number in (1, 3, 1)]
    found = join(night, *runs, "--window", 2, "--keep", 2)
    assert [len(entry["runs"]) for entry in found["from"]["policies"]] == [1, 1]


def test_trials_that_failed_or_still_run_are_left_out_and_named(night, capsys):
    write_run(night / "outputs" / "night" / "v0", "policy:random:8", [], status="FAILED")
    write_run(night / "outputs" / "night" / "v1", "policy:random:9", [1.0, 1.0], status="RUNNING")
    (night / "outputs" / "night" / "blend").mkdir()
    (night / "outputs" / "night" / "blend" / "config.json").write_text('{"members": []}')
    join(night, "night", "--window", 2)
    said = capsys.readouterr().out
    assert "v0 is FAILED: no room" in said
    assert "v1 is RUNNING" in said
    assert "blend is no trial" in said
    assert "random:9" not in said


def test_epochs_without_a_number_never_win(tmp_path, capsys):
    write_run(tmp_path / "x" / "a", "policy:random:1", [float("nan"), 0.2, 0.1])
    write_run(tmp_path / "x" / "b", "policy:random:2", [float("nan")] * 3)
    assert best_stretch(tmp_path / "x" / "a", "macro_f1", 1) == (0.2, (2, 2))
    found = join(tmp_path, tmp_path / "x", "--window", 1, "--keep", 1)
    assert found["from"]["policies"][0]["policy"] == "random:1"


def fails(folder, *words):
    with pytest.raises(SystemExit) as error:
        join(folder, *words)
    assert not (folder / "out.json").exists()
    return str(error.value)


def test_fewer_epochs_than_the_window_are_an_error(night):
    assert "t0 has 4 epochs, fewer than --window 10; lower it" in fails(night, "night")


def test_fewer_policies_than_are_to_be_kept_are_an_error(night):
    assert "7 policies have a score, fewer than --keep 8" in fails(night, "night", "--window", 2, "--keep", 8)


def test_a_metric_that_was_not_measured_is_an_error(night):
    said = fails(night, "night", "--window", 2, "--metric", "macro_f2")
    assert "unknown metric 'macro_f2'. Did you mean 'macro_f1'?" in said


def test_a_folder_that_is_not_there_or_holds_no_runs_is_an_error(night):
    assert "there is no folder nigth here or in" in fails(night, "nigth")
    assert "is no run folder and holds none" in fails(night, night / "outputs")


def test_a_run_with_two_policies_is_an_error(tmp_path):
    write_run(tmp_path / "x", "policy:random:1+policy:random:2", [0.5])
    assert "had 2 policies, random:1 and random:2" in fails(tmp_path, tmp_path / "x", "--window", 1, "--keep", 1)


def test_a_policy_file_that_is_gone_is_an_error(tmp_path):
    write_run(tmp_path / "x", "policy:gone.json", [0.5])
    assert "policy:gone.json: no such file" in fails(tmp_path, tmp_path / "x", "--window", 1, "--keep", 1)


def test_an_output_that_augmentation_could_not_name_is_an_error(night):
    with pytest.raises(SystemExit, match="has \\+ in its name"):
        main(["night", "--outputs", str(night / "outputs"), "-o", str(night / "a+b.json")])


def test_the_command_works_from_any_folder(night):
    command = [sys.executable, PROJECT / "search" / "policies.py", "outputs/night", "--window", "2", "-o", "p.json"]
    done = subprocess.run(command, cwd=night, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Train with --augmentation policy:p.json" in done.stdout
    assert len(read_policy(str(night / "p.json"))) == 25
