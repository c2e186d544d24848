"""States that tell the truth, in real experiments: what died, failed or was stopped early is called so."""

import json
import sqlite3
import urllib.error
import urllib.request

import psutil
import pytest
from conftest import PROJECT
from released import released_nni
from walks import all_ended, brief_search, toy_search, wait, wait_for

from experiment import nnictl, processes

pytestmark = pytest.mark.slow


def slow_search(folder, trials, reports=600):
    out = folder / "out"
    out.mkdir(parents=True)
    config = toy_search(out, trials)
    return config | {"trialCommand": f"{config['trialCommand'].replace('late_trial', 'slow_trial')} {reports}"}


def assessed(config):
    name = {"className": "strict_assessor.Strict", "codeDirectory": str(PROJECT / "tests" / "fixtures")}
    return config | {"assessor": name}


def endings(folder):
    return [tuple(json.loads(file.read_text())) for file in (folder / "out").glob("*.json")]


def of_kind(experiment, word):
    return [process for process in processes(experiment.id) if word in " ".join(process.cmdline())]


def test_a_trial_that_the_assessor_stops_is_early_stopped_for_itself_and_on_nni_s_page(launch, tmp_path):
    experiment = launch(assessed(slow_search(tmp_path / "search", 2)))
    wait(experiment, lambda: all_ended(experiment, 2), 90)
    assert [trial.status for trial in experiment.trials()] == ["EARLY_STOPPED"] * 2
    assert endings(tmp_path / "search") == [("EARLY_STOPPED", "the assessor stopped it")] * 2


def test_as_released_nni_calls_it_cancelled_and_the_trial_still_knows_better(launch, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(released_nni(tmp_path / "released")))
    experiment = launch(assessed(slow_search(tmp_path / "search", 1)))
    wait(experiment, lambda: all_ended(experiment, 1), 90)
    assert [trial.status for trial in experiment.trials()] == ["USER_CANCELED"]
    assert endings(tmp_path / "search") == [("EARLY_STOPPED", "the assessor stopped it")]
    log = experiment.trial_file(experiment.trials()[0].id, "trial.log")
    assert "the NNI that manages this search is not repaired" in log
    assert "the NNI of this machine is not repaired" in log


def test_a_trial_over_its_time_is_early_stopped_and_a_cancelled_one_interrupted(launch, tmp_path):
    experiment = launch(slow_search(tmp_path / "search", 2) | {"maxTrialDuration": "25s"})
    wait(experiment, lambda: len(list((tmp_path / "search" / "out").glob("*.started"))) == 2, 60)
    cancelled, overdue = (trial.id for trial in experiment.trials())
    assert nnictl(tmp_path, "trial", "kill", experiment.id, "--trial_id", cancelled).returncode == 0
    wait(experiment, lambda: all_ended(experiment, 2), 60)
    ended = {trial.id: trial.status for trial in experiment.trials()}
    assert ended == {cancelled: "USER_CANCELED", overdue: "EARLY_STOPPED"}
    reasons = {file.stem: json.loads(file.read_text()) for file in (tmp_path / "search/out").glob("*.json")}
    assert reasons[cancelled] == ["INTERRUPTED", "cancelled on NNI's page or with nnictl"]
    assert reasons[overdue] == ["EARLY_STOPPED", "it ran longer than maxTrialDuration"]


def test_a_dead_tuner_is_noticed_and_said(launch, tmp_path):
    config = brief_search(tmp_path / "search", 20)
    config["tuner"]["classArgs"]["dies_at"] = 2
    experiment = launch(config)
    with pytest.raises(RuntimeError, match="tuner's process has ended.*dispatcher.log"):
        wait_for(lambda: experiment.status() == "DONE", 60)
    assert of_kind(experiment, "--exp_params") == []


def test_an_experiment_whose_trials_all_failed_is_not_done(launch, tmp_path):
    experiment = launch(brief_search(tmp_path / "search", 3, words="0 3"))
    with pytest.raises(RuntimeError, match="All 3 trials have failed"):
        wait_for(lambda: experiment.status() == "DONE", 60)
    assert [trial.status for trial in experiment.trials()] == ["FAILED"] * 3


def test_one_success_makes_an_experiment_done(launch, tmp_path):
    experiment = launch(brief_search(tmp_path / "search", 2))
    wait(experiment, lambda: experiment.status() == "DONE", 60)
    (manager,) = of_kind(experiment, "main.js")
    left = [file.path for file in manager.open_files() if file.path.endswith(("trial.stdout", "trial.stderr"))]
    assert left == [], "files of ended trials stay open"


def test_a_trial_that_somebody_kills_has_failed(launch, tmp_path):
    experiment = launch(slow_search(tmp_path / "search", 1))
    wait(experiment, lambda: list((tmp_path / "search" / "out").glob("*.started")), 60)
    for process in of_kind(experiment, "slow_trial"):
        process.kill()
    wait(experiment, lambda: all_ended(experiment, 1), 30)
    assert [trial.status for trial in experiment.trials()] == ["FAILED"]


def test_a_killed_manager_leaves_no_orphans_and_resume_goes_on(launch, tmp_path):
    folder = tmp_path / "search"
    experiment = launch(slow_search(folder, 4, reports=8))
    wait(experiment, lambda: [trial.status for trial in experiment.trials()].count("SUCCEEDED") >= 1, 90)
    wait(experiment, lambda: len(list((folder / "out").glob("*.started"))) >= 3, 60)
    before = {trial.id: (trial.number, trial.parameters) for trial in experiment.trials()}
    (manager,) = of_kind(experiment, "main.js")
    manager.kill()
    psutil.wait_procs([manager], 10)
    wait_for(lambda: processes(experiment.id) == [], 20, lambda: str(processes(experiment.id)))
    gone = ("INTERRUPTED", "NNI's process that started it is gone")
    assert set(endings(folder)) == {gone}
    resumed = nnictl(tmp_path, "resume", experiment.id, "--port", str(experiment.port))
    assert resumed.returncode == 0, resumed.stdout
    wait(experiment, lambda: all_ended(experiment, 4), 120)
    after = {trial.id: (trial.number, trial.parameters) for trial in experiment.trials()}
    assert after | before == after, "a trial was lost or changed"
    assert sorted(number for number, _ in after.values()) == [0, 1, 2, 3]
    assert [trial.status for trial in experiment.trials()] == ["SUCCEEDED"] * 4
    filed = sqlite3.connect(tmp_path / "nni-experiments" / experiment.id / "db" / "nni.sqlite")
    rows = filed.execute("select data from TrialJobEvent where data like '{%'").fetchall()
    filed.close()
    numbers = {json.loads(data)["parameter_id"]: json.loads(data)["parameters"]["x"] for (data,) in rows}
    assert len(numbers) == 4, "a parameter_id was given twice"


def test_only_this_machine_s_loopback_is_served_and_files_have_plain_names(launch, tmp_path):
    experiment = launch(brief_search(tmp_path / "search", 1))
    wait(experiment, lambda: all_ended(experiment, 1), 60)
    listening = [
        connection.laddr.ip
        for process in processes(experiment.id)
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert listening == ["127.0.0.1"]
    trial = experiment.trials()[0].id
    address = f"{experiment.page}/api/v1/nni/trial-file/{trial}"
    assert b"Connect to trial command channel" in urllib.request.urlopen(f"{address}/trial.log").read()
    for name in ("..%2F..%2F..%2F..%2Fdb%2Fnni.sqlite", "..%2Ftrial.log", ".hidden", "%2Fetc%2Fpasswd"):
        with pytest.raises(urllib.error.HTTPError, match="500"):
            urllib.request.urlopen(f"{address}/{name}")
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(f"{experiment.page}/api/v1/nni/trial-file/nobody/trial.log")


def test_a_command_of_several_is_stopped_whole(launch, tmp_path):
    config = slow_search(tmp_path / "search", 1)
    experiment = launch(config | {"trialCommand": f"true && {config['trialCommand']} | cat && true"})
    wait(experiment, lambda: list((tmp_path / "search" / "out").glob("*.started")), 60)
    (trial,) = experiment.trials()
    nnictl(tmp_path, "trial", "kill", experiment.id, "--trial_id", trial.id)
    wait(experiment, lambda: all_ended(experiment, 1), 30)
    wait_for(lambda: of_kind(experiment, "slow_trial") == [], 10)
