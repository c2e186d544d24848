"""Ranks the labels that are probably wrong, by what models say of photos that they were not trained on.

    python curate/suspects.py RUN … [-o suspects.csv] [--data_dir DATA]

RUN is a run folder, or an experiment folder of them, best of a trial with `--fold all`: labels of photos that validated
in no given run are not judged. suspects.csv lists every label that was judged, the most suspicious first: a LOW score
is suspicious. Of faces, mask, gender and age are judged each by itself; gender and age once for a person, from all of
their photos, and `path` is then the photo that denies the label most. `issue` says yes where cleanlab calls the label
wrong, which of weak models, as of ages, is often their own mistake; `evidence` what the person's other photos say.
Beside it, suspects.png shows the first ones.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "baseline"))

from config import Config
from dataset import read
from doubts.beliefs import Beliefs, join
from doubts.contact_sheet import Entry, write_sheet
from doubts.division import check_division
from doubts.ranking import Suspect, judge_field, rank
from doubts.unseen import Unseen, read_runs
from notebook import curation_of, writable
from predictions import write_csv
from samples import Data

PRINTED, SHOWN = 10, 24  # suspects in the terminal, and in the picture
DOUBTFUL = 0.15  # share of wrong labels that few data sets have, but weak models claim


def main(argv: list[str]) -> int:
    parser = options()
    given = parser.parse_args(argv)
    if given.pictures < 0:
        parser.error(f"--pictures {given.pictures}: give 0 for none, or how many")
    try:
        runs = read_runs(given.runs)
        given.notes_dir = given.notes_dir or runs[0].config.get("parameters", {}).get("notes_dir", "")
        data = read_data(given.data_dir, runs)
        if data:
            check_division(runs, data.root)
        output = place(given, data)
        beliefs = join(runs)
        suspects = rank([suspect for said in beliefs for suspect in judge_field(said, data)])
        write_table(output, suspects)
        tell_coverage(runs, beliefs, data)
        tell_suspects(suspects, output)
        if data and given.pictures:
            draw(output.with_suffix(".png"), suspects[: given.pictures], data)
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        print("\nstopped; no file is half written", flush=True)
        return 130
    return 0


def options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="suspects.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="run folders, or experiment folders of them")
    parser.add_argument("-o", "--output", type=Path, help="(default: DATA/curation/suspects.csv)")
    parser.add_argument("--notes_dir", default="", help="folder whose curation/ it is (default: as the runs had)")
    parser.add_argument("--data_dir", "--data-dir", default="", help="data root (default: that of the runs)")
    parser.add_argument("--pictures", type=int, default=SHOWN, help=f"suspects in the picture (default: {SHOWN})")
    return parser


def read_data(given: str, runs: Sequence[Unseen]) -> Data | None:
    """The data as it came, without notes; None where the runs' own is not here. Raises ValueError where it is other."""
    knobs = runs[0].config.get("parameters", {})
    recorded = knobs.get("data_dir", "")
    if not given and not (recorded and Path(recorded).is_dir()):
        print(f"note: the photos are not here ({recorded}), so none are shown; pass --data_dir", flush=True)
        return None
    values = Config().values()
    values |= {name: knobs[name] for name in values.keys() & knobs.keys()}
    values |= {"groups": "none", "corrections": "none", "notes_dir": "", "external": ""}
    data = read(given or recorded, values["dataset"], values)
    known = set(data.train.ids)
    for run in runs:
        if strange := [photo for photo in run.validation.ids if photo not in known]:
            raise ValueError(
                f"{data.root} has no labelled photo {strange[0]!r}, as {run.path} has ({len(strange)} such); name the "
                "data that the runs were trained on with --data_dir"
            )
    return data


def place(given: argparse.Namespace, data: Data | None) -> Path:
    """Where suspects.csv goes. Raises ValueError where nothing says so, or it cannot be written."""
    if given.output:
        return given.output
    if data is None and not given.notes_dir:
        raise ValueError("the photos are not here, so suspects.csv has no place; name one with -o, or pass --data_dir")
    root = data.root if data else Path()
    return writable(curation_of(root, given.notes_dir), "--notes_dir") / "suspects.csv"


def write_table(path: Path, suspects: Sequence[Suspect]) -> None:
    names = ("path", "person", "field", "label", "suggested", "probability", "score", "issue", "evidence")
    columns = {name: [getattr(suspect, name) for suspect in suspects] for name in names}
    columns["issue"] = ["yes" if issue else "no" for issue in columns["issue"]]
    write_csv(path, {"rank": range(1, len(suspects) + 1)} | columns)


def tell_coverage(runs: Sequence[Unseen], beliefs: Sequence[Beliefs], data: Data | None) -> None:
    """Prints which runs were taken, and how many labelled photos are not judged."""
    splits = len({run.config["folds"]["hash"] for run in runs})
    divided = f", of {splits} splits into folds" if splits > 1 else ""
    print(
        f"{len(runs)} run{'s' if len(runs) > 1 else ''}{divided}: {', '.join(run.path.name for run in runs[:5])}"
        f"{' …' if len(runs) > 5 else ''}",
        flush=True,
    )
    photos = len(data.train.ids) if data else max(run.config.get("data", {}).get("photos", 0) for run in runs)
    for said in beliefs:
        if (lacking := photos - len(said.ids)) > 0:
            print(
                f"note: {said.field}: {lacking} of {photos} labelled photos are not judged, as no given run validated "
                "them; train with --fold all, or give the runs of the other folds",
                flush=True,
            )


def tell_suspects(suspects: Sequence[Suspect], path: Path) -> None:
    """Prints the first ones, and how many there are of each field."""
    for number, suspect in enumerate(suspects[:PRINTED], 1):
        print(
            f"{number:3}  {suspect.score:.4f}  {suspect.field}: {suspect.label} -> {suspect.suggested}   {suspect.path}"
            + (f"\n             {suspect.evidence}" if suspect.evidence else ""),
            flush=True,
        )
    for field in dict.fromkeys(suspect.field for suspect in suspects):
        own = [suspect for suspect in suspects if suspect.field == field]
        wrong, agreed = sum(one.issue for one in own), sum(one.suggested == one.label for one in own)
        print(
            f"{field}: {len(own)} labels judged, {wrong} probably wrong; the models agree with {agreed / len(own):.0%}",
            flush=True,
        )
        if wrong > DOUBTFUL * len(own):
            print(
                f"note: {field}: so many are rather the models' own mistakes; take better runs, or look at the first "
                "alone",
                flush=True,
            )
    print(f"{path}: {len(suspects)} labels, the most suspicious first", flush=True)


def draw(path: Path, suspects: Sequence[Suspect], data: Data) -> None:
    photos = dict(zip(data.train.ids, data.train.paths, strict=True))
    entries = [
        Entry(
            photos[one.path],
            (
                f"{number}. {one.field} {one.label}, looks {one.suggested} (score {one.score:.4f})",
                f"{one.path}{f' of {one.person}' if one.others else ''}",
                *([one.evidence] if one.evidence else []),
            ),
            tuple((photos[photo], look, odd) for photo, look, odd in one.others),
        )
        for number, one in enumerate(suspects, 1)
    ]
    title = f"the {len(entries)} most suspicious labels; a word says what a photo is taken for, red if not labelled so"
    write_sheet(path, title, entries)
    print(f"{path}: the first {len(entries)} with the same person's other photos", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
