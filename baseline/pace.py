"""How a training step is computed fastest here: measured once per machine, model, size and batch, and kept.

What is faster depends on all of them: on one CPU bf16 makes ResNet-18 twice as fast and EfficientNet slower.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from config import Config
from engine import Stepper
from loss import cross_entropy
from memory import Pieces, memory_is_full
from model import build_model, try_on
from optim import build_optimizer
from progress import duration
from run import atomic
from team import Team

PRECISIONS = {"cpu": ("float32", "bf16"), "cuda": ("float32", "bf16", "fp16")}
CPU_PHOTOS = 16  # a step of more takes proportionally longer
ROUNDS = 3
CLEARLY = 1.05  # how much faster a precision must be to be taken instead of an earlier one
HOPELESS = 4.0  # times float32's first step, after which a precision is not tried further
COMPILE_FROM = {"cpu": 3600.0, "cuda": 600.0}  # seconds of training below which a compiler's minutes hardly pay


def settle(
    config: Config, classes: int, device: torch.device, photos: int, processes: int = 1, channels: int = 3
) -> Config:
    """`config` with precision and compile settled for a training on `photos` photos, all epochs together.

    `classes` are all logits. Several processes train without a compiler. Raises ValueError where the model takes no
    photos of this size, or no step can be taken at all.
    """
    if processes > 1 and config.compile == "auto":
        config = replace(config, compile="false")
    if "auto" not in (config.precision, config.compile):
        return config
    file = Path(config.cache_dir).expanduser() / "pace" / f"{key(config, classes, channels, device)}.json"
    wanted = PRECISIONS[device.type] if config.precision == "auto" else (config.precision,)
    with alone(file):
        known = recall(file)
        if any(name not in known for name in wanted) or not any("seconds" in known[name] for name in wanted):
            known |= measure(config, classes, channels, device, wanted)
            remember(file, known)
        precision = fastest({name: known[name]["seconds"] for name in wanted if "seconds" in known[name]})
        told = ", ".join(f"{name} {describe(known[name])}" for name in wanted)
        kept = f"measured on this machine once ({file})" if file.is_file() else "measured now"
        print(f"precision {precision}: {told}; {kept}", flush=True)
        config = replace(config, precision=precision)
        return replace(config, compile=settle_compile(config, classes, channels, device, photos, file, known))


def settle_compile(
    config: Config, classes: int, channels: int, device: torch.device, photos: int, file: Path, known: dict[str, Any]
) -> str:
    """The knob `compile`: auto is true where compiling saves more over the training than the seconds it takes."""
    plain = known[config.precision]["seconds"]
    if config.compile != "auto" or photos * plain < COMPILE_FROM[device.type]:
        return config.compile.replace("auto", "false")
    name = f"{config.precision} compiled"
    if name not in known:
        print(f"compile: this training takes {duration(photos * plain)}; measuring whether compiling pays", flush=True)
        known |= measure_compiled(config, classes, channels, device)
        remember(file, known)
    entry = known[name]
    saved = photos * (plain - entry["seconds"]) - entry["compile_seconds"] if "seconds" in entry else 0.0
    print(
        f"compile {str(saved > 0).lower()}: {config.precision} {describe(known[config.precision])}, compiled"
        f" {describe(entry)}" + (f" after {duration(entry['compile_seconds'])}" if "seconds" in entry else ""),
        flush=True,
    )
    return str(saved > 0).lower()


def fastest(seconds: dict[str, float]) -> str:
    """The fastest of `seconds`, which are in order of preference: a later one must be clearly faster to be taken."""
    best, *others = seconds
    for name in others:
        best = name if seconds[best] > CLEARLY * seconds[name] else best
    return best


@contextmanager
def alone(file: Path) -> Iterator[None]:
    """One trial of the machine measures at a time; the others take what it finds."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        lock = open(file.with_suffix(".lock"), "w")  # noqa: SIM115
        fcntl.flock(lock, fcntl.LOCK_EX)
    except OSError:  # where nothing can be kept, each measures for itself, and says so
        yield
        return
    with lock:
        yield


def describe(entry: dict[str, Any]) -> str:
    return f"{1 / entry['seconds']:.0f} images/s" if "seconds" in entry else f"failed ({entry['failed']})"


def key(config: Config, classes: int, channels: int, device: torch.device) -> str:
    """Readable, and unlike for whatever may change what is fastest."""
    machine = torch.cuda.get_device_name(device) if device.type == "cuda" else processor()
    height, width = config.resize
    shown = f"{config.model.replace('/', '-')}-{height}x{width}-{config.batch_size}-{device.type}"
    told = (machine, torch.__version__, torch.get_num_threads(), config.micro_batch, config.optimizer)
    told += (classes, channels, config.attention)
    return f"{shown}-{hashlib.sha256(repr(told).encode()).hexdigest()[:8]}"


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def recall(file: Path) -> dict[str, Any]:
    try:
        return json.loads(file.read_text())
    except (OSError, ValueError):  # not yet measured, or damaged: measured again
        return {}


def remember(file: Path, known: dict[str, Any]) -> None:
    try:
        atomic(file, lambda scratch: scratch.write_text(json.dumps(known, indent=1)))
    except OSError as error:
        print(f"note: what was measured is not kept, the next trial measures again: {error}", flush=True)


class Bench:
    """A model of the trial's kind, and random photos to train it on."""

    def __init__(self, config: Config, classes: int, channels: int, device: torch.device) -> None:
        self.config, self.device = config, device
        knobs = config.values() | {"pretrained": False, "weights": ""}
        model = build_model(config.model, classes, knobs, channels)
        self.model = model.to(device, memory_format=torch.channels_last)
        self.optimizer = build_optimizer(config.optimizer, list(self.model.parameters()), knobs)
        self.count = config.batch_size if device.type == "cuda" else min(config.batch_size, CPU_PHOTOS)
        photos = torch.rand(self.count, channels, *config.resize, device=device)
        self.photos = photos.contiguous(memory_format=torch.channels_last)
        self.target = torch.eye(classes, device=device)[torch.arange(self.count) % classes]
        self.criterion = cross_entropy(torch.ones(classes), exclusive=True)

    def step(self, precision: str, compiled: bool = False) -> Callable[[int], float]:
        """A function that takes a step on that many of the photos; returns its seconds per photo."""
        stepper = Stepper(
            model=torch.compile(self.model) if compiled else self.model,
            criterion=self.criterion,
            optimizer=self.optimizer,
            scaler=torch.amp.GradScaler(self.device.type, enabled=precision == "fp16"),
            precision=precision,
            pieces=Pieces(self.config.micro_batch, "measuring"),
            team=Team(),
        )

        def timed(count: int) -> float:
            self.model.train()
            began = time.monotonic()
            stepper.step(self.photos[:count], self.target[:count], [count])
            if self.device.type == "cuda":
                torch.cuda.synchronize(self.device)
            return (time.monotonic() - began) / count

        return timed


def measure(
    config: Config, classes: int, channels: int, device: torch.device, precisions: tuple[str, ...]
) -> dict[str, Any]:
    """{precision: {"seconds": per photo}} or {precision: {"failed": why}}; they take turns. Raises ValueError."""
    found, steps, first = {}, {}, {}
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        bench = Bench(config, classes, channels, device)
        try_on(bench.model, config.model, config.resize, device, channels, classes)
        for name in precisions:
            step = bench.step(name)
            try:
                first[name] = step(bench.count)
                steps[name] = step
            except Exception as error:  # each library refuses in its own way
                if memory_is_full(error):
                    raise
                found[name] = {"failed": str(error).split("\n")[0][:100] or type(error).__name__}
        if not steps:
            raise ValueError(
                f"{config.model} takes no training step: "
                + ", ".join(f"{name} {describe(found[name])}" for name in precisions)
            )
        for name in [name for name in steps if first[name] > HOPELESS * next(iter(first.values()))]:
            found[name] = {"seconds": first[name]}
            steps.pop(name)
        rounds = [{name: step(bench.count) for name, step in steps.items()} for _ in range(ROUNDS)]
    del bench, step, steps
    torch.cuda.empty_cache()
    return found | {name: {"seconds": statistics.median(turn[name] for turn in rounds)} for name in rounds[0]}


def measure_compiled(config: Config, classes: int, channels: int, device: torch.device) -> dict[str, Any]:
    """{"PRECISION compiled": {"seconds": per photo, "compile_seconds": …}} or {… {"failed": why}}."""
    name = f"{config.precision} compiled"
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        bench = Bench(config, classes, channels, device)
        step, began = bench.step(config.precision, compiled=True), time.monotonic()
        try:
            for count in (bench.count, bench.count - 1):  # the two sizes of a trial's batches
                step(max(count, 1))
            compile_seconds = time.monotonic() - began
            seconds = statistics.median(step(bench.count) for _ in range(ROUNDS))
        except Exception as error:  # no C compiler, no Triton, a model it cannot take
            if memory_is_full(error):
                raise
            return {name: {"failed": f"{type(error).__name__}: {str(error).strip().splitlines()[0][:100]}"}}
    del bench, step
    torch.cuda.empty_cache()
    return {name: {"seconds": seconds, "compile_seconds": compile_seconds}}
