"""What to do when the memory is full: compute fewer photos at once, and go on."""

from __future__ import annotations

import gc
import math
from collections.abc import Callable
from typing import TypeVar

import torch

# in the text of a RuntimeError: torch on a CPU and a GPU, cuBLAS, cuDNN with too little room to work in
FULL = ("allocate memory", "bad_alloc", "ALLOC_FAILED", "out of memory", "unable to find an engine")
Result = TypeVar("Result")


class MemoryFullError(Exception):
    """The memory is full, and nothing is left to try."""


def memory_is_full(error: BaseException) -> bool:
    kinds = (MemoryError, torch.OutOfMemoryError, MemoryFullError)
    return isinstance(error, kinds) or (isinstance(error, RuntimeError) and any(mark in str(error) for mark in FULL))


def most_at_once(batch_size: int, accumulation: int, micro_batch: int, processes: int) -> int:
    """How many photos of a step the knobs let pass the model at once, in each of `processes`; 0 for all."""
    bounds = [math.ceil(batch_size / processes)] if accumulation > 1 else []
    return min([*bounds, micro_batch] if micro_batch else bounds, default=0)


class Pieces:
    """How many photos pass the model at once: at most `most`, or the whole batch where that is 0."""

    def __init__(self, most: int, what: str) -> None:
        self.most, self.what = most, what
        self.spare: Callable[[], bool] = lambda: False  # gives memory back that is not needed; False if there is none

    def fitting(self, count: int, work: Callable[[int], Result], only_once: bool = False) -> Result:
        """work(most photos at once) of a batch of `count`, again with half as many each time the memory is full.

        Raises MemoryFullError where a single photo does not fit, or where it may be tried `only_once`.
        """
        while True:
            most = min(self.most or count, count)
            try:
                return work(most)
            except (RuntimeError, MemoryError) as error:
                if not memory_is_full(error):
                    raise
                said = (str(error) or type(error).__name__).splitlines()[0]
                reason = f"the memory is full while {self.what} ({said})"
                if only_once:
                    raise MemoryFullError(f"{reason}; pass a --micro_batch of less than {most}") from error
                if most == 1:
                    raise MemoryFullError(
                        f"{reason}, even one photo at once; lower --resize or take a smaller --model"
                    ) from error
            # only here, where the error is gone, is nothing left that holds the model's activations
            gc.collect()
            if spared := self.spare():
                print(f"{reason}; the photos leave the device's memory", flush=True)
            torch.cuda.empty_cache()
            if not spared:
                self.most = (most + 1) // 2
                print(f"{reason}; going on with at most {self.most} photos at once", flush=True)
