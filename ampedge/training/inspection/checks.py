"""What a person would want to know about the rows before believing a model that was trained on them."""

from collections.abc import Sequence

import numpy as np

from ampedge.errors import DataError
from ampedge.model.network import Matrix
from ampedge.training.detectors import repeats
from ampedge.training.detectors.constant import is_constant
from ampedge.training.detectors.telling import ROWS, separates, stands_for_label, tells_some_apart
from ampedge.training.detectors.unwritten import said, unwritten
from ampedge.training.detectors.wild import LARGEST
from ampedge.training.registers import through_registers
from ampedge.training.rows.columns import Column
from ampedge.training.rows.dataset import Dataset

_COARSE = 0.05
_SAMPLE_ROWS = 500
_SMALLEST = 1e-100


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
    return [*notes, *_coarse(data), *_unwritten(data), *_duplicates(data)]


def _refuse_constant(data: Dataset, name: str, column: Column) -> None:
    if is_constant(column):
        raise DataError(
            f"{data.path}: the column {name!r} is {column[0] + 0.0:g} in every row, so it tells nothing.",
            f"{data.without(name)}.",
        )


def _refuse_extreme(data: Dataset, name: str, column: Column) -> None:
    if np.abs(column).max() > LARGEST or np.ptp(column) < _SMALLEST:
        raise DataError(
            f"{data.path}: the column {name!r} goes from {column.min():g} to {column.max():g}, which cannot be "
            "computed with.",
            f"{data.without(name)}, or give it in another unit.",
        )


def _given_away(data: Dataset, name: str, column: Column, *, is_named: bool) -> list[str]:
    code = stands_for_label(column, data.targets)
    if code is not None and code.is_exact:
        problem = f"the column {name!r} gives the label away: each of its {code.values} values has just one label"
        if not is_named:
            raise DataError(
                f"{data.path}: {problem}.",
                f"{data.without(name)}, or, if it is a measurement that a live device has, name it in --features.",
            )
        return [f"Warning: {problem}."]
    every = slice(None, None, 1 + len(column) // ROWS)
    values, targets = column[every], data.targets[every]
    if code is not None or separates(values, targets):
        told = "all classes apart"
    elif count := tells_some_apart(values, targets):
        told = f"some classes apart: each class has just one of its {count} values"
    else:
        return []
    return [f"Warning: {name!r} alone tells {told}. Is it known before the label is, on the live device, too?"]


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


def _unwritten(data: Dataset) -> list[str]:
    flags = unwritten(zip(data.values.T, data.datamap.tags, strict=True), len(data.values))
    return [f"Warning: {said(flags, data.targets, data.classes)}"] if flags.any() else []


def _duplicates(data: Dataset) -> list[str]:
    rows = len(data.values)
    repeated = int(repeats.repeated(repeats.row_hashes([*data.values.T, data.targets])).sum())
    if not repeated:
        return []
    verb = "repeats" if repeated == 1 else "repeat"
    return [f"{repeated} of {rows} rows {verb} another in every value; copies may stand on both sides of the split."]
