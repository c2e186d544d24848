"""What is measured about the speed of a step, and what is made of it."""

import json
import threading
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from walks import load_json, run_trial

import pace
from checkpoint import settled
from config import Config
from model import MODELS
from pace import fastest, settle

CPU = torch.device("cpu")


class Clock:
    """A tenth of a millisecond passes whenever it is looked at, so that nothing takes no time."""

    now = 0.0

    def monotonic(self):
        self.sleep(0.0001)
        return self.now

    def sleep(self, seconds):
        self.now += seconds


@pytest.fixture
def clock(monkeypatch):
    planted = Clock()
    monkeypatch.setattr(pace, "time", planted)
    return planted


@pytest.fixture
def planted(tmp_path, monkeypatch, clock):
    """A config whose model takes some milliseconds per forward: `slow[dtype]` says how many, or what it raises."""
    slow, forwards = {torch.float32: 2, torch.bfloat16: 2}, []

    class Sleepy(nn.Module):
        def __init__(self, out_features):
            super().__init__()
            self.layer = nn.Linear(3, out_features)

        def forward(self, photos):
            kind = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else torch.float32
            forwards.append(kind)
            if isinstance(slow[kind], Exception):
                raise slow[kind]
            clock.sleep(slow[kind] / 1000)
            return self.layer(photos.mean(dim=(2, 3)))

    monkeypatch.setitem(MODELS.entries, "sleepy", Sleepy)
    config = Config(model="sleepy", resize=(8, 8), cache_dir=str(tmp_path / "cache"), precision="auto", compile="false")
    return config, slow, forwards


def test_the_clearly_faster_precision_is_taken_and_measured_only_once(planted, capsys):
    config, slow, forwards = planted
    slow[torch.float32] = 30
    settled = settle(config, 4, CPU, 1000)
    assert (settled.precision, settled.compile) == ("bf16", "false")
    said = capsys.readouterr().out
    assert said.startswith("precision bf16: float32 ")
    assert "images/s" in said
    forwards.clear()
    assert settle(config, 4, CPU, 1000) == settled
    assert not forwards
    settle(replace(config, batch_size=32), 4, CPU, 1000)
    assert forwards


def test_float32_stays_where_another_precision_is_slower(planted):
    config, slow, _ = planted
    slow[torch.bfloat16] = 30
    assert settle(config, 4, CPU, 1000).precision == "float32"


def test_float32_stays_where_another_precision_is_hardly_faster():
    assert fastest({"float32": 1.04, "bf16": 1.0}) == "float32"
    assert fastest({"float32": 1.06, "bf16": 1.0}) == "bf16"
    assert fastest({"float32": 3.0, "bf16": 2.0, "fp16": 1.0}) == "fp16"
    assert fastest({"float32": 3.0, "bf16": 1.0, "fp16": 0.99}) == "bf16"  # whose range is float32's


def test_a_hopeless_precision_takes_one_step(planted):
    config, slow, forwards = planted
    slow[torch.float32], slow[torch.bfloat16] = 5, 100
    assert settle(config, 4, CPU, 1000).precision == "float32"
    assert forwards.count(torch.bfloat16) == 1


def test_a_precision_that_fails_is_not_taken_and_told(planted, capsys):
    config, slow, _ = planted
    slow[torch.bfloat16] = RuntimeError("not implemented for BFloat16\nmore")
    assert settle(config, 4, CPU, 1000).precision == "float32"
    assert "bf16 failed (not implemented for BFloat16)" in capsys.readouterr().out


def test_a_model_that_takes_no_step_is_refused_with_the_reasons_and_measured_anew(planted):
    config, slow, _ = planted
    slow[torch.bfloat16] = RuntimeError("not for BFloat16")
    settle(config, 4, CPU, 1000)
    with pytest.raises(ValueError, match=r"sleepy takes no training step: bf16 failed \(not for BFloat16\)"):
        settle(replace(config, precision="bf16", compile="auto"), 4, CPU, 1000)
    slow[torch.bfloat16] = 2
    assert settle(replace(config, precision="bf16", compile="auto"), 4, CPU, 1000).precision == "bf16"


def test_a_size_that_the_model_cannot_take_is_named(planted):
    config, _, _ = planted
    with pytest.raises(ValueError, match="alexnet cannot take photos of 8 x 8: .* Change --resize"):
        settle(replace(config, model="alexnet"), 4, CPU, 1000)


def test_a_model_is_measured_with_the_channels_and_logits_that_it_will_have_and_each_number_by_itself(
    planted, monkeypatch
):
    config, _, _ = planted
    seen = set()

    class Wide(nn.Module):
        def __init__(self, in_channels, out_features):
            super().__init__()
            self.layer = nn.Linear(in_channels, out_features)

        def forward(self, photos):
            seen.add((photos.shape[1], self.layer.out_features))
            return self.layer(photos.mean(dim=(2, 3)))

    monkeypatch.setitem(MODELS.entries, "wide", Wide)
    config = replace(config, model="wide")
    settle(config, 28, CPU, 1000, channels=4)
    assert seen == {(4, 28)}
    seen.clear()
    settle(config, 28, CPU, 1000, channels=4)
    assert not seen
    settle(config, 28, CPU, 1000)
    assert seen == {(3, 28)}


def test_several_processes_train_without_a_compiler(planted, monkeypatch):
    config, _, _ = planted
    monkeypatch.setitem(pace.COMPILE_FROM, "cpu", 0.0)
    monkeypatch.setattr(torch, "compile", lambda model: 1 / 0)
    assert settle(replace(config, compile="auto"), 4, CPU, 10**9, processes=2).compile == "false"


def test_of_trials_that_start_together_one_measures(planted, monkeypatch):
    config, _, _ = planted
    benches, bench = [], pace.Bench
    monkeypatch.setattr(pace, "Bench", lambda *given: benches.append(given) or bench(*given))
    trials = [threading.Thread(target=settle, args=(config, 4, CPU, 1000)) for _ in range(3)]
    for trial in trials:
        trial.start()
    for trial in trials:
        trial.join()
    assert len(benches) == 1


def test_a_given_precision_is_neither_measured_nor_changed(planted):
    config, _, forwards = planted
    given = replace(config, precision="bf16")
    assert settle(given, 4, CPU, 1000) is given
    assert not forwards


def test_a_damaged_record_is_measured_again_and_one_that_cannot_be_kept_is_told(planted, tmp_path, capsys):
    config, _, forwards = planted
    settle(config, 4, CPU, 1000)
    (file,) = (tmp_path / "cache" / "pace").glob("*.json")
    file.write_text("{")
    forwards.clear()
    settle(config, 4, CPU, 1000)
    assert forwards
    assert set(json.loads(file.read_text())) == {"float32", "bf16"}
    (tmp_path / "file").touch()
    settle(replace(config, cache_dir=str(tmp_path / "file")), 4, CPU, 1000)
    assert "is not kept, the next trial measures again" in capsys.readouterr().out


def test_measuring_does_not_change_what_the_trial_draws(planted):
    config, _, _ = planted
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    settle(config, 4, CPU, 1000)
    assert torch.equal(torch.rand(4), expected)


class Quicker(nn.Module):
    """What torch.compile might make of a sleepy model: it takes no time."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, photos):
        return self.model.layer(photos.mean(dim=(2, 3)))


@pytest.mark.parametrize(("photos", "expected"), [(1_000_000, "true"), (100, "false")])
def test_compiling_is_measured_for_long_trainings_and_taken_where_it_pays(
    planted, monkeypatch, clock, capsys, photos, expected
):
    config, slow, _ = planted
    slow[torch.float32] = slow[torch.bfloat16] = 30
    monkeypatch.setattr(torch, "compile", lambda model: clock.sleep(0.3) or Quicker(model))
    long = 3600 / (0.03 / 16) if expected == "true" else photos
    assert settle(replace(config, compile="auto"), 4, CPU, 10 * long).compile == expected
    assert ("compile true: " in capsys.readouterr().out) == (expected == "true")  # of either, as both are as slow


def test_compiling_that_fails_is_told_and_not_taken(planted, monkeypatch, capsys):
    def broken(model):
        def forward(*photos):
            raise OSError("no C++ compiler")

        model.forward = forward
        return model

    config, _, _ = planted
    monkeypatch.setattr(torch, "compile", broken)
    monkeypatch.setitem(pace.COMPILE_FROM, "cpu", 0.0)
    assert settle(replace(config, compile="auto"), 4, CPU, 1000).compile == "false"
    assert "compiled failed (OSError: no C++ compiler)" in capsys.readouterr().out


def test_what_was_measured_stays_when_a_trial_goes_on():
    run = SimpleNamespace(summary={"precision": "bf16", "compile": "false", "status": "INTERRUPTED"})
    config = settled(run, Config(precision="auto", compile="auto"))
    assert (config.precision, config.compile) == ("bf16", "false")


def test_what_was_measured_is_in_the_summary(drawn, quick):
    options = [word if word != "float32" else "auto" for word in quick]
    folder = run_trial(drawn, options, "--epochs", 1)
    summary = load_json(folder, "summary.json")
    assert summary["precision"] in ("float32", "bf16")
    assert summary["compile"] == "false"
    assert load_json(folder, "config.json")["parameters"]["precision"] == "auto"


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # torch's compiler warns of itself
def test_a_compiled_trial_gives_the_result_of_a_plain_one(drawn, quick):
    words = ["--model", "timm/test_convnext", "--resize", "64", "--optimizer", "SGD", "--epochs", "1"]  # no dropout
    plain, compiled = (run_trial(drawn, quick, *words, "--compile", on, "--name", on) for on in ("false", "true"))
    ends = [torch.load(folder / "best.pt", weights_only=True) for folder in (plain, compiled)]
    assert list(ends[0]) == list(ends[1])
    for name, tensor in ends[0].items():
        torch.testing.assert_close(ends[1][name], tensor, rtol=1e-2, atol=1e-3)
