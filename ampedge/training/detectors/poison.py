"""Wild values that would spoil the scaling of a training: a few of them sink a whole column, and nothing says so."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ampedge.model.network import Matrix
from ampedge.training.detectors.constant import differing
from ampedge.training.detectors.finding import Flags
from ampedge.training.detectors.repeats import repeated, row_hashes
from ampedge.training.detectors.wild import LARGEST, POISON, stretch, wild


@dataclass(frozen=True, slots=True)
class Poison:
    """The rows of a column whose values are wild, the range of the others, and by how much they widen its spread."""

    column: str
    rows: Flags
    low: float
    high: float
    by: float


def poison(
    values: Matrix, targets: NDArray[np.integer], names: Sequence[str], believed: Collection[str]
) -> list[Poison]:
    """What would spoil the scaling, column by column; of a column that is `believed` a range was stated."""
    found = []
    once = ~repeated(row_hashes([*values.T, targets]))
    for name, column in zip(names, values.T, strict=True):
        if name in believed or np.abs(column).max() > LARGEST or differing(column):
            continue
        rows = wild(column, targets, once).any
        if rows.any() and (by := stretch(column, rows)) > POISON:
            rest = column[~rows]
            found.append(Poison(name, rows, float(rest.min()), float(rest.max()), by))
    return found
