import os
import shutil

import numpy as np
import pyarrow
import pytest

import columns
from columns import copy_of, keep, kept, load
from predictions import read_soft, read_validation, write_soft, write_validation
from task import one_hot

IDS = ("b.jpg", "a.jpg", "001.jpg")
CHANCES = np.random.default_rng(0).dirichlet(np.ones(3), 3)


@pytest.fixture
def soft(tmp_path):
    """A soft CSV with its copy."""
    path = tmp_path / "soft.csv"
    write_soft(path, "ImageID", IDS, CHANCES)
    keep(path)
    return path


@pytest.fixture
def unread(monkeypatch):
    """From here on no CSV can be read."""

    def fail(text):
        raise AssertionError("the CSV was read")

    return lambda: monkeypatch.setattr(columns, "parse", fail)


def later(path):
    """As if `path` was written a second later, or brought home from another machine."""
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 10**9))


def test_a_copy_says_what_its_csv_says_to_the_last_bit(soft, unread):
    plain = shutil.copy(soft, soft.with_name("plain.csv"))
    expected = read_soft(plain)
    unread()
    found = read_soft(soft)
    assert (found.ids, found.id_column, found.note) == (IDS, "ImageID", "")
    np.testing.assert_array_equal(found.probabilities, expected.probabilities)


def test_validation_files_are_read_from_their_copies_too(tmp_path, unread):
    path, truth = tmp_path / "val_soft.csv", one_hot(np.array([0, 2, 1]), 3) > 0
    write_validation(path, IDS, np.array([0, 0, 1]), ["01", "01", "2"], truth, truth, CHANCES)
    expected = read_validation(path)
    keep(path)
    unread()
    found = read_validation(path)
    assert found.groups == ("01", "01", "2")
    for name in ("folds", "given", "truth", "probabilities"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def test_a_copy_is_known_by_its_text_where_files_were_moved(soft, unread):
    later(soft)
    unread()
    assert read_soft(soft).ids == IDS


@pytest.mark.parametrize("change", [lambda text: text.replace("b.jpg", "c.jpg"), lambda text: text + "d.jpg,0,1,0,0\n"])
def test_of_a_csv_that_was_edited_the_copy_is_not_looked_at(soft, change):
    soft.write_text(change(soft.read_text()))
    later(soft)
    text = soft.read_text().splitlines()[1:]
    assert read_soft(soft).ids == tuple(line.split(",")[0] for line in text) != IDS


def test_a_csv_of_another_length_is_read_whatever_its_time(soft):
    time = soft.stat().st_mtime_ns
    soft.write_text(soft.read_text().replace("b.jpg", "bb.jpg"))
    os.utime(soft, ns=(time, time))
    assert read_soft(soft).ids[0] == "bb.jpg"


def test_a_csv_that_was_cut_is_refused_though_its_copy_is_whole(soft):
    soft.write_text(soft.read_text()[:-12])
    with pytest.raises(ValueError, match=r"soft\.csv"):
        read_soft(soft)


@pytest.mark.parametrize("content", [b"", b"ARROW1", b"\0" * 3000, None])
def test_a_damaged_copy_is_not_looked_at(soft, content):
    whole = copy_of(soft).read_bytes()
    copy_of(soft).write_bytes(whole[: len(whole) // 2] if content is None else content)
    assert kept(soft) is None
    assert read_soft(soft).ids == IDS


@pytest.mark.parametrize("about", [None, {"csv": "soft.csv"}, {"csv": "{}"}, {"csv": "[1]"}])
def test_an_arrow_file_of_something_else_is_no_copy(soft, about):
    table = pyarrow.table({"ImageID": ["x.jpg"], "0": [1.0]}).replace_schema_metadata(about)
    with pyarrow.ipc.new_file(copy_of(soft), table.schema) as writer:
        writer.write_table(table)
    assert kept(soft) is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("ImageID,0,1\na,.5,.5\nb,.5\n", "id 'b' has a value that is not a finite number"),  # too few for Arrow
        ("ImageID,0,1\na,.5,.5\nb,.5,half\n", "id 'b' has a value that is not a finite number"),
        ("ImageID,0,1,1\na,.5,.5,.5\n", "has two columns '1'"),
    ],
)
def test_what_arrow_does_not_read_is_refused_in_the_words_of_this_project(tmp_path, text, says):
    (tmp_path / "soft.csv").write_text(text)
    with pytest.raises(ValueError, match=says):
        read_soft(tmp_path / "soft.csv")


def test_ids_that_differ_in_the_middle_alone_are_told_apart(tmp_path):
    for name in ("b", "c", "a"):
        (tmp_path / f"{name}.csv").write_text(f"ImageID,0,1\na,.5,.5\n{name},.5,.5\nz,.5,.5\n")
    assert read_soft(tmp_path / "b.csv").ids == ("a", "b", "z")
    assert read_soft(tmp_path / "c.csv").ids == ("a", "c", "z")
    with pytest.raises(ValueError, match=r"a\.csv: id 'a' stands twice"):
        read_soft(tmp_path / "a.csv")


def test_files_of_the_same_ids_share_them(soft):
    again = shutil.copy(soft, soft.with_name("again.csv"))
    assert read_soft(soft).ids is read_soft(again).ids


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_csv_is_read_as_any_system_writes_it(tmp_path, mark, end):
    lines = ('"ImageID","ans","0","1"', "001,0,.75,.25", '"2,b",1,.25,.75', "")
    (tmp_path / "soft.csv").write_text(mark + end.join(lines), newline="")
    soft = read_soft(tmp_path / "soft.csv")
    assert (soft.id_column, soft.ids) == ("ImageID", ("001", "2,b"))
    np.testing.assert_array_equal(soft.probabilities, [[0.75, 0.25], [0.25, 0.75]])


@pytest.mark.parametrize(("name", "cell"), [("label", "3"), ("label_given", "-1"), ("fold", "x"), ("fold", "")])
def test_a_label_or_fold_that_is_none_is_named(tmp_path, name, cell):
    about = {"id": "b", "fold": "0", "group": "p", "label_given": "1", "label": "1"} | {name: cell}
    rows = [f"a{number},0,p,2,2,.1,.2,.7" for number in range(3)]
    text = "\n".join([",".join([*about, "0", "1", "2"]), *rows, ",".join([*about.values(), ".1", ".2", ".7"])])
    (tmp_path / "val_soft.csv").write_text(text + "\n")
    with pytest.raises(ValueError, match=f"val_soft.csv: id 'b' has {name} '{cell}', which is not a number from 0"):
        read_validation(tmp_path / "val_soft.csv")


def test_without_a_copy_the_csv_is_read(soft):
    copy_of(soft).unlink()
    assert load(soft).column_names == ["ImageID", "ans", "0", "1", "2"]
    assert read_soft(soft).ids == IDS


def test_a_copy_is_replaced_whole_and_leaves_nothing_beside_it(soft):
    before = copy_of(soft).read_bytes()
    keep(soft)
    assert copy_of(soft).read_bytes() == before
    assert sorted(path.name for path in soft.parent.iterdir()) == ["soft.csv", "soft.csv.arrow"]
