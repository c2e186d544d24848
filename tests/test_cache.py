import os
import struct
import time

import numpy as np
import pytest
from PIL import Image

import cache
from cache import decode, open_store
from config import Config


def save(path, photo, **options):
    photo.save(path, **options)
    return path


@pytest.fixture
def ramp():
    """A picture whose brightness rises from left to right, 0 to 255."""
    return Image.fromarray(np.tile(np.arange(256, dtype=np.uint8), (64, 1)))


def knobs(tmp_path, **changes):
    return Config(cache_dir=str(tmp_path / "cache"), **({"resize": (16, 32), "crop": 0} | changes))


def test_grey_cmyk_palette_and_16_bit_photos_look_like_their_rgb_twin(tmp_path, ramp):
    sixteen = Image.fromarray((np.asarray(ramp).astype(np.uint16)) * 257)
    paths = [
        save(tmp_path / "rgb.png", ramp.convert("RGB")),
        save(tmp_path / "grey.png", ramp),
        save(tmp_path / "cmyk.tif", ramp.convert("RGB").convert("CMYK")),
        save(tmp_path / "palette.png", ramp.convert("P")),
        save(tmp_path / "clear.png", ramp.convert("RGBA")),
        save(tmp_path / "sixteen.png", sixteen),
    ]
    twin, *others = (decode(path, 0, (64, 256)).astype(int) for path in paths)
    for path, other in zip(paths[1:], others, strict=True):
        assert abs(other - twin).max() <= 2, path.name


def test_an_exif_rotation_is_applied(tmp_path):
    photo = Image.new("RGB", (40, 20), "black")
    photo.paste("red", (0, 0, 20, 20))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise: its left half is the top
    path = save(tmp_path / "turned.png", photo, exif=exif)
    upright = decode(path, 0, (40, 20))
    assert upright[5, 10].tolist() == [255, 0, 0]
    assert upright[35, 10].tolist() == [0, 0, 0]


def test_the_crop_is_the_centre_and_never_larger_than_the_photo(tmp_path):
    photo = Image.new("RGB", (100, 60), "black")
    photo.paste("white", (30, 10, 70, 50))
    path = save(tmp_path / "a.png", photo)
    assert decode(path, 40, (8, 8)).min() == 255
    assert decode(path, 350, (60, 100))[0, 0].tolist() == [0, 0, 0]
    np.testing.assert_array_equal(decode(path, 350, (60, 100)), np.asarray(photo))


def test_unreadable_photos_are_listed_with_the_reason(tmp_path, ramp):
    good = save(tmp_path / "good.jpg", ramp)
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(good.read_bytes()[:600])
    empty, text, gone = tmp_path / "empty.jpg", tmp_path / "text.jpg", tmp_path / "gone.jpg"
    empty.touch()
    text.write_text("no photo")
    store = open_store([good, cut, empty, text, gone], knobs(tmp_path), "photos")
    assert sorted(store.unreadable) == [1, 2, 3, 4]
    assert "truncated" in store.unreadable[1]
    assert "cannot identify" in store.unreadable[3]
    assert store.pixels[1].max() == 0
    assert store.pixels[0].max() > 200


def test_a_batch_is_channels_first_in_shape_and_last_in_memory(tmp_path, ramp):
    path = save(tmp_path / "a.png", ramp)
    store = open_store([path, path, path], knobs(tmp_path), "photos")
    batch = store.batch([2, 0])
    assert batch.shape == (2, 3, 16, 32)
    assert batch.stride(1) == 1
    np.testing.assert_array_equal(batch[0].permute(1, 2, 0).numpy(), decode(path, 0, (16, 32)))


def test_photos_are_decoded_once_until_one_changes(tmp_path, ramp, monkeypatch):
    path = save(tmp_path / "a.png", ramp)
    calls = []
    monkeypatch.setattr(cache, "decode", lambda *given: calls.append(given) or decode(*given))
    open_store([path], knobs(tmp_path), "photos")
    open_store([path], knobs(tmp_path), "photos")
    assert len(calls) == 1
    save(path, ramp.rotate(180).resize((100, 100)))
    changed = open_store([path], knobs(tmp_path), "photos")
    assert len(calls) == 2
    np.testing.assert_array_equal(changed.pixels[0], decode(path, 0, (16, 32)))


def test_a_build_that_dies_leaves_no_store(tmp_path, ramp, monkeypatch):
    path = save(tmp_path / "a.png", ramp)
    monkeypatch.setattr(cache, "decode", lambda *given: (_ for _ in ()).throw(MemoryError))
    with pytest.raises(MemoryError):
        open_store([path], knobs(tmp_path), "photos")
    assert list((tmp_path / "cache").iterdir()) == []


def test_of_two_trials_that_build_the_same_store_the_later_takes_the_earlier(tmp_path, ramp, monkeypatch):
    path = save(tmp_path / "a.png", ramp)
    config = knobs(tmp_path)
    inner = []

    def meanwhile(*given):
        if not inner:
            inner.append(True)
            open_store([path], config, "photos")
        return decode(*given)

    monkeypatch.setattr(cache, "decode", meanwhile)
    store = open_store([path], config, "photos")
    assert store.pixels.max() > 200
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_the_least_recently_used_store_goes_first(tmp_path, ramp, capsys):
    path = save(tmp_path / "a.png", ramp)
    bound = 2.2 * 2**-10  # GiB: two stores of 0.75 MiB and no third

    def use(side, hours_ago):
        open_store([path], knobs(tmp_path, resize=(side, side), cache_gib=bound), "photos")
        for store in (tmp_path / "cache").iterdir():
            if np.load(store / "photos.npy", mmap_mode="r").shape[1] == side:
                os.utime(store, (time.time() - 3600 * hours_ago,) * 2)

    use(512, hours_ago=3)
    use(513, hours_ago=2)
    use(512, hours_ago=1)
    use(514, hours_ago=0)
    left = {np.load(p / "photos.npy").shape[1] for p in (tmp_path / "cache").iterdir()}
    assert left == {512, 514}
    assert "least recently used" in capsys.readouterr().out


def test_a_photo_that_has_become_readable_is_read(tmp_path, ramp, monkeypatch):
    path = save(tmp_path / "a.png", ramp)

    def denied(*given):
        raise PermissionError("denied")

    with monkeypatch.context() as broken:
        broken.setattr(cache, "decode", denied)
        assert list(open_store([path], knobs(tmp_path), "photos").unreadable) == [0]
    assert open_store([path], knobs(tmp_path), "photos").unreadable == {}


def test_exif_that_cannot_be_parsed_does_not_spoil_the_photo(tmp_path, ramp, monkeypatch):
    path = save(tmp_path / "a.jpg", ramp)

    def broken(photo):
        raise struct.error("required argument is not an integer")

    monkeypatch.setattr(cache.ImageOps, "exif_transpose", broken)
    assert decode(path, 0, (16, 32)).max() > 200


def test_a_full_disk_is_told_before_anything_is_decoded(tmp_path, ramp, monkeypatch):
    path = save(tmp_path / "a.png", ramp)

    def full(*given):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache.os, "posix_fallocate", full)
    with pytest.raises(ValueError, match=r"has no room for .* \(No space left on device\).*--cache_dir"):
        open_store([path], knobs(tmp_path), "photos")
    assert list((tmp_path / "cache").iterdir()) == []


def test_what_killed_trials_left_behind_is_removed_and_half_a_store_is_none(tmp_path, ramp):
    path = save(tmp_path / "a.png", ramp)
    open_store([path], knobs(tmp_path), "photos")
    (store,) = (tmp_path / "cache").iterdir()
    (store / "unreadable.json").unlink()
    for name, hours_ago in ((".building-old", 25), (".building-now", 1)):
        (tmp_path / "cache" / name).mkdir()
        os.utime(tmp_path / "cache" / name, (time.time() - 3600 * hours_ago,) * 2)
    assert open_store([path], knobs(tmp_path), "photos").pixels.max() > 200
    assert {p.name for p in (tmp_path / "cache").iterdir()} == {store.name, ".building-now"}
