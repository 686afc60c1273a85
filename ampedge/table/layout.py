"""Where in a file the table is: what separates its columns, which line is its header, which lines are no part of it."""

import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from ampedge.errors import DataError, UsageError
from ampedge.table.cells import BLANKS, NUMBERS, is_error, is_missing

SEPARATORS = {",": "','", ";": "';'", "\t": "tab", "|": "'|'"}
"""The separators that are recognised, as `--sep` names them."""
COMMENT_MARKS = ("#", "//")

_EXCEL_HINT = re.compile(r"sep=(.)\r?\n?", re.IGNORECASE)
_ROWS_BELOW = 20
"""So many rows below a header are looked at for a number."""


@dataclass(frozen=True, slots=True)
class Row:
    """The cells of one row and the line of the file on which it begins, counted from 1."""

    line: int
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """`header` is the row of the names; the rows begin behind `skip` lines of the file, that of the header included."""

    sep: str
    header: Row
    skip: int
    notes: tuple[str, ...]


def checked_separator(sep: str | None) -> str | None:
    """The separator that an option names; raises UsageError for what separates no columns."""
    sep = {"tab": "\t", "\\t": "\t"}.get(sep or "", sep)
    if sep is not None and (len(sep) != 1 or sep in '"\r\n\0 .' or sep.isalnum()):
        raise UsageError(f"--sep {sep!r}: that separates no columns.", "Give one of --sep ',' ';' '|' tab.")
    return sep


def recognised_layout(path: Path, sample: Sequence[str], sep: str | None) -> Layout:
    """The layout that the first lines show; raises DataError where two are equally good, or none is there."""
    hint = _EXCEL_HINT.fullmatch(sample[0]) if sample else None
    sep = sep or (_hinted(path, hint[1]) if hint else None)
    blanked = [line if not _is_mark(line) else "\n" for line in sample]
    if hint:
        blanked[0] = "\n"
    if not any(line.strip() for line in blanked):
        what = "has no rows, only comments" if any(map(_is_mark, sample)) else "is empty"
        raise DataError(f"{path} {what}.", "Give a table with a header line and rows.")
    if sep is None:
        sep = _recognised_separator(path, blanked)
    notes = [] if sep == "," else [f"The columns are separated by {SEPARATORS.get(sep, repr(sep))}."]
    found = list(_sampled(blanked, sep))
    if not found:
        for _ in records(path, blanked, sep):
            pass
        raise DataError(f"{path} is empty.", "Give a table with a header line and rows.")
    place = _header_place([row for row, _ in found])
    header, end = found[place]
    skip = end
    comments = [at for at, line in enumerate(sample[: header.line - 1]) if _is_mark(line)]
    behind = _behind_a_mark(sample, comments, sep, header)
    if behind is not None and not _names(header.cells):
        skip = header.line - 1
        header = behind
        comments = [at for at in comments if at != behind.line - 1]
        notes.append(f"The header in line {behind.line} stands behind a '#'.")
    if place:
        first = found[0][0].line
        notes.append(
            f"Line {first} before the header was passed over."
            if first == header.line - 1
            else f"Lines {first} to {header.line - 1} before the header were passed over."
        )
    elif comments:
        notes.append(f"Comments before the header were passed over: {len(comments)}.")
    return Layout(sep, header, skip, tuple(notes))


def records(path: Path, lines: Iterable[str], sep: str) -> Iterator[tuple[list[str], int]]:
    """(cells, the last of the lines that belong to them) for each record."""
    reader = csv.reader(lines, delimiter=sep, strict=True)
    line = 0
    try:
        for cells in reader:
            line = reader.line_num
            yield cells, line
    except csv.Error as error:
        raise quoting_error(path, line + 1, error) from error


def quoting_error(path: Path, line: int, error: csv.Error) -> DataError:
    """The error of a row that csv cannot take apart."""
    return DataError(
        f"{path}, the row that begins in line {line}: {error}.",
        "Look for a quotation mark that is not closed or that stands inside a cell.",
    )


def is_comment(line: str, sep: str, width: int) -> bool:
    """Whether a line of the body is a comment: it begins as one, and it has not the fields of a row."""
    return _is_mark(line) and len(_split(line, sep)) != width


def is_blank(cells: Iterable[str]) -> bool:
    """Whether a row holds nothing at all."""
    return not any(cell and not cell.isspace() for cell in cells)


def _is_mark(line: str) -> bool:
    if not line.startswith(COMMENT_MARKS):
        return False
    start = re.split(r"[,;\t|\r\n]", line, maxsplit=1)[0]
    return not is_error(start)


def _split(line: str, sep: str) -> list[str]:
    with suppress(csv.Error):
        return next(csv.reader([line.rstrip("\r\n")], delimiter=sep, strict=True), [])
    return []


def _hinted(path: Path, sep: str) -> str | None:
    """The separator that the first line of a spreadsheet's file names."""
    try:
        return checked_separator(sep)
    except UsageError as error:
        raise DataError(f"{path}, line 1: 'sep={sep}' names no separator.", error.remedy) from error


def _sampled(lines: Iterable[str], sep: str) -> Iterator[tuple[Row, int]]:
    """(row, the line on which it ends) for each that holds anything; the sample may end inside a cell."""
    line = 1
    with suppress(DataError):  # the real reading reports what is wrong
        for cells, end in records(Path(), lines, sep):
            if not is_blank(cells):
                yield Row(line, tuple(cells)), end
            line = end + 1


def _recognised_separator(path: Path, lines: Sequence[str]) -> str:
    """The separator that splits the rows as it splits the header."""
    shares = {}
    for sep in SEPARATORS:
        rows = [row for row, _ in _sampled(lines, sep)]
        widths = [len(row.cells) for row in rows[_header_place(rows) :]]
        if widths and widths[0] > 1:
            shares[sep] = widths.count(widths[0]) / len(widths)
    best = [sep for sep, share in shares.items() if share == max(shares.values())]
    if len(best) > 1:
        names = " and ".join(SEPARATORS[sep] for sep in best)
        options = " or ".join(f"--sep {SEPARATORS[sep]}" for sep in best)
        raise DataError(f"{path}: {names} separate its columns equally well.", f"Say which it is with {options}.")
    if best == [","]:
        _refuse_commas_in_the_header_alone(path, lines)
    return best[0] if best else ","


def _refuse_commas_in_the_header_alone(path: Path, lines: Sequence[str]) -> None:
    """Raise DataError where another separator makes as many columns of each row, with a number, but none of the header.

    `a,b` above `1,5;2` would otherwise be a table of the columns 1 and `5;2`.
    """
    rows = [row for row, _ in _sampled(lines, ",")]
    header, *body = rows[_header_place(rows) :]
    for sep in SEPARATORS.keys() - {","}:
        below = [row.cells for row, _ in _sampled(lines, sep) if row.line > header.line]
        if not body or len(below) < len(body) or any(sep in name for name in header.cells):
            continue
        if all(len(cells) == len(header.cells) and _has_number(cells) for cells in below):
            raise DataError(
                f"{path}: ',' separates the header (line {header.line}), {SEPARATORS[sep]} the rows below it.",
                f"Write the same in all lines, or say --sep ',' if {SEPARATORS[sep]} belongs into the cells.",
            )


def _header_place(rows: Sequence[Row]) -> int:
    """Which of the rows is the header: the first, or the one behind a logger's lines on itself.

    Those fill half the columns at most, the header has a name for each column, and most rows behind it
    have numbers: at a wrong separator a short row alone may end in one.
    A first row that lacks just one name is a header, and as such an error.
    """
    if not rows:
        return 0
    width = Counter(len(row.cells) for row in rows).most_common(1)[0][0]
    before = len(list(takewhile(lambda row: len(_filled(row.cells)) <= width // 2, rows)))
    if not 0 < before < len(rows):
        return 0
    below = [row for row in rows[before + 1 : before + 1 + _ROWS_BELOW] if len(row.cells) == width]
    is_header = len(rows[before].cells) == width and _names(rows[before].cells)
    return before if is_header and 2 * sum(_has_number(row.cells) for row in below) > len(below) else 0


def _filled(cells: Sequence[str]) -> Sequence[str]:
    """The cells without the empty ones at the end, which a spreadsheet adds."""
    last = max((at for at, cell in enumerate(cells) if cell.strip()), default=-1)
    return cells[: last + 1]


def _names(cells: Sequence[str]) -> bool:
    """Whether the cells can be the names of columns: each says something else, none a number.

    The last one may be empty, behind a separator that ends the line.
    """
    names = [cell.strip() for cell in cells]
    if len(names) > 1 and not names[-1]:
        names.pop()
    return not any(is_missing(name) for name in names) and len({*names}) == len(names) and not _has_number(names)


def _has_number(cells: Iterable[str]) -> bool:
    return any(pattern.fullmatch(cell.strip(BLANKS)) for cell in cells for pattern in NUMBERS.values())


def _behind_a_mark(sample: Sequence[str], comments: Sequence[int], sep: str, first: Row) -> Row | None:
    """The last comment before the first row that has as many names as the row has cells: a header behind a mark."""
    for at in reversed(comments):
        cells = _split(sample[at], sep)
        cells[:1] = [cell.lstrip("#/").strip() or "#" for cell in cells[:1]]
        if 1 < len(cells) == len(first.cells) and _names(cells):
            return Row(at + 1, tuple(cells))
    return None
