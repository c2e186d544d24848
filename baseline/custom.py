"""A model from the user's own file: `--model path/to/file.py:Class`.

Class is a torch module, or a function that returns one. It is called with those that its signature names of
out_features or num_classes (K), in_channels or channels (C), and the knobs of Config. The module takes (B, C, H, W)
float and gives (B, K); one that asks for neither in_channels nor channels is built for 3, and widened.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from config import FIELDS
from memory import memory_is_full
from registry import unknown

HERE = Path(__file__).resolve().parent  # what reaches a remote machine
GIVEN = ("out_features", "num_classes", "in_channels", "channels", *FIELDS)


def is_custom(name: str) -> bool:
    return name.endswith(".py") or ".py:" in name


def custom_model(name: str) -> Callable[..., nn.Module]:
    """The factory that `name`, FILE:CLASS, means; its signature names only what can be given to it.

    Raises ValueError where the file, the class in it, or what the class asks for is unknown.
    """
    path, word = locate(name)
    module = load(path)
    own = [key for key, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__]
    if not hasattr(module, word):
        raise unknown(f"class or function of {path}:", word, [key for key in own if not key.startswith("_")])
    made = getattr(module, word)
    if not callable(made) or isinstance(made, nn.Module):
        raise ValueError(f"model {name} is a {type(made).__name__}; name a class, or a function that returns a module")
    asked = arguments(made, name)

    def build(**given: Any) -> nn.Module:
        try:
            network = made(**given)
        except Exception as error:  # whatever the user's code raises
            if memory_is_full(error):
                raise
            told = f"{type(error).__name__}: {error}"
            raise ValueError(f"model {name} cannot be built{line_in(path, error)}: {told}") from error
        if not isinstance(network, nn.Module):
            raise ValueError(f"model {name} gave a {type(network).__name__}, not a torch.nn.Module; return the module")
        return network

    build.__signature__ = inspect.Signature([inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY) for key in asked])
    return build


def locate(name: str) -> tuple[Path, str]:
    """The file and the word that FILE:CLASS means; a relative file is looked for here, then in baseline/."""
    file, _, word = name.rpartition(":")
    if not file.endswith(".py") or not word:
        raise ValueError(f"model {name} says not what to take from the file; write {name.rstrip(':')}:CLASS")
    given = Path(file).expanduser()
    places = list(dict.fromkeys([Path.cwd() / given, HERE / given]))  # an absolute one is itself in both
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        raise ValueError(
            f"model {name}: no such file: {' nor '.join(map(str, places))}. Only baseline/ reaches remote machines"
        )
    return path.resolve(), word


def load(path: Path) -> ModuleType:
    """The file as a module, imported once; its own folder is importable meanwhile. Raises ValueError."""
    name = f"custom_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses and torch.compile look for it
    sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        told = f"{type(error).__name__}: {error}"
        raise ValueError(f"{path} cannot be imported{line_in(path, error)}: {told}") from error
    finally:
        sys.path.remove(str(path.parent))
    return module


def arguments(made: Callable[..., Any], name: str) -> list[str]:
    """Those arguments of `made` that can be given to it. Raises ValueError where it needs another."""
    try:
        parameters = inspect.signature(made).parameters.values()
    except ValueError as error:  # of a class written in C
        raise ValueError(f"model {name} does not tell its arguments; wrap it in a function that does") from error
    for parameter in parameters:
        open_ended = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        needed = parameter.default is parameter.empty and not open_ended
        if needed and (parameter.name not in GIVEN or parameter.kind == parameter.POSITIONAL_ONLY):
            raise ValueError(
                f"model {name} needs an argument {parameter.name!r}, which nothing gives; it can ask by name for "
                f"{', '.join(GIVEN[:4])} and the knobs of train.py, or give the argument a default"
            )
    return [entry.name for entry in parameters if entry.name in GIVEN and entry.kind != entry.POSITIONAL_ONLY]


def line_in(path: Path, error: BaseException) -> str:
    """ " at line N", the last line of the file `path` that `error` came through; empty where it came through none."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return f" at line {error.lineno}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f" at line {lines[-1]}" if lines else ""


def place(name: str, error: BaseException) -> str:
    """ " at line N" of the file that `name` means, for an error of its model; empty for any other."""
    return line_in(locate(name)[0], error) if is_custom(name) else ""
