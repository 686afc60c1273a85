"""The edge-safe table reader: CSV as spreadsheets, loggers and people write it, read without guessing.

Encoding, separator and decimal sign are recognised where the file leaves no doubt; otherwise the file is
refused with the option to give.  Cells stay text: `number` says what counts as a number.
"""

import codecs
import csv
import math
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from ampedge.errors import DataError, UsageError, did_you_mean

SEPARATORS = {",": "','", ";": "';'", "\t": "tab", "|": "'|'"}
"""The separators that are recognised, as `--sep` names them."""

_SAMPLE_LINES = 200
_CHUNK_BYTES = 1 << 20
_LONGEST_LINE = 1 << 22
_SHOWN = 60
_NUMBERS = {
    sign: re.compile(rf"[+-]?(?:[0-9]+(?:{sign}[0-9]*)?|{sign}[0-9]+)(?:[eE][+-]?[0-9]+)?") for sign in (r"\.", ",")
}
_THOUSANDS = re.compile(r"[+-]?[1-9][0-9]{0,2}[,.][0-9]{3}")
_EXCEL_HINT = re.compile(r"sep=(.)\r?\n?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Row:
    """The cells of one row and the line of the file on which it begins, counted from 1."""

    line: int
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A table as it was read; every row has one cell for each of `columns`.

    `decimal` is the decimal sign for `number`; `notes` are sentences on what was recognised or left out.
    """

    path: Path
    columns: tuple[str, ...]
    rows: list[Row]
    decimal: str
    notes: tuple[str, ...]

    def column(self, name: str) -> int:
        """The place of a column; raises DataError with the nearest match."""
        if name in self.columns:
            return self.columns.index(name)
        folded = {column.casefold(): column for column in self.columns}
        near = folded.get(name.casefold())
        hint = f"did you mean {near!r}?" if near else did_you_mean(name, self.columns)
        raise DataError(
            f"{self.path} has no column {name!r}" + (f"; {hint}" if hint else "."),
            "Its columns are: " + ", ".join(self.columns) + ".",
        )


def number(text: str, decimal: str = ".") -> float | None:
    """The number in a cell, None for anything else.

    Plain decimals and exponents only: nan, inf, 1e999, hexadecimal, underscores and thousands separators
    are not numbers.
    """
    text = text.strip(" \t")
    if not _NUMBERS[r"\." if decimal == "." else ","].fullmatch(text):
        return None
    value = float(text if decimal == "." else text.replace(",", "."))
    return value if math.isfinite(value) else None


def read_table(path: Path, *, sep: str | None = None, decimal: str | None = None, drop_bad_rows: bool = False) -> Table:
    """Read a whole table; raises DataError with the line where it cannot be read without guessing.

    `sep` (one character, or "tab") and `decimal` ("." or ",") override what would be recognised.
    `drop_bad_rows` leaves out rows with too few or too many fields and counts them in the notes.
    """
    sep = _checked_separator(sep)
    if decimal not in (None, ".", ","):
        raise UsageError(f"--decimal {decimal}: the decimal sign is '.' or ','.", "Give --decimal . or --decimal ,")
    try:
        return _read(path, sep, decimal, drop_bad_rows)
    except OSError as error:
        near = did_you_mean(path.name, _neighbours(path)) if isinstance(error, FileNotFoundError) else ""
        raise DataError(
            f"{path} cannot be read: {error.strerror}.",
            f"In its folder: {near}" if near else "Give the path of a CSV file.",
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is not text in {error.encoding}: {error.reason}.", "Save it as CSV in UTF-8."
        ) from error


def shown(cell: str) -> str:
    """A cell as messages quote it, cut where it is long."""
    return repr(cell) if len(cell) <= _SHOWN else f"{cell[:_SHOWN]!r}..."


def _checked_separator(sep: str | None) -> str | None:
    sep = {"tab": "\t", "\\t": "\t"}.get(sep or "", sep)
    if sep is not None and (len(sep) != 1 or sep in '"\r\n\0 .' or sep.isalnum()):
        raise UsageError(f"--sep {sep!r}: that separates no columns.", "Give one of --sep ',' ';' '|' tab.")
    return sep


def _hinted(path: Path, sep: str | None) -> str | None:
    """The separator that the first line of a spreadsheet's file names."""
    try:
        return _checked_separator(sep)
    except UsageError as error:
        raise DataError(f"{path}, line 1: 'sep={sep}' names no separator.", error.remedy) from error


def _neighbours(path: Path) -> list[str]:
    return [file.name for file in path.parent.iterdir() if file.is_file()] if path.parent.is_dir() else []


def _read(path: Path, sep: str | None, decimal: str | None, drop_bad_rows: bool) -> Table:
    encoding, notes = _encoding(path)
    sample = list(islice(_lines(path, encoding), _SAMPLE_LINES))
    hint = _EXCEL_HINT.fullmatch(sample[0]) if sample else None
    sep = sep or _hinted(path, hint[1] if hint else None) or _recognised(path, sample)
    if sep != ",":
        notes.append(f"The columns are separated by {SEPARATORS.get(sep, repr(sep))}.")
    records = _records(path, _lines(path, encoding), sep)
    if hint:
        next(records)
    columns = _header(path, next(records, None), notes)
    signs = _DecimalSigns(path, columns)
    rows = []
    for row in _whole(path, records, columns, notes, sep=sep, drop_bad_rows=drop_bad_rows):
        rows.append(row)
        if decimal is None:
            signs.look(row)
    if not rows:
        raise DataError(f"{path} has a header but no rows.", "Give a table with at least one row below its header.")
    decimal = decimal or signs.verdict(sep)
    if decimal == ",":
        notes.append("The decimal sign is a comma.")
    return Table(path, columns, rows, decimal, tuple(notes))


def _whole(
    path: Path, records: Iterable[Row], columns: tuple[str, ...], notes: list[str], *, sep: str, drop_bad_rows: bool
) -> Iterator[Row]:
    """The rows with a cell for each column; repetitions of the header are left out."""
    ragged, repeated, whole = [], 0, 0
    for row in records:
        if len(row.cells) != len(columns):
            ragged.append(row)
            if not drop_bad_rows:
                break
        elif tuple(cell.strip() for cell in row.cells) == columns:
            repeated += 1
        else:
            whole += 1
            yield row
    if ragged and (not drop_bad_rows or len(ragged) > whole):
        raise _ragged(path, ragged[0], columns, sep)
    if ragged:
        dropped = f"{_counted(len(ragged), 'row')} with too few or too many fields dropped"
        notes.append(f"{dropped}, the first in line {ragged[0].line}.")
    if repeated:
        notes.append(f"{_counted(repeated, 'repetition')} of the header skipped.")


def _encoding(path: Path) -> tuple[str, list[str]]:
    """(encoding, notes): by the mark at the start, by zero bytes, or by trying UTF-8 over the whole file."""
    with path.open("rb") as file:
        start = file.read(_CHUNK_BYTES)
        if not start.strip():
            raise DataError(f"{path} is empty.", "Give a table with a header line and rows.")
        if start.startswith(b"PK\x03\x04"):
            raise DataError(f"{path} is a workbook or an archive, not text.", "Save the sheet as CSV in UTF-8.")
        if not start.strip(b"\0"):
            raise DataError(f"{path} holds nothing but NUL bytes.", "The file is damaged or no text; save it anew.")
        if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return "utf-16", ["The file is in UTF-16."]
        for encoding, zeros in (("utf-16-le", start[1:200:2]), ("utf-16-be", start[0:200:2])):
            if zeros.count(0) > len(zeros) * 0.9:
                return encoding, ["The file is in UTF-16 without a mark."]
        decoder = codecs.getincrementaldecoder("utf-8")()
        lines, chunk = 1, start
        try:
            while chunk:
                decoder.decode(chunk)
                lines += chunk.count(b"\n")
                chunk = file.read(_CHUNK_BYTES)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError as error:
            lines += error.object[: error.start].count(b"\n")
            return "cp1252", [f"The file is not UTF-8 (line {lines}); it was read as Windows-1252."]
    return "utf-8-sig", []


def _lines(path: Path, encoding: str) -> Iterator[str]:
    with path.open(encoding=encoding, newline="") as file:
        for at, line in enumerate(iter(lambda: file.readline(_LONGEST_LINE), ""), 1):
            if len(line) == _LONGEST_LINE:
                raise DataError(f"{path}, line {at}: it is longer than a line of a table.", "Give a CSV file.")
            if "\0" in line:
                raise DataError(
                    f"{path}, line {at}: there is a NUL byte.", "The file is damaged or no text; save it anew."
                )
            yield line


def _records(path: Path, lines: Iterable[str], sep: str) -> Iterator[Row]:
    """The rows that hold anything at all, each with the line on which it begins."""
    reader = csv.reader(lines, delimiter=sep, strict=True)
    line = 1
    try:
        for cells in reader:
            if any(cell and not cell.isspace() for cell in cells):
                yield Row(line, tuple(cells))
            line = reader.line_num + 1
    except csv.Error as error:
        raise DataError(
            f"{path}, the row that begins in line {line}: {error}.",
            "Look for a quotation mark that is not closed or that stands inside a cell.",
        ) from error


def _recognised(path: Path, sample: Sequence[str]) -> str:
    """The separator that splits the rows as it splits the header."""
    shares = {}
    for sep in SEPARATORS:
        widths: list[int] = []
        with suppress(DataError):  # the sample may end inside a cell; the real reading reports what is wrong
            for row in _records(path, sample, sep):
                widths.append(len(row.cells))
        if widths and widths[0] > 1:
            shares[sep] = widths.count(widths[0]) / len(widths)
    best = [sep for sep, share in shares.items() if share == max(shares.values())]
    if len(best) > 1:
        names = " and ".join(SEPARATORS[sep] for sep in best)
        options = " or ".join(f"--sep {SEPARATORS[sep]}" for sep in best)
        raise DataError(f"{path}: {names} separate its columns equally well.", f"Say which it is with {options}.")
    return best[0] if best else ","


def _header(path: Path, row: Row | None, notes: list[str]) -> tuple[str, ...]:
    if row is None:
        raise DataError(f"{path} is empty.", "Give a table with a header line and rows.")
    columns = tuple(cell.strip() for cell in row.cells)
    for at, name in enumerate(columns, 1):
        if not name:
            raise DataError(
                f"{path}, line {row.line}: column {at} of {len(columns)} has no name.",
                "Name it in the header or delete it (a separator at the end of the line makes an empty one).",
            )
        if unseen := [sign for sign in name if unicodedata.category(sign) in ("Cc", "Cf") and not sign.isspace()]:
            raise DataError(
                f"{path}, line {row.line}: the name of column {at}, {shown(name)}, holds a character that cannot be "
                f"seen (U+{ord(unseen[0]):04X}).",
                "Type the name anew in the header.",
            )
        if name in columns[: at - 1]:
            raise DataError(
                f"{path}, line {row.line}: two columns are named {name!r}.", "Rename or delete one of them."
            )
    stripped = [name for name, cell in zip(columns, row.cells, strict=True) if name != cell]
    if stripped:
        notes.append("Outer spaces were taken off the column names " + ", ".join(stripped) + ".")
    return columns


def _ragged(path: Path, row: Row, columns: Sequence[str], sep: str) -> DataError:
    remedy = "Mend the line, or leave such rows out with --drop-bad-rows."
    if len(row.cells) > len(columns):
        remedy += " If every row has a field more than the header, a column name is missing."
        if sep == ",":
            remedy += " If the comma is the decimal sign, save the table with ';' between the columns."
    return DataError(
        f"{path}, line {row.line}: {_counted(len(row.cells), 'field')} under a header of "
        f"{_counted(len(columns), 'column')}.",
        remedy,
    )


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


@dataclass(slots=True)
class _DecimalSigns:
    """What the cells seen so far say about the decimal sign."""

    path: Path
    columns: Sequence[str]
    point: str = ""
    comma: str = ""
    doubtful: str = ""
    doubtful_point: str = ""

    def look(self, row: Row) -> None:
        """Keep the first cell of each kind, as `line, column: cell`."""
        for name, cell in zip(self.columns, row.cells, strict=True):
            if "," in cell:
                text = cell.strip(" \t")
                if not self.comma and _NUMBERS[","].fullmatch(text):
                    where = f"line {row.line}, column {name!r}: {text!r}"
                    if _THOUSANDS.fullmatch(text):
                        self.doubtful = self.doubtful or where
                    else:
                        self.comma = where
            elif not self.point and "." in cell:
                text = cell.strip(" \t")
                if _NUMBERS[r"\."].fullmatch(text):
                    where = f"line {row.line}, column {name!r}: {text!r}"
                    if _THOUSANDS.fullmatch(text):
                        self.doubtful_point = self.doubtful_point or where
                    else:
                        self.point = where

    def verdict(self, sep: str) -> str:
        """The sign, or DataError where the cells leave a doubt; where commas separate, a point is the decimal one."""
        comma, point = self.comma or self.doubtful, self.point or self.doubtful_point
        remedy = "Say which sign is the decimal one: --decimal ',' or --decimal '.'; the other then makes a text."
        if comma and point:
            raise DataError(f"{self.path} has decimal commas ({comma}) and decimal points ({point}).", remedy)
        if self.doubtful and not self.comma:
            raise DataError(
                f"{self.path}, {self.doubtful}: the comma may be a decimal comma or a thousands separator.",
                "Say --decimal ',' if it is the decimal comma. Thousands separators must be taken out of the file.",
            )
        if self.doubtful_point and not self.point and sep != ",":
            raise DataError(
                f"{self.path}, {self.doubtful_point}: the point may be a decimal point or a thousands separator.",
                "Say --decimal '.' if it is the decimal point. Thousands separators must be taken out of the file.",
            )
        return "," if self.comma else "."
