import base64
import io
import json
import os
import re
import shlex
import shutil

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics
from PIL import Image
from searches import change, write_blend, write_json, write_night, write_trial

from axes import importances, lay_axis
from decisions import plain
from figures import wrap
from judge import draw_people, interval
from metrics import METRICS
from mistakes import calibrate, confuse, rate_people, score_classes, worst_photos
from photos import find_photos, shrink
from predictions import Validation, read_validation, write_validation
from report import main

EVIL = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def night(drawn, tmp_path_factory):
    """A copied experiment of nine trials, a failed one, a fitted blend, the equal one, and a mask model."""
    experiment = write_night(tmp_path_factory.mktemp("night") / "exp", drawn)
    write_blend(experiment, drawn, "greedy", recommended="equal")
    write_blend(experiment, drawn, "equal")
    write_trial(experiment / "masks", drawn, 3.0, head="mask")
    return experiment


@pytest.fixture(scope="module")
def page(night):
    return write_page(night)


def write_page(experiment, *words):
    main([str(experiment), *map(str, words)])
    return (experiment / "report.html").read_text()


def body(page):
    """The page without plotly.js, which stands in the first script."""
    head, _, rest = page.partition("<script>")
    return head + rest.partition("</script>")[2]


def text(page):
    """What a person reads, without the figures."""
    bare = re.sub(r"(?s)<(script|style).*?</\1>|<[^>]*>", "", body(page))
    return " ".join(bare.replace("&lt;", "<").replace("&gt;", ">").replace("&#39;", "'").split())


def plots(page):
    """The data of each figure, as JSON text."""
    return re.findall(r"(?s)Plotly\.newPlot\((.*?)</script>", body(page))


def refused(experiment, *words):
    with pytest.raises(SystemExit) as stop:
        main([str(experiment), *map(str, words)])
    return str(stop.value)


def validation(probabilities, truth, groups, exclusive=True):
    probabilities, truth = np.array(probabilities), np.array(truth, dtype=bool)
    ids = tuple(f"{row}.jpg" for row in range(len(groups)))
    return Validation(None, ids, np.zeros(len(ids), int), tuple(groups), truth, truth, probabilities, "", exclusive)


def test_the_best_trial_stands_first_with_the_accuracy_that_scikit_learn_finds(night, page):
    accuracy = {}
    for file in night.glob("t*/val_soft.csv"):
        table = pd.read_csv(file)
        predicted = table[[str(k) for k in range(18)]].to_numpy().argmax(axis=1)
        accuracy[file.parent.name] = sklearn.metrics.accuracy_score(table["label"], predicted)
    best = max(accuracy, key=accuracy.get)
    found = read_validation(night / best / "val_soft.csv")
    score = interval(METRICS["accuracy"], plain(True).decide(found.probabilities), found.truth, found.groups)
    assert f"Best trial: {best}, accuracy {accuracy[best]:.3f} ({score.low:.3f} to {score.high:.3f})" in text(page)
    assert all(f"{value:.3f}" in text(page) for value in accuracy.values())


def test_the_blend_that_its_judgement_recommends_is_to_be_submitted(night, page):
    said = text(page)
    assert "blend-equal The file to hand in is" in said
    assert "the greedy blend reached accuracy 0.834 (0.734 to 0.924), the equal blend 0.812" in said
    assert "chosen without them too, 0.803 (0.703 to 0.893). The gain over the equal blend is +0.022" in said
    assert "(-0.011 to +0.053). That may be chance, so take the simpler one." in said
    assert "1 more member has weight 0" in said


def test_a_recommended_blend_that_is_not_there_is_told_how_to_make(drawn, tmp_path):
    experiment = write_night(tmp_path / "exp", drawn, trials=3)
    write_blend(experiment, drawn, "greedy", recommended="equal")
    said = text(write_page(experiment))
    command = f"python ensemble/soft_vote.py {experiment} -o submission.csv makes it"
    assert f"The equal blend of the members of blend-greedy It is not among the folders yet: {command}" in said
    assert "Classes of blend-greedy What it says of each person comes from a fit that left this person out" in said


def test_only_the_equal_blend_of_the_judged_one_s_members_is_named_to_hand_in(drawn, tmp_path):
    experiment = write_night(tmp_path / "exp", drawn, trials=4)
    members = [os.path.relpath(experiment / f"t{number:02d}") for number in range(3)]
    write_blend(experiment, drawn, "equal", "equal", rule="thresholds", name="equal-thresholds")
    write_blend(experiment, drawn, "equal", name="equal-others", members=["exp/t00", "exp/t03"])
    write_blend(experiment, drawn, "equal", name="equal-logit", mean="logit")
    write_blend(experiment, drawn, "equal", name="equal-temperature", temperature=True)
    said = text(write_page(experiment))
    assert "The equal blend of the members of blend-equal-thresholds It is not among the folders yet" in said
    assert f"python ensemble/soft_vote.py {' '.join(members)} -o submission.csv makes it" in said
    assert "The file to hand in" not in said
    write_blend(experiment, drawn, "equal", members=["exp/t02", "exp/t00", "exp/t01"])
    said = text(write_page(experiment))
    assert f"blend-equal The file to hand in is {experiment / 'blend-equal' / 'hard.csv'}" in said


def test_an_equal_blend_of_another_mean_is_made_with_that_mean(drawn, tmp_path):
    experiment = write_night(tmp_path / "a night", drawn, trials=3)
    write_blend(experiment, drawn, "greedy", recommended="equal", mean="logit", recombine="argmax")
    write_blend(experiment, drawn, "equal")
    words = ["python", "ensemble/soft_vote.py", str(experiment), "--mean=logit", "--recombine=argmax"]
    assert f"{shlex.join(words)} -o submission.csv makes it" in text(write_page(experiment))


def test_the_tile_shows_the_best_blend_though_another_was_judged(drawn, tmp_path):
    experiment = write_night(tmp_path / "exp", drawn, trials=3)
    write_blend(experiment, drawn, "greedy", recommended="greedy", quality=2.0)
    write_blend(experiment, drawn, "equal", quality=6.0)
    score = json.loads((experiment / "blend-equal" / "summary.json").read_text())["metrics"]["val_accuracy"]
    assert f"{score:.3f}best blend, accuracy" in text(write_page(experiment))


def test_a_blend_of_heads_is_compared_with_a_recombination_of_three_trials(drawn, tmp_path):
    experiment = write_night(tmp_path / "exp", drawn, trials=3)
    for head in ("mask", "gender", "age"):
        write_trial(experiment / head, drawn, head=head)
    write_blend(experiment, drawn, "greedy", "greedy", members=["exp/mask", "exp/gender", "exp/age"])
    said = text(write_page(experiment))
    assert "and the recombination of the best mask, gender and age trials, chosen without them too, 0.803" in said
    assert "best single trial" not in said


def test_a_running_trial_is_waited_for(drawn, tmp_path):
    folder = write_trial(tmp_path / "exp" / "only", drawn, status="RUNNING")
    (folder / "hard.csv").unlink()
    said = text(write_page(tmp_path / "exp"))
    assert "only It is still running; the file to hand in comes when it has ended." in said
    assert "inference.py" not in said


def test_a_judgement_that_is_lacking_is_not_made_up(drawn, tmp_path):
    experiment = write_night(tmp_path / "exp", drawn, trials=3)
    write_blend(experiment, drawn, "equal")
    assert "The best epoch of each trial was chosen on these people too" in text(write_page(experiment))


def test_different_objectives_are_said(drawn, tmp_path):
    experiment = write_night(tmp_path / "exp", drawn, trials=3)
    change(experiment / "t01", "summary.json", objective="macro_f1")
    assert "The trials had different objectives: accuracy (2), macro_f1 (1); ranked by accuracy" in text(
        write_page(experiment)
    )


def test_a_fitted_blend_that_is_better_beyond_chance_is_to_be_submitted(drawn, tmp_path):
    experiment = write_night(tmp_path / "exp", drawn, trials=3)
    write_blend(experiment, drawn, "greedy", recommended="greedy")
    said = text(write_page(experiment))
    assert "blend-greedy The file to hand in is" in said
    assert "+0.022 (+0.004 to +0.053). It is beyond chance" in said
    assert "But the best single trial" not in said


def test_a_blend_with_a_rule_that_nobody_judged_is_not_compared(drawn, tmp_path):
    experiment = write_night(tmp_path / "exp", drawn, trials=3)
    write_blend(experiment, drawn, "greedy", rule="prior")
    said = text(write_page(experiment))
    assert "blend-greedy succeeded it decides by a rule of its own, whose accuracy on people left out" in said
    assert "nothing is said of them" in said


def test_failed_trials_are_named_with_the_first_line_of_their_error(page):
    assert "1 without a score: broken failed no space left" in text(page)
    assert "at line 7" not in page


def test_trials_of_one_head_stand_apart(page):
    said = text(page)
    assert "Not compared with these" in said
    assert "masks" not in said.partition("All trials")[2].partition("mask models")[0]
    assert "masks" in said.rpartition("mask models")[2]


def test_knobs_are_named_where_they_are_not_the_usual_ones(page):
    assert "Where a row does not say otherwise: optimizer Adam, resize 64 64" in text(page)


def test_importance_finds_the_knob_that_decides(page):
    assert '"ticktext":["lr",' in next(plot for plot in plots(page) if '"tickformat":".0%"' in plot)
    rng = np.random.default_rng(0)
    lr, other = rng.uniform(size=30), rng.choice(["a", "b", "c"], size=30)
    shares = importances([lay_axis("lr", lr.tolist()), lay_axis("other", other.tolist())], (lr - 0.5) ** 2)
    assert list(shares) == ["lr", "other"]
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["lr"] > 0.9


def test_few_trials_or_one_knob_get_a_sentence_in_place_of_importance(drawn, tmp_path):
    few = write_night(tmp_path / "few", drawn, trials=3)
    assert "3 trials are too few to say; from 8 on" in text(write_page(few))
    one = tmp_path / "one"
    for number in range(8):
        write_trial(one / f"t{number}", drawn, number / 2, knobs={"lr": 0.1 * (number + 1)}, seed=number)
    assert "Only lr differs among the 8 trials" in text(write_page(one))


def test_one_trial_alone_makes_a_page(drawn, tmp_path):
    write_trial(tmp_path / "exp" / "only", drawn)
    said = text(write_page(tmp_path / "exp"))
    assert "There is one trial, so there is nothing to compare" in said
    assert "1 trial is too few to say" in said


def test_heads_alone_make_a_page_that_says_what_is_lacking(drawn, tmp_path):
    write_trial(tmp_path / "exp" / "a", drawn, head="gender")
    write_trial(tmp_path / "exp" / "b", drawn, head="age")
    said = text(write_page(tmp_path / "exp"))
    assert "These are models of gender alone" in said
    assert "age models" in said


def test_no_epoch_at_all_is_refused_and_the_old_page_stays(tmp_path):
    (tmp_path / "a").mkdir()
    write_json(tmp_path / "a" / "summary.json", {"status": "FAILED", "error": "no GPU"})
    (tmp_path / "report.html").write_text("old")
    assert "no trial has validation predictions, as none has ended an epoch (a: no GPU)" in refused(tmp_path)
    assert (tmp_path / "report.html").read_text() == "old"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--metric", "acuracy"), "Did you mean 'accuracy'?"),
        (("-o", "gone/report.html"), "there is no folder gone"),
        (("-o", "tests"), "tests is a folder; name a file in it"),
        (("--data_dir", "gone"), "--data_dir gone holds none of the validation photos, for example train/images/"),
    ],
)
def test_a_command_that_makes_no_sense_is_refused(night, words, says):
    assert says in refused(night, *words)


def test_damaged_predictions_are_named_and_the_others_stay(drawn, tmp_path):
    experiment = write_night(tmp_path / "exp", drawn, trials=2)
    (experiment / "t00" / "val_soft.csv").write_text("id,fold\n")
    said = text(write_page(experiment))
    assert re.search(r"t00 succeeded .*val_soft.csv", said)
    assert "Best trial: t01" in said


@pytest.mark.parametrize(
    "damage", ['{"epoch": 1, "val_acc', "5", '{"val_accuracy": 1}', '{"epoch": 1, "val_accuracy": []}']
)
def test_of_a_damaged_history_the_trial_is_named_and_its_curve_left_out(drawn, tmp_path, damage):
    for name in "ab":
        write_trial(tmp_path / "exp" / name, drawn)
    (tmp_path / "exp" / "a" / "history.jsonl").write_text(damage)
    page = write_page(tmp_path / "exp")
    assert "Left out: history.jsonl of a is damaged" in text(page)
    assert re.findall(r"</i>#1 (\w)", page) == ["b"]


def test_a_trial_without_history_is_counted_where_curves_are_drawn(drawn, tmp_path):
    write_trial(tmp_path / "exp" / "a", drawn)
    (write_trial(tmp_path / "exp" / "b", drawn) / "history.jsonl").unlink()
    assert "1 more trial has no history of accuracy" in text(write_page(tmp_path / "exp"))


def write_classes(folder, truth, probabilities, exclusive):
    """A trial of three photos a person, without photos."""
    rows, size = truth.shape
    folder.mkdir(parents=True)
    heads = [{"name": "parts", "classes": [f"part {k}" for k in range(size)]}]
    write_json(folder / "config.json", {"parameters": {}, "heads": heads})
    write_json(folder / "summary.json", {"status": "SUCCEEDED", "objective": "macro_f1"})
    about = ([f"{row}.png" for row in range(rows)], np.zeros(rows, int), [f"p{row // 3}" for row in range(rows)])
    write_validation(folder / "val_soft.csv", *about, truth, truth, probabilities, exclusive)


def test_several_labels_at_once_go_without_confusion_and_reliability(tmp_path):
    rng = np.random.default_rng(0)
    write_classes(tmp_path / "exp" / "a", rng.random((30, 4)) < 0.3, rng.random((30, 4)), exclusive=False)
    said = text(write_page(tmp_path / "exp"))
    assert "Several classes may hold at once" in said
    assert "Expected calibration error" not in said
    assert "The photos themselves are not on this machine" in said


def test_of_many_classes_the_worst_are_shown(tmp_path):
    truth = np.tile(np.eye(40, dtype=bool), (3, 1))
    taken = np.eye(40)[[*range(38), 39, 0]]  # 38 for 39, and 39 for 0: two with F1 0, then class 0
    write_classes(tmp_path / "exp" / "a", truth, np.tile(taken, (3, 1)), exclusive=True)
    page = write_page(tmp_path / "exp")
    assert "The 30 classes with the lowest F1, of 40." in text(page)
    bars = next(plot for plot in plots(page) if "photos, 3 people" in plot)
    assert re.findall(r"part (\d+)", bars)[:4] == ["38", "39", "0", "1"]


def test_confusion_and_f1_are_those_of_scikit_learn(night):
    found = read_validation(night / "t00" / "val_soft.csv")
    decided, labels = plain(True).decide(found.probabilities), found.truth.argmax(axis=1)
    answers = decided.argmax(axis=1)
    expected = sklearn.metrics.confusion_matrix(labels, answers, labels=range(18))
    np.testing.assert_array_equal(confuse(found.truth, decided), expected)
    scores = score_classes(decided, found.truth, found.groups)
    expected = sklearn.metrics.f1_score(labels, answers, labels=range(18), average=None, zero_division=0)
    np.testing.assert_allclose(scores.f1, expected)
    assert (scores.low <= scores.f1).all()
    assert (scores.f1 <= scores.high).all()
    np.testing.assert_array_equal(scores.photos, np.bincount(labels, minlength=18))
    assert scores.people.tolist() == [
        len({g for g, k in zip(found.groups, labels, strict=True) if k == n}) for n in range(18)
    ]


def test_a_class_says_nothing_in_draws_that_lack_it():
    """Draws of 20 people lack one of them in 36 of 100 cases; he is always right, so his class has F1 1 in the rest."""
    truth = np.eye(4, dtype=bool)[[0] + [1, 2] * 20]
    decided = np.eye(4, dtype=bool)[[0] + [1, 1] * 20]
    scores = score_classes(decided, truth, ["one"] + [f"p{number}" for number in range(20) for _ in range(2)])
    assert (scores.f1[0], scores.low[0], scores.high[0]) == (1, 1, 1)
    assert (scores.low[2], scores.high[2]) == (0, 0)  # there, and never seen
    assert (scores.low[3], scores.high[3]) == (0, 0)  # not there


def test_class_intervals_are_those_of_the_bootstrap_written_out():
    rng = np.random.default_rng(1)
    groups = [f"p{number}" for number in rng.integers(0, 12, 60)]
    labels, answers = rng.integers(0, 3, (2, 60))
    truth, decided = np.eye(3, dtype=bool)[labels], np.eye(3, dtype=bool)[answers]
    _, person = np.unique(groups, return_inverse=True)
    drawn = [
        sklearn.metrics.f1_score(labels, answers, average=None, sample_weight=row[person], zero_division=np.nan)
        for row in draw_people(groups)
    ]
    scores = score_classes(decided, truth, groups)
    np.testing.assert_allclose([scores.low, scores.high], np.nanquantile(drawn, [0.025, 0.975], axis=0))


def test_calibration_is_that_of_guo_by_hand():
    probabilities = np.array([[0.9, 0.1], [0.85, 0.15], [0.4, 0.6], [0.0, 1.0]])
    truth = np.array([[1, 0], [0, 1], [1, 0], [0, 1]], dtype=bool)
    found = calibrate(probabilities, truth)
    assert found.count.tolist() == [0, 0, 0, 0, 0, 1, 0, 0, 2, 1]  # a bin holds its upper edge: (.5, .6], (.8, .9]
    assert found.confidence[8] == pytest.approx(0.875)
    assert found.accuracy[[5, 8, 9]].tolist() == [0, 0.5, 1]
    assert found.error == pytest.approx((0.6 + 2 * 0.375 + 0) / 4)
    assert np.isnan(found.accuracy[0])


def test_the_most_confident_mistakes_come_first_one_for_each_person():
    found = validation(
        [[0.9, 0.1], [0.6, 0.4], [0.95, 0.05], [0.8, 0.2], [0.2, 0.8]],
        [[0, 1], [0, 1], [1, 0], [0, 1], [0, 1]],
        ["ann", "bob", "ann", "ann", "bob"],
    )
    assert worst_photos(found, 12) == [0, 1]
    assert worst_photos(found, 1) == [0]


def test_a_mistake_among_several_labels_is_as_confident_as_its_worst_class():
    found = validation([[0.9, 0.7], [0.1, 0.4], [0.9, 0.1]], [[1, 0], [1, 1], [1, 0]], "abc", exclusive=False)
    assert worst_photos(found, 12) == [1, 0]  # 0.9 away from class 0; 0.7 from class 1; the last is right


def test_people_are_ordered_by_accuracy_then_belief_then_name():
    found = validation(
        [[0.9, 0.1], [0.4, 0.6], [0.3, 0.7], [0.2, 0.8], [0.2, 0.8]],
        [[1, 0], [1, 0], [1, 0], [1, 0], [1, 0]],
        ["half", "half", "better", "b", "a"],
    )
    people = rate_people(found)
    assert [person.name for person in people] == ["a", "b", "better", "half"]
    assert [person.accuracy for person in people] == [0, 0, 0, 0.5]
    assert people[-1].belief == pytest.approx(0.65)


def test_axes_place_names_evenly_and_numbers_by_their_size():
    assert lay_axis("opt", ["SGD", "Adam", "SGD"]).places.tolist() == [0.75, 0.25, 0.75]
    assert lay_axis("batch", [16, 512, 32]).places.tolist() == pytest.approx([1 / 6, 5 / 6, 0.5])
    rates = lay_axis("lr", [1e-4, 1e-3, 1e-2], even=False)
    assert rates.logarithmic
    assert rates.places.tolist() == pytest.approx([0, 0.5, 1])
    assert [word for _, word in rates.ticks] == ["0.0001", "0.001", "0.01"]
    assert lay_axis("score", [0.5, 0.5], even=False).places.tolist() == [0.5, 0.5]
    assert lay_axis("knob", [None, 3]).words == ("none", "3")


def test_long_values_are_broken_where_words_end():
    assert wrap("GaussianAugmentation", 18) == ["Gaussian", "Augmentation"]
    assert wrap("crop+flip+jitter", 9) == ["crop+", "flip+", "jitter"]
    assert wrap("label_smoothing", 18) == ["label_smoothing"]


def test_names_cannot_run_or_change_the_page(drawn, tmp_path):
    experiment = write_night(tmp_path / "exp", drawn, trials=8)
    clean = write_page(experiment)
    for folder in experiment.glob("t*"):
        heads = json.loads((folder / "config.json").read_text())["heads"]
        heads[0]["classes"] = [f"{EVIL} {name}" for name in heads[0]["classes"]]
        change(folder, "config.json", heads=heads)
    parameters = json.loads((experiment / "t01" / "config.json").read_text())["parameters"]
    change(experiment / "t01", "config.json", parameters=parameters | {"optimizer": EVIL, EVIL: 1})
    change(experiment / "broken", "summary.json", error=EVIL)
    (experiment / "t02").rename(experiment / 't02"><img src=x onerror=alert(1)>')
    planted = write_page(experiment)
    assert EVIL not in planted
    assert "<img src=x" not in planted
    assert planted.count("<script") == clean.count("<script")
    assert "&lt;script&gt;alert(1)&lt;/script&gt; mask male" in planted


def test_the_page_loads_nothing(page):
    loads = re.findall(r"""(?:src|href)=["']?([^"'>\s]*)|@import|url\(""", body(page))
    assert loads
    assert all(target.startswith(("data:image/jpeg", "#")) for target in loads)
    assert "default-src 'none'" in page
    assert page.count("plotly.js v") == 1


def test_photos_stand_in_the_page_and_lacking_ones_say_so(data, tmp_path):
    write_trial(tmp_path / "exp" / "a", data, 0.0)
    everyone = sorted((data / "train" / "images").glob("*/*"))
    page = write_page(tmp_path / "exp")
    assert "data:image/jpeg" in page
    assert 'class="gone"' not in page
    for path in everyone[::2]:
        path.unlink()
    for path in everyone[1::2]:
        path.write_bytes(b"no photo")
    page = write_page(tmp_path / "exp")
    assert "data:image/jpeg" not in page
    assert ">missing</span>" in page
    assert ">unreadable</span>" in page


def test_photos_that_were_moved_are_found_where_they_are_said_to_be(data, tmp_path):
    write_trial(tmp_path / "exp" / "a", data, 0.0)
    shutil.move(data, tmp_path / "moved")
    page = write_page(tmp_path / "exp")
    assert "The photos themselves are not on this machine" in text(page)
    assert "data:image/jpeg" not in page
    assert "train/images/" in text(page)
    assert "data:image/jpeg" in write_page(tmp_path / "exp", "--data_dir", tmp_path / "moved" / "train" / "images")


def test_the_data_root_is_found_from_the_folders_that_name_it(drawn):
    photo = next((drawn / "train" / "images").glob("*/normal.jpg")).relative_to(drawn)
    for given in (drawn, drawn / "train", drawn / "train" / "images"):
        assert find_photos(given, ["gone.jpg", str(photo)]) == drawn.resolve()
    assert find_photos(drawn, ["gone.jpg"]) is None


def test_thumbnails_are_upright_and_in_rgb(tmp_path):
    half = Image.new("CMYK", (400, 200), (0, 0, 0, 0))
    half.paste((255, 255, 0, 0), (0, 0, 200, 200))  # blue on the left
    exif = Image.Exif()
    exif[274] = 6  # to be turned by a quarter, clockwise: left comes to the top
    half.save(tmp_path / "a.jpg", exif=exif)
    content = base64.b64decode(shrink(tmp_path / "a.jpg", 100).uri.partition(",")[2])
    shown = Image.open(io.BytesIO(content))
    assert (shown.mode, shown.size) == ("RGB", (50, 100))
    assert shown.getpixel((25, 20))[0] < 100
    assert min(shown.getpixel((25, 80))) > 200
    assert shrink(tmp_path / "gone.jpg", 100).fault == "missing"
