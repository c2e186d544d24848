"""NNI's v1 schema: its fields from nnictl's old validator, its conversion to v2, and what that conversion spoils."""

from __future__ import annotations

import copy
import re
from typing import Any

# (v1, v2): for "did you mean", and to name a field as the user's file does
RENAMED = (
    ("maxExecDuration", "maxExperimentDuration"),
    ("maxTrialNum", "maxTrialNumber"),
    ("searchSpacePath", "searchSpaceFile"),
    ("logDir", "experimentWorkingDirectory"),
    ("command", "trialCommand"),
    ("codeDir", "trialCodeDirectory"),
    ("codeDir", "codeDirectory"),
    ("gpuNum", "trialGpuNumber"),
    ("builtinTunerName", "name"),
    ("builtinAssessorName", "name"),
    ("builtinAdvisorName", "name"),
    ("ip", "host"),
    ("username", "user"),
    ("passwd", "password"),
    ("sshKeyPath", "sshKeyFile"),
    ("passphrase", "sshPassphrase"),
    ("maxTrialNumPerGpu", "maxTrialNumberPerGpu"),
    ("reuse", "reuseMode"),
    ("trainingServicePlatform", "trainingService"),
)
# fields of v1 that mean nothing to NNI 3.0, which warns of them and goes on
DROPPED = ("authorName", "description", "multiThread", "versionCheck", "logCollection", "useAnnotation")
SPOILT = {
    "maxTrialDuration": "NNI loses it when it converts a v1 file; write the v2 schema, where it has the same name",
    "passphrase": "crashes NNI's conversion of a v1 file; write the v2 schema, where it is sshPassphrase",
    "nasMode": "NNI loses it when it converts a v1 file, and Podium searches no architectures; take it out",
    "multiPhase": "is no longer supported by NNI; take it out",
    "useAnnotation": "is no longer supported by NNI; write the search space into a file named by searchSpacePath",
}


def looks_like_v1(given: dict[str, Any]) -> bool:
    """Whether a config is meant to be v1, also where the field is lacking by which nnictl tells."""
    if "trainingServicePlatform" in given or "trainingService" in given:
        return "trainingServicePlatform" in given
    return "trial" in given or any(old in given for old, _ in RENAMED)


def tree_v1(platform: str) -> dict[str, Any]:
    """The fields of v1 for a platform, as schemas.take takes them."""
    from nni.tools.nnictl.config_schema import training_service_schema_dict  # half a second that v2 does not need

    tree = names(training_service_schema_dict[platform].schema)
    if platform == "remote":
        del tree["localConfig"]  # which NNI's conversion would lose
    return tree


def names(block: dict[Any, Any]) -> dict[str, Any]:
    """The keys of a block of NNI's validator, with the blocks below them."""
    tree: dict[str, Any] = {}
    for key, inside in block.items():
        name = key if isinstance(key, str) else key.schema
        if isinstance(inside, dict):
            tree[name] = names(inside)
        elif isinstance(inside, list):  # of one Or(block, block): machines with a key, machines with a password
            tree[name] = [{field: None for choice in inside[0].args for field in names(choice)}]
        elif hasattr(inside, "algo_schema"):
            tree[name] = names(inside.algo_schema) | {inside.builtin_keys[inside.algo_type]: None}
        else:
            tree[name] = None
    return tree


def convert_v1(given: dict[str, Any]) -> dict[str, Any]:
    """A v1 config, its names checked, in the v2 schema. Raises ValueError for what the conversion would spoil."""
    from nni.experiment.config.convert import to_v2

    given = without_empty(given)
    refuse_spoilt(given, "")
    for kind in ("tuner", "assessor", "advisor"):
        algorithm = given.get(kind) or {}
        algorithm.pop("includeIntermediateResults", None)
        lacking = [name for name in ("codeDir", "classFileName", "className") if name not in algorithm]
        if algorithm and f"builtin{kind.title()}Name" not in algorithm and lacking:
            raise ValueError(
                f"{kind}: {', '.join(lacking)} missing; name builtin{kind.title()}Name, or all of codeDir, "
                "classFileName and className"
            )
        if not str(algorithm.get("classFileName", ".py")).endswith(".py"):
            raise ValueError(f"{kind}.classFileName: is {algorithm['classFileName']!r}; name a file that ends in .py")
    if given["trainingServicePlatform"] == "remote" and not given.get("machineList"):
        raise ValueError("machineList: is missing; list at least one machine (ip, username, sshKeyPath)")
    return to_v2({name: value for name, value in given.items() if name not in DROPPED})


def without_empty(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: without_empty(inner) for name, inner in value.items() if inner is not None}
    return [without_empty(inner) for inner in value] if isinstance(value, list) else copy.deepcopy(value)


def refuse_spoilt(block: dict[str, Any], where: str) -> None:
    for name, value in block.items():
        if name in SPOILT and value is not False:
            raise ValueError(f"{where}{name}: {SPOILT[name]}")
        if name != "classArgs" and isinstance(value, dict):
            refuse_spoilt(value, f"{where}{name}.")
        for number, entry in enumerate(value if isinstance(value, list) else []):
            if isinstance(entry, dict):
                refuse_spoilt(entry, f"{where}{name}[{number}].")


def place_v1(where: str, platform: str) -> str:
    """A v2 place, such as trainingService.machineList[0].host, as it is called in a v1 file."""
    if where in ("trialCommand", "trialCodeDirectory", "trialGpuNumber"):
        where = f"trial.{where}"
    where = where.removeprefix("trainingService.") if "machineList" in where else where
    where = {"trainingService.platform": "trainingServicePlatform"}.get(where, where)
    where = where.replace("trainingService.", f"{platform}Config.")
    head, dot, last = where.rpartition(".")
    if head in ("tuner", "assessor") and last == "name":
        return f"{head}.builtin{head.title()}Name"
    match = re.match(r"\w+", last)
    new = match.group() if match else last
    old = next((a for a, b in RENAMED if b == new), new)
    return f"{head}{dot}{old}{last.removeprefix(new)}"
