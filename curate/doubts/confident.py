"""Confident learning: which labels are probably wrong, by probabilities of models that were not trained on them.

Northcutt et al. 2021, https://arxiv.org/abs/1911.00068, as the package cleanlab has it.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Judged:
    """Of N labels. A low score is suspicious; `issue` is what cleanlab would call wrong."""

    score: np.ndarray  # (N,) 0 to 1
    issue: np.ndarray  # (N,) bool
    alone: np.ndarray  # (K,) bool, classes of one label, which cleanlab never calls wrong


def judge(labels: np.ndarray, probabilities: np.ndarray, exclusive: bool) -> Judged:
    """`labels` (N, K) bool and `probabilities` (N, K) of them, out of fold.

    Of one class each, a score is the probability of the label (self-confidence); it needs no scaling to be compared
    across fields, as a model that knows little of ages does not deny them loudly. Of several classes at once, it is
    cleanlab's mean over the classes, in which the worst counts most. Raises ValueError for fewer than two labels.
    """
    if len(labels) < 2:
        raise ValueError(f"{len(labels)} labels: confident learning compares them; give predictions of more photos")
    import cleanlab  # here, as it takes a second

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of rare classes: told by `alone`
        try:
            score, issue = (of_one if exclusive else of_several)(cleanlab, labels, probabilities)
        except (ValueError, TypeError) as error:  # labels that are all alike, in words of its own
            raise ValueError(
                f"cleanlab cannot compare these {len(labels)} labels ({error}); give predictions of more photos"
            ) from error
    return Judged(score, issue, labels.sum(axis=0) == 1)


def of_one(cleanlab, labels: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    numbers = labels.argmax(axis=1)
    score = cleanlab.rank.get_label_quality_scores(numbers, probabilities)
    return score, cleanlab.filter.find_label_issues(numbers, probabilities, n_jobs=1)


def of_several(cleanlab, labels: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    names = [np.flatnonzero(row).tolist() for row in labels]
    score = cleanlab.multilabel_classification.get_label_quality_scores(names, probabilities)
    return score, cleanlab.multilabel_classification.filter.find_label_issues(names, probabilities, n_jobs=1)
