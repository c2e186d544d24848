"""NNI's processes on this computer that belong to no living experiment: they disturb the next one.

A dispatcher whose manager was killed goes on asking for its port, and attaches itself to the next
experiment there, which then ends in ERROR.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

import psutil

from checks.finding import FAIL, OK, WARN, Finding


def check_leftovers(port: int) -> list[Finding]:
    findings = [*dispatchers(port), *trials()]
    return findings or [Finding("leftovers", "this computer", OK, "no dispatcher or trial without its manager")]


def own_processes() -> Iterator[tuple[psutil.Process, list[str], dict[str, str]]]:
    """This user's processes with their words and environments."""
    for process in psutil.process_iter():
        try:
            if process.uids().real == os.getuid() and process.status() != psutil.STATUS_ZOMBIE:
                yield process, process.cmdline(), process.environ()
        except psutil.Error:
            continue


def is_manager(words: list[str]) -> bool:
    return any(word.endswith("main.js") for word in words) and "--experiment-id" in words


def has_manager(process: psutil.Process) -> bool:
    """Whether a manager is among the process's ancestors."""
    try:
        return any(is_manager(parent.cmdline()) for parent in process.parents())
    except psutil.Error:
        return True  # it ended while we looked


def dispatchers(port: int) -> Iterator[Finding]:
    for process, words, environment in own_processes():
        if "--exp_params" not in words or "nni" not in words or has_manager(process):
            continue
        match = re.search(r":(\d+)", environment.get("NNI_TUNER_COMMAND_CHANNEL", ""))
        theirs = int(match.group(1)) if match else 0
        found = f"a dispatcher lost its manager and asks for port {theirs or '?'}"
        if theirs in (port, 0):
            found += ", so it would attach itself to this experiment"
        state = FAIL if theirs in (port, 0) else WARN
        yield Finding("leftovers", f"pid {process.pid}", state, found, f"kill {process.pid}")


def trials() -> Iterator[Finding]:
    """Local trials whose manager is gone: they go on using this computer."""
    processes = list(own_processes())
    living = {words[words.index("--experiment-id") + 1] for _, words, _ in processes if is_manager(words)}
    for process, words, environment in processes:
        experiment = environment.get("NNI_EXP_ID")
        if environment.get("NNI_PLATFORM") == "local" and experiment and experiment not in living and words:
            found = f"a trial of experiment {experiment}, which has no manager: {' '.join(words)[:80]}"
            yield Finding("leftovers", f"pid {process.pid}", WARN, found, f"kill {process.pid}")
