"""Scores answers against the truth: `SM_GROUND_TRUTH_DIR=DIR SM_OUTPUT_DATA_DIR=DIR python baseline/evaluation.py`.

gt.csv against output.csv, or `--truth FILE --output FILE`, both as a submission is: ImageID,ans · id,label · path,label
· Id,Predicted (classes joined by spaces; the truth may call them Target). Prints
{"accuracy": {"value": "58.16%"}, "f1": {"value": 0.4165}}.

f1 is scikit-learn's macro F1: the mean over the classes that occur in truth or answers. A trial's own macro_f1 is over
all classes, where one that never occurs counts 0. Accuracy of several labels at once counts rows that are right in all.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from pathlib import Path

from predictions import columns_of, read_rows
from trial import environment

SEVERAL = ("Predicted", "Target")  # columns of several labels at once


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="evaluation.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--truth", type=Path, metavar="FILE", help="where it is not $SM_GROUND_TRUTH_DIR/gt.csv")
    parser.add_argument("--output", type=Path, metavar="FILE", help="where it is not $SM_OUTPUT_DATA_DIR/output.csv")
    given = parser.parse_args(argv)
    try:
        around = environment()
        truth = given.truth or place(around, "SM_GROUND_TRUTH_DIR", "gt.csv", "--truth")
        output = given.output or place(around, "SM_OUTPUT_DATA_DIR", "output.csv", "--output")
        print(json.dumps(compare(truth, output)))
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")


def place(environment: dict[str, str], variable: str, name: str, option: str) -> Path:
    if not environment.get(variable):
        raise ValueError(f"which {name}? Pass {option} FILE, or set {variable} to the folder that holds it")
    return Path(environment[variable]) / name


def compare(truth: Path, output: Path) -> dict[str, dict[str, str | float]]:
    """Accuracy and macro F1 of the answers in `output`. Raises ValueError where its rows are not those of `truth`."""
    right, several = read_answers(truth)
    answered, also = read_answers(output)
    if several != also:
        raise ValueError(f"{truth if several else output} may hold several labels a row, and the other file one")
    if missing := [photo for photo in right if photo not in answered]:
        raise ValueError(f"{output} lacks {len(missing)} of the {len(right)} rows of {truth}: {shown(missing)}")
    if others := [photo for photo in answered if photo not in right]:
        raise ValueError(f"{output} has {len(others)} rows that {truth} has not: {shown(others)}")
    pairs = [(right[photo], answered[photo]) for photo in right]
    if not several and (empty := [photo for photo in right if not right[photo] or not answered[photo]]):
        raise ValueError(f"{output} or {truth} has no answer for {shown(empty)}")
    accuracy = sum(set(wanted) == set(found) for wanted, found in pairs) / len(pairs)
    return {"accuracy": {"value": f"{accuracy:.2%}"}, "f1": {"value": round(macro_f1(pairs), 4)}}


def macro_f1(pairs: list[tuple[tuple[str, ...], tuple[str, ...]]]) -> float:
    """Of pairs (true classes, answered classes)."""
    from sklearn.metrics import f1_score
    from sklearn.preprocessing import MultiLabelBinarizer

    marks = MultiLabelBinarizer().fit([classes for pair in pairs for classes in pair])
    wanted, found = (marks.transform([pair[side] for pair in pairs]) for side in (0, 1))
    return float(f1_score(wanted, found, average="macro", zero_division=0))


def read_answers(path: Path) -> tuple[dict[str, tuple[str, ...]], bool]:
    """The classes of each id, and whether there may be several. Raises ValueError."""
    rows = read_rows(path)
    columns = columns_of(rows)
    if len(columns) < 2:
        raise ValueError(
            f"{path}: expected two columns, as ImageID,ans or id,label or Id,Predicted; found {columns[0]}"
        )
    id_column, answer_column = named(path, columns)
    ids = [cells[id_column] for cells in rows.values()]
    if twice := [photo for photo, count in Counter(ids).items() if count > 1]:
        raise ValueError(f"{path} has {twice[0]!r} in two rows")
    several = answer_column in SEVERAL
    answers = [cells[answer_column] for cells in rows.values()]
    split = [tuple(answer.split()) if several else (answer.strip(),) if answer.strip() else () for answer in answers]
    return dict(zip(ids, split, strict=True)), several


def named(path: Path, columns: list[str]) -> tuple[str, str]:
    """The columns of ids and of answers; others may stand beside them. Raises ValueError."""
    for pair in (("ImageID", "ans"), ("id", "label"), ("path", "label"), *(("Id", column) for column in SEVERAL)):
        if set(pair) <= set(columns):
            return pair
    raise ValueError(
        f"{path}: expected the columns ImageID,ans, or id,label, path,label or Id,Predicted; found {','.join(columns)}"
    )


def shown(ids: list[str]) -> str:
    return ", ".join(map(repr, ids[:3])) + (" …" if len(ids) > 3 else "")


if __name__ == "__main__":
    main(sys.argv[1:])
