from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.model_selection import StratifiedGroupKFold

from config import Config
from folds import ALWAYS, NEVER, assign, divide, main
from rules import check, convert
from samples import Data, Labelled
from task import Head, Task


def competition(people=2700, seed=0):
    """Groups and strata of 7 photos a person, with the competition's steep ages (7 % are 60 or older)."""
    rng = np.random.default_rng(seed)
    groups, strata = [], []
    for number in range(people):
        kind = f"{rng.choice(['male', 'female'], p=[0.39, 0.61])}/{rng.choice(3, p=[0.47, 0.46, 0.07])}"
        groups += [f"{number:06d}"] * 7
        strata += [(f"{mask}/{kind}",) for mask in (0, 0, 0, 0, 0, 1, 2)]
    return tuple(f"{g}/{i}" for i, g in enumerate(groups)), tuple(groups), tuple(strata)


def data_of(ids, groups, strata, only_train=None):
    task = Task((Head("label", ("a", "b")),))
    labelled = Labelled(ids, tuple(Path(photo) for photo in ids), groups, np.eye(2)[[0] * len(ids)], strata, only_train)
    return Data(Path("nowhere"), task, labelled, None)


def config_of(**changes):
    return check(Config(**{name: convert(name, value, "test") for name, value in changes.items()}))


def cut(people=200, **changes):
    ids, groups, strata = competition(people)
    return divide(config_of(**changes), data_of(ids, groups, strata)), np.array(groups), strata


def spread(parts, strata, count=5):
    """Largest distance of a stratum's count in a part from its mean over parts, as a share of that mean."""
    rows = {stratum: [stratum in own for own in strata] for stratum in {name for own in strata for name in own}}
    counts = {stratum: np.bincount(parts[own], minlength=count) for stratum, own in rows.items()}
    return max(abs(count - count.mean()).max() / count.mean() for count in counts.values())


def test_no_person_is_on_both_sides():
    for fold in range(5):
        folds, groups, _ = cut(fold=fold)
        assert not set(groups[folds.train]) & set(groups[folds.validation])


def test_a_fold_validates_the_share_asked_for_and_each_photo_validates_once():
    seen = np.concatenate([cut(fold=fold)[0].validation for fold in range(5)])
    assert sorted(seen) == list(range(1400))
    folds, groups, _ = cut()
    assert len(set(groups[folds.validation])) == 40  # 20 % of 200 people, each drawn once


def test_strata_are_spread_at_least_as_evenly_as_by_scikit_learn():
    _, groups, strata = competition()
    ours = assign(groups, strata, 5, 42)
    theirs = np.empty(len(groups), int)
    kfold = StratifiedGroupKFold(5, shuffle=True, random_state=42)
    for part, (_, test) in enumerate(kfold.split(groups, [own[0] for own in strata], groups)):
        theirs[test] = part
    assert spread(ours, strata) <= spread(theirs, strata)
    assert spread(ours, strata) < 0.05


def test_groups_of_unlike_sizes_still_make_even_parts():
    rng = np.random.default_rng(1)
    groups = tuple(f"g{number}" for number in range(300) for _ in range(rng.integers(1, 12)))
    sizes = np.bincount(assign(groups, (("all",),) * len(groups), 5, 0))
    assert sizes.max() - sizes.min() <= 11


def test_folds_depend_on_the_split_seed_alone():
    first, again, other = cut()[0], cut()[0], cut(split_seed=43)[0]
    np.testing.assert_array_equal(first.validation, again.validation)
    assert first.hash == again.hash != other.hash


def test_the_hash_is_the_same_for_every_fold_and_row_order():
    ids, groups, strata = competition(60)
    order = np.random.default_rng(0).permutation(len(ids))
    mixed = [tuple(values[row] for row in order) for values in (ids, groups, strata)]
    first, third = divide(config_of(), data_of(ids, groups, strata)), divide(config_of(fold=3), data_of(*mixed))
    assert first.hash == third.hash


def test_a_ratio_of_2_in_11_leaves_a_part_that_never_validates():
    folds = [cut(val_ratio=2 / 11, fold=fold)[0] for fold in range(5)]
    never = set(range(1400)) - set(np.concatenate([f.validation for f in folds]))
    assert 0 < len(never) < 1400 / 11 * 1.2
    assert Counter(folds[0].folds)[-1] == len(never)


def test_held_out_photos_are_of_training_people_and_not_trained_on():
    folds, groups, _ = cut(photo_holdout=0.1)
    assert not set(folds.holdout) & set(folds.train)
    assert set(groups[folds.holdout]) <= set(groups[folds.train])
    assert 0.07 < len(folds.holdout) / 1120 < 0.13
    np.testing.assert_array_equal(folds.validation, cut()[0].validation)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"fold": 5}, "fold 5 does not exist: there are folds 0 to 4"),
        ({"val_ratio": 0.01}, "too small"),
        ({"people": 4}, "4 groups .people. cannot make 5 parts"),
        ({"folds": 1}, "nobody to train on"),
        ({"fold": "²"}, "neither"),
        ({"fold": "some"}, "neither a number from 0 nor all"),
        ({"folds": 3, "fold": 3}, "fold 3 does not exist: there are folds 0 to 2"),
    ],
)
def test_impossible_folds_are_refused(changes, says):
    with pytest.raises(ValueError, match=says):
        cut(**changes)


def several_labels(samples=1500, classes=12, seed=0):
    """Samples of 60 people with 1 to 4 of the labels, the last of them twenty times rarer than the first."""
    rng = np.random.default_rng(seed)
    weights = np.geomspace(1, 0.05, classes)
    strata = []
    for _ in range(samples):
        some = rng.choice(classes, rng.integers(1, 5), replace=False, p=weights / weights.sum())
        strata.append(tuple(str(label) for label in sorted(some)))
    groups = tuple(f"g{number}" for number in rng.integers(0, 300, samples))
    return tuple(f"s{number}" for number in range(samples)), groups, tuple(strata)


def test_several_labels_at_once_are_each_spread_evenly_over_groups():
    _, groups, strata = several_labels()
    random = np.random.default_rng(1).integers(0, 11, 300)
    by_chance = np.array([random[int(group[1:])] for group in groups])
    ours = assign(groups, strata, 11, 42)
    assert len({(group, part) for group, part in zip(groups, ours, strict=True)}) == len(set(groups))
    assert spread(ours, strata, 11) < 0.5 * spread(by_chance, strata, 11)


def test_with_test_val_fold_k_has_parts_2k_and_2k_plus_1_of_11_and_the_last_one_is_in_no_fold():
    ids, groups, strata = several_labels()
    parts = assign(groups, strata, 11, 42)
    for fold in range(5):
        folds = divide(config_of(test_val=True, fold=fold), data_of(ids, groups, strata))
        np.testing.assert_array_equal(folds.validation, np.flatnonzero(parts // 2 == fold))
        np.testing.assert_array_equal(folds.test_val, np.flatnonzero(parts == 10))
        assert sorted([*folds.train, *folds.validation, *folds.test_val]) == list(range(1500))
        held = {groups[row] for row in [*folds.validation, *folds.test_val]}
        assert not held & {groups[row] for row in folds.train}


def test_data_from_elsewhere_never_validates_and_leaves_the_folds_as_they_are():
    ids, groups, strata = several_labels(400)
    alone = divide(config_of(), data_of(ids, groups, strata))
    more = (*ids, "x1", "x2"), (*groups, "stranger", groups[alone.validation[0]]), (*strata, ("0",), ("1",))
    both = divide(config_of(), data_of(*more, np.arange(402) >= 400))
    assert both.hash == alone.hash
    np.testing.assert_array_equal(both.validation, alone.validation)
    assert 400 in both.train
    assert 401 not in both.train  # somebody who validates is on it


def test_folds_of_a_file_are_those_that_were_written(drawn, tmp_path, capsys):
    file = tmp_path / "folds.csv"
    main(["--data_dir", str(drawn), "--folds", "3", "--test_val", "true", "-o", str(file)])
    assert "fold 2: " in capsys.readouterr().out
    from dataset import read

    data = read(str(drawn), "auto", Config().values())
    written = divide(config_of(folds=3, test_val=True, fold=1), data)
    taken = divide(config_of(fold_file=str(file), fold=1), data)
    np.testing.assert_array_equal(taken.folds, written.folds)
    np.testing.assert_array_equal(taken.train, written.train)
    assert taken.hash == written.hash
    assert {ALWAYS, NEVER} & set(taken.folds) == {NEVER}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda lines: lines[:-2], "is of another data set: it lacks 2 of the 140 photos"),
        (lambda lines: [*lines, "elsewhere.jpg,0"], "names 1 photos that this data has not, 'elsewhere.jpg'"),
        (lambda lines: ["photo,fold", *lines[1:]], "lacks the column id"),
        (
            lambda lines: [*lines[:-1], lines[-1].split(",")[0] + ",third"],
            "fold 'third' is no number, train or test_val",
        ),
        (
            lambda lines: [*lines[:-1], lines[-1].split(",")[0] + ",test_val"],
            "is in [0-2] and in test_val",
        ),
        (lambda lines: [line.replace(",1", ",7") for line in lines], "numbered from 0 without a gap; found .0, 2, 7"),
    ],
)
def test_a_fold_file_that_is_not_of_this_data_is_refused(drawn, tmp_path, change, says):
    from dataset import read

    file = tmp_path / "folds.csv"
    main(["--data_dir", str(drawn), "--folds", "3", "-o", str(file)])
    file.write_text("\n".join(change(file.read_text().splitlines())) + "\n")
    with pytest.raises(ValueError, match=says):
        divide(config_of(fold_file=str(file)), read(str(drawn), "auto", Config().values()))


def test_the_data_s_own_validation_photos_are_the_one_fold():
    ids, groups, strata = competition(20)
    data = replace(data_of(ids, groups, strata), validation=np.array([3, 5]))
    assert divide(config_of(), data).validation.tolist() == [3, 5]
    for changes in ({"folds": 3}, {"test_val": True}, {"photo_holdout": 0.1}):
        with pytest.raises(ValueError, match="this data itself says which photos validate"):
            divide(config_of(**changes), data)
    with pytest.raises(ValueError, match="fold 1 does not exist"):
        divide(config_of(fold=1), data)


def test_a_fold_file_serves_with_and_without_data_from_elsewhere(tmp_path):
    ids, groups, strata = several_labels(60)
    alone = data_of(ids, groups, strata)
    both = data_of((*ids, "x"), (*groups, groups[0]), (*strata, ("0",)), np.arange(61) >= 60)
    folds = divide(config_of(folds=3), alone)
    for there in (alone, both):
        file = tmp_path / "folds.csv"
        words = {ALWAYS: "train", NEVER: "test_val"}
        written = divide(config_of(folds=3), there).folds
        rows = [f"{photo},{words.get(fold, fold)}" for photo, fold in zip(there.train.ids, written, strict=True)]
        file.write_text("\n".join(["id,fold", *rows]) + "\n")
        for here in (alone, both):
            taken = divide(config_of(fold_file=str(file)), here)
            np.testing.assert_array_equal(taken.folds[:60], folds.folds)
            assert taken.hash == folds.hash
