"""Blends saved soft predictions into a submission.

    python ensemble/soft_vote.py outputs/*/*/soft.csv -o submission.csv

Files of the 18 classes are averaged; files of separate mask, gender and age models are averaged per
head and recombined. Rows are matched by id, in the order of the first file.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "baseline"))

from predictions import Soft, read_soft, write_hard, write_soft
from task import combine

HEADS = {"mask": 3, "gender": 2, "age": 3}


def main(argv: list[str]) -> None:
    given = parse(argv)
    try:
        vote(given)
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")


def vote(given: argparse.Namespace) -> None:
    """Reads everything, then writes. Raises ValueError naming the file and the id that do not fit."""
    files = gather(given)
    softs = [read_soft(path) for path, _ in files]
    for soft in softs:
        if soft.note:
            print(f"{soft.path} {soft.note}")
    weights = check_weights(given.weights, len(files))
    rows = [align(soft, softs[0]) for soft in softs]
    heads = [head_of(path, head, soft) for (path, head), soft in zip(files, softs, strict=True)]
    check_heads(heads, softs)
    blended = blend(rows, heads, weights)
    first = softs[0]
    check_targets([given.output, *filter(None, [given.soft])], softs)
    if given.soft:
        write_soft(given.soft, first.id_column, first.ids, blended)
    write_hard(given.output, first.id_column, "ans", first.ids, blended.argmax(axis=1))
    print(f"{given.output}: {len(first.ids)} rows, {blended.shape[1]} classes, from {len(files)} files")


def parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="soft_vote.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="*", type=Path, help="soft CSVs; in a run folder, config.json tells the head")
    for head in HEADS:
        parser.add_argument(
            f"--{head}", nargs="+", type=Path, default=[], metavar="FILE", help=f"soft CSVs of {head} models"
        )
    parser.add_argument(
        "--weights",
        nargs="+",
        type=float,
        metavar="W",
        help="one per file, in the order files, mask, gender, age (default: equal)",
    )
    parser.add_argument("-o", "--output", type=Path, default=Path("submission.csv"), help="(default: %(default)s)")
    parser.add_argument(
        "--soft", type=Path, metavar="FILE", help="also write the blended probabilities, to blend again"
    )
    return parser.parse_args(argv)


def check_targets(targets: list[Path], softs: list[Soft]) -> None:
    """Raises ValueError for a folder that is not there, and where soft predictions would be lost."""
    for target in targets:
        if not target.parent.is_dir():
            raise ValueError(f"{target}: there is no folder {target.parent}")
        if target.resolve() in [soft.path.resolve() for soft in softs] or targets.count(target) > 1:
            raise ValueError(f"{target} would be written over; name another file with -o or --soft")
    output = targets[0]
    if output.is_file() and "0" in output.read_text().partition("\n")[0].replace('"', "").split(","):
        raise ValueError(f"{output} holds soft predictions that a submission would replace; name another file with -o")


def gather(given: argparse.Namespace) -> list[tuple[Path, str | None]]:
    """(file, its head where the command line says so). Raises ValueError for none, or one named twice."""
    files = [(path, None) for path in given.files]
    files += [(path, head) for head in HEADS for path in getattr(given, head)]
    if not files:
        raise ValueError("no soft CSV given, for example outputs/*/*/soft.csv")
    paths = [path.resolve() for path, _ in files]
    twice = next((path for path in paths if paths.count(path) > 1), None)
    if twice:
        raise ValueError(f"{twice} is given twice; use --weights to count a file more")
    return files


def check_weights(weights: list[float] | None, count: int) -> np.ndarray:
    if weights is None:
        return np.ones(count)
    if len(weights) != count:
        raise ValueError(f"{len(weights)} --weights for {count} files; one each")
    if not np.isfinite(weights).all() or min(weights) < 0 or max(weights) == 0:
        raise ValueError(f"--weights {weights}: expected numbers from 0, not all of them 0")
    return np.array(weights)


def align(soft: Soft, first: Soft) -> np.ndarray:
    """The probabilities of `soft` in the row order of `first`. Raises ValueError naming the file and an id."""
    place = {photo: row for row, photo in enumerate(soft.ids)}
    lacking = [photo for photo in first.ids if photo not in place]
    if lacking:
        raise ValueError(f"{soft.path} lacks id {lacking[0]!r} of {first.path} ({len(lacking)} in all)")
    if len(soft.ids) > len(first.ids):
        extra = sorted(set(soft.ids) - set(first.ids))
        raise ValueError(f"{soft.path} has id {extra[0]!r}, which {first.path} lacks ({len(extra)} in all)")
    return soft.probabilities[[place[photo] for photo in first.ids]]


def head_of(path: Path, named: str | None, soft: Soft) -> str:
    """`mask`, `gender`, `age`, or the number of classes of a whole model, as a word. Raises ValueError."""
    count = soft.probabilities.shape[1]
    config = path.parent / "config.json"
    recorded = recorded_head(config) if config.is_file() else None
    if named and recorded and named != recorded:
        raise ValueError(f"{path} is given as {named}, but its config.json says {recorded}")
    named = named or recorded
    if named is None and count in HEADS.values():
        raise ValueError(f"{path} has {count} classes; say which head it is: --mask, --gender or --age FILE")
    if named and HEADS[named] != count:
        raise ValueError(f"{path} has {count} classes, but {named} has {HEADS[named]}; first id {soft.ids[0]!r}")
    return named or f"{count} classes"


def recorded_head(config: Path) -> str | None:
    """The head that a run folder's config.json names; None for a whole model, or another system's config.json."""
    try:
        content = json.loads(config.read_text())
    except ValueError as error:
        raise ValueError(f"{config} is not JSON: {error}") from error
    heads = content.get("heads") if isinstance(content, dict) else None
    return heads[0]["name"] if heads and heads[0]["name"] in HEADS else None


def check_heads(heads: list[str], softs: list[Soft]) -> None:
    """Raises ValueError unless all are of the same whole model's classes, or mask, gender and age are all there."""
    kinds = set(heads)
    if len(kinds - set(HEADS)) == len(kinds) == 1 or kinds == set(HEADS):
        return
    shown = [softs[heads.index(kind)] for kind in dict.fromkeys(heads)]
    listing = ", ".join(f"{soft.path} is {heads[softs.index(soft)]} (first id {soft.ids[0]!r})" for soft in shown)
    raise ValueError(f"expected models of the same classes, or mask, gender and age together; {listing}")


def blend(rows: list[np.ndarray], heads: list[str], weights: np.ndarray) -> np.ndarray:
    """The weighted mean of probabilities per head; mask, gender and age recombined to 18 classes. Raises ValueError."""
    means = {}
    for head in dict.fromkeys(heads):
        chosen = [i for i, other in enumerate(heads) if other == head]
        if weights[chosen].sum() == 0:
            raise ValueError(f"the --weights of all {head} files are 0")
        means[head] = np.average([rows[i] for i in chosen], axis=0, weights=weights[chosen])
    return combine(means["mask"], means["gender"], means["age"]) if set(means) == set(HEADS) else means[heads[0]]


if __name__ == "__main__":
    main(sys.argv[1:])
