"""What is predicted: heads, the slice of the (B, K) logits that belongs to each, and the C classes that are answered.

One tensor leaves a model however many heads there are; only Task knows the slices. Of several heads, the classes
are all combinations of theirs: mask x gender x age makes 18.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np

LIKELY = 0.5  # from here on a class that does not exclude the others is taken to hold


@dataclass(frozen=True)
class Head:
    name: str
    classes: tuple[str, ...]
    exclusive: bool = True  # one class each; else several may hold at once


@dataclass(frozen=True)
class Task:
    """Several heads, or one; one whose classes do not exclude each other stands alone."""

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
    def exclusive(self) -> bool:
        """Whether a photo is of one class alone."""
        return self.heads[0].exclusive

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the C classes that are answered."""
        return tuple(" ".join(names) for names in itertools.product(*(head.classes for head in self.heads)))

    @property
    def columns(self) -> list[str]:
        """The names of the K columns that soft files have beside the classes, mask_0 …; none of one head alone."""
        several = len(self.heads) > 1
        return [f"{head.name}_{number}" for head in self.heads for number in range(several * len(head.classes))]

    def activate(self, logits: np.ndarray) -> np.ndarray:
        """Logits (N, K) to probabilities (N, K), which sum to 1 over each head whose classes exclude each other."""
        if not self.exclusive:
            return sigmoid(logits)
        return np.concatenate([softmax(logits[:, part]) for part in self.slices], axis=1)

    def combine(self, probabilities: np.ndarray) -> np.ndarray:
        """Those of the heads (N, K) to those of the classes (N, C), as their product."""
        return combine(*(probabilities[:, part] for part in self.slices))

    def separate(self, combined: np.ndarray) -> np.ndarray:
        """Probabilities of the classes (N, C) to those of the heads (N, K), each the sum over the other heads."""
        sizes = [len(head.classes) for head in self.heads]
        cube = combined.reshape(-1, *sizes)
        axes = range(1, len(sizes) + 1)
        return np.concatenate([cube.sum(axis=tuple(other for other in axes if other != own)) for own in axes], axis=1)

    def decide(self, combined: np.ndarray) -> np.ndarray:
        """Probabilities (N, C) to booleans (N, C): the most probable class, and all likely ones if several may hold."""
        decided = np.zeros(combined.shape, dtype=bool) if self.exclusive else combined >= LIKELY
        decided[np.arange(len(decided)), combined.argmax(axis=1)] = True
        return decided


def softmax(logits: np.ndarray) -> np.ndarray:
    """Over the last axis, in float64."""
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """In float64."""
    return 0.5 * (1 + np.tanh(0.5 * logits.astype(np.float64)))  # exp() would overflow


def one_hot(labels: np.ndarray, size: int) -> np.ndarray:
    """Class numbers (N,) to targets (N, size) in {0, 1}, float32."""
    return np.eye(size, dtype=np.float32)[labels]


def combine(*heads: np.ndarray) -> np.ndarray:
    """Probabilities (N, k) of each head to those of all combinations of their classes (N, C), as the product.

    Of mask, gender and age they are the 18 classes mask * 6 + gender * 3 + age. The arg-max of the product is the
    arg-maxes recombined.
    """
    product = heads[0]
    for head in heads[1:]:
        product = product[..., None] * head.reshape(len(head), *[1] * (product.ndim - 1), -1)
    return product.reshape(len(product), math.prod(product.shape[1:]))
