"""What a person would want to know about the rows before believing a model that was trained on them."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from ampedge.errors import DataError
from ampedge.model.network import Matrix
from ampedge.training.columns import Column
from ampedge.training.dataset import Dataset
from ampedge.training.registers import through_registers

_VALUES_PER_CLASS = 3
_SEPARATES = 0.999
_WILD = 3.0
_CENTRE = (0.005, 0.995)
_COARSE = 0.05
_SAMPLE_ROWS = 500
_SMALLEST, _LARGEST = 1e-100, 1e100
"""Beyond these the squares in a standard deviation leave the numbers of a computer."""


def check(data: Dataset, named: Sequence[str]) -> list[str]:
    """Notes and warnings on the rows as a whole; `named` are the features that the user asked for by name.

    Raises DataError for a column that says nothing, gives the label away, or does not fit its tag.
    """
    notes = []
    for place, name in enumerate(data.features):
        column = data.values[:, place]
        _refuse_constant(data, name, column)
        _refuse_extreme(data, name, column)
        notes += _given_away(data, name, column, is_named=name in named)
    return [*notes, *_wild(data), *_coarse(data), *_duplicates(data)]


def _refuse_constant(data: Dataset, name: str, column: Column) -> None:
    if (column == column[0]).all():
        raise DataError(
            f"{data.path}: the column {name!r} is {column[0]:g} in every row, so it tells nothing.",
            f"{data.without(name)}.",
        )


def _refuse_extreme(data: Dataset, name: str, column: Column) -> None:
    if np.abs(column).max() > _LARGEST or np.ptp(column) < _SMALLEST:
        raise DataError(
            f"{data.path}: the column {name!r} goes from {column.min():g} to {column.max():g}, which cannot be "
            "computed with.",
            f"{data.without(name)}, or give it in another unit.",
        )


def _given_away(data: Dataset, name: str, column: Column, *, is_named: bool) -> list[str]:
    values, places = np.unique(column, return_inverse=True)
    few = len(values) <= _VALUES_PER_CLASS * len(data.classes)
    pairs = np.unique(np.column_stack([places, data.targets]), axis=0)
    if few and len(pairs) == len(values):
        problem = f"the column {name!r} gives the label away: each of its {len(values)} values has just one label"
        if not is_named:
            raise DataError(
                f"{data.path}: {problem}.",
                f"{data.without(name)}, or, if it is a measurement that a live device has, name it in --features.",
            )
        return [f"Warning: {problem}."]
    if _separates(data, column):
        return [
            f"Warning: {name!r} alone tells all classes apart. "
            "Is it known before the label is, on the live device, too?"
        ]
    return []


def _separates(data: Dataset, column: Column) -> bool:
    """True where thresholds on one column split every pair of classes nearly perfectly."""
    from sklearn.metrics import roc_auc_score

    for first, second in combinations(range(len(data.classes)), 2):
        pair = (data.targets == first) | (data.targets == second)
        area = roc_auc_score(data.targets[pair] == first, column[pair])
        if max(area, 1 - area) <= _SEPARATES:
            return False
    return True


def _wild(data: Dataset) -> list[str]:
    """A warning where a few values widen a column's scale so far that the others shrink to nothing."""
    found = []
    for name, column in zip(data.features, data.values.T, strict=True):
        low, high = np.quantile(column, _CENTRE)
        centre = column[(column >= low) & (column <= high)]
        if column.std() > _WILD * centre.std() > 0:
            found.append(
                f"{name!r} goes from {column.min():g} to {column.max():g}, 99 % of it from {low:g} to {high:g}"
            )
    if not found:
        return []
    return [
        f"Warning: wild values: {'; '.join(found)}. If they are faults of the sensor, they spoil the model: state "
        "what is possible as `valid = [low, high]` of the tag in the config."
    ]


def _coarse(data: Dataset) -> list[str]:
    """A warning for each tag whose encoding blurs what the table tells apart."""
    sample = data.values[:: max(1, len(data.values) // _SAMPLE_ROWS)]
    rows: Matrix = np.vstack([data.values.min(axis=0), data.values.max(axis=0), sample])
    blur = np.sqrt(((through_registers(data.datamap, rows.tolist()) - rows) ** 2).mean(axis=0))
    return [
        f"Warning: {tag.type} (scale {tag.scale:g}) blurs {tag.name!r} by {lost:.2g}, and it varies by {spread:.2g} "
        "only. Give its tag a finer type or scale in the config."
        for tag, lost, spread in zip(data.datamap.tags, blur, data.values.std(axis=0), strict=True)
        if lost > _COARSE * spread
    ]


def _duplicates(data: Dataset) -> list[str]:
    rows = np.column_stack([data.values, data.targets])
    repeated = len(rows) - len(np.unique(rows, axis=0))
    if not repeated:
        return []
    verb = "repeats" if repeated == 1 else "repeat"
    return [
        f"{repeated} of {len(rows)} rows {verb} another in every value; copies may stand on both sides of the split."
    ]
