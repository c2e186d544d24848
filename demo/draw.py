"""Draws a demo competition: cartoon people in the exact layout of mask / gender / age.

`python demo/draw.py data/demo` writes the data root and, beside it, data/demo-truth.csv: the answers
for eval/. The faces carry what the real ones do: the mask is plain to see, gender and age show only
in part, and hair, skin, clothes and background are a person's own, so that a model which has seen a
person knows him again. That is what makes a split by photo claim too much.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw, ImageFilter

WIDTH, HEIGHT = 384, 512
STEMS = ("mask1", "mask2", "mask3", "mask4", "mask5", "incorrect_mask", "normal")
AGES, SHARES = ((18, 30), (30, 60), (60, 76)), (0.45, 0.41, 0.14)
MASK_COLOURS = ((235, 238, 240), (120, 170, 205), (40, 42, 48), (150, 195, 170), (225, 190, 200))
WALLS = ((205, 205, 200), (170, 190, 210), (215, 200, 175), (150, 160, 150))
SHIRTS = ((60, 70, 95), (140, 60, 60), (90, 130, 95), (200, 190, 170), (45, 45, 45))
Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Person:
    id: str
    gender: str
    age: int
    skin: Colour
    hair: Colour
    shirt: Colour
    wall: Colour
    face: tuple[float, float]  # half width and half height, pixels
    hair_length: float  # 0 short to 1 below the shoulders
    lips: float  # strength of their colour, 0 to 1
    beard: float
    wrinkles: int
    glasses: bool
    pattern: int  # of wall and shirt


def invent(rng: np.random.Generator, number: int) -> Person:
    """A person whose gender and age show only in part."""
    female = rng.random() < 0.5
    bracket = rng.choice(3, p=SHARES)
    age = int(rng.integers(*AGES[bracket]))
    grey = np.clip((age - 36) / 36 + rng.normal(0, 0.19), 0, 1)
    own_hair = np.array([(35, 28, 25), (95, 60, 35), (160, 110, 50), (120, 45, 30)][rng.integers(4)])
    skin = np.array([(245, 215, 190), (225, 180, 145), (180, 130, 95), (120, 82, 60)][rng.integers(4)])
    return Person(
        id="001498-1" if number == 11 else f"{number:06d}",
        gender="female" if female else "male",
        age=age,
        skin=colour(skin + rng.normal(0, 9, 3)),
        hair=colour(own_hair * (1 - grey) + 205 * grey + rng.normal(0, 8, 3)),
        shirt=colour(np.array(SHIRTS[rng.integers(len(SHIRTS))]) + rng.normal(0, 6, 3)),
        wall=colour(np.array(WALLS[rng.integers(len(WALLS))]) + rng.normal(0, 6, 3)),
        face=(rng.normal(82 if female else 90, 6), rng.normal(112, 7)),
        hair_length=float(np.clip(rng.normal(0.76 if female else 0.18, 0.22), 0, 1)),
        lips=float(np.clip(rng.normal(0.7 if female else 0.15, 0.25), 0, 1)),
        beard=0.0 if female or rng.random() < 0.5 else float(rng.uniform(0.3, 0.9)),
        wrinkles=int(np.clip(rng.normal((age - 20) / 12, 0.9), 0, 5)),
        glasses=bool(rng.random() < 0.15 + age / 200),
        pattern=int(rng.integers(4)),
    )


def colour(values: np.ndarray) -> Colour:
    red, green, blue = (int(v) for v in np.clip(values, 0, 255))
    return red, green, blue


def portrait(person: Person, stem: str, rng: np.random.Generator) -> Image.Image:
    """One photo (384 x 512) of `person`: another place, size, light and grain each time."""
    photo = Image.new("RGB", (WIDTH, HEIGHT), person.wall)
    pen = ImageDraw.Draw(photo)
    x, y = WIDTH / 2 + rng.normal(0, 9), HEIGHT / 2 - 10 + rng.normal(0, 9)
    scale = rng.normal(1.1, 0.05)
    w, h = person.face[0] * scale, person.face[1] * scale
    draw_behind(pen, person, x, y, w, h)
    draw_face(pen, person, x, y, w, h)
    if stem != "normal":
        worn = STEMS.index(stem) if stem.startswith("mask") else rng.integers(5)
        draw_mask(pen, MASK_COLOURS[worn], x, y + (0.34 if stem == "incorrect_mask" else 0) * h, w, h)
    light = rng.normal(1, 0.08)
    photo = photo.filter(ImageFilter.GaussianBlur(rng.uniform(0.4, 1.4)))
    grain = rng.normal(0, 6, (HEIGHT // 2, WIDTH // 2, 1)).repeat(2, axis=0).repeat(2, axis=1)
    return Image.fromarray(np.clip(np.asarray(photo) * light + grain, 0, 255).astype(np.uint8))


def draw_behind(pen: ImageDraw.ImageDraw, person: Person, x: float, y: float, w: float, h: float) -> None:
    other = colour(np.array(person.wall) * 0.75)
    for place in range(0, WIDTH + HEIGHT, 48):
        if person.pattern == 1:
            pen.line([(place, 0), (place, HEIGHT)], fill=other, width=14)
        elif person.pattern == 2:
            pen.line([(0, place), (WIDTH, place)], fill=other, width=14)
        elif person.pattern == 3:
            pen.line([(place, 0), (place - HEIGHT, HEIGHT)], fill=other, width=14)
    ellipse(pen, x, y - 0.12 * h, 1.22 * w, 1.12 * h, person.hair)
    pen.rectangle([x - 1.2 * w, y - 0.1 * h, x + 1.2 * w, y + (0.1 + 1.3 * person.hair_length) * h], fill=person.hair)
    pen.rectangle([x - 0.4 * w, y + 0.6 * h, x + 0.4 * w, y + 1.5 * h], fill=colour(np.array(person.skin) * 0.9))
    pen.rounded_rectangle([x - 2 * w, y + 1.25 * h, x + 2 * w, HEIGHT + 60], 60, fill=person.shirt)
    if person.pattern % 2:
        pen.rectangle([x - 2 * w, y + 1.5 * h, x + 2 * w, y + 1.6 * h], fill=other)


def draw_face(pen: ImageDraw.ImageDraw, person: Person, x: float, y: float, w: float, h: float) -> None:
    skin = np.array(person.skin)
    ellipse(pen, x, y, w, h, person.skin)
    if person.beard:
        pen.chord([x - w, y - h, x + w, y + h], 20, 160, fill=colour(skin * (1 - 0.6 * person.beard)))
    pen.chord([x - 1.02 * w, y - 1.02 * h, x + 1.02 * w, y + 0.9 * h], 205, 335, fill=person.hair)
    for side in (-1, 1):
        ellipse(pen, x + side * 0.4 * w, y - 0.12 * h, 0.17 * w, 0.07 * h, (250, 250, 250))
        ellipse(pen, x + side * 0.4 * w, y - 0.12 * h, 0.07 * w, 0.06 * h, (40, 35, 35))
        if person.glasses:
            box = [x + side * 0.4 * w - 0.28 * w, y - 0.27 * h, x + side * 0.4 * w + 0.28 * w, y + 0.03 * h]
            pen.ellipse(box, outline=(30, 30, 30), width=4)
        for line in range(person.wrinkles):
            height = y + (-0.4 + 0.09 * line) * h
            pen.line(
                [(x + side * 0.1 * w, height), (x + side * 0.55 * w, height - 4)], fill=colour(skin * 0.72), width=3
            )
    pen.line(
        [(x, y - 0.05 * h), (x - 0.1 * w, y + 0.25 * h), (x + 0.08 * w, y + 0.27 * h)],
        fill=colour(skin * 0.75),
        width=4,
    )
    lips = colour(skin * (1 - person.lips) + np.array([190, 40, 60]) * person.lips)
    ellipse(pen, x, y + 0.52 * h, 0.34 * w, 0.07 * h, lips)


def draw_mask(pen: ImageDraw.ImageDraw, shade: Colour, x: float, y: float, w: float, h: float) -> None:
    top, bottom = y + 0.12 * h, y + 0.95 * h
    outline = [
        (x - 0.85 * w, top),
        (x, top - 0.08 * h),
        (x + 0.85 * w, top),
        (x + 0.6 * w, bottom),
        (x - 0.6 * w, bottom),
    ]
    pen.polygon(outline, fill=shade)
    for fold in (0.3, 0.55):
        height = top + fold * (bottom - top)
        pen.line([(x - 0.7 * w, height), (x + 0.7 * w, height)], fill=colour(np.array(shade) * 0.85), width=3)
    for side in (-1, 1):
        pen.line([(x + side * 0.85 * w, top), (x + side * 1.02 * w, top - 0.2 * h)], fill=shade, width=4)


def ellipse(pen: ImageDraw.ImageDraw, x: float, y: float, w: float, h: float, fill: Colour) -> None:
    pen.ellipse([x - w, y - h, x + w, y + h], fill=fill)


def answer(person: Person, stem: str) -> int:
    """mask * 6 + gender * 3 + age, as the competition counts."""
    mask = {"incorrect_mask": 1, "normal": 2}.get(stem, 0)
    return mask * 6 + (person.gender == "female") * 3 + (person.age >= 30) + (person.age >= 60)


def save_photos(jobs: tuple[Person, int, dict[str, Path]]) -> None:
    person, seed, files = jobs
    rng = np.random.default_rng(seed)
    for stem, file in files.items():
        portrait(person, stem, rng).save(file, **({"compress_level": 1} if file.suffix == ".png" else {"quality": 90}))


def draw_competition(root: Path, people: int, eval_people: int, seed: int) -> None:
    """Writes the data root at `root` and the answers at `root`-truth.csv, both whole or not at all."""
    root.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{root.name}-", dir=root.parent))
    try:
        rng = np.random.default_rng(seed)
        everyone = [invent(rng, number) for number in range(1, people + eval_people + 1)]
        jobs, rows = [], []
        (scratch / "eval" / "images").mkdir(parents=True)
        for number, person in enumerate(everyone[:people]):
            name = f"{person.id}_{person.gender}_Asian_{person.age}"
            folder = scratch / "train" / "images" / name
            folder.mkdir(parents=True)
            rows.append(
                (person.id, person.gender.title() if number % 9 == 4 else person.gender, "Asian", person.age, name)
            )
            suffix = {3: ".png", 7: ".jpeg"}.get(number % 20, ".jpg")
            jobs.append((person, seed * 10_000 + number, {stem: folder / f"{stem}{suffix}" for stem in STEMS}))
            if number == 0:
                (folder / "._mask1.jpg").write_bytes(b"left by another system's file browser")
        truth = {}
        for number, person in enumerate(everyone[people:], people):
            files = {stem: hashlib.sha1(f"{seed}/{number}/{stem}".encode()).hexdigest() + ".jpg" for stem in STEMS}
            truth |= {file: answer(person, stem) for stem, file in files.items()}
            jobs.append(
                (person, seed * 10_000 + number, {s: scratch / "eval" / "images" / file for s, file in files.items()})
            )
        with ProcessPoolExecutor() as pool:
            for done, _ in enumerate(pool.map(save_photos, jobs, chunksize=8), 1):
                if done % 24 == 0 or done == len(jobs):
                    print(f"drawing the demo photos: {done}/{len(jobs)} people", flush=True)
        table = pd.DataFrame(rows, columns=["id", "gender", "race", "age", "path"])
        table.to_csv(scratch / "train" / "train.csv", index=False)
        answers = pd.DataFrame(sorted(truth.items()), columns=["ImageID", "ans"])
        answers.assign(ans=0).to_csv(scratch / "eval" / "info.csv", index=False)
        answers.to_csv(root.with_name(f"{root.name}-truth.csv"), index=False)
        scratch.chmod(0o755)
        scratch.rename(root)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("root", type=Path, help="data root to write; left as it is if it is there")
    parser.add_argument("--people", type=int, default=140, help="labelled people, 7 photos each (default: %(default)s)")
    parser.add_argument("--eval_people", type=int, default=60, help="people to predict (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    if given.root.is_dir():
        print(f"{given.root} is there already")
        return
    draw_competition(given.root, given.people, given.eval_people, given.seed)
    print(f"{given.root}: {given.people * 7} labelled photos, {given.eval_people * 7} to predict")


if __name__ == "__main__":
    main()
