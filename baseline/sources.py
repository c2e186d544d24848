"""Where a trial's knobs come from: environment, run folder, --config FILE, command line and NNI, in that order."""

from __future__ import annotations

import argparse
import dataclasses
import typing
from pathlib import Path
from typing import Any

from config import FIELDS, TYPES, Config, check, convert
from registry import unknown


def load(argv: list[str], environment: dict[str, str], parameters: dict[str, Any]) -> tuple[Config, list[dict]]:
    """The trial's Config, and what overrode what: a list of {knob, value, from, by, now}.

    `environment` holds environment variables, `parameters` what NNI chose. Raises ValueError for an
    unknown knob or an impossible value, naming where it was given.
    """
    from_file, from_line = read_line(argv)
    sources = {
        "environment": from_environment(environment),
        "run folder": {} if parameters else from_run(from_line.get("resume", "")),  # NNI's trials have their own
        "config file": from_file,
        "command line": from_line,
        "NNI": parameters,
    }
    chosen, origin, overrides = {}, {}, []
    for source, given in sources.items():
        for name, raw in given.items():
            value = convert(name, raw, source)
            if name in chosen and chosen[name] != value:
                overrides.append(
                    {"knob": name, "value": chosen[name], "from": origin[name], "by": source, "now": value}
                )
            chosen[name], origin[name] = value, source
    return check(Config(**chosen)), overrides


def from_environment(environment: dict[str, str]) -> dict[str, str]:
    named = {name: entry.metadata["environment"] for name, entry in FIELDS.items()}
    return {name: environment[key] for name, key in named.items() if environment.get(key)}


def from_run(resume: str) -> dict[str, Any]:
    """The parameters of the run folder that --resume names."""
    if resume in ("", "auto"):
        return {}
    path = Path(resume).expanduser()
    if not (path / "config.json").is_file():
        raise ValueError(f"--resume {path} is no run folder: it lacks config.json")
    return read_file(path)


def read_line(argv: list[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The command line as (values of its --config FILE, values given on it)."""
    parser = argument_parser()
    known, rest = parser.parse_known_args(argv)
    if rest:
        name = rest[0].lstrip("-").split("=")[0].replace("-", "_")
        raise (
            unknown("option on the command line:", name, FIELDS)
            if rest[0].startswith("-")
            else ValueError(f"command line: {rest[0]!r} belongs to no option")
        )
    given = vars(known)
    path = given.pop("config", None)
    return (read_file(Path(path)) if path else {}), given


def read_file(path: Path) -> dict[str, Any]:
    """Knobs from a JSON or YAML file; of a run folder's config.json, its parameters."""
    import yaml

    path = path / "config.json" if path.is_dir() else path  # a run folder
    if not path.is_file():
        raise ValueError(f"--config {path}: no such file")
    try:
        content = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise ValueError(f"--config {path}: neither JSON nor YAML: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"--config {path}: expected knobs by name, found {type(content).__name__}")
    return content.get("parameters", content)


def argument_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="train.py",
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
        description="Trains one trial and writes its run folder. Under NNI, NNI's parameters win.",
    )
    parser.add_argument("--config", metavar="FILE", help="knobs from a JSON or YAML file, or a run's config.json")
    for name, entry in FIELDS.items():
        spellings = dict.fromkeys([f"--{name}", f"--{name.replace('_', '-')}"])
        many = {"nargs": "+"} if typing.get_origin(TYPES[name]) is tuple else {}
        if TYPES[name] is bool:
            many = {"nargs": "?", "const": "true"}
        parser.add_argument(*spellings, dest=name, help=describe(entry), metavar=name.upper(), **many)
    return parser


def describe(entry: dataclasses.Field) -> str:
    default = " ".join(map(str, entry.default)) if isinstance(entry.default, tuple) else entry.default
    notes = [f"default: {default if default != '' else 'none'}"]
    notes += [f"in {entry.metadata['unit']}"] if entry.metadata["unit"] else []
    notes += [f"or {entry.metadata['environment']} in the environment"] if entry.metadata["environment"] else []
    return f"{entry.metadata['text']} ({'; '.join(notes)})".replace("%", "%%")
