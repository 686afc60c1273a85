"""From what the model says to what is published: the label, or `unknown` where it cannot be trusted."""

import math

from ampedge.records import UNKNOWN, Quality, Reason


def decide(
    class_name: str, confidence: float, *, quality: Quality, outside_training: bool, min_confidence: float
) -> tuple[str, Reason | None]:
    """(label, reason for abstaining) for a reading that the model was asked about."""
    if quality is Quality.BAD or outside_training:
        return UNKNOWN, None  # the reading's own reasons say it
    if confidence < min_confidence:
        return UNKNOWN, Reason.LOW_CONFIDENCE
    return class_name, None


def in_percent(confidence: float) -> str:
    """A confidence for people, rounded down: only certainty is shown as 100 %."""
    return f"{math.floor(confidence * 1000) / 10:.1f}%"
