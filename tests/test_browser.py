"""NNI's page in a real browser, during a real search."""

import re
import shutil
import subprocess
import urllib.request

import pytest
from devtools import browse
from test_live_search import on_record, planted_search
from walks import all_ended, toy_search, wait

CHROMIUM = shutil.which("chromium")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
    *("--virtual-time-budget=15000", "--window-size=1400,1000"),
)

SHEET = r'href="\./(static/css/[^"]+)"'

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed; make system does it"),
]


def page(address, profile):
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", "--dump-dom", address]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


def test_nni_s_page_shows_the_trials_of_a_search(launch, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    experiment = launch(toy_search(out, trials=2))
    wait(experiment, lambda: all_ended(experiment, 2), 120)
    shown = page(f"{experiment.page}/detail", tmp_path / "profile")
    finals = [float(number) for number in re.findall(r"([\d.]+) \(FINAL\)</div><div", shown)]
    trials = experiment.trials()
    assert finals == pytest.approx([trial.parameters["x"] for trial in trials], abs=1e-6)
    assert all(trial.id in shown for trial in trials)
    assert shown.count("SUCCEEDED</span>") == 2
    sheets = [urllib.request.urlopen(f"{experiment.page}/{name}").read().decode() for name in re.findall(SHEET, shown)]
    icons = set(re.findall(r'data-icon-name="(\w+)"', shown))
    assert len(icons) > 5
    drawn = set(re.findall(r'data-icon-name="(\w+)"', "".join(sheets)))
    assert icons <= drawn, f"icons without a letter, so empty boxes offline: {icons - drawn}"


ROWS = """[...document.querySelectorAll('.ms-DetailsRow')].map(row => [...row.querySelectorAll('[role=gridcell]')])
    .map(cells => cells.map(cell => cell.innerText.trim()))"""
HEADS = "[...document.querySelectorAll('[role=columnheader]')].map(one => one.innerText.trim())"
AXES = "[...document.querySelectorAll('svg text')].map(one => one.textContent)"


def press(tab, kind, words):
    """Clicks what has these words, once it is there."""
    found = f"[...document.querySelectorAll('{kind}')].find(one => one.innerText.includes({words!r}))"
    tab.wait(found)
    tab.run(f"{found}.click()")


def table(tab):
    """NNI's table of trials with all that was searched and told: {trial: {column: text}}."""
    press(tab, "button", "Add/Remove columns")
    for column in ("Intermediate results", "lr", "batch_size", "optimizer", "momentum", "macro_f1", "loss"):
        press(tab, ".ms-Dialog-main .ms-Checkbox label", column)
    press(tab, ".ms-Dialog-main button", "Save")
    tab.wait(f"{HEADS}.includes('loss (metric)')")
    heads = [head.partition(" (")[0] for head in tab.run(HEADS)]
    rows = [dict(zip(heads, row, strict=True)) for row in tab.run(ROWS)]
    return {row["ID"].split()[0]: row for row in rows}


def number(text):
    return float(text) if text else None


def test_nni_s_page_shows_what_our_tuner_and_assessor_did(launch, tmp_path):
    """Default metric, the others, states, durations, knobs of branches; three pictures of it are left."""
    experiment = launch(planted_search(tmp_path, 10))
    wait(experiment, lambda: experiment.status() == "DONE", 90)
    records = on_record(experiment)
    assert {record.status for record in records.values()} == {"SUCCEEDED", "EARLY_STOPPED"}
    (tmp_path / "profile").mkdir()
    with browse(tmp_path / "profile") as tab:
        tab.open(f"{experiment.page}/oview", 1600, 1000)
        best = max(record.objective or 0 for record in records.values())
        tab.wait(f"document.body?.innerText.includes('{best:.6f}')")
        tab.picture(tmp_path / "overview.png")
        tab.open(f"{experiment.page}/detail", 2400, 1400)
        shown = table(tab)
        tab.picture(tmp_path / "trials.png")
        press(tab, ".ms-Pivot button", "Hyper-parameter")
        tab.wait(f"{AXES}.includes('optimizer')")
        axes = tab.run(AXES)
        tab.picture(tmp_path / "knobs.png")
        for chart in ("Duration", "Intermediate result"):
            press(tab, ".ms-Pivot button", chart)
        assert [fault for fault in tab.faults() if "ERR_NAME_NOT_RESOLVED" not in str(fault)] == []
    assert set(shown) == set(records)
    for name, record in records.items():
        row, whole = shown[name], record.status == "SUCCEEDED"
        assert row["Status"] == record.status
        value, kind = row["Default metric"].split()
        assert float(value) == pytest.approx(record.objective if whole else record.intermediate[-1], abs=1e-6)
        assert kind == ("(FINAL)" if whole else "(LATEST)")
        assert int(row["Intermediate results"]) == len(record.intermediate)
        assert number(row["macro_f1"]) == (pytest.approx(record.objective / 2) if whole else None)
        assert number(row["loss"]) == (pytest.approx(1 - record.objective) if whole else None)
        assert int(row["Duration"].removesuffix("s")) == pytest.approx(record.seconds, abs=1)
        for knob in ("lr", "batch_size", "momentum"):
            assert number(row[knob]) == record.parameters.get(knob)
        assert row["optimizer"] == record.parameters["optimizer"]
    assert {"lr", "batch_size", "optimizer", "SGD", "Adam", "default", "macro_f1", "loss"} <= set(axes)
