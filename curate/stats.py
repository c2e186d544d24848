"""What is in the data: classes, people, sizes, and photos that are grey, turned, tiny or unreadable.

    python curate/stats.py DATA [-o FOLDER]

Prints what to act on, then tables; writes stats.csv (a line for each photo) and stats.png (a picture of all of it) into
FOLDER, where it is not given curation/ of the data root or of --notes_dir. Classes and people are counted as a trial
counts them, with groups.csv and corrections.csv; --groups none and --corrections none count them as they came.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "baseline"))

from bands import TURNS, Photo, bands_of, orientation
from config import FIELDS
from dataset import read
from decode import to_rgb
from folds import own_rows
from notebook import curation_of, writable
from predictions import answers_of, write_csv
from run import atomic
from samples import Data
from sources import add_knobs, merge
from survey.advice import Entry, Finding, find_all
from survey.census import Measures, measure_all
from survey.charts import Bars, Portrait, draw, save
from survey.oddities import ODDITIES, oddities
from survey.roster import Roster, buckets, count_classes, group_sizes, who_is_split
from survey.terminal import SINGLE, show_findings, show_tables
from task import LIKELY

READING = {"dataset", "notes_dir", "groups", "corrections", "age_boundaries", "channels", "classes", "external"}
MOST_SHOWN = 30  # classes of which each gets a bar
PHOTOS = 16  # odd ones that the picture shows


def main(argv: list[str]) -> int:
    given = vars(argument_parser().parse_args(argv))
    root, folder = given.pop("data"), given.pop("output")
    try:
        config, _ = merge({"command line": given | {"data_dir": str(root), "classification": "heads"}})
        data = read(config.data_dir, config.dataset, config.values())
        folder = writable(folder or curation_of(data.root, config.notes_dir), "-o")
        entries = measure(data)
        rosters = count_classes(data)
        findings = find_all(data, entries, rosters)
        print(summary(data, entries) + "\n")
        show_findings(findings)
        sizes = buckets(list(group_sizes(data).values()))
        show_tables(rosters, entries, sizes, who_is_split(data))
        write_csv(folder / "stats.csv", columns(entries))
        page = draw(portrait(data, entries, findings, rosters, sizes))
        atomic(folder / "stats.png", lambda file: save(page, file))
        print(f"{folder / 'stats.csv'}: {len(entries)} photos; {folder / 'stats.png'}: the picture")
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        print("\nstopped before all was written", flush=True)
        return 130
    return 0


def argument_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="stats.py",
        description=__doc__,
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("data", type=Path, help="data root")
    parser.add_argument("-o", "--output", type=Path, default=None, help="folder of stats.csv and stats.png")
    add_knobs(parser, dict.fromkeys(FIELDS.keys() - READING, argparse.SUPPRESS))
    return parser


def measure(data: Data) -> list[Entry]:
    """All labelled photos in the order of the data, then the test photos."""
    train, test = data.train, data.test
    labels = answers_of(data.truth > LIKELY, data.task.classes)
    paths = [*train.paths, *(test.paths if test else ())]
    parts = [*parts_of(data), *["test"] * (len(test.ids) if test else 0)]
    blanks = [""] * (len(paths) - len(labels))
    measures = measure_all(paths, data.channels, "measuring photos")
    each = zip(
        (*train.ids, *(test.ids if test else ())),
        parts,
        (*labels, *blanks),
        (*train.groups, *blanks),
        measures,
        oddities(measures),
        strict=True,
    )
    return [Entry(*one) for one in each]


def parts_of(data: Data) -> list[str]:
    """train, val or external of each labelled photo."""
    parts = np.full(len(data.train.ids), "external", dtype=object)
    parts[own_rows(data.train)] = "train"
    if data.validation is not None:
        parts[data.validation] = "val"
    return list(parts)


def columns(entries: Sequence[Entry]) -> dict[str, list]:
    """Those of stats.csv."""
    told = {name: [getattr(entry, name) for entry in entries] for name in ("part", "label", "group")}
    names = [field.name for field in fields(Measures) if field.name != "fault"]
    measured = {name: [getattr(entry.measures, name) for entry in entries] for name in [*names, "grey", "fault"]}
    return {"path": [e.id for e in entries], **told, "odd": [" ".join(e.odd) for e in entries], **measured}


def summary(data: Data, entries: Sequence[Entry]) -> str:
    """One line: how much of what."""
    sizes, test = group_sizes(data), sum(entry.part == "test" for entry in entries)
    who = who_is_split(data)
    people = f" of {len(sizes)} {who}" if who != "photos" else ""
    applied = " and ".join(f"{name}.csv" for name in data.notes)
    return (
        f"{data.root.name}: {sizes.total()} labelled photos{people}, {len(data.task.classes)} classes, "
        f"{test} test photos" + (f"; counted with {applied}" if applied else "")
    )


def portrait(
    data: Data, entries: Sequence[Entry], findings: Sequence[Finding], rosters: Sequence[Roster], sizes: dict[str, int]
) -> Portrait:
    labelled = [e.measures for e in entries if e.part != "test" and not e.measures.fault]
    test = [e.measures for e in entries if e.part == "test" and not e.measures.fault]
    who = who_is_split(data)
    return Portrait(
        title=data.root.name,
        subtitle=summary(data, entries).partition(": ")[2],
        findings=tuple((finding.text, finding.act) for finding in findings),
        classes=tuple(bars_of(roster, who) for roster in rosters),
        people=tuple([people_of(sizes, who)] if who != "photos" else []),
        sizes=tuple(np.array([(m.width, m.height) for m in part]).reshape(-1, 2) for part in (labelled, test)),
        brightness=tuple(np.array([m.brightness for m in part]) for part in (labelled, test)),
        photos=tuple(odd_photos(data, entries)),
    )


def people_of(sizes: dict[str, int], who: str) -> Bars:
    return Bars(f"Photos a {SINGLE[who]}", tuple((size, count, f"{count} {who}") for size, count in sizes.items()))


def bars_of(roster: Roster, who: str) -> Bars:
    """A bar for each class; of many those of the most and of the fewest photos."""
    classes, left = roster.classes, len(roster.classes) - MOST_SHOWN
    if left > 0:
        ranked = sorted(classes, key=lambda one: -one.photos)
        classes = ranked[: MOST_SHOWN // 2] + ranked[-MOST_SHOWN // 2 :]
    title = f"{roster.head}, photos" + (f"; {left} classes between are left out" if left > 0 else "")
    behind = f" of {{}} {who}" if who != "photos" else ""
    return Bars(title, tuple((one.name, one.photos, f"{one.photos}{behind.format(one.people)}") for one in classes))


def odd_photos(data: Data, entries: Sequence[Entry]) -> Iterator[tuple[str, Image.Image]]:
    """Caption and photo of some of each kind of oddity, in turns."""
    paths = [*data.train.paths, *(data.test.paths if data.test else ())]
    kinds = {w: [n for n, e in enumerate(entries) if w in e.odd] for w in ODDITIES if w != "unreadable"}
    kinds = {word: rows for word, rows in kinds.items() if 2 * len(rows) < len(entries)}
    turns = [(word, rows[turn]) for turn in range(PHOTOS) for word, rows in kinds.items() if turn < len(rows)]
    for word, row in turns[:PHOTOS]:
        yield f"{word}: {Path(entries[row].id).name}", look(paths[row], data.channels)


def look(photo: Photo, channels: int) -> Image.Image:
    """The photo upright in RGB; of several channels the first three."""
    if isinstance(photo, tuple) or channels != 3:
        return Image.merge("RGB", bands_of(photo, channels)[:3])
    with Image.open(photo) as opened:
        opened.load()
        turn = orientation(opened)
        return to_rgb(opened.transpose(TURNS[turn]) if turn in TURNS else opened)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
