import errno
import fcntl
import os
import resource
import signal
import subprocess
import threading
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from kills import ended, fork
from PIL import Image
from walks import wait_for

import cache
import decode
from cache import Store, open_store
from config import Config
from stream import Stream

MIB = 2**-10  # in GiB


def save(path, photo, **options):
    photo.save(path, **options)
    return path


@pytest.fixture
def ramp():
    """A picture whose brightness rises from left to right, 0 to 255."""
    return Image.fromarray(np.tile(np.arange(256, dtype=np.uint8), (64, 1)))


@pytest.fixture
def paths(tmp_path):
    """20 photos in which every pixel is the row's number."""
    photos = tmp_path / "photos"
    photos.mkdir()
    return [save(photos / f"{row}.png", Image.new("RGB", (32, 16), (row, row, row))) for row in range(20)]


def knobs(tmp_path, **changes):
    return Config(cache_dir=str(tmp_path / "cache"), **({"resize": (16, 32), "crop": 0, "threads": 1} | changes))


def stores(tmp_path):
    return [path for path in (tmp_path / "cache").iterdir() if path.is_dir()]


def only(tmp_path):
    (store,) = stores(tmp_path)
    return store


def check(store, kind=Store):
    """That it holds `paths`."""
    assert type(store) is kind
    assert store.unreadable == {}
    order = [7, 0, 19]
    assert store.batch(order)[:, :, 8, 8].tolist() == [[row] * 3 for row in order]
    store.close()


@pytest.fixture
def disk(tmp_path):
    """A file system of 1 MiB at tmp_path/cache; takes options to mount it again with."""
    place = tmp_path / "cache"
    place.mkdir()
    mount = partial(subprocess.run, capture_output=True, text=True, timeout=20)
    done = mount(["mount", "-t", "tmpfs", "-o", "size=1m", "none", place])
    if done.returncode:
        pytest.skip(f"mounting a small file system needs root: {done.stderr.strip()}")
    yield lambda options: mount(["mount", "-o", f"remount,{options}", place], check=True)
    mount(["umount", "--lazy", place], check=True)


def test_a_store_has_the_very_pixels_that_decoding_gives(tmp_path, drawn):
    images = sorted((drawn / "train" / "images").rglob("[!.]*.*g"))[:30]
    for size in ((60, 52), (64, 80)):
        store = open_store(images, knobs(tmp_path, crop=300), "photos", size)
        for row, path in enumerate(images):
            np.testing.assert_array_equal(store.pixels[row], decode.decode(path, 300, size))
            photo = Image.open(path).convert("RGB")
            left, top = (photo.width - 300) // 2, (photo.height - 300) // 2
            centre = photo.crop((left, top, left + 300, top + 300))
            by_hand = centre.resize((size[1], size[0]), Image.Resampling.BILINEAR)
            np.testing.assert_array_equal(store.pixels[row], np.asarray(by_hand))


def test_photos_are_stored_as_large_as_resize_says_or_as_is_asked_for(tmp_path, paths):
    assert open_store(paths, knobs(tmp_path), "photos").pixels.shape == (20, 16, 32, 3)
    assert open_store(paths, knobs(tmp_path), "photos", (20, 36)).pixels.shape == (20, 20, 36, 3)
    assert len(stores(tmp_path)) == 2


def test_unreadable_photos_are_listed_with_the_reason(tmp_path, ramp):
    good = save(tmp_path / "good.jpg", ramp)
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(good.read_bytes()[:600])
    empty, text, gone = tmp_path / "empty.jpg", tmp_path / "text.jpg", tmp_path / "gone.jpg"
    empty.touch()
    text.write_text("no photo")
    for _ in range(2):  # built, then found
        store = open_store([good, cut, empty, text, gone], knobs(tmp_path), "photos")
        assert sorted(store.unreadable) == [1, 2, 3, 4]
        assert "truncated" in store.unreadable[1]
        assert "cannot identify" in store.unreadable[3]
        assert store.pixels[1].max() == 0
        assert store.pixels[0].max() > 200


def test_batches_are_channels_first_in_shape_and_last_in_memory(tmp_path, paths):
    store = open_store(paths, knobs(tmp_path), "photos")
    first, second = store.batches([np.array([2, 0]), np.array([3])])
    assert first.shape == (2, 3, 16, 32)
    assert first.is_contiguous(memory_format=torch.channels_last)
    assert first[:, 0, 0, 0].tolist() == [2, 0]
    assert second[:, 2, 15, 31].tolist() == [3]


def test_photos_are_decoded_once_until_one_changes(tmp_path, paths, monkeypatch):
    calls, plain = [], decode.decode
    monkeypatch.setattr(decode, "decode", lambda *given: calls.append(given) or plain(*given))
    check(open_store(paths, knobs(tmp_path), "photos"))
    check(open_store(paths, knobs(tmp_path), "photos"))
    assert len(calls) == 20
    save(paths[0], Image.new("RGB", (32, 16), "white"))
    assert open_store(paths, knobs(tmp_path), "photos").pixels[0].min() == 255
    os.utime(paths[0], (0, 0))
    open_store(paths, knobs(tmp_path), "photos")
    assert len(calls) == 60


def test_a_path_is_the_same_photo_however_it_is_written(tmp_path, paths, monkeypatch):
    check(open_store(paths, knobs(tmp_path), "photos"))
    monkeypatch.chdir(tmp_path)
    check(open_store([path.relative_to(tmp_path) for path in paths], knobs(tmp_path), "photos"))
    assert len(stores(tmp_path)) == 1


def test_a_photo_that_has_become_readable_is_read(tmp_path, paths, monkeypatch, capsys):
    def denied(*given):
        raise PermissionError("denied")

    with monkeypatch.context() as broken:
        broken.setattr(decode, "decode", denied)
        assert list(open_store(paths[:1], knobs(tmp_path), "photos").unreadable) == [0]
    assert open_store(paths[:1], knobs(tmp_path), "photos").unreadable == {}
    assert "0.png could not be read and can be now" in capsys.readouterr().out


def test_a_build_that_runs_out_of_memory_leaves_no_store(tmp_path, paths, monkeypatch):
    monkeypatch.setattr(decode, "decode", lambda *given: (_ for _ in ()).throw(MemoryError))
    with pytest.raises(MemoryError):
        open_store(paths, knobs(tmp_path), "photos")
    assert stores(tmp_path) == []


def build_apart(tmp_path, paths, before=lambda row: None):
    """The id of a process that opens the store; it writes rows decoded to `log`, what it prints to `out-ID`."""

    def work():
        os.dup2(os.open(tmp_path / f"out-{os.getpid()}", os.O_CREAT | os.O_WRONLY), 1)
        log, plain = os.open(tmp_path / "log", os.O_CREAT | os.O_WRONLY | os.O_APPEND), decode.decode

        def slow(path, *given):
            before(int(path.stem))
            os.write(log, f"{path.stem}\n".encode())
            return plain(path, *given)

        decode.decode = slow
        cache.print = lambda text, flush: os.write(1, f"{text}\n".encode())
        check(open_store(paths, knobs(tmp_path), "photos"))

    return fork(work)


def said(tmp_path, process):
    file = tmp_path / f"out-{process}"
    return file.read_text() if file.is_file() else ""


def test_of_processes_that_open_the_same_photos_at_once_one_builds(tmp_path, paths):
    go = tmp_path / "go"
    processes = [build_apart(tmp_path, paths, lambda row: wait_for(go.exists, 60)) for _ in range(3)]
    wait_for(lambda: sum("wait until" in said(tmp_path, process) for process in processes) == 2, 30)
    (builder,) = [process for process in processes if "wait until" not in said(tmp_path, process)]
    go.touch()
    assert [ended(process) for process in processes] == [0, 0, 0]
    assert sorted(map(int, (tmp_path / "log").read_text().split())) == list(range(20))
    for process in processes:
        told = said(tmp_path, process)
        assert ("cache: decoding 20 photos into" in told) == (process == builder)
        assert (f"the photos wait until process {builder} on " in told) == (process != builder)


def test_a_builder_that_is_killed_leaves_nothing_that_is_trusted_and_one_that_waits_builds(tmp_path, paths):
    killed = build_apart(tmp_path, paths, lambda row: row == 15 and time.sleep(60))
    wait_for(lambda: (tmp_path / "log").is_file() and len((tmp_path / "log").read_text().split()) >= 15, 30)
    waiting = build_apart(tmp_path, paths)
    wait_for(lambda: f"wait until process {killed}" in said(tmp_path, waiting), 30)
    assert only(tmp_path).name.startswith(".building-")
    os.kill(killed, signal.SIGKILL)
    assert ended(killed) == -signal.SIGKILL
    assert ended(waiting) == 0
    assert not only(tmp_path).name.startswith(".")
    check(open_store(paths, knobs(tmp_path), "photos"))


def test_a_store_is_on_the_disk_before_it_appears_and_so_is_its_name_before_it_is_used(tmp_path, paths, monkeypatch):
    done, sync, rename = [], os.fsync, Path.rename

    def watched_sync(descriptor):
        done.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).relative_to(tmp_path))
        sync(descriptor)

    def watched_rename(path, target):
        done.append("appears")
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", watched_sync)
    monkeypatch.setattr(Path, "rename", watched_rename)
    open_store(paths, knobs(tmp_path), "photos")
    built = Path("cache", f".building-{only(tmp_path).name}")
    listing = built / f".unreadable.json.{os.getpid()}.{threading.get_ident()}"  # as it is written
    assert done == [built / "photos.npy", listing, built, "appears", Path("cache")]


def shorten(store):
    os.truncate(store / "photos.npy", (store / "photos.npy").stat().st_size - 1)


DAMAGES = {
    "shorter than it says": shorten,
    "empty": lambda store: os.truncate(store / "photos.npy", 0),
    "cut in its header": lambda store: os.truncate(store / "photos.npy", 50),
    "of another shape": lambda store: np.save(store / "photos.npy", np.zeros((20, 16, 31, 3), np.uint8)),
    "of another type": lambda store: np.save(store / "photos.npy", np.zeros((20, 16, 32, 3), np.int8)),
    "no array": lambda store: (store / "photos.npy").write_text("no array" * 100),
    "gone": lambda store: (store / "photos.npy").unlink(),
    "listing cut": lambda store: (store / "unreadable.json").write_text('{"1": '),
    "listing of other photos": lambda store: (store / "unreadable.json").write_text('{"20": "cut"}'),
    "listing of no photos": lambda store: (store / "unreadable.json").write_text("[1]"),
    "listing gone": lambda store: (store / "unreadable.json").unlink(),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_store_is_removed_and_built_anew(tmp_path, paths, damage, capsys):
    open_store(paths, knobs(tmp_path), "photos")
    DAMAGES[damage](only(tmp_path))
    check(open_store(paths, knobs(tmp_path), "photos"))
    told = capsys.readouterr().out
    assert "cache: removing the stored photos: " in told
    assert f"{only(tmp_path)}" in told
    check(open_store(paths, knobs(tmp_path), "photos"))
    assert capsys.readouterr().out == ""


def test_what_killed_trials_left_is_removed_and_what_others_keep_there_is_not(tmp_path, paths):
    for name in (".building-0123", ".removing-0123", ".ssh", "photos"):
        (tmp_path / "cache" / name).mkdir(parents=True)
        (tmp_path / "cache" / name / "photos.npy").touch()
    open_store(paths, knobs(tmp_path, cache_gib=MIB), "photos")
    assert {path.name for path in stores(tmp_path) if len(path.name) != 24} == {".ssh", "photos"}


def sides(tmp_path):
    return {np.load(store / "photos.npy", mmap_mode="r").shape[1] for store in stores(tmp_path)}


def test_the_least_recently_used_store_goes_first(tmp_path, paths, capsys):
    bound = 2.2 * MIB  # two stores of 0.75 MiB and no third

    def use(side, hours_ago):
        open_store(paths[:1], knobs(tmp_path, resize=(side, side), cache_gib=bound), "photos")
        for store in stores(tmp_path):
            if np.load(store / "photos.npy", mmap_mode="r").shape[1] == side:
                os.utime(store, (time.time() - 3600 * hours_ago,) * 2)

    use(512, hours_ago=3)
    use(513, hours_ago=2)
    use(512, hours_ago=1)
    use(514, hours_ago=0)
    assert sides(tmp_path) == {512, 514}
    assert "least recently used" in capsys.readouterr().out


def test_no_store_in_use_is_removed_so_no_two_trials_remove_each_other_s(tmp_path, paths, capsys):
    config = knobs(tmp_path, cache_gib=0.0012)
    first = open_store(paths[:1], config, "photos", (512, 512))
    second = open_store(paths[:1], config, "photos", (513, 513))
    assert type(second) is Stream
    second.close()
    assert sides(tmp_path) == {512}
    told = "--cache_gib 0.0012 holds their 0.000735 GiB not beside the 0.000733 GiB that trials are using"
    assert told in capsys.readouterr().out
    del first
    assert type(open_store(paths[:1], config, "photos", (513, 513))) is Store
    assert sides(tmp_path) == {513}


def test_a_set_alone_over_the_bound_is_streamed_with_the_store_s_pixels_in_its_order(tmp_path, drawn, capsys):
    images = sorted((drawn / "train" / "images").rglob("[!.]*.*g"))[:30]
    images[4] = tmp_path / "gone.jpg"
    rng = np.random.default_rng(0)
    batches = [rng.permutation(30)[:size] for size in (8, 1, 3, 8, 8, 7)]
    store = open_store(images, knobs(tmp_path, resize=(40, 30)), "training photos")
    stream = open_store(images, knobs(tmp_path / "other", resize=(40, 30), cache_gib=0.0001), "training photos")
    told = capsys.readouterr().out
    assert "worker processes, 1 in all, decode the training photos anew each time" in told
    assert ": --cache_gib 0.0001 is less than their 0.000101 GiB" in told
    assert (type(stream), stream.pixels, stream.unreadable) == (Stream, None, store.unreadable)
    assert list(stream.unreadable) == [4]
    for _ in range(2):
        for stored, streamed in zip(store.batches(batches), stream.batches(batches), strict=True):
            assert torch.equal(stored, streamed)
            assert stored.stride() == streamed.stride()
    stream.close()


def test_photos_are_streamed_where_the_cache_folder_cannot_be_made(tmp_path, paths, capsys):
    (tmp_path / "cache").write_text("a file in its place")
    check(open_store(paths, knobs(tmp_path), "photos"), Stream)
    told = capsys.readouterr().out
    assert f"anew each time: {tmp_path}/cache cannot store them ([Errno 17] File exists" in told
    assert "--cache_dir" in told


def test_on_a_read_only_disk_a_store_that_is_there_is_used_and_other_photos_are_streamed(tmp_path, paths, disk, capsys):
    open_store(paths, knobs(tmp_path), "photos")
    disk("ro")
    check(open_store(paths, knobs(tmp_path), "photos"))
    capsys.readouterr()
    check(open_store(paths, knobs(tmp_path), "photos", (18, 32)), Stream)
    assert "Read-only file system" in capsys.readouterr().out


def test_a_full_disk_is_noticed_before_anything_is_decoded(tmp_path, paths, disk, capsys, monkeypatch):
    monkeypatch.setattr(cache, "decode_all", None)
    check(open_store(paths, knobs(tmp_path), "photos", (200, 300)), Stream)
    assert "No space left on device" in capsys.readouterr().out
    assert stores(tmp_path) == []


def test_a_disk_that_fills_up_in_mid_build_makes_the_photos_streamed(tmp_path, paths, disk, capsys, monkeypatch):
    monkeypatch.setattr(os, "posix_fallocate", lambda *given: None)  # as where a file system cannot keep its word
    check(open_store(paths, knobs(tmp_path), "photos", (200, 300)), Stream)
    assert "No space left on device" in capsys.readouterr().out
    assert stores(tmp_path) == []


def test_a_limit_of_file_size_makes_the_photos_streamed(tmp_path, paths):
    def work():
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        opened = open_store(paths, knobs(tmp_path), "photos")
        assert type(opened) is Stream
        assert opened.unreadable == {}

    assert ended(fork(work)) == 0
    assert stores(tmp_path) == []


def test_a_disk_without_locks_makes_the_photos_streamed(tmp_path, paths, capsys, monkeypatch):
    def unsupported(*given):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", unsupported)
    check(open_store(paths, knobs(tmp_path), "photos"), Stream)
    assert "No locks available" in capsys.readouterr().out


@pytest.fixture
def samples(tmp_path):
    """12 samples of four grey files, whose every pixel is the row's number times ten, plus the channel's."""
    photos = tmp_path / "samples"
    photos.mkdir()

    def draw(row, channel):
        return save(photos / f"{row}_{channel}.png", Image.new("L", (20, 16), 10 * row + channel))

    return [tuple(draw(row, channel) for channel in range(4)) for row in range(12)]


def test_samples_of_four_channels_are_stored_and_streamed_alike(tmp_path, samples):
    samples[5][3].write_text("no photo")
    config = knobs(tmp_path, resize=(16, 20))
    store = open_store(samples, config, "samples", channels=4)
    assert store.pixels.shape == (12, 16, 20, 4)
    assert list(store.unreadable) == [5]
    assert "5_3.png: UnidentifiedImageError" in store.unreadable[5]
    assert store.batch([7, 11])[:, :, 3, 3].tolist() == [[70, 71, 72, 73], [110, 111, 112, 113]]
    stream = open_store(samples, knobs(tmp_path / "other", resize=(16, 20), cache_gib=1e-6), "samples", channels=4)
    assert (type(stream), stream.unreadable) == (Stream, store.unreadable)
    rows = [np.array([4, 5, 0]), np.array([11])]
    for stored, streamed in zip(store.batches(rows), stream.batches(rows), strict=True):
        assert torch.equal(stored, streamed)
        assert stored.stride() == streamed.stride()
    stream.close()


def test_a_sample_whose_channel_has_changed_is_decoded_anew(tmp_path, samples):
    config = knobs(tmp_path, resize=(16, 20))
    open_store(samples, config, "samples", channels=4)
    save(samples[2][1], Image.new("L", (20, 16), 255))
    store = open_store(samples, config, "samples", channels=4)
    assert store.pixels[2, 0, 0].tolist() == [20, 255, 22, 23]


def test_a_sample_that_has_become_readable_is_read(tmp_path, samples, monkeypatch, capsys):
    denied = lambda *given: (_ for _ in ()).throw(PermissionError("denied"))  # noqa: E731
    with monkeypatch.context() as broken:
        broken.setattr(decode, "decode", denied)
        assert list(open_store(samples[:1], knobs(tmp_path), "samples", channels=4).unreadable) == [0]
    assert open_store(samples[:1], knobs(tmp_path), "samples", channels=4).unreadable == {}
    assert "0_0.png, " in capsys.readouterr().out
