"""The figures that a classifier is judged by, computed in one place for training, evaluation and baselines."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ampedge.errors import missing_extra

_NONE = -1


def confusion(truth: Sequence[str], predicted: Sequence[str | None], classes: Sequence[str]) -> list[list[int]]:
    """Counts of shape (classes, classes + 1): a row per true class; the last column counts None, not asked."""
    places: dict[str | None, int] = {name: i for i, name in enumerate(classes)}
    places[None] = len(classes)
    counts = np.zeros((len(classes), len(classes) + 1), dtype=np.int64)
    np.add.at(counts, ([places[name] for name in truth], [places[name] for name in predicted]), 1)
    return [[int(count) for count in row] for row in counts]


def macro_f1(counts: Sequence[Sequence[int]]) -> float:
    """The mean F1 over the classes that occur, from what `confusion` counts; as `scores` has it, by NumPy alone."""
    found = np.array(counts)
    support, said, right = found.sum(axis=1), found.sum(axis=0)[: len(found)], found.diagonal()
    return float((2 * right / np.maximum(support + said, 1))[support > 0].mean())


def scores(truth: Sequence[str], predicted: Sequence[str | None], classes: Sequence[str]) -> dict[str, Any]:
    """`accuracy`, `macro_f1` and `per_class` (precision, recall, f1, support), as plain numbers for JSON.

    A prediction of None, a row that the model was not asked about, counts as missed.
    A quotient without a denominator is 0.  `macro_f1` is the mean over the classes that occur in `truth`.
    """
    try:
        from sklearn.metrics import precision_recall_fscore_support
    except ImportError as error:
        raise missing_extra("Scoring a model", "train") from error
    places: dict[str | None, int] = {name: i for i, name in enumerate(classes)}
    places[None] = _NONE
    actual = np.array([places[name] for name in truth])
    found = np.array([places[name] for name in predicted])
    precision, recall, f1, support = precision_recall_fscore_support(
        actual, found, labels=range(len(classes)), zero_division=0
    )
    return {
        "accuracy": float((actual == found).mean()),
        "macro_f1": float(f1[support > 0].mean()),
        "per_class": {
            name: {
                "precision": float(precision[i]),
                "recall": float(recall[i]),
                "f1": float(f1[i]),
                "support": int(support[i]),
            }
            for i, name in enumerate(classes)
        },
    }
