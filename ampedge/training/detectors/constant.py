"""Columns that say nothing, or next to nothing."""

import numpy as np

from ampedge.training.detectors.finding import Numbers

_DIFFERING = 0.01
_AT_LEAST = 2
_STEADY = 1e-6
_HALF = 0.5
_ROWS = 50_000


def is_constant(values: Numbers) -> bool:
    """True where all values that there are, are one and the same."""
    first = values[np.isfinite(values).argmax()]
    return bool(np.isfinite(first)) and bool(((values == first) | np.isnan(values)).all())


def differing(values: Numbers) -> int:
    """How many values differ from the commonest where hardly any does, else 0."""
    some = _some(values)
    usual = np.median(some) if len(some) else np.nan  # what nearly all are, the median is, too
    if not len(some) or (some == usual).mean() < _HALF:
        return 0
    known = int(np.count_nonzero(np.isfinite(values)))
    other = known - int(np.count_nonzero(values == usual))
    return other if other <= max(_AT_LEAST, _DIFFERING * known) and 2 * other < known else 0


def is_steady(values: Numbers) -> bool:
    """True where the values vary by next to nothing beside their size: noise of the last digits."""
    some = _some(values)
    if not len(some):
        return False
    low, middle, high = np.quantile(some, (0.01, 0.5, 0.99))
    return bool(0 < high - low < _STEADY * abs(middle))


def _some(values: Numbers) -> Numbers:
    """Every n-th of many values, as far as they are known."""
    some = values[:: 1 + len(values) // _ROWS]
    return some[np.isfinite(some)]
