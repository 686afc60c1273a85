"""The randomisation test: how large a difference two models would show if it did not matter which said what.

In each draw the answers to a row change places between the models with an even chance, or with groups those to all
rows of a group together; the p-value is the share of draws whose difference is as large as the one that was found.
It needs no assumption about the figure, so it serves macro-F1, too (Yeh, COLING 2000).
"""

from collections.abc import Callable, Sequence

import numpy as np

from ampedge.training.judging.answers import Answers, Places
from ampedge.training.judging.resampling import DRAWS
from ampedge.training.judging.tallies import Counts, Figured, Figures, figured, kinds, weighted

_SEED = 41_011
_ROUNDING = 1e-9


def swapped(first: Answers, second: Answers) -> Callable[[Callable[[Figured], Figures]], float]:
    """A function of a figure that gives its p-value; both have the same rows, classes and groups."""
    (truth, *said), which = kinds(first.truth, first.said, second.said)
    rows = np.bincount(which).astype(np.float64)
    moved = _of_rows(rows) if first.groups is None else _of_groups(first.groups, which)
    counts = np.vstack([rows, rows - moved])  # as it was found, then the draws
    both = np.hstack([counts, rows - counts])
    truths = np.tile(truth, 2)
    ours, theirs = (
        figured(both, truths, np.concatenate(order), classes=len(first.classes)) for order in (said, said[::-1])
    )

    def p_value(figure: Callable[[Figured], Figures]) -> float:
        found, *drawn = np.abs(figure(ours) - figure(theirs))
        return float((1 + np.sum(np.array(drawn) >= found - _ROUNDING)) / (1 + DRAWS))

    return p_value


def _of_rows(rows: Counts) -> Counts:
    """(draws, kinds): how many rows of each kind change places."""
    return np.random.default_rng(_SEED).binomial(rows.astype(int), 0.5, (DRAWS, len(rows))).astype(np.float64)


def _of_groups(names: Sequence[str], which: Places) -> Counts:
    groups = len(set(names))
    random = np.random.default_rng(_SEED)
    return weighted(names, which, (random.integers(2, size=groups) for _ in range(DRAWS)))
