import json
import os
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

import trial
from trial import Trial, manager_address, parameters_on_record, why_stopped


@pytest.fixture
def manager(monkeypatch):
    """A stand-in for NNI's manager: answers each request with the next of `answers`, the last one for ever."""
    answers, asked = [], []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            body = answers.pop(0) if len(answers) > 1 else answers[0]
            self.send_response(200 if body is not None else 500)
            self.end_headers()
            self.wfile.write(body.encode() if isinstance(body, str) else json.dumps(body).encode())

        def log_message(self, *words):
            pass

    server = HTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("NNI_PLATFORM", "local")
    monkeypatch.setenv("NNI_TRIAL_COMMAND_CHANNEL", f"http://127.0.0.1:{server.server_port}/prefix/env/local-env/abc")
    yield answers, asked
    server.shutdown()
    server.server_close()


def filed(*records):
    return {"trialJobId": "T1", "hyperParameters": [json.dumps(record) for record in records]}


def test_the_record_of_the_trial_s_own_id_is_asked_for_until_it_is_filed(manager, monkeypatch):
    answers, asked = manager
    monkeypatch.setattr(trial.time, "sleep", lambda seconds: None)
    record = {"parameter_id": 3, "parameters": {"lr": 0.1}}
    answers += [None, {"trialJobId": "T1"}, filed(), filed(record)]
    assert parameters_on_record("T1") == record
    assert asked == ["/prefix/api/v1/nni/trial-jobs/T1"] * 4


def test_a_record_that_never_comes_is_an_error_that_says_what_to_check(manager, monkeypatch):
    answers, _ = manager
    answers.append(filed())
    monkeypatch.setattr(trial, "RECORD_SECONDS", 0.5)
    with pytest.raises(RuntimeError, match=r"did not give this trial's parameters .*IndexError.* nniManagerIp"):
        parameters_on_record("T1")


def test_outside_nni_reports_go_nowhere():
    alone = Trial("", "", {})
    alone.report({"default": 1.0})
    alone.finish({"default": 1.0})
    assert alone.ending() == ("INTERRUPTED", "told to stop")


@pytest.mark.parametrize(
    ("line", "status", "reason"),
    [
        ('NNIManager received command from dispatcher: KI, "T1"', "EARLY_STOPPED", "the assessor stopped it"),
        ("(NNIManager) User cancelTrialJob: T1", "INTERRUPTED", "cancelled on NNI's page or with nnictl"),
        ("Stopping experiment, cleaning up ...", "INTERRUPTED", "its experiment was stopped"),
        ("(LocalV3.local) Stop trial T1", "EARLY_STOPPED", "it ran longer than maxTrialDuration"),
    ],
)
def test_why_a_trial_was_stopped_is_read_in_nni_s_log(manager, line, status, reason):
    answers, asked = manager
    answers += ["started\n", f'started\nreceived command from dispatcher: KI, "other"\n{line}\nStop trial T1\n']
    assert why_stopped("T1") == (status, reason)
    assert asked[-1] == "/prefix/logs/nnimanager.log"


def test_without_nni_s_log_a_stop_is_an_interruption(manager, monkeypatch):
    manager[0].append(None)
    monkeypatch.setattr(trial, "STOP_SECONDS", 0.3)
    assert why_stopped("T1") == ("INTERRUPTED", "told to stop")


def test_a_remote_trial_finds_the_manager_in_the_config_of_its_newest_keeper(tmp_path, monkeypatch):
    for number, port in enumerate((1000, 2000)):
        folder = tmp_path / f"trial_keeper_{number}"
        folder.mkdir()
        config = {"managerCommandChannel": f"ws://127.0.0.1:{port}/platform/remote/1"}
        (folder / "trial_keeper_config.json").write_text(json.dumps(config))
        os.utime(folder / "trial_keeper_config.json", (number, number))
    monkeypatch.setenv("NNI_PLATFORM", "remote")
    monkeypatch.setenv("NNI_TRIAL_COMMAND_CHANNEL", "http://localhost:3000/env/remote-worker1/T1")
    monkeypatch.setenv("NNI_OUTPUT_DIR", str(tmp_path / "trials" / "T1"))
    assert manager_address() == "http://127.0.0.1:2000"


def test_a_service_that_sends_parameters_with_the_trial_is_taken_at_its_word(monkeypatch):
    """NNI's Kubernetes services have no command channel, and nothing that could be mixed up."""
    import nni

    monkeypatch.delenv("NNI_TRIAL_COMMAND_CHANNEL", raising=False)
    monkeypatch.setenv("NNI_PLATFORM", "unittest")
    record = {"parameter_id": 0, "parameters": {"lr": 0.1}}
    monkeypatch.setattr(nni, "get_next_parameter", lambda: record["parameters"])
    monkeypatch.setattr(nni, "get_experiment_id", lambda: "E")
    monkeypatch.setattr(nni, "get_trial_id", lambda: "T")
    monkeypatch.setattr(nni.trial, "_params", record)
    monkeypatch.setattr(trial, "end_with_keeper", lambda orphaned: None)
    started = trial.start_trial()
    assert (started.experiment, started.id, started.parameters) == ("E", "T", {"lr": 0.1})
    assert started.ending() == ("INTERRUPTED", "told to stop")
