"""Seconds to find all pairs of hashes within four bits: this project, and imagededup.

    python benchmarks/duplicates.py [--hashes 100000] [--queries 200] [--rounds 2] [--photos DATA] [--out …]

Of random hashes with planted neighbours, and of the aHashes of DATA's photos with up to eight bits of each turned.
imagededup compares each hash with all others, so the time of some is measured and multiplied (--queries 0 asks for
all, which takes hours): by its own HashEval on all cores, and by its C++ function called directly, with the lists that
HashEval makes for each query made once. Ways take turns; medians. The answers must be the same.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

HOME = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(HOME / "curate"), str(HOME / "baseline")]  # before this folder, whose duplicates.py is another

from config import Config
from copies import hashed
from copies.hamming import search
from copies.hashes import columns
from decode import cores
from run import atomic

LIMIT = 4
WHOLE = 10_000  # hashes of which imagededup compares all with all


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hashes", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--photos", default=str(HOME / "data" / "demo"), help="data root of the skewed hashes")
    parser.add_argument("--cache_dir", default=Config().cache_dir)
    parser.add_argument("--out", type=Path, default=HOME / "benchmarks" / "duplicates.md")
    given = parser.parse_args()
    logging.disable(logging.INFO)  # imagededup's
    text = "\n".join(speed_tables(given)) + "\n"
    atomic(given.out, lambda file: file.write_text(text))
    print(text)


def speed_tables(given: argparse.Namespace) -> list[str]:
    asked = given.queries or given.hashes
    lines = [
        "# All pairs of near hashes",
        "",
        f"`python benchmarks/duplicates.py --hashes {given.hashes} --queries {given.queries}`: seconds for all",
        f"pairs within {LIMIT} bits, {cores()} cores, medians of {given.rounds} turns; the ratio is to the faster of",
        f"imagededup's. Of {given.hashes:,} hashes it compared {asked:,} with all, and its time is multiplied; of",
        f"{WHOLE:,} it compared all. The pairs are the same.",
        "",
        "| hashes | pairs | here | imagededup's C++, called directly | its HashEval | ratio |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    random, skewed = random_hashes(given.hashes), skewed_hashes(given)
    for name, values, queries in (
        ("random", random_hashes(WHOLE), WHOLE),
        ("random", random, asked),
        ("skewed", skewed, asked),
    ):
        lines.append(race(name, values, queries, given.rounds))
        print(lines[-1], flush=True)
    return lines


def random_hashes(count: int) -> np.ndarray:
    """Of a fifth of them another one is up to six bits away."""
    rng = np.random.default_rng(0)
    values = rng.integers(0, 2**64, count, dtype=np.uint64)
    copies = np.arange(count // 5)
    values[copies] = jittered(values[copies + count // 2], 6, rng)
    return values


def jittered(values: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    """With 0 to `most` bits of each turned."""
    values = values.copy()
    times = rng.integers(0, most + 1, len(values))
    for turn in range(most):
        bit = np.uint64(1) << rng.integers(0, 64, len(values), dtype=np.uint64)
        values ^= np.where(turn < times, bit, np.uint64(0))
    return values


def skewed_hashes(given: argparse.Namespace) -> np.ndarray:
    rows, _ = hashed(given.photos, given.cache_dir)
    rng = np.random.default_rng(0)
    return jittered(rng.choice(columns(rows, ["ahash"])[:, 0], given.hashes), 8, rng)


def race(name: str, values: np.ndarray, queries: int, rounds: int) -> str:
    """A row of the table; the ways take turns."""
    some = np.random.default_rng(1).choice(len(values), queries, replace=False)
    names, numbers = [str(row).encode() for row in range(len(values))], values.tolist()
    ways: dict[str, Callable[[], object]] = {
        "here": lambda: ours(values),
        "direct": lambda: directly(names, numbers, some),
        "HashEval": lambda: by_hash_eval(values, some),
    }
    taken: dict[str, list[float]] = {way: [] for way in ways}
    answers = {}
    for _ in range(rounds):
        for way, run in ways.items():
            began = time.perf_counter()
            answers[way] = run()
            taken[way].append(time.perf_counter() - began)
    wanted = set(some.tolist())
    pairs = answers["here"]
    touched = np.isin(pairs[:, 0], some) | np.isin(pairs[:, 1], some)
    mine = {(a, b) for a, b in pairs[touched].tolist() if a in wanted} | {
        (b, a) for a, b in pairs[touched].tolist() if b in wanted
    }
    assert mine == answers["direct"] == answers["HashEval"], "the answers differ"
    times = {way: statistics.median(seconds) for way, seconds in taken.items()}
    scale = len(values) / queries
    theirs = {way: times[way] * scale for way in ("direct", "HashEval")}
    ratio = min(theirs.values()) / times["here"]
    return (
        f"| {len(values):,} {name} | {len(pairs):,} | {times['here']:.2f} | {theirs['direct']:,.0f} | "
        f"{theirs['HashEval']:,.0f} | **{ratio:,.0f}** |"
    )


def ours(values: np.ndarray) -> np.ndarray:
    """(M, 2) the pairs."""
    pieces = [np.stack([a, b], axis=1) for a, b, _ in search(values[:, None], LIMIT, 1)]
    return np.concatenate(pieces) if pieces else np.zeros((0, 2), int)


def directly(names: list[bytes], numbers: list[int], queries: np.ndarray) -> set[tuple[int, int]]:
    import brute_force_cython_ext  # imagededup's

    return {
        (int(row), int(name))
        for row in queries
        for name, _ in brute_force_cython_ext.query(names, numbers, numbers[row], LIMIT)
        if int(name) != row
    }


def by_hash_eval(values: np.ndarray, queries: np.ndarray) -> set[tuple[int, int]]:
    from imagededup.handlers.search.retrieval import HashEval
    from imagededup.methods import PHash

    known = {str(row): f"{value:016x}" for row, value in enumerate(values.tolist())}
    found = HashEval(
        test=known,
        queries={str(row): known[str(row)] for row in queries},
        distance_function=PHash.hamming_distance,
        verbose=False,
        threshold=LIMIT,
        search_method="brute_force_cython",
        num_dist_workers=cores(),
    ).retrieve_results()
    return {(int(row), int(other)) for row, others in found.items() for other in others}


if __name__ == "__main__":
    main()
