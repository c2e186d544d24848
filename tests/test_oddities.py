from dataclasses import replace

import pytest

from survey.census import Measures
from survey.oddities import ODDITIES, oddities

PLAIN = Measures(width=384, height=512, mode="RGB", format="JPEG", brightness=0.5, contrast=0.2, colour=0.8)


@pytest.mark.parametrize(
    ("word", "change"),
    [
        ("unreadable", {"fault": "a.jpg: OSError: image file is truncated"}),
        ("blank", {"blank": True, "contrast": 0.0}),
        ("tiny", {"width": 95, "height": 126}),  # 96 is a quarter of 384
        ("huge", {"width": 384, "height": 2049}),
        ("sideways", {"width": 512, "height": 384}),
        ("dark", {"brightness": 0.05}),
        ("bright", {"brightness": 0.95}),
        ("grey", {"colour": 0.0}),
        ("turned", {"orientation": 6}),
        ("misnamed", {"misnamed": True}),
        ("cmyk", {"mode": "CMYK"}),
        ("deep", {"mode": "I;16"}),
        ("transparent", {"mode": "RGBA"}),
        ("animated", {"frames": 3}),
    ],
)
def test_each_oddity_is_found_among_plain_photos(word, change):
    found = oddities([*[PLAIN] * 30, replace(PLAIN, **change)])
    assert found[:-1] == [()] * 30
    assert found[-1] == (word,)


def test_every_oddity_is_tested_here():
    marks = test_each_oddity_is_found_among_plain_photos.pytestmark
    assert [word for word, _ in marks[0].args[1]] == list(ODDITIES)


def test_a_photo_just_within_the_usual_is_not_odd():
    edges = [replace(PLAIN, width=96, height=128), replace(PLAIN, height=2048), replace(PLAIN, width=384, height=400)]
    assert oddities([*[PLAIN] * 30, *edges])[30:] == [()] * 3


def test_what_most_photos_are_is_not_odd():
    night = replace(PLAIN, brightness=0.03)
    assert oddities([night] * 30) == [()] * 30
    mixed = [PLAIN] * 15 + [replace(PLAIN, width=512, height=384)] * 15
    assert oddities(mixed) == [()] * 30


def test_few_photos_make_no_custom_of_standing_or_lying():
    assert oddities([*[PLAIN] * 5, replace(PLAIN, width=512, height=384)]) == [()] * 6


def test_the_fourth_band_of_a_stacked_sample_is_no_transparency():
    assert oddities([replace(PLAIN, mode="RGBA", stacked=True, colour=float("nan"))] * 3) == [()] * 3


def test_no_photo_or_none_that_can_be_read_is_no_error():
    assert oddities([]) == []
    assert oddities([Measures(fault="a.jpg: gone")]) == [("unreadable",)]
