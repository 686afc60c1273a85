"""The bootstrap: the rows drawn anew many times, to see how far a figure moves by the luck of the draw.

Without groups rows are drawn within each class, so that each draw has the classes of the table.
With groups whole groups are drawn, because rows of one experiment are alike: a cluster bootstrap.
Efron and Tibshirani, An Introduction to the Bootstrap, 1993; Davison and Hinkley, Bootstrap Methods, 1997, 3.8.
"""

from collections.abc import Sequence

import numpy as np

from ampedge.training.judging.answers import Answers, Places
from ampedge.training.judging.tallies import Counts, Figured, Figures, figured, kinds, weighted

DRAWS = 2000
LEVEL = 0.95

_SEED = 20_170
_TAILS = (50 * (1 - LEVEL), 50 * (1 + LEVEL))
_NOTHING = 1e-12
_FEWEST = DRAWS // 10
"""A class that stands in few groups is missing from many draws."""

Interval = tuple[float, float]


def drawn(*models: Answers) -> list[Figured]:
    """The figures of each model on the same draws; all models have the same rows, classes and groups."""
    first = models[0]
    (truth, *said), which = kinds(first.truth, *(model.said for model in models))
    counts = _within_classes(truth, which) if first.groups is None else _whole_groups(first.groups, which)
    return [figured(counts, truth, places, classes=len(first.classes)) for places in said]


def interval(figures: Figures) -> Interval | None:
    """The middle 95 % of what the draws gave; None where few gave any, or all the same, which shows nothing."""
    found = figures[np.isfinite(figures)]
    if len(found) < _FEWEST:
        return None
    low, high = (float(end) for end in np.percentile(found, _TAILS))
    return (low, high) if high - low > _NOTHING else None


def _within_classes(truth: Places, which: Places) -> Counts:
    """As many rows of each class as there are."""
    rows = np.bincount(which)
    counts = np.empty((DRAWS, len(truth)))
    random = np.random.default_rng(_SEED)
    for place in np.unique(truth):
        (of_class,) = np.nonzero(truth == place)
        total = int(rows[of_class].sum())
        counts[:, of_class] = random.multinomial(total, rows[of_class] / total, DRAWS)
    return counts


def _whole_groups(names: Sequence[str], which: Places) -> Counts:
    """As many groups as there are, each with all its rows."""
    groups = len(set(names))
    random = np.random.default_rng(_SEED)
    often = (np.bincount(random.integers(groups, size=groups), minlength=groups) for _ in range(DRAWS))
    return weighted(names, which, often)
