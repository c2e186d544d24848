"""What each reviewer thinks of each label, and what they think together.

A subject is a photo; for labels that all photos of a person share, the person. A value given for a subject is an
opinion on it. Marking a photo right says that its labels hold as the page shows them: an opinion, wherever its
reviewer gave no value, that the label is right as it came. Opinions that differ in class are a disagreement, and
nothing of it is exported until somebody settles it: a settling verdict ends all opinions before it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from desk.verdicts import RIGHT, UNSURE, WRONG, Verdict
from samples import Data, Field

Key = tuple[str, str]  # field, empty for the mark; subject: a path or a person


@dataclass(frozen=True)
class Opinion:
    value: str
    reviewer: str
    number: int  # place in the log
    at: str
    given: bool = True  # else implied by the mark `right`
    settled: int = 0  # place of its reviewer's latest verdict on the subject that settles; 0 for none


@dataclass(frozen=True)
class Joint:
    """What reviewers think of one subject together; `value` is empty where they disagree."""

    value: str
    opinions: tuple[Opinion, ...]  # those that count

    @property
    def given(self) -> bool:
        return any(one.given and one.value != UNSURE for one in self.opinions)


@dataclass(frozen=True)
class Labels:
    """The labels as they came. Photos of one person may differ even in what is the person's: its rows may."""

    fields: tuple[Field, ...]
    groups: Mapping[str, str]  # the person of each photo
    values: Mapping[Key, str]  # by field and photo

    @classmethod
    def of(cls, data: Data) -> Labels:
        groups = dict(zip(data.train.ids, data.train.groups, strict=True))
        values = {}
        for field in data.fields:
            values.update(zip(((field.name, photo) for photo in data.train.ids), field.values, strict=True))
        return cls(data.fields, groups, values)

    @cached_property
    def came(self) -> Mapping[Key, set[str]]:
        """What the photos of each subject came with."""
        found = defaultdict(set)
        for (name, photo), value in self.values.items():
            found[self.key(self.field(name), photo)].add(value)
        return found

    def key(self, field: Field, photo: str) -> Key:
        return field.name, self.groups[photo] if field.of_group else photo

    def field(self, name: str) -> Field:
        return next(field for field in self.fields if field.name == name)

    def class_of(self, name: str, value: str) -> str:
        """What is compared: the class; a mark and `unsure` are themselves."""
        return value if not name or value == UNSURE else as_class(self.field(name), value)


def as_class(field: Field, value: str) -> str:
    """The class of a value, or of a class itself."""
    return value if field.ranges and value in field.classes else field.class_of(value)


def opinions_of(labels: Labels, verdicts: Iterable[Verdict]) -> dict[Key, dict[str, Opinion]]:
    """Each reviewer's latest opinion on each subject, of verdicts that hold, in their order."""
    found: dict[Key, dict[str, Opinion]] = defaultdict(dict)
    for one in verdicts:
        key = labels.key(labels.field(one.field), one.path) if one.field else ("", one.path)
        before = found[key].get(one.reviewer)
        settled = one.number if one.settles else before.settled if before else 0
        found[key][one.reviewer] = Opinion(one.value, one.reviewer, one.number, one.at, settled=settled)
    right = [
        (key[1], one) for key, those in found.items() for one in those.values() if not key[0] and one.value == RIGHT
    ]
    for photo, mark in sorted(right, key=lambda one: one[1].number):
        for field in labels.fields:
            those = found[labels.key(field, photo)]
            said = those.get(mark.reviewer)
            if said is None or not said.given:  # the latest mark on a photo of the person
                settled = max(mark.settled, said.settled if said else 0)
                those[mark.reviewer] = replace(
                    mark, value=labels.values[field.name, photo], given=False, settled=settled
                )
            elif mark.settled > said.settled:  # what its reviewer saw as right has the value that he gave before
                those[mark.reviewer] = replace(said, number=max(said.number, mark.number), settled=mark.settled)
    return found


def join(labels: Labels, opinions: Mapping[Key, Mapping[str, Opinion]]) -> dict[Key, Joint]:
    """What the reviewers think together of each subject that one of them has an opinion on.

    `unsure` says nothing against one who knows; of years and a class that agree, the years are taken.
    """
    joint = {}
    for key, those in opinions.items():
        settled = max(one.settled for one in those.values())
        counted = sorted((one for one in those.values() if one.number >= settled), key=lambda one: one.number)
        known = [one for one in counted if one.value != UNSURE] or counted
        classes = {labels.class_of(key[0], one.value) for one in known}
        best = max(known, key=lambda one: (one.given, one.value.isdigit(), one.number))
        alike = len(classes) == 1 or not any(one.given for one in known)  # all hold what came, on whichever photo
        joint[key] = Joint(best.value if alike else "", tuple(known))
    for photo in [subject for (name, subject), one in joint.items() if not name and not one.value]:
        # who gave another value said more than `wrong`: that is compared by field
        plain = [one for one in joint["", photo].opinions if not changes(labels, opinions, photo, one.reviewer)]
        if len({one.value for one in plain}) < 2:
            joint["", photo] = Joint(plain[0].value if plain else WRONG, joint["", photo].opinions)
    return joint


def changes(labels: Labels, opinions: Mapping[Key, Mapping[str, Opinion]], photo: str, reviewer: str) -> bool:
    """Whether `reviewer` gave `photo` another class of a field than the one it came with."""
    for field in labels.fields:
        said = opinions.get(labels.key(field, photo), {}).get(reviewer)
        came = labels.class_of(field.name, labels.values[field.name, photo])
        if said and said.given and labels.class_of(field.name, said.value) not in (UNSURE, came):
            return True
    return False


def disagreements(joint: Mapping[Key, Joint]) -> dict[Key, Joint]:
    return {key: one for key, one in joint.items() if not one.value}
