"""TensorBoard: scalars and a figure after each epoch, HParams at the end, all in the run folder."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

TILE, CAPTION, COLUMNS, MOST = 160, 34, 4, 16
RIGHT, WRONG = (22, 120, 60), (190, 30, 45)


@dataclass
class Events:
    """What a run folder shows. TensorBoard is imported when the first of it is written: the first step comes before."""

    folder: Path
    purge_step: int | None

    @cached_property
    def writer(self) -> Any:
        from torch.utils.tensorboard import SummaryWriter

        return SummaryWriter(str(self.folder), purge_step=self.purge_step)

    def close(self) -> None:
        if "writer" in vars(self):
            self.writer.close()


def open_events(folder: Path, history: list[dict[str, Any]]) -> Events:
    """For a trial that ended the epochs of `history` before; what was shown of the last and later is to be hidden.

    Where they were another run folder's, all but the last are shown here for the first time.
    """
    if any(folder.glob("events.out.*")):
        return Events(folder, len(history) or None)
    events = Events(folder, None)
    for row in history[:-1]:
        write_epoch(events, row)
    return events


def write_epoch(events: Events, row: dict[str, Any]) -> None:
    """A scalar for each number of a history row but its epoch, at that epoch."""
    for name, value in row.items():
        if name != "epoch":
            events.writer.add_scalar(name, value, row["epoch"])


def write_figure(events: Events, epoch: int, figure: np.ndarray) -> None:
    events.writer.add_image("validation", figure, epoch, dataformats="HWC")
    events.writer.flush()


def write_hparams(events: Events, knobs: dict[str, Any], metrics: dict[str, float]) -> None:
    from torch.utils.tensorboard.summary import hparams

    # add_hparams() would open a second folder for each trial
    plain = {name: value if isinstance(value, (bool, str, int, float)) else str(value) for name, value in knobs.items()}
    for summary in hparams(plain, {f"best/{name}": value for name, value in metrics.items()}):
        events.writer.file_writer.add_summary(summary)
    for name, value in metrics.items():
        events.writer.add_scalar(f"best/{name}", value)


def draw_predictions(photos: torch.Tensor, predicted: list[str], truth: list[str]) -> np.ndarray:
    """Up to 16 photos (B, C, H, W) uint8, four a row, with predicted and true class: (h, w, 3) uint8.

    Of more than three channels the first three are shown, of fewer the first one in grey.
    """
    photos = photos[:, :3] if photos.shape[1] >= 3 else photos[:, :1].expand(-1, 3, -1, -1)
    rows = -(-min(len(photos), MOST) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * TILE, rows * (TILE + CAPTION)), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=12)
    for place, photo in enumerate(photos[:MOST]):
        left, top = place % COLUMNS * TILE, place // COLUMNS * (TILE + CAPTION)
        sheet.paste(Image.fromarray(photo.permute(1, 2, 0).numpy()).resize((TILE - 4, TILE - 4)), (left + 2, top + 2))
        colour = RIGHT if predicted[place] == truth[place] else WRONG
        pen.text((left + 4, top + TILE), predicted[place], fill=colour, font=font)
        pen.text((left + 4, top + TILE + 15), f"is {truth[place]}", fill="black", font=font)
    return np.asarray(sheet)
