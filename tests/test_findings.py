import os
from pathlib import Path

import pytest

from copies.findings import check_room, write_findings
from leaks import holds_header_alone
from predictions import read_rows

TABLES = {
    "groups.csv": [("a.jpg", "p"), ("b.jpg", "p")],
    "leaks.csv": [],
    "conflicts.csv": [(1, "label", "a.jpg", "p", "x"), (1, "label", "b.jpg", "q", "y")],
}


def test_the_files_are_written_and_an_empty_one_holds_its_header(tmp_path):
    check_room(tmp_path, overwrite=False)
    write_findings(tmp_path, TABLES, {"found": 1})
    assert list(read_rows(tmp_path / "groups.csv").values()) == [
        {"path": "a.jpg", "group": "p"},
        {"path": "b.jpg", "group": "p"},
    ]
    assert (tmp_path / "leaks.csv").read_text() == "test_id,train_path,distance\n"
    assert holds_header_alone(tmp_path / "leaks.csv", ("test_id",))
    assert len(read_rows(tmp_path / "curation" / "conflicts.csv")) == 2


def test_a_search_writes_over_what_a_search_wrote(tmp_path):
    check_room(tmp_path, overwrite=False)
    write_findings(tmp_path, TABLES, {})
    check_room(tmp_path, overwrite=False)


def test_what_somebody_wrote_or_changed_is_not_written_over(tmp_path):
    (tmp_path / "groups.csv").write_text("path,group\na.jpg,mine\n")
    with pytest.raises(ValueError, match=r"holds groups.csv, written or changed by somebody.*--overwrite"):
        check_room(tmp_path, overwrite=False)
    check_room(tmp_path, overwrite=True)
    assert "mine" in (tmp_path / "groups.csv").read_text()
    write_findings(tmp_path, TABLES, {})
    with open(tmp_path / "leaks.csv", "a") as file:
        file.write("t,a.jpg,0\n")
    with pytest.raises(ValueError, match="holds leaks.csv, written"):
        check_room(tmp_path, overwrite=False)


@pytest.mark.parametrize("after", range(5))
def test_a_search_that_is_killed_between_its_files_leaves_none_that_is_strange(tmp_path, after, monkeypatch):
    check_room(tmp_path, overwrite=False)
    write_findings(tmp_path, TABLES, {})
    done, replace = [], os.replace

    def killed(scratch, path):
        if tmp_path in Path(path).parents:
            if len(done) == after:
                raise KeyboardInterrupt
            done.append(path)
        replace(scratch, path)

    for name in ("c.jpg", "d.jpg"):  # twice, as the second is killed where the first had left off
        done.clear()
        monkeypatch.setattr(os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            write_findings(tmp_path, {table: [] for table in TABLES} | {"groups.csv": [(name, "p")]}, {})
        monkeypatch.setattr(os, "replace", replace)
        check_room(tmp_path, overwrite=False)
    (tmp_path / "groups.csv").write_text("path,group\na.jpg,mine\n")
    with pytest.raises(ValueError, match="holds groups.csv, written"):
        check_room(tmp_path, overwrite=False)


@pytest.mark.parametrize("record", ["", "[]", '{"files": 3}'])
def test_a_damaged_record_is_as_none(tmp_path, record):
    check_room(tmp_path, overwrite=False)
    write_findings(tmp_path, TABLES, {})
    (tmp_path / "curation" / "duplicates.json").write_text(record)
    with pytest.raises(ValueError, match=r"groups.csv, leaks.csv, conflicts.csv"):
        check_room(tmp_path, overwrite=False)


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ValueError, match="is no folder; make it, or name another"):
        check_room(tmp_path / "none", overwrite=True)


def test_a_folder_that_cannot_be_written_is_refused():
    with pytest.raises(ValueError, match=r"/proc/self cannot be written to \(.*--notes_dir"):
        check_room(Path("/proc/self"), overwrite=False)
