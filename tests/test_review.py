import http.client
import io
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from conftest import PROJECT
from PIL import Image

from config import Config
from dataset import read
from desk import pictures
from desk.gate import HEADERS, lasting_token, refusal
from desk.pictures import SIDES, Pictures
from desk.server import Desk, create
from desk.shortlist import read_suspects
from desk.verdicts import Store, Verdict, hold
from notes import origin
from review import main

TOKEN = "a-token"
NONE = {"groups": "none", "corrections": "none"}
SUSPECTS = "rank,path,person,field,label,suggested,probability,score,issue,evidence\n"


def open_data(root):
    return read(str(root), "auto", Config().values() | NONE)


@pytest.fixture
def photos(tmp_path):
    """A manifest of photos of every kind, and of things that are none."""
    root = tmp_path / "photos"
    root.mkdir()
    Image.new("RGB", (40, 20), (200, 10, 10)).save(root / "plain.jpg", quality=95)
    turned = Image.new("RGB", (40, 20))
    turned.getexif()[0x0112] = 6
    turned.save(root / "turned.jpg", exif=turned.getexif())
    Image.new("CMYK", (20, 20), (0, 255, 255, 0)).save(root / "printed.jpg", quality=95)
    Image.fromarray(np.full((20, 20), 40000, np.uint16)).save(root / "deep.png")
    Image.new("P", (20, 20)).save(root / "palette.png")
    Image.new("RGB", (3000, 1500)).save(root / "large.jpg")
    (root / "broken.jpg").write_bytes((root / "large.jpg").read_bytes()[:500])
    (root / "text.jpg").write_text("no photo")
    (tmp_path / "secret.png").write_bytes(b"")
    Image.new("RGB", (8, 8), (1, 2, 3)).save(tmp_path / "secret.png")
    (root / "link.png").symlink_to(tmp_path / "secret.png")
    (root / "inner.jpg").symlink_to("plain.jpg")
    names = [path.name for path in sorted(root.iterdir())]
    lines = [f"{name},{'ab'[number % 2]}" for number, name in enumerate([*names, "../secret.png"])]
    (root / "manifest.csv").write_text("\n".join(["path,label", *lines]) + "\n")
    return root


@pytest.fixture
def desk(photos, tmp_path):
    data = open_data(photos)
    store = Store(tmp_path / "review.sqlite", origin(data))
    yield Desk(data, store, Pictures(data), TOKEN, tmp_path, "anna")
    store.close()


@pytest.fixture
def client(desk):
    return create(desk).test_client()


def ask(client, path, **headers):
    return client.get(path, headers={"X-Token": TOKEN} | headers)


def tell(client, *verdicts, reviewer="anna", **headers):
    body = {"reviewer": reviewer, "verdicts": list(verdicts)}
    return client.post("/verdicts", json=body, headers={"X-Token": TOKEN} | headers)


def row_of(desk, name):
    return desk.data.train.ids.index(name)


def picture(client, desk, name, side=1024):
    answer = ask(client, f"/photo/{row_of(desk, name)}?side={side}")
    return answer, Image.open(io.BytesIO(answer.data)) if answer.status_code == 200 else answer.text


# who is let in


def test_nothing_is_answered_without_the_token(client):
    for path in ("/", "/data", "/photo/0", "/state?reviewer=anna", "/page/page.js", "/corrections.csv", "/nothing"):
        assert client.get(path).status_code == 403
        assert client.get(path, headers={"X-Token": "another"}).status_code == 403
    assert client.post("/verdicts", json={}).status_code == 403
    assert client.post("/export").status_code == 403
    assert client.get(f"/?token={TOKEN}").status_code == 200


@pytest.mark.parametrize(
    ("host", "let_in"),
    [
        ("127.0.0.1:8090", True),
        ("localhost:9000", True),
        ("[::1]:8090", True),
        (socket.gethostname(), True),
        ("192.168.1.7:8090", True),
        ("evil.example:8090", False),
        ("127.0.0.1.evil.example", False),
        ("localhost.evil.example", False),
        ("", False),
        ("[::1", False),
    ],
)
def test_a_strangers_name_for_this_machine_is_refused(host, let_in):
    assert (refusal("GET", host, None, TOKEN, TOKEN) == "") is let_in


def test_a_page_of_another_origin_cannot_write(client):
    verdict = {"key": "12345678", "row": 0, "field": "", "value": "right"}
    assert tell(client, verdict, Origin="http://evil.example").status_code == 403
    assert tell(client, verdict, Origin="null").status_code == 403
    assert tell(client, verdict, Origin="http://localhost").status_code == 200


def test_every_answer_has_the_headers_that_confine_the_page(client):
    for answer in (client.get("/"), ask(client, "/"), ask(client, "/data"), ask(client, "/nothing")):
        assert all(answer.headers[name] == value for name, value in HEADERS.items())
    assert "default-src 'self'" in HEADERS["Content-Security-Policy"]
    assert "unsafe" not in HEADERS["Content-Security-Policy"]


def test_the_page_names_nothing_outside_this_server():
    for file in (PROJECT / "curate" / "desk" / "page").iterdir():
        assert not re.search(r"https?:|//\w+\.\w+|@import|url\(", file.read_text()), file


def test_the_token_outlives_the_server_and_only_its_owner_reads_it(tmp_path):
    path = tmp_path / ".review.token"
    token = lasting_token(path)
    assert len(token) >= 32
    assert lasting_token(path) == token
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_text("")
    assert len(lasting_token(path)) >= 32


# photos


def test_photos_come_upright_in_colour_and_scaled(client, desk):
    _, plain = picture(client, desk, "plain.jpg")
    assert (plain.size, plain.mode) == ((40, 20), "RGB")
    assert picture(client, desk, "turned.jpg")[1].size == (20, 40)
    red, green, blue = picture(client, desk, "printed.jpg")[1].getpixel((5, 5))
    assert red > 200 > 60 > max(green, blue)
    assert picture(client, desk, "deep.png")[1].getpixel((5, 5)) == (156, 156, 156)  # 40000 / 65535 of 255
    assert max(picture(client, desk, "large.jpg")[1].size) == 1024
    assert max(picture(client, desk, "large.jpg", side=100)[1].size) == SIDES[0]
    assert picture(client, desk, "inner.jpg")[0].status_code == 200


def test_a_photo_that_cannot_be_read_says_why_and_not_where_it_lies(client, desk, photos):
    for name in ("broken.jpg", "text.jpg"):
        answer, reason = picture(client, desk, name)
        assert answer.status_code == 422
        assert reason.startswith("cannot be read")
        assert str(photos) not in reason
        assert answer.headers["Cache-Control"] == "no-store"
    Image.new("RGB", (9, 9)).save(photos / "text.jpg")  # mended while the page is open
    assert picture(client, desk, "text.jpg")[0].status_code == 200


def test_a_photo_that_changes_is_shown_anew_and_one_that_does_not_is_not_sent_twice(client, desk, photos):
    address = f"/photo/{row_of(desk, 'plain.jpg')}?side=512"
    first = ask(client, address)
    assert first.headers["Cache-Control"] == "private, no-cache"  # kept, but asked for each time
    again = ask(client, address, **{"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    Image.new("RGB", (40, 20), (10, 10, 200)).save(photos / "plain.jpg", quality=95)
    changed = ask(client, address, **{"If-None-Match": first.headers["ETag"]})
    assert changed.status_code == 200
    red, _, blue = Image.open(io.BytesIO(changed.data)).getpixel((5, 5))
    assert blue > 150 > 60 > red


@pytest.mark.parametrize("name", ["link.png", "../secret.png"])
def test_what_lies_outside_the_data_root_is_not_shown(client, desk, name):
    answer, reason = picture(client, desk, name)
    assert answer.status_code == 422
    assert "leads out of the data root" in reason
    assert "--also FOLDER" in reason


def test_a_folder_that_is_named_may_be_led_to(desk, tmp_path):
    allowed = Pictures(desk.data, [tmp_path])
    assert allowed.get(row_of(desk, "link.png"), 128).kind == "image/png"


def test_links_that_loop_lead_nowhere_and_special_files_are_left_alone(desk, photos):
    for name, make in (("plain.jpg", lambda path: path.symlink_to(path.name)), ("deep.png", os.mkfifo)):
        (photos / name).unlink()
        make(photos / name)
        assert Pictures(desk.data).get(row_of(desk, name), 128).fault


@pytest.mark.parametrize(
    "path",
    [
        "/photo/../manifest.csv",
        "/photo/..%2f..%2fsecret.png",
        "/photo/-1",
        "/photo/99999",
        "/photo/0?side=-1",
        "/photo/0?side=¹",
        "/page/../review.py",
        "/page/..%2freview.py",
        "/page/%2e%2e/review.py",
        "/page//etc/passwd",
        "/../../etc/passwd",
    ],
)
def test_no_address_leads_out_of_the_photos_and_the_page(client, path):
    answer = ask(client, path)
    assert answer.status_code in (308, 400, 404)
    assert b"root:" not in answer.data
    assert b"import" not in answer.data


def test_scaled_photos_are_kept_up_to_a_bound(desk, monkeypatch):
    made = []
    monkeypatch.setattr(pictures, "read", lambda *given: made.append(given[1]) or Image.new("RGB", (400, 400)))
    shelf = Pictures(desk.data, held=5000)
    for row in (0, 0, 1, 2, 3, 0):
        shelf.get(row_of(desk, desk.data.train.ids[row]), 512)
    assert shelf.size <= 5000
    assert len(made) in (4, 5)


def test_four_channels_are_shown_with_yellow_as_red_and_green_and_one_by_one(tmp_path):
    folder = tmp_path / "raw" / "train"
    folder.mkdir(parents=True)
    for sample in ("s", "t"):
        for colour, level in (("red", 10), ("green", 20), ("blue", 30), ("yellow", 90)):
            Image.new("L", (6, 6), level).save(folder / f"{sample}_{colour}.png")
    (tmp_path / "train.csv").write_text("Id,Target\ns,0 2\nt,1\n")
    shelf = Pictures(open_data(tmp_path))

    def colour(channel):
        return Image.open(io.BytesIO(shelf.get(0, 128, channel).content)).getpixel((2, 2))

    assert colour("") == (90, 90, 30)
    assert [colour(name) for name in ("red", "green", "blue", "yellow")] == [10, 20, 30, 90]


# decisions


def test_a_decision_is_kept_and_told_again_and_undone(client, desk):
    first = {"key": "key-0001", "row": 1, "field": "", "value": "wrong"}
    assert tell(client, first, {"key": "key-0002", "row": 2, "field": "label", "value": "b"}).json == {
        "saved": ["key-0001", "key-0002"]
    }
    assert tell(client, first).json == {"saved": ["key-0001"]}
    tell(client, {"key": "key-0003", "undoes": "key-0001"})
    state = ask(client, "/state?reviewer=anna").json
    assert state["verdicts"] == [{"key": "key-0002", "row": 2, "field": "label", "value": "b"}]
    assert ask(client, "/state?reviewer=ben").json["verdicts"] == []
    assert len(desk.store.read()) == 3


@pytest.mark.parametrize(
    ("verdict", "reason"),
    [
        ({"key": "12345678", "row": 99, "field": "", "value": "right"}, "there is no photo 99"),
        ({"key": "12345678", "row": True, "field": "", "value": "right"}, "there is no photo True"),
        ({"key": "12345678", "row": 0, "field": "", "value": "maybe"}, "not 'maybe'"),
        ({"key": "12345678", "row": 0, "field": "gender", "value": "a"}, "no field 'gender'"),
        ({"key": "12345678", "row": 0, "field": "label", "value": "c"}, "unknown .*'c'"),
        ({"key": "short", "row": 0, "field": "", "value": "right"}, "needs a key"),
        ({"key": "12345678", "undoes": "nothing there"}, "could be undone"),
        ("text", "needs a key"),
    ],
)
def test_what_is_no_verdict_is_refused_with_a_reason_and_nothing_is_kept(client, desk, verdict, reason):
    answer = tell(client, {"key": "whole-one", "row": 0, "field": "", "value": "right"}, verdict)
    assert answer.status_code == 400
    assert re.search(reason, answer.text)
    assert desk.store.read() == []


def test_reviewers_disagree_and_the_page_is_told_who_said_what(client):
    tell(client, {"key": "key-0001", "row": 1, "field": "label", "value": "a"})
    tell(client, {"key": "key-0002", "row": 1, "field": "label", "value": "b"}, reviewer="ben")
    told = ask(client, "/disagreements").json
    assert told["disagreements"] == [{"row": 1, "field": "label", "said": {"anna": "a", "ben": "b"}}]
    figures = {one["field"]: one for one in told["agreement"]}
    assert (figures["label"]["both"], figures["label"]["raw"]) == (1, 0)
    tell(client, {"key": "key-0003", "row": 1, "field": "label", "value": "b", "settles": True})
    assert ask(client, "/disagreements").json["disagreements"] == []


def test_the_page_writes_both_files_and_hands_them_out(client, desk, tmp_path):
    tell(client, {"key": "key-0001", "row": 1, "field": "label", "value": "a"})
    answer = client.post("/export", headers={"X-Token": TOKEN})
    assert "corrections.csv with 1 lines" in answer.json["told"]
    assert (tmp_path / "corrections.csv").read_text() == ask(client, "/corrections.csv").text
    assert (tmp_path / "classes.csv").read_text() == f"path,class\n{desk.data.train.ids[1]},a\n"
    (tmp_path / "corrections.csv").write_text("path,person,field,value,note\n")
    answer = client.post("/export", headers={"X-Token": TOKEN})
    assert answer.status_code == 400
    assert "not written by this review" in answer.text


def test_exports_of_many_threads_at_once_all_succeed(client, desk, tmp_path):
    tell(client, {"key": "key-0001", "row": 1, "field": "label", "value": "a"})
    app = create(desk)

    def export(_):
        return app.test_client().post("/export", headers={"X-Token": TOKEN}).status_code

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(export, range(60))) == {200}
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]


# suspects


def test_suspects_come_in_their_order_and_those_that_are_no_issue_only_order(photos, tmp_path):
    data = open_data(photos)
    first, second = data.train.ids[4], data.train.ids[1]
    path = tmp_path / "suspects.csv"
    path.write_text(f"{SUSPECTS}1,{first},,label,a,b,.9,.01,yes,looks b\n2,{second},,label,b,b,.9,.7,no,\n")
    assert [(one.row, one.suggested, one.issue) for one in read_suspects(data, path)] == [
        (4, "b", True),
        (1, "b", False),
    ]
    path.write_text(SUSPECTS)
    assert read_suspects(data, path) == []


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("1,other.jpg,,label,a,b,.9,.01,yes,", "no labelled photo 'other.jpg'"),
        ("1,broken.jpg,,gender,a,b,.9,.01,yes,", "no field 'gender'"),
        ("1,broken.jpg,,label,a,c,.9,.01,yes,", "cannot be 'c'"),
        ("1,broken.jpg,,label,b,a,.9,.01,yes,", "has label a, not b"),
        ("1,broken.jpg,,label,c,b,.9,.01,yes,", "label cannot be 'c'"),
    ],
)
def test_suspects_of_other_data_are_refused_by_line_with_a_cure(photos, tmp_path, line, reason):
    path = tmp_path / "suspects.csv"
    path.write_text(f"{SUSPECTS}{line}\n")
    with pytest.raises(ValueError, match=rf"line 2: .*{reason}.*suspects\.py"):
        read_suspects(open_data(photos), path)


@pytest.mark.parametrize(
    ("label", "suggested", "fault"),
    [("<25", ">=60", "<25"), ("<30", "<25", "<25"), ("<30", "130", "130"), ("²", "<30", "²"), ("130", "<30", "130")],
)
@pytest.mark.parametrize("corrected", [False, True])
def test_suspects_of_other_age_boundaries_are_refused_by_line_with_a_cure(data, label, suggested, fault, corrected):
    path, came = data / "suspects.csv", open_data(data)
    path.write_text(f"{SUSPECTS}1,{came.train.ids[0]},,age,{label},{suggested},.9,.01,yes,\n")
    with pytest.raises(ValueError, match=rf"line 2: age cannot be '{fault}'; .*suspects\.py"):
        read_suspects(came, path, corrected)


# the command


class Server:
    """review.py as a process of its own."""

    def __init__(self, root, *words):
        command = [sys.executable, "-u", PROJECT / "curate" / "review.py", root, "--port", "0", *words]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.said = ""
        for line in self.process.stdout:
            self.said += line
            if line.startswith("open "):
                self.address, self.token = line.split()[1].split("/?token=")
                break

    def post(self, *verdicts, reviewer="anna"):
        body = json.dumps({"reviewer": reviewer, "verdicts": verdicts}).encode()
        headers = {"X-Token": self.token, "Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.address}/verdicts", body, headers)
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.load(answer)["saved"]

    def stop(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        self.said += self.process.communicate(timeout=20)[0]
        return self.process.returncode


def fails(capsys, *words):
    with pytest.raises(SystemExit) as caught:
        main(list(map(str, words)))
    assert str(caught.value).startswith("error: ")
    return str(caught.value)


def test_a_killed_server_loses_nothing_that_it_acknowledged(photos):
    """Decisions from four senders while the server is killed, three times."""
    acknowledged, token, rng = [], None, random.Random(1)
    for turn in range(3):
        server = Server(photos)
        assert server.token == token or token is None  # so that an open page goes on
        token = server.token

        def send(sender, server=server, turn=turn):
            for number in range(10**6):
                key = f"{turn}-{sender}-{number:06d}"
                try:
                    acknowledged.extend(server.post({"key": key, "row": number % 9, "field": "", "value": "right"}))
                except (OSError, http.client.HTTPException, ValueError):
                    return

        senders = [threading.Thread(target=send, args=(sender,)) for sender in range(4)]
        before = len(acknowledged)
        for sender in senders:
            sender.start()
        while len(acknowledged) < before + 5:
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.2))
        assert server.stop(signal.SIGKILL) == -signal.SIGKILL
        for sender in senders:
            sender.join()
    store = Store(photos / "curation" / "review.sqlite", origin(open_data(photos)))
    kept = {one.key for one in store.read()}
    store.close()
    assert len(acknowledged) >= 15
    assert set(acknowledged) <= kept


def test_a_server_tells_its_address_and_ends_with_the_interrupt(photos):
    server = Server(photos)
    assert server.address.startswith("http://127.0.0.1:")
    with urllib.request.urlopen(f"{server.address}/?token={server.token}", timeout=20) as answer:
        assert b"<title>photos" in answer.read()
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(server.address, timeout=20)
    second = Server(photos)
    assert second.process.wait(20) == 1
    assert f"in use by process {server.process.pid} on" in second.said
    assert server.address in second.said
    second.process.stdout.close()
    assert server.stop(signal.SIGINT) == 0
    assert f"every decision is in {photos / 'curation' / 'review.sqlite'}" in server.said


def test_a_port_that_is_taken_is_named_with_a_cure(photos, capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert f"port {port} is taken; name another with --port" in fails(capsys, photos, "--port", port)
    assert "change --listen or --port" in fails(capsys, photos, "--port", 99999)


def test_data_that_cannot_be_reviewed_says_why(tmp_path, capsys):
    assert "is not a folder" in fails(capsys, tmp_path / "missing")
    (tmp_path / "manifest.csv").write_text("path,label\n")
    assert "has no rows" in fails(capsys, tmp_path)
    (tmp_path / "one.jpg").write_text("")
    (tmp_path / "manifest.csv").write_text("path,label\none.jpg,a\n")
    assert "photos of 1 class; 2 are needed" in fails(capsys, tmp_path)


def test_a_list_is_taken_in_and_exported_without_a_server(photos, tmp_path, capsys):
    listed = tmp_path / "list.csv"
    listed.write_text("person,change\nplain.jpg,swap\n")
    notes = tmp_path / "notes"
    assert "nothing to export" in fails(capsys, photos, "--export", "--notes_dir", photos)
    assert main([str(photos), "--import", str(listed), "--reviewer", "anna", "--notes_dir", str(notes)]) == 0
    assert "1 decisions taken in as anna's" in capsys.readouterr().out
    assert main([str(photos), "--export", "--notes_dir", str(notes)]) == 0
    assert "corrections.csv: 1 lines" in capsys.readouterr().out
    knobs = Config(notes_dir=str(notes)).values()
    assert read(str(photos), "auto", knobs).notes["corrections"]["photos"] == 1


def test_an_export_beside_a_running_server_disturbs_neither(photos, capsys):
    (photos / "curation").mkdir()
    path = photos / "curation" / "review.sqlite"
    lock, store = hold(path, ""), Store(path, origin(open_data(photos)))
    for number in range(3):
        store.append([Verdict(f"key-{number}", "anna", "plain.jpg", "plain.jpg", "", "right")])
        assert main([str(photos), "--export"]) == 0
        assert "1 photos with their class" in capsys.readouterr().out
    assert len(store.read()) == 3
    store.close()
    os.close(lock)


def test_a_list_that_was_undone_is_taken_in_again_by_the_command(photos, tmp_path, capsys):
    (tmp_path / "list.csv").write_text("plain.jpg,swap\n")
    words = [str(photos), "--import", str(tmp_path / "list.csv"), "--reviewer", "anna"]
    main(words)
    store = Store(photos / "curation" / "review.sqlite", origin(open_data(photos)))
    store.append([Verdict("undo-all", "anna", undoes=store.read()[0].key)])
    store.close()
    capsys.readouterr()
    main(words)
    assert "1 decisions taken in as anna's\n" in capsys.readouterr().out
    main(words)
    assert "0 decisions taken in as anna's; 1 were there" in capsys.readouterr().out


def test_a_server_that_is_told_to_end_leaves_its_log_in_one_file(photos):
    server = Server(photos)
    server.post({"key": "one-decision", "row": 0, "field": "", "value": "right"})
    assert server.stop(signal.SIGTERM) == 0
    assert not list((photos / "curation").glob("review.sqlite-*"))


def test_a_log_in_use_takes_no_list_in(photos, tmp_path, capsys):
    (photos / "curation").mkdir()
    lock = hold(photos / "curation" / "review.sqlite", "")
    (tmp_path / "list.csv").write_text("plain.jpg,swap\n")
    assert "in use by process" in fails(capsys, photos, "--import", tmp_path / "list.csv")
    os.close(lock)


def test_a_log_of_other_labels_is_refused(photos, tmp_path, capsys):
    (tmp_path / "list.csv").write_text("plain.jpg,swap\n")
    main([str(photos), "--import", str(tmp_path / "list.csv")])
    table = photos / "manifest.csv"
    table.write_text(table.read_text().replace("plain.jpg,a", "plain.jpg,x").replace("plain.jpg,b", "plain.jpg,x"))
    assert "holds decisions on other photos or labels" in fails(capsys, photos, "--export")


def test_a_log_is_carried_over_to_the_photos_that_are_left(photos, tmp_path, capsys):
    (tmp_path / "list.csv").write_text("plain.jpg,swap\nlarge.jpg,swap\n")
    main([str(photos), "--import", str(tmp_path / "list.csv")])
    (photos / "large.jpg").unlink()
    table = photos / "manifest.csv"
    table.write_text("".join(line for line in table.read_text().splitlines(True) if "large.jpg" not in line))
    assert "--carry_over goes on with the decisions on those that are there" in fails(capsys, photos, "--export")
    capsys.readouterr()
    (tmp_path / "more.csv").write_text("turned.jpg,swap\n")
    main([str(photos), "--import", str(tmp_path / "more.csv"), "--carry_over"])
    assert "carried over; 1 decisions were on photos that are gone" in capsys.readouterr().out
    main([str(photos), "--export"])
    found = read(str(photos), "auto", Config().values()).notes["corrections"]
    assert found["photos"] == 2
