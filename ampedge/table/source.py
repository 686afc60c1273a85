"""The rows of a file, batch by batch, as often as they are asked for."""

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from io import TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import IO

from ampedge.errors import DataError
from ampedge.formulas import unescaped
from ampedge.table.cells import shown
from ampedge.table.header import BOM, Header, no_name
from ampedge.table.layout import Layout, is_blank, is_comment, quoting_error

_BATCH_ROWS = 1 << 12
_BATCH_CELLS = 1 << 19
_BATCH_BYTES = 1 << 25
_SHOWN_NAMES = 8
_MOST_FOUND = 100_000
"""So many lines of a kind are kept."""

Progress = Callable[[int, int], None]
"""Is told after each batch: bytes of the file read, bytes that it has."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Some whole rows in file order; `lines` holds the line on which each begins."""

    lines: list[int]
    rows: list[list[str]]


class Found(list[int]):
    """The first of many numbers, in order; `total` is how many there were."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def append(self, number: int) -> None:
        self.total += 1
        if self.total <= _MOST_FOUND:
            super().append(number)


@dataclass(slots=True)
class LeftOut:
    """What was no row of the table: the lines of each kind, and how many fields each of the `ragged` has."""

    ragged: Found = field(default_factory=Found)
    fields: Found = field(default_factory=Found)
    repeated: Found = field(default_factory=Found)
    comments: Found = field(default_factory=Found)
    blank: Found = field(default_factory=Found)

    def notes(self) -> list[str]:
        """A sentence on each kind."""
        found = []
        if self.ragged:
            dropped = f"{counted(self.ragged.total, 'row')} with too few or too many fields dropped"
            found.append(f"{dropped}, the first in line {self.ragged[0]}.")
        if self.repeated:
            found.append(f"{counted(self.repeated.total, 'repetition')} of the header skipped.")
        if self.comments:
            found.append(f"{counted(self.comments.total, 'comment')} between the rows skipped.")
        return found


@dataclass(slots=True)
class Source:
    """A file that was looked over, and how it is taken apart.

    `marked` says that lines begin as comments do, `extra` that a separator ends every line, header included, so that
    there is an empty column more; `line_bytes` is the mean length of a line.
    """

    path: Path
    encoding: str
    layout: Layout
    header: Header
    marked: bool
    extra: bool
    drop_bad_rows: bool
    line_bytes: int
    left_out: LeftOut = field(default_factory=LeftOut)
    _stamp: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        self._stamp = self._now()

    def batches(self, progress: Progress | None = None) -> Iterator[Batch]:
        """Every whole row; raises DataError where the file is damaged, ragged, or no longer the one that was read."""
        if self._now() != self._stamp:
            raise DataError(f"{self.path} has changed since it was read.", "Start again when nothing writes to it.")
        self.left_out = LeftOut()
        whole = 0
        first_ragged: list[str] = []
        with self.path.open("rb") as raw, TextIOWrapper(raw, self.encoding, newline="") as file:
            lines = _Lines(self, file, self.left_out.comments)
            for records, ends, start in lines.batches():
                batch, ragged = self._whole(records, ends, start)
                whole += len(batch.rows)
                if ragged:
                    first_ragged = first_ragged or ragged
                    if not self.drop_bad_rows:
                        raise self._ragged_error(first_ragged)
                if progress is not None:
                    progress(raw.tell(), self._stamp[0])
                if batch.rows:
                    yield batch
        if self.left_out.ragged.total > whole:
            raise self._ragged_error(first_ragged)

    @property
    def batch_rows(self) -> int:
        """So many rows at once take little memory."""
        return max(1, min(_BATCH_ROWS, _BATCH_CELLS // self.width, _BATCH_BYTES // max(1, self.line_bytes)))

    @property
    def width(self) -> int:
        """Fields of a row."""
        return len(self.header.names) + self.extra

    def _now(self) -> tuple[int, int]:
        found = self.path.stat()
        return found.st_size, found.st_mtime_ns

    def _whole(self, records: list[list[str]], ends: list[int], start: int) -> tuple[Batch, list[str]]:
        """(the rows with a cell for each column, the first row that has not)"""
        lines = [start + 1, *(end + 1 for end in ends[:-1])]
        width, names = self.width, {*self.header.names, *self.header.written}
        doubtful = [
            at
            for at, cells in enumerate(records)
            if len(cells) != width
            or not (cell := cells[0].strip())
            or cell in names
            or cell[0] == BOM
            or cell[-1] in ")]"
        ]
        comments = {*self.left_out.comments[-len(records) :]}
        bad: list[str] = []
        dropped: set[int] = set()
        for at in doubtful:
            cells = records[at]
            if is_blank(cells):
                if lines[at] not in comments:
                    self.left_out.blank.append(lines[at])
                dropped.add(at)
            elif len(cells) != width:
                if not self.left_out.ragged:
                    bad = cells
                self.left_out.ragged.append(lines[at])
                self.left_out.fields.append(len(cells))
                dropped.add(at)
            elif self.header.is_in(cells):
                self.left_out.repeated.append(lines[at])
                dropped.add(at)
            elif self.header.is_followed_by(cells):
                raise self._another_header(lines[at], cells)
        if dropped:
            lines = [line for at, line in enumerate(lines) if at not in dropped]
            records = [cells for at, cells in enumerate(records) if at not in dropped]
        if self.extra:
            for cells in records:
                if cells.pop().strip():
                    raise no_name(self.path, self.layout.header.line, width, width)
        return Batch(lines, records), bad

    def _another_header(self, line: int, cells: list[str]) -> DataError:
        names = ", ".join(map(shown, cells[:_SHOWN_NAMES])) + (", ..." if len(cells) > _SHOWN_NAMES else "")
        return DataError(
            f"{self.path}, line {line}: another header begins there ({names}); the columns below it are not those of "
            f"line {self.layout.header.line}.",
            "Make a table of its own of each part, or bring them to the same columns and units.",
        )

    def _ragged_error(self, cells: list[str]) -> DataError:
        remedy = "Mend the line, or leave such rows out with --drop-bad-rows."
        if len(cells) > self.width:
            remedy += " If every row has a field more than the header, a column name is missing."
            if self.layout.sep == ",":
                remedy += " If the comma is the decimal sign, save the table with ';' between the columns."
        return DataError(
            f"{self.path}, line {self.left_out.ragged[0]}: {counted(len(cells), 'field')} under a header of "
            f"{counted(self.width, 'column')}.",
            remedy,
        )


class _Lines:
    """The records of an open file, and the comments between them."""

    def __init__(self, source: Source, file: IO[str], comments: Found) -> None:
        self._source = source
        self._file = file
        self._at_start = True
        self._comments = comments

    def batches(self) -> Iterator[tuple[list[list[str]], list[int], int]]:
        """(records, the last line of each, the last line before them)"""
        layout = self._source.layout
        for _ in islice(self._file, layout.skip):
            pass
        reader = csv.reader(
            self._without_comments() if self._source.marked else self._file, delimiter=layout.sep, strict=True
        )
        end = layout.skip
        while True:
            records, ends, start = [], [], end
            failure: csv.Error | None = None
            try:
                for cells in islice(reader, self._source.batch_rows):
                    records.append(cells)
                    ends.append(reader.line_num)
                    self._at_start = True
            except csv.Error as error:
                failure = error
            if records:
                ends = [line + layout.skip for line in ends]
                end = ends[-1]
                yield records, ends, start
            if failure is not None:
                raise quoting_error(self._source.path, end + 1, failure) from failure
            if not records:
                return

    def _without_comments(self) -> Iterator[str]:
        """The lines of the file, an empty one for each comment."""
        layout, width = self._source.layout, self._source.width
        for at, line in enumerate(self._file, layout.skip + 1):
            if self._at_start and is_comment(line, layout.sep, width):
                self._comments.append(at)
                yield "\n"
            else:
                self._at_start = False
                yield line


def unescaped_cells(cells: Sequence[str]) -> tuple[str, ...]:
    """The texts of a row, without the apostrophe before what would be a formula."""
    return tuple(unescaped(cell) if cell[:1] == "'" else cell for cell in cells)


def counted(count: int, noun: str) -> str:
    """A number with its noun."""
    return f"{count} {noun}{'' if count == 1 else 's'}"
