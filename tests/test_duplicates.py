import json
import shutil

import numpy as np
import pytest
from conftest import PROJECT
from PIL import Image, ImageOps
from test_embedding import NAME, weights  # noqa: F401  a fixture

from config import Config
from dataset import read
from duplicates import main
from leaks import find_leaks, labels_of, nearest_photos
from predictions import read_rows

GROUPS = "path,group"


@pytest.fixture
def market(tmp_path):
    """A manifest of 12 photos of noise, two labels, 4 people; 4 to predict. Their copies are what tests plant."""
    root, rng = tmp_path / "market", np.random.default_rng(0)
    (root / "p").mkdir(parents=True)
    names = [f"p/{k}.png" for k in range(12)], [f"p/t{k}.png" for k in range(4)]
    for name in (*names[0], *names[1]):
        coarse = Image.fromarray(rng.integers(0, 256, (7, 7, 3), dtype=np.uint8))
        coarse.resize((64, 64), Image.Resampling.BICUBIC).save(root / name)
    rows = [f"{name},{'xy'[k % 2]},person{k // 3}" for k, name in enumerate(names[0])]
    (root / "manifest.csv").write_text("\n".join(["path,label,group", *rows, ""]))
    (root / "test.csv").write_text("\n".join(["path", *names[1], ""]))
    return root


def copy(root, source, target, change=lambda photo: photo):
    with Image.open(root / source) as opened:
        change(opened.convert("RGB")).save(root / target)


def halved(photo):
    return photo.resize((32, 32), Image.Resampling.LANCZOS)


@pytest.fixture
def search(tmp_path, capsys):
    def run(root, *options):
        code = main([str(root), "--cache_dir", str(tmp_path / "cache"), *map(str, options)])
        assert code == 0
        return capsys.readouterr().out

    return run


def fails(root, tmp_path, *options):
    with pytest.raises(SystemExit) as caught:
        main([str(root), "--cache_dir", str(tmp_path / "cache"), *map(str, options)])
    return str(caught.value)


def rows(path):
    return [tuple(cells.values()) for cells in read_rows(path).values()]


def test_planted_copies_join_people_leak_and_disagree(market, search):
    copy(market, "p/0.png", "p/3.png", halved)  # person0's, an x, is person1's, a y
    copy(market, "p/7.png", "p/t1.png", ImageOps.mirror)
    told = search(market)
    assert rows(market / "groups.csv") == [("p/0.png", "person0"), ("p/3.png", "person0")]
    assert rows(market / "leaks.csv") == [("p/t1.png", "p/7.png", "0")]
    assert rows(market / "curation" / "conflicts.csv") == [
        ("1", "label", "p/0.png", "person0", "x"),
        ("1", "label", "p/3.png", "person1", "y"),
    ]
    assert "2 people or groups share pictures and become 1" in told
    assert "1 photos to be predicted are labelled ones" in told
    with Image.open(market / "curation" / "duplicates.png") as picture:
        assert picture.width > 1000


def test_the_readers_take_what_is_written(market, search):
    copy(market, "p/0.png", "p/3.png", halved)
    copy(market, "p/5.png", "p/t0.png", halved)
    search(market)
    data = read(str(market), "auto", Config().values())
    assert data.train.groups == ("person0",) * 6 + ("person2",) * 3 + ("person3",) * 3
    labels = labels_of(data)
    known = {photo: row for row, photo in enumerate(data.test.ids)}
    assert nearest_photos(find_leaks(market), known, labels) == {"p/t0.png": ["p/5.png"]}


def test_no_mirror_images_where_they_are_not_wanted(market, search):
    copy(market, "p/7.png", "p/t1.png", ImageOps.mirror)
    search(market, "--no-mirrored")
    assert (market / "leaks.csv").read_text() == "test_id,train_path,distance\n"


def test_without_duplicates_the_files_hold_their_headers_and_trials_go_on(market, search):
    search(market)
    assert (market / "groups.csv").read_text() == "path,group\n"
    assert len(set(read(str(market), "auto", Config().values()).train.groups)) == 4


def test_farther_copies_count_for_groups_at_a_larger_distance_and_not_as_leaks(market, search):
    def brighter(photo):
        return Image.fromarray((np.asarray(photo).astype(float) ** 0.5 * 12).clip(0, 255).astype(np.uint8))

    copy(market, "p/0.png", "p/3.png", lambda photo: brighter(photo).crop((3, 3, 64, 64)))
    copy(market, "p/0.png", "p/t0.png", lambda photo: brighter(photo).crop((3, 3, 64, 64)))
    search(market, "--distance", 0)
    assert rows_or_none(market / "groups.csv") == []
    search(market, "--distance", 24)
    assert ("p/0.png", "person0") in rows(market / "groups.csv")
    assert {("p/t0.png", "p/3.png", "0")} == set(rows(market / "leaks.csv"))  # p/0.png is too far to lend its label


def rows_or_none(path):
    return rows(path) if len(path.read_text().splitlines()) > 1 else []


def test_blank_and_unreadable_photos_are_left_out_and_told(market, search):
    for name in ("p/0.png", "p/3.png", "p/t0.png"):
        Image.new("RGB", (64, 64), (9, 9, 9)).save(market / name)
    (market / "p" / "4.png").write_text("no photo")
    told = search(market)
    assert (
        "note: 3 photos are blank, so that their hashes say nothing and are left out: p/0.png, p/3.png, p/t0.png"
        in told
    )
    assert "note: 1 photos cannot be read and are left out: p/4.png (UnidentifiedImageError" in told
    assert rows_or_none(market / "groups.csv") == []
    left = json.loads((market / "curation" / "duplicates.json").read_text())["left_out"]
    assert left == {"unreadable": ["p/4.png"], "blank": ["p/0.png", "p/3.png", "p/t0.png"]}


def test_all_photos_may_be_unreadable(market, search):
    for photo in (market / "p").iterdir():
        photo.write_text("no photo")
    assert "16 photos cannot be read" in search(market)


def test_a_second_run_hashes_only_what_changed(market, search):
    assert "16 photos, 16 hashed anew" in search(market)
    copy(market, "p/1.png", "p/2.png", halved)
    assert "16 photos, 1 hashed anew" in search(market)


def test_files_of_ones_own_are_not_written_over(market, search, tmp_path):
    (market / "groups.csv").write_text("path,group\np/0.png,mine\np/11.png,mine\n")
    assert "groups.csv, written or changed by somebody" in fails(market, tmp_path)
    assert "mine" in (market / "groups.csv").read_text()
    (tmp_path / "notes").mkdir()
    assert f"pass --notes_dir {tmp_path / 'notes'} to trials too" in search(market, "--notes_dir", tmp_path / "notes")
    assert (tmp_path / "notes" / "leaks.csv").is_file()
    search(market, "--overwrite")
    assert "mine" not in (market / "groups.csv").read_text()


def test_the_groups_and_corrections_that_are_there_do_not_blind_the_search(market, search):
    copy(market, "p/0.png", "p/3.png", halved)
    search(market)
    first = (market / "groups.csv").read_text()
    (market / "corrections.csv").write_text("path,person,field,value,note\np/3.png,,label,x,\n")
    told = search(market)
    assert (market / "groups.csv").read_text() == first
    assert "1 clusters whose labels disagree" in told


def test_a_folder_that_links_to_itself_does_no_harm(tmp_path, search):
    root, rng = tmp_path / "shop", np.random.default_rng(0)
    for name in ("x/0", "x/1", "y/2", "y/3"):
        (root / "train" / name).parent.mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(rng.integers(0, 256, (7, 7, 3), dtype=np.uint8))
        coarse.resize((64, 64)).save(root / "train" / f"{name}.png")
    (root / "train" / "x" / "again").symlink_to("..")
    told = search(root)
    assert "4 photos" in told


def test_a_sample_of_several_files_is_one(tmp_path, search):
    root, rng = tmp_path / "atlas", np.random.default_rng(0)
    (root / "raw" / "train").mkdir(parents=True)
    for sample in "abc":
        for colour in ("red", "green", "blue", "yellow"):
            coarse = Image.fromarray(rng.integers(0, 256, (7, 7), dtype=np.uint8))
            coarse.resize((64, 64)).save(root / "raw" / "train" / f"{sample}_{colour}.png")
    for colour in ("red", "green", "blue", "yellow"):
        shutil.copy(root / "raw" / "train" / f"a_{colour}.png", root / "raw" / "train" / f"d_{colour}.png")
    (root / "train.csv").write_text("Id,Target\na,0\nb,1 2\nc,2\nd,0 1\n")
    search(root)
    assert rows(root / "groups.csv") == [("a", "a"), ("d", "a")]
    assert [row[2:] for row in rows(root / "curation" / "conflicts.csv")] == [("a", "a", "0"), ("d", "d", "0 1")]


def test_samples_from_elsewhere_are_compared_and_stand_in_groups_but_not_in_leaks(tmp_path, search):
    root, other, rng = tmp_path / "atlas", tmp_path / "elsewhere", np.random.default_rng(0)
    colours = ("red", "green", "blue", "yellow")
    for folder in (root / "raw" / "train", root / "raw" / "test", other / "raw" / "train"):
        folder.mkdir(parents=True)
    for folder, samples in (
        (root / "raw" / "train", "abc"),
        (root / "raw" / "test", "t"),
        (other / "raw" / "train", "y"),
    ):
        for name in (f"{sample}_{colour}.png" for sample in samples for colour in colours):
            Image.fromarray(rng.integers(0, 256, (7, 7), dtype=np.uint8)).resize((64, 64)).save(folder / name)
    for colour in colours:
        shutil.copy(root / "raw" / "train" / f"b_{colour}.png", other / "raw" / "train" / f"z_{colour}.png")
        shutil.copy(root / "raw" / "test" / f"t_{colour}.png", other / "raw" / "train" / f"w_{colour}.png")
    (root / "train.csv").write_text("Id,Target\na,0\nb,1 2\nc,2\n")
    (other / "train.csv").write_text("Id,Target\ny,0\nz,1 2\nw,0\n")
    told = search(root, "--external", other)
    assert rows(root / "groups.csv") == [("b", "b"), ("external/z", "b")]
    assert rows_or_none(root / "leaks.csv") == []
    assert "note: 1 pairs of a photo to be predicted and a sample of --external are not in leaks.csv" in told
    groups = read(str(root), "auto", Config(external=str(other)).values()).train.groups
    assert len(set(groups)) == 5


def test_photos_that_cannot_be_embedded_are_told_and_listed(market, search, weights, monkeypatch):  # noqa: F811
    from copies.embedding import Trunk

    whole = Trunk.pixels
    fails_at = market.resolve() / "p" / "3.png"
    monkeypatch.setattr(
        Trunk, "pixels", lambda self, photo: "OSError: gone" if photo == fails_at else whole(self, photo)
    )
    told = search(market, "--embedding", NAME, "--weights", weights, "--similarity", 0.01)
    assert "note: 1 photos cannot be embedded and are compared by their hashes alone: p/3.png (OSError: gone)" in told
    left = json.loads((market / "curation" / "duplicates.json").read_text())["left_out"]
    assert left["not embedded"] == ["p/3.png"]


def test_stopping_says_what_is_true(market, tmp_path, capsys, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("duplicates.write_lineup", stop)  # the tables are written by then
    assert main([str(market), "--cache_dir", str(tmp_path / "cache")]) == 130
    assert (market / "groups.csv").is_file()
    assert "nothing is written" not in capsys.readouterr().out


def test_the_embedding_joins_too(market, search, weights, tmp_path):  # noqa: F811
    told = search(market, "--embedding", NAME, "--weights", weights, "--similarity", 0.01)
    assert "similarity" in told
    assert len(rows(market / "groups.csv")) == 4  # nearly all photos of noise, to a network of noise
    assert "0.01" in told


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--distance", "25"], "--distance 25 is not in 0 to 24"),
        (["--leak_distance", "-1"], "--leak_distance -1 is not in 0 to 24"),
        (["--similarity", "1"], "--similarity 1.0 is not between 0 and 1"),
        (["--weights", "w.pt"], "pass --embedding too"),
        (["--hashes", "whash"], "invalid choice: 'whash'"),
    ],
)
def test_options_that_make_no_sense_are_refused(market, options, says, capsys):
    with pytest.raises(SystemExit):
        main([str(market), *options])
    assert says in capsys.readouterr().err


def test_a_data_root_that_is_none_is_told(tmp_path):
    assert fails(tmp_path / "none", tmp_path).startswith("error: data root")
    assert "no folder" in fails(PROJECT / "data" / "demo", tmp_path, "--notes_dir", tmp_path / "none")


def test_faces_keep_their_people_and_name_each_field(data, search):
    people = sorted(path for path in (data / "train" / "images").iterdir() if path.is_dir())
    women = next(path for path in people if "_female_" in path.name)
    men = next(path for path in people if "_male_" in path.name)
    source = next(women.glob("normal.*"))
    target = next(men.glob("mask1.*"))
    with Image.open(source) as opened:
        opened.convert("RGB").save(target)
    search(data, "--distance", 0)
    both = {path for path, _ in rows(data / "groups.csv")}
    assert {path.split("/")[2] for path in both} >= {women.name, men.name}
    fields = {row[1] for row in rows(data / "curation" / "conflicts.csv")}
    assert {"mask", "gender"} <= fields


@pytest.mark.photos
def test_real_near_duplicates_are_found_and_none_across_people(real_photos, search, tmp_path):
    """mask-real's groups are people or near-duplicates; 1,365 of its photos share a group with another."""
    told = search(real_photos / "mask-real", "--notes_dir", tmp_path)
    found = json.loads((tmp_path / "curation" / "duplicates.json").read_text())["found"]["hashes"]
    by_bits = {row["bits"]: row for row in found}
    assert by_bits[4]["photos"] > 400
    assert by_bits[4]["people"] == by_bits[4]["leaks"] == 0
    assert rows_or_none(tmp_path / "groups.csv") == []
    assert "3601 photos, 3601 hashed anew" in told


@pytest.fixture
def lookalikes(tmp_path):
    """200 smooth photos that differ by a little each, so that many are near and none is a copy of another."""
    root, rng = tmp_path / "alike", np.random.default_rng(0)
    (root / "p").mkdir(parents=True)
    base = rng.normal(128, 40, (7, 7))
    for k in range(200):
        coarse = np.clip(base + rng.normal(0, 8, (7, 7)), 0, 255).astype(np.uint8)
        Image.fromarray(coarse).resize((64, 64), Image.Resampling.BICUBIC).convert("RGB").save(root / "p" / f"{k}.png")
    lines = [f"p/{k}.png,{'xy'[k % 2]}" for k in range(200)]
    (root / "manifest.csv").write_text("\n".join(["path,label", *lines, ""]))
    return root


def test_photos_that_merely_look_alike_are_not_joined_unless_asked_for(lookalikes, search):
    said = search(lookalikes)
    assert "note: within 4 bits are photos that merely look alike; --distance 4 insists" in said
    assert (lookalikes / "groups.csv").read_text() == "path,group\n"
    assert "within 4 bits are" not in search(lookalikes, "--distance", 4)
    assert (lookalikes / "groups.csv").read_text() != "path,group\n"
