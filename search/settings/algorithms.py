"""Which of NNI's tuners and assessors work, as seen with today's numpy and scipy."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from checks.finding import Finding, bad
from registry import unknown

WORKING = {
    "tuner": ("TPE", "Random", "GridSearch", "Evolution", "PBT", "Batch"),
    "assessor": ("Medianstop", "Curvefitting"),
}
# the first versions with which they break
PINNED = {
    "Anneal": {"numpy": (2, 4)},
    "TPE_legacy": {"numpy": (2, 4)},  # hyperopt, like Anneal
    "Metis": {"numpy": (2,), "scipy": (1, 11)},
}
BROKEN = {
    "Hyperband": "it ends in '<=' not supported between 'str' and 'int'",
    "BOHB": "it ends in '<=' not supported between 'str' and 'int'",
    "GP": "it ends in 'x0' must only have one dimension",
    "SMAC": "its package does not build",
    "PPO": "it wants tensorflow",
}


def check_algorithm(kind: str, block: dict[str, Any]) -> Iterator[Finding]:
    """The tuner or assessor of a config: a name that works here, or a class and its folder."""
    name, own = block.get("name"), block.get("className")
    if bool(name) == bool(own):
        found = "has both a name and a className" if name else "has neither a name nor a className"
        yield bad(kind, found, f"write name: {WORKING[kind][0]}, or className: module.Class with its codeDirectory")
    elif own:
        if "." not in own:
            yield bad(f"{kind}.className", f"{own} names no module", f"write module.{own}")
        if not block.get("codeDirectory"):
            yield bad(f"{kind}.codeDirectory", "is missing", "write the folder that holds the class's module")
    else:
        yield from check_builtin(kind, name, "codeDirectory" in block)


def check_builtin(kind: str, name: str, has_folder: bool) -> Iterator[Finding]:
    from nni.tools.package_utils import config_manager

    listed = [meta for meta in config_manager.get_all_algo_meta() if meta.algo_type == kind]
    known = {spelt.lower(): meta.name for meta in listed for spelt in (meta.name, meta.alias) if spelt}
    works = ", ".join(WORKING[kind])
    if name.lower() not in known:
        usable = [meta.name for meta in listed if meta.name not in BROKEN]
        yield bad(f"{kind}.name", str(unknown(kind, name, usable)), f"these are known to work: {works}")
        return
    if has_folder:
        yield bad(f"{kind}.codeDirectory", f"stands beside the name {name}", "take one out")
    name = known[name.lower()]
    if name in BROKEN:
        yield bad(f"{kind}.name", f"{name} does not work: {BROKEN[name]}", f"take one of {works}")
    for package, first in PINNED.get(name, {}).items():
        installed = installed_version(package)
        if installed and tuple(int(part) for part in installed.split(".")[:2]) >= first:
            limit = ".".join(map(str, first))
            found = f"{name} needs {package} < {limit}, and {installed} is installed"
            yield bad(f"{kind}.name", found, f"take one of {works}, or pip install '{package}<{limit}'")


def installed_version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
