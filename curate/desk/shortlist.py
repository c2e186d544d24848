"""suspects.csv, which suspects.py writes: labels that are probably wrong, the likeliest first."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from desk.opinions import as_class
from notes import ANEW, table
from samples import Data, Field

COLUMNS = ("path", "field", "suggested")


@dataclass(frozen=True)
class Suspect:
    row: int  # of the labelled photo
    field: str
    suggested: str
    score: str
    evidence: str
    issue: bool  # probably wrong; the others only tell the order to look in


def read_suspects(data: Data, path: Path, corrected: bool = False) -> list[Suspect]:
    """In the order of the file. Raises ValueError naming file and line where it is not of this data.

    `corrected` says that its labels may be other than those that came, as corrections had been applied.
    """
    place = {photo: row for row, photo in enumerate(data.train.ids)}
    fields = {field.name: field for field in data.fields}
    found = []
    for line, cells in table(path, COLUMNS).items():
        where, photo, name = f"{path} line {line}", cells["path"].strip(), cells["field"].strip()
        if photo not in place:
            raise ValueError(f"{where}: the data has no labelled photo {photo!r}; {ANEW}suspects.py")
        if name not in fields:
            raise ValueError(f"{where}: the data has no field {name!r}, but {', '.join(fields)}; {ANEW}suspects.py")
        field, suggested = fields[name], cells["suggested"].strip()
        came, judged = field.class_of(field.values[place[photo]]), cells.get("label", "").strip()
        for said in (suggested, *([judged] if judged else [])):
            if not can_be(field, said):
                raise ValueError(f"{where}: {name} cannot be {said!r}; {ANEW}suspects.py")
        suggested = as_class(field, suggested) if suggested else ""
        if judged and not corrected and as_class(field, judged) != came:
            raise ValueError(f"{where}: {photo} has {name} {came}, not {judged}; {ANEW}suspects.py")
        issue = cells.get("issue", "yes").strip().lower() == "yes" and suggested != came
        found.append(Suspect(place[photo], name, suggested, cells.get("score", ""), cells.get("evidence", ""), issue))
    return found


def can_be(field: Field, said: str) -> bool:
    """Whether `said` is a class of the field, several where these may hold at once, or a number of years."""
    if field.ranges and said.isascii() and said.isdigit():
        return int(said) <= field.ranges[-1][1]
    return set([said] if field.exclusive else said.split()) <= set(field.classes)
