import json
import os
from dataclasses import replace

import pytest

from config import PLACES, Config
from lookup import newest, with_parameters


def plant(folder, age, status="SUCCEEDED", **knobs):
    """A run folder whose best weights are `age` seconds old."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"parameters": Config().values() | knobs}))
    (folder / "summary.json").write_text(json.dumps({"status": status}))
    (folder / "best.pt").touch()
    os.utime(folder / "best.pt", (1e9 - age, 1e9 - age))
    return folder


def test_the_newest_run_of_a_model_that_ended_well_is_taken(tmp_path):
    plant(tmp_path / "exp" / "old", 50, model="resnet18")
    wanted = plant(tmp_path / "exp" / "new", 40, model="resnet18")
    other = plant(tmp_path / "more" / "x", 30, model="vgg11")
    plant(tmp_path / "more" / "y", 20, "FAILED", model="resnet18")
    (plant(tmp_path / "more" / "z", 10, model="resnet18") / "best.pt").unlink()
    assert newest(tmp_path, "resnet18") == wanted
    assert newest(tmp_path, "") == other
    assert newest(tmp_path / "exp", "") == wanted
    assert newest(tmp_path / "more" / "y", "whatever") == tmp_path / "more" / "y"  # a run folder is meant itself


def test_where_no_run_fits_it_is_said_what_there_is(tmp_path):
    with pytest.raises(ValueError, match="is no folder"):
        newest(tmp_path / "nowhere", "")
    plant(tmp_path / "a", 1, "FAILED")
    with pytest.raises(ValueError, match="holds no run folder that ended well; 1 others have a best.pt"):
        newest(tmp_path, "")
    plant(tmp_path / "b", 1, model="vgg11")
    with pytest.raises(ValueError, match=r"no run folder of model resnet18 \(NAME\) that ended well; there are vgg11"):
        newest(tmp_path, "resnet18")


def test_the_newest_run_with_the_parameters_is_taken(tmp_path):
    plant(tmp_path / "exp" / "a", 50, lr=0.5, data_dir="there")
    wanted = plant(tmp_path / "exp" / "b", 40, lr=0.5, data_dir="elsewhere", crop=350)  # as the data has it
    plant(tmp_path / "exp" / "c", 30, lr=0.1)
    assert with_parameters(tmp_path, replace(Config(), lr=0.5), PLACES) == wanted
    with pytest.raises(ValueError, match=r"none of the 3 run folders .*of the nearest, .*lr is 0.1 there and 0.7 now"):
        with_parameters(tmp_path, replace(Config(), lr=0.7), PLACES)
    with pytest.raises(ValueError, match=r"crop is -1 there and 10 now"):
        with_parameters(tmp_path, replace(Config(), lr=0.1, crop=10), PLACES)
    with pytest.raises(ValueError, match=r"other holds no run folder with a best.pt.*--model_dir and --name"):
        with_parameters(tmp_path, replace(Config(), name="other"), PLACES)
