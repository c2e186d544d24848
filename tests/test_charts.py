import numpy as np
import pytest
from PIL import Image

from survey.charts import BLUE, ORANGE, WIDE, Bars, Portrait, draw, fit, save, scale_of

NOBODY = np.zeros((0, 2)), np.zeros(0)


def portrait(**changes):
    rng = np.random.default_rng(0)
    parts = {
        "title": "drawn",
        "subtitle": "30 labelled photos",
        "findings": (("3 photos are grey", False), ("2 photos cannot be read", True)),
        "classes": (Bars("mask, photos", (("mask", 20, "20"), ("normal", 10, "10"))),),
        "people": (Bars("Photos a person", (("7", 4, "4 people"),)),),
        "sizes": (rng.integers(100, 200, (30, 2)), rng.integers(100, 200, (9, 2))),
        "brightness": (rng.uniform(size=30), rng.uniform(size=9)),
        "photos": (("grey: a.jpg", Image.new("L", (300, 200), 99)),),
    }
    return Portrait(**(parts | changes))


def count(page, colour):
    """Pixels of about that colour, as edges are blended."""
    return int((np.abs(np.asarray(page).astype(int) - colour) < 30).all(axis=2).sum())


def test_bars_are_as_long_as_what_they_stand_for():
    bare = {"sizes": (NOBODY[0],) * 2, "brightness": (NOBODY[1],) * 2, "people": (), "photos": (), "findings": ()}
    long, short = (
        count(draw(portrait(classes=(Bars("label", (("a", 40, ""), ("b", n, ""))),), **bare)), BLUE) for n in (40, 10)
    )
    # two bars of 1 and 1, and of 1 and 1/4; edges are blended
    assert short / long == pytest.approx(1.25 / 2, abs=0.02)


def test_test_photos_are_orange_and_without_them_nothing_is():
    findings = (("3 photos are grey", False),)
    assert count(draw(portrait(findings=findings)), ORANGE) > 100
    alone = portrait(findings=findings, sizes=(np.array([[100, 120]]), NOBODY[0]), brightness=(np.ones(1), NOBODY[1]))
    assert count(draw(alone), ORANGE) == 0


def test_the_page_grows_with_what_it_shows():
    many = Bars("label", tuple((str(number), number, "") for number in range(60)))
    small, large = draw(portrait()), draw(portrait(classes=(many,)))
    assert small.width == large.width == WIDE
    assert large.height - small.height > 500
    odd = draw(portrait(photos=portrait().photos * 9))  # two rows of 8
    assert odd.height - small.height == 150 + 44


@pytest.mark.parametrize(
    "changes",
    [
        {"sizes": (NOBODY[0],) * 2, "brightness": (NOBODY[1],) * 2},
        {"findings": (), "classes": (), "people": (), "photos": ()},
        {"classes": (Bars("label", (("a", 0, "0"),)),)},
        {"classes": (Bars("label", (("a" * 300, 1, "1"), ("ä €", 100000, "1"))),), "subtitle": "x" * 400},
        {"sizes": (np.array([[1, 1], [9000, 12000]]), NOBODY[0])},
        {"photos": (("tiny: a", Image.new("RGB", (1, 1))), ("long: b", Image.new("CMYK", (4000, 3))))},
    ],
)
def test_a_page_of_little_or_strange_content_is_drawn(changes):
    assert draw(portrait(**changes)).width == WIDE


@pytest.mark.parametrize("sides", [[[384, 512]], [[48, 48], [200, 90]], [[20, 30], [6000, 4000]], [[1, 1]]])
def test_sizes_lie_within_the_axes_and_so_do_its_marks(sides):
    place, marks = scale_of(np.array(sides))
    places = [place(side) for side in np.unique(sides)]
    assert places == sorted(places)
    assert all(0 <= place(side) <= 1 for side in [*np.unique(sides), *marks])
    assert len(marks) <= 6


def test_text_is_cut_where_it_is_too_wide():
    assert fit("short", 200, 13) == "short"
    cut = fit("a long name of a class", 60, 13)
    assert cut.endswith("…")
    assert len(cut) < 15


def test_the_saved_picture_keeps_the_colours(tmp_path):
    page = draw(portrait())
    save(page, tmp_path / "stats.png")
    with Image.open(tmp_path / "stats.png") as saved:
        apart = np.abs(np.asarray(saved.convert("RGB")).astype(int) - np.asarray(page))
    assert apart.mean() < 1
