"""Columns that say nothing, or next to nothing."""

import numpy as np

from ampedge.training.inspection.finding import Numbers

_DIFFERING = 0.01
_AT_LEAST = 2
_STEADY = 1e-6


def is_constant(values: Numbers) -> bool:
    """True where all values that there are, are one and the same."""
    known = values[np.isfinite(values)]
    return len(known) > 0 and bool((known == known[0]).all())


def differing(values: Numbers) -> int:
    """How many values differ from the commonest where hardly any does, else 0."""
    known = values[np.isfinite(values)]
    if not len(known):
        return 0
    other = int(np.count_nonzero(known != np.median(known)))  # what nearly all are, the median is, too
    return other if other <= max(_AT_LEAST, _DIFFERING * len(known)) and 2 * other < len(known) else 0


def is_steady(values: Numbers) -> bool:
    """True where the values vary by next to nothing beside their size: noise of the last digits."""
    known = values[np.isfinite(values)]
    if not len(known):
        return False
    low, middle, high = np.quantile(known, (0.01, 0.5, 0.99))
    return bool(0 < high - low < _STEADY * abs(middle))
