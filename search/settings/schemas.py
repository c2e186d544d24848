"""NNI's two config schemas: every field by name, and an experiment config read into the newer one.

The names come from NNI itself: the v2 schema from its config classes, v1 from nnictl's old validator.
nnictl takes a file for v1 when it has `trainingServicePlatform`. Not called schema.py, because NNI
imports a package of that name.
"""

from __future__ import annotations

import copy
import dataclasses
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from nni.experiment.config import (
    ExperimentConfig,
    LocalConfig,
    RemoteConfig,
    RemoteMachineConfig,
    utils,
)
from nni.experiment.config.algorithm import _AlgorithmConfig
from nni.experiment.config.shared_storage import SharedStorageConfig

from checks.finding import FAIL, Finding, bad, failed
from registry import unknown
from settings.document import read_space, read_yaml
from settings.oldschema import RENAMED, convert_v1, looks_like_v1, place_v1, tree_v1
from settings.rules import check_values

SERVICES = {"local": LocalConfig, "remote": RemoteConfig}
Tree = dict[str, Any]  # a field's name -> None for a value, a Tree for a block, [Tree] for a list of blocks


def read_config(path: Path | str) -> dict[str, Any]:
    """An experiment config in the v2 schema, NNI's spelling, with absolute paths and its searchSpace.

    Raises ValueError with one line for each thing that is wrong: file, field, what to do.
    """
    config, findings = examine(Path(path))
    if failed(findings):
        raise ValueError("\n".join(finding.reason() for finding in findings if finding.state == FAIL))
    return config


def examine(path: Path) -> tuple[dict[str, Any], list[Finding]]:
    """The config as read_config gives it, and what is wrong with it; it may be incomplete where something fails."""
    try:
        given = read_yaml(path)
    except ValueError as error:
        place, _, words = str(error).partition(": ")
        found, _, todo = words.partition("; ")
        return {}, [Finding("config", place, FAIL, found, todo)]
    old = looks_like_v1(given)
    config, findings = take_v1(given) if old else take_v2(given)
    if not failed(findings):
        config, findings = complete(config, path.expanduser().resolve().parent)
        findings += [] if failed(findings) else ask_nni(config)
        platform = config["trainingService"]["platform"]
        findings = [replace(f, where=place_v1(f.where, platform)) if old else f for f in findings]
    return config, [replace(finding, where=f"{path}: {finding.where}") for finding in findings]


def take_v2(given: dict[str, Any]) -> tuple[dict[str, Any], list[Finding]]:
    """The fields of a v2 config in NNI's spelling, which it does not insist on (trial_concurrency)."""
    config, findings = take(given, tree_v2(""), "", utils.case_insensitive)
    service = config.get("trainingService")
    if failed(findings) and not isinstance(service, dict):
        return config, findings
    if not isinstance(service, dict):
        found = "is missing" if service is None else "is no block of fields; Podium runs one training service"
        return config, [
            *findings,
            bad("trainingService", found, "write trainingService: with platform: local below it"),
        ]
    spelt = {utils.case_insensitive(str(key)): value for key, value in service.items()}
    platform = spelt.get("platform")
    if str(platform) not in SERVICES:
        words = "is missing" if platform is None else str(unknown("platform", platform, SERVICES))
        return config, [*findings, bad("trainingService.platform", words, "Podium searches on local or remote")]
    tree = tree_v2(platform)["trainingService"]
    config["trainingService"], more = take(service, tree, "trainingService", utils.case_insensitive)
    return config, findings + more


def take_v1(given: dict[str, Any]) -> tuple[dict[str, Any], list[Finding]]:
    """A v1 config converted by NNI."""
    platform = given.get("trainingServicePlatform")
    if str(platform) not in SERVICES:
        words = "is missing" if platform is None else str(unknown("platform", platform, SERVICES))
        return {}, [bad("trainingServicePlatform", words, "Podium searches on local or remote")]
    taken, findings = take(given, tree_v1(platform), "", str)
    if failed(findings):
        return {}, findings
    try:
        return convert_v1(taken), findings
    except ValueError as error:
        where, _, words = str(error).partition(": ")
        found, _, todo = words.partition("; ")
        return {}, [*findings, bad(where, found, todo)]


def tree_v2(platform: str) -> Tree:
    """The fields of NNI's config classes; of an unknown platform's service none."""
    algorithm = fields(_AlgorithmConfig)
    tree = fields(ExperimentConfig) | dict.fromkeys(("tuner", "assessor", "advisor"), algorithm)
    tree["sharedStorage"] = fields(SharedStorageConfig)
    if platform:
        tree["trainingService"] = fields(SERVICES[platform])
    if platform == "remote":
        tree["trainingService"]["machineList"] = [fields(RemoteMachineConfig)]
    return tree


def fields(kind: type) -> Tree:
    return dict.fromkeys(utils.camel_case(field.name) for field in dataclasses.fields(kind))


def take(given: dict[Any, Any], tree: Tree, where: str, fold: Callable[[str], str]) -> tuple[dict, list[Finding]]:
    """The fields of `given` that `tree` knows, in its spelling, and a fail for each other one, at any depth.

    Names are the same when `fold` makes them so. Empty fields are kept as None.
    """
    known = {fold(name): name for name in tree}
    taken, findings = {}, []
    for key, value in given.items():
        place = f"{where}.{key}" if where else str(key)
        name = known.get(fold(str(key)))
        if name is None:
            findings.append(bad(place, *stray(str(key), tree)))
        elif name in taken:
            findings.append(bad(place, f"{name} is given twice, in two spellings", "take one out"))
        else:
            taken[name], more = take_inside(value, tree[name], place, fold)
            findings += more
    return taken, findings


def take_inside(value: Any, tree: Any, place: str, fold: Callable[[str], str]) -> tuple[Any, list[Finding]]:
    if tree is None or value is None:
        return value, []
    if isinstance(tree, dict):
        if isinstance(value, dict):
            return take(value, tree, place, fold)
        return value, [bad(place, f"is {value!r}", f"write fields below it: {', '.join(sorted(tree))}")]
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        return value, [bad(place, f"is {value!r}", "write a list below it, each entry beginning with `- `")]
    pairs = [take(entry, tree[0], f"{place}[{number}]", fold) for number, entry in enumerate(value)]
    return [entry for entry, _ in pairs], [finding for _, findings in pairs for finding in findings]


def stray(key: str, tree: Tree) -> tuple[str, str]:
    """What is wrong with a field that is not in `tree`, and what to write."""
    pairs = [*RENAMED, *((new, old) for old, new in RENAMED)]
    other = next((b for a, b in pairs if a == key and b in tree), None)
    if other:
        return f"unknown field {key!r}. Did you mean {other!r}? Known: {', '.join(sorted(tree))}", ""
    homes = [place for name, place in all_places() if utils.case_insensitive(key) == utils.case_insensitive(name)]
    found = str(unknown("field", key, tree))
    return found, f"{key} belongs to {' or '.join(dict.fromkeys(homes))}" if homes else ""


def all_places() -> Iterator[tuple[str, str]]:
    """Each v2 field with the block that it stands in."""
    for platform in SERVICES:
        tree = tree_v2(platform)
        yield from ((name, "the top of a v2 config") for name in tree)
        for name in ("tuner", "sharedStorage"):
            yield from ((inner, name) for inner in tree[name])
        service = tree["trainingService"]
        yield from ((name, f"trainingService of platform {platform}") for name in service)
        for machine in service.get("machineList") or []:
            yield from ((name, "the entries of trainingService.machineList") for name in machine)


def complete(config: dict[str, Any], folder: Path) -> tuple[dict[str, Any], list[Finding]]:
    """The canonical config: shortcuts at the top, paths absolute, the search space read; and what is wrong in it."""
    config = copy.deepcopy(config)
    findings = []
    service = config["trainingService"]
    for name in ("trialCommand", "trialCodeDirectory", "trialGpuNumber", "nniManagerIp", "debug"):
        inner = service.pop(name, None)
        if inner is not None and config.setdefault(name, inner) != inner:
            findings.append(
                bad(f"trainingService.{name}", f"is {inner!r}, but {config[name]!r} at the top", "take one out")
            )
    if config.get("advisor"):
        if config.get("tuner"):
            findings.append(bad("advisor", "stands beside tuner", "take one out; NNI makes an advisor its tuner"))
        config["tuner"] = config.pop("advisor")
    config.setdefault("trialCodeDirectory", ".")
    findings += check_values(config, SERVICES[service["platform"]])
    if failed(findings):
        return config, findings
    resolve_paths(config, folder)
    if config.get("searchSpaceFile"):
        try:
            config["searchSpace"] = read_space(Path(config["searchSpaceFile"]))
        except ValueError as error:
            findings.append(bad("searchSpaceFile", str(error), ""))
    return config, findings


def resolve_paths(config: dict[str, Any], folder: Path) -> None:
    """Makes the paths absolute as nnictl does, relative ones being beside the config file."""
    service = config["trainingService"]
    algorithms = [config[name] for name in ("tuner", "assessor") if config.get(name)]
    for block, name in (
        (config, "searchSpaceFile"),
        (config, "trialCodeDirectory"),
        (config, "experimentWorkingDirectory"),
        *((block, "codeDirectory") for block in algorithms),
        *((block, "sshKeyFile") for block in service.get("machineList", [])),
    ):
        if block.get(name):
            block[name] = utils.resolve_path(block[name], folder)


def ask_nni(config: dict[str, Any]) -> list[Finding]:
    """NNI's own words about a config that passed our rules; it has the last one."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a password in the config, which is a rule of ours
            ExperimentConfig(**copy.deepcopy(config)).validate()
    except Exception as error:  # NNI raises what comes, also bare assertions
        return [bad("(whole file)", f"NNI refuses it: {type(error).__name__}: {error}", "see NNI's config reference")]
    return []
