"""From what the model says to what is published: the class, and the label or `unknown` where it cannot be trusted."""

import math
from collections.abc import Mapping, Sequence

from ampedge.records import UNKNOWN, Quality, Reason


def chosen(probabilities: Sequence[float], thresholds: Mapping[int, float]) -> int:
    """The place of the class that is said: the most probable, but a class with a threshold just from there on.

    A threshold, from 0 to 1, is the probability at which missing the class costs as much as a false alarm.
    Where several classes reach theirs, it is the one that exceeds its own by the largest factor; at least one
    class has none, so that there is always one to say.
    """
    places = range(len(probabilities))
    if not thresholds:
        return max(places, key=probabilities.__getitem__)
    reached = [place for place, least in thresholds.items() if probabilities[place] >= least]
    if reached:
        return max(reached, key=lambda place: probabilities[place] / thresholds[place])
    return max((place for place in places if place not in thresholds), key=probabilities.__getitem__)


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
