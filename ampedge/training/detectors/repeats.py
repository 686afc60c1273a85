"""Rows that repeat another, or contradict it: told by a hash of each row, so that a long table costs 8 bytes a row."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from ampedge.errors import missing_extra
from ampedge.training.detectors.finding import Flags, Places

Hashes = NDArray[np.uint64]

_PRIME = np.uint64(0x9E3779B97F4A7C15)
_SHIFT = np.uint64(29)
_AT_ONCE = 1 << 18


def row_hashes(columns: Iterable[NDArray[np.generic]], *, after: Hashes | None = None) -> Hashes:
    """A hash of each row over these columns, numbers or texts; equal rows have equal ones.

    `after` are those of columns before them; they are overwritten.
    """
    try:
        from pandas.util import hash_array
    except ImportError as error:
        raise missing_extra("Comparing the rows of a table", "train") from error

    total = after
    for column in columns:
        if total is None:
            total = np.zeros(len(column), np.uint64)
        for start in range(0, len(column), _AT_ONCE):
            part = total[start : start + _AT_ONCE]
            cells = np.asarray(column[start : start + _AT_ONCE])
            part ^= part >> _SHIFT
            part *= _PRIME
            part += hash_array(cells + 0.0 if cells.dtype == np.float64 else cells)  # minus zero is zero
    assert total is not None
    return total


def repeated(hashes: Hashes) -> Flags:
    """True for each row that repeats an earlier one."""
    import pandas as pd

    found = np.zeros(len(hashes), bool)
    at = _several(hashes)
    found[at] = np.asarray(pd.Series(hashes[at]).duplicated(keep="first"))
    return found


def contradictory(hashes: Hashes, targets: NDArray[np.integer]) -> Flags:
    """True for each row that has another with the same values and another class (-1 is none)."""
    import pandas as pd

    found = np.zeros(len(hashes), bool)
    at = _several(hashes)
    at = at[targets[at] >= 0]
    if len(at):
        classes = pd.Series(targets[at]).groupby(hashes[at])
        found[at] = np.asarray(classes.transform("min") != classes.transform("max"))
    return found


def _several(hashes: Hashes) -> Places:
    """The places of the hashes that come more than once."""
    ranked = np.sort(hashes)
    several = np.unique(ranked[1:][ranked[1:] == ranked[:-1]])
    if not len(several):
        return np.zeros(0, dtype=np.intp)
    del ranked
    return np.flatnonzero(several[np.searchsorted(several, hashes).clip(max=len(several) - 1)] == hashes)
