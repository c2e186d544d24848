import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from predictions import read_soft, write_soft
from soft_vote import main
from task import combine, softmax

IDS = [f"{number}.jpg" for number in range(6)]
RNG = np.random.default_rng(0)
FIRST, SECOND = RNG.dirichlet(np.ones(18), (2, 6))


@pytest.fixture
def files(tmp_path):
    """Two soft files of 18 classes, the second with its rows in another order."""
    write_soft(tmp_path / "a.csv", "ImageID", IDS, FIRST)
    write_soft(tmp_path / "b.csv", "ImageID", IDS[::-1], SECOND[::-1])
    return [str(tmp_path / "a.csv"), str(tmp_path / "b.csv")]


def vote(tmp_path, *words):
    main([*map(str, words), "-o", str(tmp_path / "out.csv")])
    table = pd.read_csv(tmp_path / "out.csv")
    assert list(table.columns) == ["ImageID", "ans"]
    assert table["ImageID"].tolist() == IDS
    return table["ans"].to_numpy()


def refused(tmp_path, capsys, *words):
    with pytest.raises(SystemExit) as stop:
        main([*map(str, words), "-o", str(tmp_path / "out.csv")])
    assert not (tmp_path / "out.csv").exists()
    return str(stop.value)


def test_equal_votes_are_the_mean_whatever_the_order_of_rows(tmp_path, files):
    np.testing.assert_array_equal(vote(tmp_path, *files), ((FIRST + SECOND) / 2).argmax(axis=1))


def test_weights_weigh_the_files(tmp_path, files):
    expected = (0.9 * FIRST + 0.1 * SECOND).argmax(axis=1)
    np.testing.assert_array_equal(vote(tmp_path, *files, "--weights", 9, 1), expected)


def test_the_blend_can_be_saved_and_blended_again(tmp_path, files):
    vote(tmp_path, *files, "--soft", tmp_path / "blend.csv")
    np.testing.assert_allclose(read_soft(tmp_path / "blend.csv").probabilities, (FIRST + SECOND) / 2, rtol=1e-6)
    np.testing.assert_array_equal(vote(tmp_path, tmp_path / "blend.csv"), ((FIRST + SECOND) / 2).argmax(axis=1))


def test_old_logits_are_recognised_said_and_softmaxed(tmp_path, files, capsys):
    logits = RNG.normal(0, 30, (6, 18))  # of a scale that would outvote any probability
    write_soft(tmp_path / "old.csv", "ImageID", IDS, logits)
    expected = (FIRST + softmax(logits)).argmax(axis=1)
    np.testing.assert_array_equal(vote(tmp_path, files[0], tmp_path / "old.csv"), expected)
    assert "old.csv holds raw logits" in capsys.readouterr().out


def test_rounded_probabilities_are_not_taken_for_logits(tmp_path, files, capsys):
    table = pd.read_csv(files[0])
    table[[str(k) for k in range(18)]] = FIRST.round(2)
    table.to_csv(tmp_path / "rounded.csv", index=False)
    np.testing.assert_array_equal(vote(tmp_path, tmp_path / "rounded.csv"), FIRST.round(2).argmax(axis=1))
    assert "rounded.csv holds rounded probabilities" in capsys.readouterr().out


def test_another_system_s_config_beside_a_file_says_nothing(tmp_path, files):
    (tmp_path / "config.json").write_text('{"lr": 0.1}')
    vote(tmp_path, *files)


def test_a_folder_that_is_not_there_is_named_before_anything_is_written(tmp_path, files, capsys):
    with pytest.raises(SystemExit, match="there is no folder"):
        main([*files, "-o", str(tmp_path / "out.csv"), "--soft", str(tmp_path / "no" / "soft.csv")])
    assert not (tmp_path / "out.csv").exists()


def test_soft_predictions_are_never_written_over(tmp_path, files):
    before = [Path(file).read_text() for file in files]
    for words in ([*files, "-o", files[0]], ["-o", *files], [*files, "-o", "x.csv", "--soft", files[1]]):
        with pytest.raises(SystemExit, match="would be written over|that a submission would replace"):
            main(words)
    assert [Path(file).read_text() for file in files] == before


def test_an_old_soft_file_with_quoted_columns_is_not_written_over_either(tmp_path, files):
    old = tmp_path / "old.csv"
    old.write_text('ImageID,ans,"0","1"\na.jpg,0,3.5,-2\n')
    with pytest.raises(SystemExit, match="that a submission would replace"):
        main([*files, "-o", str(old)])
    assert "3.5" in old.read_text()


def test_validation_predictions_make_no_submission(tmp_path, capsys):
    (tmp_path / "val_soft.csv").write_text("id,fold,group,label_given,label,0,1\na,0,p,0,0,.5,.5\n")
    assert "holds validation predictions" in refused(tmp_path, capsys, tmp_path / "val_soft.csv")


def heads(tmp_path):
    parts = {
        "mask": RNG.dirichlet(np.ones(3), 6),
        "gender": RNG.dirichlet(np.ones(2), 6),
        "age": RNG.dirichlet(np.ones(3), 6),
    }
    for name, probabilities in parts.items():
        folder = tmp_path / name
        folder.mkdir()
        write_soft(folder / "soft.csv", "ImageID", IDS, probabilities)
        (folder / "config.json").write_text(json.dumps({"heads": [{"name": name}]}))
    return parts, [tmp_path / name / "soft.csv" for name in ("age", "mask", "gender")]


def test_mask_gender_and_age_models_are_recombined(tmp_path):
    parts, paths = heads(tmp_path)
    mask, gender, age = (parts[name].argmax(axis=1) for name in ("mask", "gender", "age"))
    answers = vote(tmp_path, *paths)
    np.testing.assert_array_equal(answers, mask * 6 + gender * 3 + age)
    np.testing.assert_array_equal(answers, combine(*(parts[head] for head in ("mask", "gender", "age"))).argmax(axis=1))


def test_loose_files_of_one_head_are_named_by_option(tmp_path):
    parts, paths = heads(tmp_path)
    for path in paths:
        (path.parent / "config.json").unlink()
    answers = vote(tmp_path, "--age", paths[0], "--mask", paths[1], "--gender", paths[2])
    np.testing.assert_array_equal(answers, combine(*(parts[head] for head in ("mask", "gender", "age"))).argmax(axis=1))


def test_a_head_given_as_another_is_refused(tmp_path, capsys):
    _, (age, mask, gender) = heads(tmp_path)
    said = refused(tmp_path, capsys, "--mask", age, "--age", mask, "--gender", gender)
    assert "age/soft.csv is given as mask, but its config.json says age" in said


def test_a_head_that_cannot_be_told_is_asked_for(tmp_path, capsys):
    _, paths = heads(tmp_path)
    (paths[0].parent / "config.json").unlink()
    assert "has 3 classes; say which head it is: --mask, --gender or --age" in refused(tmp_path, capsys, *paths)


def test_heads_without_their_fellows_are_refused(tmp_path, capsys, files):
    _, paths = heads(tmp_path)
    assert "age/soft.csv is age" in refused(tmp_path, capsys, *paths[:2])
    assert "a.csv is 18 classes" in refused(tmp_path, capsys, *paths[:2], files[0])


def test_heads_stand_beside_whole_models_of_18_classes_alone(tmp_path, capsys, files):
    parts, paths = heads(tmp_path)
    expected = (FIRST + combine(*(parts[head] for head in ("mask", "gender", "age")))).argmax(axis=1)
    np.testing.assert_array_equal(vote(tmp_path, files[0], *paths), expected)
    write_soft(tmp_path / "four.csv", "ImageID", IDS, FIRST[:, :4] / FIRST[:, :4].sum(axis=1, keepdims=True))
    (tmp_path / "out.csv").unlink()
    assert "four.csv is 4 classes" in refused(tmp_path, capsys, tmp_path / "four.csv", *paths)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda t: t.iloc[1:], "c.csv lacks id '0.jpg'"),
        (lambda t: pd.concat([t, t.iloc[:1].assign(ImageID="x.jpg")]), "c.csv has id 'x.jpg'"),
        (lambda t: t.assign(ImageID=["y.jpg", *t["ImageID"][1:]]), "c.csv lacks id '0.jpg'"),
        (lambda t: t.drop(columns="17").assign(**{"0": "9"}), "c.csv is 17 classes (first id '0.jpg')"),
        (lambda t: t.assign(**{"3": "NaN"}), "c.csv: id '0.jpg' has a value that is not a finite number"),
    ],
)
def test_files_that_do_not_fit_together_are_refused_and_nothing_is_written(tmp_path, capsys, files, change, says):
    table = pd.read_csv(files[0], dtype=str)
    change(table).to_csv(tmp_path / "c.csv", index=False)
    assert says in refused(tmp_path, capsys, files[0], tmp_path / "c.csv")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "no soft CSV given"),
        (("gone.csv",), "gone.csv is missing"),
        (("{0}", "{0}"), "is given twice"),
        (("{0}", "{1}", "--weights", "1"), "1 --weights for 2 files"),
        (("{0}", "{1}", "--weights", "0", "0"), "not all of them 0"),
        (("{0}", "{1}", "--weights", "nan", "1"), "expected numbers from 0"),
    ],
)
def test_a_command_that_makes_no_sense_is_refused(tmp_path, capsys, files, words, says):
    assert says in refused(tmp_path, capsys, *(word.format(*files) for word in words))
