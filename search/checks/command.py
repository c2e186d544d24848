"""trialCommand taken apart: its interpreter, train.py's options, and whether a shell would split it."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from checks.finding import FAIL, OK, WARN, Finding, failed
from config import FIELDS, TYPES, Config
from registry import unknown
from sources import load

JOINTS = {"&&", "||", ";", "|", "&", "|&", ";;"}
TRAIN = "train.py"


@dataclass(frozen=True)
class Command:
    """`program` and `script` are as written; of several commands it is the one that runs train.py, or the first."""

    program: str
    script: str
    options: tuple[str, ...]
    single: bool

    @property
    def trains(self) -> bool:
        """Whether this is Podium's own trial, whose options and knobs are known."""
        return Path(self.script).name == TRAIN

    @property
    def is_python(self) -> bool:
        return Path(self.program).name.startswith("python")


def parse(text: str) -> Command:
    """Raises ValueError where quotes are not closed."""
    lexer = shlex.shlex(text.strip().replace("\n", " ; "), posix=True, punctuation_chars=";&|")
    lexer.whitespace_split = True
    commands: list[list[str]] = [[]]
    for word in lexer:
        if word in JOINTS:
            commands.append([])
        else:
            commands[-1].append(word)
    commands = [words for words in commands if words] or [[""]]
    chosen = next((words for words in commands if any(Path(word).name == TRAIN for word in words)), commands[0])
    while re.match(r"\w+=", chosen[0]) and len(chosen) > 1:  # NAME=value before the program
        chosen = chosen[1:]
    program, rest = chosen[0], chosen[1:]
    while rest and rest[0].startswith("-") and rest[0] not in ("-m", "-c"):
        rest = rest[1:]
    return Command(program, rest[0] if rest else "", tuple(rest[1:]), len(commands) == 1)


def check_command(config: dict[str, Any]) -> tuple[Command | None, Config | None, list[Finding]]:
    """The command, the Config of train.py's options where it runs that, and what is wrong with them."""
    try:
        command = parse(config["trialCommand"])
    except ValueError as error:
        return None, None, [Finding("trialCommand", config["trialCommand"], FAIL, str(error), "close the quotes")]
    findings = [*check_shell(command), *check_program(command, config), *check_script(command, config)]
    folder = Path(config["trialCodeDirectory"])
    if not command.trains:
        findings.append(Finding("trialCommand", command.script or command.program, OK, "not Podium's train.py"))
        return command, None, findings
    try:
        knobs, _ = load(options_here(command, folder), dict(os.environ) if is_local(config) else {}, {})
    except ValueError as error:
        findings.append(Finding("trialCommand", command.script, FAIL, str(error), "correct the option"))
        return command, None, findings
    if not failed(findings):
        found = f"{len(command.options)} words of options are right"
        findings.append(Finding("trialCommand", command.script, OK, found))
    return command, knobs, findings


def is_local(config: dict[str, Any]) -> bool:
    return config["trainingService"]["platform"] == "local"


def options_here(command: Command, folder: Path) -> list[str]:
    """train.py's options as they can be read here: --config from the trial's folder, and without numbers that only
    the shell knows ($THREADS)."""
    words, read = list(command.options), []
    for number, word in enumerate(words):
        before = words[number - 1].lstrip("-").replace("-", "_") if number else ""
        if before == "config":
            word = str(folder / Path(word).expanduser())
        if "$" in word and before in FIELDS and TYPES[before] is not str:
            read.pop()
            continue
        read.append(word)
    return read


def check_shell(command: Command) -> Iterator[Finding]:
    if not command.single:
        yield Finding(
            "trialCommand",
            "shell",
            WARN,
            "joins several commands, of which only bash hears NNI's stop; Python would run on",
            "write one simple command, or a script that ends with exec",
        )


def check_program(command: Command, config: dict[str, Any]) -> Iterator[Finding]:
    """The interpreter; on other machines they look for it themselves (inspection.py)."""
    program, bare = command.program, "/" not in command.program
    machines = config["trainingService"].get("machineList") or []
    if bare and command.is_python and not (machines and all(entry.get("pythonPath") for entry in machines)):
        found = "has no folder, so NNI takes the first one in PATH, which may be the system's"
        yield Finding("trialCommand", program, WARN, found, "name it: ../.venv/bin/python here, /…/bin/python there")
    if is_local(config):
        if not program_here(command, config):
            todo = "check its path, which is absolute or relative to trialCodeDirectory"
            yield Finding("trialCommand", program, FAIL, "there is no such program", todo)
    elif not bare and not program.startswith(("/", "~", "$")):
        found = "is relative, but trials start in a folder of their own on the machines"
        yield Finding("trialCommand", program, FAIL, found, "write the path that it has there, from / on")


def check_script(command: Command, config: dict[str, Any]) -> Iterator[Finding]:
    folder = Path(config["trialCodeDirectory"])
    relative = command.script.endswith(".py") and not command.script.startswith(("/", "~", "$"))
    if relative and not (folder / command.script).is_file():
        found = str(unknown("script", command.script, [path.name for path in folder.glob("*.py")]))
        yield Finding("trialCommand", str(folder), FAIL, found, "name one from trialCodeDirectory")


def program_here(command: Command, config: dict[str, Any]) -> str:
    """The path of the command's program on this computer; empty where there is none."""
    if "/" not in command.program:
        return shutil.which(command.program) or ""
    path = Path(config["trialCodeDirectory"]) / Path(os.path.expandvars(command.program)).expanduser()
    return str(path) if path.is_file() and os.access(path, os.X_OK) else ""
