"""How often a submission predicts each class, beside the class's share of the training photos."""

from __future__ import annotations

from collections import Counter

import numpy as np
from rich.bar import Bar
from rich.table import Table
from rich.text import Text

from answers import OK, WARN, Finding, Spelling, Training, listing

SURE = 0.99  # of submissions as the training photos are, the share that gets no mark at all
MARKS = {-1: "▼ fewer", 0: "", 1: "▲ more"}


def mark_shares(counts: np.ndarray, rows: int, training: Training) -> np.ndarray:
    """-1, 0 or 1 for each class (K,) that fewer, as many or more of `rows` name than its prior lets expect.

    The binomial interval for as many draws as there are people, at least: photos of a person share most of
    their classes, so `rows` of them are worth less. It is so wide (Bonferroni) that all K shares lie
    inside with probability SURE.
    """
    from scipy.stats import binom  # here, as it takes a second

    people = max(1, round(rows / training.photos_each))
    level = 1 - (1 - SURE) / len(training.prior)
    low, high = np.array(binom.interval(level, people, training.prior)) / people
    shares = counts / rows
    return (shares > high).astype(int) - (shares < low)


def check_shares(counts: Counter[str], rows: int, spelling: Spelling, training: Training | None) -> list[Finding]:
    """Classes that are never predicted, and those whose share is far from the training photos'."""
    if training is None:
        return [Finding("classes", OK, f"{len(counts)} predicted", "--run FOLDER holds them against a run's")]
    titles = titles_of(spelling, training)
    findings = []
    if never := [titles[code] for code in spelling.codes if not counts[code]]:
        findings.append(Finding("classes", WARN, f"never predicted: {listing(never, 10)}"))
    marks = mark_shares(in_order(counts, spelling), rows, training)
    if far := [titles[code] for code, mark in zip(spelling.codes, marks, strict=True) if mark]:
        found = f"far from their share of the training photos: {listing(far, 10)}"
        findings.append(Finding("shares", WARN, found, "only a hint, but see that no rows or classes are mixed up"))
    return findings or [Finding("classes", OK, "all are predicted, none far from its share of the training photos")]


def tabulate(counts: Counter[str], rows: int, spelling: Spelling, training: Training | None) -> Table:
    """A row for each class: its rows, share, share of the training photos, bar, and mark."""
    if training is None:
        codes = sorted(counts, key=lambda code: (0, code) if spelling.named else (int(code), code))
        titles, prior, marks = dict(zip(codes, codes, strict=True)), [None] * len(codes), [0] * len(codes)
    else:
        codes, titles, prior = spelling.codes, titles_of(spelling, training), training.prior
        marks = mark_shares(in_order(counts, spelling), rows, training)
    table = Table("class", title=f"{rows:,} rows")
    for name in ("rows", "share", "training"):
        table.add_column(name, justify="right")
    table.add_column("")
    table.add_column("")
    top = max(counts.values(), default=1)
    for code, expected, mark in zip(codes, prior, marks, strict=True):
        usual = "" if expected is None else f"{expected:.1%}"
        bar = Bar(top, 0, counts[code], width=24)
        table.add_row(
            Text(titles[code]), f"{counts[code]:,}", f"{counts[code] / rows:.1%}", usual, bar, MARKS[int(mark)]
        )
    return table


def titles_of(spelling: Spelling, training: Training) -> dict[str, str]:
    """A class as the submission spells it, and its name."""
    pairs = zip(spelling.codes, training.classes, strict=True)
    return {code: code if spelling.named else f"{code} {name}" for code, name in pairs}


def in_order(counts: Counter[str], spelling: Spelling) -> np.ndarray:
    return np.array([counts[code] for code in spelling.codes])
