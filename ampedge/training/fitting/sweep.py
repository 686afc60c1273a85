"""A small grid of networks, each tried on the same folds of the rows that are not held out; the best one is kept."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np

from ampedge.errors import DataError, UsageError
from ampedge.training.fitting.cross_validation import Spread, fold_scores, spread
from ampedge.training.rows.dataset import Dataset
from ampedge.training.rows.folds import Fold, folds
from ampedge.training.rows.split import Rows
from ampedge.training.settings import FitSettings, TableSettings

_FOLDS = 3
_GRID: dict[str, Sequence[Any]] = {
    "layers": ((32,), (64, 32, 16), (128, 64)),
    "learning_rate": (0.001, 0.003),
    "l2": (0.0, 0.0003),
}
GRID = tuple(_GRID)
"""The settings that a sweep tries."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One choice of settings, and its figures over the folds; `parameters` counts weights and biases of its network."""

    settings: FitSettings
    parameters: int
    accuracy: Spread
    macro_f1: Spread

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            **{name: getattr(self.settings, name) for name in GRID},
            "parameters": self.parameters,
            "accuracy": self.accuracy.document(),
            "macro_f1": self.macro_f1.document(),
        }


def candidates(settings: FitSettings, fixed: Sequence[str]) -> list[FitSettings]:
    """What is tried: the grid, with the settings named in `fixed` as they are; raises UsageError for all of them."""
    if set(fixed) >= set(GRID):
        raise UsageError(
            "--layers, --learning-rate and --l2 are all given, so --sweep has nothing left to try.",
            "Leave one of them away, or --sweep.",
        )
    values = [[getattr(settings, name)] if name in fixed else _GRID[name] for name in GRID]
    return [replace(settings, **dict(zip(GRID, choice, strict=True))) for choice in product(*values)]


def sweep(
    data: Dataset,
    rows: Rows,
    table: TableSettings,
    tried: Sequence[FitSettings],
    *,
    costs: Mapping[str, float],
    on_fit: Callable[[FitSettings, int, int], None] = lambda *_: None,
) -> list[Trial]:
    """Every candidate on the same folds of `rows`; `on_fit` is told the candidate, fits done and fits in all.

    Raises DataError where the rows do not allow these folds.
    """
    try:
        parts = folds(data, rows, table, count=_FOLDS, seed=tried[0].seed)
        return _trials(data, parts, tried, costs, on_fit)
    except DataError as error:
        raise DataError(f"--sweep: {error.problem}", "Leave --sweep away, or collect more rows.") from error


def best(trials: Sequence[Trial]) -> Trial:
    """The highest mean macro-F1, of equal ones the smallest network.

    Not the smallest within one standard error of it: with a few folds and rare classes that error is so large that the
    smallest network would nearly always be taken, and the edge gains nothing from it.
    """
    return max(trials, key=lambda trial: (trial.macro_f1.mean, -trial.parameters))


def swept(trials: Sequence[Trial]) -> dict[str, Any]:
    """All that was tried, for metrics.json; `chosen` is the place of the best."""
    return {"folds": _FOLDS, "chosen": trials.index(best(trials)), "tried": [trial.document() for trial in trials]}


def _trials(
    data: Dataset,
    parts: Sequence[Fold],
    tried: Sequence[FitSettings],
    costs: Mapping[str, float],
    on_fit: Callable[[FitSettings, int, int], None],
) -> list[Trial]:
    found: list[Trial] = []
    for settings in tried:
        figures: list[dict[str, Any]] = []
        for fold in parts:
            on_fit(settings, len(found) * len(parts) + len(figures), len(tried) * len(parts))
            figures.append(fold_scores(data, fold, settings, costs))
        found.append(
            Trial(
                settings,
                _parameters(len(data.features), settings.layers, len(data.classes)),
                *(spread([one[name] for one in figures]) for name in ("accuracy", "macro_f1")),
            )
        )
    return found


def _parameters(features: int, layers: Sequence[int], classes: int) -> int:
    widths = np.array([features, *layers, classes])
    return int(((widths[:-1] + 1) * widths[1:]).sum())
