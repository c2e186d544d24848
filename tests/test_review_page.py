"""The review's page in a real browser: a whole review by keyboard, as wide as a laptop and as a phone.

The pictures lie in pytest's folders (--basetemp DIR keeps them): look at them when the page changes.
"""

import csv
import json
import signal

import numpy as np
import pytest
from devtools import CHROMIUM, browse
from PIL import Image
from test_review import Server, open_data

from config import Config
from dataset import read
from desk.verdicts import Store, live
from notes import origin

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed; make system does it"),
]

SHOWS = "document.querySelector('#photo > img')?.complete && document.querySelector('#photo > img').naturalWidth > 0"
SAVED = "document.getElementById('saved').textContent === 'saved'"
SPILT = """[...document.querySelectorAll("body *")]
.filter(one => one.checkVisibility() && !one.closest(".strip, #photo"))
.filter(one => one.getBoundingClientRect().right > innerWidth + 1).map(one => one.outerHTML.slice(0, 80))"""
# from the key's event to the frame in which the next photo stands, decoded: what follows the frame hears of it
STOPWATCH = """
window.spans = [];
addEventListener("keydown", () => {
  const start = performance.now(), before = document.querySelector("#photo").firstElementChild;
  const look = () => {
    const image = document.querySelector("#photo").firstElementChild;
    if (image === before || !image.complete) return requestAnimationFrame(look);
    const channel = new MessageChannel();
    channel.port1.onmessage = () => spans.push(performance.now() - start);
    requestAnimationFrame(() => channel.port2.postMessage(0));
  };
  requestAnimationFrame(look);
}, true);
"""


@pytest.fixture
def faces(data):
    """Drawn people, one of them with the other gender, one photo unreadable, and the suspects that tell of it."""
    table = data / "train" / "train.csv"
    with open(table) as file:
        rows = list(csv.DictReader(file))
    flipped = next(row for row in rows if row["id"] == "000004")
    flipped["gender"] = right = {"male": "female", "female": "male"}[flipped["gender"].lower()]
    right = {"male": "female", "female": "male"}[right]
    with open(table, "w") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    ids = open_data(data).train.ids
    first, broken = (next(photo for photo in ids if f"/{part}" in photo) for part in ("000004", "000001"))
    (data / broken).write_bytes((data / broken).read_bytes()[:200])
    lines = [
        "rank,path,person,field,label,suggested,probability,score,issue,evidence",
        f"1,{first},000004,gender,{flipped['gender']},{right},.9,.01,yes,7 of 7 photos look {right}",
    ]
    (data / "curation").mkdir()
    (data / "curation" / "suspects.csv").write_text("\n".join(lines) + "\n")
    return data, right, first, broken


@pytest.fixture
def tab(tmp_path):
    with browse(tmp_path / "profile") as tab:
        yield tab


@pytest.fixture
def start():
    running = []

    def begin(root, *words):
        running.append(Server(root, *words))
        return running[-1]

    yield begin
    for server in running:
        if server.process.poll() is None:
            server.stop()


def text(tab, selector):
    return tab.run(f"document.querySelector({selector!r}).innerText")


def said(root):
    (root / "curation").mkdir(exist_ok=True)
    store = Store(root / "curation" / "review.sqlite", origin(open_data(root)))
    log = store.read()
    store.close()
    return log


def test_a_photo_with_two_suspicions_stays_until_both_are_answered(faces, tab, start):
    data, right, first, _ = faces
    path = data / "curation" / "suspects.csv"
    given = next(one for one in open_data(data).fields if one.name == "mask")
    mask = given.values[open_data(data).train.ids.index(first)]
    other = "normal" if mask != "normal" else "mask"
    with open(path, "a") as file:
        file.write(f"2,{first},000004,mask,{mask},{other},.9,.02,yes,\n")
    server = start(data, "--reviewer", "anna")
    tab.open(f"{server.address}/?token={server.token}")
    tab.wait(SHOWS)
    tab.press("d")  # the second of the two
    assert text(tab, "#path") == first
    assert f"Looks like {right}" in text(tab, "#suspect")
    assert other not in text(tab, "#suspect")
    tab.press("s")
    assert text(tab, "#path") != first
    tab.wait(SAVED)
    assert {(one.field, one.value) for one in live(said(data))} == {("gender", right), ("mask", other)}
    tab.press("f")
    options = tab.run("[...document.querySelectorAll('#show option')].map(one => one.value)")
    assert "suspects of gender" in options
    tab.run("$('show').value = 'suspects of age'; $('show').dispatchEvent(new Event('input', { bubbles: true }))")
    tab.wait("$('filter-count').innerText.startsWith('0 photos')")


def test_a_whole_review_by_keyboard_ends_in_corrections_that_a_run_applies(faces, tab, start, tmp_path):
    data, right, first, broken = faces
    server = start(data, "--reviewer", "anna")
    tab.open(f"{server.address}/?token={server.token}")
    tab.wait(SHOWS)
    assert text(tab, "#path") == first  # the suspect comes first
    assert f"Looks like {right}" in text(tab, "#suspect")
    assert "7 of 7 photos" in text(tab, "#suspect")
    tab.wait("document.querySelectorAll('#person .thumb').length === 7")
    tab.picture(tmp_path / "look.png")

    # first pass: wrong, then a photo that cannot be read, then right, unsure, one that is taken back, wrong
    tab.press("w")
    assert text(tab, "#path") == broken
    tab.wait("document.querySelector('#photo .gone')?.innerText.includes('cannot be read')")
    tab.picture(tmp_path / "unreadable.png")
    tab.type("uru")
    path = text(tab, "#path")
    tab.press("w")
    tab.press("Backspace")
    assert text(tab, "#path") == path
    tab.press("ArrowRight")
    tab.press("ArrowLeft")
    tab.press("w")
    tab.wait(SAVED)
    assert [one.value for one in live(said(data))] == ["wrong", "unsure", "right", "unsure", "wrong"]
    assert "5 of 140 decided" in text(tab, "#progress")

    # second pass: those that are marked; the unreadable one stays unsure, the other becomes right
    tab.press("m")
    assert text(tab, "#progress").startswith("1 of 4")
    tab.press("ArrowRight")
    tab.press("ArrowRight")
    tab.press("r")
    tab.picture(tmp_path / "marked.png")

    # third pass: the person's gender by its number, and for the other photo a mask and an age
    tab.press("c")
    assert text(tab, "#progress").startswith("1 of 2")
    tab.press("45"[right == "female"])
    tab.picture(tmp_path / "correct.png")
    assert tab.run("document.querySelector('.label .changed').innerText") == right
    tab.press("Enter")
    tab.type("2y63")
    tab.press("Enter")
    assert "63 years" in text(tab, "#labels")
    tab.press("Enter")
    tab.wait("document.querySelector('#photo .end')")
    tab.picture(tmp_path / "end.png")

    # export
    tab.press("e")
    tab.wait("document.getElementById('export-told').innerText.includes('photos are decided')")
    tab.press("Enter")
    tab.wait("document.getElementById('export-done').innerText.startsWith('Written')")
    tab.picture(tmp_path / "export.png")
    assert tab.faults() == [] or all("422" in fault["text"] for fault in tab.faults())
    mended = read(str(data), "auto", Config().values())
    with open(data / "corrections.csv") as file:
        lines = [line[:4] for line in list(csv.reader(file))[2:]]
    assert sorted(lines) == sorted(
        [
            ["", "000004", "gender", right],
            [broken, broken.split("/")[2][:6], "", "unsure"],
            [path, path.split("/")[2].split("_")[0], "mask", "incorrect"],
            ["", path.split("/")[2].split("_")[0], "age", "63"],
        ]
    )
    changed = {
        photo.split("/")[2].split("_")[0]
        for photo, moved in zip(mended.train.ids, (mended.train.target != mended.train.given).any(1), strict=True)
        if moved
    }
    assert "000004" in changed


def test_a_hundred_decisions_go_as_fast_as_the_keys_and_the_next_photo_is_there(data, tab, start, record_property):
    server = start(data)
    tab.open(f"{server.address}/?token={server.token}")
    tab.wait(SHOWS)
    tab.run(STOPWATCH)
    for number in range(100):
        tab.press("rwu"[number % 3])
        tab.wait(f"spans.length > {number}")
        tab.run("new Promise(done => setTimeout(done, 150))")  # a hurried person's 6 a second
    spans = np.array(tab.run("spans"))
    record_property("key to next photo, ms", np.percentile(spans, [50, 95, 100]).round(1).tolist())
    print(
        "\nkey to next photo, ms: median {:.1f}, 95 % {:.1f}, most {:.1f}".format(*np.percentile(spans, [50, 95, 100]))
    )
    tab.wait(SAVED)
    assert [one.value for one in said(data)] == ["right", "wrong", "unsure"] * 33 + ["right"]
    assert len({one.path for one in said(data)}) == 100


def test_decisions_wait_while_the_server_is_gone_and_are_handed_in_when_it_is_back(data, tab, start):
    server = start(data)
    port = server.address.rpartition(":")[2]
    tab.open(f"{server.address}/?token={server.token}")
    tab.wait(SHOWS)
    tab.press("r")
    tab.wait(SAVED)
    server.stop(signal.SIGKILL)
    tab.type("wur")
    tab.press("Backspace")
    tab.wait("document.getElementById('saved').textContent === '4 wait here'")
    assert "The server does not answer. 4 decisions wait here" in text(tab, "#notice")
    assert tab.run("!dispatchEvent(new Event('beforeunload', {cancelable: true}))")  # closing asks first
    # what waits outlives the page too
    assert len(json.loads(tab.run("localStorage.getItem(Object.keys(localStorage)[0])"))) == 4
    start(data, "--port", port)
    tab.wait(SAVED)
    assert [one.value for one in live(said(data))] == ["right", "wrong", "unsure"]
    assert text(tab, "#notice") == ""


def test_a_decision_that_the_server_refuses_is_put_aside_and_holds_no_other_up(data, tab, start, tmp_path):
    """The log is moved away while the page is open, so that what the page undoes is not there."""
    server = start(data)
    port = server.address.rpartition(":")[2]
    tab.open(f"{server.address}/?token={server.token}")
    tab.wait(SHOWS)
    tab.press("w")
    tab.wait(SAVED)
    server.stop()
    for path in (data / "curation").glob("review.sqlite*"):
        path.rename(tmp_path / path.name)
    tab.press("Backspace")
    tab.type("ru")
    start(data, "--port", port)
    tab.wait(SAVED)
    assert [one.value for one in said(data)] == ["right", "unsure"]
    assert "The server refused 1 decision" in text(tab, "#notice")
    assert "could be undone" in text(tab, "#notice")
    tab.picture(tmp_path / "refused.png")
    tab.press("r")
    tab.wait(SAVED)
    assert [one.value for one in said(data)] == ["right", "unsure", "right"]
    assert "The server refused 1 decision" in text(tab, "#notice")  # as long as the page is open
    assert tab.run("dispatchEvent(new Event('beforeunload', {cancelable: true}))")
    kept = tab.run("Object.keys(localStorage).filter(name => name.startsWith('podium.refused.'))")
    assert [one["verdict"].keys() >= {"undoes"} for one in json.loads(tab.run(f"localStorage[{kept[0]!r}]"))] == [True]


def test_two_reviewers_are_kept_apart_compared_and_settle_what_they_disagree_on(data, tab, start, tmp_path):
    server = start(data)
    for name, keys in (("anna", "rrrr"), ("ben", "rrwr")):
        tab.open(f"{server.address}/?token={server.token}&reviewer={name}")
        tab.wait(f"document.getElementById('who')?.textContent === '{name}'")
        tab.wait(SHOWS)
        assert "0 of 140 decided" in text(tab, "#progress")
        tab.type(keys)
        tab.wait(SAVED)
    tab.press("e")
    tab.wait("document.querySelector('#agreement table')")
    assert "75 %" in text(tab, "#agreement")
    assert "1 disagreement is left out" in text(tab, "#agreement")
    tab.picture(tmp_path / "agreement.png")
    tab.press("Escape")
    tab.press("f")
    tab.run("document.getElementById('show').value = 'disagreed'; countFiltered()")
    tab.wait("document.getElementById('filter-count').innerText.startsWith('1 photo ')")
    tab.run("document.querySelector('#filter menu button:last-child').click()")
    tab.wait("!document.getElementById('said').hidden")
    assert "anna: right" in text(tab, "#said")
    assert "ben: wrong" in text(tab, "#said")
    tab.picture(tmp_path / "disagreed.png")
    tab.press("r")
    tab.wait(SAVED)
    assert said(data)[-1].settles


def test_several_labels_are_switched_by_number_and_kept_by_enter(tab, start, tmp_path):
    root = tmp_path / "atlas"
    (root / "raw" / "train").mkdir(parents=True)
    for sample in ("s", "t"):
        for level, colour in enumerate(("red", "green", "blue", "yellow")):
            Image.new("L", (64, 64), 40 * level + 60).save(root / "raw" / "train" / f"{sample}_{colour}.png")
    (root / "train.csv").write_text("Id,Target\ns,0 2\nt,11\n")
    server = start(root)
    tab.open(f"{server.address}/?token={server.token}")
    tab.wait(SHOWS)
    tab.type("wwc")
    tab.press("0")
    tab.type("1")
    tab.press("Enter")  # 1 alone, as 11 begins with it
    tab.type("11v")
    tab.picture(tmp_path / "atlas.png")
    tab.press("Enter")
    tab.wait(SAVED)
    assert text(tab, "#path") == "t"
    assert [one.value for one in said(root)][2:] == ["1 2 11"]


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 844)])
def test_nothing_overflows_in_any_pass(faces, tab, start, tmp_path, width, height):
    server = start(faces[0])
    tab.open(f"{server.address}/?token={server.token}", width, height)
    tab.wait(SHOWS)
    tab.type("ww")
    for key in ("l", "m", "c", "?", "f", "e", "p"):
        tab.press(key)
        tab.run("new Promise(done => setTimeout(done, 150))")
        tab.picture(tmp_path / f"{width}-{'help' if key == '?' else key}.png")
        spilt = tab.run(SPILT)
        assert spilt == [], key
        assert tab.run("document.documentElement.scrollWidth") <= width
        tab.press("Escape")
    photo = tab.run("document.querySelector('#photo').getBoundingClientRect().height")
    assert photo > height * 0.3
    shown = np.asarray(Image.open(tmp_path / f"{width}-l.png"))
    assert shown.shape[:2] == (height, width)
