"""The command of trials that go on: of the old one what says where a trial works, and the new number of epochs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from checks.command import parse
from config import FIELDS, PLACES
from registry import unknown

LIMIT = "max_trial_minutes"
# knobs of the command that the new one has too; without one no run folder's own limit is inherited
KEPT = PLACES - {"name", "resume", "repeat_of", "seeds"} | {LIMIT}
WORD = re.compile(r"""(?:[^\s"']|"(?:\\.|[^"\\])*"|'[^']*')+""")  # of a shell, with its quotes


def command_of(text: str, epochs: int) -> str:
    """The trial command with --epochs, and of train.py's options those that say where it works."""
    command = parse(text)
    if not (command.trains and command.single):
        raise ValueError(f"trialCommand: {text!r} is not one command that runs train.py; write it so")
    words = WORD.findall(text)
    script = next(number for number, word in enumerate(words) if Path(word.strip("\"'")).name == "train.py")
    options = list(kept(words[script + 1 :]))
    if not any(option_of(word) == LIMIT for word in options):
        options += [f"--{LIMIT}", "0"]
    return " ".join([*words[: script + 1], *options, "--epochs", str(epochs)])


def option_of(word: str) -> str:
    """Of train.py, as Config names it; empty for a value."""
    return word.removeprefix("--").partition("=")[0].replace("-", "_") if word.startswith("--") else ""


def kept(words: list[str]) -> Iterator[str]:
    """Those of train.py's options, with their values, that are in KEPT."""
    keeps = False
    for word in words:
        if name := option_of(word):
            if name not in FIELDS and name not in ("config", "from"):
                raise unknown("option in trialCommand:", name, FIELDS)
            if name == "config":
                raise ValueError(
                    "trialCommand takes options from a file by --config, and a promoted trial has its run folder's; "
                    "write those that say where it works (--data_dir, --model_dir and the like) on the command line"
                )
            keeps = name in KEPT
        if keeps:
            yield word
