import subprocess
import sys
from collections import Counter

import pytest
from conftest import PROJECT

sys.path.append(str(PROJECT / "benchmarks"))  # last, as it too has a trial.py and an augment.py

from labels import plant, recall_table, review, write_notes

from config import Config
from dataset import read

NO_NOTES = {"groups": "none", "corrections": "none"}


@pytest.fixture
def people(drawn):
    return read(str(drawn), "auto", Config().values() | NO_NOTES)


def test_a_twentieth_of_the_labels_is_flipped_and_the_same_ones_for_a_seed(people):
    flips = plant(people, seed=0)
    assert Counter(field for field, _ in flips) == {"mask": 7, "gender": 1, "age": 1}  # of 140 photos, 20 people
    assert plant(people, seed=0) == flips
    assert plant(people, seed=1) != flips


def test_trials_read_the_flips_as_labels_and_keep_those_that_came(people, drawn, tmp_path):
    flips = plant(people, seed=0)
    write_notes(tmp_path / "notes", people, flips)
    flipped = read(str(drawn), "auto", Config().values() | {"groups": "none", "notes_dir": str(tmp_path / "notes")})
    wrong = (flipped.truth != people.truth).any(axis=1)
    photos, groups = people.train.ids, people.train.groups
    meant = {photo for photo, group in zip(photos, groups, strict=True)
             for field, key in flips if key == (photo if field == "mask" else group)}  # fmt: skip
    assert {photo for photo, is_wrong in zip(photos, wrong, strict=True) if is_wrong} == meant
    assert (flipped.given == people.truth).all()


def test_no_flips_are_a_file_that_changes_nothing(people, drawn, tmp_path):
    write_notes(tmp_path / "notes", people, {})
    clean = read(str(drawn), "auto", Config().values() | {"groups": "none", "notes_dir": str(tmp_path / "notes")})
    assert (clean.truth == people.truth).all()


def test_a_reviewer_meets_the_flips_of_the_first_rows():
    flips = {("mask", "a"): "normal", ("gender", "p"): "male", ("age", "p"): "<30"}
    ranking = [("gender", "p"), ("mask", "b"), ("mask", "a"), ("age", "p")]
    assert review(flips, ranking, 0.5) == {("gender", "p")}
    assert review(flips, ranking, 0.75) == {("gender", "p"), ("mask", "a")}


def test_what_the_first_rows_hold_is_counted_by_field():
    flips = {("mask", "0"): "normal", ("mask", "1"): "normal", ("gender", "p"): "male"}
    ranking = [("mask", "0"), ("gender", "p"), *(("mask", str(number)) for number in range(19, 0, -1))]
    plain = [("gender", "p")] * 7 + [("mask", str(number)) for number in range(20)]
    lines = recall_table(flips, ranking, plain)
    assert lines[2] == "| mask | 20 | 2 | 1 (50%) | 1 (50%) | 0 (0%) | 0 (0%) |"
    assert lines[3] == "| gender | 1 | 1 | 0 (0%) | 1 (100%) | 1 (100%) | 1 (100%) |"
    assert lines[5] == "| all | 21 | 3 | 1 (33%) | 2 (67%) | 1 (33%) | 1 (33%) |"


@pytest.mark.slow
def test_the_whole_benchmark_runs_on_drawn_people_and_trains_nothing_twice(drawn, tmp_path):
    words = "--model squeezenet1_1 --pretrained false --resize 24 --crop 0 --epochs 1 --batch_size 32 --device cpu "
    words += f"--precision float32 --compile false --classification heads --folds 3 --fold all --cache_dir {tmp_path}"
    command = [sys.executable, PROJECT / "benchmarks" / "labels.py", drawn, "--folder", tmp_path / "labels"]
    command += ["--out", tmp_path / "labels.md", "--threads", "1", "--recipe", words]
    told = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300).stdout
    assert told.count("run folder: ") == 3
    page = (tmp_path / "labels.md").read_text()
    assert "140 photos of 20 people. 9 labels were flipped" in page
    assert "| labels as they came | 0 photos |" in page
    again = subprocess.run(command, check=True, capture_output=True, text=True, timeout=100).stdout
    assert "run folder: " not in again
    assert (tmp_path / "labels.md").read_text() == page
    refused = subprocess.run([*command, "--seed", "1"], capture_output=True, text=True, timeout=100)
    assert refused.returncode == 1
    assert "was trained on other flips; take another --folder" in refused.stderr
