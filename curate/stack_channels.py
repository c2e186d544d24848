"""Stacks the channels of each sample into one PNG: red, green, blue and yellow become the bands of an RGBA photo.

    python curate/stack_channels.py DATA

Nothing needs it, as a trial stacks the separate files itself, to the same pixels; but DATA/rgby is a quarter as many
files to keep or to copy to a machine, and stands in there for the separate ones. Photos that are there and newer than
their channels are left as they are, so run it as often as you like.
"""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "baseline"))

from bands import bands_of
from decode import cores
from progress import Progress
from proteins import COLOURS, Shelf
from run import atomic

PIECE = 16  # photos that a thread takes at a time


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="stack_channels.py", description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path, help="data root: holds raw/train and raw/test, or train and test")
    parser.add_argument("-o", "--output", type=Path, help="folder of the stacked photos (default: DATA/rgby)")
    given = parser.parse_args(argv)
    root = given.data.expanduser()
    output = given.output.expanduser() if given.output else root / "rgby"
    try:
        shelves = {part: Shelf(root, part, "rgby") for part in ("train", "test")}
        if not any(shelf.files for shelf in shelves.values()):
            looked_for = " and ".join(str(shelf.folder) for shelf in shelves.values())
            raise ValueError(f"{looked_for} hold no photo named ID_red.png or the like; name the folder above them")
        failed = [fault for part, shelf in shelves.items() for fault in stack_all(shelf, output / part)]
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        print("\nstopped; the photos that are there are whole, and the same command makes the others", flush=True)
        return 130
    if failed:
        print(f"{len(failed)} samples could not be stacked; mend their files and run this again:")
        print("\n".join(failed), flush=True)
    return 1 if failed else 0


def stack_all(shelf: Shelf, folder: Path) -> list[str]:
    """Makes folder/ID.png of every sample that has separate files; returns what could not be made, and why."""
    samples = sorted(shelf.files)
    if not samples:
        return []
    folder.mkdir(parents=True, exist_ok=True)
    progress, failed, made = Progress(f"stacking {shelf.folder}", len(samples), "samples"), [], 0
    with ThreadPoolExecutor(cores()) as pool:  # Pillow works outside the interpreter's lock
        pieces = [samples[start : start + PIECE] for start in range(0, len(samples), PIECE)]
        try:
            for number, found in enumerate(pool.map(lambda piece: [stack(shelf, s, folder) for s in piece], pieces), 1):
                failed += [fault for fault in found if isinstance(fault, str)]
                made += found.count(True)
                progress.show(min(number * PIECE, len(samples)))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    there = len(samples) - made - len(failed)
    print(f"{folder}: {made} photos made, {there} were there, {len(failed)} failed", flush=True)
    return failed


def stack(shelf: Shelf, sample: str, folder: Path) -> bool | str:
    """Whether folder/ID.png had to be made of its four files; a line that says why it could not be."""
    files, target = shelf.files[sample], folder / f"{sample}.png"
    if missing := [colour for colour in COLOURS.values() if colour not in files]:
        return f"{shelf.folder}: {sample} lacks {', '.join(missing)}"
    photo = tuple(files[colour] for colour in COLOURS.values())
    if target.is_file() and target.stat().st_mtime_ns > max(path.stat().st_mtime_ns for path in photo):
        return False
    try:
        stacked = Image.merge("RGBA", bands_of(photo, len(photo)))
    except ValueError as error:
        return f"{shelf.folder}: {sample}: {error}"
    atomic(target, lambda file: stacked.save(file, "PNG"))
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
