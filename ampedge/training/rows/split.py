"""Which rows train, which steer the training, and which are held out to judge it."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from ampedge.errors import DataError
from ampedge.training.rows.dataset import Dataset
from ampedge.training.settings import TableSettings

Rows = NDArray[np.intp]

_SHARE = 0.15
_FOLDS = 7
"""One fold of seven is 14 %, the nearest to the share of validation and test."""
_FEWEST_GROUPS = 3


@dataclass(frozen=True, slots=True)
class Split:
    """Row numbers of the three parts, each in file order; `method` in words."""

    training: Rows
    validation: Rows
    test: Rows
    method: str
    notes: tuple[str, ...] = ()

    def sizes(self) -> dict[str, int]:
        """Rows per part."""
        return {"training": len(self.training), "validation": len(self.validation), "test": len(self.test)}


def split(data: Dataset, settings: TableSettings, seed: int) -> Split:
    """70 % training, 15 % validation, 15 % test: stratified, by groups, or in the order of time.

    Raises DataError where a class would be missing from training.
    """
    if settings.group is not None:
        parts, method = _by_group(data, settings.group, seed), apart(settings.group)
    elif settings.time_order:
        parts, method = _by_time(data), "in the order of time"
    else:
        parts, method = _stratified(data, seed), "stratified"
    training, validation, test = (np.sort(part) for part in parts)
    return Split(training, validation, test, method, tuple(_notes(data, validation, test)))


def apart(column: str | None) -> str:
    """In words, the split that keeps the groups of this column apart."""
    return f"groups of {column!r} kept apart"


def _stratified(data: Dataset, seed: int) -> tuple[Rows, Rows, Rows]:
    from sklearn.model_selection import train_test_split

    rows = np.arange(len(data.targets))
    training, rest = train_test_split(rows, test_size=2 * _SHARE, stratify=data.targets, random_state=seed)
    validation, test = train_test_split(rest, test_size=0.5, stratify=data.targets[rest], random_state=seed)
    return training, validation, test


def _by_time(data: Dataset) -> tuple[Rows, Rows, Rows]:
    rows = np.arange(len(data.targets))
    first, second = round(len(rows) * (1 - 2 * _SHARE)), round(len(rows) * (1 - _SHARE))
    missing = _missing(data, rows[:first])
    if missing:
        raise DataError(
            f"{data.path}: in the order of time, {missing} first comes after the training part, which is the "
            f"first {first} rows.",
            "Leave --time-order away, or collect rows of each class early and late.",
        )
    return rows[:first], rows[first:second], rows[second:]


def _by_group(data: Dataset, column: str, seed: int) -> tuple[Rows, Rows, Rows]:
    groups = np.array(data.groups)
    count = len(np.unique(groups))
    if count < _FEWEST_GROUPS:
        raise DataError(
            f"{data.path}, column {column!r}: {count} groups cannot be split into training, validation and test.",
            f"Give a column with at least {_FEWEST_GROUPS} groups, better 20.",
        )
    best = min(_choices(data, groups, min(_FOLDS, count), seed), key=lambda choice: choice[0])
    missing = _missing(data, best[1][0])
    if missing:
        raise DataError(
            f"{data.path}: with the groups of {column!r} kept apart, {missing} is missing from training.",
            "Each class must occur in several groups; collect more, or split without --group.",
        )
    return best[1]


def _choices(
    data: Dataset, groups: NDArray[np.str_], count: int, seed: int
) -> Iterator[tuple[tuple[int, int, float], tuple[Rows, Rows, Rows]]]:
    """((classes missing from training, from the other two, how far the sizes are off), parts) for every two folds."""
    from sklearn.model_selection import StratifiedGroupKFold

    names, members = np.unique(groups, return_inverse=True)
    folds = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    parts = [part for _, part in folds.split(names[members], data.targets, members) if len(part)]
    rows = np.arange(len(data.targets))
    for validation, test in permutations(parts, 2):
        training = np.setdiff1d(rows, np.concatenate([validation, test]))
        present = [len(np.unique(data.targets[part])) for part in (training, validation, test)]
        absent = [len(data.classes) - number for number in present]
        off = sum(abs(len(part) / len(rows) - _SHARE) for part in (validation, test))
        yield (absent[0], absent[1] + absent[2], off), (training, validation, test)


def _missing(data: Dataset, rows: Rows) -> str:
    present = set(data.targets[rows].tolist())
    return ", ".join(repr(name) for place, name in enumerate(data.classes) if place not in present)


def _notes(data: Dataset, validation: Rows, test: Rows) -> Iterator[str]:
    for part, name in ((validation, "validation"), (test, "test")):
        missing = _missing(data, part)
        if missing:
            yield f"Warning: the {name} part has no row of {missing}."
