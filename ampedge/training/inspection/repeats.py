"""Rows that repeat another, or contradict it: told by a hash of each row, so that a long table costs 8 bytes a row."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from ampedge.training.inspection.finding import Flags

Hashes = NDArray[np.uint64]

_PRIME = np.uint64(0x9E3779B97F4A7C15)
_SHIFT = np.uint64(29)


def row_hashes(columns: Iterable[NDArray[np.generic]]) -> Hashes:
    """A hash of each row over these columns, numbers or texts; equal rows have equal ones."""
    from pandas.util import hash_array

    total: Hashes | None = None
    for column in columns:
        cells = np.asarray(column)
        if cells.dtype == np.float64:
            cells = cells + 0.0  # minus zero is zero
        hashed = hash_array(cells)
        if total is None:
            total = hashed
        else:
            total ^= total >> _SHIFT
            total *= _PRIME
            total += hashed
    assert total is not None
    return total


def repeated(hashes: Hashes) -> Flags:
    """True for each row that repeats an earlier one."""
    import pandas as pd

    return np.asarray(pd.Series(hashes).duplicated(keep="first"))


def contradictory(hashes: Hashes, targets: NDArray[np.integer]) -> Flags:
    """True for each row that has another with the same values and another class; rows without a class (-1) have none."""
    import pandas as pd

    found = np.zeros(len(hashes), bool)
    at = np.flatnonzero(targets >= 0)
    several = np.asarray(pd.Series(hashes[at]).duplicated(keep=False))
    at = at[several]
    if len(at):
        classes = pd.Series(targets[at]).groupby(hashes[at])
        found[at] = np.asarray(classes.transform("min") != classes.transform("max"))
    return found
