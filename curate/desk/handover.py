"""What a review hands on: corrections.csv for every later run, and the right class of each decided photo."""

from __future__ import annotations

import csv
import hashlib
import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from desk.opinions import Joint, Key, Labels, Opinion, join, opinions_of
from desk.verdicts import UNSURE, WRONG, Store, Verdict, live
from notes import CORRECTIONS, MADE_FOR, amend, digest, origin
from run import atomic
from samples import Data

WROTE = "corrections.csv as written"  # the fact that holds the digest of the last one


@dataclass(frozen=True)
class Result:
    """`classes` are path and class of the decided photos; the counts are of all labelled photos."""

    corrections: tuple[tuple[str, ...], ...]
    classes: tuple[tuple[str, str], ...]
    counts: Mapping[str, int]  # decided, disagreed, unsure, open (wrong, no class given), undecided

    def __str__(self) -> str:
        left = [f"{self.counts[name]} {tell}" for name, tell in LEFT.items() if self.counts[name]]
        return f"{len(self.classes)} photos are decided" + (f"; left out: {', '.join(left)}" if left else "")


LEFT = {
    "disagreed": "on which reviewers disagree",
    "unsure": "unsure",
    "open": "marked wrong without a right class",
    "undecided": "not looked at",
}


def result_of(data: Data, verdicts: Sequence[Verdict]) -> Result:
    """What the log `verdicts` says of `data`, both files' rows in the order of the photos."""
    labels = Labels.of(data)
    holding = live(verdicts)
    joint = join(labels, opinions_of(labels, holding))
    valued = {one.path for one in holding if one.field and one.value != UNSURE}
    states = {photo: state_of(labels, joint, photo, valued) for photo in data.train.ids}
    head = ("", "", MADE_FOR, origin(data), "the labels that these lines are for; made by curate/review.py")
    return Result(
        (head, *lines_of(labels, joint, valued)),
        tuple(classes_of(data, labels, joint, [photo for photo, state in states.items() if state == "decided"])),
        Counter(states.values()),
    )


def state_of(labels: Labels, joint: Mapping[Key, Joint], photo: str, valued: set[str]) -> str:
    """`decided`, or the word of LEFT that says why not; `valued` are the photos on which a value was given."""
    those = fields_of(labels, joint, photo)
    mark = joint.get(("", photo))
    if not all(one.value for one in (*those, *([mark] if mark else []))):
        return "disagreed"
    if not mark and photo not in valued:
        return "undecided"
    left = unexplained(labels, joint, photo, valued)
    if left == UNSURE or any(one.value == UNSURE for one in those):
        return "unsure"
    return "open" if left else "decided"


def fields_of(labels: Labels, joint: Mapping[Key, Joint], photo: str) -> list[Joint]:
    """What is thought of the fields of a photo, as far as anything is."""
    return [joint[key] for key in (labels.key(field, photo) for field in labels.fields) if key in joint]


def unexplained(labels: Labels, joint: Mapping[Key, Joint], photo: str, valued: set[str]) -> str:
    """The mark `wrong` or `unsure` of a photo where no value says more; else empty.

    A value of the person, given on another photo, explains why this one is wrong, but not what is unsure of it.
    """
    mark = joint.get(("", photo))
    if not mark or mark.value not in (WRONG, UNSURE) or photo in valued:
        return ""
    given = any(one.given for one in fields_of(labels, joint, photo))
    return "" if mark.value == WRONG and given else mark.value


def lines_of(labels: Labels, joint: Mapping[Key, Joint], valued: set[str]) -> Iterator[tuple[str, ...]]:
    """Rows of corrections.csv: what differs from the labels as they came, and what is unsure."""
    told = set()
    for photo, person in labels.groups.items():
        shown = "" if person == photo else person
        for field in labels.fields:
            key = labels.key(field, photo)
            one = joint.get(key)
            if key in told or one is None or not one.value or not (one.given or one.value == UNSURE):
                continue
            told.add(key)
            if one.value == UNSURE or differs(labels, key, one.value):
                subject = ("", person) if field.of_group else (photo, shown)
                yield *subject, field.name, one.value, who(one)
        if left := unexplained(labels, joint, photo, valued):
            reason = "wrong, its right class not given; " if left == WRONG else ""
            yield photo, shown, "", UNSURE, reason + who(joint["", photo])


def differs(labels: Labels, key: Key, value: str) -> bool:
    """Whether `value` changes the label: its class, or the years where years are given."""
    if value.isdigit() and labels.field(key[0]).ranges:
        return {int(value)} != set(map(int, labels.came[key]))
    return {labels.class_of(key[0], value)} != {labels.class_of(key[0], came) for came in labels.came[key]}


def who(joint: Joint) -> str:
    """The reviewers who say so, and the day of the last of them."""
    counted: tuple[Opinion, ...] = joint.opinions
    names = ", ".join(sorted({one.reviewer for one in counted}))
    settled = "settled by " if any(one.settled == one.number for one in counted) else ""
    return f"{settled}{names} {max(one.at for one in counted)[:10]}"


def classes_of(
    data: Data, labels: Labels, joint: Mapping[Key, Joint], photos: Sequence[str]
) -> Iterator[tuple[str, str]]:
    """Path and class of `photos`, as a submission spells it: of faces 0 to 17, else the label."""
    values = {field.name: [value_of(labels, joint, field.name, photo) for photo in photos] for field in data.fields}
    if len(data.fields) == 1:
        field = data.fields[0]
        yield from zip(photos, map(field.class_of, values[field.name]), strict=True)
    elif photos:
        numbers = np.argmax(data.task.combine(data.encode(values)), axis=1)
        yield from zip(photos, map(str, numbers), strict=True)


def value_of(labels: Labels, joint: Mapping[Key, Joint], name: str, photo: str) -> str:
    """The value of a field of a decided photo, corrected if it was."""
    field = labels.field(name)
    said = joint.get(labels.key(field, photo))
    came = labels.values[name, photo]
    return amend(field, came, said.value, photo) if said and said.given else came


def table_text(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    content = io.StringIO()
    csv.writer(content, lineterminator="\n").writerows([columns, *rows])
    return content.getvalue()


def write_corrections(path: Path, store: Store, result: Result) -> None:
    """Raises ValueError where `path` holds what this review neither wrote nor imported."""
    if path.is_file() and digest(path) not in known(store):
        raise ValueError(
            f"{path} was not written by this review, and would be lost: take its lines in with --import {path}, "
            "or move it away"
        )
    text = table_text(CORRECTIONS, result.corrections)
    remember(store, digest_of(text))  # first, so that no kill makes our own file a stranger's
    write(path, text)


def write_classes(path: Path, result: Result) -> None:
    write(path, table_text(("path", "class"), result.classes))


def write(path: Path, text: str) -> None:
    atomic(path, lambda file: file.write_text(text, encoding="utf-8"))


def digest_of(text: str) -> str:
    """What digest() says of a file of `text`."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def known(store: Store) -> set[str]:
    """Digests of files whose lines stand in the log."""
    return set(store.fact(WROTE, "").split())


def remember(store: Store, name: str) -> None:
    if name not in known(store):
        store.add_word(WROTE, name)
