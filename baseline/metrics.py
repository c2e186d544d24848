"""Metrics, higher is better: `f(predicted (N, K) bool, truth (N, K) bool) -> float`.

To add one, decorate it with `@METRICS.register("name")`. Written in numpy: scikit-learn takes a
second to import and milliseconds a call, which a trial's start and a bootstrap would feel.
"""

from __future__ import annotations

import numpy as np

from registry import Registry

METRICS = Registry("metric")


@METRICS.register("accuracy")
def accuracy(predicted: np.ndarray, truth: np.ndarray) -> float:
    """Share of rows predicted exactly."""
    return float((predicted == truth).all(axis=1).mean())


@METRICS.register("macro_f1")
def macro_f1(predicted: np.ndarray, truth: np.ndarray) -> float:
    """Plain mean of the F1 of all K classes, 0 for a class that is neither present nor predicted."""
    return float(class_f1(predicted, truth).mean())


def class_f1(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """F1 of each class, (K,): 2 tp / (predicted + present), 0 where that is 0 / 0."""
    true_positive = (predicted & truth).sum(axis=0)
    return 2 * true_positive / np.maximum(predicted.sum(axis=0) + truth.sum(axis=0), 1)


def cross_entropy(probabilities: np.ndarray, target: np.ndarray) -> float:
    """Mean cross-entropy in nats of probabilities (N, K) against target (N, K)."""
    return float(-(target * np.log(np.clip(probabilities, 1e-12, 1))).sum(axis=1).mean())


def evaluate(probabilities: np.ndarray, decided: np.ndarray, target: np.ndarray) -> dict[str, float]:
    """Every metric by name, and `loss` (lower is better), whatever the training criterion was."""
    values = {name: metric(decided, target > 0.5) for name, metric in METRICS.entries.items()}
    return values | {"loss": cross_entropy(probabilities, target)}
