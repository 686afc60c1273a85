"""Whether the model is right as often as its confidence says.

The expected calibration error as Guo, Pleiss, Sun and Weinberger define it (On Calibration of Modern Neural
Networks, ICML 2017): rows in bins of equal width by the probability of their most probable class, and over the
bins the mean distance, weighted by rows, between that confidence and the share of rows where that class is right.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ampedge.training.judging.answers import Answers
from ampedge.training.judging.intervals import wilson

BINS = 15


@dataclass(frozen=True, slots=True)
class Bin:
    """Confidences above `low` up to `high`; the two means are None without rows."""

    low: float
    high: float
    rows: int
    confidence: float | None
    accuracy: float | None


@dataclass(frozen=True, slots=True)
class Calibration:
    """The error over all bins, and the means over the rows that the model was asked about."""

    error: float
    confidence: float
    accuracy: float
    bins: tuple[Bin, ...]

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "expected_calibration_error": self.error,
            "mean_confidence": self.confidence,
            "accuracy": self.accuracy,
            "bins": [asdict(one) for one in self.bins],
        }

    def sentence(self) -> str:
        """For people; that it is too sure or not sure enough, only where the rows are enough to show it."""
        rows = sum(one.rows for one in self.bins)
        low, high = wilson(round(self.accuracy * rows), rows) or (0.0, 1.0)
        tends = "too sure" if self.confidence > high else "not sure enough" if self.confidence < low else None
        return (
            f"Expected calibration error {self.error:.3f} ({BINS} bins): mean confidence {self.confidence:.3f}, "
            f"most probable class right {self.accuracy:.3f}" + (f"; on the whole it is {tends}." if tends else ".")
        )


def calibration(answers: Answers) -> Calibration | None:
    """Over the rows that the model was asked about, None where there are none."""
    asked = answers.probabilities[answers.asked]
    if not len(asked):
        return None
    confidence = asked.max(axis=1)
    right = asked.argmax(axis=1) == answers.truth[answers.asked]
    place = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    rows = np.bincount(place, minlength=BINS)
    sums = [np.bincount(place, weights=what, minlength=BINS) for what in (confidence, right)]
    bins = tuple(
        Bin(
            low=at / BINS,
            high=(at + 1) / BINS,
            rows=int(rows[at]),
            confidence=float(sums[0][at] / rows[at]) if rows[at] else None,
            accuracy=float(sums[1][at] / rows[at]) if rows[at] else None,
        )
        for at in range(BINS)
    )
    return Calibration(
        error=float(np.abs(sums[0] - sums[1]).sum() / len(asked)),
        confidence=float(confidence.mean()),
        accuracy=float(right.mean()),
        bins=bins,
    )
