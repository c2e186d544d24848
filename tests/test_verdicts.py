import os
import random
import signal
import subprocess
import sys
import time

import pytest
from conftest import PROJECT

from desk.verdicts import Store, Verdict, check_name, hold, live

WRITER = """
import sys
sys.path[:0] = sys.argv[1:3]
from pathlib import Path
from desk.verdicts import Store, Verdict
store = Store(Path(sys.argv[3]), "made for these")
for number in range(int(sys.argv[4]), 10**9):
    store.append([Verdict(f"key-{number:08d}", "anna", f"{number}.jpg", value="right")])
    print(number, flush=True)
"""


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "review.sqlite", "made for these")
    yield store
    store.close()


def said(key, value="wrong", reviewer="anna", **given):
    return Verdict(key, reviewer, "a.jpg", "a", value=value, **given)


def test_verdicts_are_read_as_they_were_appended_and_numbered_from_1(store, tmp_path):
    assert store.append([said("first"), said("second", "female", field="gender", settles=True)]) == 2
    other = Store(tmp_path / "review.sqlite", "made for these")
    log = other.read()
    other.close()
    assert [(one.number, one.key, one.value, one.field, one.settles) for one in log] == [
        (1, "first", "wrong", "", False),
        (2, "second", "female", "gender", True),
    ]
    assert all(one.at for one in log)


def test_a_verdict_that_comes_twice_is_kept_once(store):
    assert store.append([said("first")]) == 1
    assert store.append([said("first"), said("second")]) == 1
    assert [one.key for one in store.read()] == ["first", "second"]


def test_what_is_undone_stays_in_the_log_and_holds_no_more(store):
    store.append([said("first"), said("second", "right"), Verdict("third", "anna", undoes="second")])
    assert len(store.read()) == 3
    assert [one.key for one in live(store.read())] == ["first"]


def test_one_reviewer_cannot_undo_what_another_said_and_then_nothing_is_kept(store):
    store.append([said("first")])
    with pytest.raises(ValueError, match="ben has no entry 'first' that could be undone"):
        store.append([said("second", reviewer="ben"), Verdict("third", "ben", undoes="first")])
    assert len(store.read()) == 1


def test_the_journal_is_flushed_at_each_commit(store):
    assert store.base.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert store.base.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL


def test_a_log_of_other_data_is_refused_with_a_cure(store, tmp_path):
    with pytest.raises(ValueError, match="made for these; these are others.*another --notes_dir"):
        Store(tmp_path / "review.sqlite", "others")


def test_a_file_that_is_no_log_is_refused_and_left_as_it_is(tmp_path):
    path = tmp_path / "review.sqlite"
    path.write_text("photos, and other things that are no database" * 30)
    with pytest.raises(ValueError, match=r"review\.sqlite cannot be opened .*move it away"):
        Store(path, "made for these")
    assert path.read_text().startswith("photos")


def test_a_second_process_is_told_who_has_the_file(tmp_path):
    lock = hold(tmp_path / "review.sqlite", ", http://127.0.0.1:8090")
    with pytest.raises(ValueError, match=rf"in use by process {os.getpid()} on .*, http://127.0.0.1:8090"):
        hold(tmp_path / "review.sqlite", "")
    os.close(lock)
    os.close(hold(tmp_path / "review.sqlite", ""))


def test_the_lock_of_a_killed_process_blocks_nobody(tmp_path):
    path = tmp_path / "review.sqlite"
    script = "import sys; from pathlib import Path; sys.path[:0] = sys.argv[2:]; from desk.verdicts import hold;"
    script += "hold(Path(sys.argv[1]), ''); print('held', flush=True); input()"
    command = [sys.executable, "-c", script, path, PROJECT / "curate", PROJECT / "baseline"]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(ValueError, match=f"process {holder.pid} "):
            hold(path, "")
    finally:
        holder.kill()
        holder.communicate()
    os.close(hold(path, ""))


def test_nothing_that_was_acknowledged_is_lost_when_the_process_is_killed_at_any_moment(tmp_path):
    """Kills a writer ten times, each time after another while."""
    path, rng, next_one = tmp_path / "review.sqlite", random.Random(0), 0
    for _ in range(10):
        command = [sys.executable, "-c", WRITER, PROJECT / "baseline", PROJECT / "curate", path, str(next_one)]
        writer = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        writer.stdout.readline()
        time.sleep(rng.uniform(0, 0.05))
        writer.send_signal(signal.SIGKILL)
        acknowledged = [int(line) for line in writer.communicate()[0].split("\n") if line.strip()] or [next_one]
        store = Store(path, "made for these")
        kept = {one.path for one in store.read()}
        assert store.base.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        store.close()
        assert {f"{number}.jpg" for number in range(acknowledged[-1] + 1)} <= kept
        next_one = len(kept)
    assert next_one > 10


def test_verdicts_of_many_threads_are_all_kept(store):
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: store.append([said(f"key {number}")]), range(100)))
    assert len({one.key for one in store.read()}) == 100


def test_words_that_two_processes_add_to_a_fact_are_all_kept(store, tmp_path):
    other = Store(tmp_path / "review.sqlite", "made for these")
    for number, one in enumerate((store, other, store)):
        one.add_word("known", f"w{number}")
    assert store.fact("known", "").split() == ["w0", "w1", "w2"]
    other.close()


@pytest.mark.parametrize("name", ["", "=1+1", "@anna", "-anna", "7", "x" * 41, "an\nna<"])
def test_a_name_that_a_spreadsheet_or_a_page_could_take_for_more_is_refused(name):
    with pytest.raises(ValueError, match="is no name"):
        check_name(name)


def test_names_of_many_tongues_are_taken_without_blanks_around_them():
    assert [check_name(name) for name in (" Anna-Lena O'Neil ", "김민지", "zoë 2")] == [
        "Anna-Lena O'Neil",
        "김민지",
        "zoë 2",
    ]
