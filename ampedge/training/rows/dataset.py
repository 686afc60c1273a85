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
from ampedge.table import Table, Texts, fault, number
from ampedge.training.detectors.poison import Poison, poison
from ampedge.training.rows.classes import check_sizes, labels
from ampedge.training.rows.columns import measurements
from ampedge.training.settings import TableSettings

Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Dataset:
    """Rows in file order, every cell a number and every label a class.

    `values` has shape (rows, features); `targets` holds each row's place in `classes`, which are sorted; `kept` tells
    which rows of the table they are, None where they are all.
    """

    path: Path
    datamap: DataMap
    values: Matrix
    classes: tuple[str, ...]
    targets: NDArray[np.int32]
    groups: Texts | None
    kept: Flags | None
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


def dataset(
    table: Table, settings: TableSettings, datamap: DataMap | None = None, *, keep_wild: bool = False
) -> Dataset:
    """The rows of `table`; the features are the tags of `datamap` where it is given.

    Raises DataError at the first bad row, or with `drop_bad_rows` leaves such rows out and counts them.
    Wild values make a row bad where they would spoil a scaler, unless `keep_wild`: for what fits none.
    """
    chosen_by: Literal["table", "features", "tags"] = (
        "tags" if datamap is not None else "table" if settings.features is None else "features"
    )
    found, notes = labels(table, settings.label)
    if datamap is not None:
        settings = with_tags(table, settings, datamap)
    names, more = measurements(table, settings)
    if datamap is None:
        datamap = _laid_out(table, names)
    datamap = datamap.ordered(names)
    values = table.matrix(names)
    groups = None if settings.group is None else _stripped(table.texts(settings.group))
    faults = _Faults(table, settings, datamap, values=values, found=found, groups=groups)
    if faults.any and not settings.drop_bad_rows:
        raise faults.error()
    good = None
    if faults.any:
        good = ~faults.rows
        if not good.any():
            raise faults.error(f"All {len(table)} rows have a bad cell. ")
        values, found, groups = values[good], found[good], groups[good] if groups is not None else None
    believed = [tag.name for tag in datamap.tags if tag.valid is not None]
    spoiling = [] if keep_wild else poison(values, found.codes, datamap.names, believed)
    if spoiling:
        if not settings.drop_bad_rows:
            raise _spoiled(table, spoiling[0], good, values[:, datamap.names.index(spoiling[0].column)])
        spared = ~np.logical_or.reduce([one.rows for one in spoiling])
        more.append(_dropped(spoiling, int((~spared).sum()), len(spared)))
        values, found, groups = values[spared], found[spared], groups[spared] if groups is not None else None
        good = _narrowed(good, spared)
    counts = found.counts()
    notes = [
        *table.notes,
        *table.other_units({tag.name: tag.unit for tag in datamap.tags}),
        *notes,
        *faults.notes(),
        *more,
        *check_sizes(table, settings.label, counts),
    ]
    classes = tuple(sorted(counts))
    places = np.array([classes.index(name) if name in counts else -1 for name in found.unique], np.int32)
    return Dataset(table.path, datamap, values, classes, places[found.codes], groups, good, tuple(notes), chosen_by)


def _narrowed(kept: Flags | None, spared: Flags) -> Flags:
    """Which rows of the table are kept, where `spared` says it of those that were kept so far (None: all)."""
    if kept is None:
        return spared
    kept = kept.copy()
    kept[kept] = spared
    return kept


def _spoiled(table: Table, found: Poison, kept: Flags | None, column: Matrix) -> DataError:
    """The error of wild values that would spoil the scaling; `kept` are the rows of the table that were looked at."""
    at = int(found.rows.argmax())
    row = at if kept is None else int(np.flatnonzero(kept)[at])
    more = int(found.rows.sum()) - 1
    also = f" So {'is' if more == 1 else 'are'} {more} more." if more else ""
    return DataError(
        f"{table.path}, line {table.line(row)}, column {found.column!r}: {column[at]:g} is far from all "
        f"others, which go from {found.low:g} to {found.high:g}.{also} "
        f"That widens the standard deviation {found.by:.3g} times, and the network would hardly see the rest.",
        "Mend the table, leave such rows out with --drop-bad-rows, or, where such values are real, state "
        "`valid = [low, high]` of the tag in the config. `ampedge inspect` shows all of them.",
    )


def _dropped(found: Sequence[Poison], dropped: int, rows: int) -> str:
    by_column = ", ".join(f"{one.column} {int(one.rows.sum())}" for one in found)
    return f"{dropped} of {rows} rows dropped for a value that is far from all others: {by_column}."


def with_tags(table: Table, settings: TableSettings, datamap: DataMap) -> TableSettings:
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
    return laid_out(names, {name: table.unit(name) for name in names})


def _stripped(texts: Texts) -> Texts:
    return Texts(texts.codes, [text.strip() for text in texts.unique])


class _Faults:
    """Every bad cell of the columns that are used."""

    def __init__(
        self,
        table: Table,
        settings: TableSettings,
        datamap: DataMap,
        *,
        values: Matrix,
        found: Texts,
        groups: Texts | None,
    ) -> None:
        self._table = table
        self._droppable = datamap.names if settings.features is None else ()
        self._valid = {tag.name: tag.valid for tag in datamap.tags if tag.valid is not None}
        self._columns = [settings.label, *datamap.names]
        self._cells: list[Flags] = [_empty(found), *(np.isnan(column) for column in values.T)]
        for place, tag in enumerate(datamap.tags):
            if (valid := with_held_ends(tag).valid) is not None:  # as serve judges them, and collect has written them
                column = values[:, place]
                self._cells[1 + place] = ~((column >= valid[0]) & (column <= valid[1]))
        if settings.group is not None and groups is not None:
            self._columns.append(settings.group)
            self._cells.append(_empty(groups))
        self.rows: Flags = np.logical_or.reduce(self._cells)

    @property
    def any(self) -> bool:
        return bool(self.rows.any())

    def error(self, before: str = "") -> DataError:
        """The first bad cell, and how many more there are."""
        at = int(self.rows.argmax())
        place = next(place for place, cells in enumerate(self._cells) if cells[at])
        more = sum(int(cells.sum()) for cells in self._cells) - 1
        also = f" There are {more} more bad cells, {int(self.rows.sum())} bad rows in all." if more else ""
        name = self._columns[place]
        return DataError(
            f"{before}{self._table.path}, line {self._table.line(at)}, column {name!r}: {self._what(at, place)}.{also}",
            "Mend the table, or leave such rows out with --drop-bad-rows"
            + (f", or the column with --drop {shlex.quote(name)}." if name in self._droppable else "."),
        )

    def _what(self, row: int, place: int) -> str:
        name = self._columns[place]
        cell = self._table.cell(row, name)
        if place == 0:
            return f"{cell!r} says that there is no label" if cell.strip() else "there is no label"
        if name in self._valid and number(cell, self._table.decimal) is not None:
            low, high = self._valid[name]
            return f"{cell.strip()} is outside the tag's valid range [{low:g}, {high:g}]"
        return fault(cell)

    def notes(self) -> list[str]:
        if not self.any:
            return []
        counts = [int(cells.sum()) for cells in self._cells]
        by_column = ", ".join(f"{name} {n}" for name, n in zip(self._columns, counts, strict=True) if n)
        return [
            f"{int(self.rows.sum())} of {len(self.rows)} rows dropped for a cell that is empty, no number or out of "
            f"range: {by_column}."
        ]


def _empty(texts: Texts) -> Flags:
    """Which rows have no text."""
    empty = np.array([not text for text in texts.unique])
    rows: Flags = empty[texts.codes]
    return rows
