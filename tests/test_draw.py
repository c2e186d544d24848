import filecmp

import pandas as pd
from PIL import Image

from draw import STEMS, draw_competition


def test_the_demo_has_the_competition_s_exact_layout(drawn):
    table = pd.read_csv(drawn / "train" / "train.csv", dtype=str)
    assert list(table.columns) == ["id", "gender", "race", "age", "path"]
    assert "001498-1" in set(table["id"])
    for person in table.itertuples():
        assert person.path.lower() == f"{person.id}_{person.gender}_{person.race}_{person.age}".lower()
        photos = [p for p in (drawn / "train" / "images" / person.path).iterdir() if p.name[0] != "."]
        assert {photo.stem for photo in photos} == set(STEMS)
    assert list(drawn.glob("train/images/*/._mask1.jpg"))
    assert list(drawn.glob("train/images/*/*.png"))
    info = pd.read_csv(drawn / "eval" / "info.csv", dtype=str)
    assert list(info.columns) == ["ImageID", "ans"]
    assert set(info["ans"]) == {"0"}
    assert set(info["ImageID"]) == {p.name for p in (drawn / "eval" / "images").iterdir()}
    with Image.open(drawn / "eval" / "images" / info["ImageID"][0]) as photo:
        assert photo.size == (384, 512)


def test_the_truth_stands_beside_the_data_and_agrees_with_the_drawing(drawn):
    truth = pd.read_csv(drawn.with_name("drawn-truth.csv"))
    assert list(truth["ImageID"]) == pd.read_csv(drawn / "eval" / "info.csv")["ImageID"].tolist()
    masks = (truth["ans"] // 6).value_counts()
    assert masks.to_dict() == {0: 5 * 5, 1: 5, 2: 5}


def test_the_same_seed_draws_the_same_photos(drawn, tmp_path):
    draw_competition(tmp_path / "again", people=20, eval_people=5, seed=3)
    names = [p.relative_to(drawn).as_posix() for p in drawn.rglob("*") if p.is_file()]
    same, different, odd = filecmp.cmpfiles(drawn, tmp_path / "again", names, shallow=False)
    assert len(same) == len(names)
    assert different == odd == []
