"""Losses. A criterion is `f(logits (B, k), target (B, k) in [0, 1]) -> scalar`, mean over B.

Logits and target are float32 whatever precision the model runs in: bfloat16 has three digits, too few for a log.
To add one, decorate a factory with `@CRITERIA.register("name")`; it receives the Config knobs it
names, `weights` (k,), one per class with a mean of 1 over the training photos, and `exclusive`, False where several
classes may hold at once, if it names them. Of several heads each has its own criterion; build_loss() adds them up.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from config import Config
from registry import Registry
from task import Task

Loss = Callable[[Tensor, Tensor], Tensor]
CRITERIA = Registry("criterion")


def build_loss(config: Config, task: Task, target: Tensor) -> Loss:
    """The criterion over all heads, (B, K); `target` (N, K) are the training photos, from which class weights come."""
    parts, criteria = task.slices, []
    for part, head in zip(parts, task.heads, strict=True):
        own = target[:, part]
        weights = (
            balanced_weights(own, head.exclusive) if config.class_weights == "balanced" else torch.ones(own.shape[1])
        )
        knobs = config.values() | {"weights": weights, "exclusive": head.exclusive}
        criteria.append(CRITERIA.build(config.criterion, knobs))
    if len(parts) == 1:
        return criteria[0]
    shares = [weight / sum(config.head_weights) for weight in config.head_weights]

    def loss(logits: Tensor, target: Tensor) -> Tensor:
        each = zip(shares, criteria, parts, strict=True)
        return sum(share * criterion(logits[:, part], target[:, part]) for share, criterion, part in each)

    return loss


@CRITERIA.register("cross_entropy")
def cross_entropy(weights: Tensor, exclusive: bool) -> Loss:
    """Cross-entropy in nats, class k counting weights[k] times; of classes by themselves, bce."""
    if not exclusive:
        return bce(weights)
    return lambda logits, target: functional.cross_entropy(logits, target, weight=weights.to(logits))


@CRITERIA.register("bce")
def bce(weights: Tensor) -> Loss:
    """Binary cross-entropy in nats of each class by itself, summed over classes, class k counting weights[k] times."""

    def loss(logits: Tensor, target: Tensor) -> Tensor:
        terms = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
        return (terms * weights.to(logits)).sum(dim=1).mean()

    return loss


@CRITERIA.register("focal")
def focal(focal_gamma: float, weights: Tensor, exclusive: bool) -> Loss:
    """Cross-entropy that plays down easy photos by (1 - p) ** focal_gamma; 0 gives cross-entropy.

    Lin et al. 2017, https://arxiv.org/abs/1708.02002, eq. 5 with weights as alpha; eq. 4 of each class by itself,
    summed over them, where several may hold.
    """
    if not exclusive:
        return binary_focal(focal_gamma, weights)

    def loss(logits: Tensor, target: Tensor) -> Tensor:
        log_p = logits.log_softmax(dim=1)
        easy = (1 - log_p.exp()).clamp_min(1e-6)  # at 0 the slope of a power below 1 is infinite
        terms = target * easy**focal_gamma * log_p * weights.to(logits)
        return -terms.sum(dim=1).mean()

    return loss


def binary_focal(gamma: float, weights: Tensor) -> Loss:
    def loss(logits: Tensor, target: Tensor) -> Tensor:
        holds, not_so = functional.logsigmoid(logits), functional.logsigmoid(-logits)
        # 1 - p is the probability of the other answer
        terms = target * (not_so * gamma).exp() * holds + (1 - target) * (holds * gamma).exp() * not_so
        return -(terms * weights.to(logits)).sum(dim=1).mean()

    return loss


@CRITERIA.register("label_smoothing")
def label_smoothing(smoothing: float, weights: Tensor, exclusive: bool) -> Loss:
    """Cross-entropy against 1 - smoothing for the true class; the other k - 1 classes share the rest.

    (torch's own label_smoothing shares it among all k.) A class by itself has one other answer, which gets it all.
    """
    plain = cross_entropy(weights, exclusive)

    def loss(logits: Tensor, target: Tensor) -> Tensor:
        others = (1 - target) / (target.shape[1] - 1 if exclusive else 1)
        return plain(logits, (1 - smoothing) * target + smoothing * others)

    return loss


@CRITERIA.register("f1")
def soft_f1(weights: Tensor, exclusive: bool) -> Loss:
    """1 - the mean over classes of F1 computed on probabilities instead of decisions, class k weighing weights[k].

    F1 = 2 tp / (2 tp + fp + fn), with 1e-7 against division by 0 where a class is absent from the batch.
    """

    def loss(logits: Tensor, target: Tensor) -> Tensor:
        p = logits.softmax(dim=1) if exclusive else logits.sigmoid()
        true_positive = (p * target).sum(dim=0)
        f1 = 2 * true_positive / (p.sum(dim=0) + target.sum(dim=0) + 1e-7)
        scale = weights.to(logits)
        return 1 - (f1 * scale).sum() / scale.sum()

    return loss


def balanced_weights(target: Tensor, exclusive: bool = True) -> Tensor:
    """1 / the share of each class in `target` (N, k), scaled to a mean of 1; 0 for absent classes.

    The mean is over the N photos, or over the classes where each stands by itself.
    """
    share = target.mean(dim=0)
    weights = torch.where(share > 0, 1 / share.clamp_min(1e-12), torch.zeros_like(share))
    return weights / ((target @ weights).mean() if exclusive else weights.mean())
