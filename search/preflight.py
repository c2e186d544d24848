"""Would this search run? `python search/preflight.py config_local.yml` says so in seconds, before NNI says it in hours.

One line for each check; exit code 1 where a FAIL says that the search could not run.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "baseline"))

from checks.command import Command, check_command, is_local
from checks.computer import (
    check_address,
    check_algorithm,
    check_code,
    check_door,
    check_nni,
    check_ports,
    check_repair,
)
from checks.copies import check_whole, compare, push
from checks.finding import FAIL, HERE, OK, WARN, Finding, failed
from checks.gpus import check_concurrency, room
from checks.inspection import Report, ask_here, inspect, inspect_here, questions
from checks.leftovers import check_leftovers
from checks.reading import check_reading
from checks.searchspace import check_space
from config import Config
from machines import machines_of
from nni_repair import local
from settings.schemas import examine

Findings = list[Finding]


def main(argv: list[str]) -> int:
    given = parser().parse_args(argv)
    findings = preflight(given.config, given.port, given.data, given.push)
    if given.json:
        print(json.dumps([dataclasses.asdict(finding) for finding in findings], indent=1, ensure_ascii=False))
    else:
        print("\n".join(map(str, findings)))
    return 1 if failed(findings) else 0


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(prog="preflight.py", description=__doc__.partition("\n")[0])
    options.add_argument("config", nargs="+", type=Path, help="experiment configs, v1 or v2")
    options.add_argument("--port", type=port, default=8080, help="of NNI's page (default: 8080)")
    options.add_argument("--data", metavar="DIR", help="copy of the data here, to compare the machines' copies with")
    options.add_argument("--push", action="store_true", help="send groups.csv and the like to the machines' data")
    options.add_argument("--json", action="store_true", help="print a list of {check, where, state, found, todo}")
    return options


def port(text: str) -> int:
    if not text.isdigit() or not 0 < int(text) < 65536:
        raise argparse.ArgumentTypeError(f"{text} is no port; write a number from 1 to 65535")
    return int(text)


def require(path: Path, port: int) -> None:
    """Prints what is worth a warning, in one line each. Raises RuntimeError where the search could not run."""
    findings = preflight([path], port)
    for finding in findings:
        if finding.state == WARN:
            print(finding, flush=True)
    if failed(findings):
        raise RuntimeError("\n".join(str(finding) for finding in findings if finding.state == FAIL))


def preflight(paths: list[Path], port: int, data: str | None = None, send: bool = False) -> Findings:
    """All checks of some configs, each to be started at `port`. `data` is a copy of the data here."""
    logging.getLogger("paramiko").setLevel(logging.CRITICAL)  # it prints tracebacks of what we tell in a line
    read = [(path, *examine(path)) for path in paths]
    sound = [(path, config) for path, config, findings in read if not failed(findings)]
    findings = check_nni() + check_repair(HERE, local) + check_door()
    findings += check_ports(port, any(not is_local(config) for _, config in sound))
    findings += check_leftovers(port)
    for path, config, about in read:
        findings += about
        if not failed(about):
            findings.append(Finding("config", str(path), OK, "every field is right, and NNI takes it"))
            findings += check_search(config, data, send)
    return findings


def check_search(config: dict[str, Any], data: str | None, send: bool) -> Findings:
    """A config that is right in itself: does what it names exist, here and on its machines."""
    command, knobs, findings = check_command(config)
    if command is None:
        return findings
    with ThreadPoolExecutor() as pool:
        looking = pool.submit(look_at_machines, config, command, knobs, data, send)
        checks: list[Callable[[], Findings]] = [lambda: check_code(config)]
        checks += [
            lambda kind=kind: check_algorithm(kind, config) for kind in ("tuner", "assessor") if config.get(kind)
        ]
        if knobs or not command.trains:
            checks.append(lambda: check_space(config, command))
        running = [pool.submit(check) for check in checks]
        findings += [finding for job in running for finding in job.result()]
        findings += looking.result()
    # last, as it takes standard output to itself
    whole = knobs and not any(finding.state == FAIL and finding.check == "data" for finding in findings)
    return findings + (check_reading(config, knobs, data) if whole else [])


def look_at_machines(
    config: dict[str, Any], command: Command, knobs: Config | None, data: str | None, send: bool
) -> Findings:
    """This computer or the machines, whichever the trials run on; and their data."""
    asked = questions(config, command, knobs)
    if is_local(config):
        report = inspect_here(config, asked)
        return report.findings + check_rooms(config, [report]) + check_local_data(report, knobs)
    machines = machines_of(config)
    entries = config["trainingService"]["machineList"]
    with ThreadPoolExecutor(len(machines)) as pool:
        reports = list(pool.map(inspect, machines, [config] * len(machines), entries, [asked] * len(machines)))
        findings = [*check_address(config), *(finding for report in reports for finding in report.findings)]
        findings += check_rooms(config, reports)
        if knobs and not knobs.data_dir:
            return [*findings, no_data("every machine")]
        beside = {"data": data, "notes_dir": ""} if data else {}
        local = ask_here(asked | beside | {"gpus": False, "program": "", "folders": []})["data"]
        if local and "error" in local:
            wrong = Finding("data", HERE, FAIL, local["error"], "correct --data DIR")
            findings += [wrong] if data or send else []
            local = None
        listings = {report.where: report.answers["data"] for report in reports if report.answers.get("data")}
        if send and local:
            named = [machine for machine in machines if "root" in listings.get(str(machine), {})]
            sent = pool.map(lambda machine: push(machine, local, listings[str(machine)]), named)
            findings += [finding for about in sent for finding in about]
    return findings + compare(listings, local)


def check_rooms(config: dict[str, Any], reports: list[Report]) -> Findings:
    """trialConcurrency against the GPUs of all machines, once each machine has enough for one trial."""
    wanted, service = config.get("trialGpuNumber"), config["trainingService"]
    if not wanted or any(finding.state == FAIL for report in reports for finding in report.findings):
        return []
    entries = service.get("machineList") or [service]
    pairs = zip(entries, reports, strict=True)
    return check_concurrency(config, [room(wanted, entry, report.answers.get("gpus")) for entry, report in pairs])


def check_local_data(report: Report, knobs: Config | None) -> Findings:
    listing = report.answers["data"]
    if knobs is None:
        return []
    if listing is None:
        return [no_data(HERE)]
    count = sum(part[0] for part in listing.get("parts", {}).values())
    return [*check_whole(HERE, listing)] or [Finding("data", HERE, OK, f"{count:,} files in {listing['root']}")]


def no_data(where: str) -> Finding:
    return Finding("data", where, FAIL, "trialCommand names no data", "add --data_dir DIR to it")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
