"""The labels of a field, of photos or of persons, with how suspicious each is and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from doubts.beliefs import Beliefs
from doubts.confident import judge
from doubts.evidence import Unit, mean_over, tell, units_of
from samples import Data, Field
from task import Head, Task

OF_PERSONS = ("gender", "age")  # fields whose label is the person's, where no data says so


@dataclass(frozen=True)
class Suspect:
    """A label, of a photo or of a person."""

    path: str  # the photo, of a person the one that denies the label most
    person: str
    field: str
    label: str
    suggested: str  # what the models take it for; the label itself, where they agree
    probability: float  # of `suggested`; of several labels at once, that one of them is wrong
    score: float  # 0 to 1; low is suspicious
    issue: bool  # cleanlab would call it wrong
    evidence: str
    others: tuple[tuple[str, str, bool], ...]  # the person's other photos, what each is taken for, if unlike its label


@dataclass(frozen=True)
class Wording:
    """Of each photo (N,), in words, what is said of it."""

    people: Sequence[str]  # as the layout names them
    labels: Sequence[str]
    given: Sequence[str]  # before corrections
    looks: Sequence[str]  # the models' answers
    values: Sequence[str]  # ages in years; empty where the field is no number, or the data is not here


def rank(suspects: Sequence[Suspect]) -> list[Suspect]:
    """The most suspicious first."""
    return sorted(suspects, key=lambda suspect: (suspect.score, suspect.field, suspect.path))


def judge_field(said: Beliefs, data: Data | None) -> list[Suspect]:
    """Every label of one field, in no order. Raises ValueError where there are too few to compare."""
    words, of_person = put_in_words(said, data), is_of_person(said.field, data)
    units = units_of(words.people, words.labels, of_person)
    believed, truth = mean_over(said.probabilities, units), said.truth[[unit.rows[0] for unit in units]]
    judged, suggested = judge(truth, believed, said.exclusive), decide(said, believed)
    if judged.alone.any():
        alone = ", ".join(np.array(said.classes)[judged.alone])
        print(f"note: {said.field} {alone}: one label alone, which cleanlab never calls wrong", flush=True)
    sure = np.where(suggested, believed, 0) if said.exclusive else np.abs(believed - truth)
    return [
        suspect_of(said, words, unit, name, *numbers)
        for unit, name, *numbers in zip(
            units, names_of(suggested, said.classes), sure.max(axis=1), judged.score, judged.issue, strict=True
        )
    ]


def suspect_of(
    said: Beliefs, words: Wording, unit: Unit, suggested: str, probability: float, score: float, issue: bool
) -> Suspect:
    """`path` is the photo of the unit whose label is least probable."""
    photo = min(unit.rows, key=lambda row: float(said.probabilities[row] @ said.truth[row]))
    label, given = words.labels[photo], words.given[photo]
    evidence = [tell(unit, words.labels, words.looks)]
    if label != given:
        evidence.append(f"was {given} before corrections")
    elif words.values:
        evidence.append(f"given as {words.values[photo]}")
    others = [row for row in (*unit.rows, *unit.others) if row != photo]
    return Suspect(
        path=said.ids[photo],
        person=words.people[photo],
        field=said.field,
        label=label,
        suggested=suggested,
        probability=float(probability),
        score=float(score),
        issue=bool(issue),
        evidence="; ".join(filter(None, evidence)),
        others=tuple((said.ids[row], words.looks[row], words.looks[row] != words.labels[row]) for row in others),
    )


def decide(said: Beliefs, probabilities: np.ndarray) -> np.ndarray:
    """(N, K) bool, as the field's own models answer."""
    return Task((Head(said.field, said.classes, said.exclusive),)).decide(probabilities)


def names_of(chosen: np.ndarray, classes: Sequence[str]) -> list[str]:
    """The names of the classes (N, K) bool that hold, joined by blanks."""
    return [" ".join(classes[k] for k in np.flatnonzero(row)) for row in chosen]


def put_in_words(said: Beliefs, data: Data | None) -> Wording:
    """Without data people are the groups of the runs, which groups.csv may have united."""
    labels, given, looks = (
        names_of(chosen, said.classes) for chosen in (said.truth, said.given, decide(said, said.probabilities))
    )
    if data is None:
        return Wording(said.groups, labels, given, looks, ())
    place = {photo: row for row, photo in enumerate(data.train.ids)}
    rows = [place[photo] for photo in said.ids]
    field = next((field for field in data.fields if field.name == said.field), None)
    values = [field.values[row] for row in rows] if field else []
    if field:
        tell_changed(said, field, values, given)
    people = [data.train.groups[row] for row in rows]
    return Wording(people, labels, given, looks, values if field and field.ranges else ())


def tell_changed(said: Beliefs, field: Field, values: Sequence[str], given: Sequence[str]) -> None:
    """Prints how many labels of the data are not those that the runs had."""
    if not said.exclusive or field.classes != said.classes:  # of several labels, no run tells those before corrections
        return
    changed = sum(field.class_of(value) != label for value, label in zip(values, given, strict=True))
    if changed:
        print(
            f"note: {field.name}: {changed} labels of the data have changed since the runs were trained; those that "
            "they were trained with are judged",
            flush=True,
        )


def is_of_person(field: str, data: Data | None) -> bool:
    known = {one.name: one.of_group for one in data.fields} if data else dict.fromkeys(OF_PERSONS, True)
    return known.get(field, False)
