"""Images per second of a whole trial: the way S3 does it against this project's, on the same photos.

    python benchmarks/trial.py DATA [--epochs 2] [--rounds 2] [--out benchmarks/trial.md]

Both train Efficientnet_b0 without pretrained weights at 128 pixels in batches of 32 on the same
people, then predict the validation photos after each epoch. S3's way: every photo is opened by PIL
each epoch, cropped, resized and normalised alone, loaded by a DataLoader with 2 workers, and goes
through stock efficientnet-pytorch in NCHW. The two take turns (A B A B) in processes of their own;
a trial's seconds run from the first decoded photo to the last epoch's validation.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HOME = Path(__file__).resolve().parent.parent
SIDE, BATCH = 128, 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--out", type=Path, default=HOME / "benchmarks" / "trial.md")
    parser.add_argument("--stock", action="store_true", help="run S3's way once and print its seconds")
    given = parser.parse_args()
    if given.stock:
        print(json.dumps(stock_trial(given.data, given.epochs)))
        return
    ways = {"S3's way": run_stock, "this project": run_ours}
    found = {name: [] for name in ways}
    for number in range(given.rounds):
        for name, run in ways.items():
            found[name].append(run(given.data, given.epochs))
            print(f"round {number + 1}/{given.rounds}, {name}: {found[name][-1]['rate']:.1f} images/s", flush=True)
    given.out.write_text(report(found, given.epochs))
    print(given.out.read_text())


def run_stock(data: Path, epochs: int) -> dict[str, float]:
    command = [sys.executable, __file__, data, "--epochs", str(epochs), "--stock"]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return json.loads(output.splitlines()[-1])


def stock_trial(data: Path, epochs: int) -> dict[str, float]:
    """S3's way, in this process."""
    import torch
    from efficientnet_pytorch import EfficientNet

    training, validating = stock_loaders(data)
    torch.manual_seed(42)
    model = EfficientNet.from_name("efficientnet-b0", num_classes=18)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, weight_decay=5e-5)
    criterion = torch.nn.CrossEntropyLoss()
    began, trained = time.monotonic(), 0.0
    for _ in range(epochs):
        model.train()
        started = time.monotonic()
        for photos, wanted in training:
            optimizer.zero_grad()
            loss = criterion(model(photos), wanted)
            loss.backward()
            optimizer.step()
        trained += time.monotonic() - started
        model.eval()
        with torch.no_grad():
            for photos, _ in validating:
                model(photos)
    photos = epochs * len(training.dataset)
    seconds = time.monotonic() - began
    return {"rate": photos / trained, "seconds": seconds, "trial_rate": photos / seconds}


def stock_loaders(data: Path) -> tuple:
    """Loaders of fold 0's training and validation photos, each opened, cropped and resized alone every time."""
    from PIL import Image
    from torch.utils.data import DataLoader, Dataset
    from torchvision import transforms

    sys.path[0] = str(HOME / "baseline")  # in place of this folder, whose trial.py would hide the trial's
    from dataset import read
    from folds import split

    parts = read(str(data), "auto", {"classification": "multi", "age_boundaries": (30, 60)}).train
    folds = split(parts.ids, parts.groups, parts.strata, val_ratio=0.2, fold=0, split_seed=42)
    labels = parts.target.argmax(axis=1)
    with Image.open(parts.paths[0]) as first:
        crop = [transforms.CenterCrop(350)] if min(first.size) >= 350 else []
    look = transforms.Compose(
        [
            *crop,
            transforms.Resize((SIDE, SIDE), Image.Resampling.BILINEAR),
            transforms.ToTensor(),
            transforms.Normalize((0.548, 0.504, 0.479), (0.237, 0.247, 0.246)),
        ]
    )

    class Photos(Dataset):
        def __init__(self, rows):
            self.rows = rows

        def __len__(self):
            return len(self.rows)

        def __getitem__(self, place):
            row = self.rows[place]
            return look(Image.open(parts.paths[row]).convert("RGB")), int(labels[row])

    training = DataLoader(Photos(folds.train), BATCH, shuffle=True, num_workers=2)
    return training, DataLoader(Photos(folds.validation), 256, num_workers=2)


def run_ours(data: Path, epochs: int) -> dict[str, float]:
    """A real trial with an empty cache, so that decoding counts."""
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, HOME / "baseline" / "train.py", "--data_dir", data, "--model", "Efficientnet_b0"]
        command += ["--pretrained", "false", "--resize", str(SIDE), "--batch_size", str(BATCH), "--epochs", str(epochs)]
        command += ["--model_dir", scratch, "--cache_dir", f"{scratch}/cache"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        began = ended = time.monotonic()
        for line in process.stdout:
            if "other people validate" in line:
                began = time.monotonic()  # the data is listed; decoding begins
            if line.startswith(f"epoch {epochs}/{epochs} done"):
                ended = time.monotonic()
        if process.wait() != 0:
            raise SystemExit("error: the trial failed; run it alone to see why")
        (folder,) = Path(scratch).glob("exp/*")
        rows = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    photos = sum(row["images_per_second"] * row["seconds"] for row in rows)
    seconds = ended - began
    return {"rate": photos / sum(row["seconds"] for row in rows), "seconds": seconds, "trial_rate": photos / seconds}


def report(found: dict[str, list[dict[str, float]]], epochs: int) -> str:
    medians = {
        name: {key: statistics.median(run[key] for run in runs) for key in ("rate", "trial_rate", "seconds")}
        for name, runs in found.items()
    }
    stock, ours = medians.values()
    rows = [
        f"| {name} | {m['rate']:.1f} | {m['trial_rate']:.1f} | {m['seconds']:.0f} "
        f"| {', '.join(format(run['rate'], '.1f') for run in found[name])} |"
        for name, m in medians.items()
    ]
    lines = [
        "# A trial against S3's way",
        "",
        f"`python benchmarks/trial.py DATA`: Efficientnet_b0, {SIDE} px, batch {BATCH}, {epochs} epochs, "
        f"{platform.machine()}, turns A B A B, medians of {len(found['this project'])}.",
        f"Ratio: **{ours['rate'] / stock['rate']:.2f}** in training, "
        f"**{ours['trial_rate'] / stock['trial_rate']:.2f}** over decoding, training and validation.",
        "",
        "| way | training images/s | images/s of the whole | seconds of the whole | training images/s, each round |",
        "|---|---|---|---|---|",
        *rows,
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
