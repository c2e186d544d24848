"""Trials that begin with another run folder: repeated from its start, or gone on with after its end."""

import fcntl
import json
import shutil
import socket
from pathlib import Path

import pytest
import torch
from kills import assert_as_never_stopped, assert_equal, folder_of, killed_at, plant_small, without_times
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from walks import history, load_json, run_trial

import train
from optim import SCHEDULES
from run import is_held, place_of, root_of
from sources import from_baseline, load
from trial import Trial


@pytest.fixture
def small(quick, monkeypatch):
    return plant_small(quick, monkeypatch)


@pytest.fixture
def nni(monkeypatch):
    """Makes trials those that NNI starts, with the parameters that a test puts into it; returns what they tell it."""

    def start(name, told, **parameters):
        monkeypatch.setattr(train, "start_trial", lambda: Trial("E", name, parameters))
        monkeypatch.setattr(Trial, "report", lambda self, metrics, **step: told.append((step, metrics)))
        monkeypatch.setattr(Trial, "resume", lambda self, epochs: told.append(f"resume {epochs}"))
        monkeypatch.setattr(Trial, "finish", lambda self, metrics: told.append(metrics))

    return start


def repeat(folder, *words):
    """The run folder of `train.py --from folder`, in the same process, with nothing but that given."""
    train.main(["--from", str(folder), *map(str, words)])
    return max(root_of(folder).glob("*/*"), key=lambda path: path.stat().st_mtime_ns)


def go_on(small, folder, *words):
    train.main(["--continue_run", str(folder), "--name", "longer", *map(str, words)])
    return folder_of(small, "longer")


def snapshot(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_repeated_trial_has_the_same_numbers_to_the_digit_in_a_new_run_folder(drawn, small):
    words = ("--epochs", 3, "--lr", 0.03, "--averaging", "ema", "--mixup", 0.2, "--seed", 7)
    first = run_trial(drawn, small, *words)
    before = snapshot(first)
    second = repeat(first)
    assert second != first
    assert_as_never_stopped(second, first)
    assert snapshot(first) == before
    told = load_json(second, "config.json")
    assert told["repeats"] == str(first)
    original = load_json(first, "config.json")["parameters"]
    changed = {name for name in original if told["parameters"][name] != original[name]}
    assert changed <= {"dataset"}
    assert not {"repeat_of", "seeds", "resume"} & set(told["parameters"])


def test_what_auto_had_settled_to_is_kept(drawn, small, monkeypatch):
    """This machine would take float32 now; the trial had measured bf16 to be faster."""
    words = [word for word in small if word not in ("--precision", "--compile", "float32", "false")]
    words[words.index("--pretrained") + 1 : words.index("--pretrained") + 1] = ["false"]
    with monkeypatch.context() as patched:
        patched.setattr(
            train, "settle", lambda config, *given: train.replace(config, precision="bf16", compile="false")
        )
        first = run_trial(drawn, words)
    assert load_json(first, "config.json")["parameters"]["precision"] == "auto"
    second = repeat(first)
    assert without_times(history(second)) == without_times(history(first))
    parameters = load_json(second, "config.json")["parameters"]
    assert (parameters["precision"], parameters["compile"]) == ("bf16", "false")
    assert parameters["dataset"] == "MaskSplitByProfileDataset"


def test_a_trial_of_nni_is_repeated_by_hand(drawn, small, nni, monkeypatch):
    nni("T", [], lr=0.07, batch_size=16.0, augmentation="none")
    first = run_trial(drawn, small)
    assert first.parent.name == "E"
    monkeypatch.setattr(train, "start_trial", lambda: Trial("", "", {}))
    second = repeat(first)
    assert second.parent == root_of(first) / "exp"
    assert without_times(history(second)) == without_times(history(first))
    assert history(second)[0]["lr"] == 0.07


def test_a_trial_of_all_folds_is_repeated(drawn, small):
    first = run_trial(drawn, small, "--folds", 2, "--fold", "all")
    second = repeat(first)
    for fold in ("fold-0", "fold-1"):
        assert without_times(history(second / fold)) == without_times(history(first / fold))
    assert (second / "soft.csv").read_bytes() == (first / "soft.csv").read_bytes()
    assert load_json(second, "config.json")["repeats"] == str(first)
    alone = repeat(first / "fold-1")
    assert alone.parent == first.parent
    assert without_times(history(alone)) == without_times(history(first / "fold-1"))


def test_further_options_override_and_are_recorded(drawn, small):
    first = run_trial(drawn, small)
    second = repeat(first, "--lr", 0.5, "--folds", 3)
    told = load_json(second, "config.json")
    assert told["parameters"]["lr"] == 0.5
    assert {"knob": "lr", "value": 0.01, "from": "--from", "by": "command line", "now": 0.5} in told["overrides"]


def test_the_same_data_may_lie_elsewhere_and_other_data_are_refused_with_what_differs(data, small, tmp_path, capsys):
    first = run_trial(data, small)
    moved = shutil.move(data, tmp_path / "moved")
    assert f"data root {data} is not a folder" in failed("--from", first)
    assert without_times(history(repeat(first, "--data_dir", moved))) == without_times(history(first))
    lost = sorted((moved / "train" / "images").glob("*/normal.*"))[0]
    lost.write_bytes(lost.read_bytes() + b"0")
    says = failed("--from", first, "--data_dir", moved)
    assert f"{moved} does not hold what {first} was trained on: fingerprint is " in says
    assert "photos is" not in says
    capsys.readouterr()
    repeat(first, "--data_dir", moved, "--classification", "mask")
    assert f"note: classification differ from {first}" in capsys.readouterr().out


def failed(*words):
    with pytest.raises(SystemExit) as stop:
        train.main(list(map(str, words)))
    return str(stop.value)


def test_corrections_that_came_since_are_named(data, small):
    first = run_trial(data, small)
    person = sorted((data / "train" / "images").iterdir())[0].name
    (data / "corrections.csv").write_text(f"path,person,field,value,note\n,{person.split('_')[0]},mask,swap,\n")
    says = failed("--from", first)
    assert "corrections.csv is none there and " in says


@pytest.mark.parametrize("content", [None, {"parameters": {}, "blend": {"members": ["exp/a", "exp/b"]}}])
@pytest.mark.parametrize("option", ["--from", "--continue_run"])
def test_what_is_no_trial_s_run_folder_is_refused(tmp_path, content, option):
    if content:
        (tmp_path / "config.json").write_text(json.dumps(content))
    says = "is a blend, which nobody trained; take one of ['exp/a', 'exp/b']" if content else "it lacks config.json"
    assert says in failed(option, tmp_path)


def test_config_json_says_what_a_gpu_may_change(drawn, small):
    told = load_json(run_trial(drawn, small), "config.json")["reproducible"]
    for word in ("CPU", "bit for bit", "GPU", "threads", "TF32", "cudnn.benchmark", "processes"):
        assert word in told


@pytest.mark.parametrize(
    "words",
    [
        ("--schedule", "constant"),
        ("--averaging", "ema"),  # and drops
        ("--schedule", "plateau", "--plateau_patience", 0, "--lr", 0.1),
        ("--optimizer", "sgd", "--nesterov", "true", "--precision", "bf16", "--schedule", "exponential"),
    ],
)
def test_a_trial_that_goes_on_is_what_a_longer_one_had_been(drawn, small, words):
    twin = run_trial(drawn, small, *words, "--epochs", 4, "--name", "twin")
    short = run_trial(drawn, small, *words, "--epochs", 2, "--name", "short")
    before = snapshot(short)
    folder = go_on(small, short, "--epochs", 4)
    assert snapshot(short) == before
    for name in ("best.pt", "last.pt"):
        states = [without_times(torch.load(path / name, weights_only=True)) for path in (folder, twin)]
        assert_equal(*states, name)
    assert without_times(history(folder)) == without_times(history(twin))
    for name in ("val_soft.csv", "soft.csv", "hard.csv"):
        assert (folder / name).read_bytes() == (twin / name).read_bytes()
    told = load_json(folder, "config.json")["continues"]
    assert (told["run"], told["host"], told["epochs"]) == (str(short), socket.gethostname(), 2)
    assert load_json(folder, "summary.json")["attempts"][0]["from_epoch"] == 2


def test_its_schedule_is_that_of_all_epochs_and_swa_begins_anew(drawn, small):
    words = ("--schedule", "cosine", "--averaging", "swa", "--swa_last", 1)
    short = run_trial(drawn, small, *words, "--name", "short")
    folder = go_on(small, short, "--epochs", 4)
    factor = SCHEDULES.build("cosine", {"epochs": 4, "warmup_epochs": 1.0})
    steps = -(-98 // 32)
    last = [row["lr"] / 0.01 for row in history(folder)[2:]]
    assert last == pytest.approx([factor(epoch + (steps - 1) / steps, []) for epoch in (2, 3)])
    assert torch.load(folder / "last.pt", weights_only=True)["average"]["count"] == 1


def test_it_may_go_on_more_than_once_and_be_repeated(drawn, small):
    twin = run_trial(drawn, small, "--epochs", 4, "--name", "twin")
    short = run_trial(drawn, small, "--epochs", 2, "--name", "short")
    longer = go_on(small, short, "--epochs", 3)
    longest = go_on(small, longer, "--epochs", 4)
    assert without_times(history(longest)) == without_times(history(twin))
    again = repeat(longest)
    assert without_times(history(again)) == without_times(history(twin))
    shutil.rmtree(short)
    train.main(["--resume", str(longest)])  # which has ended, and needs no other folder
    assert f"there is no run folder {longer}" in (shutil.rmtree(longer) or failed("--from", longest))


def test_a_trial_that_went_on_is_repeated_from_where_it_had(drawn, small):
    """By cosine it is not what a trial of so many epochs had been from its start."""
    short = run_trial(drawn, small, "--schedule", "cosine", "--epochs", 2, "--name", "short")
    longer = go_on(small, short, "--epochs", 4)
    again = repeat(longer)
    assert without_times(history(again)) == without_times(history(longer))
    told = load_json(again, "config.json")
    assert told["repeats"] == str(longer)
    assert (told["continues"]["run"], told["continues"]["epochs"]) == (str(short), 2)
    lines = (short / "history.jsonl").read_text().splitlines()
    (short / "history.jsonl").write_text("\n".join([*lines, lines[-1]]) + "\n")
    assert f"{longer} went on after epoch 2 of {short}, which has 3 by now" in failed("--from", longer)


def test_files_that_a_trial_of_nni_named_from_its_folder_are_found(tmp_path, monkeypatch):
    monkeypatch.setattr("sources.BASELINE", tmp_path / "baseline")
    monkeypatch.chdir(tmp_path)
    for name in ("baseline/mine.pt", "here.csv", "baseline/here.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    stored = {"parameters": {"weights": "mine.pt", "fold_file": "here.csv", "external": "nowhere", "lr": 0.1}}
    assert from_baseline(stored) == {"weights": str(tmp_path / "baseline" / "mine.pt")}


def test_all_folds_go_on_each_where_it_was_and_one_that_had_not_begun_begins(drawn, small, monkeypatch, capsys):
    words = ("--folds", 2, "--fold", "all")
    twin = run_trial(drawn, small, *words, "--epochs", 3, "--name", "twin")
    short = run_trial(drawn, small, *words, "--epochs", 2, "--name", "short")
    shutil.rmtree(short / "fold-1")
    folder = go_on(small, short, "--epochs", 3)
    for fold in ("fold-0", "fold-1"):
        assert without_times(history(folder / fold)) == without_times(history(twin / fold))
    assert (folder / "soft.csv").read_bytes() == (twin / "soft.csv").read_bytes()
    assert f"{short / 'fold-1'} ended no epoch; this fold begins anew" in capsys.readouterr().out


def test_nni_and_tensorboard_are_shown_the_epochs_before_too(drawn, small, nni):
    short, told = run_trial(drawn, small, "--name", "short"), []
    nni("T", told, continue_run=str(short))
    folder = run_trial(drawn, small, "--epochs", 4)
    assert folder.name == "T"
    assert [step for step, _ in told[:-1]] == [{"epoch": epoch, "of": 4} for epoch in (1, 2, 3, 4)]
    assert [metrics["default"] for _, metrics in told[:-1]] == [row["val_accuracy"] for row in history(folder)]
    shown = EventAccumulator(str(folder)).Reload()
    assert [event.step for event in shown.Scalars("val_accuracy")] == [1, 2, 3, 4]


@pytest.mark.parametrize("write", [2, 4, 6, 8, 10, 12, 16])
def test_killed_at_any_write_nni_s_trial_goes_on_in_place(drawn, small, nni, write):
    short = run_trial(drawn, small, "--name", "short")
    twin = run_trial(drawn, small, "--epochs", 3, "--name", "twin")
    nni("T", [], continue_run=str(short))
    assert killed_at(write, drawn, small, "--epochs", 3)
    folder = run_trial(drawn, small, "--epochs", 3)
    assert folder.name == "T"
    for name in ("best.pt", "last.pt"):
        states = [without_times(torch.load(path / name, weights_only=True)) for path in (folder, twin)]
        assert_equal(*states, f"killed at write {write}: {name}")
    for name in ("val_soft.csv", "soft.csv", "hard.csv"):
        assert (folder / name).read_bytes() == (twin / name).read_bytes()


def test_it_does_not_go_on_as_another_trial(drawn, small):
    short = run_trial(drawn, small, "--name", "short")
    says = failed("--continue_run", short, "--epochs", 4, "--batch_size", 8, "--fold", 1, "--lr", 0.5)
    assert "batch_size is 32 there and 8 now" in says
    assert "fold is '0' there and '1' now" in says
    assert "lr is" not in says
    assert f"{short} was trained for 2 epochs already, and --epochs 2 are not more" in failed("--continue_run", short)


def test_it_does_not_go_on_with_other_photos(data, small):
    short = run_trial(data, small, "--name", "short")
    lost = sorted((data / "train" / "images").glob("*/normal.*"))[0]
    lost.write_bytes(lost.read_bytes() + b"0")
    says = failed("--continue_run", short, "--epochs", 4)
    assert f"{data} does not hold what {short} was trained on: fingerprint is " in says


def test_a_folder_without_its_last_state_names_the_command_that_fetches_it(drawn, small):
    short = run_trial(drawn, small, "--name", "short")
    (short / "last.pt").unlink()
    says = failed("--continue_run", short, "--epochs", 4)
    assert f"{short} has no last.pt" in says
    assert "python search/collect.py short --weights all" in says


def test_a_folder_that_is_being_trained_in_is_left_alone(drawn, small):
    short = run_trial(drawn, small, "--name", "short")
    with open(short / ".lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert is_held(short)
        assert f"{short} is being trained" in failed("--continue_run", short, "--epochs", 4)
    assert not is_held(short)


def test_a_folder_of_another_machine_is_named_with_it(tmp_path):
    place = f"me@10.0.0.2:22:{tmp_path}/podium/E/T"
    assert place_of(place) == ("me@10.0.0.2:22", tmp_path / "podium" / "E" / "T")
    assert place_of("me@h:22:~/o/E/T") == ("me@h:22", Path("~/o/E/T").expanduser())
    assert place_of("o/a:b/T") == ("", Path("o/a:b/T").absolute())
    load(["--epochs", "9"], {}, {"continue_run": place})  # as preflight does, at home
    says = failed("--continue_run", place, "--epochs", 9)
    assert (
        f"there is no run folder {tmp_path}/podium/E/T on this machine, {socket.gethostname()}; it lies on me@10"
        in says
    )
    assert "promote.py --machine me@10.0.0.2:22" in says
