"""Which copies of a photo the search for duplicates finds, by each rule, and how many strangers it joins.

    python benchmarks/copies.py DATA … [--weights lite0.safetensors] [--out benchmarks/copies.md]

300 photos of the first DATA are copied in ten ways that copies differ. Strangers are pairs of labelled photos of
different groups, in each DATA: its groups say who is a different person, and near-duplicates that they miss count
among them. With the weights of EfficientNet-Lite0 (benchmarks/lite0.py) the embedding is asked too.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

HOME = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(HOME / "curate"), str(HOME / "baseline")]  # before this folder, whose duplicates.py is another

from bands import bands_of, read_upright
from config import Config
from copies.clusters import Photos
from copies.embedding import Trunk
from copies.features import cache_file, features
from copies.hamming import search
from copies.hashes import HASHES, SHAPE, VERSION, columns, hash_all, hash_pixels
from copies.likeness import Rule, alike
from dataset import read
from decode import to_rgb
from duplicates import Pool, everyone
from run import atomic
from samples import Data

MODEL = "timm/tf_efficientnet_lite0"
PLANTED = 300


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="+", help="data roots")
    parser.add_argument("--weights", default="", help=f"of {MODEL}; without, no embedding")
    parser.add_argument("--cache_dir", default=Config().cache_dir)
    parser.add_argument("--out", type=Path, default=HOME / "benchmarks" / "copies.md")
    given = parser.parse_args()
    text = "\n".join(found_tables(given)) + "\n"
    atomic(given.out, lambda file: file.write_text(text))
    print(text)


def hashed(root: str, cache_dir: str) -> tuple[np.ndarray, tuple[Data, Pool]]:
    data = read(root, "auto", Config().values() | {"groups": "none", "corrections": "none"})
    pool = everyone(data)
    file = cache_file(cache_dir, f"hashes{VERSION}-{data.channels}", data.root)
    found = features(file, pool.files, SHAPE, "u8", lambda some: hash_all(some, data.channels), f"hashing {root}")
    return found.rows, (data, pool)


def cropped(photo: Image.Image, share: float) -> Image.Image:
    wide, high = (round(side * share / 2) for side in photo.size)
    return photo.crop((wide, high, photo.width - wide, photo.height - high))


def halved(photo: Image.Image) -> Image.Image:
    return photo.resize((max(photo.width // 2, 1), max(photo.height // 2, 1)), Image.Resampling.LANCZOS)


def compressed(photo: Image.Image, quality: int = 30) -> Image.Image:
    content = io.BytesIO()
    photo.save(content, "JPEG", quality=quality)
    return Image.open(content)


KINDS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "half the size": halved,
    "JPEG of quality 30": compressed,
    "both": lambda photo: compressed(halved(photo)),
    "grey": lambda photo: photo.convert("L"),
    "30 % darker": lambda photo: ImageEnhance.Brightness(photo).enhance(0.7),
    "30 % brighter": lambda photo: ImageEnhance.Brightness(photo).enhance(1.3),
    "mirrored": ImageOps.mirror,
    "5 % cropped": lambda photo: cropped(photo, 0.05),
    "10 % cropped": lambda photo: cropped(photo, 0.1),
    "turned by 90°": lambda photo: photo.transpose(Image.Transpose.ROTATE_90),
}
RULES = {  # as printed -> hashes, bits, how many must agree, mirrored
    "aHash or pHash the same": (("ahash", "phash"), 0, 1, False),
    **{f"{name}, {bits} bits": ((name,), bits, 1, False) for name in HASHES for bits in (2, 4)},
    "any of the three, 4 bits": (tuple(HASHES), 4, 1, False),
    **{f"all three, {bits} bits": (tuple(HASHES), bits, 3, False) for bits in (2, 4, 6, 8)},
    "all three or mirrored, 4 bits: the default": (tuple(HASHES), 4, 3, True),
    "all three or mirrored, 6 bits": (tuple(HASHES), 6, 3, True),
}
SIMILAR = (0.97, 0.95, 0.93, 0.9)


def found_tables(given: argparse.Namespace) -> list[str]:
    sets = {Path(root).name: hashed(root, given.cache_dir) for root in given.data}
    rows, (_, pool) = next(iter(sets.values()))
    chosen, copies = plant(pool)
    made = {kind: np.array([hash_pixels(pixels(copy)) for copy in some]) for kind, some in copies.items()}
    lines = [
        "# Copies that are found",
        "",
        f"`python benchmarks/copies.py {' '.join(sets)}`:",
        f"{PLANTED} photos of {next(iter(sets))}, copied in ten ways: the share that each rule finds, and",
        "how many pairs of labelled photos of different groups it finds in each of the sets.",
        "",
        f"| rule | {' | '.join(KINDS)} | {' | '.join(sets)} |",
        f"|---|{'--:|' * (len(KINDS) + len(sets))}",
    ]
    pairs: dict[str, list[tuple[int, int]]] = {}
    for name, (hashes, bits, need, mirrored) in RULES.items():
        rule = Rule(hashes, bits, need, mirrored, 0)
        shares = [share(rows[chosen], some, rule) for some in made.values()]
        pairs[name] = [pairs_of(ours_rows, found[1].photos, rule) for ours_rows, found in sets.values()]
        strange = [different for _, different in pairs[name]]
        lines.append(f"| {name} | {' | '.join(f'{s:.2f}' for s in shares)} | {' | '.join(map(str, strange))} |")
        print(lines[-1], flush=True)
    if given.weights:
        lines += embedding_rows(given, sets, chosen, copies)
    return lines + against_groups(next(iter(sets)), {name: own[0] for name, own in pairs.items()}, pool.photos)


def plant(pool: Pool) -> tuple[np.ndarray, dict[str, list[Image.Image]]]:
    """Rows of photos, and their copies of each kind."""
    labelled = np.flatnonzero(pool.photos.labelled)
    chosen = np.sort(np.random.default_rng(0).choice(labelled, PLANTED, replace=False))
    photos = [whole(pool.files[row]) for row in chosen]
    return chosen, {kind: [change(photo) for photo in photos] for kind, change in KINDS.items()}


def whole(photo: object) -> Image.Image:
    return Image.merge("RGB", bands_of(photo, 3)) if isinstance(photo, tuple) else to_rgb(read_upright(photo))


def pixels(copy: Image.Image, side: int = 64) -> np.ndarray:
    return np.asarray(copy.convert("RGB").resize((side, side), Image.Resampling.BILINEAR))


def share(rows: np.ndarray, copies: np.ndarray, rule: Rule) -> float:
    """Of N photos and their N copies the share that the rule joins."""
    found = 0
    for row, copy in zip(rows, copies, strict=True):
        both = np.stack([row, copy])
        mirror = columns(both, rule.names, mirrored=True) if rule.mirrored else None
        found += any(len(a) for a, _, _ in search(columns(both, rule.names), rule.distance, rule.need, mirror))
    return found / len(rows)


def pairs_of(rows: np.ndarray, photos: Photos, rule: Rule) -> tuple[int, int]:
    """The pairs of labelled photos that the rule joins: of one group, and of different ones."""
    known, codes = photos.labelled, photos.codes[photos.labelled]
    mirror = columns(rows[known], rule.names, mirrored=True) if rule.mirrored else None
    pieces = search(columns(rows[known], rule.names), rule.distance, rule.need, mirror)
    same = [codes[a] == codes[b] for a, b, _ in pieces]
    return sum(int(one.sum()) for one in same), sum(int((~one).sum()) for one in same)


def against_groups(name: str, pairs: dict[str, tuple[int, int]], photos: Photos) -> list[str]:
    """A table of what the rules find of the pairs that share a group of the data."""
    sizes = np.bincount(photos.codes[photos.labelled])
    known = int((sizes * (sizes - 1) // 2).sum())
    lines = [
        "",
        f"## {name}, its groups not looked at",
        "",
        f"{known:,} pairs of labelled photos share a group there. A group is a person, or near-duplicates: most pairs",
        "show somebody twice in quite different photos, which no hash can or should find, so the last column says",
        "how much of the groups duplicates make up, and not how many are missed. Planted copies say that.",
        "",
        "| rule | pairs found | of one group | share of those found | share of all that share a group |",
        "|---|--:|--:|--:|--:|",
    ]
    for rule, (same, strange) in pairs.items():
        found = same + strange
        right = f"{same / found:.3f}" if found else "-"
        lines.append(f"| {rule} | {found:,} | {same:,} | {right} | {same / known:.3f} |")
    return lines


def embedding_rows(
    given: argparse.Namespace, sets: dict, chosen: np.ndarray, copies: dict[str, list[Image.Image]]
) -> list[str]:
    trunk = Trunk(MODEL, given.weights, 3)
    device = next(trunk.module.parameters()).device
    vectors = {}
    for name, (_, (data, pool)) in sets.items():
        if data.channels == 3:
            file = cache_file(given.cache_dir, trunk.kind, data.root)
            vectors[name] = features(
                file, pool.files, (trunk.features,), "f2", trunk.embed_all, f"embedding {name}"
            ).rows
    own = next(iter(vectors.values()))[chosen].astype(np.float32)
    cosines = {}
    for kind, some in copies.items():
        batches = [np.stack([pixels(copy, trunk.size[0]) for copy in some[k : k + 50]]) for k in range(0, PLANTED, 50)]
        made = np.concatenate([trunk.embed(trunk.module.eval(), batch, device) for batch in batches])
        cosines[kind] = (made * own).sum(axis=1)
        print(f"embedded the copies: {kind}", flush=True)
    lines = []
    for least in SIMILAR:
        strange = [different(vectors.get(name), found[1].photos, least) for name, (_, found) in sets.items()]
        shares = " | ".join(f"{(cosine >= least).mean():.2f}" for cosine in cosines.values())
        lines.append(f"| embedding, similarity {least} | {shares} | {' | '.join(strange)} |")
    return lines


def different(vectors: np.ndarray | None, photos: Photos, least: float) -> str:
    if vectors is None:
        return "-"
    known, codes = photos.labelled, photos.codes
    return str(sum(int((codes[known][a] != codes[known][b]).sum()) for a, b, _ in alike(vectors[known], least)))


if __name__ == "__main__":
    main()
