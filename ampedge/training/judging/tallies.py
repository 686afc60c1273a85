"""The figures of `ampedge.training.metrics.scores` for many tallies at once: draws of a bootstrap, or groups.

Rows that are the same to every figure are one kind; a tally says how many there are of each.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ampedge.training.judging.answers import NOT_ASKED, Places

Counts = NDArray[np.float64]
"""(tallies, kinds): rows."""

Figures = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Figured:
    """Figures of shape (tallies,) or (tallies, classes); those of a class are NaN where a tally has no row of it.

    `complete` says which tallies have rows of all classes of which any has.
    """

    accuracy: Figures
    macro_f1: Figures
    precision: Figures
    recall: Figures
    f1: Figures
    complete: NDArray[np.bool_]


def kinds(*columns: Places) -> tuple[list[Places], Places]:
    """(columns of the kinds that occur among these rows, the kind of each row)."""
    found, which = np.unique(np.column_stack(columns), axis=0, return_inverse=True)
    return list(found.T), which.reshape(-1)  # NumPy 2.0 gives it a second axis


def weighted(names: Sequence[str], which: Places, weights: Iterable[Places]) -> Counts:
    """(tallies, kinds): each tally has the rows of every group as often as its weights say, by the sorted names."""
    group = np.unique(names, return_inverse=True)[1]
    (members, of_kind), rows = np.unique(np.stack([group, which]), axis=1, return_counts=True)
    count = int(which.max()) + 1
    return np.stack([np.bincount(of_kind, weights=rows * each[members], minlength=count) for each in weights])


def figured(counts: Counts, truth: Places, said: Places, *, classes: int) -> Figured:
    """Of tallies of kinds that have these places by the table and by the model."""
    support = _sums(counts, truth, classes)
    predicted = _sums(counts, said, classes)
    hits = _sums(counts, np.where(truth == said, truth, NOT_ASKED), classes)
    there = np.where(support > 0, support, np.nan)
    f1 = 2 * hits / (there + predicted)
    return Figured(
        accuracy=hits.sum(axis=1) / support.sum(axis=1),
        macro_f1=np.nanmean(f1, axis=1),
        precision=hits / np.where(predicted > 0, predicted, np.nan) * (there / there),
        recall=hits / there,
        f1=f1,
        complete=((support > 0) == (support > 0).any(axis=0)).all(axis=1),
    )


def _sums(counts: Counts, places: Places, classes: int) -> Counts:
    """(tallies, classes): the rows of the kinds that have this place."""
    found: Counts = counts @ (places[:, None] == np.arange(classes)).astype(np.float64)
    return found
