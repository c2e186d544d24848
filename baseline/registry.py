"""Named choices: a registry maps the words of search_space.json to factories.

A factory receives, by argument name, the Config fields (and the extras of its registry) that its
signature names. To add an entry, decorate a function with `@REGISTRY.register("name")`.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable
from typing import Any


def unknown(kind: str, name: object, known: Iterable[str]) -> ValueError:
    """The error for a name that is not among `known`, with the nearest one as a suggestion."""
    known = sorted(known)
    by_lower = {entry.lower(): entry for entry in known}
    near = difflib.get_close_matches(str(name).lower(), by_lower, n=1)
    hint = f" Did you mean {by_lower[near[0]]!r}?" if near else ""
    shown = ", ".join(known[:60]) + (f", … ({len(known)} in all)" if len(known) > 60 else "")
    return ValueError(f"unknown {kind} {name!r}.{hint} Known: {shown}")


class Registry:
    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.entries: dict[str, Callable[..., Any]] = {}

    def register(self, name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        if name in self.entries:
            raise ValueError(f"{self.kind} {name!r} is registered twice")

        def keep(factory: Callable[..., Any]) -> Callable[..., Any]:
            self.entries[name] = factory
            return factory

        return keep

    def __getitem__(self, name: str) -> Callable[..., Any]:
        if name not in self.entries:
            raise unknown(self.kind, name, self.entries)
        return self.entries[name]

    def build(self, name: str, knobs: dict[str, Any]) -> Any:
        """Calls the factory of `name` with those of `knobs` that its signature names."""
        return call(self[name], knobs)


def call(factory: Callable[..., Any], knobs: dict[str, Any]) -> Any:
    wanted = inspect.signature(factory).parameters
    return factory(**{name: knobs[name] for name in wanted})
