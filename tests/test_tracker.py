import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest

from config import Config
from tracker import TRACKERS, open_tracker

ROW = {"epoch": 1, "train_loss": 0.5, "val_accuracy": 0.25}


class FakeWandb:
    """What wandb is asked, in order."""

    def __init__(self):
        self.said, self.fails = [], set()
        self.run = SimpleNamespace(
            log=lambda row, step: self.hear("log", row, step),
            summary=SimpleNamespace(update=lambda values: self.hear("summary", values)),
            finish=lambda exit_code: self.hear("finish", exit_code),
        )

    def hear(self, what, *words):
        if what in self.fails:
            raise ConnectionError("no route to host")
        self.said.append((what, *words))

    def init(self, **words):
        self.hear("init", words)
        return self.run

    Settings = staticmethod(lambda **words: words)


class FakeMlflow:
    def __init__(self):
        self.said, self.runs = [], {}

    def set_experiment(self, name):
        self.said.append(("experiment", name))
        return SimpleNamespace(experiment_id="7")

    def MlflowClient(self):  # noqa: N802 as MLflow calls it
        def search(experiments, text):
            assert experiments == ["7"]
            return [SimpleNamespace(info=SimpleNamespace(run_id=run)) for key, run in self.runs.items() if key in text]

        return SimpleNamespace(search_runs=search)

    def start_run(self, run_id=None, run_name="", tags=None):
        if run_id is None:
            run_id = f"run{len(self.runs)}"
            self.runs[tags["run_folder_key"]] = run_id
        self.said.append(("start", run_id))

    def log_params(self, values):
        self.said.append(("params", values))

    def log_metrics(self, values, step=None):
        self.said.append(("metrics", values, step))

    def end_run(self, status):
        self.said.append(("end", status))


@pytest.fixture
def wandb(monkeypatch):
    fake = FakeWandb()
    monkeypatch.setitem(sys.modules, "wandb", fake)
    return fake


@pytest.fixture
def mlflow(monkeypatch):
    fake = FakeMlflow()
    monkeypatch.setitem(sys.modules, "mlflow", fake)
    return fake


def track(kind, folder, **knobs):
    return open_tracker(replace(Config(), track=kind, **knobs), folder, {"lr": 0.1})


def trial(tracker):
    tracker.epoch(ROW, 1)
    tracker.finish({"best_epoch": 1, "accuracy": 0.25})
    tracker.close()


def test_without_track_nothing_is_imported(tmp_path, monkeypatch):
    for name in ("wandb", "mlflow"):
        monkeypatch.setitem(sys.modules, name, None)  # an import of it fails
    trial(track("none", tmp_path))


@pytest.mark.parametrize("kind", ["wandb", "mlflow"])
def test_a_missing_package_is_named_with_what_to_do(tmp_path, monkeypatch, kind):
    monkeypatch.setitem(sys.modules, kind, None)
    with pytest.raises(ValueError, match=f"--track {kind} needs a package: pip install {kind}"):
        track(kind, tmp_path)


def test_wandb_gets_each_epoch_and_the_end(tmp_path, wandb):
    trial(track("wandb", tmp_path / "exp" / "a", track_project="masks", track_entity="us"))
    (_, begun), *rest = wandb.said
    assert (begun["project"], begun["entity"], begun["name"], begun["config"]) == ("masks", "us", "exp/a", {"lr": 0.1})
    assert rest == [
        ("log", {"train_loss": 0.5, "val_accuracy": 0.25}, 1),
        ("summary", {"best_epoch": 1, "accuracy": 0.25}),
        ("finish", 0),
    ]


def test_a_trial_that_goes_on_goes_on_in_its_wandb_run(tmp_path, wandb):
    for folder in ("a", "a", "b"):
        track("wandb", tmp_path / folder)
    first, again, other = (words for _, words in wandb.said)
    assert first["id"] == again["id"] != other["id"]
    assert again["resume"] == "allow"
    assert again["entity"] is None


def test_a_trial_that_goes_on_goes_on_in_its_mlflow_run(tmp_path, mlflow):
    trial(track("mlflow", tmp_path / "a", track_project="masks"))
    track("mlflow", tmp_path / "b").close()
    track("mlflow", tmp_path / "a")
    assert mlflow.said == [
        ("experiment", "masks"),
        ("start", "run0"),
        ("params", {"lr": 0.1}),
        ("metrics", {"train_loss": 0.5, "val_accuracy": 0.25}, 1),
        ("metrics", {"best/best_epoch": 1, "best/accuracy": 0.25}, None),
        ("end", "FINISHED"),
        ("experiment", "podium"),
        ("start", "run1"),
        ("params", {"lr": 0.1}),
        ("end", "FAILED"),  # it never came to its end
        ("experiment", "podium"),
        ("start", "run0"),
    ]


def test_a_network_that_breaks_off_costs_one_warning_and_no_trial(tmp_path, wandb, capsys):
    tracker = track("wandb", tmp_path)
    wandb.fails = {"log", "finish"}
    tracker.epoch(ROW, 1)
    tracker.epoch(ROW, 2)
    tracker.finish({})
    tracker.close()
    out = capsys.readouterr().out
    assert out.count("warning") == 1
    assert "wandb failed (ConnectionError: no route to host); the trial goes on untracked" in out


def test_a_service_that_cannot_be_begun_with_is_an_error_before_the_trial(tmp_path, wandb):
    wandb.fails = {"init"}
    with pytest.raises(ValueError, match=r"--track wandb cannot begin: ConnectionError.*WANDB_MODE=offline"):
        track("wandb", tmp_path)


def test_a_stop_is_not_taken_for_a_failure_of_the_service(tmp_path, wandb):
    tracker = track("wandb", tmp_path)

    def stopped(row, step):
        raise KeyboardInterrupt

    wandb.run.log = stopped
    with pytest.raises(KeyboardInterrupt):
        tracker.epoch(ROW, 1)


def test_the_knob_s_choices_are_the_registered_trackers():
    assert set(Config.__dataclass_fields__["track"].metadata["choices"]) == set(TRACKERS.entries)
