from collections import Counter

import numpy as np
import pytest
from sklearn.model_selection import StratifiedGroupKFold

from folds import assign, split


def competition(people=2700, seed=0):
    """Groups and strata of 7 photos a person, with the competition's steep ages (7 % are 60 or older)."""
    rng = np.random.default_rng(seed)
    groups, strata = [], []
    for number in range(people):
        kind = f"{rng.choice(['male', 'female'], p=[0.39, 0.61])}/{rng.choice(3, p=[0.47, 0.46, 0.07])}"
        groups += [f"{number:06d}"] * 7
        strata += [f"{mask}/{kind}" for mask in (0, 0, 0, 0, 0, 1, 2)]
    return tuple(f"{g}/{i}" for i, g in enumerate(groups)), tuple(groups), tuple(strata)


def cut(people=200, **changes):
    ids, groups, strata = competition(people)
    options = {"val_ratio": 0.2, "fold": 0, "split_seed": 42} | changes
    return split(ids, groups, strata, **options), np.array(groups), np.array(strata)


def spread(parts, strata):
    """Largest distance of a stratum's count in a part from its mean over parts, as a share of that mean."""
    counts = {s: np.bincount(parts[np.array(strata) == s], minlength=5) for s in set(strata)}
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
    for part, (_, test) in enumerate(kfold.split(groups, strata, groups)):
        theirs[test] = part
    assert spread(ours, strata) <= spread(theirs, strata)
    assert spread(ours, strata) < 0.05


def test_groups_of_unlike_sizes_still_make_even_parts():
    rng = np.random.default_rng(1)
    groups = tuple(f"g{number}" for number in range(300) for _ in range(rng.integers(1, 12)))
    sizes = np.bincount(assign(groups, ("all",) * len(groups), 5, 0))
    assert sizes.max() - sizes.min() <= 11


def test_folds_depend_on_the_split_seed_alone():
    first, again, other = cut()[0], cut()[0], cut(split_seed=43)[0]
    np.testing.assert_array_equal(first.validation, again.validation)
    assert first.hash == again.hash != other.hash


def test_the_hash_is_the_same_for_every_fold_and_row_order():
    ids, groups, strata = competition(60)
    order = np.random.default_rng(0).permutation(len(ids))
    mixed = [tuple(np.array(values)[order]) for values in (ids, groups, strata)]
    options = {"val_ratio": 0.2, "split_seed": 42}
    assert split(ids, groups, strata, fold=0, **options).hash == split(*mixed, fold=3, **options).hash


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
        ({"fold": 5}, "fold 5 does not exist: val_ratio 0.2 makes folds 0 to 4"),
        ({"val_ratio": 0.01}, "too small"),
        ({"people": 4}, "4 groups .people. cannot make 5 parts"),
    ],
)
def test_impossible_folds_are_refused(changes, says):
    with pytest.raises(ValueError, match=says):
        cut(**changes)
