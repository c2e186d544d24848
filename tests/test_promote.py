"""The best trials of a short search, and the search that goes on with them."""

import json
import shlex
import sys
from pathlib import Path

import pytest
import torch
import yaml
from conftest import PROJECT
from kills import without_times
from walks import all_ended, history, load_json, run_trial, wait

import preflight
import promote
from settings.schemas import read_config

MACHINES = ("me@10.0.0.1:22", "me@10.0.0.2:2222")


def write_run(folder, score, *, epochs=2, status="SUCCEEDED", files=("best.pt", "last.pt"), **summary):
    folder.mkdir(parents=True)
    parameters = {"lr": 0.1, "model_dir": "~/podium-outputs"}
    (folder / "config.json").write_text(json.dumps({"parameters": parameters}))
    metrics = {} if score is None else {"val_macro_f1": score, "val_accuracy": 1 - score}
    told = {"status": status, "objective": "macro_f1", "epochs": epochs, "metrics": metrics} | summary
    (folder / "summary.json").write_text(json.dumps(told))
    for name in files:
        (folder / name).write_bytes(b"weights")
    return folder


@pytest.fixture
def night(tmp_path):
    """Five trials on two machines: two that ended, two that were stopped, one that failed; and a blend."""
    night = tmp_path / "outputs" / "night"
    write_run(night / "a", 0.5)
    write_run(night / "b", 0.7)
    write_run(night / "c", 0.9, epochs=1, status="EARLY_STOPPED")
    write_run(night / "d", 0.6, status="INTERRUPTED")
    write_run(night / "e", None, status="FAILED", error="no room", epochs=0)
    blend = write_run(night / "blend-equal", 0.99)
    (blend / "config.json").write_text(json.dumps({"parameters": {}, "blend": {}}))
    hosts = zip("abcde", (0, 0, 1, 0, 1), strict=True)
    lines = [
        {"id": name, "number": n, "started": "", "status": "", "host": MACHINES[h]} for n, (name, h) in enumerate(hosts)
    ]
    (night / "trials.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return tmp_path


def local(folder, **changes):
    given = {
        "experimentName": "short",
        "searchSpace": {"lr": {"_type": "choice", "_value": [0.1]}},
        "trialCodeDirectory": str(PROJECT / "baseline"),
        "trialCommand": f"{sys.executable} train.py --data_dir '../my data' --lr 0.3 --threads=1 --resize 24 32 "
        "--lr_drops 1 2 --schedule cosine --epochs 2 --device cpu",
        "trialConcurrency": 2,
        "maxTrialNumber": 20,
        "maxExperimentDuration": "2h",
        "tuner": {"name": "TPE", "classArgs": {"optimize_mode": "maximize"}},
        "assessor": {"name": "Medianstop", "classArgs": {"optimize_mode": "maximize"}},
        "trainingService": {"platform": "local"},
    }
    path = folder / "config_short.yml"
    path.write_text(yaml.safe_dump(given | changes))
    return path


def remote(folder, hosts=MACHINES, **changes):
    key = folder / "key"
    key.write_text("")
    entries = []
    for machine in hosts:
        user, _, place = machine.partition("@")
        host, _, port = place.partition(":")
        entries.append({"host": host, "port": int(port), "user": user, "sshKeyFile": str(key), "pythonPath": "/p/bin"})
    service = {"platform": "remote", "reuseMode": False, "machineList": entries}
    command = "/p/bin/python train.py --data_dir ~/data --model_dir ~/podium-outputs --epochs 2"
    return local(folder, trialCommand=command, nniManagerIp="127.0.0.1", trainingService=service, **changes)


def go(folder, config, *words, best=2, epochs=6):
    """The new config and its search space."""
    out = folder / "config_longer.yml"
    given = ["night", "--outputs", folder / "outputs", "--config", config, "-o", out]
    promote.main([*map(str, given), "--best", str(best), "--epochs", str(epochs), *words])
    return read_config(out), json.loads((folder / "search_space_longer.json").read_text())


def refused(folder, config, *words, **given):
    (folder / "config_longer.yml").unlink(missing_ok=True)
    with pytest.raises(SystemExit) as stop:
        go(folder, config, *words, **given)
    assert not (folder / "config_longer.yml").exists()
    return str(stop.value)


def values(space):
    assert list(space) == ["continue_run"]
    return space["continue_run"]["_value"]


def test_the_best_trials_by_objective_go_on_those_that_were_stopped_too(night, capsys):
    config, space = go(night, local(night), best=3)
    home = night / "outputs" / "night"
    assert values(space) == [str(home / name) for name in "cbd"]
    assert config["maxTrialNumber"] == 3
    said = capsys.readouterr().out
    assert "   1     0.9000       1  c on me@10.0.0.2:2222\n" in said
    assert "left out: e: FAILED, no room\n" in said
    assert "blend" not in said


def test_with_ended_only_whole_trials_go_on(night):
    assert [Path(place).name for place in values(go(night, local(night), "--ended")[1])] == ["b", "a"]


def test_each_run_folder_is_tried_once_and_to_its_end(night):
    config, _ = go(night, local(night))
    assert config["tuner"] == {"name": "GridSearch"}
    assert "assessor" not in config
    assert (config["trialConcurrency"], config["maxExperimentDuration"]) == (2, "2h")
    assert config["experimentName"] == "short promoted"


def test_of_the_command_stays_what_says_where_a_trial_works(night):
    """All other options would overrule what NNI had chosen for the old trial."""
    config, _ = go(night, local(night))
    options = shlex.split(config["trialCommand"])
    assert options == [
        *(sys.executable, "train.py", "--data_dir", "../my data", "--threads=1", "--device", "cpu"),
        *("--max_trial_minutes", "0", "--epochs", "6"),
    ]


def test_time_is_limited_as_the_new_config_says_and_not_as_the_old_trials_were(night):
    command = f"{sys.executable} train.py --data_dir d --max_trial_minutes 120 --epochs 2"
    config, _ = go(night, local(night, trialCommand=command))
    assert config["trialCommand"].endswith("train.py --data_dir d --max_trial_minutes 120 --epochs 6")


def test_a_remote_search_names_the_folders_as_their_machine_has_them(night):
    config, space = go(night, remote(night), "--ended", best=2)
    assert values(space) == [f"me@10.0.0.1:22:~/podium-outputs/night/{name}" for name in "ba"]
    assert [entry["host"] for entry in config["trainingService"]["machineList"]] == ["10.0.0.1"]
    assert config["trialCommand"].split()[-8:] == [
        *("--data_dir", "~/data", "--model_dir", "~/podium-outputs", "--max_trial_minutes", "0", "--epochs", "6")
    ]


def test_weights_that_stayed_on_their_machine_are_no_hindrance_there(night):
    for name in ("last.pt", "best.pt"):
        (night / "outputs" / "night" / "b" / name).unlink()
    go(night, remote(night))
    says = refused(night, local(night))
    assert "night/b has no last.pt" in says
    assert "python search/collect.py night --weights all" in says


def test_run_folders_on_several_machines_are_warned_of_and_one_can_be_chosen(night, capsys):
    go(night, remote(night))
    assert f"on 2 machines ({', '.join(MACHINES)})" in capsys.readouterr().out
    config, space = go(night, remote(night), "--machine", "10.0.0.1")
    assert [place.rpartition("/")[2] for place in values(space)] == ["b", "d"]
    assert len(config["trainingService"]["machineList"]) == 1
    assert "warning" not in capsys.readouterr().out


def test_a_machine_that_the_config_lacks_is_named(night):
    says = refused(night, remote(night, hosts=["me@10.0.0.9:22"]))
    assert "was trained on me@10.0.0.2:2222, which is not in the config's machineList (me@10.0.0.9:22)" in says


def test_run_folders_that_other_trials_do_not_find_are_refused(night):
    folder = night / "outputs" / "night" / "b"
    (folder / "config.json").write_text(json.dumps({"parameters": {"model_dir": ""}}))
    assert "was written to the folder that NNI uploaded on me@10.0.0.1:22" in refused(night, remote(night), "--ended")


def test_too_few_trials_are_told_with_what_was_left_out(night):
    says = refused(night, local(night), best=5)
    assert "4 trials can go on, fewer than --best 5; lower it. Left out:\n  e: FAILED, no room" in says


def test_as_many_epochs_as_there_were_are_refused(night):
    says = refused(night, local(night), epochs=2)
    assert "night/b was trained for 2 epochs already; --epochs 2 is to be more" in says


def test_objectives_that_do_not_compare_are_refused(night):
    write_run(night / "outputs" / "night" / "f", 0.3, objective="accuracy")
    assert "different objectives, accuracy and macro_f1" in refused(night, local(night))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"trialCommand": "cd x && python train.py"}, "is not one command that runs train.py"),
        (
            {"trialCommand": "python train.py --epoch 3"},
            "unknown option in trialCommand: 'epoch'. Did you mean 'epochs'",
        ),
        ({"trialCommand": "python train.py --config mine.yml"}, "write those that say where it works (--data_dir, "),
        ({"maxTrialNumber": "many"}, "maxTrialNumber"),
    ],
)
def test_a_config_that_cannot_be_derived_from_is_refused(night, changes, says):
    assert says in refused(night, local(night, **changes))


@pytest.mark.parametrize("name", ["config_longer.yml", "search_space_longer.json"])
def test_files_of_others_are_not_written_over_and_its_own_are(night, name):
    (night / name).write_text("# mine\n")
    with pytest.raises(SystemExit, match=f"{name} is there already, and not made by promote.py; name another file"):
        go(night, local(night))
    assert (night / name).read_text() == "# mine\n"
    (night / name).unlink()
    go(night, local(night))
    assert values(go(night, local(night), best=1)[1])


def test_an_experiment_that_is_not_there_is_named(tmp_path):
    assert f"there is no folder {tmp_path / 'outputs' / 'night'}; collect" in refused(tmp_path, local(tmp_path))


def test_of_all_folds_those_that_ended_count(night):
    folds = [{"fold": fold, "epochs": 3 - fold, "metrics": {"val_macro_f1": 0.9 + fold / 10}} for fold in (0, 1)]
    folder = write_run(night / "outputs" / "night" / "f", None, status="EARLY_STOPPED", epochs=5, folds=folds, files=())
    for fold in (0, 1):
        write_run(folder / f"fold-{fold}", 0.9)
    _, space = go(night, local(night), best=1)
    assert values(space) == [str(folder)]
    (folder / "fold-1" / "last.pt").unlink()
    assert "f/fold-1 has no last.pt" in refused(night, local(night), best=1)


@pytest.mark.slow
def test_the_best_of_a_real_search_go_on_and_end_as_if_they_had_been_longer(launch, drawn, tmp_path, capsys):
    """Three trials of two epochs with nnictl, the best two of them to four; their twins were never stopped."""
    options = "--pretrained false --resize 64 --threads 1 --model resnet18 --precision float32 --compile false"
    places = f"--data_dir {drawn} --model_dir {tmp_path / 'outputs'} --cache_dir {tmp_path / 'cache'} --device cpu"
    config = yaml.safe_load((PROJECT / "config_local.yml").read_text())
    config |= {
        "trialCommand": f"{sys.executable} train.py {places} {options} --schedule constant --epochs 2 --lr 0.9",
        "trialCodeDirectory": str(PROJECT / "baseline"),
        "searchSpace": {"lr": {"_type": "choice", "_value": [0.0005, 0.001, 0.002]}},
        "maxTrialNumber": 3,
        "maxExperimentDuration": "5m",
        "tuner": {"name": "GridSearch"},
    }
    for name in ("searchSpaceFile", "assessor"):
        config.pop(name, None)
    short = launch(config)
    wait(short, lambda: all_ended(short, 3), 240)
    folders = {path.name: path for path in (tmp_path / "outputs" / short.id).iterdir() if path.is_dir()}
    before = {path: (path / "last.pt").read_bytes() for path in folders.values()}
    promote.main(
        [
            *(short.id, "--best", "2", "--epochs", "4", "--config", str(tmp_path / "config.yml")),
            *("-o", str(tmp_path / "config_promoted.yml"), "--outputs", str(tmp_path / "outputs")),
        ]
    )
    wanted = json.loads((tmp_path / "search_space_promoted.json").read_text())["continue_run"]["_value"]
    scores = {str(path): load_json(path, "summary.json")["metrics"]["val_accuracy"] for path in folders.values()}
    assert [scores[path] for path in wanted] == sorted(scores.values(), reverse=True)[:2]
    assert preflight.main([str(tmp_path / "config_promoted.yml")]) in (0, None)
    longer = launch(yaml.safe_load((tmp_path / "config_promoted.yml").read_text()))
    wait(longer, lambda: all_ended(longer, 2), 240)
    assert {trial.status for trial in longer.trials()} == {"SUCCEEDED"}
    assert sorted(trial.parameters["continue_run"] for trial in longer.trials()) == sorted(wanted)
    for trial in longer.trials():
        folder = tmp_path / "outputs" / longer.id / trial.id
        lr = load_json(Path(trial.parameters["continue_run"]), "config.json")["parameters"]["lr"]
        words = f"{options} --schedule constant --lr {lr} --epochs 4 --name twin {places}".split()
        twin = run_trial(drawn, [*words, "--model_dir", str(tmp_path / "outputs")])
        assert without_times(history(folder)) == without_times(history(twin))
        weights = [torch.load(path / "best.pt", weights_only=True) for path in (folder, twin)]
        assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[1])
    assert {path: (path / "last.pt").read_bytes() for path in folders.values()} == before
