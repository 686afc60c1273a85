"""Which rows train, steer and judge in each fold of a cross-validation; split as a training of the same table is."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from ampedge.errors import DataError
from ampedge.training.rows.dataset import Dataset
from ampedge.training.rows.split import Rows
from ampedge.training.settings import TableSettings

_SHARE = 0.15 / 0.85
"""Of the rows that do not judge, as of a training's, so many calibrate."""
_INNER_FOLDS = 6
"""One fold of six is the nearest to that share."""


@dataclass(frozen=True, slots=True)
class Fold:
    """Row numbers of the three parts, each in file order."""

    training: Rows
    validation: Rows
    judged: Rows


def folds(data: Dataset, rows: Rows, settings: TableSettings, *, count: int, seed: int) -> list[Fold]:
    """`count` folds of these rows: stratified, by groups, or each judged by what came before it.

    Raises DataError where there are too few rows of a class, or too few groups, for so many.
    """
    if settings.group is not None:
        found = _by_group(data, rows, settings.group, count, seed)
    elif settings.time_order:
        found = _by_time(rows, count)
    else:
        found = _stratified(data, rows, count, seed)
    return [Fold(*(np.sort(part) for part in parts)) for parts in found]


def unlearned(data: Dataset, fold: Fold) -> list[str]:
    """The classes that a fold is judged on and cannot learn, for want of a row in its training."""
    missing = np.setdiff1d(data.targets[fold.judged], data.targets[fold.training])
    return [data.classes[place] for place in missing]


def _stratified(data: Dataset, rows: Rows, count: int, seed: int) -> Iterator[tuple[Rows, Rows, Rows]]:
    from sklearn.model_selection import StratifiedKFold, train_test_split

    targets = data.targets[rows]
    sizes = np.bincount(targets, minlength=len(data.classes))
    if sizes.min() < count:
        raise DataError(
            f"{data.path}: {sizes.min()} rows of {data.classes[int(sizes.argmin())]!r} cannot be shared out to "
            f"{count} folds.",
            "Give fewer folds, or collect more rows of it.",
        )
    for others, judged in StratifiedKFold(count, shuffle=True, random_state=seed).split(rows, targets):
        held = max(round(_SHARE * len(others)), len(data.classes))
        training, validation = train_test_split(others, test_size=held, stratify=targets[others], random_state=seed)
        yield rows[training], rows[validation], rows[judged]


def _by_group(data: Dataset, rows: Rows, column: str, count: int, seed: int) -> Iterator[tuple[Rows, Rows, Rows]]:
    names = _groups(data, rows)
    outer = list(_group_folds(data, rows, count, seed)) if names >= count else []
    if not outer or min(_groups(data, others) for others, _ in outer) < 2:
        raise DataError(
            f"{data.path}, column {column!r}: {names} groups are too few for {count} folds, each with a group to "
            "train on, one to calibrate on and one to be judged on.",
            "Give fewer folds, or a column with more groups.",
        )
    for others, judged in outer:
        choices = list(_group_folds(data, others, min(_INNER_FOLDS, _groups(data, others)), seed))
        yield (*min(choices, key=partial(_poverty, data, _SHARE * len(others))), judged)


def _poverty(data: Dataset, aim: float, parts: tuple[Rows, Rows]) -> tuple[int, int, float]:
    """(classes missing from training, from validation, how far the size of validation is off)."""
    absent = [len(data.classes) - len(np.unique(data.targets[part])) for part in parts]
    return absent[0], absent[1], abs(len(parts[1]) - aim)


def _group_folds(data: Dataset, rows: Rows, count: int, seed: int) -> Iterator[tuple[Rows, Rows]]:
    from sklearn.model_selection import StratifiedGroupKFold

    members = np.unique(np.array(data.groups)[rows], return_inverse=True)[1]
    chosen = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    for others, part in chosen.split(rows, data.targets[rows], members):
        if len(part) and len(others):
            yield rows[others], rows[part]


def _by_time(rows: Rows, count: int) -> Iterator[tuple[Rows, Rows, Rows]]:
    from sklearn.model_selection import TimeSeriesSplit

    for before, judged in TimeSeriesSplit(count).split(rows):
        first = round(len(before) * (1 - _SHARE))
        yield rows[before[:first]], rows[before[first:]], rows[judged]


def _groups(data: Dataset, rows: Rows) -> int:
    return len(set(np.array(data.groups)[rows]))
