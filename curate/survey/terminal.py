"""What the terminal shows of a data set: what to do about it, then its classes, photos, sizes and people."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from survey.advice import Entry, Finding
from survey.census import Measures
from survey.oddities import ODDITIES
from survey.roster import Roster

LONG, ENDS, SIZES = 40, 15, 8  # classes of which all are shown; else so many at each end; sizes
SINGLE = {"people": "person", "groups": "group", "photos": "photo"}
STYLE = {True: "bold red", False: "dim"}


def console() -> Console:
    return Console(width=None if sys.stdout.isatty() else 120, highlight=False)


def show_findings(findings: Sequence[Finding]) -> None:
    out = console()
    for finding in findings:
        sign = Text("act   " if finding.act else "know  ", STYLE[finding.act])
        out.print(sign.append(Text(str(finding), "default")), soft_wrap=True)
    if not findings:
        out.print("Nothing to act on was found.")
    out.print()


def show_tables(rosters: Sequence[Roster], entries: Sequence[Entry], sizes: dict[str, int], who: str) -> None:
    """`sizes` are how many of `who` have how many photos."""
    out = console()
    for roster in rosters:
        out.print(table_of_classes(roster, who))
    out.print(table_of_parts(entries))
    out.print(table_of_sizes(entries))
    if who != "photos":
        out.print(rows_table(f"photos a {SINGLE[who]}", ("photos", who), sizes.items()))


def table_of_classes(roster: Roster, who: str) -> Table:
    table = Table(title=roster.head, title_justify="left")
    table.add_column("class")
    people = [who] if who != "photos" else []
    for name in ("photos", "share", *people, *(["corrected"] if corrected(roster) else [])):
        table.add_column(name, justify="right")
    ranked = sorted(roster.classes, key=lambda one: -one.photos) if len(roster.classes) > LONG else roster.classes
    for number, one in enumerate(ranked):
        if len(ranked) <= LONG or number < ENDS or number >= len(ranked) - ENDS:
            cells = [str(one.photos), f"{one.photos / roster.photos:.1%}", *([str(one.people)] if people else [])]
            cells += [f"+{one.gained} -{one.lost}"] if corrected(roster) else []
            table.add_row(Text(one.name), *cells)
        elif number == ENDS:
            table.add_row(f"… {len(ranked) - 2 * ENDS} more …")
    return table


def corrected(roster: Roster) -> bool:
    return any(one.gained or one.lost for one in roster.classes)


def table_of_parts(entries: Sequence[Entry]) -> Table:
    """A column for each part: train, val, external, test."""
    parts = dict.fromkeys(entry.part for entry in entries)
    table = Table(title="photos", title_justify="left")
    table.add_column("")
    for part in parts:
        table.add_column(part, justify="right")
    of_part = {part: [entry for entry in entries if entry.part == part] for part in parts}
    for name in facts([], ()):
        cells = [facts([entry.measures for entry in own], own)[name] for own in of_part.values()]
        table.add_row(name, *cells)
    for word in ODDITIES:
        counts = [sum(word in entry.odd for entry in own) for own in of_part.values()]
        if any(counts):
            table.add_row(word, *map(str, counts), style=STYLE[True] if ODDITIES[word].act else None)
    return table


def facts(measures: Sequence[Measures], entries: Sequence[Entry]) -> dict[str, str]:
    """What the table of parts says of one part."""
    seen = [photo for photo in measures if not photo.fault]
    sides = np.array([(photo.width, photo.height) for photo in seen]).reshape(-1, 2)
    bytes_ = sum(photo.bytes for photo in measures)
    return {
        "photos": str(len(entries)),
        "megabytes": f"{bytes_ / 1e6:.1f}",
        "width x height, median": span(sides, np.median),
        "smallest": "" if not seen else shape(min(seen, key=lambda photo: photo.width * photo.height)),
        "largest": "" if not seen else shape(max(seen, key=lambda photo: photo.width * photo.height)),
        "brightness, mean ± sd over photos": spread([photo.brightness for photo in seen]),
        "contrast": spread([photo.contrast for photo in seen]),
        "files": ", ".join(commonest(f"{photo.format} {photo.mode}" for photo in seen)),
    }


def span(sides: np.ndarray, middle) -> str:
    return " x ".join(f"{value:g}" for value in middle(sides, axis=0)) if len(sides) else ""


def shape(photo: Measures) -> str:
    return f"{photo.width} x {photo.height}"


def spread(values: Sequence[float]) -> str:
    return f"{np.mean(values):.2f} ± {np.std(values):.2f}" if values else ""


def commonest(words: Iterator[str]) -> Iterator[str]:
    counts = Counter(words)
    for word, count in counts.most_common(4):
        yield word if len(counts) == 1 else f"{word} ({count})"
    if len(counts) > 4:
        yield f"{len(counts) - 4} other kinds"


def table_of_sizes(entries: Sequence[Entry]) -> Table:
    sides = {"labelled": Counter(), "test": Counter()}
    for entry in entries:
        if not entry.measures.fault:
            sides["test" if entry.part == "test" else "labelled"][shape(entry.measures)] += 1
    whole = sides["labelled"] + sides["test"]
    rows = [(size, sides["labelled"][size], sides["test"][size]) for size, _ in whole.most_common(SIZES)]
    if len(whole) > SIZES:
        left = [sum(counts.values()) - sum(counts[row[0]] for row in rows) for counts in sides.values()]
        rows.append((f"{len(whole) - SIZES} other sizes", *left))
    return rows_table("sizes, pixels upright", ("width x height", "labelled", "test"), rows)


def rows_table(title: str, names: Sequence[str], rows) -> Table:
    table = Table(title=title, title_justify="left")
    for number, name in enumerate(names):
        table.add_column(name, justify="right" if number else "left")
    for row in rows:
        table.add_row(*map(str, row))
    return table
