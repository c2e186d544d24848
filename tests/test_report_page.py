"""The report in a real browser, as wide as a phone and as a laptop.

The pictures lie in pytest's folders (--basetemp DIR keeps them): look at them when the page changes.
"""

import html
import json
import re
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image
from searches import write_blend, write_night, write_trial

from report import main

CHROMIUM = shutil.which("chromium")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--hide-scrollbars"),
    "--virtual-time-budget=20000",
)
FIGURES = 10  # weights, gains, curves, knobs, importance, confusion, F1, reliability; curves of two heads
WATCH = """<script>
const faults = [];
addEventListener("error", event => faults.push(event.message));
addEventListener("securitypolicyviolation", event => faults.push(event.blockedURI));
addEventListener("load", () => setTimeout(() => parent.postMessage({
  faults,
  width: innerWidth,
  wide: document.documentElement.scrollWidth,
  spilt: [...document.querySelectorAll("body *")].filter(one => one.getBoundingClientRect().right > innerWidth + 1
    && !one.closest(".js-plotly-plot")).map(one => one.outerHTML.slice(0, 80)),
  figures: [...document.querySelectorAll(".js-plotly-plot")].map(one => ({
    width: one.querySelector(".main-svg").getBoundingClientRect().width,
    room: one.getBoundingClientRect().width,
    marks: one.querySelectorAll(".trace path, .heatmaplayer image").length,
  })),
  photos: [...document.images].filter(one => one.naturalWidth > 0).length,
  broken: [...document.images].filter(one => one.naturalWidth === 0).length,
}, "*"), 500));
</script>"""
FRAME = """<body style="margin:0"><iframe src="{page}" style="border:0;width:{width}px;height:{height}px"></iframe>
<script>addEventListener("message", event => document.title = JSON.stringify(event.data))</script>"""

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed; make system does it"),
]


@pytest.fixture(scope="module")
def page(drawn, tmp_path_factory):
    """A report with everything in it, and a script of this test's that tells how it came out."""
    experiment = write_night(tmp_path_factory.mktemp("night") / "exp", drawn, trials=12)
    write_blend(experiment, drawn, "greedy", recommended="greedy")
    for head in ("mask", "age"):
        write_trial(experiment / f"{head}-model-of-a-rather-long-name", drawn, 2.0, head=head)
    main([str(experiment)])
    written = (experiment / "report.html").read_text()
    watched = experiment / "watched.html"
    watched.write_text(written.replace("<title>", f"{WATCH}<title>", 1))
    return watched


def browse(page, tmp_path, width, height, *words):
    """chromium's output; a frame, because its own window is never narrower than 500 pixels."""
    frame = tmp_path / "frame.html"
    frame.write_text(FRAME.format(page=page.as_uri(), width=width, height=height))
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={width},{height}", *words]
    return subprocess.run([*command, frame.as_uri()], capture_output=True, text=True, timeout=120, check=True).stdout


@pytest.mark.parametrize("width", [390, 1200])
def test_nothing_overflows_and_every_figure_is_drawn_without_errors(page, tmp_path, width):
    shown = browse(page, tmp_path, width, 900, "--dump-dom")
    told = json.loads(html.unescape(re.search(r"<title>(.*?)</title>", shown).group(1)))
    assert told["faults"] == []
    assert told["width"] == width
    assert told["spilt"] == []
    assert told["wide"] <= width + 1
    assert len(told["figures"]) == FIGURES
    for figure in told["figures"]:
        assert figure["width"] <= figure["room"] + 1
        assert figure["marks"] > 0
    assert told["photos"] > 12
    assert told["broken"] == 0


@pytest.mark.parametrize("width", [390, 1200])
def test_the_page_can_be_looked_at(page, tmp_path, width):
    picture = tmp_path / f"report-{width}.png"
    browse(page, tmp_path, width, 9000, f"--screenshot={picture}")
    shown = np.asarray(Image.open(picture).convert("RGB"))
    assert shown.shape[:2] == (9000, width)
    for colour in ((0, 114, 178), (213, 94, 0)):  # of bars and lines, and of what is recommended
        assert (shown == colour).all(axis=2).sum() > 100
