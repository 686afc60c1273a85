"""From a table to rows that a network can be trained on; a bad cell is an error that names its line."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from ampedge.datamap import DataMap, laid_out
from ampedge.errors import DataError, UsageError
from ampedge.modbus.codec import with_held_ends
from ampedge.model.network import Matrix
from ampedge.settings import TagSection
from ampedge.table import Row, Table, number, shown
from ampedge.training.classes import check_sizes, labels
from ampedge.training.columns import measurements
from ampedge.training.settings import TableSettings

Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Dataset:
    """Rows in file order, every cell a number and every label a class.

    `values` has shape (rows, features); `targets` holds each row's place in `classes`, which are sorted; `lines` are
    those of the file.
    """

    path: Path
    datamap: DataMap
    values: Matrix
    classes: tuple[str, ...]
    targets: NDArray[np.int32]
    lines: tuple[int, ...]
    groups: tuple[str, ...] | None
    notes: tuple[str, ...]
    chosen_by: Literal["table", "features", "tags"]

    @property
    def features(self) -> tuple[str, ...]:
        return self.datamap.names

    def names(self, rows: NDArray[np.intp]) -> list[str]:
        """The class of each of these rows."""
        return [self.classes[place] for place in self.targets[rows]]

    def without(self, name: str) -> str:
        """How the user leaves a feature out, to begin a remedy with."""
        if self.chosen_by == "table":
            return f"Leave it out with --drop {shlex.quote(name)}"
        return "Take it out of --features" if self.chosen_by == "features" else "Take its tag out of the config"


def dataset(table: Table, settings: TableSettings, datamap: DataMap | None = None) -> Dataset:
    """The rows of `table`; the features are the tags of `datamap` where it is given.

    Raises DataError at the first bad row, or with `drop_bad_rows` leaves such rows out and counts them.
    """
    chosen_by: Literal["table", "features", "tags"] = (
        "tags" if datamap is not None else "table" if settings.features is None else "features"
    )
    found, notes = labels(table, settings.label)
    if datamap is not None:
        settings = _with_tags(table, settings, datamap)
    columns, more = measurements(table, settings)
    if datamap is None:
        datamap = _laid_out(table, list(columns))
    datamap = datamap.ordered(list(columns))
    values = np.column_stack(list(columns.values()))
    faults = _Faults(table, settings, datamap, values, found)
    if faults.any and not settings.drop_bad_rows:
        raise faults.error()
    good = ~faults.rows
    if not good.any():
        raise faults.error(f"All {len(table.rows)} rows have a bad cell. ")
    kept = [name for name, fit in zip(found, good, strict=True) if fit]
    notes = [*table.notes, *notes, *more, *faults.notes(), *check_sizes(table, settings.label, kept)]
    classes = tuple(sorted(set(kept)))
    groups = None
    if settings.group is not None:
        place = table.column(settings.group)
        groups = tuple(row.cells[place].strip() for row, fit in zip(table.rows, good, strict=True) if fit)
    places = {name: place for place, name in enumerate(classes)}
    targets = np.array([places[name] for name in kept], dtype=np.int32)
    lines = tuple(row.line for row, fit in zip(table.rows, good, strict=True) if fit)
    return Dataset(table.path, datamap, values[good], classes, targets, lines, groups, tuple(notes), chosen_by)


def _with_tags(table: Table, settings: TableSettings, datamap: DataMap) -> TableSettings:
    """The settings with the tags as features; raises an error where they disagree with options or table."""
    wanted = settings.features if settings.features is not None else datamap.names
    differing = sorted({*wanted} ^ {*datamap.names}) or sorted({*settings.drop} & {*datamap.names})
    if differing:
        raise UsageError(
            f"The features are not the tags of the config: they differ in {', '.join(map(repr, differing))}.",
            "Give the same names under [[tags]] and in the options, or leave the options away.",
        )
    for name in wanted:
        try:
            table.column(name)
        except DataError as error:
            raise DataError(
                f"The config has the tag {name!r}, but {error.problem}",
                f"Give tag and column the same name. {error.remedy}",
            ) from error
    return replace(settings, features=wanted, drop=())


def _laid_out(table: Table, names: Sequence[str]) -> DataMap:
    for name in names:
        try:
            TagSection(name=name, address=0)
        except ValidationError as error:
            why = error.errors()[0]["msg"].removeprefix("Value error, ")
            raise DataError(
                f"{table.path}: the column {name!r} cannot be the name of a tag: {why}.",
                f"Rename it in the header, or leave it out with --drop {shlex.quote(name)}.",
            ) from error
    return laid_out(names)


class _Faults:
    """Every bad cell of the columns that are used."""

    def __init__(
        self, table: Table, settings: TableSettings, datamap: DataMap, values: Matrix, found: list[str]
    ) -> None:
        self._table = table
        self._droppable = datamap.names if settings.features is None else ()
        self._valid = {tag.name: tag.valid for tag in datamap.tags if tag.valid is not None}
        self._columns = [settings.label, *datamap.names]
        cells: list[Flags] = [np.array([not name for name in found]), *np.isnan(values).T]
        for place, tag in enumerate(datamap.tags):
            if (valid := with_held_ends(tag).valid) is not None:  # as serve judges them, and collect has written them
                column = values[:, place]
                cells[1 + place] = ~((column >= valid[0]) & (column <= valid[1]))
        if settings.group is not None:
            group = table.column(settings.group)
            self._columns.append(settings.group)
            cells.append(np.array([not row.cells[group].strip() for row in table.rows]))
        self._cells: Flags = np.column_stack(cells)
        self.rows: Flags = np.logical_or.reduce(cells)

    @property
    def any(self) -> bool:
        return bool(self.rows.any())

    def error(self, before: str = "") -> DataError:
        """The first bad cell, and how many more there are."""
        at, place = (int(index) for index in np.argwhere(self._cells)[0])
        more = int(self._cells.sum()) - 1
        also = f" There are {more} more bad cells, {int(self.rows.sum())} bad rows in all." if more else ""
        name = self._columns[place]
        return DataError(
            f"{before}{self._table.path}, line {self._table.rows[at].line}, column {name!r}: "
            f"{self._what(self._table.rows[at], place)}.{also}",
            "Mend the table, or leave such rows out with --drop-bad-rows"
            + (f", or the column with --drop {shlex.quote(name)}." if name in self._droppable else "."),
        )

    def _what(self, row: Row, place: int) -> str:
        name = self._columns[place]
        cell = row.cells[self._table.column(name)]
        if not cell.strip():
            return "there is no label" if place == 0 else "the cell is empty"
        if name in self._valid and number(cell, self._table.decimal) is not None:
            low, high = self._valid[name]
            return f"{cell.strip()} is outside the tag's valid range [{low:g}, {high:g}]"
        return f"{shown(cell)} is not a number"

    def notes(self) -> list[str]:
        if not self.any:
            return []
        counts = self._cells.sum(axis=0)
        by_column = ", ".join(f"{name} {n}" for name, n in zip(self._columns, counts, strict=True) if n)
        return [
            f"{int(self.rows.sum())} of {len(self.rows)} rows dropped for a cell that is empty, no number or out of "
            f"range: {by_column}."
        ]
