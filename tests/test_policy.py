import json
import random

import pytest
import torch

import policy
from draws import Draws
from operations import OPERATIONS
from pixels import to_float
from policy import RANDOM_OPERATIONS, build_policy, random_policy, read_policy

KNOBS = {"resize": (16, 16), "mean": (0.5, 0.5, 0.5)}
GOOD = [[["shear_x", 0.4, 0.7], ["equalize", 0.6, 0]], [["rotate_90", 1, 0.0], ["invert", 0.5, 1]]]


def photos(count):
    return torch.randint(0, 256, (count, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def write(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


def apply(given, batch, seed=0):
    return build_policy(given, KNOBS)(batch, Draws(torch.Generator().manual_seed(seed), len(batch)))


def test_a_file_holds_sub_policies_and_where_they_are_from(tmp_path):
    expected = (
        (("shear_x", 0.4, 0.7), ("equalize", 0.6, 0.0)),
        (("rotate_90", 1.0, 0.0), ("invert", 0.5, 1.0)),
    )
    assert read_policy(write(tmp_path / "p.json", {"policy": GOOD})) == expected
    assert read_policy(write(tmp_path / "p.json", {"from": {"score": 0.5}, "policy": GOOD})) == expected


def test_a_file_is_looked_for_from_the_working_directory_and_then_from_baseline(tmp_path, monkeypatch):
    (tmp_path / "baseline").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.setattr(policy, "BASELINE", tmp_path / "baseline")
    monkeypatch.chdir(tmp_path / "here")
    write(tmp_path / "baseline" / "p.json", {"policy": GOOD[:1]})
    assert len(read_policy("p.json")) == 1
    write(tmp_path / "here" / "p.json", {"policy": GOOD})
    assert len(read_policy("p.json")) == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not JSON"),
        ("\xff", "is not JSON"),
        (GOOD, 'must hold {"policy": '),
        ({"policy": GOOD, "form": {}}, 'beside "policy" nothing but "from"'),
        ({"from": {}}, 'must hold {"policy": '),
        ({"policy": []}, "at least one sub-policy, but is []"),
        ({"policy": {"rotate": 1}}, "at least one sub-policy"),
        ({"policy": [GOOD[0], []]}, "sub-policy 2 must be a list of 2 operations, but is []"),
        ({"policy": [GOOD[0][:1]]}, "sub-policy 1 must be a list of 2 operations"),
        ({"policy": [GOOD[0] + GOOD[1]]}, "sub-policy 1 must be a list of 2 operations"),
        (
            {"policy": [[["invert", 0.5], ["invert", 0, 0]]]},
            "sub-policy 1, operation 1 must be [name, probability, magni",
        ),
        ({"policy": [["invert", "rotate"]]}, "operation 1 must be [name, probability, magnitude], but is 'invert'"),
        (
            {"policy": [GOOD[0], [["invert", 0, 0], ["sheer_x", 0, 0]]]},
            "sub-policy 2, operation 2: unknown operation 'sheer_x'. Did you mean 'shear_x'? Known: ",
        ),
        ({"policy": [[[["invert"], 0, 0], ["invert", 0, 0]]]}, "unknown operation ['invert']"),
        (
            {"policy": [[["invert", 1.2, 0], ["invert", 0, 0]]]},
            "the probability of invert must be a number from 0 to 1, but is 1.2",
        ),
        (
            {"policy": [[["rotate", 1, -0.1], ["invert", 0, 0]]]},
            "the magnitude of rotate must be a number from 0 to 1, but is -0.1",
        ),
        ({"policy": [[["rotate", 1, 30], ["invert", 0, 0]]]}, "the magnitude of rotate must be"),
        ({"policy": [[["rotate", "1", 0], ["invert", 0, 0]]]}, "must be a number from 0 to 1, but is '1'"),
        ({"policy": [[["rotate", True, 0], ["invert", 0, 0]]]}, "must be a number from 0 to 1, but is True"),
        ('{"policy": [[["rotate", NaN, 0], ["invert", 0, 0]]]}', "must be a number from 0 to 1, but is nan"),
    ],
)
def test_a_file_that_is_no_policy_is_an_error_that_says_where(tmp_path, content, message):
    path = tmp_path / "p.json"
    path.write_bytes(content.encode("latin-1") if isinstance(content, str) else json.dumps(content).encode())
    with pytest.raises(ValueError, match="p.json") as error:
        read_policy(str(path))
    assert message in str(error.value)


@pytest.mark.parametrize("source", ["gone.json", "", "."])
def test_a_file_that_is_not_there_is_an_error_that_says_where_it_was_looked_for(source, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="no such file") as error:
        read_policy(source)
    assert str(tmp_path) in str(error.value)
    assert "must not have one in its name" in str(error.value)


@pytest.mark.parametrize("number", ["", "-1", "x", "1.5", "٣"])
def test_a_random_policy_needs_its_number(number):
    with pytest.raises(ValueError, match="lacks a number; write policy:random:0"):
        read_policy(f"random:{number}")


def test_a_random_policy_has_5_sub_policies_of_2_operations_drawn_from_its_number_alone():
    state = random.getstate(), torch.get_rng_state()
    drawn = random_policy(7)
    assert random.getstate() == state[0]
    assert torch.equal(torch.get_rng_state(), state[1])
    assert [len(part) for part in drawn] == [2] * 5
    generator = random.Random(7)
    numbers = [generator.random() for _ in range(30)]
    first, last = drawn[0][0], drawn[4][1]
    assert first == (RANDOM_OPERATIONS[int(17 * numbers[0])], round(numbers[1], 2), round(numbers[2], 2))
    assert last == (RANDOM_OPERATIONS[int(17 * numbers[27])], round(numbers[28], 2), round(numbers[29], 2))
    assert read_policy("random:7") == drawn
    assert len({random_policy(number) for number in range(50)}) == 50


def test_random_policies_draw_all_operations_but_the_one_for_square_photos():
    assert set(RANDOM_OPERATIONS) == set(OPERATIONS.entries) - {"rotate_90"}
    assert {name for number in range(50) for part in random_policy(number) for name, _, _ in part} == set(
        RANDOM_OPERATIONS
    )


def test_a_random_policy_is_a_file_too(tmp_path):
    assert read_policy(write(tmp_path / "p.json", {"policy": random_policy(3)})) == random_policy(3)


def test_each_photo_gets_one_sub_policy_its_operations_in_order_each_with_its_probability():
    both = ((("horizontal_flip", 0.5, 0.0), ("invert", 0.25, 0.0)), (("vertical_flip", 1.0, 0.0), ("cutout", 0.0, 1.0)))
    one = photos(1)
    varied = apply(both, one.expand(4000, -1, -1, -1))
    plain = to_float(one)
    outcomes = {
        "nothing": (plain, 0.5 * 0.5 * 0.75),
        "flipped": (plain.flip(3), 0.5 * 0.5 * 0.75),
        "inverted": (1 - plain, 0.5 * 0.5 * 0.25),
        "both": (1 - plain.flip(3), 0.5 * 0.5 * 0.25),
        "the other": (plain.flip(2), 0.5),
    }
    counts = {name: (varied == photo).flatten(1).all(1).sum().item() for name, (photo, _) in outcomes.items()}
    assert sum(counts.values()) == 4000
    for name, (_, share) in outcomes.items():
        assert abs(counts[name] - 4000 * share) < 4 * (4000 * share * (1 - share)) ** 0.5


def test_the_operations_of_a_sub_policy_follow_each_other():
    part = ((("solarize", 1.0, 0.5), ("brightness", 1.0, 1.0)),)
    grey = torch.full((20, 3, 16, 16), 0.4)
    # 0.4 is under the threshold 0.502; in the other order 0.4 * 1.9 would be solarized to 0.24
    seen = {round(value, 4) for value in apply(part, grey)[:, 0, 0, 0].tolist()}
    assert seen == {0.76, 0.04}


def test_photos_of_one_operation_each_have_their_own_strength_sign_and_place():
    grey = torch.full((200, 3, 16, 16), 0.5)
    levels = apply(((("brightness", 1.0, 0.2), ("invert", 0.0, 0.0)),), grey)[:, 0, 0, 0]
    assert {round(level, 4) for level in levels.tolist()} == {0.41, 0.59}
    places = apply(((("cutout", 1.0, 1.0), ("invert", 0.0, 0.0)),), torch.ones(200, 3, 16, 16)).mean(1)
    assert len(places.unique(dim=0)) > 50


def test_the_photos_given_are_not_written_to():
    floats = to_float(photos(8)).clone()
    before = floats.clone()
    apply(random_policy(1), floats)
    assert torch.equal(floats, before)


def test_a_policy_that_turns_photos_needs_square_ones(tmp_path):
    with pytest.raises(ValueError, match="is not square"):
        build_policy(read_policy(write(tmp_path / "p.json", {"policy": GOOD})), KNOBS | {"resize": (16, 20)})
