"""YAML and JSON files read as NNI reads them, but strictly: what is broken is named by line and column."""

from __future__ import annotations

import json
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml


class StrictLoader(yaml.SafeLoader):
    """YAML in which a field that is written twice is an error, and not silently the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen and key.value != "<<":
                raise yaml.MarkedYAMLError(problem=f"{key.value!r} is written twice", problem_mark=key.start_mark)
            seen.add(key.value if isinstance(key, yaml.ScalarNode) else id(key))
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file of fields. Raises ValueError with file, line and column."""
    try:
        content = yaml.load(read_text(path), StrictLoader)
    except yaml.YAMLError as error:
        raise ValueError(broken_yaml(path, error)) from error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: holds {content!r} and no fields; write them as name: value")
    return content


def read_space(path: Path) -> Any:
    """A search space: JSON, or else YAML, as NNI does. Raises ValueError with file, line and column."""
    text = read_text(path)
    try:
        return json.loads(text, object_pairs_hook=once)
    except json.JSONDecodeError as error:
        wrong_json = error
    try:
        return yaml.load(text, StrictLoader)
    except yaml.YAMLError as error:
        if path.suffix != ".json":
            raise ValueError(broken_yaml(path, error)) from error
    line, column = wrong_json.lineno, wrong_json.colno
    raise ValueError(f"{path}: line {line} column {column}: {wrong_json.msg}; mend the JSON there") from wrong_json


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object. Raises ValueError where a name stands in it twice."""
    names = [name for name, _ in pairs]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"{twice!r} is written twice in one object; take one out")
    return dict(pairs)


def read_text(path: Path) -> str:
    path = path.expanduser()
    if not path.is_file():
        raise ValueError(f"{path}: there is no such file; check its name and folder")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: is no UTF-8 text ({error}); save it as UTF-8") from error


def broken_yaml(path: Path, error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if mark is None:
        return f"{path}: {' '.join(str(error).split())}; mend the YAML"
    return f"{path}: line {mark.line + 1} column {mark.column + 1}: {error.problem}; mend the YAML there"
