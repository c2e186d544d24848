import multiprocessing
import os
import pickle
import shutil
import signal
import subprocess
import sys
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import PROJECT
from PIL import Image
from walks import alive, wait_for

import decode
import stream
from decode import Photos
from stream import Stream, open_stream

# a trial as far as its photos go: it leaves a pass in the middle and either ends, or waits to be killed
TRIAL = """
import multiprocessing, sys, threading
from pathlib import Path
import numpy as np
from decode import Photos
from stream import open_stream

def main(folder, waits):
    paths = sorted(Path(folder).glob("*.png"), key=lambda path: int(path.stem))
    stream = open_stream(Photos(paths, 0, (8, 8), "photos"), Path(folder, "list.json"), 2)
    passing = stream.batches([np.arange(20)] * 500)
    batch = next(passing)
    right = batch[:, 0, 0, 0].tolist() == list(range(20))
    print(right, *[process.pid for process in multiprocessing.active_children()], flush=True)
    if waits:
        threading.Event().wait()
    raise ValueError("in the middle")

if __name__ == "__main__":
    main(sys.argv[1], len(sys.argv) > 2)
"""


@pytest.fixture
def photos(tmp_path):
    """20 photos in which every pixel is the row's number."""
    paths = [tmp_path / f"{row}.png" for row in range(20)]
    for row, path in enumerate(paths):
        Image.new("RGB", (12, 10), (row, row, row)).save(path)
    return Photos(paths, 0, (8, 8), "photos")


@pytest.fixture
def started(photos, tmp_path):
    """Starts streams of `photos` and sees that close() leaves no process of theirs."""
    opened = []

    def start(workers=2):
        opened.append(open_stream(photos, tmp_path / "list.json", workers))
        return opened[-1]

    yield start
    for one in opened:
        one.close()
    wait_for(lambda: not multiprocessing.active_children(), 10)


def rows_of(batches):
    """The rows that the batches are made of, by their pixels."""
    return [batch[:, 0, 0, 0].tolist() for batch in batches]


def workers():
    return sorted(process.pid for process in multiprocessing.active_children())


def test_batches_come_in_turn_however_many_workers_there_are(started):
    wanted = [[3, 1], [19, 0, 7, 4, 4, 5, 6], [2], list(range(20))]
    for count in (1, 3):
        batches = list(started(count).batches([np.array(rows) for rows in wanted]))
        assert rows_of(batches) == wanted
        assert batches[1].shape == (7, 3, 8, 8)
        assert batches[1].dtype == torch.uint8
        assert batches[1].is_contiguous(memory_format=torch.channels_last)


def test_one_batch_can_be_had_and_be_written_to(started):
    batch = started().batch([5, 2])
    assert rows_of([batch]) == [[5, 2]]
    batch += 1


def test_the_workers_are_started_once_and_not_for_each_pass(started):
    opened = started()
    assert workers() == []
    seen = []
    for _ in range(3):
        list(opened.batches([np.arange(4)] * 5))
        seen.append(workers())
    assert len(seen[0]) == 2
    assert seen[0] == seen[1] == seen[2]


def test_a_pass_left_in_the_middle_spoils_no_other(started):
    opened = started()
    left = opened.batches([np.array([row]) for row in range(20)])
    next(left)
    assert rows_of(opened.batches([np.array([9]), np.array([8])])) == [[9], [8]]
    assert rows_of([next(left)]) == [[1]]
    left.close()
    assert rows_of(opened.batches([np.array([7])])) == [[7]]


class Recorder:
    """A pool that keeps what it is given."""

    def __init__(self):
        self.tasks = []

    def submit(self, work, *given):
        self.tasks.append(pickle.dumps(given))
        future = Future()
        future.set_result(work(*given))
        return future


def test_a_task_carries_the_paths_of_its_own_photos_alone(photos):
    many = Photos([*photos.paths, *[Path(f"/far/away/{number}.jpg") for number in range(10_000)]], 0, (8, 8), "photos")
    pool = Recorder()
    assert rows_of(Stream(many, {}, 2, pool).batches([np.arange(4)])) == [[0, 1, 2, 3]]
    assert len(pool.tasks) == 2
    assert max(map(len, pool.tasks)) < 1000


def test_no_more_than_two_batches_are_decoded_ahead(photos):
    pool = Recorder()
    passing = Stream(photos, {}, 1, pool).batches([np.array([row]) for row in range(20)])
    next(passing)
    assert len(pool.tasks) == 3
    next(passing)
    assert len(pool.tasks) == 4


def test_unreadable_photos_are_known_before_and_give_zeros(started, photos):
    photos.paths[3].write_text("no photo")
    photos.paths[5].unlink()
    opened = started()
    assert list(opened.unreadable) == [3, 5]
    assert "cannot identify" in opened.unreadable[3]
    assert rows_of(opened.batches([np.array([2, 3, 4, 5, 6])])) == [[2, 0, 4, 0, 6]]


def test_photos_are_tried_once_and_the_next_trial_knows(started, photos, monkeypatch):
    photos.paths[3].write_text("no photo")
    first = started()
    with monkeypatch.context() as broken:
        broken.setattr(stream, "decode_all", None)
        assert started().unreadable == first.unreadable


@pytest.mark.parametrize("damage", ['{"3": ', '{"77": "cut"}', "[]"])
def test_a_damaged_list_of_unreadable_photos_is_made_anew(started, photos, tmp_path, damage):
    photos.paths[3].write_text("no photo")
    (tmp_path / "list.json").write_text(damage)
    assert list(started().unreadable) == [3]
    assert list(started().unreadable) == [3]


def test_a_photo_that_can_be_read_again_is(started, photos):
    photo = photos.paths[3].read_bytes()
    photos.paths[3].write_text("no photo")
    assert list(started().unreadable) == [3]
    photos.paths[3].write_bytes(photo)
    opened = started()
    assert opened.unreadable == {}
    assert rows_of([opened.batch([3])]) == [[3]]


def test_a_photo_that_can_no_longer_be_read_stops_the_trial_with_its_name(started, photos):
    opened = started()
    photos.paths[3].unlink()
    with pytest.raises(ValueError, match=r"3\.png could be read when the trial began and cannot be now \(FileNotFound"):
        list(opened.batches([np.arange(5)]))
    assert rows_of([opened.batch([4])]) == [[4]]


def test_the_death_of_a_worker_is_told_with_its_signal(started):
    opened = started()
    passing = opened.batches([np.arange(10)] * 100)
    next(passing)
    os.kill(workers()[0], signal.SIGKILL)
    with pytest.raises(ChildProcessError, match=r"decodes photos was ended by SIGKILL, .* --threads"):
        list(passing)


def test_a_memory_that_is_full_in_a_worker_is_told_as_that(photos, monkeypatch):
    monkeypatch.setattr(stream, "decode", lambda *given: (_ for _ in ()).throw(MemoryError))
    with pytest.raises(MemoryError):
        stream.decode_some([str(photos.paths[0])], 0, (8, 8), 3)


def test_a_large_photo_is_tried_with_the_pixels_that_it_will_have(photos, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(decode, "decode", lambda *given: asked.append(given[1:]))
    stream.examine(photos, tmp_path / "list.json")
    assert set(asked) == {(0, (8, 8), 3)}


def test_a_sample_of_several_files_that_can_no_longer_be_read_is_named_with_its_channel(tmp_path):
    files = tuple(tmp_path / f"7_{colour}.png" for colour in ("red", "green", "blue", "yellow"))
    for place, path in enumerate(files):
        Image.new("L", (8, 8), place).save(path)
    words = tuple(map(str, files))
    photos = stream.decode_some([None, words], 0, (8, 8), 4)
    assert photos.shape == (2, 8, 8, 4)
    assert photos[:, 0, 0].tolist() == [[0, 0, 0, 0], [0, 1, 2, 3]]
    files[1].unlink()
    with pytest.raises(ValueError, match=r"7_red.png, .*7_yellow.png could be read .*7_green.png: FileNotFound"):
        stream.decode_some([words], 0, (8, 8), 4)


@pytest.fixture
def trial(photos, tmp_path):
    """Starts TRIAL; gives its process and, once its first batch is there, what it printed: True and its workers."""
    copy = Path(shutil.copytree(PROJECT / "baseline", tmp_path / "baseline"))
    (copy / "trial_of_photos.py").write_text(TRIAL)
    begun = []

    def start(script, *words):
        folder = tmp_path if "/" in script else copy
        command = [sys.executable, script, str(tmp_path), *words]
        with open(tmp_path / "said", "w") as out, open(tmp_path / "error", "w") as error:
            process = subprocess.Popen(command, cwd=folder, stdout=out, stderr=error)
        wait_for((tmp_path / "said").read_text, 120, (tmp_path / "error").read_text)
        right, *workers = (tmp_path / "said").read_text().split()
        begun.extend(map(int, workers))
        assert (right, len(workers)) == ("True", 2)
        return process, begun

    yield start
    for worker in begun:
        with suppress(ProcessLookupError):
            os.kill(worker, signal.SIGKILL)


def gone(workers):
    return not any(map(alive, workers))


@pytest.mark.slow
def test_workers_end_with_a_trial_that_fails_in_mid_pass(trial, tmp_path):
    process, workers = trial("baseline/trial_of_photos.py")  # as python baseline/train.py
    assert process.wait(timeout=20) == 1
    assert (tmp_path / "error").read_text().strip().endswith("ValueError: in the middle")
    wait_for(lambda: gone(workers), 30)


@pytest.mark.slow
def test_workers_end_with_a_trial_that_is_killed(trial):
    process, workers = trial("trial_of_photos.py", "waits")  # as cd baseline && python train.py
    assert not gone(workers)
    process.kill()
    process.wait()
    wait_for(lambda: gone(workers), 30)
