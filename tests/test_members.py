import json
from pathlib import Path

import pytest
from library_of_runs import answers_of, make_run

from members import check_agreement, differing_knobs, find_members
from predictions import read_validation


@pytest.fixture
def experiment(tmp_path):
    """Two trials, one that failed before its first step, and a blend."""
    labels = answers_of()
    for seed, name in enumerate("ab"):
        make_run(tmp_path / "exp" / name, seed, labels)
    make_run(tmp_path / "exp" / "blend-equal", 2, labels, blend={"members": ["exp/a", "exp/b"]})
    (tmp_path / "exp" / "c").mkdir()
    (tmp_path / "exp" / "c" / "summary.json").write_text('{"status": "FAILED", "error": "no such model"}')
    return tmp_path / "exp"


def names(members):
    return [member.name for member in members]


def test_an_experiment_folder_stands_for_its_run_folders(experiment, capsys):
    assert names(find_members([experiment], with_blends=True)) == ["exp/a", "exp/b", "exp/blend-equal", "exp/c"]
    assert names(find_members([experiment], with_blends=False)) == ["exp/a", "exp/b", "exp/c"]
    assert "left out: exp/blend-equal; --with_blends" in capsys.readouterr().out


def test_run_folders_and_files_in_them_are_the_same_and_count_once(experiment):
    given = [experiment / "b", experiment / "b" / "soft.csv", experiment / "a" / "val_soft.csv"]
    assert names(find_members(given, with_blends=False)) == ["exp/b", "exp/a"]


def test_runs_keep_their_names_wherever_one_stands(experiment, monkeypatch):
    for here, given, shown in (
        (experiment.parent, "exp/a", "exp/a"),
        (experiment, "a", str(experiment / "a")),
        (experiment / "a", ".", str(experiment / "a")),
    ):
        monkeypatch.chdir(here)
        (member,) = find_members([Path(given)], with_blends=False)
        assert (member.name, str(member.path)) == ("exp/a", shown)


def test_what_is_no_run_folder_is_refused(tmp_path, experiment):
    (tmp_path / "empty").mkdir()
    for path, says in ((tmp_path / "empty", "is no run folder, and holds none"), (tmp_path / "gone", "is missing")):
        with pytest.raises(ValueError, match=says):
            find_members([path], with_blends=False)
    with pytest.raises(ValueError, match="no run folder given"):
        find_members([experiment / "blend-equal"], with_blends=False)


def test_a_damaged_config_is_named(experiment):
    (experiment / "a" / "config.json").write_text("{")
    with pytest.raises(ValueError, match="exp/a/config.json is not JSON"):
        find_members([experiment], with_blends=False)


def test_the_knobs_that_differ_are_those_of_the_search(experiment):
    assert differing_knobs(find_members([experiment], with_blends=True)) == ["lr"]


def change_validation(folder, change):
    lines = (folder / "val_soft.csv").read_text().splitlines()
    (folder / "val_soft.csv").write_text("\n".join([lines[0], *change(lines[1:])]) + "\n")


def disagreement(experiment):
    first, second = find_members([experiment / "a", experiment / "b"], with_blends=False)
    with pytest.raises(ValueError, match="exp/b") as caught:
        check_agreement(
            second, read_validation(second.path / "val_soft.csv"), first, read_validation(first.path / "val_soft.csv")
        )
    return str(caught.value)


@pytest.mark.parametrize(("what", "name"), [("hash", "fold hash"), ("fold", "fold")])
def test_runs_of_other_folds_are_refused(experiment, what, name):
    path = experiment / "b" / "config.json"
    config = json.loads(path.read_text())
    config["folds"][what] = 3
    path.write_text(json.dumps(config))
    assert f"exp/b has {name} 3" in disagreement(experiment)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda rows: rows[1:], "lacks id 'p0/0.jpg'"),
        (lambda rows: [rows[0].replace("p0/0", "x"), *rows], "has id 'x.jpg', which is not"),
        (lambda rows: [row.replace(",p0,", ",p1,") for row in rows], "is person 'p1' in fold 0, but person 'p0'"),
        (lambda rows: [row.replace(".jpg,0,", ".jpg,4,") for row in rows], "in fold 4, but person 'p0' in fold 0"),
    ],
)
def test_other_photos_or_people_are_refused(experiment, change, says):
    change_validation(experiment / "b", change)
    assert says in disagreement(experiment)
