"""Progress as plain lines, so that a trial's log file and NNI's page can show it."""

from __future__ import annotations

import time


class Progress:
    """Prints `label: done/total, pace, time to go` at most once in `every` seconds."""

    def __init__(self, label: str, total: int, unit: str, every: float = 2.0) -> None:
        self.label, self.total, self.unit, self.every = label, total, unit, every
        self.started = self.printed = time.monotonic()

    def show(self, done: int) -> None:
        now = time.monotonic()
        if now - self.printed >= self.every:
            self.printed = now
            rate = done / (now - self.started)
            print(
                f"{self.label}: {done}/{self.total} {self.unit},"
                f" {f'{rate:.0f} a second' if rate >= 1 else f'{1 / rate:.0f} s each'},"
                f" {duration((self.total - done) / rate)} to go",
                flush=True,
            )


def duration(seconds: float) -> str:
    """Seconds as a person reads them: '48 s', '3 min 05 s', '2 h 10 min'."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
