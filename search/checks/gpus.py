"""GPUs asked for against those that a machine has, by NNI's rules.

A trial gets trialGpuNumber / maxTrialNumberPerGpu GPUs, a share of one or whole ones, out of gpuIndices,
and without those that another process uses unless useActiveGpu says so.
"""

from __future__ import annotations

from typing import Any

from nni.experiment.config.utils import canonical_gpu_indices

from checks.finding import FAIL, OK, WARN, Finding

LITTLE = 2 * 2**30  # bytes of GPU memory with which hardly a trial starts


def check_gpus(where: str, wanted: int | None, entry: dict[str, Any], report: dict[str, Any] | None) -> list[Finding]:
    """`entry` is the block that says how GPUs are used; `report` is probe.gpus' answer, None where none was asked."""
    if report is None:
        return []
    if not wanted:
        seen = [] if "error" in report else report["listed"]
        hidden = "hidden from trials by trialGpuNumber: 0" if wanted == 0 else "not shared out (no trialGpuNumber)"
        return [Finding("GPUs", where, OK, f"{len(seen)}, {hidden}")]
    if "error" in report or not report["listed"]:
        todo = "take trialGpuNumber out, or install the NVIDIA driver there"
        found = f"none is seen ({report.get('error', 'NVML lists none')}), and NNI would end after some seconds"
        return [Finding("GPUs", where, FAIL, found, todo)]
    listed = report["listed"]
    chosen = canonical_gpu_indices(entry.get("gpuIndices"))
    beyond = [index for index in chosen or [] if index >= len(listed)]
    if beyond:
        found = f"gpuIndices names {', '.join(map(str, beyond))}, and the last GPU is {len(listed) - 1}"
        return [Finding("GPUs", where, FAIL, found, "correct gpuIndices")]
    free = usable(entry, listed)
    need = share(wanted, entry)
    if len(free) < need:
        busy = [index for index in (chosen or range(len(listed))) if index not in free]
        used = f", {len(busy)} of them in use ({', '.join(map(str, busy))})" if busy else ""
        found = f"a trial needs {need:g} (trialGpuNumber {wanted}), and there are {len(chosen or listed)}{used}"
        todo = "set useActiveGpu: true, or wait" if busy else "lower trialGpuNumber"
        return [Finding("GPUs", where, FAIL, found, todo)]
    full = [index for index in free if listed[index]["free"] < LITTLE]
    if full:
        found = f"GPU {', '.join(map(str, full))} has less than {LITTLE / 2**30:g} GiB free"
        return [Finding("GPUs", where, WARN, found, "see with nvidia-smi who uses it, or leave it out of gpuIndices")]
    most = max(listed[index]["free"] for index in free) / 2**30
    return [Finding("GPUs", where, OK, f"{len(free)} usable, up to {most:.1f} GiB free")]


def usable(entry: dict[str, Any], listed: list[dict[str, Any]]) -> list[int]:
    chosen = canonical_gpu_indices(entry.get("gpuIndices"))
    indices = chosen if chosen is not None else range(len(listed))
    return [index for index in indices if entry.get("useActiveGpu") or not listed[index]["active"]]


def share(wanted: int, entry: dict[str, Any]) -> float:
    """GPUs of a trial: a part of one, or whole ones."""
    part = wanted / entry.get("maxTrialNumberPerGpu", 1)
    return part if part < 1 else round(part)


def room(wanted: int, entry: dict[str, Any], report: dict[str, Any] | None) -> int:
    """How many trials fit onto a machine at once."""
    listed = (report or {}).get("listed") or []
    chosen = canonical_gpu_indices(entry.get("gpuIndices")) or []
    if any(index >= len(listed) for index in chosen):
        return 0
    need = share(wanted, entry)
    count = len(usable(entry, listed))
    return count * int(1 / need + 1e-9) if need < 1 else count // int(need)


def check_concurrency(config: dict[str, Any], rooms: list[int]) -> list[Finding]:
    """Trials at once against what fits onto all machines together."""
    asked, fit = config["trialConcurrency"], sum(rooms)
    if not config.get("trialGpuNumber") or not fit or asked <= fit:
        return []
    found = f"is {asked}, but the GPUs hold {fit} trials at once; the others wait for a GPU"
    return [Finding("GPUs", "trialConcurrency", WARN, found, f"set trialConcurrency: {fit} for none to wait")]
