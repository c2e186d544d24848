"""Metrics, higher is better: `f(predicted (N, K) bool, truth (N, K) bool, weight (N,) or None) -> float`.

A row of weight n counts as n rows; None is 1 for each. To add one, decorate it with
`@METRICS.register("name")`. Written in numpy: scikit-learn takes a second to import and milliseconds a
call, which a trial's start and a bootstrap would feel.
"""

from __future__ import annotations

import numpy as np

from registry import Registry

METRICS = Registry("metric")


@METRICS.register("accuracy")
def accuracy(predicted: np.ndarray, truth: np.ndarray, weight: np.ndarray | None = None) -> float:
    """Share of rows predicted exactly."""
    return float(np.average((predicted == truth).all(axis=1), weights=weight))


@METRICS.register("macro_f1")
def macro_f1(predicted: np.ndarray, truth: np.ndarray, weight: np.ndarray | None = None) -> float:
    """Plain mean of the F1 of all K classes, 0 for a class that is neither present nor predicted."""
    return float(class_f1(predicted, truth, weight).mean())


def class_f1(predicted: np.ndarray, truth: np.ndarray, weight: np.ndarray | None = None) -> np.ndarray:
    """F1 of each class, (K,): 2 tp / (predicted + present), 0 where that is 0 / 0."""
    rows = np.ones(len(truth)) if weight is None else weight
    both, either = rows @ (predicted & truth), rows @ predicted + rows @ truth
    return np.divide(2 * both, either, out=np.zeros(len(both)), where=either > 0)


def cross_entropy(probabilities: np.ndarray, target: np.ndarray, exclusive: bool = True) -> float:
    """Mean cross-entropy in nats of probabilities (N, C) against target (N, C); of classes by themselves, their sum."""
    terms = target * np.log(np.clip(probabilities, 1e-12, 1))
    if not exclusive:
        terms = terms + (1 - target) * np.log(np.clip(1 - probabilities, 1e-12, 1))
    return float(-terms.sum(axis=1).mean())


def evaluate(
    probabilities: np.ndarray, decided: np.ndarray, target: np.ndarray, exclusive: bool = True
) -> dict[str, float]:
    """Every metric by name, and `loss` (lower is better), whatever the training criterion was."""
    values = {name: metric(decided, target > 0.5) for name, metric in METRICS.entries.items()}
    return values | {"loss": cross_entropy(probabilities, target, exclusive)}


def as_objective(metrics: dict[str, float], name: str) -> dict[str, float]:
    """What NNI is told: `default` is the objective, metric `name`; the rest is shown beside it."""
    return {"default": metrics[name]} | metrics


def show(metrics: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.4f}" for name, value in metrics.items())
