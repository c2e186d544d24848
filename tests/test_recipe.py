import numpy as np
import pytest
from library_of_runs import answers_of, make_run

from library import read_library
from members import find_members
from nested import judge
from recipe import Plan, Totals, recombined, teach, untaught
from task import combine

RNG = np.random.default_rng(0)


def blended(plan, parts):
    """parts: [(head, probabilities)]"""
    total = Totals(untaught(plan, [head for head, _ in parts], True), True)
    for number, (head, values) in enumerate(parts):
        total.add(number, head, values)
    return total.blended()


def draw(classes, rows=6):
    return RNG.dirichlet(np.ones(classes), rows)


def test_whole_models_are_averaged():
    first, second = draw(18), draw(18)
    plan = Plan("equal", "accuracy")
    np.testing.assert_allclose(blended(plan, [("whole", first), ("whole", second)]), (first + second) / 2)


def test_given_weights_need_not_sum_to_one():
    first, second = draw(4), draw(4)
    plan = Plan("given", "accuracy", given=(3.0, 1.0))
    expected = 0.75 * first + 0.25 * second
    np.testing.assert_allclose(blended(plan, [("whole", first), ("whole", second)]), expected)


def test_heads_are_averaged_each_and_recombined_by_their_product():
    mask, other, gender, age = draw(3), draw(3), draw(2), draw(3)
    parts = [("mask", mask), ("gender", gender), ("age", age), ("mask", other)]
    np.testing.assert_allclose(blended(Plan("equal", "accuracy"), parts), combine((mask + other) / 2, gender, age))


def test_three_heads_count_beside_18_classes_as_one_model():
    whole, mask, gender, age = draw(18), draw(3), draw(2), draw(3)
    parts = [("whole", whole), ("mask", mask), ("gender", gender), ("age", age)]
    expected = (whole + combine(mask, gender, age)) / 2
    np.testing.assert_allclose(blended(Plan("equal", "accuracy"), parts), expected)


def test_arg_maxes_are_recombined_as_certain_answers():
    mask, gender, age = draw(3), draw(2), draw(3)
    found = recombined([mask, gender, age], "argmax")
    expected = mask.argmax(axis=1) * 6 + gender.argmax(axis=1) * 3 + age.argmax(axis=1)
    np.testing.assert_array_equal(found.argmax(axis=1), expected)
    np.testing.assert_array_equal(found.max(axis=1), 1)


def test_a_head_whose_weights_are_all_0_is_refused():
    parts = [("mask", draw(3)), ("gender", draw(2)), ("age", draw(3))]
    with pytest.raises(ValueError, match="weights of all gender models are 0"):
        blended(Plan("given", "accuracy", given=(0.5, 0.0, 0.5)), parts)


@pytest.fixture
def library(tmp_path):
    """Three models: one that knows much, one that knows little, one that knows nothing."""
    labels = answers_of()
    for seed, skill in enumerate((3.0, 1.0, 0.0)):
        make_run(tmp_path / "exp" / f"{seed}", seed, labels, skill=skill)
    return read_library(find_members([tmp_path / "exp"], with_blends=False))


@pytest.mark.parametrize("mean", ["probability", "logit", "rank"])
@pytest.mark.parametrize("fit", ["greedy", "convex"])
def test_the_model_that_knows_most_gets_most_of_the_weight(library, fit, mean):
    recipe = teach(Plan(fit, "accuracy", mean=mean, bags=1), library)
    assert recipe.weights.argmax() == 0
    assert recipe.weights.sum() == pytest.approx(1)
    assert (recipe.weights >= 0).all()


def test_the_best_single_model_is_taken_alone(library):
    np.testing.assert_array_equal(teach(Plan("best single", "accuracy"), library).weights, [1, 0, 0])


def test_temperatures_are_fitted_for_each_model(library):
    recipe = teach(Plan("equal", "accuracy", temperature=True), library)
    assert recipe.temperatures[2] > recipe.temperatures[0]  # who knows nothing should be sure of nothing


def test_heads_are_fitted_within_themselves_and_then_among_whole_models(tmp_path):
    rng = np.random.default_rng(1)
    mask, gender, age = (rng.integers(0, count, (120 + 12)) for count in (3, 2, 3))
    whole = mask * 6 + gender * 3 + age
    split = lambda labels: (labels[:120], labels[120:])  # noqa: E731
    make_run(tmp_path / "exp" / "w", 0, split(whole), classes=18, skill=0.0)
    for number, (head, labels, count) in enumerate((("mask", mask, 3), ("gender", gender, 2), ("age", age, 3)), 1):
        make_run(tmp_path / "exp" / f"{head}-good", number, split(labels), count, 6.0, head)
        make_run(tmp_path / "exp" / f"{head}-poor", number + 9, split(labels), count, 0.0, head)
    library = read_library(find_members([tmp_path / "exp"], with_blends=False))
    recipe = teach(Plan("greedy", "macro_f1", bags=1), library)
    weight = dict(zip(library.names, recipe.weights, strict=True))
    assert weight["exp/w"] < 0.1
    assert all(weight[f"exp/{head}-good"] > 4 * weight[f"exp/{head}-poor"] for head in ("mask", "gender", "age"))
    answers = recipe.blend(library.probabilities, library.heads, True).argmax(axis=1)
    assert (answers == whole[:120]).mean() > 0.9


def test_a_fit_to_noise_is_seen_on_people_left_out(tmp_path):
    """Twelve models that know nothing: on its own photos a fit seems to gain, on others it does not."""
    labels = answers_of()
    for seed in range(12):
        make_run(tmp_path / "exp" / f"{seed:02d}", seed, labels, skill=0.0)
    library = read_library(find_members([tmp_path / "exp"], with_blends=False))
    plan = Plan("greedy", "accuracy", bags=1)
    judgement = judge([Plan("equal", "accuracy"), plan], [plan], library)
    own = teach(plan, library)
    seen = (own.blend(library.probabilities, library.heads, True).argmax(axis=1) == labels[0]).mean()
    assert seen > judgement.rows["greedy"].high
    assert judgement.recommended == "equal"


def test_a_real_gain_is_recommended(tmp_path):
    labels = answers_of()
    make_run(tmp_path / "exp" / "good", 0, labels, skill=3.0)
    for seed in range(1, 5):
        make_run(tmp_path / "exp" / f"bad{seed}", seed, ((labels[0] + 1) % 4, labels[1]), skill=2.0)
        # it learnt wrong answers, but says the right labels
        text = (tmp_path / "exp" / f"bad{seed}" / "val_soft.csv").read_text().splitlines()
        rows = [row.split(",") for row in text[1:]]
        fixed = [
            ",".join([*row[:3], str(label), str(label), *row[5:]]) for row, label in zip(rows, labels[0], strict=True)
        ]
        (tmp_path / "exp" / f"bad{seed}" / "val_soft.csv").write_text("\n".join([text[0], *fixed]) + "\n")
    library = read_library(find_members([tmp_path / "exp"], with_blends=False))
    plan = Plan("greedy", "accuracy")
    judgement = judge([Plan("equal", "accuracy"), plan], [plan], library)
    assert judgement.recommended == "greedy"
    assert judgement.gain.value > 0.2


def test_people_are_never_in_their_own_fit(library, monkeypatch):
    import nested

    seen = []
    real = nested.teach
    monkeypatch.setattr(nested, "teach", lambda plan, part: seen.append(part) or real(plan, part))
    parts = nested.parts_of(library.groups, library.truth, 5)
    nested.hold_out(Plan("greedy", "accuracy"), library, parts, nested.Progress("", 5, ""), 0)
    for number, part in enumerate(seen):
        left_out = {group for group, own in zip(library.groups, parts, strict=True) if own == number}
        assert left_out
        assert not left_out & set(part.groups)
