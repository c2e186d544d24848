import csv
import shutil
import subprocess
import sys

import numpy as np
import pytest
from conftest import PROJECT
from PIL import Image

from stats import main


def stats(capsys, *words):
    """What it prints, and the rows of stats.csv by path."""
    assert main([*map(str, words)]) == 0
    folder = words[words.index("-o") + 1] if "-o" in words else words[0] / "curation"
    with open(folder / "stats.csv") as file:
        return capsys.readouterr().out, {row["path"]: row for row in csv.DictReader(file)}


@pytest.fixture
def photos(data):
    """The photos of the first people of a drawn competition that a test may break."""
    return sorted(path for path in (data / "train" / "images").glob("*/mask1.jpg"))


def test_planted_faults_are_found_told_first_and_named_in_the_csv(data, photos, capsys):
    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(photos[0]) as photo:
        plain = photo.convert("RGB")
    plain.convert("L").convert("RGB").save(photos[0], "JPEG")
    plain.rotate(90, expand=True).save(photos[1], "JPEG", exif=exif)
    plain.rotate(90, expand=True).save(photos[2], "JPEG")
    plain.resize((30, 40)).save(photos[3], "JPEG")
    Image.new("RGB", plain.size, (9, 99, 199)).save(photos[4], "JPEG")
    photos[5].write_bytes(photos[6].read_bytes()[:4000])
    plain.convert("CMYK").save(photos[7], "JPEG")
    plain.save(photos[8], "PNG")
    plain.resize((2000, 2600)).save(photos[9], "JPEG")
    shutil.copy(photos[10], next((data / "eval" / "images").iterdir()))
    printed, rows = stats(capsys, data)
    wanted = ["grey", "turned", "sideways", "tiny", "blank", "unreadable", "", "cmyk", "misnamed", "huge"]
    ids = [photo.relative_to(data).as_posix() for photo in photos]
    assert [rows[photo]["odd"] for photo in ids[:10]] == wanted
    assert (rows[ids[1]]["width"], rows[ids[1]]["height"]) == ("384", "512")
    assert rows[ids[5]]["fault"].startswith(f"{photos[5].name}: OSError: image file is truncated")
    assert sum(bool(row["odd"]) for row in rows.values()) == 9
    lines = [line for line in printed.splitlines() if line.startswith(("act", "know"))]
    for word, photo in (("cannot be read", ids[5]), ("are blank", ids[4]), ("among the test photos too", ids[10])):
        (line,) = [line for line in lines if word in line]
        assert line.startswith("act")
        assert photo in line
    assert [line[:3] for line in lines] == sorted(line[:3] for line in lines)


def test_sound_photos_give_nothing_to_act_on_but_rare_classes(drawn, tmp_path, capsys):
    printed, rows = stats(capsys, drawn, "-o", tmp_path)
    assert "drawn: 140 labelled photos of 20 people, 18 classes, 35 test photos" in printed
    acts = [line for line in printed.splitlines() if line.startswith("act")]
    assert all("fewer people than there are folds" in line or "no photo" in line for line in acts)
    assert len(rows) == 175
    assert {row["part"] for row in rows.values()} == {"train", "test"}
    with Image.open(tmp_path / "stats.png") as page:
        assert page.width == 1400


def test_labels_are_counted_with_corrections_unless_these_are_switched_off(data, tmp_path, capsys):
    photo = sorted((data / "train" / "images").glob("*/normal.*"))[0].relative_to(data).as_posix()
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "corrections.csv").write_text(f"path,person,field,value,note\n{photo},,mask,incorrect,\n")
    printed, rows = stats(capsys, data, "--notes_dir", notes, "-o", tmp_path)
    assert "counted with corrections.csv" in printed
    assert "+1 -0" in printed
    assert rows[photo]["label"].startswith("incorrect")
    printed, rows = stats(capsys, data, "--notes_dir", notes, "-o", tmp_path, "--corrections", "none")
    assert "counted with" not in printed
    assert rows[photo]["label"].startswith("normal")


def test_the_files_stand_with_the_notes_where_they_have_a_folder(data, tmp_path):
    (tmp_path / "notes").mkdir()
    assert main([str(data), "--notes_dir", str(tmp_path / "notes")]) == 0
    assert {path.name for path in (tmp_path / "notes" / "curation").iterdir()} == {"stats.csv", "stats.png"}
    assert not (data / "curation").exists()


def test_samples_of_several_files_and_labels_are_measured_as_one(tmp_path, capsys):
    rng = np.random.default_rng(0)
    for part, samples in (("train", "abc"), ("test", "x")):
        (tmp_path / "raw" / part).mkdir(parents=True)
        for sample in samples:
            for colour in ("red", "green", "blue", "yellow"):
                photo = Image.fromarray(rng.integers(0, 256, (24, 32), dtype=np.uint8))
                photo.save(tmp_path / "raw" / part / f"{sample}_{colour}.png")
    (tmp_path / "train.csv").write_text("Id,Target\na,0\nb,0 1\nc,1\n")
    printed, rows = stats(capsys, tmp_path)
    assert [rows[sample]["label"] for sample in "abcx"] == ["0", "0 1", "1", ""]
    assert {row["odd"] for row in rows.values()} == {""}
    assert "nothing says which photos belong together" in printed
    # grey files of channels make no grey sample
    assert {row["grey"] for row in rows.values()} == {"False"}


def test_where_all_photos_are_unreadable_that_is_said(tmp_path, capsys):
    for name in ("a", "b"):
        (tmp_path / "train" / name).mkdir(parents=True)
        (tmp_path / "train" / name / "1.jpg").write_text("no photo")
    printed, rows = stats(capsys, tmp_path)
    assert "all 2 photos (2 train) cannot be read" in printed
    assert (tmp_path / "curation" / "stats.png").is_file()
    assert {row["width"] for row in rows.values()} == {"0"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere"], "data root nowhere is not a folder"),
        (["."], "has none of train/train.csv"),
        (
            ["DATA", "-o", "no/such/folder"],
            "no/such/folder cannot be written to (No such file or directory); name another",
        ),
        (["DATA", "-o", "file"], "file cannot be written to"),
        (["DATA", "--corrections", "gone.csv"], "--corrections gone.csv: no such file"),
    ],
)
def test_what_it_cannot_do_is_said_before_any_photo_is_read(drawn, tmp_path, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    monkeypatch.setattr("stats.measure_all", lambda *_: pytest.fail("photos were read"))
    with pytest.raises(SystemExit, match="^error: ") as ended:
        main([str(drawn) if word == "DATA" else word for word in words])
    assert said in str(ended.value)


def test_a_data_root_that_is_read_only_asks_for_another_folder(drawn, monkeypatch):
    def refuse(*_, **__):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    with pytest.raises(SystemExit, match="Read-only file system.*name another place with -o"):
        main([str(drawn)])


def test_it_runs_as_a_script_and_tells_how(tmp_path):
    command = [sys.executable, PROJECT / "curate" / "stats.py", "--help"]
    told = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, cwd=tmp_path).stdout
    assert "--notes_dir" in told
    assert "--epochs" not in told


def test_a_data_root_that_is_marked_read_only_is_left_alone_even_by_root(data):
    before = sorted(path.name for path in data.iterdir())
    data.chmod(0o555)
    try:
        with pytest.raises(SystemExit, match="marked read-only.*name another place with -o"):
            main([str(data)])
        assert sorted(path.name for path in data.iterdir()) == before
    finally:
        data.chmod(0o755)


@pytest.mark.photos
@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("mask18-utk", "2352 labelled photos of 336 people, 18 classes, 588 test photos"),
        ("mask-real", "3000 labelled photos of 2023 groups, 2 classes, 601 test photos"),
        ("cars20", "614 labelled photos, 20 classes, 214 test photos"),
        ("glyph4-multilabel", "2400 labelled photos of 16 groups, 12 classes, 480 test photos"),
        ("malaria-patients", "3704 labelled photos of 160 groups, 2 classes, 915 test photos"),
    ],
)
def test_every_layout_of_real_photos_is_described(real_photos, tmp_path, capsys, name, line):
    printed, rows = stats(capsys, real_photos / name, "-o", tmp_path)
    assert f"{name}: {line}" in printed
    assert all(row["fault"] == "" for row in rows.values())
