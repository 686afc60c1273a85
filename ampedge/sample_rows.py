"""Rows to play into a slave: the published samples file (a value and a register column per tag) and plain CSV."""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ampedge.datamap import DataMap, Tag
from ampedge.errors import DataError
from ampedge.formulas import escaped
from ampedge.modbus.codec import encode
from ampedge.records import Words
from ampedge.table import Row, Table, fault, number, read_table

LABEL = "status"

VALUE_SUFFIX = " (float)"
"""Behind a tag's name in the header of the published form."""
_REGISTERS = re.compile(r"(?P<name>.+?) \[reg\d+(, *reg\d+)*\]")
_REGISTER_CELL = re.compile(r"[\[(] *\d{1,5}( *, *\d{1,5})* *,? *[\])]")


@dataclass(frozen=True, slots=True)
class SampleRow:
    """One row to play: its number counted from 1, its line in the file, its values in the order of the map.

    `label` is what the row should come out as, None where the file does not say.
    """

    number: int
    line: int
    values: tuple[float, ...]
    label: str | None


def read_samples(
    path: Path, datamap: DataMap, *, label: str | None = None, sep: str | None = None, decimal: str | None = None
) -> list[SampleRow]:
    """Every row of a samples file, its columns matched by name to the tags.

    `label` names the column of expected labels; without it, `status` is taken where there is one.
    Columns of no tag are ignored.  A register cell must be the encoding of the value beside it: float32 with
    the high word first, as published, or as the data map has it.
    Raises DataError naming the line, the column and the value.
    """
    table = read_table(path, sep=sep, decimal=decimal)
    columns = [value_column(table, tag.name) for tag in datamap.tags]
    registers = {match["name"]: i for i, name in enumerate(table.columns) if (match := _REGISTERS.fullmatch(name))}
    label_column = None
    if label is not None or LABEL in table.columns:
        label_column = table.column(label or LABEL)
    rows = []
    for count, row in enumerate(table.rows(), start=1):
        values = []
        for tag, column in zip(datamap.tags, columns, strict=True):
            value = _value(table, row, column)
            _encoded(table, row, tag, value)
            if tag.name in registers:
                _compare(table, row, tag, value, registers[tag.name])
            values.append(value)
        rows.append(SampleRow(count, row.line, tuple(values), _label(row, label_column)))
    return rows


def published_form(
    datamap: DataMap, rows: Iterable[Sequence[str]], *, label: str
) -> tuple[list[str], Iterator[list[str]]]:
    """(header, rows) of a samples file; each of `rows` has a number as text for each tag, then the label.

    Each number stands as it was given, with the registers that hold it beside it.
    """
    header = [label]
    for tag in datamap.tags:
        held = ", ".join(f"reg{address}" for address in range(tag.address, tag.end))
        header += [f"{tag.name}{VALUE_SUFFIX}", f"{tag.name} [{held}]"]

    def published() -> Iterator[list[str]]:
        for *values, name in rows:
            cells = [name]
            for tag, text in zip(datamap.tags, values, strict=True):
                cells += [text, f"({', '.join(map(str, encode(tag, float(text))))})"]
            yield cells

    return header, published()


def csv_text(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table as CSV; no text in it is a formula to a spreadsheet."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(escaped, header))
    writer.writerows(map(escaped, row) for row in rows)
    return text.getvalue()


def value_column(table: Table, name: str) -> int:
    """The column of a tag's values, as published or plain; raises DataError with the nearest match."""
    published = name + VALUE_SUFFIX
    if published not in table.columns:
        return table.column(name)
    if name in table.columns:
        raise DataError(
            f"{table.path} has both a column {name!r} and a column {published!r}.", "Leave one of them out."
        )
    return table.columns.index(published)


def _value(table: Table, row: Row, column: int) -> float:
    value = number(row.cells[column], table.decimal)
    if value is None:
        raise DataError(
            f"{_where(table, row, column)}: {fault(row.cells[column])}.",
            "Mend the cell or leave the row out.",
        )
    return value


def _encoded(table: Table, row: Row, tag: Tag, value: float) -> Words:
    try:
        return encode(tag, value)
    except DataError as error:
        raise DataError(f"{table.path}, line {row.line}: {error.problem}", error.remedy) from error


def _compare(table: Table, row: Row, tag: Tag, value: float, column: int) -> None:
    cell = row.cells[column]
    words = tuple(int(word) for word in re.findall(r"\d+", cell)) if _REGISTER_CELL.fullmatch(cell) else None
    published = Tag(tag.name, tag.address)
    if words not in {_encoded(table, row, published, value), _encoded(table, row, tag, value)}:
        raise DataError(
            f"{_where(table, row, column)} is {cell!r}, but the value beside it, {value!r}, "
            f"is {_encoded(table, row, published, value)} as float32.",
            "Mend the one that is wrong, or leave the register columns out.",
        )


def _label(row: Row, column: int | None) -> str | None:
    return (row.cells[column].strip() or None) if column is not None else None


def _where(table: Table, row: Row, column: int) -> str:
    return f"{table.path}, line {row.line}, column {table.columns[column]!r}"
