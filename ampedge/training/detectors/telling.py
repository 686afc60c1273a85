"""Columns that tell the label: all of it, which is suspicious, or nothing of it, which is useless."""

from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np
from numpy.typing import NDArray

from ampedge.training.detectors.finding import Numbers

Targets = NDArray[np.integer]

_VALUES_PER_CLASS = 3
_PURE = 0.98
_FEWEST = 5
_SEPARATES = 0.999
ROWS = 100_000
"""Of more rows every n-th tells enough."""
_BY_CHANCE, _BY_CHANCE_OF_FEW, _FEW = 5e-5, 5e-4, 200
_A_BIN, _MOST_BINS = 8, 16


@dataclass(frozen=True, slots=True)
class Code:
    """A column of few `values`, each of which stands for one class: in every row, or in nearly every one."""

    values: int
    is_exact: bool


def stands_for_label(codes: NDArray[np.generic], targets: Targets) -> Code | None:
    """Whether a column is nothing but the label in other words; one row in fifty of each class may differ.

    `codes` are the cells of any column, `targets` the place of each row's class.
    """
    sizes = np.bincount(targets)
    values, places = np.unique(codes, return_inverse=True)
    if not 2 <= len(values) <= _VALUES_PER_CLASS * len(sizes):
        return None
    pairs = np.zeros((len(values), len(sizes)), dtype=np.int64)
    np.add.at(pairs, (places, targets), 1)
    right = np.zeros(len(sizes), dtype=np.int64)
    np.add.at(right, pairs.argmax(axis=1), pairs.max(axis=1))
    return Code(len(values), bool((right == sizes).all())) if bool((right >= _PURE * sizes).all()) else None


def tells_some_apart(codes: NDArray[np.generic], targets: Targets) -> int | None:
    """How many values a column has of which each class has one alone, as a flag of an alarm does; else None.

    Fewer values than classes, else it is `stands_for_label`; a value in very few rows may be there by chance.
    """
    values, places, rows = np.unique(codes, return_inverse=True, return_counts=True)
    classes = np.unique(targets)
    if not 2 <= len(values) < len(classes) or rows.min() < _FEWEST:
        return None
    met = np.unique(places * (int(targets.max()) + 1) + targets)
    return len(values) if len(met) == len(classes) else None


def separates(values: Numbers, targets: Targets) -> bool:
    """True where thresholds on one column split every pair of classes nearly perfectly."""
    from sklearn.metrics import roc_auc_score

    present = np.unique(targets)
    ranges = sorted(tuple(np.quantile(values[targets == one], (0.1, 0.9))) for one in present)
    if any(high >= low for (_, high), (low, _) in pairwise(ranges)):  # then at least one pair in a hundred is mixed
        return False
    for first, second in combinations(present, 2):
        pair = (targets == first) | (targets == second)
        area = roc_auc_score(targets[pair] == first, values[pair])
        if max(area, 1 - area) <= _SEPARATES:
            return False
    return len(present) > 1


def same_in_all(values: Numbers, targets: Targets) -> bool:
    """True where the distribution of the values does not differ from class to class more than by chance.

    Two tests must agree: Kruskal and Wallis's on ranks, for classes that lie higher or lower, and chi-square on
    quantiles, for classes of another shape.
    """
    from scipy.stats import chi2_contingency, kruskal

    classes, places = np.unique(targets, return_inverse=True)
    if len(classes) < 2 or values.min() == values.max():
        return False
    limit = _BY_CHANCE_OF_FEW if len(values) < _FEW else _BY_CHANCE
    if kruskal(*(values[places == one] for one in range(len(classes)))).pvalue <= limit:
        return False
    bins = int(np.clip(np.bincount(places).min() // _A_BIN, 2, _MOST_BINS))
    edges = np.unique(np.quantile(values, np.linspace(0, 1, bins + 1)[1:-1]))
    bin_of = np.searchsorted(edges, values, side="right")
    counts = np.zeros((len(classes), len(edges) + 1), np.int64)
    np.add.at(counts, (places, bin_of), 1)
    counts = counts[:, counts.any(axis=0)]
    return counts.shape[1] < 2 or bool(chi2_contingency(counts).pvalue > limit)
