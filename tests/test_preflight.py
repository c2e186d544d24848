"""Preflight: every fault is planted, and must be found with words that say what to do."""

import json
import math
import os
import shutil
import socket
import struct
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest
import yaml
from conftest import PROJECT
from cryptography.hazmat.primitives import serialization
from released import released_nni
from remote import make_key, needs_sshd
from walks import wait_for

import nni_repair
import preflight
from checks.command import check_command, parse
from checks.computer import check_address, check_algorithm, check_code, check_door, check_nni, check_ports, check_repair
from checks.copies import compare
from checks.finding import FAIL, OK, Finding, failed
from checks.gpus import check_concurrency, check_gpus, room
from checks.inspection import check_disks, check_own_python, check_trial, inspect_here, questions
from checks.leftovers import check_leftovers
from checks.reading import check_reading
from checks.searchspace import check_space
from config import Config
from dataset import read
from experiment import free_port
from settings.schemas import examine

PYTHON = sys.executable
OPTIONS = "--pretrained false --resize 24 --model resnet18 --threads 1"
SPACE = {"lr": {"_type": "uniform", "_value": [0.001, 0.01]}, "batch_size": {"_type": "choice", "_value": [16, 32]}}


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A home of our own, because a machine's key is remembered in it."""
    folder = tmp_path / "home-here"
    (folder / ".ssh").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(folder))
    return folder


def local(**changes):
    """A local search in the form that schemas.examine gives."""
    return {
        "searchSpace": SPACE,
        "trialCommand": f"{PYTHON} train.py --data_dir ~/data {OPTIONS}",
        "trialCodeDirectory": str(PROJECT / "baseline"),
        "trialConcurrency": 1,
        "maxTrialNumber": 2,
        "tuner": {"name": "TPE", "classArgs": {"optimize_mode": "maximize"}},
        "trainingService": {"platform": "local"},
    } | changes


def remote(*entries, **changes):
    service = {"platform": "remote", "machineList": list(entries)}
    words = f"{PYTHON} train.py --data_dir ~/data --model_dir $NNI_OUTPUT_DIR/outputs {OPTIONS}"
    return local(trialCommand=words, nniManagerIp="127.0.0.1", trainingService=service) | changes


def look(config, data=None, send=False):
    """What is found on the machines."""
    command, knobs, findings = check_command(config)
    return findings + preflight.look_at_machines(config, command, knobs, data and str(data), send)


def told(findings, *words):
    """The one failing finding, with `words` in it."""
    wrong = [str(finding) for finding in findings if finding.state == FAIL]
    assert len(wrong) == 1, wrong
    assert all(word in wrong[0] for word in words), wrong
    return wrong[0]


# --- the whole


def test_a_good_local_search_passes_and_exits_0(data, home, tmp_path, capsys):
    path = tmp_path / "config.yml"
    path.write_text(yaml.safe_dump(local(trialCommand=f"{PYTHON} train.py --data_dir {data} {OPTIONS}")))
    assert preflight.main([str(path), "--port", str(free_port())]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(line.startswith(("ok   ", "warn ")) for line in lines)
    checks = ["setuptools", "port", "config", "trialCommand", "code folder", "tuner", "search space", "disk", "data"]
    for check in checks:
        assert any(line.startswith(f"ok   {check}, ") for line in lines), check


def test_faults_of_several_configs_are_told_together_and_exit_1(home, tmp_path, capsys):
    first, second = tmp_path / "first.yml", tmp_path / "second.yml"
    first.write_text(yaml.safe_dump(local() | {"trialConcurency": 1}))
    second.write_text("a: {\n")
    assert preflight.main([str(first), str(second), "--port", str(free_port())]) == 1
    text = capsys.readouterr().out
    assert f"FAIL config, {first}: trialConcurency: unknown field 'trialConcurency'. Did you mean 'trialCon" in text
    assert f"FAIL config, {second}: line 2 column 1: " in text


def test_json_has_a_word_for_each_part_of_a_finding(home, tmp_path, capsys):
    assert preflight.main([str(tmp_path / "nowhere.yml"), "--port", str(free_port()), "--json"]) == 1
    findings = json.loads(capsys.readouterr().out)
    assert {frozenset(finding) for finding in findings} == {frozenset(("check", "where", "state", "found", "todo"))}
    wrong = next(finding for finding in findings if finding["state"] == "fail")
    assert (wrong["check"], wrong["where"]) == ("config", str(tmp_path / "nowhere.yml"))
    assert (wrong["found"], wrong["todo"]) == ("there is no such file", "check its name and folder")


def test_the_command_line_says_what_is_no_port(capsys):
    with pytest.raises(SystemExit):
        preflight.main(["config.yml", "--port", "99999"])
    assert "99999 is no port; write a number from 1 to 65535" in capsys.readouterr().err


def test_the_script_runs_from_anywhere(tmp_path):
    run = subprocess.run(
        [PYTHON, PROJECT / "search" / "preflight.py", "nowhere.yml", "--port", str(free_port())],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, run.stderr) == (1, "")
    assert "FAIL config, nowhere.yml: there is no such file; check its name and folder" in run.stdout


def test_the_demo_starts_nothing_that_would_fail(home, tmp_path):
    path = tmp_path / "config.yml"
    path.write_text(yaml.safe_dump(local(trialConcurrency=0)))
    with pytest.raises(RuntimeError, match=r"^FAIL config, .*trialConcurrency: is 0; write a whole number from 1 on$"):
        preflight.require(path, free_port())


# --- this computer


@pytest.mark.parametrize("remote_search", [False, True])
def test_a_taken_port_is_told_with_who_has_it(remote_search):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        findings = check_ports(port - 1 if remote_search else port, remote_search)
        words = told(findings, f"FAIL port, {port}: is taken by pid {os.getpid()}", "choose another with --port")
    assert (f"a remote search on {port - 1} needs it too" in words) == remote_search
    assert not failed(check_ports(free_port(), False))


@pytest.fixture
def start():
    """start(words, environment) runs a process that stands in for one of NNI's; all are ended after the test."""
    made = []

    def begin(*words, sleeper="import time; time.sleep(60)", **environment):
        made.append(subprocess.Popen([PYTHON, "-c", sleeper, *words], env=os.environ | environment))
        wait_for(lambda: words[-1] in psutil.Process(made[-1].pid).cmdline(), 10)
        return made[-1].pid

    yield begin
    for process in made:
        for child in psutil.Process(process.pid).children():
            child.kill()
        process.kill()
        process.wait()


DISPATCHER = ("-m", "nni", "--exp_params", "e30=")


def about(findings, pid):
    return [finding for finding in findings if finding.where == f"pid {pid}"]


def test_an_orphaned_dispatcher_of_this_port_fails_and_of_another_warns(start):
    port = free_port()
    pid = start(*DISPATCHER, NNI_TUNER_COMMAND_CHANNEL=f"ws://localhost:{port}/tuner")
    words = told(about(check_leftovers(port), pid), f"FAIL leftovers, pid {pid}: a dispatcher lost its manager")
    assert words.endswith(f"asks for port {port}, so it would attach itself to this experiment; kill {pid}")
    (finding,) = about(check_leftovers(port + 1), pid)
    assert (finding.state, finding.todo) == ("warn", f"kill {pid}")


def test_a_dispatcher_with_its_manager_and_a_trial_of_a_living_experiment_are_left_alone(start):
    child = (
        f"import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)', *{DISPATCHER}])"
    )
    manager = start("main.js", "--experiment-id", "alive", sleeper=child)
    wait_for(lambda: psutil.Process(manager).children(), 10)
    (dispatcher,) = psutil.Process(manager).children()
    wait_for(lambda: "--exp_params" in dispatcher.cmdline(), 10)
    trial = start("a trial", NNI_PLATFORM="local", NNI_EXP_ID="alive")
    dead = start("a trial", NNI_PLATFORM="local", NNI_EXP_ID="dead")
    findings = check_leftovers(free_port())
    assert about(findings, dispatcher.pid) == about(findings, trial) == []
    (finding,) = about(findings, dead)
    assert str(finding).startswith(f"warn leftovers, pid {dead}: a trial of experiment dead, which has no manager")


def test_setuptools_without_pkg_resources_is_told(monkeypatch):
    assert not failed(check_nni())
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    told(check_nni(), "has no pkg_resources, without which nnictl does not start", "pip install 'setuptools>=77.0.3,<")


def test_the_limits_of_nnis_upload_are_held_and_nniignore_is_heard(tmp_path):
    config = remote(trialCodeDirectory=str(tmp_path))
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(2000):
        (folder / str(number)).touch()
    assert not failed(check_code(config))
    (tmp_path / "one more").touch()
    told(check_code(config), "2,001 files", "at most 2,000 files and 300 MB", "list in its .nniignore")
    assert not failed(check_code(config | {"trainingService": {"platform": "local"}}))
    (tmp_path / ".nniignore").write_text("many/\n")
    assert check_code(config)[0].found == "2 files, 0.0 MB"
    with open(tmp_path / "large", "wb") as file:
        file.truncate(301 * 2**20)
    told(check_code(config), "301.0 MB, but NNI uploads at most")


@pytest.mark.parametrize(
    ("address", "listen", "state", "words"),
    [
        ("127.0.0.1", "", "ok", "through their ssh connections"),
        ("203.0.113.7", "", "fail", "cannot reach NNI there, since it listens on loopback only"),
        ("203.0.113.7", "0.0.0.0", "warn", "is none of this computer's addresses"),
        ("no.such.host.invalid", "", "warn", "cannot be looked up"),
    ],
)
def test_an_address_that_machines_cannot_reach_is_told(monkeypatch, address, listen, state, words):
    monkeypatch.setenv("NNI_LISTEN", listen)
    (finding,) = check_address({"nniManagerIp": address})
    assert finding.state == state
    assert words in finding.found


def test_one_of_this_computers_addresses_is_right_where_nni_listens_there(monkeypatch):
    own = [entry.address for entries in psutil.net_if_addrs().values() for entry in entries]
    others = [address for address in own if address.count(".") == 3 and not address.startswith("127.")]
    if not others:
        pytest.skip("this computer has no address but loopback")
    monkeypatch.setenv("NNI_LISTEN", others[0])
    assert check_address({"nniManagerIp": others[0]})[0].found == "is this computer's"


def test_a_page_that_others_can_open_is_warned_about(monkeypatch):
    assert [finding.state for finding in check_door()] == ["ok"]
    monkeypatch.setenv("NNI_LISTEN", "0.0.0.0")
    (finding,) = check_door()
    assert finding.state == "warn"
    assert "NNI_LISTEN=0.0.0.0 opens NNI's page" in finding.found
    assert "ssh -L" in finding.todo


def test_an_nni_that_is_not_repaired_is_told(tmp_path):
    released = nni_repair.local(released_nni(tmp_path / "released"))
    told(check_repair("m", lambda: released), "places are not mended; python search/nni_repair.py --apply --config")
    (finding,) = check_repair("m", nni_repair.local)
    assert finding.state == "ok"


TUNER = "import nni.tuner\nclass Good(nni.tuner.Tuner): pass\nclass Bad: pass\n"


@pytest.mark.parametrize(
    ("block", "words"),
    [
        ({"name": "TPE", "classArgs": {"sed": 1}}, ["cannot be made: TypeError", "'sed'", "correct classArgs"]),
        ({"className": "mine.Bad"}, ["Bad is no nni.tuner.Tuner; correct classArgs, the search space or the class"]),
        ({"className": "mine.Other"}, ["has no attribute 'Other'"]),
    ],
)
def test_a_tuner_that_cannot_be_made_is_told(block, words, tmp_path):
    (tmp_path / "mine.py").write_text(TUNER)
    told(check_algorithm("tuner", local(tuner=block | {"codeDirectory": str(tmp_path)})), *words)


def test_a_tuner_that_can_be_made_passes_and_one_that_minimises_is_warned_of(tmp_path):
    (tmp_path / "mine.py").write_text(TUNER)
    own = {"className": "mine.Good", "codeDirectory": str(tmp_path)}
    assert check_algorithm("tuner", local(tuner=own))[0].state == "ok"
    (finding,) = check_algorithm("tuner", local(tuner={"name": "TPE"}))
    assert str(finding).startswith("warn tuner, TPE: minimises, TPE's default, but Podium's metrics are better when")


def two_tasks(folder):
    """A history of trials that predicted two and three classes."""
    for count in (2, 3):
        run = folder / "history" / f"of {count}"
        run.mkdir(parents=True)
        parts = {"parameters": {"metric": "accuracy"}, "heads": [{"name": "a", "classes": list("xyz")[:count]}]}
        (run / "config.json").write_text(json.dumps(parts))
        (run / "summary.json").write_text('{"status": "SUCCEEDED", "metrics": {"val_accuracy": 0.5}}')
    return str(folder / "history")


@pytest.mark.parametrize(
    ("given", "space", "words"),
    [
        ({"sampler": "tpee"}, {}, ["ValueError: unknown sampler 'tpee'. Did you mean 'tpe'?", "correct classArgs"]),
        ({"first": [{"lr": 0.005}, {"lr": 3}]}, {}, ["first point 2: lr = 3 is not within 0.001 and 0.01"]),
        ({}, {"lr": {"_type": "choice", "_value": []}}, ["lr: choice is empty; write a list of values"]),
        (
            {},
            {"lr": {"_type": "loguniform", "_value": [0, 1]}},
            ["lr: loguniform begins at 0, whose logarithm does not"],
        ),
        ({"history": two_tasks}, {}, ["history holds two tasks: ", "of 2 (accuracy of 2 classes)", "name one"]),
    ],
)
def test_our_tuner_is_made_with_its_arguments_and_space_before_the_first_trial(given, space, words, tmp_path):
    given = {name: value(tmp_path) if callable(value) else value for name, value in given.items()}
    block = {"className": "tuner.OptunaTuner", "codeDirectory": str(PROJECT / "search"), "classArgs": given}
    told(check_algorithm("tuner", local(tuner=block, searchSpace=SPACE | space)), "tuner.OptunaTuner", *words)


@pytest.mark.parametrize(
    ("metric", "classes", "words"),
    [
        ("accuracy", list("xy"), "is of accuracy of 2 classes, this search of accuracy of 18 classes"),
        ("macro_f1", range(18), "is of macro_f1 of 18 classes, this search of accuracy of 18 classes"),
        ("accuracy", range(18), "is of other ones, this search of accuracy of 18 classes"),
        ("accuracy", None, ""),
    ],
)
def test_a_history_of_another_task_is_told(metric, classes, words, data, tmp_path):
    names = [list(head.classes) for head in read(str(data), "auto", Config().values()).task.heads]
    heads = [{"name": "a", "classes": list(map(str, classes))}] if classes else [{"classes": each} for each in names]
    run = tmp_path / "history" / "one"
    run.mkdir(parents=True)
    (run / "config.json").write_text(json.dumps({"parameters": {"metric": metric}, "heads": heads}))
    (run / "summary.json").write_text(json.dumps({"status": "SUCCEEDED", "metrics": {f"val_{metric}": 0.5}}))
    block = {"className": "tuner.OptunaTuner", "classArgs": {"history": str(tmp_path / "history")}}
    config = local(tuner=block, trialCommand=f"{PYTHON} train.py --data_dir {data} {OPTIONS}")
    findings = check_reading(config, check_command(config)[1], None)
    if words:
        told(findings, f"{run} {words}, so its scores do not compare")
    else:
        assert [finding.state for finding in findings] == [OK]


def test_our_tuner_and_assessor_pass_and_leave_nothing(tmp_path):
    outputs = tmp_path / "outputs"
    for kind, name, own in (
        ("tuner", "tuner.OptunaTuner", {"first": "known_good.json", "seed": 0}),
        ("assessor", "assessor.Asha", {"min_epochs": 2}),
    ):
        block = {"className": name, "codeDirectory": str(PROJECT / "search")}
        block["classArgs"] = own | {"outputs": str(outputs)}
        (finding,) = check_algorithm(kind, local(**{kind: block}))
        assert str(finding).startswith(f"ok   {kind}, {name}: can be made")
    assert not outputs.exists()


# --- the command


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("nowhere/python train.py", ["there is no such program", "relative to trialCodeDirectory"]),
        (f"{PYTHON} trian.py", ["unknown script 'trian.py'. Did you mean", "train.py", "name one from"]),
        (f"{PYTHON} sub/train.py", ["unknown script 'sub/train.py'", "name one from trialCodeDirectory"]),
        (f"{PYTHON} train.py --epocs 3", ["unknown option on the command line: 'epocs'. Did you mean 'epochs'?"]),
        (f"{PYTHON} train.py --epochs -3", ["epochs = '-3' is impossible: expected at least 1", "correct the option"]),
        (f"{PYTHON} train.py --name 'a", ["No closing quotation; close the quotes"]),
        (f"{PYTHON} train.py --config nowhere.yml", ["no such file"]),
        (f"{PYTHON} -u train.py --threads $CORES --model_dir $NNI_OUTPUT_DIR/x", []),
    ],
)
def test_a_wrong_trial_command_is_told(command, words):
    *_, findings = check_command(local(trialCommand=command))
    if words:
        told(findings, *words)
    else:
        assert not failed(findings)


@pytest.mark.parametrize("joint", ["&&", ";", "|", "||", "&", "\n"])
def test_a_command_of_several_is_a_warning_and_its_train_py_is_read(joint):
    _, knobs, findings = check_command(local(trialCommand=f"{PYTHON} train.py --epochs 3 {joint} cat log"))
    assert any(finding.state == "warn" and "only bash hears NNI's stop" in finding.found for finding in findings)
    assert knobs.epochs == 3
    assert parse(f"cd x && A=1 B='2 3' {PYTHON} train.py").program == PYTHON


def test_an_interpreter_without_folder_is_a_warning_unless_python_path_is_set(monkeypatch):
    monkeypatch.setenv("PATH", str(Path(PYTHON).parent))
    *_, findings = check_command(local(trialCommand="python train.py"))
    assert any(finding.state == "warn" and "which may be the system's" in finding.found for finding in findings)
    machines = [{"host": "a", "user": "b", "pythonPath": "/opt/bin"}]
    *_, findings = check_command(remote(*machines, trialCommand="python train.py"))
    assert [finding.state for finding in findings] == ["ok"]


def test_a_relative_interpreter_on_a_machine_is_told():
    *_, findings = check_command(remote({"host": "a"}, trialCommand="../.venv/bin/python train.py"))
    told(findings, "trials start in a folder of their own on the machines; write the path that it has there")


# --- the search space

CHOICE = {"_type": "choice"}


@pytest.mark.parametrize(
    ("space", "words"),
    [
        (
            {"lrr": CHOICE | {"_value": [1]}},
            ["searchSpace: lrr: unknown knob from search space: 'lrr'. Did you mean 'lr'?"],
        ),
        (
            {"lr": CHOICE | {"_value": [0.1, -1]}},
            ["lr = -1 is impossible: expected more than 0", "take this value out"],
        ),
        ({"batch_size": {"_type": "uniform", "_value": [8, 16]}}, ["batch_size = 11.", "expected a whole number"]),
        ({"batch_size": {"_type": "quniform", "_value": [8, 16, 0.5]}}, ["expected a whole number"]),
        (
            {"smoothing": {"_type": "uniform", "_value": [0, 0.9]}},
            ["smoothing = 0.9 is impossible: expected at most 0.5"],
        ),
        ({"epochs": {"_type": "randint", "_value": [0, 9]}}, ["epochs = 0 is impossible: expected at least 1"]),
        ({"lr": {"_type": "normal", "_value": [0.1, 0.1]}}, ["lr = -0.2", "expected more than 0"]),
        ({"lr": {"_type": "loguniform", "_value": [0, 1]}}, ["must have low > 0", "correct _value"]),
        ({"lr": {"_type": "uniform", "_value": ["1e-3", 1]}}, ["write 0.001 for 1e-3, which YAML takes for text"]),
        ({"lr": {"_type": "unifrom", "_value": [0, 1]}}, ["unknown type 'unifrom'. Did you mean 'uniform'?"]),
        ({"lr": [0.1, 0.2]}, ["lr: is [0.1, 0.2]; write", "_type"]),
        ({"lr": CHOICE | {"_value": []}}, ["_value is []; write a list"]),
        ({"model": ["resnet18", "alexnet"]}, ["model: is ['resnet18', 'alexnet']; write", "_type"]),
        ({"model": CHOICE | {"_value": 5}}, ["model: _value is 5; write a list"]),
        ({"lr": CHOICE | {"_value": [{"_name": "a", "x": {}}]}}, ["lr: a/x: is {}", "write"]),
        (
            {"model": CHOICE | {"_value": ["resnt18"]}},
            ["unknown model 'resnt18'. Did you mean 'resnet18'?", "correct the"],
        ),
        ({"criterion": CHOICE | {"_value": ["focal", "fokal"]}}, ["unknown criterion 'fokal'"]),
        ({"schedule": CHOICE | {"_value": ["cosine", "step"]}}, ["--schedule step needs --lr_decay_step EPOCHS"]),
        ({}, ["is empty"]),
    ],
)
def test_a_value_that_no_trial_can_take_is_told(space, words):
    config = local(searchSpace=space)
    command, knobs, _ = check_command(config)
    told(check_space(config, command), "FAIL search space, ", *words)
    assert questions(config, command, knobs)["modules"]  # which look for the models


def test_a_remark_in_an_entry_does_no_harm():
    config = local(searchSpace={"lr": CHOICE | {"_value": [0.1], "_comment": "by hand"}})
    assert [finding.state for finding in check_space(config, check_command(config)[0])] == [OK]


def test_possible_spaces_pass_also_of_the_tuner_batch_and_of_other_programs():
    good = {
        "lr": {"_type": "loguniform", "_value": [0.001, 0.1]},
        "batch_size": {"_type": "quniform", "_value": [8, 64, 8]},
        "epochs": {"_type": "randint", "_value": [1, 9]},
        "schedule": CHOICE | {"_value": ["step"]},
        "lr_decay_step": CHOICE | {"_value": [1, 2]},
    }
    sets = {"all": CHOICE | {"_value": [{"lr": 0.1, "epochs": 2}, {"model": "resnet18"}]}}
    other = {"x": {"_type": "uniform", "_value": [0, 1]}}
    for changes in (
        {"searchSpace": good},
        {"searchSpace": sets, "tuner": {"name": "Batch"}},
        {"searchSpace": other, "trialCommand": "./other"},
    ):
        config = local(**changes)
        findings = check_space(config, check_command(config)[0])
        assert [finding.state for finding in findings] == ["ok"], findings


def nested(*options):
    return {"searchSpace": {"optimizer": CHOICE | {"_value": list(options)}}}


SGD = {
    "_name": "SGD",
    "momentum": CHOICE | {"_value": [0.9, 0.5]},
    "nesterov": CHOICE | {"_value": [True, False]},
}  # of which nesterov is possible with momentum alone


def test_choices_with_knobs_of_their_own_are_tried_as_whole_trials():
    schedules = {"_name": "step", "lr_decay_step": {"_type": "randint", "_value": [1, 4]}}, {"_name": "cosine"}
    space = nested(SGD, {"_name": "Adam"}, "AdamW")["searchSpace"] | {"schedule": CHOICE | {"_value": [*schedules]}}
    config = local(searchSpace=space)
    findings = check_space(config, check_command(config)[0])
    assert [finding.state for finding in findings] == ["ok"], findings


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([SGD | {"momentum": CHOICE | {"_value": [0.9, 2]}}], ["optimizer: ", "momentum = 2 is impossible"]),
        ([SGD | {"momentum": CHOICE | {"_value": [0.9, 0]}}], ["--nesterov true needs --optimizer SGD with a --mom"]),
        ([SGD | {"momentun": CHOICE | {"_value": [0.9]}}], ["unknown knob", "'momentun'. Did you mean 'momentum'?"]),
        ([SGD | {"momentum": CHOICE | {"_value": []}}], ["optimizer: SGD/momentum: _value is []; write a list"]),
        ([SGD | {"momentum": 0.9}], ["optimizer: SGD/momentum: is 0.9; write"]),
        ([{"momentum": CHOICE | {"_value": [0.9]}}], ["without a name; write", '"_name": "SGD"']),
        ([{"_name": "SGDD"}], ["unknown optimizer 'SGDD'. Did you mean 'SGD'?"]),
        (
            [{"_name": "SGD", "schedule": CHOICE | {"_value": [SGD | {"_name": "step", "lr_decay_step": 3}]}}],
            ["SGD/schedule: step/lr_decay_step: is 3; write"],
        ),
    ],
)
def test_a_wrong_knob_of_a_choice_is_told_by_its_place(options, words):
    config = local(**nested(*options))
    told(check_space(config, check_command(config)[0]), "FAIL search space, ", *words)


def test_a_policy_that_lies_where_no_trial_looks_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine.json").write_text('{"policy": [[["rotate", 0.5, 0.5], ["invert", 0.5, 0.5]]]}')
    for name, state in (("mine.json", "fail"), (tmp_path / "mine.json", "ok")):
        config = local(searchSpace={"augmentation": CHOICE | {"_value": [f"policy:{name}"]}})
        findings = check_space(config, check_command(config)[0])
        assert [finding.state for finding in findings] == [state], findings
    assert Path.cwd() == tmp_path


# --- what a machine answers


def answers(**changes):
    own = {"version": [3, 11, 2], "modules": {"nni": "3.0", "pip": "24", "pynvml": "13"}}
    trial = {"version": [3, 11, 2], "modules": {"torch": "2.6"}, "executable": "/v/bin/python"}
    about = {"executable": "/v/bin/python", "version": [3, 11, 2], "managed": False, "own": own, "trial": trial}
    return about | changes


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"managed": True, "own": {"modules": {"nni": None, "pip": "24"}}},
            ["whose pip installs nothing (PEP 668)", "make a venv there", "as pythonPath"],
        ),
        ({"own": {"modules": {"nni": None, "pip": "24"}}}, ["has no nni; /v/bin/python -m pip install nni==3.0 there"]),
        ({"version": [3, 8, 10]}, ["/v/bin/python is Python 3.8.10; Podium needs Python 3.11 to 3.13"]),
        ({"trial": {"error": "there is no such program"}}, ["trial's python, m: there is no such program; name the"]),
        (
            {"trial": {"version": [3, 12, 0], "modules": {"torch": None, "PIL": None}, "executable": "/t/python"}},
            ["/t/python has no torch, PIL; /t/python -m pip install -r requirements.txt"],
        ),
    ],
)
def test_a_python_that_cannot_search_is_told(changes, words):
    said = answers(**changes)
    told([*check_own_python("m", said), *check_trial("m", said)], *words)


@pytest.mark.parametrize(("free", "state"), [(0.4, "fail"), (4, "warn"), (6, "ok")])
def test_a_full_disk_is_told_once_for_each_disk(free, state):
    disk = {"folder": "/a", "at": "/", "free": free * 2**30, "writable": True, "device": 1}
    findings = list(check_disks("m", {"disks": [disk, disk | {"folder": "/b"}]}))
    assert [finding.state for finding in findings] == [state]


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "cache").write_text("a file in its place")
    config = local(trialCommand=f"{PYTHON} train.py --data_dir {tmp_path} --cache_dir {tmp_path}/cache")
    command, knobs, _ = check_command(config)
    findings = inspect_here(config, questions(config, command, knobs)).findings
    told(findings, "disk", f"{tmp_path}/cache cannot be written", "or name another folder")


def test_a_local_search_without_its_data_is_told(tmp_path):
    told(look(local()), "data, this computer: there is no folder", "/data; copy the data there, or correct --data_dir")
    told(look(local(trialCommand=f"{PYTHON} train.py")), "trialCommand names no data; add --data_dir DIR")
    told(look(local(trialCommand=f"{PYTHON} train.py --data_dir {tmp_path}")), "has no train/train.csv")


def test_a_relative_data_dir_is_one_from_the_code_folder(tmp_path, data):
    code = tmp_path / "code"
    code.mkdir()
    (code / "train.py").touch()
    config = local(trialCodeDirectory=str(code), trialCommand=f"{PYTHON} train.py --data_dir ../data/train/images")
    findings = look(config)
    assert not failed(findings)
    assert any(finding.check == "data" and finding.found.endswith(f"files in {data}") for finding in findings)


def listing(**changes):
    notes = {"groups.csv": None, "corrections.csv": None, "leaks.csv": None}
    return {
        "root": "/d",
        "parts": {"train/images": [7, 70, "x"]},
        "errors": [],
        "notes": notes,
        "notes_in": "/d",
    } | changes


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"parts": {"train/images": [6, 60, "y"]}},
            ["train/images has 6 files there, and 7 on this computer", "rsync"],
        ),
        ({"parts": {"train/images": [7, 71, "y"]}}, ["has 71 bytes there, and 70 on this computer"]),
        ({"parts": {"train/images": [7, 70, "y"]}}, ["has other names, sizes or labels there than on this computer"]),
        ({"parts": {}}, ["train/images has 0 files there"]),
        ({"errors": ["/d/train cannot be read"]}, ["cannot be read in part: /d/train", "give this user the right"]),
        ({"notes": listing()["notes"] | {"groups.csv": "h"}}, ["has groups.csv, which this computer has not"]),
    ],
)
def test_another_copy_of_the_data_is_told(changes, words):
    told(compare({"m": listing(**changes)}, listing()), "FAIL data, m: ", *words)


def test_machines_are_compared_with_each_other_where_no_copy_is_here():
    same, other = listing(), listing(parts={"train/images": [6, 60, "y"]})
    told(compare({"a": same, "b": same, "c": other}, None), "FAIL data, c: train/images has 6 files there, and 7 on a")


# --- GPUs


def card(free=80.0, active=()):
    return {"free": free * 2**30, "total": 80 * 2**30, "active": list(active)}


@pytest.mark.parametrize(
    ("wanted", "entry", "cards", "words"),
    [
        (1, {}, None, ["none is seen (NVMLError: no driver)", "take trialGpuNumber out, or install the NVIDIA driver"]),
        (1, {}, [], ["none is seen (NVML lists none)"]),
        (2, {}, [card()], ["a trial needs 2 (trialGpuNumber 2), and there are 1; lower trialGpuNumber"]),
        (1, {"gpuIndices": "0,3"}, [card(), card()], ["gpuIndices names 3, and the last GPU is 1; correct gpuIndices"]),
        (2, {"gpuIndices": [1]}, [card(), card()], ["a trial needs 2 (trialGpuNumber 2), and there are 1"]),
        (1, {}, [card(active=[7])], ["1 of them in use (0); set useActiveGpu: true, or wait"]),
    ],
)
def test_gpus_asked_for_that_are_not_there_are_told(wanted, entry, cards, words):
    report = {"error": "NVMLError: no driver"} if cards is None else {"listed": cards}
    told(check_gpus("m", wanted, entry, report), "FAIL GPUs, m: ", *words)


@pytest.mark.parametrize(
    ("wanted", "entry", "cards", "fit"),
    [
        (1, {}, 2, 2),
        (2, {}, 5, 2),
        (1, {"maxTrialNumberPerGpu": 3}, 2, 6),
        (4, {"maxTrialNumberPerGpu": 2}, 4, 2),
        (1, {"gpuIndices": 1}, 4, 1),
    ],
)
def test_more_trials_at_once_than_the_gpus_hold_are_told(wanted, entry, cards, fit):
    report = {"listed": [card()] * cards}
    assert check_gpus("m", wanted, entry, report)[0].state == "ok"
    rooms = [room(wanted, entry, report)] * 2
    config = {"trialGpuNumber": wanted, "trialConcurrency": 2 * fit}
    assert check_concurrency(config, rooms) == []
    config["trialConcurrency"] += 1
    (finding,) = check_concurrency(config, rooms)
    assert finding.state == "warn"
    assert finding.found == f"is {2 * fit + 1}, but the GPUs hold {2 * fit} trials at once; the others wait for a GPU"
    assert finding.todo == f"set trialConcurrency: {2 * fit} for none to wait"


def test_a_card_that_is_full_is_a_warning_and_one_in_use_is_fine_where_that_is_wanted():
    assert check_gpus("m", 1, {}, {"listed": [card(free=1)]})[0].state == "warn"
    assert check_gpus("m", 1, {"useActiveGpu": True}, {"listed": [card(active=[7])]})[0].state == "ok"
    assert check_gpus("m", None, {}, {"error": "no driver"})[0].state == "ok"


FAKE_NVML = """
from types import SimpleNamespace
def nvmlInit(): pass
def nvmlDeviceGetCount(): return 2
def nvmlDeviceGetHandleByIndex(index): return index
def nvmlDeviceGetMemoryInfo(index): return SimpleNamespace(free=70 * 2**30, total=80 * 2**30)
def nvmlDeviceGetComputeRunningProcesses(index): return [SimpleNamespace(pid=7)] if index else []
def nvmlDeviceGetGraphicsRunningProcesses(index): return []
"""


# --- over ssh

ssh = [needs_sshd, pytest.mark.ssh]


def marked(function):
    for mark in ssh:
        function = mark(function)
    return function


@pytest.fixture
def box(boxes, drawn):
    """A machine that holds the data."""
    made = boxes()
    shutil.copytree(drawn, made.home / "data")
    return made


def write(tmp_path, config):
    path = tmp_path / "config.yml"
    path.write_text(yaml.safe_dump(config))
    return path


@marked
def test_a_good_remote_search_passes(box, drawn, tmp_path, capsys):
    path = write(tmp_path, remote(box.entry()))
    assert preflight.main([str(path), "--port", str(free_port()), "--data", str(drawn), "--json"]) == 0
    findings = [Finding(**finding) for finding in json.loads(capsys.readouterr().out)]
    there = {finding.check: finding.found for finding in findings if finding.where == f"root@127.0.0.1:{box.port}"}
    assert set(there) == {"ssh", "clock", "nni", "NNI's repair", "trial's python", "disk", "GPUs", "data"}
    assert there["data"].endswith("/home/data, as this computer")
    assert there["nni"] == f"3.0 with {PYTHON}"


def hang_up(request, reset):
    """The port of a server that takes one connection and ends it, in order or by a reset."""
    server = socket.create_server(("127.0.0.1", 0))

    def end():
        connection = server.accept()[0]
        if reset:  # what closing does by itself where the greeting has come and was not read
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        else:
            connection.recv(100)
        connection.close()

    thread = threading.Thread(target=end)
    thread.start()
    request.addfinalizer(server.close)
    request.addfinalizer(thread.join)
    return server.getsockname()[1]


@marked
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("permissions", ["can be read by others; chmod 600 "]),
        ("user", ["refuses the key", "check `user`, and that the public key stands in its ~/.ssh/authorized_keys"]),
        ("port", ["nothing answers at this port; check `host`, `port` and that sshd runs"]),
        ("no sshd", ["another program than sshd has this port, or sshd has no room"]),
        ("a reset", ["another program than sshd has this port, or sshd has no room"]),
        ("pkcs8", ["is a PKCS8 key, which NNI cannot read; rewrite it with ssh-keygen -p"]),
        ("passphrase", ["needs its passphrase; set sshPassphrase"]),
        ("python file", ["is a file, so trials would run the system's Python; write "]),
        ("no folder", ["pythonPath /no/such/folder is not there; write the folder that holds python there"]),
        ("folder without python", ["holds no python; write the folder that does"]),
        ("no python in PATH", ["there is no python in its PATH; name the folder that holds one with pythonPath"]),
    ],
)
def test_a_machine_that_cannot_be_used_is_told(fault, words, boxes, tmp_path, request):
    box = boxes(**{"SetEnv": f"HOME={tmp_path} PATH=/nowhere"} if fault == "no python in PATH" else {})
    key = Path(shutil.copy(box.key, tmp_path / "key"))
    changes = {"sshKeyFile": str(key)}
    if fault == "permissions":
        key.chmod(0o644)
    elif fault == "user":
        changes["user"] = "nobody"
    elif fault == "port":
        changes["port"] = free_port()
    elif fault in ("no sshd", "a reset"):
        changes["port"] = hang_up(request, reset=fault == "a reset")
    elif fault == "pkcs8":
        private = serialization.load_ssh_private_key(key.read_bytes(), None)
        form = serialization.PrivateFormat.PKCS8
        key.write_bytes(private.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
    elif fault == "passphrase":
        subprocess.run(["ssh-keygen", "-q", "-p", "-P", "", "-N", "secret", "-f", key], check=True, capture_output=True)
    elif fault == "python file":
        (tmp_path / "interpreter").touch()
        changes["pythonPath"] = str(tmp_path / "interpreter")
    elif fault == "no folder":
        changes["pythonPath"] = "/no/such/folder"
    elif fault == "folder without python":
        changes["pythonPath"] = str(tmp_path)
    else:
        changes["pythonPath"] = None
    told(look(remote(box.entry(**changes))), f":{changes.get('port', box.port)}: ", *words)


@marked
def test_a_key_with_its_passphrase_is_taken(box, tmp_path):
    key = make_key(tmp_path / "own")
    with open(box.folder / "authorized_keys", "a") as file:
        file.write((tmp_path / "own.pub").read_text())
    subprocess.run(["ssh-keygen", "-q", "-p", "-P", "", "-N", "secret", "-f", key], check=True, capture_output=True)
    assert not failed(look(remote(box.entry(sshKeyFile=str(key), sshPassphrase="secret"))))


@marked
def test_all_machines_are_told_of_at_once(box, boxes, drawn):
    other = boxes("other")
    shutil.copytree(drawn, other.home / "data")
    nobody = free_port()
    findings = look(remote(box.entry(), box.entry(port=nobody), other.entry()), drawn)
    told(findings, f"FAIL ssh, root@127.0.0.1:{nobody}: nothing answers")
    sound = [finding.where for finding in findings if finding.check == "data" and finding.state == "ok"]
    assert sound == [f"root@127.0.0.1:{machine.port}" for machine in (box, other)]


@marked
def test_a_bare_python_lacks_nni_and_torch(box, tmp_path):
    venv = tmp_path / "venv"
    subprocess.run([PYTHON, "-m", "venv", "--without-pip", venv], check=True)
    command = f"{venv}/bin/python train.py --data_dir ~/data {OPTIONS}"
    findings = look(remote(box.entry(pythonPath=str(venv / "bin")), trialCommand=command))
    wrong = [str(finding) for finding in findings if finding.state == FAIL]
    assert len(wrong) == 2
    assert f"{venv}/bin/python has no nni; {venv}/bin/python -m pip install nni==3.0 there" in wrong[0]
    assert (
        f"{venv}/bin/python has no nni, torch, torchvision, numpy, pandas, PIL, pyarrow; {venv}/bin/python -m pip"
        in wrong[1]
    )
    (next(venv.glob("lib/*/site-packages")) / "pip").mkdir()
    findings = look(remote(box.entry(pythonPath=str(venv / "bin"))))  # the trial's own interpreter is a good one
    told(
        findings, f"nni, root@127.0.0.1:{box.port}: {venv}/bin/python has no nni; {venv}/bin/python -m pip install nni"
    )


@marked
def test_an_interpreter_that_is_not_there_is_told(box):
    findings = look(remote(box.entry(), trialCommand=f"/no/python train.py --data_dir ~/data {OPTIONS}"))
    told(findings, "trial's python", "there is no such program; name the interpreter in trialCommand")


@marked
def test_wrong_data_on_a_machine_is_told(box, drawn):
    photo = next((box.home / "data" / "train" / "images").glob("*/*"))
    photo.write_bytes(photo.read_bytes() + b"x")
    told(look(remote(box.entry()), drawn), "data, ", "train/images has ", " bytes there", "copy it: rsync")
    photo.unlink()
    told(look(remote(box.entry()), drawn), "train/images has ", " files there, and ")


@marked
def test_a_flipped_label_on_a_machine_is_told(box, drawn):
    labels = box.home / "data" / "train" / "train.csv"
    text = labels.read_text()
    labels.write_text(text.replace("female", "xxmale", 1).replace("male", "fema", 1)[: len(text)])
    assert labels.stat().st_size == len(text.encode())
    told(look(remote(box.entry()), drawn), "train/train.csv has other names, sizes or labels there")


@marked
def test_missing_data_is_told_and_a_wrong_copy_here_too(boxes, tmp_path, drawn):
    bare = boxes("bare")
    told(look(remote(bare.entry()), drawn), f"there is no folder {bare.home}/data; copy the data there, or correct")
    shutil.copytree(drawn, bare.home / "data")
    told(look(remote(bare.entry()), tmp_path / "nowhere"), "data, this computer: there is no folder", "correct --data")


@pytest.mark.parametrize("fault", ["", "corrections", "groups", "folds"])
def test_data_is_read_as_a_trial_would(fault, data, capsys):
    (data / "corrections.csv").write_text("path,person,field,value,note\n,000001,gender,swap,\n")
    if fault == "corrections":
        (data / "corrections.csv").write_text("path,person,field,value,note\n,999999,gender,swap,\n")
    elif fault == "groups":
        (data / "groups.csv").write_text("path,group\nnowhere.jpg,1\n")
    people = "--folds 15 --test_val true" if fault == "folds" else ""  # 31 parts of 20 people
    config = local(trialCommand=f"{PYTHON} train.py --data_dir {data} {OPTIONS} {people}")
    _, knobs, _ = check_command(config)
    (found,) = check_reading(config, knobs, None)
    says = {
        "": "140 labelled photos of 20 people or groups, 35 to predict, corrections mend 7 of them",
        "corrections": "corrections.csv line 2: the data has no person '999999'",
        "groups": "groups.csv: the data has none of its photos, 'nowhere.jpg'",
        "folds": "20 groups (people) cannot make 31 parts",
    }[fault]
    assert found.state == (FAIL if fault else OK)
    assert says in found.found
    relative = os.path.relpath(data / "corrections.csv", PROJECT / "baseline")  # from where a trial runs
    words = config["trialCommand"] + f" --corrections {relative}"
    (again,) = check_reading(config, check_command(local(trialCommand=words))[1], None)
    assert (again.state, again.found[-40:]) == (found.state, found.found[-40:])
    assert capsys.readouterr().out == ""


@marked
def test_notes_are_pushed_whole_and_only_where_they_differ(box, boxes, drawn, tmp_path):
    here = Path(shutil.copytree(drawn, tmp_path / "here"))
    (here / "groups.csv").write_text("path,group\na,1\n")
    other = boxes("other")
    shutil.copytree(here, other.home / "data")
    config = remote(box.entry(), other.entry())
    told(look(config, here), f":{box.port}: lacks groups.csv beside the data", "run preflight with --push")
    assert not (box.home / "data" / "groups.csv").exists()
    findings = look(config, here, send=True)
    assert not failed(findings)
    pushed = {finding.where: finding.found for finding in findings if finding.check == "push"}
    assert pushed == {
        f"root@127.0.0.1:{box.port}": f"groups.csv is in {box.home}/data now",
        f"root@127.0.0.1:{other.port}": "nothing to send",
    }
    assert (box.home / "data" / "groups.csv").read_text() == "path,group\na,1\n"
    assert [path.name for path in (box.home / "data").iterdir() if path.name[0] == "."] == []
    assert not failed(look(config, here))
    (here / "groups.csv").write_text("path,group\na,2\n")
    findings = [str(finding) for finding in look(config, here) if finding.state == FAIL]
    assert len(findings) == 2
    assert all("has another groups.csv beside the data" in words and "--push" in words for words in findings)


def wrapped(tmp_path):
    """A pythonPath whose python imports a stand-in for NVML: two cards, the second in use."""
    (tmp_path / "fake").mkdir()
    (tmp_path / "fake" / "pynvml.py").write_text(FAKE_NVML)
    python = tmp_path / "wrapped" / "python"
    python.parent.mkdir()
    python.write_text(f'#!/bin/sh\nPYTHONPATH={tmp_path / "fake"} exec {PYTHON} "$@"\n')
    python.chmod(0o755)
    return str(python.parent)


@marked
def test_the_gpus_of_a_machine_are_counted_as_nni_would(box, tmp_path):
    folder = wrapped(tmp_path)
    findings = look(remote(box.entry(pythonPath=folder), trialGpuNumber=1))
    assert [finding.found for finding in findings if finding.check == "GPUs"] == ["1 usable, up to 70.0 GiB free"]
    told(look(remote(box.entry(pythonPath=folder), trialGpuNumber=2)), "there are 2, 1 of them in use (1)")
    entry = box.entry(pythonPath=folder, useActiveGpu=True)
    findings = look(remote(entry, trialGpuNumber=1, trialConcurrency=3))
    assert not failed(findings)
    assert any(finding.state == "warn" and "the GPUs hold 2 trials at once" in finding.found for finding in findings)


@marked
def test_a_gpu_asked_of_a_machine_without_is_told(box, tmp_path):
    (tmp_path / "fake").mkdir()
    (tmp_path / "fake" / "pynvml.py").write_text("def nvmlInit(): raise OSError('libnvidia-ml.so.1 is missing')\n")
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={tmp_path / "fake"} exec {PYTHON} "$@"\n')
    python.chmod(0o755)
    words = told(look(remote(box.entry(pythonPath=str(tmp_path)), trialGpuNumber=1)), "GPUs", "none is seen")
    assert "OSError: libnvidia-ml.so.1 is missing" in words
    assert "take trialGpuNumber out" in words


@marked
@pytest.mark.parametrize(("seconds", "state"), [(0, "ok"), (-60, "warn"), (3600, "fail")])
def test_a_wrong_clock_is_told(seconds, state, boxes, tmp_path):
    date = tmp_path / "bin" / "date"
    date.parent.mkdir()
    date.write_text(f"#!/bin/sh\nexpr $(/bin/date +%s) + {seconds}\n")
    date.chmod(0o755)
    box = boxes(SetEnv=f"HOME={tmp_path} PATH={date.parent}:/usr/bin:/bin")
    (finding,) = [finding for finding in look(remote(box.entry())) if finding.check == "clock"]
    assert finding.state == state
    if seconds:
        side = "ahead" if seconds > 0 else "behind"
        assert finding.found in {f"is {abs(seconds) + more} s {side}" for more in (-1, 0, 1)}
        assert finding.todo == "set it by NTP there"


@marked
def test_a_password_is_a_warning_and_the_machine_is_asked_all_the_same(box, tmp_path):
    path = write(tmp_path, remote(box.entry(password="secret")))
    config, findings = examine(path)
    assert [finding.state for finding in findings] == ["warn"]
    told(look(config), f"ssh, root@127.0.0.1:{box.port}: refuses the password for user root; check `user`")


def test_a_normal_distribution_is_asked_three_deviations_out():
    from checks.searchspace import candidates

    assert candidates("normal", [1.0, 0.25])[:2] == [0.25, 1.75]
    assert candidates("lognormal", [0.0, 1.0])[1] == pytest.approx(math.exp(3))
    assert candidates("randint", [2, 7]) == [2, 6]
