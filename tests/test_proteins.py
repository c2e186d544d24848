import numpy as np
import pytest
from PIL import Image

from checks.probe import data as probe
from config import Config
from dataset import HEADERS, LAYOUTS, read
from decode import decode

COLOURS = ("red", "green", "blue", "yellow")
ROWS = {"a": "0", "b": "2 0", "c": "1", "d": "3", "e": "1 2 3", "f": "0"}  # Target by Id


def draw(folder, sample, colours=COLOURS, side=8, ending="png"):
    """Grey files whose brightness depends on the sample and the channel."""
    folder.mkdir(parents=True, exist_ok=True)
    for colour in colours:
        level = (ord(sample[0]) % 20) * 10 + COLOURS.index(colour)
        Image.new("L", (side, side), level).save(folder / f"{sample}_{colour}.{ending}")


def write(table, header, rows):
    table.write_text("\n".join([header, *rows]) + "\n")


@pytest.fixture
def atlas(tmp_path):
    """Six labelled samples, and two to predict, listed in an order of their own."""
    root = tmp_path / "atlas"
    for sample in ROWS:
        draw(root / "raw" / "train", sample)
    for sample in ("x", "y"):
        draw(root / "raw" / "test", sample)
    write(root / "train.csv", "Id,Target", [f"{sample},{target}" for sample, target in ROWS.items()])
    write(root / "sample_submission.csv", "Id,Predicted", ["y,0", "x,0"])
    return root


@pytest.fixture
def elsewhere(tmp_path):
    """Two external samples, one of which has an Id of the atlas."""
    root = tmp_path / "elsewhere"
    for sample in ("b", "z"):
        draw(root / "train", sample, ending="jpg")
    write(root / "train.csv", "Id,Target", ["b,1", "z,3 0"])
    return root


def open_atlas(root, **changes):
    return read(str(root), "auto", Config(**changes).values())


def test_samples_have_all_their_labels_and_a_file_for_each_channel(atlas):
    data = open_atlas(atlas)
    assert data.train.ids == tuple("abcdef")
    assert data.train.target.tolist() == [
        [1, 0, 0, 0],
        [1, 0, 1, 0],
        [0, 1, 0, 0],
        [0, 0, 0, 1],
        [0, 1, 1, 1],
        [1, 0, 0, 0],
    ]
    assert data.train.target.dtype == np.float32
    assert data.train.strata == (("0",), ("0", "2"), ("1",), ("3",), ("1", "2", "3"), ("0",))
    assert data.train.groups == data.train.ids
    assert data.train.only_train is None
    assert data.train.paths[1] == tuple(atlas / "raw" / "train" / f"b_{colour}.png" for colour in COLOURS)
    assert (data.task.classes, data.task.exclusive) == (("0", "1", "2", "3"), False)
    assert len(data.fingerprint()) == 16


def test_yellow_is_normalised_as_red_and_nothing_is_cropped(atlas):
    data = open_atlas(atlas)
    assert (data.channels, data.crop) == (4, 0)
    assert data.mean == (0.485, 0.456, 0.406, 0.485)
    assert data.std == (0.229, 0.224, 0.225, 0.229)


def test_the_test_part_keeps_the_order_of_the_list(atlas):
    test = open_atlas(atlas).test
    assert (test.ids, test.id_column, test.answer_column) == (("y", "x"), "Id", "Predicted")
    assert test.answers == ("0", "1", "2", "3")
    assert test.paths[0][3] == atlas / "raw" / "test" / "y_yellow.png"


def test_without_a_list_all_of_the_test_folder_is_predicted_and_without_both_nothing(atlas):
    (atlas / "sample_submission.csv").unlink()
    assert open_atlas(atlas).test.ids == ("x", "y")
    (atlas / "raw" / "test").rename(atlas / "raw" / "other")
    assert open_atlas(atlas).test is None


def test_photos_may_lie_in_train_and_test_and_have_other_endings(atlas):
    (atlas / "raw" / "train").rename(atlas / "train")
    (atlas / "raw" / "test").rename(atlas / "test")
    draw(atlas / "train", "a", ending="tif")
    for colour in COLOURS:
        (atlas / "train" / f"a_{colour}.png").unlink()
    data = open_atlas(atlas)
    assert data.train.paths[0][0] == atlas / "train" / "a_red.tif"
    assert data.test.paths[1][0] == atlas / "test" / "x_red.png"


@pytest.mark.parametrize(("channels", "places"), [("rgb", [0, 1, 2]), ("gyb", [1, 3, 2])])
def test_channels_can_be_left_out(atlas, channels, places):
    for sample in (*ROWS, "x", "y"):  # what is left out need not be there
        if channels == "rgb":
            next((atlas / "raw").glob(f"*/{sample}_yellow.png")).unlink()
    data = open_atlas(atlas, channels=channels)
    assert data.channels == 3
    assert data.train.paths[2] == tuple(atlas / "raw" / "train" / f"c_{COLOURS[place]}.png" for place in places)
    assert data.mean == tuple((0.485, 0.456, 0.406, 0.485)[place] for place in places)


@pytest.mark.parametrize("channels", ["g", "rg", "rgbb", "rgbx", "RGB", ""])
def test_channels_that_there_are_not_are_refused(atlas, channels):
    with pytest.raises(ValueError, match=f"--channels '{channels}' is not three or four different letters of rgby"):
        open_atlas(atlas, channels=channels)


def stack(root, part, sample, level=None):
    """The sample's files as one RGBA photo, or one of the brightness `level`."""
    files = [root / "raw" / part / f"{sample}_{colour}.png" for colour in COLOURS]
    bands = [np.full((8, 8), level, np.uint8) if level else np.asarray(Image.open(file)) for file in files]
    (root / "rgby" / part).mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.stack(bands, axis=2)).save(root / "rgby" / part / f"{sample}.png")


@pytest.mark.parametrize("channels", ["rgby", "rgb"])
def test_stacked_photos_stand_in_for_separate_files_and_have_the_same_pixels(atlas, channels):
    separate = open_atlas(atlas, channels=channels)
    for sample in ROWS:
        stack(atlas, "train", sample)
    for sample in ("x", "y"):
        stack(atlas, "test", sample)
    stack(atlas, "train", "a", level=9)  # not looked at, as the separate files are all there
    assert open_atlas(atlas, channels=channels).train.paths == separate.train.paths
    expected = {
        photo: decode(path, 0, (8, 8), len(channels))
        for part in (separate.train, separate.test)
        for photo, path in zip(part.ids, part.paths, strict=True)
    }
    stack(atlas, "train", "a")
    (atlas / "raw").rename(atlas / "away")
    stacked = open_atlas(atlas, channels=channels)
    assert stacked.train.paths[0] == atlas / "rgby" / "train" / "a.png"
    assert stacked.test.paths[0] == atlas / "rgby" / "test" / "y.png"
    for part in (stacked.train, stacked.test):
        for photo, path in zip(part.ids, part.paths, strict=True):
            np.testing.assert_array_equal(decode(path, 0, (8, 8), len(channels)), expected[photo])


def test_stacked_photos_do_not_serve_other_channels(atlas):
    for sample in ROWS:
        stack(atlas, "train", sample)
    (atlas / "raw" / "train").rename(atlas / "raw" / "away")
    with pytest.raises(
        ValueError, match=r"line 2 \(Id a\): --channels gby needs a file for each channel; .*rgby/train"
    ):
        open_atlas(atlas, channels="gby")


def test_a_group_column_says_which_samples_belong_together(atlas):
    rows = [f"{sample},{target},{'one' if sample < 'd' else 'two'}" for sample, target in ROWS.items()]
    write(atlas / "train.csv", "Id,Target,group", rows)
    assert open_atlas(atlas).train.groups == ("one",) * 3 + ("two",) * 3


def test_the_number_of_classes_can_be_given(atlas):
    data = open_atlas(atlas, classes=28)
    assert data.train.target.shape == (6, 28)
    assert data.test.answers[-1] == "27"


def test_external_samples_train_only_and_keep_the_group_that_they_have_here(atlas, elsewhere):
    rows = [f"{sample},{target},g{number // 2}" for number, (sample, target) in enumerate(ROWS.items())]
    write(atlas / "train.csv", "Id,Target,group", rows)
    alone, data = open_atlas(atlas), open_atlas(atlas, external=str(elsewhere))
    assert data.train.ids == (*alone.train.ids, "external/b", "external/z")
    assert data.train.only_train.tolist() == [False] * 6 + [True] * 2
    assert data.train.groups == ("g0", "g0", "g1", "g1", "g2", "g2", "g0", "z")
    assert data.train.target[6:].tolist() == [[0, 1, 0, 0], [1, 0, 0, 1]]
    assert data.train.paths[6][0] == elsewhere / "train" / "b_red.jpg"
    assert data.test == alone.test
    assert data.fingerprint() != alone.fingerprint()


def test_an_external_sample_with_a_group_of_the_atlas_is_of_that_group(atlas, elsewhere):
    rows = [f"{sample},{target},g{number // 2}" for number, (sample, target) in enumerate(ROWS.items())]
    write(atlas / "train.csv", "Id,Target,group", rows)
    write(elsewhere / "train.csv", "Id,Target,group", ["b,1,g2", "z,3,g1"])
    assert open_atlas(atlas, external=str(elsewhere)).train.groups[6:] == ("g0", "g1")


def test_all_of_an_external_group_with_a_sample_of_the_atlas_is_of_that_sample_s_group(atlas, elsewhere):
    """b is a sample of both; z is said to be its duplicate, so z must not train where b validates."""
    write(elsewhere / "train.csv", "Id,Target,group", ["b,1,same", "z,3 0,same"])
    data = open_atlas(atlas, external=str(elsewhere))
    assert data.train.groups[-2:] == ("b", "b")
    draw(elsewhere / "train", "c")
    write(elsewhere / "train.csv", "Id,Target,group", ["b,1,same", "c,3 0,same"])
    with pytest.raises(ValueError, match="its group 'same' says that groups 'b' and 'c' of the data belong together"):
        open_atlas(atlas, external=str(elsewhere))


def test_external_samples_that_do_not_fit_are_refused(atlas, elsewhere, tmp_path, drawn):
    write(elsewhere / "train.csv", "Id,Target", ["b,1", "z,4"])  # a class that the atlas has not
    says = r"elsewhere/train.csv line 3 \(Id z\): Target 4 is out of range, 0 to 3; --classes sets it"
    with pytest.raises(ValueError, match=says):
        open_atlas(atlas, external=str(elsewhere))
    assert open_atlas(atlas, external=str(elsewhere), classes=5).train.target.shape == (8, 5)
    with pytest.raises(ValueError, match="--external .*nowhere is not a folder"):
        open_atlas(atlas, external=str(tmp_path / "nowhere"))
    with pytest.raises(ValueError, match=r"--external .* is for the layout proteins; .* is read as MaskSplit"):
        open_atlas(drawn, external=str(elsewhere))


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("c,", r"train.csv line 4 \(Id c\): Target is empty"),
        ("c, ", r"line 4 \(Id c\): Target is empty"),
        ("c,one", r"line 4 \(Id c\): Target 'one' has 'one', which is no class number"),
        ("c,1 -1", r"line 4 \(Id c\): Target '1 -1' has '-1'"),
        ("c,1;2", "has '1;2', which is no class number; join numbers with blanks"),
        ("c,2.0", "'2.0'"),
        ("c,²", "'²'"),
        ("c,1 5000", r"line 4 \(Id c\): Target 5000 is out of range, 0 to 999"),
        ("a,1", "train.csv lists Id a 2 times"),
        (",1", r"train.csv line 4: Id is empty"),
        ("q,1", r"line 4 \(Id q\): .*raw/train lacks q_red.png, q_green.png, q_blue.png, q_yellow.png"),
        ("../c,1", r"line 4 \(Id ../c\): .*lacks"),
    ],
)
def test_a_faulty_line_is_named_with_its_id(atlas, line, says):
    rows = [f"{sample},{target}" for sample, target in ROWS.items()]
    write(atlas / "train.csv", "Id,Target", [*rows[:2], line, *rows[3:]])
    with pytest.raises(ValueError, match=says):
        open_atlas(atlas)


def test_a_number_beyond_the_given_classes_is_out_of_range(atlas):
    with pytest.raises(ValueError, match=r"line 5 \(Id d\): Target 3 is out of range, 0 to 2"):
        open_atlas(atlas, classes=3)


def test_a_blank_group_is_named(atlas):
    write(atlas / "train.csv", "Id,Target,group", ["a,0,g", "b,1, "])
    with pytest.raises(ValueError, match=r"line 3 \(Id b\): group is empty"):
        open_atlas(atlas)


@pytest.mark.parametrize(("part", "table"), [("train", "train.csv line 2"), ("test", "sample_submission.csv line 3")])
def test_a_missing_channel_is_named_with_what_to_do(atlas, part, table):
    sample = {"train": "a", "test": "x"}[part]
    (atlas / "raw" / part / f"{sample}_yellow.png").unlink()
    says = rf"{table} \(Id {sample}\): .*raw/{part} lacks {sample}_yellow.png; --channels rgb leaves yellow out"
    with pytest.raises(ValueError, match=says):
        open_atlas(atlas)
    assert open_atlas(atlas, channels="rgb").channels == 3


@pytest.mark.parametrize("targets", [["0", "0"], ["3", "3 3"]])
def test_one_class_is_nothing_to_learn(atlas, targets):
    write(
        atlas / "train.csv", "Id,Target", [f"{sample},{target}" for sample, target in zip("ab", targets, strict=True)]
    )
    with pytest.raises(ValueError, match="train.csv has samples of 1 class; 2 are needed"):
        open_atlas(atlas)


def test_two_files_of_one_channel_are_named(atlas):
    draw(atlas / "raw" / "train", "c", ["blue"], ending="jpg")
    with pytest.raises(ValueError, match="raw/train holds both c_blue.jpg and c_blue.png; keep one"):
        open_atlas(atlas)


def test_a_test_list_without_photos_is_told(atlas):
    (atlas / "raw" / "test").rename(atlas / "raw" / "away")
    with pytest.raises(ValueError, match="lists 2 samples, but .*/test and .*rgby/test hold none; copy them there, or"):
        open_atlas(atlas)


def test_a_test_sample_listed_twice_is_told(atlas):
    write(atlas / "sample_submission.csv", "Id,Predicted", ["y,0", "x,0", "y,0"])
    with pytest.raises(ValueError, match="sample_submission.csv lists Id y 2 times"):
        open_atlas(atlas)


def test_samples_that_no_list_names_are_told(atlas, capsys):
    draw(atlas / "raw" / "train", "k")
    draw(atlas / "raw" / "test", "l")
    (atlas / "raw" / "train" / "notes.txt").write_text("no photo")
    open_atlas(atlas)
    said = capsys.readouterr().out
    assert f"1 samples of {atlas}/raw/train are not in {atlas}/train.csv and are left out: k" in said
    assert f"1 samples of {atlas}/raw/test are not in {atlas}/sample_submission.csv and are left out: l" in said


def probed(given):
    """The data root that preflight finds on a machine."""
    answer = probe(str(given), {marker: HEADERS.get(marker, ()) for marker in LAYOUTS}, [])
    return answer.get("root", answer.get("error"))


@pytest.mark.parametrize("below", ["", "raw", "raw/train"])
def test_the_root_is_found_from_below_by_a_trial_and_by_preflight(atlas, below):
    assert open_atlas(atlas / below).root == atlas
    assert probed(atlas / below) == str(atlas)


@pytest.mark.parametrize("below", ["", "train", "train/images"])
def test_the_train_csv_of_the_faces_is_not_taken_for_one_of_the_atlas(drawn, below):
    assert open_atlas(drawn / below).root == drawn
    assert probed(drawn / below) == str(drawn)


def test_a_train_csv_of_another_kind_does_not_hide_another_layout(atlas):
    write(atlas / "train.csv", "path,label", ["a,b"])
    write(atlas / "manifest.csv", "path,label", [f"raw/train/{name}_red.png,{name > 'c'}" for name in ROWS])
    assert len(open_atlas(atlas).train.ids) == 6
    (atlas / "manifest.csv").unlink()
    with pytest.raises(ValueError, match=r"has none of .*train.csv \(Id,Target\)"):
        open_atlas(atlas)


@pytest.mark.photos
def test_the_real_glyphs_are_read(real_photos):
    data = open_atlas(real_photos / "glyph4-multilabel")
    assert (len(data.train.ids), len(data.test.ids), data.task.size) == (2400, 480, 12)
    assert len(set(data.train.groups)) == 16
    for path in data.train.paths[:100]:
        pixels = decode(path, 0, (64, 64), 4)
        np.testing.assert_array_equal(pixels, np.stack([np.asarray(Image.open(file)) for file in path], axis=2))
