import shutil

import pytest
import torch

import inference
import train


def make_run(root, quick):
    train.main(["--data_dir", str(root), *quick, "--epochs", "1"])
    return next(p for p in (train.Path(quick[-1])).glob("*/*"))


def test_inference_writes_what_the_trial_wrote(drawn, quick):
    folder = make_run(drawn, quick)
    before = (folder / "soft.csv").read_bytes()
    (folder / "soft.csv").unlink()
    (folder / "hard.csv").unlink()
    inference.main([str(folder)])
    assert (folder / "soft.csv").read_bytes() == before
    assert (folder / "hard.csv").is_file()


def test_the_data_may_have_moved(drawn, quick, tmp_path):
    folder = make_run(drawn, quick)
    before = (folder / "soft.csv").read_bytes()
    moved = shutil.copytree(drawn, tmp_path / "moved")
    inference.main([str(folder), "--data-dir", str(moved)])
    assert (folder / "soft.csv").read_bytes() == before


def test_what_is_no_finished_epoch_is_refused(drawn, quick, tmp_path):
    with pytest.raises(SystemExit, match="is no run folder"):
        inference.main([str(tmp_path)])
    folder = make_run(drawn, quick)
    (folder / "best.pt").write_bytes((folder / "best.pt").read_bytes()[:5000])
    with pytest.raises(SystemExit, match="best.pt cannot be read .* damaged"):
        inference.main([str(folder)])
    (folder / "best.pt").unlink()
    with pytest.raises(SystemExit, match=r"no best.pt: the trial ended before its first epoch did"):
        inference.main([str(folder)])


def test_a_gpu_that_is_not_there_is_told(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert inference.choose_device("auto").type == "cpu"
    with pytest.raises(ValueError, match="torch sees no GPU here"):
        inference.choose_device("cuda")
