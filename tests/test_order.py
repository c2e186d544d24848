import json

import pytest

from config import Config
from order import NUM_TTA, understand
from views import VIEWS


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "outputs" / "exp" / "a"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"parameters": Config(epochs=3, fold="1").values()}))
    (folder / "summary.json").write_text('{"status": "SUCCEEDED"}')
    (folder / "best.pt").touch()
    return folder


def test_a_run_folder_alone_gets_its_own_files(run):
    order = understand([str(run), "--data-dir", "d", "--device", "cpu"], {})
    assert (order.path, order.split, order.output, order.answers, order.checkpoint) == (run, "test", None, None, None)
    assert order.changes == {"data_dir": "d", "device": "cpu"}


@pytest.mark.parametrize(("count", "views"), [(1, "plain"), (2, "flip"), (4, "dihedral4"), (8, "dihedral8")])
def test_num_tta_names_views(run, count, views):
    assert understand([str(run), "--num_tta", str(count)], {}).changes == {"views": views}
    assert understand([str(run), "--views", views], {}).changes == {"views": views}
    assert NUM_TTA[count] in VIEWS.entries


def test_the_old_line_finds_the_run_that_the_file_was_trained_to(run, tmp_path, capsys):
    file = tmp_path / "x.yml"
    file.write_text("train: {num_epochs: 3}\n")
    words = f"--config {file} --num_tta 8 --output {tmp_path / 'o.csv'} --split test_val --fold 1".split()
    order = understand([*words, "--model_dir", str(tmp_path / "outputs"), "--batch_size", "64"], {})
    assert (order.path, order.split, order.output) == (run, "test_val", tmp_path / "o.csv")
    assert order.changes == {"views": "dihedral8"}
    assert f"run folder: {run}" in capsys.readouterr().out
    with pytest.raises(ValueError, match="fold is '1' there and '0' now"):
        understand(words[:-2], {"SM_MODEL_DIR": str(tmp_path / "outputs")})


def test_the_environment_names_model_data_and_output(run, tmp_path):
    around = {
        "SM_CHANNEL_MODEL": str(tmp_path / "outputs"),
        "SM_CHANNEL_EVAL": "photos",
        "SM_OUTPUT_DATA_DIR": str(tmp_path),
        "NAME": Config().model,
    }
    order = understand([], around)
    assert (order.path, order.answers, str(order.evaluated)) == (run, tmp_path / "output.csv", "photos")
    assert understand(["--data_dir", "d"], around).evaluated is None  # the command line wins
    asked = understand(["--output", "o.csv"], around)
    assert (str(asked.output), asked.answers) == ("o.csv", None)
    with pytest.raises(ValueError, match="no run folder of model vgg11"):
        understand([], around | {"NAME": "vgg11"})


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("", "which run folder"),
        ("RUN --config x.yml", "both a run folder"),
        ("RUN --epochs 4", "--epochs is the trial's own"),
        ("RUN --num_tta 4 --views flip", "--num_tta 4 is --views dihedral4, not flip"),
        ("RUN --views flop", "unknown views 'flop'"),
        ("RUN --split test_val", "--split test_val needs --output FILE"),
        ("--config nowhere.yml", "nowhere.yml: no such file"),
    ],
)
def test_what_is_not_clear_is_refused(words, says):
    with pytest.raises(ValueError, match=says):
        understand(words.split(), {})
