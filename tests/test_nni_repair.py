"""The repair of the installed NNI, on a copy of it; what the repairs do is tested where they matter."""

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import nni_node
import pytest
from conftest import PROJECT
from released import released_nni

import nni_repair
from nni_repair import KEPT, REPAIRS, apply, check_version, local, missing, undo

NODE = Path(nni_node.__path__[0]) / "node"


@pytest.fixture
def copy(tmp_path):
    """The repaired files as NNI released them, and nothing else."""
    installed = local()
    for name in {repair.file for repair in REPAIRS}:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(Path(installed.root, name), tmp_path / name)
        kept = Path(installed.root, name + KEPT)
        if kept.is_file():
            shutil.copy(kept, tmp_path / (name + KEPT))
    undo(local(tmp_path))
    return local(tmp_path)


def in_order(repairs):
    return sorted(repairs, key=lambda repair: (repair.file, repair.old))


def content(installation):
    return {repair.file: installation.read(repair.file) for repair in REPAIRS}


def test_the_nni_that_make_setup_installed_is_repaired():
    assert missing(local()) == []


def test_every_repair_says_why_and_finds_its_place_in_the_released_files(copy):
    assert in_order(missing(copy)) == in_order(REPAIRS)
    assert all(len(repair.why) > 10 for repair in REPAIRS)


def test_applying_twice_changes_nothing_more_and_undo_gives_the_released_bytes_back(copy):
    released = content(copy)
    assert apply(copy) == len(REPAIRS)
    repaired = content(copy)
    assert apply(copy) == 0
    assert content(copy) == repaired
    assert undo(copy) == len(released)
    assert undo(copy) == 0
    assert content(copy) == released
    assert apply(copy) == len(REPAIRS)


def test_a_repair_that_broke_off_between_two_files_is_completed(copy):
    released = content(copy)
    apply(copy)
    file = REPAIRS[0].file
    copy.write(file, released[file])
    assert missing(copy) == [repair for repair in REPAIRS if repair.file == file]
    apply(copy)
    assert missing(copy) == []


def test_an_older_repair_is_replaced_by_the_present_one(copy, monkeypatch):
    """As after a git pull that changed a patch."""
    released = content(copy)
    older = [replace(repair, new=repair.new + "// older\n") for repair in REPAIRS]
    with monkeypatch.context() as before:
        before.setattr(nni_repair, "REPAIRS", older)
        apply(copy)
    assert len(missing(copy)) > 0
    apply(copy)
    assert missing(copy) == []
    assert "// older" not in "".join(content(copy).values())
    undo(copy)
    assert content(copy) == released


def test_the_repaired_files_are_sound_programs(copy):
    apply(copy)
    for name in {repair.file for repair in REPAIRS}:
        if name.endswith(".js"):
            subprocess.run([NODE, "--check", Path(copy.root, name)], check=True)
        elif name.endswith(".py"):
            compile(copy.read(name), name, "exec")


def test_permissions_stay_and_no_scratch_file_is_left(copy):
    file = Path(copy.root, REPAIRS[0].file)
    file.chmod(0o640)
    apply(copy)
    assert file.stat().st_mode & 0o777 == 0o640
    assert list(Path(copy.root).rglob("*.podium")) == []


@pytest.mark.parametrize("repaired_before", [False, True])
def test_a_file_that_somebody_else_changed_is_refused_by_name_and_left_alone(copy, repaired_before):
    file = Path(copy.root, REPAIRS[0].file)
    if repaired_before:
        apply(copy)
        file.write_text(file.read_text().replace(REPAIRS[0].new, "somebody's own line\n"))
    else:
        file.write_text(file.read_text().replace(REPAIRS[0].old, "somebody's own line\n"))
    before = content(copy)
    with pytest.raises(ValueError, match=rf"{REPAIRS[0].file} is neither as NNI 3.0 released it.*force-reinstall"):
        apply(copy)
    assert content(copy) == before


def test_another_version_of_nni_is_refused():
    with pytest.raises(ValueError, match=r"this Python has NNI 2.10; the repairs are for 3.0"):
        check_version("2.10", "this Python")
    with pytest.raises(ValueError, match=r"box has no NNI"):
        check_version("", "box")


def test_check_apply_and_undo_from_the_command_line(copy, monkeypatch, capsys):
    monkeypatch.setattr(nni_repair, "local", lambda: copy)

    def run(*words):
        with pytest.raises(SystemExit) as stop:
            nni_repair.main(list(words))
        return stop.value.code, capsys.readouterr().out

    code, said = run("--check")
    assert code == 1
    assert f"NNI lacks {len(REPAIRS)} of {len(REPAIRS)} repairs; run python search/nni_repair.py --apply" in said
    assert run("--apply")[0] == 0
    assert run("--check")[0] == 0
    assert run("--undo")[0] == 0
    assert run("--check")[0] == 1
    assert run("--check", "--host", "box")[0].startswith("error: --host NAME is one of the machines of --config")


def test_the_released_copy_that_other_tests_compare_with_is_as_released(tmp_path):
    assert in_order(missing(local(released_nni(tmp_path / "released")))) == in_order(REPAIRS)
    assert missing(local()) == []
    assert not list((PROJECT / "search").rglob("*.podium"))
