import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

import trial
from trial import Trial, parameters_on_record


@pytest.fixture
def manager():
    """A stand-in for NNI's manager: answers each request with the next of `answers`, the last one for ever."""
    answers, asked = [], []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            body = answers.pop(0) if len(answers) > 1 else answers[0]
            self.send_response(200 if body is not None else 500)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *words):
            pass

    server = HTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/prefix/env/local-env/abc", answers, asked
    server.shutdown()
    server.server_close()


def filed(*records):
    return {"trialJobId": "T1", "hyperParameters": [json.dumps(record) for record in records]}


def test_the_record_of_the_trial_s_own_id_is_asked_for_until_it_is_filed(manager, monkeypatch):
    channel, answers, asked = manager
    monkeypatch.setattr(trial.time, "sleep", lambda seconds: None)
    record = {"parameter_id": 3, "parameters": {"lr": 0.1}}
    answers += [None, {"trialJobId": "T1"}, filed(), filed(record)]
    assert parameters_on_record(channel, "T1") == record
    assert asked == ["/prefix/api/v1/nni/trial-jobs/T1"] * 4


def test_a_record_that_never_comes_is_an_error_that_says_what_to_check(manager, monkeypatch):
    channel, answers, _ = manager
    answers.append(filed())
    monkeypatch.setattr(trial, "RECORD_SECONDS", 0.5)
    with pytest.raises(RuntimeError, match=r"did not give this trial's parameters .*IndexError.* nniManagerIp"):
        parameters_on_record(channel, "T1")


def test_outside_nni_reports_go_nowhere():
    alone = Trial("", "", {})
    alone.report({"default": 1.0})
    alone.finish({"default": 1.0})
