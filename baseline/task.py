"""What is predicted: heads, and the slice of the (B, K) logits that belongs to each.

One tensor leaves a model however many heads there are; only Task knows the slices.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Head:
    name: str
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Task:
    heads: tuple[Head, ...]

    @property
    def size(self) -> int:
        """K, the number of logits of all heads."""
        return sum(len(head.classes) for head in self.heads)

    @property
    def slices(self) -> tuple[slice, ...]:
        ends = np.cumsum([len(head.classes) for head in self.heads])
        return tuple(slice(end - len(head.classes), end) for end, head in zip(ends, self.heads, strict=True))

    @property
    def classes(self) -> tuple[str, ...]:
        """The K class names, in the order of the logits."""
        return tuple(name for head in self.heads for name in head.classes)

    def activate(self, logits: np.ndarray) -> np.ndarray:
        """Logits (N, K) to probabilities (N, K) that sum to 1 over each head."""
        return np.concatenate([softmax(logits[:, part]) for part in self.slices], axis=1)

    def decide(self, probabilities: np.ndarray) -> np.ndarray:
        """Probabilities (N, K) to booleans (N, K): the most probable class of each head."""
        decided = np.zeros(probabilities.shape, dtype=bool)
        for part in self.slices:
            best = probabilities[:, part].argmax(axis=1) + part.start
            decided[np.arange(len(decided)), best] = True
        return decided


def softmax(logits: np.ndarray) -> np.ndarray:
    """Over the last axis, in float64."""
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


def one_hot(labels: np.ndarray, size: int) -> np.ndarray:
    """Class numbers (N,) to targets (N, size) in {0, 1}, float32."""
    return np.eye(size, dtype=np.float32)[labels]


def combine(mask: np.ndarray, gender: np.ndarray, age: np.ndarray) -> np.ndarray:
    """Probabilities (N, 3), (N, 2), (N, 3) to the 18 classes mask * 6 + gender * 3 + age, as their product (N, 18).

    The arg-max of the product is the three arg-maxes recombined.
    """
    product = mask[:, :, None, None] * gender[:, None, :, None] * age[:, None, None, :]
    return product.reshape(len(mask), 18)
