import pytest

from notebook import curation_of, notes_of, writable


def test_notes_lie_beside_the_data_or_where_asked_and_all_else_in_a_folder_there(tmp_path):
    assert notes_of(tmp_path, "") == tmp_path
    assert curation_of(tmp_path, "") == tmp_path / "curation"
    assert curation_of(tmp_path, str(tmp_path / "notes")) == tmp_path / "notes" / "curation"


def test_the_folder_is_made_where_its_parent_is(tmp_path):
    assert writable(tmp_path / "curation", "-o").is_dir()
    assert list((tmp_path / "curation").iterdir()) == []


def test_a_root_that_is_marked_read_only_is_left_alone_even_by_root(tmp_path):
    tmp_path.chmod(0o555)
    try:
        with pytest.raises(ValueError, match=r"marked read-only\); name another place with --notes_dir"):
            writable(tmp_path / "curation", "--notes_dir")
        assert list(tmp_path.iterdir()) == []
    finally:
        tmp_path.chmod(0o755)


def test_a_folder_without_a_parent_is_not_made(tmp_path):
    with pytest.raises(ValueError, match="No such file or directory"):
        writable(tmp_path / "no" / "folder", "-o")
