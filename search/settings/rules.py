"""What the values of a v2 config must be: types, ranges, names, and what is known to end in trouble.

A rule yields Findings whose `where` is a field. NNI itself would refuse most of it later and in few
words (an AssertionError for a negative trialConcurrency), and let the rest through.
"""

from __future__ import annotations

import dataclasses
import os
import re
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from nni.experiment.config import ExperimentConfig, RemoteMachineConfig, utils
from nni.experiment.config.algorithm import _AlgorithmConfig
from nni.experiment.config.shared_storage import SharedStorageConfig

from checks.finding import WARN, Finding, bad
from settings.algorithms import check_algorithm

LEVELS = ("fatal", "error", "warning", "info", "debug", "trace")
DURATIONS = ("maxExperimentDuration", "maxTrialDuration")
LEAST = {"trialConcurrency": 1, "maxTrialNumber": 1, "trialGpuNumber": 0, "maxTrialNumberPerGpu": 1}
INHERITED = {"trial_command", "trial_code_directory", "trial_gpu_number", "nni_manager_ip", "debug"}
BLOCKS = {"trainingService", "machineList", "tuner", "assessor", "advisor", "sharedStorage"}  # checked inside
KINDS = {str: "text", int: "a whole number", float: "a number", bool: "true or false", dict: "a block", list: "a list"}


def check_values(config: dict[str, Any], service_kind: type) -> list[Finding]:
    """All rules; takes the empty fields out of `config` as it goes. Names are known to be right."""
    service = config["trainingService"]
    blocks = [(config, ExperimentConfig, ""), (service, service_kind, "trainingService.")]
    blocks += [(config[n], _AlgorithmConfig, f"{n}.") for n in ("tuner", "assessor") if config.get(n)]
    blocks += [(config["sharedStorage"], SharedStorageConfig, "sharedStorage.")] if config.get("sharedStorage") else []
    blocks += [
        (entry, RemoteMachineConfig, f"trainingService.machineList[{number}].")
        for number, entry in enumerate(service.get("machineList") or [])
    ]
    findings = [finding for block in blocks for finding in check_block(*block)]
    if not findings:
        findings += check_top(config)
        findings += check_service(config)
        findings += check_machines(config)
    return findings


def check_block(block: dict[str, Any], kind: type, where: str) -> Iterator[Finding]:
    """Types, required fields, and ranges of single values."""
    hints = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        name, hint = utils.camel_case(field.name), hints[field.name]
        required = field.default is dataclasses.MISSING and not (
            where == "trainingService." and field.name in INHERITED
        )
        if name not in block:
            if required:
                yield bad(f"{where}{name}", "is missing", f"write {name}: {describe(hint)}")
        elif block[name] is None and fits(None, hint):
            del block[name]  # NNI takes an empty field for one that is not there
        elif name not in BLOCKS and not fits(block[name], hint):
            yield bad(f"{where}{name}", *wrong_type(block[name], hint))
        elif name not in BLOCKS:
            yield from check_range(name, block[name], f"{where}{name}")


def fits(value: Any, hint: Any) -> bool:
    """Whether NNI would take the value, except that true is no number here."""
    return utils.is_instance(value, hint) and not (isinstance(value, bool) and bool not in [*flat(hint), Any])


def flat(hint: Any) -> list[Any]:
    """The kinds that a type hint allows."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return [kind for part in typing.get_args(hint) for kind in flat(part)]
    return [hint]


def describe(hint: Any) -> str:
    words = []
    for kind in flat(hint):
        origin = typing.get_origin(kind) or kind
        if origin is Literal:
            words += [str(choice) for choice in typing.get_args(kind)]
        elif origin in KINDS:
            words.append(KINDS[origin])
    return " or ".join(words) or "a block of fields"


def wrong_type(value: Any, hint: Any) -> tuple[str, str]:
    if value is None:
        return "is empty", f"write {describe(hint)} there, or take the line out"
    kind = KINDS.get(type(value), type(value).__name__)
    quotes = ""
    if isinstance(value, str) and value.isdigit():
        quotes = ", without quotes"
    elif isinstance(value, (int, float)) and str in flat(hint):
        quotes = f': put it in quotes, "{value}"'
    return f"{value!r} is {kind}", f"write {describe(hint)}{quotes}"


def check_range(name: str, value: Any, where: str) -> Iterator[Finding]:
    if name in LEAST and value < LEAST[name]:
        yield bad(where, f"is {value}", f"write a whole number from {LEAST[name]} on")
    if name == "port" and not 0 < value < 65536:
        yield bad(where, f"is {value}", "write a port from 1 to 65535; sshd's is 22 unless set otherwise")
    if name in DURATIONS and not good_duration(value):
        yield bad(where, f"{value!r} is no duration", "write a number above 0 with d, h, m or s behind it: 30m, 12h")
    if name == "logLevel" and value not in LEVELS:
        yield bad(where, f"is {value!r}", f"write one of {', '.join(LEVELS)}")
    if name.lower().endswith("gpuindices") and not good_indices(value):
        yield bad(where, f"is {value!r}", "write GPU numbers from 0 on, each once: 0 or 0,1 or [0, 1]")
    if name == "useAnnotation" and value:
        yield bad(where, "is no longer supported by NNI", "take it out, and name a searchSpaceFile")
    if name in ("host", "user", "trialCommand") and not value.strip():
        yield bad(where, "is blank", "fill it in")


def good_duration(value: str | int) -> bool:
    if isinstance(value, int):
        return value > 0
    match = re.fullmatch(r"(\d+(?:\.\d+)?|\.\d+) *[dhms]", value.lower())
    return bool(match) and float(match.group(1)) > 0


def good_indices(value: Any) -> bool:
    try:
        indices = utils.canonical_gpu_indices(value)
        utils.validate_gpu_indices(indices)
    except ValueError:
        return False
    return bool(indices) and not any(isinstance(index, bool) for index in indices)


def check_top(config: dict[str, Any]) -> Iterator[Finding]:
    if not config.get("trialCommand"):
        yield bad("trialCommand", "is missing", "write the command of a trial, as config_local.yml does")
    spaces = [name for name in ("searchSpace", "searchSpaceFile") if config.get(name) is not None]
    if len(spaces) != 1:
        found = "stands beside searchSpaceFile, which NNI then takes" if spaces else "is missing, and searchSpaceFile"
        yield bad("searchSpace", found, "write one of the two")
    if not config.get("tuner"):
        yield bad("tuner", "is missing", "write tuner: with name: TPE below it")
    for kind in ("tuner", "assessor"):
        if config.get(kind):
            yield from check_algorithm(kind, config[kind])


def check_service(config: dict[str, Any]) -> Iterator[Finding]:
    service, gpus = config["trainingService"], config.get("trialGpuNumber")
    if service["platform"] == "local" and service.get("reuseMode"):
        yield bad("trainingService.reuseMode", "is true, with which a local search ends in ERROR", "take it out")
    if service["platform"] == "local" and gpus and service.get("useActiveGpu") is None:
        yield bad(
            "trainingService.useActiveGpu",
            "is missing, which NNI wants to know with trialGpuNumber",
            "write true if this machine's GPU also shows a desktop, else false",
        )
    for place, entry in owners(service):
        if entry.get("maxTrialNumberPerGpu", 1) != 1 and not gpus:
            found = f"is {entry['maxTrialNumberPerGpu']}, but trialGpuNumber is not set"
            yield bad(f"{place}.maxTrialNumberPerGpu", found, "set trialGpuNumber at the top, or take this out")
    if service["platform"] == "remote" and not config.get("nniManagerIp"):
        yield bad(
            "nniManagerIp",
            "is missing, so the machines would report to themselves",
            "write this computer's address as the machines see it",
        )


def owners(service: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """The blocks that say how GPUs are used, by place: the service itself, or its machines."""
    machines = service.get("machineList") or []
    listed = [(f"trainingService.machineList[{number}]", entry) for number, entry in enumerate(machines)]
    return listed or [("trainingService", service)]


def check_machines(config: dict[str, Any]) -> Iterator[Finding]:
    service = config["trainingService"]
    if service["platform"] != "remote":
        return
    if not service["machineList"]:
        yield bad("trainingService.machineList", "is empty", "list at least one machine (host, user, sshKeyFile)")
    first: dict[tuple, int] = {}
    for number, entry in enumerate(service["machineList"]):
        place = f"trainingService.machineList[{number}]"
        name = (entry["host"], entry.get("port", 22), entry["user"])
        if first.setdefault(name, number) != number:
            found = f"lists {name[2]}@{name[0]}:{name[1]} again, after machineList[{first[name]}]"
            yield bad(place, found, "take one out; NNI would start two keepers there")
        yield from check_login(entry, place)
        python = entry.get("pythonPath", "")
        if re.fullmatch(r"python[\d.]*(\.exe)?", Path(python).name):
            todo = f"write the folder that holds it: {Path(python).parent}"
            yield bad(f"{place}.pythonPath", f"{python} is python itself, so trials would run the system's", todo)
        elif python and not python.startswith("/"):
            yield bad(f"{place}.pythonPath", f"{python} is not absolute", "write the folder's whole path there")


def check_login(entry: dict[str, Any], place: str) -> Iterator[Finding]:
    if entry.get("password"):
        todo = "use a key: sshKeyFile"
        found = "NNI shows it to whoever opens its page"
        yield Finding("config", f"{place}.password", WARN, found, todo)
        return
    key = entry.get("sshKeyFile", "~/.ssh/id_rsa")
    if not key.startswith(("/", "~")):
        yield bad(f"{place}.sshKeyFile", f"{key} is relative", "write it absolute, or from ~ on")
    elif not Path(os.path.expanduser(key)).is_file():
        found = f"there is no key {key}" + ("" if "sshKeyFile" in entry else ", which NNI takes where none is named")
        yield bad(f"{place}.sshKeyFile", found, f"make one with ssh-keygen -t ed25519 -f {key}, or name yours")
