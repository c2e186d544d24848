"""NNI's page in a real browser, during a real search."""

import re
import shutil
import subprocess
import urllib.request

import pytest
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
