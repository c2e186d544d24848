"""What to do when the memory is full: compute fewer photos at once, and go on."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import TypeVar

import torch

FULL = ("allocate memory", "bad_alloc", "ALLOC_FAILED")  # in the text of a RuntimeError: torch on a CPU, cuDNN, cuBLAS
Result = TypeVar("Result")


class MemoryFullError(Exception):
    """Not even one photo fits into the memory."""


def memory_is_full(error: BaseException) -> bool:
    kinds = (MemoryError, torch.OutOfMemoryError, MemoryFullError)
    return isinstance(error, kinds) or (isinstance(error, RuntimeError) and any(mark in str(error) for mark in FULL))


class Pieces:
    """How many photos pass the model at once: at most `most`, or the whole batch where that is 0."""

    def __init__(self, most: int, what: str) -> None:
        self.most, self.what = most, what

    def fitting(self, count: int, work: Callable[[int], Result]) -> Result:
        """work(most photos at once) of a batch of `count`, again with half as many each time the memory is full.

        Raises MemoryFullError where a single photo does not fit.
        """
        while True:
            most = min(self.most or count, count)
            try:
                return work(most)
            except (RuntimeError, MemoryError) as error:
                if not memory_is_full(error):
                    raise
                reason = str(error).split("\n")[0] or type(error).__name__
                if most == 1:
                    raise MemoryFullError(f"a single photo does not fit: {reason}") from error
            # only here, where the error is gone, is nothing left that holds the model's activations
            gc.collect()
            torch.cuda.empty_cache()
            self.most = (most + 1) // 2
            print(f"the memory is full while {self.what} ({reason}); going on with at most {self.most} photos at once")
