"""Our tuner behind NNI's own dispatcher: how trials end, trials.jsonl, resumes, changed spaces, earlier trials."""

import json
import math
import threading
import time

import pytest
from dispatcher import CommandType, Dispatcher
from library_of_runs import answers_of, make_run
from nni.tuner import Tuner

import ledger
from sampling.space import key
from tuner import OptunaTuner

SPACE = {
    "lr": {"_type": "choice", "_value": [1, 2, 3, 4, 5]},
    "model": {"_type": "choice", "_value": ["a", "b", "c"]},
    "size": {"_type": "quniform", "_value": [0, 2, 1]},
}  # 45 points
OPTIMIZERS = {
    "_type": "choice",
    "_value": [{"_name": "SGD", "momentum": {"_type": "choice", "_value": [0.0, 0.5, 0.9]}}, {"_name": "Adam"}],
}
OPENED = []  # the test's tuners, whose files it closes
ENDED = {"status", "objective", "intermediate", "metrics", "error", "number", "parameters"}


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Under NNI, the folder that an experiment has in outputs/."""
    monkeypatch.setenv("NNI_LOG_DIRECTORY", str(tmp_path / "nni-experiments" / "exp1" / "log"))
    yield tmp_path / "outputs" / "exp1"
    for own in OPENED:
        leave(own)
    OPENED.clear()


def begin(home, space=SPACE, **given):
    """(tuner, dispatcher) of a search, or of one that goes on."""
    own = OptunaTuner(outputs=str(home.parent), **{"seed": 0} | given)
    OPENED.append(own)
    return own, Dispatcher(own, space=space)


def leave(tuner):
    """Its process ends."""
    if tuner.journal:
        tuner.journal.file.close()


def lines(home):
    return {name: {word: line[word] for word in ENDED} for name, line in ledger.read(home / "trials.jsonl").items()}


def states(tuner):
    return [(trial.state.name, trial.value) for trial in tuner.pool.study.trials]


def told(caplog, word):
    return [record.getMessage() for record in caplog.records if word in record.getMessage()]


# --- what trials end with


def test_a_result_is_learnt_and_told_in_trials_jsonl_with_its_reports(home):
    own, search = begin(home)
    ((number, point),) = search.ask().items()
    search.report(number, {"default": 0.25, "macro_f1": 0.2, "epoch": 1, "of": 2}, 0)
    search.report(number, {"default": 0.5, "macro_f1": 0.4, "epoch": 2, "of": 2}, 1)
    search.metric(number, {"default": 0.5, "macro_f1": 0.4})
    assert lines(home)["job0"]["intermediate"] == []  # until the trial's end
    search.end(number)
    assert states(own) == [("COMPLETE", 0.5)]
    assert lines(home)["job0"] == {
        "number": 0,
        "parameters": point,
        "status": "SUCCEEDED",
        "metrics": {"val_macro_f1": 0.4},
        "objective": 0.5,
        "intermediate": [0.25, 0.5],
        "error": None,
    }
    (line,) = ledger.read(home / "trials.jsonl").values()
    assert line["seconds"] >= 0
    assert line["started"].endswith("+00:00")
    assert own.live == {}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (math.nan, "its final result is nan, no number"),
        ({"default": math.inf}, "its final result is {'default': inf}, no number"),
        (None, "its final result is None, no number"),
        ("good", "its final result is 'good', no number"),
        ([0.5], "its final result is [0.5], no number"),
        ({"accuracy": 0.5}, "its final result is {'accuracy': 0.5}, no number"),
        ({"default": None}, "no number"),
        (True, "no number"),
    ],
)
def test_a_result_that_is_no_number_is_a_failure_and_the_search_goes_on(home, value, words):
    own, search = begin(home)
    search.ask(3)
    search.finish(1, 0.75)
    search.finish(0, value)
    assert states(own)[:2] == [("RUNNING", None), ("COMPLETE", 0.75)]  # it waits for a value to compare with
    search.finish(2, 0.25)
    assert states(own)[0] == ("COMPLETE", 0.25)
    line = lines(home)["job0"]
    assert (line["status"], line["objective"]) == ("FAILED", None)
    assert line["error"].endswith(words)
    assert len(search.ask()) == 1


def test_a_trial_that_reports_nothing_has_failed_once_it_ends(home):
    own, search = begin(home)
    search.ask(2)
    search.finish(0, 0.5)
    search.end(1)
    line = lines(home)["job1"]
    assert (line["status"], line["error"]) == ("FAILED", "it reported no final result")
    assert own.live == {}


def test_a_failed_trial_is_as_bad_as_the_worst_and_its_reports_are_kept(home):
    own, search = begin(home)
    search.ask(3)
    search.finish(0, 0.75)
    search.finish(1, 0.5)
    search.report(2, {"default": 0.9, "epoch": 1, "of": 3}, 0)
    search.end(2, "FAILED")
    assert states(own)[2] == ("COMPLETE", 0.5)
    assert lines(home)["job2"] | {"parameters": 0} == {
        "number": 2,
        "parameters": 0,
        "status": "FAILED",
        "metrics": {},
        "objective": None,
        "intermediate": [0.9],
        "error": None,
    }


def test_an_early_stopped_trial_counts_with_the_best_that_it_had(home):
    own, search = begin(home)
    search.ask()
    for sequence, value in enumerate((0.25, 0.75, math.nan, 0.5)):
        search.report(0, {"default": value, "epoch": sequence + 1, "of": 9}, sequence)
    search.end(0, "EARLY_STOPPED")
    assert states(own) == [("PRUNED", 0.75)]
    assert own.pool.study.trials[0].intermediate_values == {1: 0.25, 2: 0.75, 4: 0.75}
    line = lines(home)["job0"]
    assert line["status"] == "EARLY_STOPPED"
    assert line["intermediate"] == [0.25, 0.75, None, 0.5]  # JSON knows no NaN


def test_an_early_stopped_trial_of_folds_counts_with_the_mean_over_those_it_had(home):
    own, search = begin(home)
    search.ask()
    search.report(0, {"default": 0.75, "folds": 1, "of": 5}, 0)
    search.report(0, {"default": 0.5, "folds": 2, "of": 5}, 1)
    search.end(0, "EARLY_STOPPED")
    assert states(own) == [("PRUNED", 0.5)]  # not that of a lucky first fold


def test_an_early_stopped_trial_without_a_number_has_failed(home):
    _, search = begin(home)
    search.ask()
    search.report(0, math.nan, 0)
    search.end(0, "EARLY_STOPPED")
    assert lines(home)["job0"]["status"] == "FAILED"
    assert lines(home)["job0"]["error"] == "it was stopped before it reported a number"


@pytest.mark.parametrize("event", ["USER_CANCELED", "SYS_CANCELED"])
def test_a_cancelled_trial_teaches_nothing_and_its_point_may_come_again(home, event):
    own, search = begin(home, {"lr": SPACE["lr"]})
    asked = search.ask(5)
    assert (search.ask(), search.ended) == ({}, True)
    search.report(3, 0.5, 0)
    number = own.live[3].trial.number
    search.end(3, event)
    assert states(own)[number] == ("FAIL", None)  # Optuna's word for one it passes over
    assert lines(home)["job3"]["status"] == "INTERRUPTED"
    assert search.ask() == {6: asked[3]}  # number 5 found nothing


def test_a_result_that_comes_twice_or_of_a_trial_nobody_knows_does_no_harm(home, caplog):
    own, search = begin(home)
    search.ask()
    search.finish(0, 0.5)
    search.metric(0, 0.9)
    own.receive_trial_result(99, {}, 0.7, trial_job_id="job99")
    own.trial_end(98, False, trial_job_id="job98", event="FAILED", history=[])
    assert states(own) == [("COMPLETE", 0.5)]
    assert lines(home).keys() == {"job0"}
    assert told(caplog, "trial 99") == [
        "the result of trial 99 is not learnt from: it is not known, or has ended before"
    ]


def test_a_trial_that_is_stopped_after_its_result_keeps_it(home):
    own, search = begin(home)
    search.ask()
    search.report(0, 0.5, 0)
    search.metric(0, 0.5)
    search.end(0, "EARLY_STOPPED")
    assert states(own) == [("COMPLETE", 0.5)]
    assert lines(home)["job0"]["status"] == "SUCCEEDED"
    assert lines(home)["job0"]["intermediate"] == [0.5]


def test_an_nni_that_is_not_repaired_tells_less_and_the_tuner_lives(home):
    own, _ = begin(home)
    for number in range(4):
        own.generate_parameters(number)
    own.receive_trial_result(0, {}, {"default": 0.5}, customized=False, trial_job_id="j")
    own.trial_end(0, True)
    own.trial_end(1, True)
    own.trial_end(2, False)
    own.receive_trial_result(1, {}, 0.25)
    assert [state for state, _ in states(own)] == ["COMPLETE", "COMPLETE", "FAIL", "RUNNING"]
    assert lines(home).keys() == {"j"}


def test_nested_choices_are_handed_out_as_nni_has_them_and_written_flat(home):
    _, search = begin(home, {"optimizer": OPTIMIZERS})
    asked = search.ask(4)
    assert {key(point) for point in asked.values()} == {
        key({"optimizer": "Adam"}),
        *(key({"optimizer": {"_name": "SGD", "momentum": momentum}}) for momentum in (0.0, 0.5, 0.9)),
    }
    sgd = next(number for number, point in asked.items() if point["optimizer"]["_name"] == "SGD")
    search.finish(sgd, 0.5)
    parameters = lines(home)[f"job{sgd}"]["parameters"]
    assert parameters == {"optimizer": "SGD", "momentum": asked[sgd]["optimizer"]["momentum"]}
    assert (search.ask(), search.ended) == ({}, True)


def test_outside_nni_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.delenv("NNI_LOG_DIRECTORY", raising=False)
    own = OptunaTuner(outputs=str(tmp_path / "outputs"))
    search = Dispatcher(own, space=SPACE)
    search.ask()
    search.finish(0, 0.5)
    assert list(tmp_path.iterdir()) == []
    assert states(own) == [("COMPLETE", 0.5)]


def test_two_threads_may_call_it_at_once(home):
    """NNI as released does; the second call waits until the first, in the middle of the pool, has ended."""
    own, _ = begin(home, sampler="random")
    for number in range(2):
        own.generate_parameters(number)
    inside, order, learn = threading.Event(), [], own.pool.succeeded

    def slow(trial, value):
        order.append("begins")
        inside.set()
        time.sleep(0.2)
        learn(trial, value)
        order.append("ends")

    own.pool.succeeded = slow
    result = threading.Thread(target=own.receive_trial_result, args=(0, {}, 0.5), kwargs={"trial_job_id": "job0"})
    result.start()
    inside.wait(10)
    for call in (
        lambda: own.trial_end(1, False, trial_job_id="job1", event="FAILED", history=[0.1]),
        lambda: own.generate_parameters(2),
        lambda: own.import_data([]),
        lambda: own.update_search_space(SPACE),
    ):
        call()
        order.append("other")
    result.join()
    assert order == ["begins", "ends"] + ["other"] * 4
    assert lines(home).keys() == {"job0", "job1"}


# --- going on after nnictl resume


def test_a_resumed_search_knows_its_trials_and_repeats_no_point(home):
    own, search = begin(home, startup=4)
    asked = search.ask(8)
    for number in range(4):
        search.finish(number, number / 10)
    search.end(4, "FAILED")
    search.report(5, {"default": 0.2, "epoch": 1, "of": 3}, 0)
    search.end(5, "EARLY_STOPPED")
    leave(own)
    again, resumed = begin(home, startup=4)
    assert sorted(states(again), key=str) == sorted(
        [("COMPLETE", value) for value in (0.0, 0.1, 0.2, 0.3)]
        + [("COMPLETE", 0.0), ("PRUNED", 0.2)]  # the failed one is as bad as the worst
        + [("RUNNING", None)] * 2,
        key=str,
    )
    resumed.recover(search, {0: 0.0, 1: 0.1, 2: 0.2, 3: 0.3})
    assert len(states(again)) == 8  # NNI's own list of results brings nothing new
    rest = resumed.ask(40)
    assert min(rest) == 8  # numbers of trials do not come again
    assert len({key(point) for point in rest.values()} | {key(point) for point in asked.values()}) == 45
    assert len(rest) == 37


def test_a_stopped_trial_of_folds_counts_with_its_last_mean_after_a_resume_too(home):
    own, search = begin(home)
    search.ask()
    for fold, mean in enumerate((0.75, 0.5), 1):
        search.report(0, {"default": mean, "folds": fold, "of": 5}, fold - 1)
    search.end(0, "EARLY_STOPPED")
    leave(own)
    again, _ = begin(home)
    for tuner in (own, again):
        (trial,) = tuner.pool.study.trials
        assert trial.intermediate_values == {1: 0.75, 2: 0.5}


def test_a_trial_cancelled_before_a_resume_is_not_waited_for(home):
    own, search = begin(home)
    search.ask(2)
    search.end(1, "USER_CANCELED")
    leave(own)
    again, _ = begin(home)
    assert list(again.live) == [0]


def test_what_was_under_way_at_a_resume_ends_as_if_nothing_had_been(home):
    own, search = begin(home)
    asked = search.ask(4)
    search.finish(0, 0.5)
    leave(own)
    again, resumed = begin(home)
    resumed.recover(search, {0: 0.5}, reports={1: [{"default": 0.1, "epoch": 1, "of": 3}]})
    assert {number: key(live.point) for number, live in again.live.items()} == {
        number: key(asked[number]) for number in (1, 2, 3)
    }
    resumed.report(1, {"default": 0.2, "epoch": 2, "of": 3}, 1)
    resumed.finish(1, {"default": 0.25, "macro_f1": 0.5})
    resumed.report(2, {"default": 0.3, "epoch": 1, "of": 3}, 0)
    resumed.end(2, "EARLY_STOPPED")
    resumed.end(3, "FAILED")
    ends = lines(home)
    assert {name: line["status"] for name, line in ends.items()} == {
        "job0": "SUCCEEDED",
        "job1": "SUCCEEDED",
        "job2": "EARLY_STOPPED",
        "job3": "FAILED",
    }
    assert ends["job1"]["intermediate"] == [0.1, 0.2]
    assert ends["job1"]["metrics"] == {"val_macro_f1": 0.5}
    assert again.live == {}
    assert sorted(map(str, states(again))) == sorted(
        map(str, [("COMPLETE", 0.5), ("COMPLETE", 0.25), ("PRUNED", 0.3), ("COMPLETE", 0.25)])
    )


def test_a_result_that_nni_knows_and_trials_jsonl_does_not_is_written_at_the_resume(home):
    """The tuner's process was killed between the two."""
    own, search = begin(home)
    search.ask(2)
    leave(own)
    again, resumed = begin(home)
    resumed.recover(search, {1: {"default": 0.5}})
    assert lines(home)["job1"]["objective"] == 0.5
    assert again.live.keys() == {0}


def test_a_second_resume_remembers_the_first(home):
    seen, own, search = set(), *begin(home)
    for _ in range(3):
        asked = search.ask(3)
        seen |= {key(point) for point in asked.values()}
        for number in asked:
            search.finish(number, 0.1 * number)
        leave(own)
        earlier, (own, search) = search, begin(home)
        search.recover(earlier, {number: 0.1 * number for number in earlier.packed})
    assert len(seen) == len(own.known) == len(own.pool.study.trials) == 9
    assert min(search.ask(1)) == 9


def test_a_resumed_search_does_not_draw_again_what_its_seed_drew_first(home):
    space = {"lr": {"_type": "uniform", "_value": [0, 1]}}
    own, search = begin(home, space, startup=50)
    first = [point["lr"] for point in search.ask(5).values()]
    leave(own)
    again, resumed = begin(home, space, startup=50)
    resumed.recover(search, {})
    second = [point["lr"] for point in resumed.ask(5).values()]
    assert not set(first) & set(second)
    assert ("FAIL", None) not in states(again)  # nor has it drawn them and passed over them


def test_first_points_that_were_not_tried_before_a_resume_are_tried_after_it(home):
    first = [{"lr": 1, "model": "a", "size": 0}, {"lr": 2}, {"lr": 3, "model": "b"}, {"lr": 5, "model": "c"}]
    own, search = begin(home, first=first)
    assert [point["lr"] for point in search.ask(2).values()] == [1, 2]
    search.finish(0, 0.5)
    leave(own)
    again, resumed = begin(home, first=first)
    resumed.recover(search, {0: 0.5})
    assert [(point["lr"], point["model"]) for point in resumed.ask(2).values()] == [(3, "b"), (5, "c")]
    assert again.pool.waiting == []


def test_the_own_folder_is_no_history_of_its_own(home):
    """history: outputs/* names it too, once the search has trials."""
    make_run(
        home.parent / "earlier" / "t",
        0,
        answers_of(),
        parameters={"metric": "accuracy", "lr": 1, "model": "a", "size": 2},
    )
    given = {"history": str(home.parent / "*")}
    own, search = begin(home, **given)
    assert len(own.history) == 1
    ((number, point),) = search.ask().items()
    make_run(home / "job0", 1, answers_of(), parameters=point | {"metric": "accuracy"})
    search.finish(number, 0.5)
    leave(own)
    again, _ = begin(home, **given)
    assert len(again.history) == 1
    assert len(states(again)) == 2


# --- a search space that is changed


def test_a_changed_space_keeps_what_fits_and_says_what_does_not(home, caplog):
    own, search = begin(home, first=[{"lr": 1, "model": "a", "size": 0}, {"lr": 2, "model": "a", "size": 0}])
    search.ask(4)
    for number, value in enumerate((0.5, 0.25)):
        search.finish(number, value)
    narrow = {"lr": {"_type": "choice", "_value": [2, 6]}, "model": SPACE["model"], "size": SPACE["size"]}
    search.tell(CommandType.UpdateSearchSpace, narrow)
    assert ("COMPLETE", 0.25) in states(own)
    assert ("COMPLETE", 0.5) not in states(own)
    assert told(caplog, "left out") == ["history: 1 trials are left out: lr = 1 is none of 2, 6"]
    asked = search.ask(17)
    assert {point["lr"] for point in asked.values()} == {2, 6}
    assert key({"lr": 2, "model": "a", "size": 0}) not in {key(point) for point in asked.values()}
    for number in (2, 3):  # they were drawn from the old space
        search.finish(number, 0.75)
    assert [lines(home)[f"job{number}"]["objective"] for number in (2, 3)] == [0.75, 0.75]
    assert own.live.keys() == asked.keys()


def test_a_trial_whose_point_the_changed_space_lacks_is_told_and_not_learnt(home, caplog):
    own, search = begin(home)
    asked = search.ask(3)
    before = own.live[0].began
    search.tell(CommandType.UpdateSearchSpace, {"depth": {"_type": "choice", "_value": [1, 2, 3]}})
    assert states(own) == []
    assert own.live[0].began == before
    assert told(caplog, "trial 0 is not learnt from: depth is missing")
    search.finish(0, 0.5)
    search.end(1, "FAILED")
    search.end(2, "USER_CANCELED")
    assert [line["status"] for line in lines(home).values()] == ["SUCCEEDED", "FAILED", "INTERRUPTED"]
    assert lines(home)["job0"]["parameters"] == asked[0]
    assert {point["depth"] for point in search.ask(3).values()} == {1, 2, 3}


def test_a_knob_more_is_learnt_from_new_trials_alone_and_a_knob_less_from_all(home):
    own, search = begin(home, {"lr": SPACE["lr"], "model": SPACE["model"]})
    search.ask(2)
    search.finish(0, 0.5)
    search.tell(CommandType.UpdateSearchSpace, {"lr": SPACE["lr"]})
    assert sorted(map(str, states(own))) == ["('COMPLETE', 0.5)", "('RUNNING', None)"]
    search.tell(CommandType.UpdateSearchSpace, SPACE)
    assert states(own) == []


@pytest.mark.parametrize(
    "bad", [{}, {"lr": {"_type": "choice", "_value": []}}, {"lr": {"_type": "loguniform", "_value": [0, 1]}}]
)
def test_a_bad_change_of_the_space_is_told_in_the_log_and_the_old_one_stays(home, caplog, bad):
    _, search = begin(home)
    search.ask()
    search.tell(CommandType.UpdateSearchSpace, bad)
    assert len(told(caplog, "the changed search space is not taken: ")) == 1
    search.finish(0, 0.5)
    assert search.ask()[1].keys() == SPACE.keys()


@pytest.mark.parametrize("asked", [True, False])
def test_first_points_outside_a_changed_space_do_not_end_the_search(home, caplog, asked):
    _, search = begin(home, first=[{"lr": 1}, {"lr": 2}])
    if asked:
        search.ask()
    search.tell(CommandType.UpdateSearchSpace, SPACE | {"lr": {"_type": "choice", "_value": [2, 3]}})
    assert told(caplog, "what is left of the first points is not tried: first point 1: lr = 1 is none of 2, 3")
    assert len(search.ask()) == 1


def test_a_search_whose_space_was_changed_is_resumed_though_first_points_lie_outside(home, caplog):
    own, search = begin(home, first=[{"lr": 1}, {"lr": 2}])
    search.ask()
    leave(own)
    _, resumed = begin(home, SPACE | {"lr": {"_type": "choice", "_value": [2, 3]}}, first=[{"lr": 1}, {"lr": 2}])
    assert told(caplog, "what is left of the first points is not tried: first point 1: lr = 1 is none of 2, 3")
    resumed.recover(search, {0: 0.5})
    assert len(resumed.ask()) == 1


def test_a_search_is_resumed_though_its_history_has_come_to_hold_two_tasks(home, tmp_path, caplog):
    plant(tmp_path / "old" / "a", {"lr": 1, "model": "a", "size": 0}, 0.5)
    own, search = begin(home, history=[str(tmp_path / "old")])
    search.ask()
    leave(own)
    plant(tmp_path / "old" / "b", {"lr": 1, "model": "a", "size": 0, "metric": "macro_f1"}, 0.5)
    with pytest.raises(ValueError, match="history holds two tasks"):
        begin(tmp_path / "elsewhere" / "exp1", history=[str(tmp_path / "old")])
    _, resumed = begin(home, history=[str(tmp_path / "old")])
    assert told(caplog, "going on without the trials of history: history holds two tasks")
    resumed.recover(search, {0: 0.5})
    assert len(resumed.ask()) == 1


# --- what it begins with


def plant(folder, space_knobs, accuracy, seed=0, **summary):
    """A run folder whose trial had these knobs."""
    make_run(folder, seed, answers_of(), parameters={"metric": "accuracy"} | space_knobs)
    path = folder / "summary.json"
    done = json.loads(path.read_text()) | {"metrics": {"val_accuracy": accuracy}} | summary
    path.write_text(json.dumps(done))


def test_history_leads_the_search_to_where_it_was_good(tmp_path, monkeypatch):
    """32 earlier trials were good at size 8 alone; of 10 points by chance 1.1 have it."""
    monkeypatch.delenv("NNI_LOG_DIRECTORY", raising=False)
    sizes = list(range(9))
    space = {"size": {"_type": "choice", "_value": sizes}, "lr": {"_type": "uniform", "_value": [0, 1]}}
    for number in range(32):
        knobs = {"size": sizes[number % 9], "lr": (number * 7 % 32) / 32}
        plant(tmp_path / "old" / f"t{number}", knobs, 0.9 if knobs["size"] == 8 else 0.1 + knobs["size"] / 100)

    def good(**given):
        found = 0
        for seed in range(6):
            own = OptunaTuner(seed=seed, **given)
            own.update_search_space(space)
            found += sum(point["size"] >= 7 for point in own.generate_multiple_parameters(list(range(10))))
        return found / 60

    assert good() < 0.4
    assert good(history=str(tmp_path / "old")) > 0.55


def test_known_trials_of_history_count_as_startup(tmp_path, monkeypatch):
    monkeypatch.delenv("NNI_LOG_DIRECTORY", raising=False)
    for number in range(3):
        plant(tmp_path / "old" / f"t{number}", {"lr": number + 1, "model": "a", "size": 0}, 0.1 * number)
    own = OptunaTuner(history=[str(tmp_path / "old")], seed=0)
    own.update_search_space(SPACE)
    assert sorted(map(str, states(own))) == [f"('COMPLETE', {0.1 * number})" for number in range(3)]


def test_imported_results_are_learnt_and_may_be_no_numbers(home):
    own, search = begin(home)
    point = {"lr": 1, "model": "a", "size": 0}
    data = [
        {"parameter": point, "value": 0.5},
        {"parameter": point | {"lr": 2}, "value": {"default": 0.25, "loss": 1}},
        {"parameter": point | {"lr": 3}, "value": "NaN"},
        {"parameter": {"depth": 3}, "value": 0.9},
    ]
    search.tell(CommandType.ImportData, data)
    assert states(own) == [("COMPLETE", 0.5), ("COMPLETE", 0.25), ("COMPLETE", 0.25)]
    assert not (home / "trials.jsonl").exists()
    assert {key(point | {"lr": lr}) for lr in (1, 2, 3)} <= own.pool.used


def test_a_seed_gives_the_same_suggestions_for_the_same_results(tmp_path, monkeypatch):
    monkeypatch.delenv("NNI_LOG_DIRECTORY", raising=False)

    def points(seed):
        search = Dispatcher(OptunaTuner(seed=seed, startup=4), space=SPACE)
        search.ask(2)
        found = []
        for number in range(12):
            search.finish(number, search.nni.tuner.live[number].point["lr"] / 5)
            found += [key(point) for point in search.ask().values()]
        return found

    assert points(3) == points(3) != points(4)


def test_a_second_search_of_the_same_folder_is_refused(home, monkeypatch):
    monkeypatch.setattr("sampling.journal.PATIENCE", 0.0)
    begin(home)
    with pytest.raises(
        RuntimeError, match=r"exp1/suggested.jsonl is being written by another search; end that \(nnictl"
    ):
        begin(home)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"sampler": "tpee"}, "unknown sampler 'tpee'. Did you mean 'tpe'? Known: cmaes, gp, grid, random, tpe"),
        ({"optimize_mode": "maximise"}, "optimize_mode is 'maximise'; write maximize or minimize"),
        ({"history": "nowhere/*"}, "history nowhere/\\*: no run folder of an ended trial is there"),
    ],
)
def test_wrong_arguments_are_refused_with_what_to_write(given, words):
    with pytest.raises(ValueError, match=words.replace("?", r"\?")):
        OptunaTuner(**given)


def test_it_is_a_tuner_of_nni_and_minimises_where_it_is_told(home):
    assert issubclass(OptunaTuner, Tuner)
    own, search = begin(home, optimize_mode="minimize")
    search.ask(3)
    search.finish(0, 0.5)
    search.finish(1, 0.75)
    search.end(2, "FAILED")
    assert states(own)[2] == ("COMPLETE", 0.75)
    assert own.pool.study.best_value == 0.5
