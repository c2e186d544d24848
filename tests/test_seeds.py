"""The same trial with several seeds."""

import json
import statistics
from pathlib import Path

import pytest
from kills import plant_small, without_times
from walks import failure, history, load_json, run_trial

import learner
import seeds
import train
from sources import load


@pytest.fixture
def small(quick, monkeypatch):
    return plant_small(quick, monkeypatch)


def by_seed(small, name):
    folders = (Path(small[-1]) / name).iterdir()
    return {load_json(folder, "config.json")["parameters"]["seed"]: folder for folder in folders}


def test_each_seed_is_a_trial_of_its_own_and_mean_and_deviation_are_told(drawn, small, capsys):
    run_trial(drawn, small, "--seeds", 3, "--seed", 5, "--name", "all")
    folders = by_seed(small, "all")
    assert sorted(folders) == [5, 6, 7]
    alone = run_trial(drawn, small, "--seed", 6, "--name", "alone")
    assert without_times(history(folders[6])) == without_times(history(alone))
    assert (folders[6] / "soft.csv").read_bytes() == (alone / "soft.csv").read_bytes()
    said = capsys.readouterr().out
    assert f"seeds 5, 6, 7 in {folders[5].parent}:\n" in said
    for name in ("accuracy", "macro_f1", "loss"):
        values = [load_json(folders[seed], "summary.json")["metrics"][f"val_{name}"] for seed in (5, 6, 7)]
        each = " ".join(f"{value:.4f}" for value in values)
        assert f"{name}: {statistics.mean(values):.4f} ± {statistics.stdev(values):.4f}  ({each})\n" in said
    assert all("seeds" not in load_json(folder, "config.json")["parameters"] for folder in folders.values())


def test_one_seed_is_a_trial_and_nothing_more(drawn, small, capsys):
    run_trial(drawn, small)
    assert "seeds" not in capsys.readouterr().out


def test_stopped_between_and_in_trials_it_goes_on_with_those_that_have_not_ended(drawn, small, monkeypatch, capsys):
    words = ("--seeds", 3, "--seed", 5)
    train_epoch, begun = learner.Learner.train, []

    def stopped(self, feed, rows, epoch, past):
        begun.append((self.config.seed, epoch))
        if begun[-1] == (6, 2):
            raise KeyboardInterrupt
        return train_epoch(self, feed, rows, epoch, past)

    monkeypatch.setattr(train, "die_of_interrupt", lambda: None)
    with monkeypatch.context() as patched:
        patched.setattr(learner.Learner, "train", stopped)
        run_trial(drawn, small, *words)
    assert "--resume auto goes on with all of its seeds" in capsys.readouterr().out
    trained = []

    def noted(self, feed, rows, epoch, past):
        trained.append((self.config.seed, epoch))
        return train_epoch(self, feed, rows, epoch, past)

    monkeypatch.setattr(learner.Learner, "train", noted)
    run_trial(drawn, small, *words, "--resume", "auto")
    assert trained == [(6, 2), (7, 1), (7, 2)]
    assert sorted(by_seed(small, "exp")) == [5, 6, 7]
    assert "seeds 5, 6, 7 in" in capsys.readouterr().out


def test_seeds_of_other_data_are_not_averaged(data, small):
    run_trial(data, small, "--seeds", 2)
    photo = next((data / "train" / "images").glob("*/normal.*"))
    photo.write_bytes(photo.read_bytes() + b"0")
    says = failure(data, small, "--seeds", 3, "--resume", "auto")
    assert "were trained on other data or folds, so their scores do not compare" in says


def test_all_folds_of_each_seed(drawn, small, capsys):
    run_trial(drawn, small, "--seeds", 2, "--folds", 2, "--fold", "all")
    folders = by_seed(small, "exp")
    values = [load_json(folders[seed], "summary.json")["metrics"]["val_accuracy"] for seed in (42, 43)]
    assert f"accuracy: {statistics.mean(values):.4f} ± {statistics.stdev(values):.4f}" in capsys.readouterr().out


def test_a_trial_is_repeated_with_the_seeds_after_its_own(drawn, small):
    first = run_trial(drawn, small, "--seed", 5, "--name", "first")
    train.main(["--from", str(first), "--seeds", "2", "--name", "again"])
    folders = by_seed(small, "again")
    assert sorted(folders) == [5, 6]
    assert without_times(history(folders[5])) == without_times(history(first))


def test_several_seeds_do_not_go_on_in_one_folder(drawn, small):
    first = run_trial(drawn, small)
    assert "--resume auto goes on with all of them" in failure(drawn, small, "--seeds", 2, "--resume", first)


def test_nni_is_to_be_given_seeds_as_a_search_space():
    with pytest.raises(ValueError, match="NNI waits for the result of one; put the seed into the search space"):
        load(["--seeds", "3"], {}, {"lr": 0.1})


def test_a_deviation_is_that_of_a_sample(tmp_path, capsys):
    """1, 2 and 6 have mean 3 and variance (4 + 1 + 9) / 2 = 7."""
    for number, value in enumerate((1, 2, 6)):
        folder = tmp_path / str(number)
        folder.mkdir()
        told = {"parameters": {"seed": number}, "data": {"fingerprint": "a"}, "folds": {"hash": "b"}}
        (folder / "config.json").write_text(json.dumps(told))
        (folder / "summary.json").write_text(json.dumps({"metrics": {"val_accuracy": value}}))
    seeds.tell_seeds([tmp_path / str(number) for number in range(3)])
    assert "accuracy: 3.0000 ± 2.6458  (1.0000 2.0000 6.0000)" in capsys.readouterr().out
