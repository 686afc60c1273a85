"""The edge-safe table reader: CSV as spreadsheets, loggers and people write it, read without guessing.

Encoding, separator and decimal sign are recognised where the file leaves no doubt; otherwise the file is
refused with the option to give.  The file is looked over once and then read in batches, so that memory holds
columns of numbers and never all of its text.
"""

from itertools import islice
from pathlib import Path

from ampedge.errors import DataError, UsageError, did_you_mean
from ampedge.table.columns import Column
from ampedge.table.decimals import DecimalSigns
from ampedge.table.encoding import looked_over
from ampedge.table.header import parsed_header
from ampedge.table.layout import checked_separator, recognised_layout
from ampedge.table.source import Progress, Source
from ampedge.table.table import Table, packed_lines

_SAMPLE_LINES = 200


def read_table(
    path: Path,
    *,
    sep: str | None = None,
    decimal: str | None = None,
    drop_bad_rows: bool = False,
    progress: Progress | None = None,
) -> Table:
    """Read a whole table; raises DataError with the line where it cannot be read without guessing.

    `sep` (one character, or "tab") and `decimal` ("." or ",") override what would be recognised.
    `drop_bad_rows` leaves out rows with too few or too many fields and counts them in the notes.
    """
    sep = checked_separator(sep)
    if decimal not in (None, ".", ","):
        raise UsageError(f"--decimal {decimal}: the decimal sign is '.' or ','.", "Give --decimal . or --decimal ,")
    try:
        return _read(path, sep, decimal, drop_bad_rows, progress)
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


def _neighbours(path: Path) -> list[str]:
    return [file.name for file in path.parent.iterdir() if file.is_file()] if path.parent.is_dir() else []


def _read(path: Path, sep: str | None, decimal: str | None, drop_bad_rows: bool, progress: Progress | None) -> Table:
    text = looked_over(path)
    with path.open(encoding=text.encoding, newline="") as file:
        sample = list(islice(file, _SAMPLE_LINES))
    layout = recognised_layout(path, sample, sep)
    cells = layout.header.cells
    extra = len(cells) > 1 and not cells[-1].strip() and all(cell.strip() for cell in cells[:-1])
    header = parsed_header(path, layout.header.line, cells[:-1] if extra else cells)
    source = Source(
        path, text.encoding, layout, header, text.marked, extra, drop_bad_rows, path.stat().st_size // text.lines
    )
    signs = DecimalSigns(path)
    columns = [Column(name, decimal, signs) for name in header.names]
    lines = []
    for batch in source.batches(progress):
        for column, column_cells in zip(columns, zip(*batch.rows, strict=True), strict=True):
            column.add(column_cells, batch.lines)
        lines.append(packed_lines(batch.lines))
    if not lines:
        raise DataError(f"{path} has a header but no rows.", "Give a table with at least one row below its header.")
    notes = [*text.notes, *layout.notes, *header.notes]
    if extra:
        notes.append("The empty column behind the last separator was left out.")
    notes += source.left_out.notes()
    sign = decimal or signs.verdict(layout.sep)
    for column in columns:
        column.settle(sign)
    if sign == ",":
        notes.append("The decimal sign is a comma.")
    return Table(path, header.names, header.units, sign, tuple(notes), source.left_out, source, columns, lines)
