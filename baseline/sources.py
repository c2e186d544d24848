"""Where a trial's knobs come from: environment, run folders, --config FILE, command line and NNI, in that order.

Where one of the variables SAGEMAKER is set, the environment variable NAME is the model, and one that is called as a
knob in lower case is that knob: `SM_CHANNEL_TRAIN=DATA NAME=resnet18 epochs=1 python train.py`. Shells and systems
have variables NAME and name of their own, so without SAGEMAKER neither counts, and `name` never does.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import typing
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from config import FIELDS, SETTLED, TYPES, Config
from registry import unknown
from rules import check, convert
from run import fold_folders, place_of, root_of
from sections import flatten, refuse_twice

OUTPUTS = Path(__file__).resolve().parent.parent / "outputs"
SAGEMAKER = (
    "SM_CHANNEL_TRAIN",
    "SM_MODEL_DIR",
    "SM_CHANNEL_EVAL",
    "SM_CHANNEL_MODEL",
    "SM_OUTPUT_DATA_DIR",
    "SM_GROUND_TRUTH_DIR",
)
BASELINE = Path(__file__).resolve().parent
NOT_KNOBS = {"name"}  # nix-shell sets it, and it would differ from NAME by its case alone


def load(argv: list[str], environment: dict[str, str], parameters: dict[str, Any]) -> tuple[Config, list[dict]]:
    """The trial's Config, and what overrode what: a list of {knob, value, from, by, now}.

    `environment` holds environment variables, `parameters` what NNI chose. Raises ValueError for an
    unknown knob or an impossible value, naming where it was given.
    """
    from_file, from_line = read_line(argv)
    around = from_environment(environment)
    resume = from_line.get("resume", around.get("resume", ""))
    asked = around | from_file | from_line | parameters
    config, overrides = merge(
        {
            "environment": around,
            "run folder": {} if parameters else from_run(resume),  # NNI's trials have their own
            "--from": from_repeated(asked.get("repeat_of", "")),
            "--continue_run": from_continued(asked.get("continue_run", "")),
            "config file": from_file,
            "command line": from_line,
            "NNI": parameters,
        }
    )
    if parameters and config.seeds > 1:
        raise ValueError(
            f"--seeds {config.seeds} trains as many trials, but NNI waits for the result of one; put the seed into the "
            'search space, "seed": {"_type": "choice", "_value": [42, 43]}, or train the best trial by itself: '
            f"train.py --from RUN --seeds {config.seeds}"
        )
    return config, overrides


def merge(sources: dict[str, dict[str, Any]]) -> tuple[Config, list[dict]]:
    """The Config of knobs by source, a later one winning, and what overrode what, as load() has it."""
    chosen, origin, overrides = {}, {}, []
    for source, given in sources.items():
        for name, raw in given.items():
            value = convert(name, raw, source)
            if name in chosen and chosen[name] != value:
                overrides.append(
                    {"knob": name, "value": chosen[name], "from": origin[name], "by": source, "now": value}
                )
            chosen[name], origin[name] = value, source
    if origin.get("model") == "environment":
        check_model(chosen["model"])
    return check(Config(**chosen)), overrides


def from_environment(environment: dict[str, str]) -> dict[str, str]:
    """Knobs by name. Raises ValueError naming the variable for an impossible value, and for two of one knob."""
    variables = {entry.metadata["environment"]: name for name, entry in FIELDS.items() if entry.metadata["environment"]}
    if any(environment.get(key) for key in SAGEMAKER):
        variables |= {"NAME": "model"} | {name: name for name in FIELDS.keys() - NOT_KNOBS}
    given, origin = {}, {}
    for key, name in variables.items():
        if raw := environment.get(key):
            convert(name, raw, f"environment variable {key}")
            if given.get(name, raw) != raw:
                raise ValueError(
                    f"environment: {origin[name]}={given[name]} and {key}={raw} both set {name}; unset one of them"
                )
            given[name], origin[name] = raw, key
    return given


def check_model(name: str) -> None:
    """Raises ValueError where the environment names no model: a shell may have set NAME to something else."""
    from model import model_factory

    try:
        model_factory(name)
    except ValueError as error:
        raise ValueError(
            f"environment: {error}. Beside an SM_ variable NAME is the model; unset NAME, or pass --model"
        ) from error


def output_root(config: Config) -> Path:
    """The folder that holds the experiments' folders."""
    return Path(config.model_dir).expanduser() if config.model_dir else OUTPUTS


def from_run(resume: str) -> dict[str, Any]:
    """The parameters of the run folder that --resume names."""
    if resume in ("", "auto"):
        return {}
    path = Path(resume).expanduser()
    if not (path / "config.json").is_file():
        raise ValueError(f"--resume {path} is no run folder: it lacks config.json")
    return read_file(path)


def from_repeated(run: str) -> dict[str, Any]:
    """The parameters of the run folder that --from names, with what auto came to there, into the same output root."""
    if not run:
        return {}
    path = Path(run).expanduser().absolute()
    stored = read_trial("--from", path)
    return stored["parameters"] | came_to(path, stored) | from_baseline(stored) | {"model_dir": str(root_of(path))}


def from_baseline(stored: dict[str, Any]) -> dict[str, str]:
    """What a trial of NNI, which works in baseline/, named from there and is not here."""
    named = {name: stored["parameters"].get(name) or "" for name in ("weights", "fold_file", "external")}
    places = {name: (Path(place).expanduser(), BASELINE / place) for name, place in named.items() if place}
    return {name: str(there) for name, (here, there) in places.items() if not here.exists() and there.exists()}


def read_trial(option: str, path: Path) -> dict[str, Any]:
    """config.json of the run folder `path` that `option` names. Raises ValueError where it is no trial's."""
    if not (path / "config.json").is_file():
        raise ValueError(f"{option} {path} is no run folder: it lacks config.json")
    stored = json.loads((path / "config.json").read_text())
    if "blend" in stored:
        raise ValueError(f"{option} {path} is a blend, which nobody trained; take one of {stored['blend']['members']}")
    return stored


def came_to(path: Path, stored: dict[str, Any]) -> dict[str, Any]:
    """What auto came to in the run folder `path` whose config.json is `stored`, as far as it got."""
    layout = stored["data"].get("layout")  # not told by folders older than that
    found = {"dataset": layout} if layout else {}
    for part in fold_folders(path) or [path]:
        summary = json.loads((part / "summary.json").read_text())
        for name in set(SETTLED) & summary.keys():
            if found.setdefault(name, summary[name]) != summary[name]:
                raise ValueError(
                    f"the folds of {path} were trained with {name} {found[name]} and {summary[name]}; repeat one of "
                    f"them: --from {part}"
                )
    return found


def from_continued(place: str) -> dict[str, Any]:
    """The parameters of the run folder that --continue_run names, into the same output root.

    None of one that lies on another machine: the trial itself refuses it (predecessor.py).
    """
    host, path = place_of(place)
    if not place or (host and not (path / "config.json").is_file()):
        return {}
    parameters = read_trial("--continue_run", path)["parameters"] | {"model_dir": str(root_of(path))}
    return {name: value for name, value in parameters.items() if name != "continue_run"}


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
        text = path.read_text()
        refuse_twice(path, yaml.compose(text, yaml.SafeLoader))
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"--config {path}: neither JSON nor YAML: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"--config {path}: expected knobs by name, found {type(content).__name__}")
    return flatten(path, content.get("parameters", content))


def argument_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="train.py",
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
        description="Trains one trial and writes its run folder. Under NNI, NNI's parameters win.",
    )
    parser.add_argument("--config", metavar="FILE", help="knobs from a JSON or YAML file, or a run's config.json")
    add_knobs(parser)
    return parser


def add_knobs(parser: argparse.ArgumentParser, texts: Mapping[str, str] = MappingProxyType({})) -> None:
    """An option for each knob; `texts` are those whose help is another one, or argparse.SUPPRESS."""
    for name, entry in FIELDS.items():
        option = [f"--{entry.metadata['option']}"] if entry.metadata["option"] else []
        spellings = dict.fromkeys([*option, f"--{name}", f"--{name.replace('_', '-')}"])
        many = {"nargs": "+"} if typing.get_origin(TYPES[name]) is tuple else {}
        if TYPES[name] is bool:
            many = {"nargs": "?", "const": "true"}
        parser.add_argument(
            *spellings, dest=name, help=texts.get(name) or describe(entry), metavar=name.upper(), **many
        )


def describe(entry: dataclasses.Field) -> str:
    default = " ".join(map(str, entry.default)) if isinstance(entry.default, tuple) else entry.default
    notes = [f"default: {default if default != '' else 'none'}"]
    notes += [f"in {entry.metadata['unit']}"] if entry.metadata["unit"] else []
    notes += [f"or {entry.metadata['environment']} in the environment"] if entry.metadata["environment"] else []
    return f"{entry.metadata['text']} ({'; '.join(notes)})".replace("%", "%%")
