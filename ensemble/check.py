"""Would the competition take this submission? Says so before it is uploaded.

    python ensemble/check.py submission.csv --like eval/info.csv [--run FOLDER]

One line for each check, all of them at once; exit code 1 where a FAIL says that it would be refused. With a
run folder, --run or the one that the submission lies in, answers are held against its classes, and how often
each is predicted against its share of the training photos.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "baseline"))

from rich.console import Console

from answers import FAIL, OK, Answer, Finding, Training, check_answers, count_classes, listing, read_training, spell
from predictions import columns_of, is_class, read_rows
from shares import check_shares, tabulate

SEVERAL = "Predicted"  # the answer column of competitions whose rows have any number of classes


@dataclass(frozen=True)
class Wanted:
    """What the file named with --like says of a submission; it may have no column of answers."""

    path: Path
    id_column: str
    answer_column: str | None
    ids: tuple[str, ...]
    placeholders: list[str]  # what stands in its answers


def main(argv: list[str]) -> int:
    given = parse(argv)
    try:
        wanted = read_wanted(given.like)
        training = find_training(given.submission, given.run)
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    findings, answers = examine(given.submission, wanted)
    if answers:
        spelling = spell(answers, wanted.placeholders, wanted.answer_column == SEVERAL, training)
        counted = count_classes(answers, spelling), len(answers), spelling, training
        findings += check_answers(answers, spelling) + check_shares(*counted)
        Console(width=None if sys.stdout.isatty() else 140).print(tabulate(*counted))
    print("\n".join(map(str, findings)))
    return 1 if any(finding.state == FAIL for finding in findings) else 0


def parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="check.py", description=__doc__.partition("\n")[0])
    parser.add_argument("submission", type=Path, help="the CSV to upload")
    parser.add_argument(
        "--like", type=Path, required=True, metavar="FILE", help="eval/info.csv, sample_submission.csv or the like"
    )
    parser.add_argument(
        "--run",
        type=Path,
        metavar="FOLDER",
        help="a run folder that predicts the same classes (default: the submission's)",
    )
    return parser.parse_args(argv)


def read_wanted(like: Path) -> Wanted:
    """Raises ValueError for a file that cannot say how a submission looks."""
    rows = read_rows(like)
    id_column, *others = columns_of(rows)
    if len(others) > 1:
        raise ValueError(f"{like} has the columns {id_column},{','.join(others)}; name a file of ids and answers alone")
    ids = tuple(cells[id_column] for cells in rows.values())
    if twice := [photo for photo, times in Counter(ids).items() if times > 1]:
        raise ValueError(f"{like} names {twice[0]!r} twice; remove one of these lines")
    placeholders = [cells[name] for cells in rows.values() for name in others]
    return Wanted(like, id_column, others[0] if others else None, ids, placeholders)


def find_training(submission: Path, run: Path | None) -> Training | None:
    """What the run folder says; without one the submission's own, if it lies in one. Raises ValueError."""
    if run is not None:
        return read_training(run)
    with suppress(ValueError):  # it lies elsewhere, maybe beside another system's config.json
        return read_training(submission.parent)
    return None


def examine(submission: Path, wanted: Wanted) -> tuple[list[Finding], list[Answer]]:
    """What its columns, rows and ids are like; its answers, none where it cannot be told which they are."""
    try:
        rows = read_rows(submission)
    except (ValueError, OSError) as error:
        return [Finding("file", FAIL, str(error))], []
    columns = columns_of(rows)
    findings = [check_columns(columns, wanted)]
    identity = wanted.id_column if wanted.id_column in columns else columns[0]
    others = [name for name in columns if name != identity]
    answer = wanted.answer_column if wanted.answer_column in others else others[0] if len(others) == 1 else None
    if answer is None:
        return [*findings, Finding("rows", FAIL, "not looked at, as it is unknown which column holds the answers")], []
    same = len(rows) == len(wanted.ids)
    size = f"{len(rows):,}" if same else f"{len(rows):,} instead of {len(wanted.ids):,}"
    findings.append(Finding("rows", OK if same else FAIL, size))
    answers = [Answer(line, cells[identity], cells[answer]) for line, cells in rows.items()]
    return findings + check_ids(answers, wanted), answers


def check_columns(columns: list[str], wanted: Wanted) -> Finding:
    expected = [wanted.id_column, wanted.answer_column or "".join(columns[1:2])]
    if columns == expected:
        return Finding("columns", OK, ",".join(columns))
    if columns[0] in wanted.ids:
        todo = "its first line is a row already; write the names of the columns above it"
    elif columns[0] == "" or columns[0].startswith("Unnamed:"):
        todo = "leave out pandas' index, to_csv(…, index=False)"
    elif any(map(is_class, columns)):
        todo = "these are soft predictions; upload hard.csv, or what soft_vote.py makes of them"
    else:
        todo = f"name and order them as {wanted.path} does"
    return Finding("columns", FAIL, f"{','.join(columns)} instead of {','.join(expected)}", todo)


def check_ids(answers: list[Answer], wanted: Wanted) -> list[Finding]:
    """Ids that lost their zeros, stand twice, are missing or too many; and the order of the others."""
    padded = lost_zeros({answer.photo for answer in answers}, wanted.ids)
    ids = [padded.get(answer.photo, answer.photo) for answer in answers]
    times, expected = Counter(ids), set(wanted.ids)
    findings = []
    if padded:
        short = next(answer for answer in answers if answer.photo in padded)
        found = f"{short.photo!r} stands where {padded[short.photo]!r} is expected ({len(padded):,} such ids), "
        todo = "keep ids as text, pandas.read_csv(…, dtype=str)"
        findings.append(Finding("ids", FAIL, f"{found}so the zeros at the front are lost (line {short.line})", todo))
    for odd, what, todo in (
        ([photo for photo, number in times.items() if number > 1], "twice or more", "keep one row of each"),
        ([photo for photo in wanted.ids if photo not in times], "missing", "predict them too"),
        ([photo for photo in times if photo not in expected], f"not in {wanted.path}", "remove their rows"),
    ):
        if odd:
            findings.append(Finding("ids", FAIL, f"{what}: {listing(map(repr, odd))}", todo))
    return [*(findings or [Finding("ids", OK, "all, each once")]), *check_order(ids, wanted)]


def lost_zeros(photos: Iterable[str], ids: Iterable[str]) -> dict[str, str]:
    """Of `photos`, the numbers that are none of `ids` but were one with zeros at their front, and which."""
    known = set(ids)
    bare = {photo.lstrip("0") or "0": photo for photo in known if re.fullmatch(r"0\d+", photo)}
    numbers = {photo: re.sub(r"\.0*$", "", photo).lstrip("0") or "0" for photo in photos if photo not in known}
    return {photo: bare[number] for photo, number in numbers.items() if number in bare}


def check_order(ids: list[str], wanted: Wanted) -> list[Finding]:
    """The order of the ids that are right; nothing where there are none."""
    there, expected = set(ids), set(wanted.ids)
    found = [photo for photo in dict.fromkeys(ids) if photo in expected]
    right = [photo for photo in wanted.ids if photo in there]
    if found == right:
        return [Finding("order", OK, f"that of {wanted.path}")] if found else []
    one, other = next((one, other) for one, other in zip(found, right, strict=True) if one != other)
    return [
        Finding("order", FAIL, f"{one!r} stands where {other!r} is expected", f"order the rows as {wanted.path} does")
    ]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
