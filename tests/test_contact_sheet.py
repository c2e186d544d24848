import numpy as np
from PIL import Image

from doubts.contact_sheet import GAP, HEIGHT, LARGE, MARGIN, Entry, thumbnail, write_sheet


def plain(path, colour, size=(40, 20)):
    Image.new("RGB", size, colour).save(path)
    return path


def pixels_of(path):
    with Image.open(path) as opened:
        return np.asarray(opened)


def test_a_photo_stands_in_its_row_and_the_others_beside_it(tmp_path):
    red, blue = plain(tmp_path / "red.png", (255, 0, 0)), plain(tmp_path / "blue.png", (0, 0, 255))
    entry = Entry(red, ("first", "second"), ((blue, "blue", True),))
    write_sheet(tmp_path / "sheet.png", "title", [entry, entry])
    pixels = pixels_of(tmp_path / "sheet.png")
    assert pixels.shape[0] == 3 * MARGIN + 2 * HEIGHT
    for row in (0, 1):
        top = 2 * MARGIN + GAP + row * HEIGHT
        assert pixels[top + LARGE // 4, MARGIN + LARGE // 2].tolist() == [255, 0, 0]
        right = pixels[top : top + LARGE, MARGIN + LARGE :]
        assert (right == [0, 0, 255]).all(axis=2).any()


def test_a_photo_that_cannot_be_read_leaves_its_place(tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"none")
    entry = Entry(broken, ("first",), ((tmp_path / "gone.jpg", "", False),))
    write_sheet(tmp_path / "sheet.png", "title", [entry])
    assert len(pixels_of(tmp_path / "sheet.png")) == 3 * MARGIN + HEIGHT


def test_of_channels_in_files_of_their_own_three_are_shown(tmp_path):
    levels = (10, 20, 30, 40)
    files = tuple(tmp_path / f"{level}.png" for level in levels)
    for file, level in zip(files, levels, strict=True):
        Image.new("L", (8, 8), level).save(file)
    assert np.asarray(thumbnail(files, 8))[0, 0].tolist() == [10, 20, 30]


def test_more_photos_than_fit_are_counted(tmp_path):
    photo = plain(tmp_path / "a.png", (0, 255, 0))
    sheets = []
    for count in (7, 9):
        write_sheet(tmp_path / "sheet.png", "", [Entry(photo, ("",), ((photo, "", False),) * count)])
        sheets.append(pixels_of(tmp_path / "sheet.png").astype(int))
    green = [(sheet == [0, 255, 0]).all(axis=2).sum() for sheet in sheets]
    assert green[0] == green[1]
    assert (sheets[0] != sheets[1]).any()
