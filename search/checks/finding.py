"""What a check found: the common word of the modules behind search/preflight.py."""

from __future__ import annotations

from dataclasses import dataclass

OK, WARN, FAIL = "ok", "warn", "fail"
HERE = "this computer"


@dataclass(frozen=True)
class Finding:
    """`check` is what was looked at, `where` the file, field or machine; a fail means that no search could run."""

    check: str
    where: str
    state: str
    found: str
    todo: str = ""

    def __str__(self) -> str:
        word = self.state.upper() if self.state == FAIL else self.state
        return f"{word:<4} {self.check}, {self.reason()}"

    def reason(self) -> str:
        """Where, what is wrong, what to do: the words of an error."""
        return f"{self.where}: {self.found}" + (f"; {self.todo}" if self.todo else "")


def bad(where: str, found: str, todo: str = "") -> Finding:
    """A config in which `where` is wrong."""
    return Finding("config", where, FAIL, found, todo)


def from_error(check: str, where: str, error: Exception) -> Finding:
    """A fail with the words of an error, "what is wrong; what to do", without a leading `where`."""
    words = str(error) or type(error).__name__
    found, _, todo = words.removeprefix(where).lstrip(": ").partition("; ")
    return Finding(check, where, FAIL, found, todo)


def failed(findings: list[Finding]) -> bool:
    return any(finding.state == FAIL for finding in findings)
