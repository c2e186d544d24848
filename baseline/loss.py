"""Losses. A criterion is `f(logits (B, k), target (B, k) in [0, 1]) -> scalar`, mean over B.

Logits and target are float32 whatever precision the model runs in: bfloat16 has three digits, too few for a log.
To add one, decorate a factory with `@CRITERIA.register("name")`; it receives the Config knobs it
names, and `weights` (k,), one per class with a mean of 1 over the training photos, if it names that.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from registry import Registry

Loss = Callable[[Tensor, Tensor], Tensor]
CRITERIA = Registry("criterion")


@CRITERIA.register("cross_entropy")
def cross_entropy(weights: Tensor) -> Loss:
    """Cross-entropy in nats, class k counting weights[k] times."""
    return lambda logits, target: functional.cross_entropy(logits, target, weight=weights.to(logits))


@CRITERIA.register("focal")
def focal(focal_gamma: float, weights: Tensor) -> Loss:
    """Cross-entropy that plays down easy photos by (1 - p) ** focal_gamma; 0 gives cross-entropy.

    Lin et al. 2017, https://arxiv.org/abs/1708.02002, eq. 5 with weights as alpha.
    """

    def loss(logits: Tensor, target: Tensor) -> Tensor:
        log_p = logits.log_softmax(dim=1)
        easy = (1 - log_p.exp()).clamp_min(1e-6)  # at 0 the slope of a power below 1 is infinite
        terms = target * easy**focal_gamma * log_p * weights.to(logits)
        return -terms.sum(dim=1).mean()

    return loss


@CRITERIA.register("label_smoothing")
def label_smoothing(smoothing: float, weights: Tensor) -> Loss:
    """Cross-entropy against 1 - smoothing for the true class; the other k - 1 classes share the rest.

    (torch's own label_smoothing shares it among all k.)
    """
    plain = cross_entropy(weights)

    def loss(logits: Tensor, target: Tensor) -> Tensor:
        others = (1 - target) / (target.shape[1] - 1)
        return plain(logits, (1 - smoothing) * target + smoothing * others)

    return loss


@CRITERIA.register("f1")
def soft_f1(weights: Tensor) -> Loss:
    """1 - the mean over classes of F1 computed on probabilities instead of decisions, class k weighing weights[k].

    F1 = 2 tp / (2 tp + fp + fn), with 1e-7 against division by 0 where a class is absent from the batch.
    """

    def loss(logits: Tensor, target: Tensor) -> Tensor:
        p = logits.softmax(dim=1)
        true_positive = (p * target).sum(dim=0)
        f1 = 2 * true_positive / (p.sum(dim=0) + target.sum(dim=0) + 1e-7)
        scale = weights.to(logits)
        return 1 - (f1 * scale).sum() / scale.sum()

    return loss


def balanced_weights(target: Tensor) -> Tensor:
    """1 / the share of each class in `target` (N, k), scaled to a mean of 1 over the N photos; 0 for absent classes."""
    share = target.mean(dim=0)
    weights = torch.where(share > 0, 1 / share.clamp_min(1e-12), torch.zeros_like(share))
    return weights / (target @ weights).mean()
