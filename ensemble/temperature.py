"""Temperature scaling: how sure a model is, made to fit how often it is right.

Guo et al. 2017, https://arxiv.org/abs/1706.04599, section 4.2.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import xlogy

from means import MEANS

COLDEST, HOTTEST = 0.05, 20.0  # a model that is always right, or never better than chance, has none of its own


def heat(probabilities: np.ndarray, temperature: float, exclusive: bool) -> np.ndarray:
    """Probabilities (N, K) with their logits divided by `temperature`: above 1 they are less sure."""
    mean = MEANS["logit"](exclusive)
    return probabilities if temperature == 1 else mean.back(mean.values(probabilities) / temperature)


def fit_temperature(probabilities: np.ndarray, truth: np.ndarray, exclusive: bool) -> float:
    """The temperature, 0.05 to 20, that makes the log loss of probabilities (N, K) for truth (N, K) bool lowest."""
    found = minimize_scalar(
        lambda power: log_loss(heat(probabilities, float(np.exp(power)), exclusive), truth, exclusive),
        bounds=(np.log(COLDEST), np.log(HOTTEST)),
        method="bounded",
    )
    return float(np.exp(found.x))


def log_loss(probabilities: np.ndarray, truth: np.ndarray, exclusive: bool) -> float:
    """Mean over rows in nats; of several labels at once the sum over classes."""
    safe = np.clip(probabilities, 1e-12, 1)
    loss = -xlogy(truth, safe)
    if not exclusive:
        loss = loss - xlogy(~truth, np.clip(1 - probabilities, 1e-12, 1))
    return float(loss.sum(axis=1).mean())
