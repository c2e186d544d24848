"""Results brought home: from this machine, from others over real sshds, and from a real experiment."""

import hashlib
import json
import os
import shlex
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pandas as pd
import paramiko
import pytest
from conftest import PROJECT
from nni.tools.nnictl.config_utils import Experiments
from remote import needs_sshd
from test_search import small_search
from walks import all_ended, wait

import collect
import download
import experiment
import manifest
from collect import Voice, model_dir, search_of
from download import ChangedError, File, LocalFiles, RemoteFiles, Tally, checked, fetch
from experiment import processes
from harvest import Search, harvest
from ledger import KILLED, Record, agrees, records_of, status_of
from machines import Machine, Remember, machines_of

BIG = os.urandom(300_000)  # a best.pt
DONE = {"status": "SUCCEEDED", "seconds": 12.5, "metrics": {"val_accuracy": 0.5}}


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch):
    """known_hosts is written there."""
    (tmp_path / ".ssh").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))


def lay(home, trial, summary=DONE, worker="remote-worker0", parameters=(), **files):
    """The run folder of a trial under `home`, as --model_dir $NNI_OUTPUT_DIR/outputs makes it."""
    folder = home / "nni-experiments" / "exp" / "environments" / worker / "trials" / trial / "outputs" / "exp" / trial
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "summary.json").write_text(json.dumps(summary))
    (folder / "config.json").write_text(json.dumps({"parameters": {"lr": 0.1} | dict(parameters)}))
    for name, content in {"soft.csv": b"soft", "best.pt": BIG, "last.pt": b"last", ".soft.csv.9": b"half"}.items():
        (folder / name).write_bytes(files.get(name.replace(".", "_"), content))
    return folder


def record(trial, status="SUCCEEDED", number=0, **changes):
    made = Record(trial, number, {"lr": 0.1}, status, 0.5, (0.4, 0.5), f"2026-01-01T00:00:0{number}+00:00", 20.0)
    return replace(made, **changes)


def local(home, *records, **changes):
    root = str(home / "nni-experiments")
    return replace(
        Search("exp", list(records), [], "$NNI_OUTPUT_DIR/outputs", root=root, code=str(home / "code")), **changes
    )


def remote(entries, *records, **changes):
    machines = machines_of({"trainingService": {"machineList": entries}})
    return replace(Search("exp", list(records), machines, "$NNI_OUTPUT_DIR/outputs"), **changes)


def bring(search, tmp_path, weights="best"):
    """(the round, what it said, the experiment's folder at home)"""
    said, outputs = [], tmp_path / "outputs" / "exp"
    return harvest(search, outputs, weights, said.append), said, outputs


def lines(outputs):
    return {line["id"]: line for line in map(json.loads, (outputs / "trials.jsonl").read_text().splitlines())}


def part_of(outputs, trial="a", name="best.pt", content=BIG):
    return outputs / trial / f".{name}.{hashlib.sha256(content).hexdigest()[:16]}.part"


# where run folders are


@pytest.mark.parametrize(
    ("command", "found"),
    [
        ("python train.py --model_dir $NNI_OUTPUT_DIR/outputs --epochs 3", "$NNI_OUTPUT_DIR/outputs"),
        ('python train.py --model_dir="${NNI_OUTPUT_DIR}/my runs"', "${NNI_OUTPUT_DIR}/my runs"),
        ("python train.py --model-dir /a --model_dir ../b", "../b"),
        ("cd x; python train.py --model_dir /a; echo '# done'", "/a"),
        ("python train.py --epochs 3", ""),
    ],
)
def test_the_output_root_is_read_from_the_trial_command(command, found):
    assert model_dir(command) == found


@pytest.mark.parametrize(
    "text", ["$NNI_OUTPUT_DIR/outputs", "${NNI_OUTPUT_DIR}/o", "{home}/far", "../near", "~/mine", ""]
)
@pytest.mark.parametrize("code", ["", "{home}/code"])
def test_run_folders_are_found_wherever_model_dir_puts_them(tmp_path, monkeypatch, text, code):
    """Expected places by hand: a local trial runs in its code directory, a remote one in NNI's copy of it."""
    monkeypatch.setenv("HOME", str(tmp_path))
    environment = tmp_path / "nni-experiments" / "exp" / "environments" / "env"
    work, upload = environment / "trials" / "a", environment / "upload"
    work.mkdir(parents=True)
    text, code = (words.replace("{home}", str(tmp_path)) for words in (text, code))
    roots = {
        "$NNI_OUTPUT_DIR/outputs": work / "outputs",
        "${NNI_OUTPUT_DIR}/o": work / "o",
        f"{tmp_path}/far": tmp_path / "far",
        "../near": tmp_path / "near" if code else upload / "near",
        "~/mine": tmp_path / "mine",
        "": tmp_path / "outputs" if code else upload / "outputs",
    }
    folder = roots[text] / "exp" / "a"
    folder.mkdir(parents=True)
    (folder / "soft.csv").write_text("x")
    request = {"experiment": "exp", "trials": ["a", "b"], "root": "", "model_dir": text, "code": code}
    told = manifest.look(request | {"known": {}, "without": []})
    assert list(told) == ["a"]
    assert told["a"]["folder"] == str(folder)
    assert told["a"]["files"]["soft.csv"][::2] == [1, hashlib.sha256(b"x").hexdigest()]


def test_a_file_known_by_size_and_time_is_not_read_again(tmp_path):
    (tmp_path / "best.pt").write_bytes(b"x")
    size, mtime_ns, _ = manifest.measure(str(tmp_path / "best.pt"), None)
    assert manifest.measure(str(tmp_path / "best.pt"), [size, mtime_ns, "old"])[2] == "old"
    assert manifest.measure(str(tmp_path / "best.pt"), [size, mtime_ns - 1, "old"])[2] != "old"


# what comes home


@needs_sshd
@pytest.mark.ssh
def test_run_folders_come_home_from_two_machines_and_a_second_call_transfers_nothing(boxes, tmp_path):
    first, second = boxes("first"), boxes("second")
    folders = {"a": lay(first.home, "a"), "b": lay(second.home, "b", summary={"status": "RUNNING"}, best_pt=b"b")}
    search = remote([first.entry(), second.entry()], record("a"), record("b", "RUNNING", 1, objective=None))
    work, said, outputs = bring(search, tmp_path)
    assert work.troubles == []
    for trial, folder in folders.items():
        assert sorted(path.name for path in (outputs / trial).iterdir()) == [
            "best.pt",
            "config.json",
            "soft.csv",
            "summary.json",
        ]
        for path in (outputs / trial).iterdir():
            assert path.read_bytes() == (folder / path.name).read_bytes()
    wanted = sum(path.stat().st_size for path in outputs.glob("[ab]/*"))
    assert work.got == wanted
    assert said == [f"a is home from root@127.0.0.1:{first.port}; 1/2 trials home, 0.3 MB, about 0 s to go"]
    assert lines(outputs)["a"] == {
        "id": "a",
        "number": 0,
        "parameters": {"lr": 0.1},
        "status": "SUCCEEDED",
        "metrics": {"val_accuracy": 0.5},
        "objective": 0.5,
        "intermediate": [0.4, 0.5],
        "host": f"root@127.0.0.1:{first.port}",
        "seconds": 12.5,
        "started": "2026-01-01T00:00:00+00:00",
        "error": None,
    }
    assert lines(outputs)["b"]["status"] == "RUNNING"
    work, said, _ = bring(search, tmp_path)
    assert (work.got, work.troubles, said) == (0, [], [])
    (folders["b"] / "summary.json").write_text(json.dumps(DONE))
    work, _, _ = bring(replace(search, records=[record("a"), record("b", number=1)]), tmp_path)
    assert work.got == len(json.dumps(DONE))
    assert lines(outputs)["b"]["status"] == "SUCCEEDED"


@needs_sshd
@pytest.mark.ssh
def test_two_entries_of_one_home_bring_a_trial_once(boxes, tmp_path):
    box = boxes()
    lay(box.home, "a", worker="remote-worker1")
    work, _, outputs = bring(remote([box.entry(), box.entry(host="localhost")], record("a")), tmp_path)
    assert work.got == sum(path.stat().st_size for path in outputs.glob("a/*"))
    assert work.troubles == []


@pytest.mark.parametrize(
    ("weights", "names"), [("best", {"best.pt"}), ("all", {"best.pt", "last.pt"}), ("none", set())]
)
def test_weights_come_as_asked_for(tmp_path, weights, names):
    lay(tmp_path, "a")
    _, _, outputs = bring(local(tmp_path, record("a")), tmp_path, weights)
    assert {path.name for path in outputs.glob("a/*.pt")} == names


def test_a_local_run_folder_that_lies_at_home_stays_as_it_is(tmp_path):
    folder = lay(tmp_path, "a")
    home = tmp_path / "outputs" / "exp"
    home.mkdir(parents=True)
    folder.rename(home / "a")
    work, said, outputs = bring(local(tmp_path, record("a"), model_dir=str(tmp_path / "outputs")), tmp_path)
    assert (work.got, work.troubles, said) == (0, [], [])
    assert lines(outputs)["a"]["host"] == "local"
    assert (outputs / "a" / "last.pt").is_file()


@pytest.mark.parametrize(
    ("damage", "fetched"),
    [
        (lambda path: path.write_bytes(BIG[:-5]), len(BIG)),
        (lambda path: path.write_bytes(bytes(len(BIG))), len(BIG)),
        (lambda path: path.unlink(), len(BIG)),
        (lambda path: os.utime(path, (1, 1)), 0),
    ],
    ids=["cut", "overwritten", "lost", "touched"],
)
def test_a_damaged_file_at_home_is_found_and_fetched_again(tmp_path, damage, fetched):
    lay(tmp_path, "a")
    search = local(tmp_path, record("a"))
    _, _, outputs = bring(search, tmp_path)
    damage(outputs / "a" / "best.pt")
    for expected in (fetched, 0):
        work, _, _ = bring(search, tmp_path)
        assert work.got == expected
        assert (outputs / "a" / "best.pt").read_bytes() == BIG


def test_what_is_home_is_recognised_without_the_record(tmp_path):
    lay(tmp_path, "a")
    search = local(tmp_path, record("a"))
    _, _, outputs = bring(search, tmp_path)
    (outputs / ".collected.json").unlink()
    assert bring(search, tmp_path)[0].got == 0


# one trial, several copies

LATE = "2026-11-22T12:00:00+02:00"  # an hour and a minute after EARLY, though its text sorts before it
EARLY = "2026-11-22T13:59:00+05:00"


def attempt(status, *begun):
    return {"status": status, "attempts": [{"started": started, "ended": status} for started in begun]}


@needs_sshd
@pytest.mark.ssh
@pytest.mark.parametrize("dead", ["RUNNING", "INTERRUPTED"])
@pytest.mark.parametrize("turned", [False, True], ids=["lost-first", "lost-second"])
@pytest.mark.parametrize("first", ["lost", "finished"])
def test_a_lost_machine_that_comes_back_never_replaces_what_another_finished(boxes, tmp_path, dead, turned, first):
    lost, finished = boxes("lost"), boxes("finished")
    lay(lost.home, "a", summary=attempt(dead, EARLY), best_pt=b"epoch 2")
    lay(finished.home, "a", summary=DONE | attempt("SUCCEEDED", LATE), worker="remote-worker1")
    entries = [lost.entry(), finished.entry()]
    search = remote(entries[::-1] if turned else entries, record("a"))
    (finished if first == "lost" else lost).stop()
    bring(search, tmp_path)
    for box in (lost, finished):
        box.stop()
        box.start()
    outputs = tmp_path / "outputs" / "exp"
    for away in (None, finished, None):
        if away:
            away.stop()
        bring(search, tmp_path)
        if away:
            away.start()
        assert (outputs / "a" / "best.pt").read_bytes() == BIG
        assert json.loads((outputs / "a" / "summary.json").read_text())["status"] == "SUCCEEDED"
        line = lines(outputs)["a"]
        assert (line["status"], line["host"]) == ("SUCCEEDED", f"root@127.0.0.1:{finished.port}")
    assert bring(search, tmp_path)[0].got == 0


@pytest.mark.parametrize("model_dir", ["$NNI_OUTPUT_DIR/outputs", "../near", ""])
@pytest.mark.parametrize(("old", "new"), [("1", "3"), ("3", "1"), ("10", "2"), ("2", "10")])
@pytest.mark.parametrize(
    ("before", "after"),
    [
        (attempt("RUNNING", EARLY), attempt("SUCCEEDED", LATE)),
        (attempt("INTERRUPTED", LATE), attempt("FAILED", EARLY)),
        (attempt("RUNNING", EARLY), attempt("RUNNING", LATE)),
        (attempt("FAILED", EARLY), attempt("SUCCEEDED", EARLY, LATE)),
        (attempt("RUNNING"), {"status": "RUNNING"}),  # of no attempts: by the files' times
    ],
)
def test_of_two_environments_on_a_machine_the_better_copy_is_told(tmp_path, model_dir, old, new, before, after):
    folders = {}
    for number, summary, seconds in ((old, before, 1), (new, after, 2)):
        environment = tmp_path / "nni-experiments" / "exp" / "environments" / f"remote-worker{number}"
        work = environment / "trials" / "a"
        work.mkdir(parents=True)
        root = work / "outputs" if "$" in model_dir else environment / "upload" / (model_dir[3:] or "outputs")
        folders[number] = root / "exp" / "a"
        folders[number].mkdir(parents=True)
        (folders[number] / "summary.json").write_text(json.dumps(summary))
        os.utime(folders[number] / "summary.json", (seconds, seconds))
    told = manifest.look(request(model_dir))
    assert told["a"]["folder"] == str(folders[new])
    assert told["a"]["status"] == after["status"]


def request(model_dir="$NNI_OUTPUT_DIR/outputs"):
    asked = {"experiment": "exp", "trials": ["a"], "root": "", "model_dir": model_dir, "code": ""}
    return asked | {"known": {}, "without": []}


def test_the_copy_that_a_process_writes_is_told_before_one_that_ended(tmp_path):
    lay(tmp_path, "a", summary=attempt("FAILED", LATE), worker="remote-worker0")
    folder = lay(tmp_path, "a", summary=attempt("RUNNING", EARLY), worker="remote-worker1")
    names = {"NNI_TRIAL_JOB_ID": "a", "NNI_OUTPUT_DIR": str(folder.parents[2])}
    trial = subprocess.Popen(["sleep", "60"], env=os.environ | names)
    try:
        told = manifest.look(request())["a"]
    finally:
        trial.kill()
        trial.wait()
    assert (told["folder"], told["alive"]) == (str(folder), True)
    told = manifest.look(request())["a"]
    assert (told["status"], told["alive"]) == ("FAILED", False)


def test_a_summary_of_nonsense_counts_as_none(tmp_path):
    folder = lay(tmp_path, "a")
    for text in ("[]", "half", '{"status": 7, "attempts": [{"started": "noon"}]}', '{"attempts": 3}'):
        (folder / "summary.json").write_text(text)
        os.utime(folder / "summary.json", (4e9, 4e9))
        told = manifest.look(request())["a"]
        assert (told["status"], told["started"]) == ("", 4e9)


@pytest.mark.parametrize("summary", [attempt("RUNNING", EARLY), attempt("RUNNING", EARLY, LATE)])
def test_a_trial_that_fell_back_to_running_and_died_leaves_the_ended_folder_at_home(tmp_path, summary):
    folder = lay(tmp_path, "a", summary=attempt("EARLY_STOPPED", EARLY))
    _, _, outputs = bring(local(tmp_path, record("a")), tmp_path)
    (folder / "summary.json").write_text(json.dumps(summary))
    (folder / "best.pt").write_bytes(b"half")
    work, _, _ = bring(local(tmp_path, record("a")), tmp_path)
    assert work.got == 0
    assert (outputs / "a" / "best.pt").read_bytes() == BIG
    assert (lines(outputs)["a"]["status"], lines(outputs)["a"]["host"]) == ("EARLY_STOPPED", "local")


def test_a_killed_trial_that_nni_calls_failed_is_still_compared_with_its_machine(tmp_path):
    lay(tmp_path, "a", summary=attempt("RUNNING", EARLY))
    search = local(tmp_path, record("a", "FAILED"))
    _, _, outputs = bring(search, tmp_path)
    assert json.loads((outputs / "a" / "summary.json").read_text())["status"] == "FAILED"
    (outputs / "a" / "best.pt").unlink()
    work, _, _ = bring(search, tmp_path)
    assert work.got == len(BIG)
    lay(tmp_path, "a", summary=attempt("INTERRUPTED", EARLY, LATE))
    bring(search, tmp_path)
    assert json.loads((outputs / "a" / "summary.json").read_text())["status"] == "INTERRUPTED"


# transfers


@needs_sshd
@pytest.mark.ssh
def test_a_cut_transfer_goes_on_where_it_was_cut(boxes, tmp_path):
    box = boxes()
    folder = lay(box.home, "a")
    outputs = tmp_path / "outputs" / "exp"
    part_of(outputs).parent.mkdir(parents=True)
    part_of(outputs).write_bytes(BIG[:200_000])
    (outputs / "a" / ".best.pt.0123456789abcdef.part").write_bytes(b"of an older best.pt")
    work, _, _ = bring(remote([box.entry()], record("a")), tmp_path)
    others = sum((folder / name).stat().st_size for name in ("config.json", "soft.csv", "summary.json"))
    assert work.got == len(BIG) - 200_000 + others
    assert (outputs / "a" / "best.pt").read_bytes() == BIG
    assert not list(outputs.glob("a/.*"))


@needs_sshd
@pytest.mark.ssh
def test_a_machine_lost_in_the_middle_is_said_and_continued_when_it_is_back(boxes, tmp_path, monkeypatch):
    box = boxes()
    lay(box.home, "a")
    monkeypatch.setattr(download, "WINDOW", 100_000)
    whole = RemoteFiles.read

    def read(self, file, start, size):
        if start == 200_000:
            box.stop()
        return whole(self, file, start, size)

    monkeypatch.setattr(RemoteFiles, "read", read)
    search = remote([box.entry()], record("a"))
    work, said, outputs = bring(search, tmp_path)
    assert work.unreached == [f"root@127.0.0.1:{box.port}"]
    assert said[0].startswith(f"root@127.0.0.1:{box.port}: ")
    assert part_of(outputs).stat().st_size == 200_000
    assert not (outputs / "a" / "summary.json").exists()
    monkeypatch.setattr(RemoteFiles, "read", whole)
    box.start()
    again, _, _ = bring(search, tmp_path)
    assert again.troubles == []
    assert work.got + again.got == sum(path.stat().st_size for path in outputs.glob("a/*"))


@needs_sshd
@pytest.mark.ssh
def test_a_spoilt_part_is_fetched_anew(boxes, tmp_path):
    box = boxes()
    folder = lay(box.home, "a")
    outputs = tmp_path / "outputs" / "exp"
    part_of(outputs).parent.mkdir(parents=True)
    part_of(outputs).write_bytes(bytes(200_000))
    work, _, _ = bring(remote([box.entry()], record("a")), tmp_path)
    others = sum((folder / name).stat().st_size for name in ("config.json", "soft.csv", "summary.json"))
    assert work.got == 100_000 + len(BIG) + others
    assert (outputs / "a" / "best.pt").read_bytes() == BIG


def test_a_file_whose_content_stays_wrong_is_an_error_and_its_folder_not_called_whole(tmp_path, monkeypatch):
    folder = lay(tmp_path, "a")
    whole = LocalFiles.read

    def spoilt(*words):
        return (bytes(len(BIG)) if piece == BIG else piece for piece in whole(*words))

    monkeypatch.setattr(LocalFiles, "read", spoilt)
    work, _, outputs = bring(local(tmp_path, record("a")), tmp_path)
    assert work.got == 2 * len(BIG) + sum((folder / name).stat().st_size for name in ("config.json", "soft.csv"))
    (trouble,) = work.troubles
    assert str(folder / "best.pt") in trouble
    assert "SHA-256" in trouble
    assert not (outputs / "a" / "best.pt").exists()
    assert not (outputs / "a" / "summary.json").exists()
    monkeypatch.undo()
    assert bring(local(tmp_path, record("a")), tmp_path)[0].troubles == []
    assert (outputs / "a" / "summary.json").is_file()


def test_a_file_that_changed_since_it_was_listed_is_left_to_the_next_round(tmp_path):
    source, target = tmp_path / "best.pt", tmp_path / "here.pt"
    source.write_bytes(b"old")
    file = File("best.pt", *manifest.measure(str(source), None))
    source.write_bytes(b"new")
    os.utime(source, (1, 1))
    for content in (b"new", b"shorter"[:2], b"of another length"):
        source.write_bytes(content)
        os.utime(source, (1, 1))
        with pytest.raises(ChangedError):
            fetch(LocalFiles(), str(source), target, file, lambda count: None)
    assert not target.exists()


def test_a_file_that_grows_comes_as_it_was_listed(tmp_path):
    source, target = tmp_path / "events.out", tmp_path / "here"
    source.write_bytes(b"first")
    file = File("events.out", *manifest.measure(str(source), None))
    source.write_bytes(b"first and second")
    fetch(LocalFiles(), str(source), target, file, lambda count: None)
    assert target.read_bytes() == b"first"


def test_progress_tells_trials_bytes_and_the_time_to_go(monkeypatch, capsys):
    """1 MB of 5 in 10 s leaves 40 s; 2 MB that need not come leave 20 s."""
    now = [0.0]
    monkeypatch.setattr(download.time, "monotonic", lambda: now[0])
    tally = Tally(3, 12, 5_000_000)
    now[0] = 10.0
    tally.add(1_000_000)
    tally.add(0)
    assert capsys.readouterr().out == "3/12 trials home, 1.0 MB, about 40 s to go\n"
    tally.cut = 2_000_000
    assert str(tally) == "3/12 trials home, 1.0 MB, about 20 s to go"


# machines that fail or lie


@needs_sshd
@pytest.mark.ssh
def test_a_machine_that_is_down_is_named_and_the_others_are_collected(boxes, tmp_path):
    down, up = boxes("down"), boxes("up")
    lay(down.home, "a")
    lay(up.home, "b")
    down.stop()
    search = remote([down.entry(), up.entry()], record("a"), record("b", number=1))
    work, said, outputs = bring(search, tmp_path)
    assert work.unreached == [f"root@127.0.0.1:{down.port}"]
    assert f"root@127.0.0.1:{down.port}: nothing answers at this port; check `host`" in said[0]
    assert (outputs / "b" / "summary.json").is_file()
    assert lines(outputs)["a"]["status"] == "SUCCEEDED"
    down.start()
    work, _, _ = bring(search, tmp_path)
    assert work.troubles == []
    assert (outputs / "a" / "summary.json").is_file()


@needs_sshd
@pytest.mark.ssh
@pytest.mark.parametrize("name", ["../evil", "/tmp/evil", "..", ".ssh", "a\\b"])
def test_a_machine_that_names_a_file_outside_is_refused(boxes, tmp_path, name):
    box = boxes()
    lay(box.home, "a")
    told = {"folder": str(box.home), "files": {name: [4, 1, "0" * 64]}, "unreadable": {}, "alive": False, "last": ""}
    liar = tmp_path / "bin"
    liar.mkdir()
    (liar / "python").write_text(f"#!/bin/sh\ncat > /dev/null\nprintf %s {shlex.quote(json.dumps({'a': told}))}\n")
    (liar / "python").chmod(0o755)
    work, _, outputs = bring(remote([box.entry(pythonPath=str(liar))], record("a")), tmp_path)
    assert any(f"names a file {name!r}, which is no plain name" in line for line in work.troubles)
    assert sorted(path.name for path in outputs.iterdir()) == [".collected.json", "trials.jsonl"]
    assert not list(tmp_path.rglob("evil"))


@pytest.mark.parametrize("weights", ["best", "none"])
def test_the_folds_of_a_trial_of_all_folds_come_with_it(tmp_path, weights):
    folder = lay(tmp_path, "a")
    for fold in ("fold-0", "fold-11"):
        (folder / fold).mkdir()
        for name in ("val_soft.csv", "best.pt", "last.pt", ".lock"):
            (folder / fold / name).write_text(f"{fold} {name}")
    (folder / "wandb").mkdir()
    (folder / "wandb" / "log").write_text("not ours")
    work, _, outputs = bring(local(tmp_path, record("a")), tmp_path, weights)
    assert work.troubles == []
    names = {"val_soft.csv"} | ({"best.pt"} if weights == "best" else set())
    for fold in ("fold-0", "fold-11"):
        assert {path.name for path in (outputs / "a" / fold).iterdir()} == names
        assert (outputs / "a" / fold / "val_soft.csv").read_text() == f"{fold} val_soft.csv"
    assert not (outputs / "a" / "wandb").exists()
    (outputs / "a" / "fold-0" / "val_soft.csv").write_text("spoilt")
    bring(local(tmp_path, record("a")), tmp_path, weights)
    assert (outputs / "a" / "fold-0" / "val_soft.csv").read_text() == "fold-0 val_soft.csv"


@pytest.mark.parametrize("name", ["fold-0/../x", "fold-0/.ssh", "fold-0/", "other/x", "fold-x/y", "/fold-0/x", ""])
def test_a_file_that_is_in_no_fold_is_refused(name):
    with pytest.raises(ValueError, match="is no plain name"):
        checked({name: [1, 2, "0" * 64]}, "box")


@pytest.mark.parametrize("told", [[1, 2], [-1, 2, "0" * 64], [1, 2, "../../x"], "text", [1.5, 2, "0" * 64]])
def test_a_manifest_of_nonsense_is_refused(told):
    with pytest.raises(ValueError, match="no size, time and SHA-256"):
        checked({"soft.csv": told}, "box")


@needs_sshd
@pytest.mark.ssh
def test_a_machine_without_python_is_named_with_what_to_check(boxes, tmp_path):
    box = boxes()
    work, _, _ = bring(remote([box.entry(pythonPath="/nowhere")], record("a", "RUNNING")), tmp_path)
    assert "check pythonPath" in work.troubles[0]
    assert lines(tmp_path / "outputs" / "exp")["a"]["status"] == "RUNNING"


@needs_sshd
@pytest.mark.ssh
def test_no_key_and_no_password_is_written_or_said(boxes, tmp_path):
    box = boxes()
    lay(box.home, "a")
    secret = "correct horse battery"
    entries = [box.entry(), box.entry(password=secret, sshKeyFile=None), box.entry(sshPassphrase=secret)]
    _, said, outputs = bring(remote(entries, record("a")), tmp_path)
    assert any("refuses the password" in line for line in said)
    key = [line for line in box.key.read_text().splitlines() if not line.startswith("-")]
    written = [path.read_bytes() for path in outputs.rglob("*") if path.is_file()]
    for text in (secret, str(box.key), *key):
        assert not any(text in line for line in said)
        assert not any(text.encode() in content for content in written)


# what became of each trial


@pytest.mark.parametrize(
    ("nni", "own", "killed", "status"),
    [
        ("SUCCEEDED", "SUCCEEDED", False, "SUCCEEDED"),
        ("WAITING", None, False, "RUNNING"),
        ("UNKNOWN", "RUNNING", False, "RUNNING"),
        ("RUNNING", "SUCCEEDED", False, "SUCCEEDED"),
        ("USER_CANCELED", "INTERRUPTED", False, "INTERRUPTED"),
        ("SYS_CANCELED", None, False, "INTERRUPTED"),
        ("EARLY_STOPPED", "INTERRUPTED", False, "EARLY_STOPPED"),
        ("EARLY_STOPPED", "FAILED", False, "FAILED"),
        ("USER_CANCELED", "EARLY_STOPPED", False, "EARLY_STOPPED"),
        ("FAILED", "SUCCEEDED", False, "SUCCEEDED"),
        ("FAILED", None, False, "FAILED"),
        ("FAILED", "RUNNING", True, "FAILED"),
        ("EARLY_STOPPED", "RUNNING", True, "EARLY_STOPPED"),
        ("USER_CANCELED", "RUNNING", True, "INTERRUPTED"),
        ("SUCCEEDED", "RUNNING", True, "INTERRUPTED"),
    ],
)
def test_a_status_is_that_of_the_run_folder_unless_nni_knows_better(nni, own, killed, status):
    assert status_of(record("a", nni), {"status": own} if own else {}, killed) == status


@needs_sshd
@pytest.mark.ssh
def test_a_killed_trials_summary_is_corrected_at_home_and_not_fetched_again(boxes, tmp_path):
    box = boxes()
    attempts = [{"host": "box", "ended": "RUNNING"}]
    lay(box.home, "a", summary={"status": "RUNNING", "epochs": 2, "attempts": attempts})
    search = remote([box.entry()], record("a", "USER_CANCELED", objective=None))
    for _ in range(2):
        work, _, outputs = bring(search, tmp_path)
        summary = json.loads((outputs / "a" / "summary.json").read_text())
        ended = [{"host": "box", "ended": "killed"}]
        assert summary == {"status": "INTERRUPTED", "epochs": 2, "attempts": ended, "error": KILLED}
        assert lines(outputs)["a"]["status"] == "INTERRUPTED"
        assert lines(outputs)["a"]["error"] == KILLED
    assert work.got == 0


def test_a_trial_that_nni_gave_up_but_that_runs_on_is_not_called_killed(tmp_path):
    folder = lay(tmp_path, "a", summary={"status": "RUNNING"})
    search = local(tmp_path, record("a", "USER_CANCELED"))
    orphan = subprocess.Popen(["sleep", "60"], env=os.environ | {"NNI_TRIAL_JOB_ID": "a"})
    try:
        _, _, outputs = bring(search, tmp_path)
        assert json.loads((outputs / "a" / "summary.json").read_text()) == {"status": "RUNNING"}
    finally:
        orphan.kill()
        orphan.wait()
    bring(search, tmp_path)
    assert json.loads((outputs / "a" / "summary.json").read_text())["status"] == "INTERRUPTED"
    assert json.loads((folder / "summary.json").read_text()) == {"status": "RUNNING"}


def test_what_ran_or_waited_when_the_manager_went_is_interrupted_unless_it_lives(tmp_path):
    lay(tmp_path, "a", summary={"status": "RUNNING"})
    search = local(tmp_path, record("a", "RUNNING"), record("b", "WAITING", 1))
    _, _, outputs = bring(search, tmp_path)
    assert [line["status"] for line in lines(outputs).values()] == ["RUNNING", "RUNNING"]
    bring(replace(search, over=True), tmp_path)
    assert [line["status"] for line in lines(outputs).values()] == ["INTERRUPTED", "INTERRUPTED"]


@needs_sshd
@pytest.mark.ssh
def test_a_trial_that_failed_before_its_run_folder_tells_the_last_line_of_its_stderr(boxes, tmp_path):
    box = boxes()
    work = box.home / "nni-experiments" / "exp" / "environments" / "remote-worker0" / "trials" / "a"
    work.mkdir(parents=True)
    (work / "trial.stderr").write_text("Traceback …\nerror: unknown knob from NNI: 'batchsize'\n\n")
    work, _, outputs = bring(remote([box.entry()], record("a", "FAILED", objective=None)), tmp_path)
    assert work.troubles == []
    line = lines(outputs)["a"]
    assert (line["status"], line["error"]) == ("FAILED", "error: unknown knob from NNI: 'batchsize'")
    assert collect.all_failed(work) == "all 1 trials failed: error: unknown knob from NNI: 'batchsize'"


def test_a_trial_that_succeeded_without_a_run_folder_is_named(tmp_path):
    work, _, _ = bring(local(tmp_path, record("a")), tmp_path)
    assert work.troubles == ["a: NNI says SUCCEEDED, but there is no run folder of it in $NNI_OUTPUT_DIR/outputs"]


def test_trials_that_nni_no_longer_lists_stay_in_the_ledger(tmp_path):
    lay(tmp_path, "a")
    lay(tmp_path, "b")
    bring(local(tmp_path, record("a"), record("b", "RUNNING", 1)), tmp_path)
    _, _, outputs = bring(local(tmp_path, record("b", "FAILED", 1)), tmp_path)
    assert list(lines(outputs)) == ["a", "b"]
    (outputs / "trials.jsonl").write_text('{"id": "a"}\nhalf a li')
    with pytest.raises(ValueError, match="trials.jsonl, line 2 is no trial"):
        bring(local(tmp_path, record("b")), tmp_path)


def test_a_trial_that_trained_with_other_knobs_than_nni_says_is_named(tmp_path):
    lay(tmp_path, "a", parameters={"lr": 0.2, "resize": [64, 64]})
    given = {"lr": 0.1, "resize": 64}
    _, said, outputs = bring(local(tmp_path, record("a", parameters=given)), tmp_path)
    assert any(line.startswith("warning: a trained with lr = 0.2, but NNI's record says 0.1") for line in said)
    assert lines(outputs)["a"]["parameters"] == {"lr": 0.2, "resize": 64}
    assert lines(outputs)["a"]["nni_parameters"] == given


@pytest.mark.parametrize(
    ("name", "value", "trained", "same"),
    [
        ("resize", 64, [64, 64], True),
        ("pretrained", "false", False, True),
        ("batch_size", 32.0, 32, True),
        ("lr", 0.1, 0.2, False),
        ("of_another_version", 1, 1, True),
        ("of_another_version", 1, 2, False),
    ],
)
def test_knobs_are_compared_as_the_trial_reads_them(name, value, trained, same):
    assert agrees(name, value, trained) == same


def test_nnis_answers_become_records():
    """The answers are those of a real experiment, shortened."""
    job = {"trialJobId": "a", "status": "RUNNING", "startTime": 1795341324503, "sequenceId": 3}
    job["hyperParameters"] = ['{"parameter_id":0,"parameters":{"lr":0.01},"parameter_index":0}']
    metrics = [
        {"timestamp": 9, "trialJobId": "a", "type": "FINAL", "sequence": 0, "data": '"{\\"default\\": 0.7}"'},
        {"timestamp": 2, "trialJobId": "a", "type": "PERIODICAL", "sequence": 1, "data": '"0.6"'},
        {"timestamp": 1, "trialJobId": "a", "type": "PERIODICAL", "sequence": 0, "data": '"{\\"default\\": 0.5}"'},
    ]
    waiting = {"trialJobId": "b", "status": "WAITING", "sequenceId": 4}
    found, _ = records_of([waiting, job], metrics)
    assert found == Record("a", 3, {"lr": 0.01}, "RUNNING", 0.7, (0.5, 0.6), "2026-11-22T09:55:24+00:00", None)


# the command


class Manager(BaseHTTPRequestHandler):
    """Answers NNI's REST questions from `answers`; a list gives one answer after the other."""

    answers: dict = {}  # noqa: RUF012  each test sets its own on a subclass

    def do_GET(self):
        answer = self.answers[self.path.removeprefix("/api/v1/nni/")]
        if isinstance(answer, list) and self.path.endswith("check-status"):
            answer = answer.pop(0) if len(answer) > 1 else answer[0]
        if isinstance(answer, bytes):  # a fault, in place of the whole answer
            self.wfile.write(answer)
            return
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, *words):
        pass


@pytest.fixture
def manager(tmp_path):
    """serve(statuses, jobs) puts a local experiment `exp` into the registry, whose manager answers."""
    servers = []

    def serve(statuses, jobs, service=None):
        params = {
            "trialCommand": "python train.py --model_dir $NNI_OUTPUT_DIR/outputs",
            "trialCodeDirectory": str(tmp_path),
            "experimentWorkingDirectory": str(tmp_path / "nni-experiments"),
            "trainingService": service or {"platform": "local"},
        }
        answers = {"experiment": {"id": "exp", "params": params}, "trial-jobs": jobs, "metric-data": []}
        answers["check-status"] = statuses
        server = ThreadingHTTPServer(("127.0.0.1", 0), type("OneManager", (Manager,), {"answers": answers}))
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        registry = {"exp": {"id": "exp", "port": server.server_address[1], "status": "RUNNING"}}
        (tmp_path / "nni-experiments").mkdir(exist_ok=True)
        (tmp_path / "nni-experiments" / ".experiment").write_text(json.dumps(registry))

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def job(trial, status, number=0):
    parameters = json.dumps({"parameters": {"lr": 0.1}})
    return {
        "trialJobId": trial,
        "status": status,
        "sequenceId": number,
        "hyperParameters": [parameters],
        "startTime": 1795341324503,
        "endTime": 1795341334503,
    }


def command(tmp_path, *words):
    with pytest.raises(SystemExit) as end:
        collect.main(["exp", "--home", str(tmp_path), "--outputs", str(tmp_path / "outputs"), *words])
    return end.value.code


def test_the_command_says_what_it_brought_and_what_comes_next(manager, tmp_path, capsys):
    manager({"status": "DONE", "errors": []}, [job("a", "SUCCEEDED"), job("b", "FAILED", 1)])
    lay(tmp_path, "a", worker="local-env")
    assert command(tmp_path) == 0
    said, outputs = capsys.readouterr().out, tmp_path / "outputs" / "exp"
    assert "trials of exp: 1 SUCCEEDED, 1 FAILED" in said
    assert f"python ensemble/soft_vote.py {outputs}/*/soft.csv" in said
    assert f"tensorboard --logdir {outputs}" in said


def test_watching_goes_on_until_the_experiment_is_over(manager, tmp_path, capsys):
    jobs = [job("a", "RUNNING")]
    lay(tmp_path, "a", worker="local-env", summary={"status": "RUNNING"})
    manager([{"status": "RUNNING", "errors": []}] * 2 + [{"status": "DONE", "errors": []}] * 2, jobs)
    timer = threading.Timer(
        0.5, lambda: (lay(tmp_path, "a", worker="local-env"), jobs.__setitem__(0, job("a", "SUCCEEDED")))
    )
    timer.start()
    assert command(tmp_path, "--watch", "--every", "0.1") == 0
    timer.join()
    said = capsys.readouterr().out
    assert said.count("1 RUNNING; looking again every 0.1 s") == 1
    assert "a is home from local; 1/1 trials home" in said
    assert "trials of exp: 1 SUCCEEDED" in said


DROPPED = {
    "closed without a word": b"",
    "no http": b"what?\r\n\r\n",
    "cut": b"HTTP/1.0 200 OK\r\nContent-Length: 99\r\n\r\n{",
}


@pytest.mark.parametrize("answer", DROPPED.values(), ids=DROPPED)
def test_a_manager_that_drops_an_answer_is_asked_again(manager, tmp_path, capsys, monkeypatch, answer):
    monkeypatch.setattr(experiment.time, "sleep", lambda seconds: None)
    manager([answer] * 3 + [{"status": "DONE", "errors": []}], [job("a", "SUCCEEDED")])
    lay(tmp_path, "a", worker="local-env")
    assert command(tmp_path, "--watch", "--every", "0.1") == 0
    said = capsys.readouterr().out
    assert said.count("NNI does not answer (") == 1
    assert "; asking again every 0.1 s" in said
    assert "trials of exp: 1 SUCCEEDED" in said


def test_a_manager_that_runs_but_does_not_answer_is_not_taken_for_gone(manager, tmp_path):
    manager({"status": "RUNNING", "errors": []}, [])
    registry = tmp_path / "nni-experiments" / ".experiment"
    registry.write_text(json.dumps({"exp": {"id": "exp", "port": experiment.free_port(), "status": "RUNNING"}}))
    loop = "import time; print(flush=True); time.sleep(60)"
    words = [sys.executable, "-c", loop, "/venv/nni_node/main.js", "--experiment-id", "exp", "--action", "create"]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as one:
        one.stdout.readline()
        told = command(tmp_path)
        one.kill()
    assert told.startswith("error: the manager of experiment exp runs, but does not answer at port ")


@pytest.fixture
def changing(monkeypatch):
    """The first fetch of best.pt finds that the file changed meanwhile."""
    calls = []

    def fetch_once(*given):
        calls.append(given[2].name)
        if calls.count("best.pt") == 1 and calls[-1] == "best.pt":
            raise ChangedError
        return fetch(*given)

    monkeypatch.setattr("harvest.fetch", fetch_once)


def test_watching_goes_on_until_what_changed_in_the_last_round_is_home(manager, tmp_path, changing):
    manager({"status": "DONE", "errors": []}, [job("a", "SUCCEEDED")])
    lay(tmp_path, "a", worker="local-env")
    assert command(tmp_path, "--watch", "--every", "0.1") == 0
    home = tmp_path / "outputs" / "exp" / "a"
    assert (home / "best.pt").is_file()
    assert (home / "summary.json").is_file()


def test_what_changed_while_it_was_fetched_is_told(manager, tmp_path, changing, capsys):
    manager({"status": "DONE", "errors": []}, [job("a", "SUCCEEDED")])
    lay(tmp_path, "a", worker="local-env")
    assert command(tmp_path) == 1
    assert "a changed while it was fetched; collect again for the rest" in capsys.readouterr().out


@pytest.mark.parametrize("answer", DROPPED.values(), ids=DROPPED)
def test_without_watch_a_dropped_answer_is_an_error_and_no_traceback(manager, tmp_path, monkeypatch, answer):
    monkeypatch.setattr(experiment.time, "sleep", lambda seconds: None)
    manager([answer], [])
    assert command(tmp_path).startswith("error: ")


def test_a_disk_that_fails_ends_the_watch(manager, tmp_path, monkeypatch):
    def full(*words):
        raise OSError("the disk is full")

    monkeypatch.setattr(collect, "harvest", full)
    manager({"status": "RUNNING", "errors": []}, [job("a", "RUNNING")])
    assert command(tmp_path, "--watch") == "error: the disk is full"


def test_in_error_what_nni_calls_running_is_over_when_its_folder_says_so(manager, tmp_path, capsys):
    manager({"status": "ERROR", "errors": ["tuner crashed"]}, [job("a", "SUCCEEDED"), job("b", "RUNNING", 1)])
    port = json.loads((tmp_path / "nni-experiments" / ".experiment").read_text())["exp"]["port"]
    lay(tmp_path, "a", worker="local-env")
    lay(tmp_path, "b", worker="local-env", summary={"status": "RUNNING"})
    timer = threading.Timer(0.5, lambda: lay(tmp_path, "b", worker="local-env"))
    timer.start()
    assert command(tmp_path, "--watch", "--every", "0.1") == 0
    timer.join()
    said = capsys.readouterr().out
    assert "1 SUCCEEDED, 1 RUNNING; looking again" in said
    assert "trials of exp: 2 SUCCEEDED" in said
    assert f"; nnictl stop exp, then nnictl resume exp --port {port} goes on" in said


def test_in_error_all_trials_that_failed_by_their_folders_are_a_failure_in_one_round(manager, tmp_path, capsys):
    manager({"status": "ERROR", "errors": ["tuner crashed"]}, [job("a", "RUNNING")])
    lay(tmp_path, "a", worker="local-env", summary={"status": "FAILED", "error": "the disk is full"})
    assert command(tmp_path) == 1
    assert "all 1 trials failed: the disk is full" in capsys.readouterr().out


def test_while_nni_runs_its_word_is_waited_for(manager, tmp_path):
    jobs = [job("a", "RUNNING")]
    manager([{"status": "NO_MORE_TRIAL", "errors": []}] * 3 + [{"status": "DONE", "errors": []}], jobs)
    lay(tmp_path, "a", worker="local-env")
    timer = threading.Timer(0.5, lambda: jobs.__setitem__(0, job("a", "SUCCEEDED")))
    timer.start()
    assert command(tmp_path, "--watch", "--every", "0.1") == 0
    assert not timer.is_alive()


def test_links_for_nnis_page_are_mended_and_what_hinders_them_is_said(tmp_path, capsys):
    outputs, trials = tmp_path / "outputs", tmp_path / "exp" / "trials"
    for name in ("dangling", "hindered", "missing", "sound"):
        (outputs / name).mkdir(parents=True)
        (outputs / name / "summary.json").touch()
    for name, aim in (("dangling", tmp_path / "moved"), ("sound", tmp_path)):
        (trials / name / "output").mkdir(parents=True)
        (trials / name / "output" / "tensorboard").symlink_to(aim)
    (trials / "hindered").touch()
    for _ in range(2):
        collect.link_events(tmp_path / "exp", outputs, print)
        assert (trials / "dangling" / "output" / "tensorboard").readlink() == outputs / "dangling"
        assert (trials / "missing" / "output" / "tensorboard").readlink() == outputs / "missing"
        assert (trials / "sound" / "output" / "tensorboard").readlink() == tmp_path
        (said,) = capsys.readouterr().out.splitlines()
        assert said.startswith("warning: the TensorBoard button of NNI's page cannot show hindered: ")


def test_an_experiment_whose_trials_all_failed_ends_with_the_first_error(manager, tmp_path, capsys):
    manager({"status": "ERROR", "errors": ["tuner crashed"]}, [job("a", "FAILED"), job("b", "FAILED", 1)])
    lay(tmp_path, "a", worker="local-env", summary={"status": "FAILED", "error": "the disk is full"})
    assert command(tmp_path, "--watch") == 1
    said = capsys.readouterr().out
    assert "NNI says ERROR tuner crashed; see " in said
    assert "all 2 trials failed: the disk is full" in said


def test_a_dead_dispatcher_is_said_and_ends_the_watch(manager, tmp_path, capsys, monkeypatch):
    class Process:
        def cmdline(self):
            return ["/venv/nni_node/node", "main.js", "--experiment-id", "exp"]

    monkeypatch.setattr(collect, "processes", lambda experiment: [Process()])
    manager({"status": "RUNNING", "errors": []}, [job("a", "SUCCEEDED")])
    lay(tmp_path, "a", worker="local-env")
    assert command(tmp_path, "--watch") == 0
    assert "the dispatcher of experiment exp has died, so no trial will start any more" in capsys.readouterr().out


def test_an_unknown_experiment_is_an_error_naming_the_known_ones(manager, tmp_path):
    manager({"status": "DONE"}, [])
    with pytest.raises(SystemExit, match=r"error: unknown experiment in .*'exq'. Did you mean 'exp'\? Known: exp"):
        collect.main(["exq", "--home", str(tmp_path)])


def test_a_platform_that_cannot_be_collected_is_an_error(manager, tmp_path):
    manager({"status": "DONE"}, [], service={"platform": "openpai"})
    assert "runs on 'openpai'; only local and remote ones" in command(tmp_path)


def test_ctrl_c_ends_a_watch_with_one_line(manager, tmp_path):
    manager({"status": "RUNNING", "errors": []}, [job("a", "RUNNING")])
    lay(tmp_path, "a", worker="local-env", summary={"status": "RUNNING"})
    # a shell that runs these tests in the background makes them, and what they start, deaf to SIGINT
    words = ["env", "--default-signal=INT", sys.executable, PROJECT / "search" / "collect.py", "exp", "--watch"]
    words += ["--outputs", tmp_path / "outputs"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as watch:
        for line in watch.stdout:
            if "looking again" in line:
                watch.send_signal(signal.SIGINT)
                break
        assert watch.stdout.read() == "\nstopped; what came so far stays, and the same command goes on from there\n"
        assert watch.wait(30) == 130


def test_remote_machines_are_read_from_nnis_canonical_params():
    params = {
        "trialCommand": "python train.py",
        "trialCodeDirectory": "/x/baseline",
        "experimentWorkingDirectory": "/home/me/nni-experiments",
        "trainingService": {
            "platform": "remote",
            "machineList": [{"host": "10.0.0.1", "port": 22, "user": "me", "sshKeyFile": "/k", "useActiveGpu": False}],
        },
    }
    search = search_of({"id": "exp", "params": params}, [], False)
    assert search.machines == [Machine("10.0.0.1", 22, "me", key_file="/k")]
    assert (search.root, search.code, search.model_dir) == ("", "", "")


def test_a_line_is_said_again_only_after_a_round_without_it(capsys):
    voice = Voice()
    for heard in (["x"], ["x", "x"], [], ["x"]):
        for line in heard:
            voice(line)
        voice.turn()
    assert capsys.readouterr().out == "x\nx\n"


# what it stands on


def test_a_new_machine_gets_a_line_of_its_own_in_known_hosts(tmp_path):
    known, key = tmp_path / ".ssh" / "known_hosts", paramiko.ECDSAKey.generate()
    line = f"new {key.get_name()} {key.get_base64()}\n"
    for before, after in ((None, ""), ("", ""), ("old ssh-rsa AAAA", "old ssh-rsa AAAA\n"), ("# x\n", "# x\n")):
        known.unlink(missing_ok=True)
        if before is not None:
            known.write_text(before)
        Remember().missing_host_key(None, "new", key)
        assert known.read_text() == after + line


@pytest.mark.parametrize(
    ("words", "environment", "counts"),
    [
        (["collect.py", "Ab3dE", "--watch"], {}, False),
        (["nnictl", "view", "Ab3dE"], {}, False),
        (["/venv/nni_node/main.js", "--experiment-id", "Ab3dE"], {}, True),
        (["/venv/nni_node/main.js", "--experiment-id", "other"], {}, False),
        (["-m", "nni", "--exp_params", "e30="], {"NNI_LOG_DIRECTORY": "/x/Ab3dE/log"}, True),
        (["train.py"], {"NNI_EXP_ID": "Ab3dE"}, True),
    ],
)
def test_only_what_is_nnis_or_a_trial_is_a_process_of_an_experiment(words, environment, counts):
    loop = "import time; print(flush=True); time.sleep(60)"
    with subprocess.Popen(
        [sys.executable, "-c", loop, *words], env=os.environ | environment, stdout=subprocess.PIPE
    ) as one:
        one.stdout.readline()
        found = [process.pid for process in processes("Ab3dE")]
        one.kill()
    assert found == [one.pid] * counts


# a real experiment


@pytest.mark.slow
def test_a_real_experiment_comes_home_while_it_runs_and_again_after_it_was_stopped(launch, drawn, tmp_path):
    config = small_search(drawn, tmp_path)
    config["trialCommand"] = config["trialCommand"].replace(str(tmp_path / "outputs"), "$NNI_OUTPUT_DIR/outputs")
    experiment = launch(config)
    words = [sys.executable, PROJECT / "search" / "collect.py", experiment.id, "--outputs", tmp_path / "home"]
    watched = subprocess.run([*words, "--watch", "--every", "1"], capture_output=True, text=True, timeout=240)
    assert watched.returncode == 0, watched.stdout + watched.stderr
    assert "2/2 trials home" in watched.stdout
    assert all_ended(experiment, 2)
    outputs = tmp_path / "home" / experiment.id
    found = lines(outputs)
    for trial in experiment.trials():
        summary = json.loads((outputs / trial.id / "summary.json").read_text())
        assert found[trial.id]["status"] == summary["status"] == "SUCCEEDED"
        assert found[trial.id]["objective"] == summary["metrics"]["val_accuracy"]
        assert found[trial.id]["parameters"] == trial.parameters
        assert len(found[trial.id]["intermediate"]) == 2
    experiment.stop()
    assert processes(experiment.id) == []
    (outputs / trial.id / "soft.csv").write_text("spoilt")
    again = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "trials of" in again.stdout
    assert lines(outputs) == found
    assert processes(experiment.id) == []  # the view that it was read through is gone
    submission = tmp_path / "submission.csv"
    files = sorted(outputs.glob("*/soft.csv"))
    vote = [sys.executable, PROJECT / "ensemble" / "soft_vote.py", *files, "-o", submission]
    subprocess.run(vote, check=True, capture_output=True)
    assert len(pd.read_csv(submission)) == 35


@pytest.mark.slow
def test_what_a_killed_manager_and_trial_leave_is_told_as_it_is(launch, drawn, tmp_path):
    config = small_search(drawn, tmp_path, maxTrialNumber=1, trialConcurrency=1)
    config["trialCommand"] = config["trialCommand"].replace("--epochs 2", "--epochs 2000")
    experiment = launch(config)
    folder = tmp_path / "outputs" / experiment.id
    wait(experiment, lambda: list(folder.glob("*/history.jsonl")), 120)
    for process in processes(experiment.id):
        process.kill()
    words = [sys.executable, PROJECT / "search" / "collect.py", experiment.id, "--outputs", tmp_path / "outputs"]
    with subprocess.Popen(["true"]) as zombie:  # as a killed manager is until its parent asks after it
        os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
        Experiments(str(experiment.home / "nni-experiments")).update_experiment(experiment.id, "pid", zombie.pid)
        told = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert f"the manager of experiment {experiment.id} is gone, though NNI's registry says " in told.stdout
    assert "1 INTERRUPTED" in told.stdout
    (summary,) = folder.glob("*/summary.json")
    assert json.loads(summary.read_text())["status"] == "INTERRUPTED"
    assert json.loads(summary.read_text())["error"] == KILLED
    assert processes(experiment.id) == []
