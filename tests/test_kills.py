import os
import sys
import threading
import time
import traceback

import pytest
from kills import ended, fork


@pytest.fixture
def go():
    """What planted threads wait for; the test after this one is beside none of them."""
    event = threading.Event()
    yield event
    event.set()
    assert ended(fork(lambda: None)) == 0


def test_a_process_ends_with_its_work_and_says_whether_it_failed():
    assert ended(fork(lambda: None)) == 0
    assert ended(fork(lambda: 1 / 0)) == 1
    assert ended(fork(sys.exit)) == 1  # before its work was done


def test_a_process_whose_failure_cannot_be_printed_does_not_go_on_as_a_second_pytest(monkeypatch):
    def unprintable():
        raise OSError("File too large")

    monkeypatch.setattr(traceback, "print_exc", unprintable)
    pytest_itself = os.getpid()
    try:
        process = fork(lambda: 1 / 0)
    finally:
        if os.getpid() != pytest_itself:
            os._exit(2)
    assert ended(process) == 1


def test_a_process_that_hangs_is_killed_and_shows_where(capfd):
    read, write = os.pipe()

    def hang():
        os.write(write, b"!")
        time.sleep(600)

    process = fork(hang)
    os.read(read, 1)
    with pytest.raises(pytest.fail.Exception, match=f"process {process} had not ended after 0.1 s"):
        ended(process, seconds=0.1)
    assert " in hang" in capfd.readouterr().err
    with pytest.raises(ChildProcessError):
        os.waitpid(process, 0)
    os.close(read)
    os.close(write)


def test_no_process_is_forked_beside_a_thread(go):
    threading.Thread(target=go.wait, name="holder").start()
    with pytest.raises(AssertionError, match="not forked beside other threads: .*holder"):
        fork(lambda: None, patience=0.5)


def test_nor_beside_a_thread_that_frees_what_it_had_when_it_has_left_the_list_of_threads(go):
    """As that of a process pool does, which then unregisters its semaphores under a lock."""

    class Held:
        def __del__(self):
            go.wait()

    forgotten = threading.Event()
    thread = threading.Thread(target=forgotten.wait, name="leaver")
    thread.held = Held()
    thread.start()
    del thread
    forgotten.set()  # so that it is the last to know of itself
    with pytest.raises(AssertionError, match="not forked beside other threads: .*one at its end, in <frame "):
        fork(lambda: None, patience=0.5)
    assert "leaver" not in [thread.name for thread in threading.enumerate()]


def test_idle_threads_that_a_compiler_leaves_do_no_harm(go):
    threading.Thread(target=go.wait, name="ThreadPoolExecutor-2_0").start()
    assert ended(fork(lambda: None)) == 0
