"""The folds: every row is judged once, groups stay whole, nothing is judged by what came after it."""

from pathlib import Path

import numpy as np
import pytest

from ampedge.datamap import laid_out
from ampedge.errors import DataError
from ampedge.table import Texts
from ampedge.training.rows.dataset import Dataset
from ampedge.training.rows.folds import Fold, folds, unlearned
from ampedge.training.settings import TableSettings

PLAIN = TableSettings()


def data(targets: list[int], groups: list[str] | None = None) -> Dataset:
    """One feature that counts the rows."""
    rows = len(targets)
    return Dataset(
        path=Path("data.csv"),
        datamap=laid_out(["x"]),
        values=np.arange(rows, dtype=np.float64)[:, np.newaxis],
        classes=tuple("abcdefghijkl"[: max(targets) + 1]),
        targets=np.array(targets, dtype=np.int32),
        groups=None if groups is None else Texts(np.arange(rows), groups),
        kept=None,
        notes=(),
        chosen_by="table",
    )


def parts(fold: Fold) -> tuple[list[int], list[int], list[int]]:
    return fold.training.tolist(), fold.validation.tolist(), fold.judged.tolist()


def test_every_row_is_judged_once_and_each_part_has_each_class() -> None:
    table = data([0, 1, 1, 2, 2, 2] * 20)
    rows = np.arange(10, 110)  # the others are none of its business
    found = folds(table, rows, PLAIN, count=5, seed=1)
    assert sorted(row for fold in found for row in fold.judged) == rows.tolist()
    for fold in found:
        assert sorted(np.concatenate(parts(fold))) == rows.tolist()
        assert len(fold.validation) == round(80 * 15 / 85)
        assert all(set(table.targets[part]) == {0, 1, 2} for part in parts(fold))
    assert [parts(fold) for fold in folds(table, rows, PLAIN, count=5, seed=1)] == [parts(fold) for fold in found]
    assert [parts(fold) for fold in folds(table, rows, PLAIN, count=5, seed=2)] != [parts(fold) for fold in found]


def test_many_small_classes_have_a_row_to_calibrate_on() -> None:
    table = data(list(range(12)) * 10)
    for fold in folds(table, np.arange(120), PLAIN, count=2, seed=1):
        assert len(set(table.targets[fold.validation])) == 12


def test_too_few_rows_of_a_class_are_named() -> None:
    with pytest.raises(DataError, match=r"data\.csv: 3 rows of 'b' cannot be shared out to 4 folds"):
        folds(data([0] * 30 + [1] * 3), np.arange(33), PLAIN, count=4, seed=1)


def test_a_group_is_never_on_two_sides() -> None:
    names = [f"run {row // 5}" for row in range(100)]
    table = data([row // 5 % 2 for row in range(100)], names)
    found = folds(table, np.arange(100), TableSettings(group="run"), count=4, seed=1)
    assert len(found) == 4
    assert sorted(row for fold in found for row in fold.judged) == list(range(100))
    for fold in found:
        of_part = [{names[row] for row in part} for part in parts(fold)]
        assert all(of_part)
        assert sum(map(len, of_part)) == 20
        assert set(table.targets[fold.training]) == set(table.targets[fold.validation]) == {0, 1}


def test_too_few_groups_are_named() -> None:
    table = data([0, 1] * 20, ["first", "second", "third", "third"] * 10)
    for count in (2, 4):
        with pytest.raises(DataError, match=f"column 'run': 3 groups are too few for {count} folds"):
            folds(table, np.arange(40), TableSettings(group="run"), count=count, seed=1)
    assert len(folds(table, np.arange(40), TableSettings(group="run"), count=3, seed=1)) == 3


def test_in_the_order_of_time_each_fold_is_judged_by_what_came_before() -> None:
    found = folds(data([0, 1] * 30), np.arange(60), TableSettings(time_order=True), count=5, seed=1)
    assert [fold.judged.tolist() for fold in found] == [list(range(at, at + 10)) for at in range(10, 60, 10)]
    for fold in found:
        training, validation, judged = parts(fold)
        assert training + validation == list(range(judged[0]))
        assert len(training) == round(judged[0] * (1 - 15 / 85))


def test_a_class_that_comes_too_late_to_be_learned_is_found() -> None:
    table = data([0] * 20 + [0, 1] * 20)
    first, second, third = folds(table, np.arange(60), TableSettings(time_order=True), count=3, seed=1)
    assert unlearned(table, first) == ["b"]
    assert unlearned(table, second) == unlearned(table, third) == []
