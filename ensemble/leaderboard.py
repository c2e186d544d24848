"""A table of all trials and blends, with what the competition said of them.

    python ensemble/leaderboard.py outputs/EXPERIMENT -o board.html
    python ensemble/leaderboard.py outputs/EXPERIMENT --record submission.csv f1=.75 acc=81%

Scores are those of val_soft.csv with 95 % intervals over people. Only runs that validated the same photos
in the same fold are ranked together; models of one head stand by themselves.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "baseline"))

from board import record, scores_of
from entries import Scores, full_lines, plain_lines, plain_sheet, sheet_of
from members import Member, differing_knobs, find_members
from metrics import METRICS
from predictions import write_csv
from run import atomic
from sheet import Sheet, check_target, show, to_html, to_markdown
from standings import Section, measure, ranking_metric, sections_of

ENDINGS = (".md", ".csv", ".html")


def main(argv: list[str]) -> None:
    given = parse(argv)
    try:
        lead(given)
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")


def parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="leaderboard.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="*", type=Path, help="experiments, or run folders; blends too")
    parser.add_argument("-o", "--output", type=Path, help="writes the table too: .md, .csv or .html")
    parser.add_argument("--metric", help=f"rank by it: {', '.join(METRICS.entries)}; default: the trials' objective")
    parser.add_argument("--board", action="store_true", help="model, epoch, batch_size, val_acc, board_f1, board_acc")
    parser.add_argument(
        "--record",
        nargs="+",
        metavar=("FILE", "NAME=VALUE"),
        help="stores what the competition answered to a submission",
    )
    parser.add_argument("--of", metavar="RUN", help="with --record: the run that the submission came from")
    return parser.parse_args(argv)


def lead(given: argparse.Namespace) -> None:
    """Reads everything, records, shows, writes. Raises ValueError."""
    from rich.console import Console
    from rich.progress import track

    if given.output:
        check_target(given.output)
    if given.output and given.output.suffix not in ENDINGS:
        raise ValueError(f"{given.output} ends in none of {', '.join(ENDINGS)}; its ending says what is written")
    if given.of and not given.record:
        raise ValueError("--of names the run of a submission; give that too: --record submission.csv f1=.75")
    members = find_members(given.runs, with_blends=True)
    metric, notes = ranking_metric(given.metric, members)
    if given.record:
        for line in record(Path(given.record[0]), given.record[1:], members, given.of):
            print(line)
    board, stale = scores_of(members)
    notes += stale
    errors = Console(stderr=True)
    reading = track(members, "reading", console=errors, transient=True, disable=not errors.is_terminal)
    sections = sections_of([measure(member) for member in reading], metric)
    if len(sections) > 1:
        notes.append("Sections cannot be compared: they validated other photos or people, or answer another question.")
    names = names_of(members)
    sheets = [plain_sheet(one, board) if given.board else sheet_of(one, metric, board, names) for one in sections]
    show(sheets, notes, Console())
    if given.output:
        write(given.output, lines_of(sections, board, names, given.board), sheets, notes)
        print(f"{given.output}: {len(members)} runs")


def names_of(members: Sequence[Member]) -> dict[Path, str]:
    """Short names where all are of one experiment."""
    alone = len({member.path.parent for member in members}) == 1
    return {member.path: member.path.name if alone else member.name for member in members}


def lines_of(sections: Sequence[Section], board: Scores, names: dict[Path, str], plain: bool) -> list[dict[str, Any]]:
    """The rows of a CSV, of all sections; recorded scores stand before the errors, which are long."""
    knobs = differing_knobs(
        [one.member for section in sections for one in section.standings if not one.member.is_blend]
    )
    lines = []
    for section in sections:
        found = plain_lines(section, board) if plain else full_lines(section, board, names, knobs)
        lines += [{"section": section.title} | line for line in found]
    return lines


def write(path: Path, lines: Sequence[dict[str, Any]], sheets: Sequence[Sheet], notes: Sequence[str]) -> None:
    """By the ending of `path`: .csv holds `lines`, .md and .html the sheets."""
    if path.suffix == ".csv":
        columns = dict.fromkeys(name for line in lines for name in line)
        write_csv(path, {name: [line.get(name, "") for line in lines] for name in columns})
    else:
        text = (to_markdown if path.suffix == ".md" else to_html)("Leaderboard", sheets, notes)
        atomic(path, lambda file: file.write_text(text, encoding="utf-8"))


if __name__ == "__main__":
    main(sys.argv[1:])
