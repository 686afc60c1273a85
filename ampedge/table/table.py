"""A table that was read: its numbers in memory, its texts there or in the file."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ampedge.errors import DataError, did_you_mean
from ampedge.table.columns import Column, Floats, Places, Texts
from ampedge.table.layout import Row
from ampedge.table.source import LeftOut, Source, unescaped_cells

if TYPE_CHECKING:  # loading it costs more than half of NumPy itself
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Table:
    """A table as it was read; every row has one cell for each of `columns`.

    `units` has the unit of each column whose header says it; `decimal` is the decimal sign for `number`;
    `notes` are sentences on what was recognised or left out, `left_out` has the lines of that.
    Rows are counted from 0 in file order.
    """

    path: Path
    columns: tuple[str, ...]
    units: Mapping[str, str]
    decimal: str
    notes: tuple[str, ...]
    left_out: LeftOut
    _source: Source
    _columns: Sequence[Column]
    _lines: "Sequence[NDArray[np.int64] | range]"

    def __len__(self) -> int:
        return sum(map(len, self._lines))

    @property
    def lines(self) -> "NDArray[np.int64]":
        """The line of the file on which each row begins, counted from 1."""
        lines = np.empty(len(self), np.int64)
        at = 0
        for part in self._lines:
            lines[at : at + len(part)] = part
            at += len(part)
        return lines

    @property
    def sep(self) -> str:
        """What separates the columns in the file."""
        return self._source.layout.sep

    @property
    def header(self) -> tuple[int, tuple[str, ...]]:
        """(the line of the header, its cells as they were written)."""
        return self._source.layout.header.line, tuple(self._source.layout.header.cells)

    def line(self, row: int) -> int:
        """The line of the file on which a row begins."""
        for part in self._lines:
            if row < len(part):
                return int(part[row])
            row -= len(part)
        raise IndexError(row)

    def has(self, name: str) -> bool:
        """Whether there is a column of that name, as the header has it or without its unit."""
        return name in self.columns or name in self._source.header.written

    def column(self, name: str) -> int:
        """The place of a column; raises DataError with the nearest match."""
        for names in (self.columns, self._source.header.written):
            if name in names:
                return names.index(name)
        folded = {column.casefold(): column for column in self.columns}
        near = folded.get(name.casefold())
        hint = f"did you mean {near!r}?" if near else did_you_mean(name, self.columns)
        raise DataError(
            f"{self.path} has no column {name!r}" + (f"; {hint}" if hint else "."),
            "Its columns are: " + ", ".join(self.columns) + ".",
        )

    def unit(self, name: str) -> str:
        """The unit of a column as its header has it, else an empty string."""
        return self.units.get(self.columns[self.column(name)], "")

    def other_units(self, units: Mapping[str, str]) -> list[str]:
        """A warning for each column whose header has another unit than `units`; nothing is converted."""
        return [
            f"Warning: the header of {self.path.name} has {name!r} in {self.unit(name)}, the model in {unit}; "
            "the numbers were taken as they stand."
            for name, unit in units.items()
            if unit and self.has(name) and self.unit(name) not in ("", unit)
        ]

    def numbers(self, name: str) -> Floats:
        """The column as numbers, shape (rows,), NaN where a cell holds none; a new array at each call."""
        return self._columns[self.column(name)].numbers()

    def matrix(self, names: Sequence[str]) -> Floats:
        """Columns as numbers, shape (rows, names), filled without a copy of a column."""
        values: Floats = np.empty((len(self), len(names)))
        for place, name in enumerate(names):
            self._columns[self.column(name)].numbers(values[:, place])
        return values

    def odd(self, name: str) -> tuple[Places, Texts]:
        """(the rows of a column that hold no number, in order; their cells)."""
        place = self.column(name)
        rows, cells = self._columns[place].odd()
        if cells is None:
            texts = self.texts(name)
            cells = Texts(texts.codes[rows], texts.unique)
        return rows, cells

    def texts(self, name: str) -> Texts:
        """The column's cells as they were written; where they are many different ones, read from the file again."""
        place = self.column(name)
        held = self._columns[place].texts()
        if held is not None:
            return held
        places: dict[str, int] = {}
        codes = np.empty(len(self), np.int32)
        at = 0
        for batch in self._source.batches():
            cells = [row[place] for row in batch.rows]
            for text in cells:
                places.setdefault(text, len(places))
            codes[at : at + len(cells)] = [places[text] for text in cells]
            at += len(cells)
        return Texts(codes, unescaped_cells([*places]))

    def held(self, name: str) -> Texts | None:
        """The column's cells as they were written where they are in memory, else None."""
        return self._columns[self.column(name)].texts()

    def batches(self, names: Sequence[str]) -> Iterator[list[tuple[str, ...]]]:
        """The cells of these columns as they were written, some rows at once, read from the file again."""
        places = [self.column(name) for name in names]
        for batch in self._source.batches():
            yield [unescaped_cells([row[place] for row in batch.rows]) for place in places]

    def cell(self, row: int, name: str) -> str:
        """One cell as it was written, for a message; it may be read from the file again."""
        place = self.column(name)
        held = self._columns[place].texts()
        return held[row] if held is not None else next(islice(self.rows(), row, None)).cells[place]

    def rows(self) -> Iterator[Row]:
        """Every row with all its cells as texts, read from the file again."""
        for row in self.rows_as_written():
            yield Row(row.line, unescaped_cells(row.cells))

    def rows_as_written(self) -> Iterator[Row]:
        """The same with the apostrophe that keeps a text from being a formula, where the file has it."""
        for batch in self._source.batches():
            for line, cells in zip(batch.lines, batch.rows, strict=True):
                yield Row(line, tuple(cells))


def packed_lines(lines: list[int]) -> "NDArray[np.int64] | range":
    """The lines of a batch in little memory."""
    whole = range(lines[0], lines[-1] + 1)
    return whole if len(whole) == len(lines) else np.array(lines, np.int64)
