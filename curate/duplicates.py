"""Finds photos that are the same picture: groups for the split, leaks into the test photos, labels that disagree.

    python curate/duplicates.py DATA
    python curate/duplicates.py DATA --distance 6 --embedding --weights lite0.safetensors
    python curate/duplicates.py DATA --external ELSEWHERE

Prints what each threshold would join, and writes for the chosen one, into the data root or --notes_dir:
groups.csv, which every later trial applies; leaks.csv, from which soft_vote.py makes a second submission; and into its
folder curation/ conflicts.csv, clusters whose labels disagree; duplicates.png, pairs of different people side by side,
to see whether the threshold is right; duplicates.json, what was searched. CSVs that you wrote or changed are not
written over.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "baseline"))

from bands import Photo
from config import Config
from copies.clusters import Photos, conflicts, united
from copies.features import cache_file, features
from copies.findings import FILES, check_room, place, write_findings
from copies.hamming import BITS
from copies.hashes import HASHES, SHAPE, VERSION, blank, hash_all
from copies.likeness import by_embedding, by_hashes, is_steep, joined, rule_of, warnings
from copies.lineup import rows_of, write_lineup
from copies.tally import Tally
from dataset import read
from notebook import notes_of
from samples import Data

MOST_BITS = 24  # of 64; photos that have nothing in common differ by 32
USUAL = (4, 2, 0)  # bits, the first of them of photos that are as unlike as people are
LITE0 = "timm/tf_efficientnet_lite0"


@dataclass(frozen=True)
class Pool:
    files: Sequence[Photo]
    photos: Photos

    def only(self, rows: np.ndarray) -> Pool:
        """Those of `rows`, ascending."""
        return Pool([self.files[row] for row in rows], self.photos.only(rows))


def main(argv: list[str]) -> int:
    given = parse(argv)
    try:
        work(given)
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        print("\nstopped; no file is half written, and what was hashed is kept for the next run", flush=True)
        return 130
    return 0


def parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="duplicates.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    usual, add = Config(), parser.add_argument
    add("data", help="data root, as --data_dir of a trial")
    add("--dataset", default=usual.dataset, help="layout of the data root, where auto cannot tell")
    add("--channels", default=usual.channels, help="proteins: rgb leaves yellow out")
    add("--external", default="", help="proteins: folder of further samples that trials are to train on, too")
    add("--hashes", nargs="+", choices=sorted(HASHES), default=sorted(HASHES), help="default: all three")
    far_help = f"bits of {BITS} by which hashes may differ (default: 4, and 2 or 0 where photos merely look alike)"
    add("--distance", type=int, help=far_help)
    leak_help = "the same for leaks.csv, whose labels a submission takes over (default: 2)"
    add("--leak_distance", type=int, default=2, help=leak_help)
    add("--agree", choices=("all", "any"), default="all", help="hashes that must be so near (default: all)")
    mirror_help = "whether a mirror image is a duplicate (default: yes)"
    add("--mirrored", action=argparse.BooleanOptionalAction, default=True, help=mirror_help)
    model_help = f"join photos that a network of timm finds alike, too (default MODEL: {LITE0})"
    add("--embedding", nargs="?", const=LITE0, metavar="MODEL", help=model_help)
    add("--weights", default="", help="embedding: local file of its weights, instead of fetching them")
    add("--similarity", type=float, default=0.95, help="embedding: least cosine of alike photos (default: 0.95)")
    add("--notes_dir", default="", help="folder to write to, which trials then need too (default: the data root)")
    add("--cache_dir", default=usual.cache_dir, help=f"folder of kept hashes (default: {usual.cache_dir})")
    add("--overwrite", action="store_true", help="write over files that you wrote or changed")
    given = parser.parse_args(argv)
    for name in ("distance", "leak_distance"):
        if not 0 <= (getattr(given, name) or 0) <= MOST_BITS:
            parser.error(f"--{name} {getattr(given, name)} is not in 0 to {MOST_BITS}")
    if not 0 < given.similarity < 1:
        parser.error(f"--similarity {given.similarity} is not between 0 and 1")
    if given.weights and not given.embedding:
        parser.error("--weights are the embedding's; pass --embedding too")
    return given


def work(given: argparse.Namespace) -> None:
    knobs = {"channels": given.channels, "external": given.external, "groups": "none", "corrections": "none"}
    data = read(given.data, given.dataset, Config().values() | knobs)
    folder = notes_of(data.root, given.notes_dir)
    check_room(folder, given.overwrite)
    trunk = load_trunk(given, data.channels)
    pool = everyone(data)
    rows, left_out = hashed(pool, data, given.cache_dir)
    keep = np.setdiff1d(np.arange(len(rows)), np.concatenate([*left_out.values()]).astype(int))
    left = {why: [pool.photos.ids[row] for row in some] for why, some in left_out.items()}
    pool, rows = pool.only(keep), rows[keep]

    if given.distance is None:
        given.distance = settle_distance(given, pool, rows)
    rule = rule_of(given)
    tallies, counts, blind = compare(given, pool, rows, trunk, data)
    labels = joined(tally.labels(step) for tally, step in tallies)
    for line in warnings(labels, rows, rule, tallies[0][0]):
        print(line, flush=True)
    tables = tables_of(pool.photos, labels, leaks_of(tallies[0][0], pool.photos, data))
    write_findings(folder, tables, {"options": vars(given), "left_out": left | blind, "found": counts})
    write_lineup(place(folder, "duplicates.png"), rows_of(pool.files, pool.photos, tallies), data.channels)
    summarise(folder, tables, given.notes_dir)


def settle_distance(given: argparse.Namespace, pool: Pool, rows: np.ndarray) -> int:
    """The largest of USUAL at which pairs are of pictures that are the same, and not of photos that look alike."""
    for distance in USUAL[:-1]:
        rule = replace(rule_of(given), distance=distance)
        if not is_steep(by_hashes(rows, pool.photos, rule), distance):
            return distance
        print(
            f"note: within {distance} bits are photos that merely look alike; --distance {distance} insists", flush=True
        )
    return USUAL[-1]


def compare(
    given: argparse.Namespace, pool: Pool, rows: np.ndarray, trunk: Any, data: Data
) -> tuple[list[tuple[Tally, float]], dict[str, list[dict[str, Any]]], dict[str, list[str]]]:
    """What hashes find, and what the embedding does if there is one, each with the step that was chosen; as printed.

    Then the photos that the embedding alone left out, by the reason.
    """
    print(f"comparing {len(rows)} photos", flush=True)
    hashes = by_hashes(rows, pool.photos, rule_of(given))
    told = {"hashes": tell(hashes, given.distance, [f"{step:g}" for step in hashes.steps], "bits")}
    if not trunk:
        return [(hashes, given.distance)], told, {}
    vectors, blind = embedded(trunk, pool, data, given.cache_dir)
    network = by_embedding(vectors, pool.photos, given.similarity, hashes.labels(given.distance))
    chosen = round(1 - given.similarity, 6)
    told["embedding"] = tell(network, chosen, [f"{1 - step:g}" for step in network.steps], "similarity")
    return [(hashes, given.distance), (network, chosen)], told, {"not embedded": blind}


def everyone(data: Data) -> Pool:
    """The labelled photos and those to be predicted."""
    train, test = data.train, data.test
    ids, files = (test.ids, test.paths) if test else ((), ())
    labelled = np.arange(len(train.ids) + len(ids)) < len(train.ids)
    fields = {field.name: [field.class_of(value) for value in field.values] for field in data.fields}
    photos = Photos([*train.ids, *ids], [*train.groups, *[""] * len(ids)], labelled, fields)
    return Pool([*train.paths, *files], photos)


def hashed(pool: Pool, data: Data, cache_dir: str) -> tuple[np.ndarray, dict[str, list[int]]]:
    """What hash_pixels() gives of each photo, and the rows that are left out, by the reason."""
    file = cache_file(cache_dir, f"hashes{VERSION}-{data.channels}", data.root)
    found = features(file, pool.files, SHAPE, "u8", lambda some: hash_all(some, data.channels), "hashing the photos")
    unreadable = list(found.unreadable)
    even = np.setdiff1d(np.flatnonzero(blank(found.rows)), unreadable).tolist()
    print(f"{len(pool.files)} photos, {found.fresh} hashed anew", flush=True)
    for rows, what in ((unreadable, "cannot be read"), (even, "are blank, so that their hashes say nothing")):
        tell_left_out(pool.photos.ids, rows, found.unreadable, f"{what} and are left out")
    return found.rows, {"unreadable": unreadable, "blank": even}


def tell_left_out(ids: Sequence[str], rows: Sequence[int], reasons: Mapping[int, str], what: str) -> None:
    if rows:
        names = [ids[row] + (f" ({reasons[row]})" if row in reasons else "") for row in rows]
        print(
            f"note: {len(rows)} photos {what}: {', '.join(names[:3])}"
            f"{' …; duplicates.json lists them' if len(rows) > 3 else ''}",
            flush=True,
        )


def load_trunk(given: argparse.Namespace, channels: int) -> Any:
    """The embedding's network, None where none is wanted."""
    if not given.embedding:
        return None
    from copies.embedding import Trunk  # here, as torch and timm take seconds that hashes need not wait for

    return Trunk(given.embedding, given.weights, channels)


def embedded(trunk: Any, pool: Pool, data: Data, cache_dir: str) -> tuple[np.ndarray, list[str]]:
    """The vector of each photo, zeros where there is none, which is near no other; and the ids of those."""
    file = cache_file(cache_dir, trunk.kind, data.root)
    found = features(file, pool.files, (trunk.features,), "f2", trunk.embed_all, "embedding the photos")
    what = "cannot be embedded and are compared by their hashes alone"
    tell_left_out(pool.photos.ids, list(found.unreadable), found.unreadable, what)
    return found.rows, [pool.photos.ids[row] for row in found.unreadable]


def tell(tally: Tally, chosen: float, names: Sequence[str], unit: str) -> list[dict[str, Any]]:
    """Prints what each step finds; returns it."""
    rows = []
    print(f"\n  {unit:>10}     pairs  clusters    photos   largest  of several people  train and test  labels disagree")
    for step, name in zip(tally.steps, names, strict=True):
        found = tally.count(step)
        rows.append({unit: float(name), **asdict(found)})
        mark = "*" if step == chosen else " "
        print(
            f"{mark} {name:>10}{found.pairs:>10}{found.clusters:>10}{found.photos:>10}{found.largest:>10}"
            f"{found.people:>19}{found.leaks:>16}{found.disagree:>17}"
        )
    print("* chosen; a cluster is all that pairs join, also through others\n", flush=True)
    return rows


def leaks_of(tally: Tally, photos: Photos, data: Data) -> list[tuple[int, int, float]]:
    """Those of the tally but of samples from elsewhere, as submissions may be of trials that do not read them."""
    only = data.train.only_train
    elsewhere = set() if only is None else {name for name, there in zip(data.train.ids, only, strict=True) if there}
    found = tally.nearest()
    kept = [leak for leak in found if photos.ids[leak[1]] not in elsewhere]
    if len(kept) < len(found):
        print(
            f"note: {len(found) - len(kept)} pairs of a photo to be predicted and a sample of --external are not in "
            "leaks.csv, which trials without --external could not read",
            flush=True,
        )
    return kept


def tables_of(photos: Photos, labels: np.ndarray, leaks: Sequence[tuple[int, int, float]]) -> dict[str, list[tuple]]:
    """The rows of each file of FILES."""
    ids, groups = photos.ids, photos.groups
    odd = conflicts(labels, photos)
    return {
        "groups.csv": sorted(united(labels, photos).items(), key=lambda row: row[::-1]),
        "leaks.csv": [(ids[test], ids[labelled], far) for test, labelled, far in leaks],
        "conflicts.csv": [(number, name, ids[row], groups[row], value) for number, name, row, value in odd],
    }


def summarise(folder: Path, tables: dict[str, list[tuple]], notes_dir: str) -> None:
    groups, leaks, odd = (tables[name] for name in FILES)
    clusters = {number: name for number, name, *_ in odd}
    told = {
        "groups.csv": f"{len(groups)} people or groups share pictures and become {len({g for _, g in groups})}"
        if groups
        else "no pictures are shared between people or groups",
        "leaks.csv": f"{len({test for test, *_ in leaks})} photos to be predicted are labelled ones",
        "conflicts.csv": f"{len(clusters)} clusters whose labels disagree",
        "duplicates.png": "pairs of different people: look whether the threshold is right",
    }
    for name, what in told.items():
        print(f"{place(folder, name)}: {what}")
    if notes_dir:
        print(f"pass --notes_dir {notes_dir} to trials too, so that they find groups.csv")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
