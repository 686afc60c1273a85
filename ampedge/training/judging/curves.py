"""Each class against all others, whatever the threshold: ROC and precision-recall curves with their areas."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ampedge.errors import missing_extra
from ampedge.training.judging.answers import Answers

Points = NDArray[np.float64]

_MOST_POINTS = 4000
"""Of a curve: no picture shows more, and those of a long table would fill the memory."""


@dataclass(frozen=True, slots=True)
class Curves:
    """Of one class: points of both curves and the area below each.

    The area of precision and recall is the average precision, which does not interpolate.
    """

    name: str
    false_alarms: Points
    found: Points
    roc_area: float
    recall: Points
    precision: Points
    average_precision: float
    share: float


def curves(answers: Answers) -> list[Curves]:
    """Of each class that has rows and is not that of all rows; over the rows that the model was asked about."""
    try:
        from sklearn.metrics import auc, average_precision_score, precision_recall_curve, roc_curve
    except ImportError as error:
        raise missing_extra("Scoring a model", "train") from error
    truth, probabilities = answers.truth[answers.asked], answers.probabilities[answers.asked]
    made = []
    for place, name in enumerate(answers.classes):
        is_it = truth == place
        if not is_it.any() or is_it.all():
            continue
        scores = probabilities[:, place]
        false_alarms, found, _ = roc_curve(is_it, scores)
        precision, recall, _ = precision_recall_curve(is_it, scores)
        made.append(
            Curves(
                name=name,
                false_alarms=_few(false_alarms),
                found=_few(found),
                roc_area=float(auc(false_alarms, found)),
                recall=_few(recall),
                precision=_few(precision),
                average_precision=float(average_precision_score(is_it, scores)),
                share=float(is_it.mean()),
            )
        )
    return made


def _few(points: Points) -> Points:
    """Evenly chosen ones with both ends."""
    if len(points) <= _MOST_POINTS:
        return points
    return points[np.linspace(0, len(points) - 1, _MOST_POINTS).astype(np.intp)]


def areas(of_classes: Sequence[Curves]) -> dict[str, dict[str, Any]]:
    """The numbers, by class."""
    return {one.name: {"roc_area": one.roc_area, "average_precision": one.average_precision} for one in of_classes}
