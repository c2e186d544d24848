"""The random numbers of one batch, the same however the batch is divided over processes, pieces or devices."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor


class Draws:
    """Random numbers for the photos in `part` of a batch of `count`, in the order in which they are asked for.

    They are drawn on the CPU for the whole batch each time, so every part of it leaves `generator` in the same
    state. All come as CPU tensors with b rows, one for each photo of the part.
    """

    def __init__(self, generator: torch.Generator, count: int, part: slice = slice(None)) -> None:
        self.generator, self.count, self.rows = generator, count, range(count)[part]

    def own(self, drawn: Tensor) -> Tensor:
        return drawn[self.rows.start : self.rows.stop]

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """(b, *shape) float32."""
        return self.own(torch.empty(self.count, *shape).uniform_(low, high, generator=self.generator))

    def chance(self, share: float) -> Tensor:
        """(b,) bool, each true with probability `share`."""
        return self.uniform(0, 1) < share

    def integers(self, high: int, *shape: int) -> Tensor:
        """(b, *shape) int64 from 0 to high - 1."""
        return self.own(torch.randint(high, (self.count, *shape), generator=self.generator))

    def seeds(self) -> Tensor:
        """(b,) int64, a seed for each photo."""
        return self.integers(2**63 - 1)

    def beta(self, alpha: float) -> Tensor:
        """(b,) float32 of the distribution Beta(alpha, alpha)."""
        import numpy as np

        seed = torch.randint(2**63 - 1, (), generator=self.generator).item()  # torch's own takes no generator
        return self.own(torch.from_numpy(np.random.default_rng(seed).beta(alpha, alpha, self.count)).float())

    def order(self, count: int) -> list[int]:
        """0 to count - 1 in random order: one for the whole batch."""
        return torch.randperm(count, generator=self.generator).tolist()

    def pieces(self, most: int) -> Iterator[Draws]:
        """The same numbers again, for at most `most` of the photos at a time, of which there is at least one.

        Each piece starts where this one stands, so draw all of its numbers before you take the next.
        """
        state = self.generator.get_state()
        for start in range(self.rows.start, self.rows.stop, most):
            self.generator.set_state(state)
            yield Draws(self.generator, self.count, slice(start, min(start + most, self.rows.stop)))
