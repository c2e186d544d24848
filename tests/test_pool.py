"""The points of a search: none twice, what became of each, and samplers that learn of it."""

import math
import statistics

import pytest
from optuna.trial import TrialState

from sampling.past import Past
from sampling.pool import Pool
from sampling.samplers import KNOW_STOPPED, SAMPLERS
from sampling.space import key, read_space


def choice(*options):
    return {"_type": "choice", "_value": list(options)}


FORTY_FIVE = {
    "lr": choice(1, 2, 3, 4, 5),
    "model": choice("a", "b", "c"),
    "size": {"_type": "randint", "_value": [0, 3]},
}
NINE = {"lr": choice(1, 2, 3), "size": {"_type": "randint", "_value": [0, 3]}}
BRANCHES = {
    "lr": choice(1, 2),
    "optimizer": choice({"_name": "SGD", "momentum": choice(0.0, 0.5, 0.9)}, {"_name": "Adam"}),
}
ENDLESS = {"lr": {"_type": "loguniform", "_value": [1e-4, 1]}, "model": choice("a", "b")}
SLOW = pytest.mark.slow  # a Gaussian process takes 0.1 s for each point
EACH = sorted(SAMPLERS.entries)


def pool(space=FORTY_FIVE, sampler="tpe", seed=0, startup=8, best=max):
    return Pool(read_space(space), sampler, seed, startup, best)


def values(pool):
    """(state, value) of each trial that the sampler knows."""
    return [(trial.state.name, trial.value) for trial in pool.study.trials]


@pytest.mark.parametrize("sampler", [pytest.param(name, marks=SLOW if name == "gp" else ()) for name in EACH])
def test_the_whole_space_comes_once_whatever_becomes_of_its_trials(sampler):
    own, live, seen = pool(sampler=sampler, startup=4), [], []
    while drawn := own.draw():
        seen.append(key(drawn[1]))
        live.append(drawn)
        if len(live) < 4:
            continue
        trial, point = live.pop(0)
        if len(seen) % 5 == 0:
            own.has_failed(trial)
        elif len(seen) % 7 == 0:
            own.stopped(trial, {1: 0.5, 2: 0.75})
        else:
            own.succeeded(trial, point["lr"] - point["size"])
    assert len(seen) == len(set(seen)) == 45
    assert own.draw() is None


@pytest.mark.parametrize("sampler", EACH)
@pytest.mark.parametrize(("space", "count"), [(NINE, 9), (BRANCHES, 8)])
def test_small_and_nested_spaces_come_once_too_with_all_trials_running(sampler, space, count):
    own, seen = pool(space, sampler, startup=2), []
    while drawn := own.draw():
        seen.append(key(drawn[1]))
    assert len(seen) == len(set(seen)) == count


def test_where_all_points_of_an_uncounted_space_are_used_the_search_ends():
    space = {"a": {"_type": "qnormal", "_value": [0, 1, 4]}}  # -4, 0 and 4 at most
    own, seen = pool(space, "random"), []
    while drawn := own.draw():
        seen.append(key(drawn[1]))
    assert 1 <= len(seen) == len(set(seen)) <= 3


def test_the_nearest_point_that_is_left_comes_for_one_that_was_there():
    own = pool({"lr": choice(1, 2, 3, 4, 5), "model": choice("a", "b")})
    numbers = own.space.numbers({"lr": 4, "model": "a"})
    left = [(4, "a"), (3, "a"), (5, "a"), (2, "a"), (1, "a"), (4, "b")]  # 0, 1/4, 1/4, 2/4, 3/4 and 1 away
    found = []
    for _ in left:
        point = own.unused(numbers)
        own.used.add(key(point))
        found.append((point["lr"], point["model"]))
    assert found[0] == (4, "a")
    assert set(found[1:3]) == {(3, "a"), (5, "a")}
    assert found[3:] == left[3:]


def test_which_of_two_points_as_near_comes_is_chance():
    found = set()
    for seed in range(20):
        own = pool({"lr": choice(1, 2, 3)}, seed=seed)
        own.used.add(key({"lr": 2}))
        found.add(own.unused({"lr": 1})["lr"])
    assert found == {1, 3}


@pytest.mark.parametrize("sampler", EACH)
def test_a_cancelled_point_may_come_again_and_teaches_nothing(sampler):
    own = pool(NINE, sampler, startup=3)
    drawn = [own.draw() for _ in range(9)]
    assert own.draw() is None
    own.give_back(*drawn[4])
    again = own.draw()
    assert again[1] == drawn[4][1]
    assert own.draw() is None
    assert drawn[4][0].number != again[0].number
    assert own.study.trials[drawn[4][0].number].state == TrialState.FAIL


def test_failed_trials_wait_for_a_worse_and_a_better_value_and_are_as_bad_as_the_worst():
    own = pool()
    first, second, third, fourth, fifth = (own.draw()[0] for _ in range(5))
    own.has_failed(first)
    assert values(own)[0] == ("RUNNING", None)
    own.succeeded(second, 0.9)
    assert values(own)[0] == ("RUNNING", None)  # 0.9 would praise it
    own.succeeded(third, 0.4)
    assert values(own)[:3] == [("COMPLETE", 0.4), ("COMPLETE", 0.9), ("COMPLETE", 0.4)]
    own.has_failed(fourth)
    assert values(own)[3] == ("COMPLETE", 0.4)
    own.succeeded(fifth, 0.1)
    own.has_failed(own.draw()[0])
    assert values(own)[5] == ("COMPLETE", 0.1)


def test_where_less_is_better_the_highest_value_is_the_worst():
    own = pool(best=min)
    for value in (0.9, 0.4):
        own.succeeded(own.draw()[0], value)
    own.has_failed(own.draw()[0])
    assert values(own)[2] == ("COMPLETE", 0.9)


@pytest.mark.parametrize("sampler", EACH)
def test_a_stopped_trial_has_the_value_it_had_at_that_epoch(sampler):
    own = pool(sampler=sampler)
    own.stopped(own.draw()[0], {1: 0.2, 2: 0.7, 5: 0.7})
    (trial,) = own.study.trials
    assert trial.value == 0.7
    if sampler in KNOW_STOPPED:
        assert (trial.state, trial.intermediate_values) == (TrialState.PRUNED, {1: 0.2, 2: 0.7, 5: 0.7})
    else:
        assert trial.state == TrialState.COMPLETE


def test_a_gaussian_process_and_cma_es_hear_of_stopped_trials_as_complete_ones():
    assert set(SAMPLERS.entries) - KNOW_STOPPED == {"gp", "cmaes"}  # neither uses PRUNED trials in Optuna 5


@pytest.mark.parametrize("sampler", EACH)
def test_what_became_of_earlier_trials_is_learnt_as_if_they_were_of_this_search(sampler):
    own = pool(sampler=sampler)
    for status, objective, curve in (
        ("FAILED", None, ()),
        ("SUCCEEDED", 0.5, (0.1, 0.5)),
        ("EARLY_STOPPED", None, (0.2, 0.6, 0.3)),
        ("SUCCEEDED", 0.25, ()),
    ):
        knobs = {"lr": 3, "model": "b", "size": 2}
        own.learn(Past(knobs, status, objective, curve), own.space.numbers(knobs))
    stopped = "PRUNED" if sampler in KNOW_STOPPED else "COMPLETE"
    failed = 0.25 if sampler in KNOW_STOPPED else 0.5  # told at the first worse value, 0.6 being another
    assert values(own) == [("COMPLETE", failed), ("COMPLETE", 0.5), (stopped, 0.6), ("COMPLETE", 0.25)]
    assert all(trial.params == {"lr": 2, "model": 1, "size": 2} for trial in own.study.trials)
    assert not own.used  # another search's point may be tried here
    assert own.draw()


@pytest.mark.parametrize(
    ("status", "objective", "curve"),
    [("SUCCEEDED", None, ()), ("SUCCEEDED", float("nan"), ()), ("EARLY_STOPPED", None, ()), ("INTERRUPTED", 0.3, ()),
     ("EARLY_STOPPED", None, (float("nan"),))],
)  # fmt: skip
def test_an_earlier_trial_that_says_nothing_is_refused(status, objective, curve):
    own = pool()
    with pytest.raises(ValueError, match=f"^{status}, but no objective is known$"):
        own.learn(Past({}, status, objective, curve), {"lr": 0, "model": 0, "size": 0})
    assert not own.study.trials


def searched(sampler, space, seed, count, value, startup=8, best=max, at_once=1, until=None):
    """The points of a search that is told value(point); it ends with the point `until`."""
    own, live, seen = pool(space, sampler, seed, startup, best), [], []
    while len(seen) < count and (not seen or seen[-1] != until):
        live.append(own.draw())
        seen.append(live[-1][1])
        if len(live) == at_once:
            trial, point = live.pop(0)
            own.succeeded(trial, value(point))
    return seen


@pytest.mark.parametrize("sampler", EACH)
def test_a_seed_repeats_the_search_and_another_gives_another(sampler):
    def lesson(point):
        return point["lr"] * 2 - point["size"]

    one, again, other = (searched(sampler, FORTY_FIVE, seed, 7, lesson, 4, at_once=2) for seed in (1, 1, 2))
    assert one == again
    assert one != other


GRID = {letter: choice(*range(5)) for letter in "abc"}  # 125 cells
BEST = {"a": 3, "b": 3, "c": 3}


def until_best(sampler, seed, better=1):
    """Trials until the best cell of a function that is best at one place of each knob."""
    best = max if better > 0 else min
    seen = searched(
        sampler,
        GRID,
        seed,
        125,
        lambda point: -better * sum((value - 3) ** 2 for value in point.values()),
        8,
        best,
        1,
        BEST,
    )
    assert seen[-1] == BEST
    return len(seen)


def test_tpe_finds_the_best_cell_far_sooner_than_chance():
    """Without repetition chance takes 63 on average, each number from 1 to 125 being as likely: the mean of 20 has a
    standard deviation of 36 / 20 ** 0.5 = 8."""
    assert 63 - 3 * 8 < statistics.mean(until_best("random", seed) for seed in range(20)) < 63 + 3 * 8
    assert statistics.mean(until_best("tpe", seed) for seed in range(20)) < 63 - 3 * 8


def test_tpe_minimises_too():
    assert statistics.mean(until_best("tpe", seed, better=-1) for seed in range(8)) < 63 - 2 * 36 / 8**0.5


def test_points_of_an_uncounted_space_go_to_where_it_is_good():
    """lr is loguniform from 1e-4 to 1 and best at 0.01: within a factor of 10 ** 0.25 of it is 1 of 8 by chance."""
    near = 0
    for seed in range(5):
        seen = searched("tpe", ENDLESS, seed, 30, lambda point: -abs(math.log10(point["lr"]) + 2))
        near += sum(abs(math.log10(point["lr"]) + 2) < 0.25 for point in seen[15:])
    assert near > 20  # of 75; by chance 9.4, with a standard deviation of 2.9


def test_the_grid_is_every_point_in_an_order_of_the_seed_and_refuses_what_has_no_end():
    orders = [[key(point) for point in searched("grid", NINE, seed, 9, lambda _: 0.0)] for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]
    assert set(orders[0]) == set(orders[2])
    with pytest.raises(
        ValueError, match="the sampler grid counts every point, and this search space has values without"
    ):
        pool(ENDLESS, "grid")
    with pytest.raises(ValueError, match="this search space has 1000000; write choices, or take the sampler random"):
        pool({letter: choice(*range(100)) for letter in "abc"}, "grid")


@pytest.mark.parametrize("sampler", EACH)
def test_what_waits_comes_first_in_its_order_and_keeps_the_knobs_it_has(sampler):
    own = pool(sampler=sampler)
    own.waiting = [own.space.numbers({"lr": 2, "model": "c", "size": 1}), own.space.numbers({"lr": 5}, partly=True)]
    first, second = own.draw()[1], own.draw()[1]
    assert first == {"lr": 2, "model": "c", "size": 1}
    assert second["lr"] == 5
    assert own.draw()[1] not in (first, second)
    assert own.waiting == []


def test_a_point_taken_from_elsewhere_is_that_point_and_is_used():
    own = pool()
    point = {"lr": 2, "model": "c", "size": 1}
    trial, same = own.take(point)
    assert same == point
    assert trial.params == {"lr": 1, "model": 2, "size": 1}
    assert own.used == {key(point)}
    with pytest.raises(ValueError, match="size is missing"):
        own.take({"lr": 2, "model": "c"})
