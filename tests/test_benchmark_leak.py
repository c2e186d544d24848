import subprocess
import sys
from collections import Counter

import pandas as pd
import pytest
from conftest import PROJECT

from config import Config
from dataset import read


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_leak_s_benchmark_asks_everybody_once_as_new_and_once_as_validating(drawn, quick, cache, tmp_path):
    places = ["--folder", tmp_path / "runs", "--out", tmp_path / "leak.md", "--cache_dir", cache]
    knobs = quick[: quick.index("--precision")]  # the benchmark has its own precision and folder
    command = [sys.executable, PROJECT / "benchmarks" / "leak.py", drawn, *places, *knobs, "--classification", "heads"]
    for _ in range(2):  # the second time nothing is left to train
        done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    assert "model 1 of 5" not in done.stdout
    turns = [pd.read_csv(file, dtype=str) for file in sorted((tmp_path / "runs" / "drawn").glob("turn-*.csv"))]
    said = Counter(zip(*(pd.concat(turns)[name] for name in ("id", "fold")), strict=True))
    photos = read(str(drawn), "auto", Config().values()).train.ids
    assert said == Counter({(p, fold): n for p in photos for fold, n in (("0", 1), ("test_val", 1), ("train", 3))})
    rows = [line for line in (tmp_path / "leak.md").read_text().splitlines() if line.startswith("| drawn |")]
    assert [line.split(" | ")[1] for line in rows] == [
        "macro F1, 18 classes",
        "accuracy, 18 classes",
        "accuracy of mask",
        "accuracy of gender",
        "accuracy of age",
    ]
