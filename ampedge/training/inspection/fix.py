"""A cleaned copy of a table, and the list of every change, line by line.

No value is invented: a row with a cell that cannot be believed is left out, a label is written as its commonest
spelling, all other cells stay as they were written.  What a person must decide is left alone: stretches that stand
still, the order of the rows, gaps.
"""

import csv
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ampedge.errors import DataError
from ampedge.formulas import escaped, unescaped
from ampedge.table import Row, fault
from ampedge.table.decimals import settles
from ampedge.training.destination import new_file
from ampedge.training.inspection.examination import Drop
from ampedge.training.inspection.inspect import Inspection
from ampedge.training.inspection.sheet import Sheet

HEADER = ("line", "column", "was", "now", "why")
_OPTION = "--fix"
_STRIPPED = "spaces around the name"
_SPELLING = "the commonest spelling"
_SIGN = "a zero more: three digits may be thousands"
_FORMULA = "a spreadsheet would compute it"


@dataclass(frozen=True, slots=True)
class Fixed:
    """What was written: the copy with so many `rows`, and the list of its changes, counted by their reason."""

    path: Path
    changes_path: Path
    rows: int
    changes: dict[str, int]

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "path": str(self.path),
            "changes_path": str(self.changes_path),
            "rows": self.rows,
            "changes": self.changes,
        }


def write_fixed(inspection: Inspection, out: Path, told: Callable[[int, int], None] = lambda *_: None) -> Fixed:
    """Write the cleaned copy to `out` and its changes beside it; `told` hears how many rows of how many are done.

    Raises DataError where no row would be left.
    """
    table = inspection.sheet.table
    changes_path = changes_beside(out)
    if inspection.dropped_in.all():
        raise DataError(
            f"{table.path}: no row would be left in a cleaned copy; nothing was written.",
            "Look at the findings: a column that is bad in every row can be left out with --drop.",
        )
    with ExitStack() as stack:
        made, made_changes = (stack.enter_context(new_file(path, option=_OPTION)) for path in (out, changes_path))
        copy = csv.writer(stack.enter_context(_open(made)), delimiter=table.sep)
        changes = _Changes(csv.writer(stack.enter_context(_open(made_changes))))
        copy.writerow(_header(inspection, changes))
        rows = _write_rows(inspection, copy, changes, told)
    return Fixed(out, changes_path, rows, dict(changes.counts))


def changes_beside(out: Path) -> Path:
    """Where the list of the changes in a copy stands."""
    return out.parent / f"{out.stem}.changes.csv"


class _Changes:
    """The list while it is written."""

    def __init__(self, writer: Any) -> None:
        self._writer = writer
        self.counts: Counter[str] = Counter()
        writer.writerow(HEADER)

    def add(self, line: int, column: str, was: str, now: str, why: str, *, kind: str) -> None:
        """One change; `kind` is what it is counted as."""
        self._writer.writerow([line, *map(escaped, (column, was, now, why))])
        self.counts[kind] += 1

    def left_out(self, line: int, why: str) -> None:
        """A line that is no row of the table."""
        self.add(line, "", "", "", why, kind=why.replace("row ", "rows "))


class _DecimalSign:
    """Whether the rows of the copy so far show what its decimal sign is; the table had others that did."""

    def __init__(self, sheet: Sheet) -> None:
        self._sign = sheet.table.decimal
        self._features = [sheet.table.column(name) for name in sheet.features]
        self._doubtful = (self._sign, sheet.table.sep) != (".", ",")

    def needs_zero(self, cells: Sequence[str]) -> int | None:
        """The first number of a row that must end in a zero more for that."""
        settled = [settles(cell, self._sign) for cell in cells] if self._doubtful else []
        place = next((at for at in self._features if settled[at] is False), None) if settled else None
        if True in settled or place is not None:
            self._doubtful = False
        return None if True in settled else place


def _open(path: Path) -> Any:
    """A file for CSV, whose lines end in CR and LF: with other ends Python does not quote a CR within a cell."""
    return path.open("w", encoding="utf-8", newline="")


def _header(inspection: Inspection, changes: _Changes) -> list[str]:
    line, cells = inspection.sheet.table.header
    names = [unescaped(cell.strip()) for cell in cells][: len(inspection.sheet.table.columns)]
    safe = list(map(escaped, names))
    for cell, name, made in zip(cells, names, safe, strict=False):
        if cell.strip() != cell:
            changes.add(line, name, cell, made, _STRIPPED, kind="names stripped")
        elif cell != made:
            changes.add(line, name, cell, made, _FORMULA, kind="formulas made text")
    return safe


def _left_out(inspection: Inspection) -> Iterator[tuple[int, str]]:
    """(line, why) of the lines that are no rows of the table, in order."""
    left_out = inspection.sheet.table.left_out
    found = []
    for lines, why in (
        (left_out.ragged, "row left out: too few or too many fields"),
        (left_out.repeated, "left out: the header once more"),
        (left_out.comments, "left out: a comment"),
        (left_out.blank, "left out: a blank line"),
    ):
        found += [(line, why) for line in lines]
        if lines.total > len(lines):
            found.append((lines[-1], f"{why} (and {lines.total - len(lines)} more further down)"))
    return iter(sorted(found))


def _write_rows(inspection: Inspection, copy: Any, changes: _Changes, told: Callable[[int, int], None]) -> int:
    sheet = inspection.sheet
    label = sheet.table.column(sheet.label)
    sign = _DecimalSign(sheet)
    reasons, lines = _reasons(inspection), _left_out(inspection)
    row, drop = next(reasons, (-1, None))
    line, why = next(lines, (0, ""))
    written = 0
    for place, one in enumerate(sheet.table.rows_as_written()):
        if place % 4096 == 0:
            told(place, len(sheet))
        while why and line < one.line:
            changes.left_out(line, why)
            line, why = next(lines, (0, ""))
        while row == place and drop is not None:
            _note(sheet.table.columns, one, drop, changes)
            row, drop = next(reasons, (-1, None))
        if inspection.dropped_in[place]:
            continue
        texts = list(map(unescaped, one.cells))
        name = sheet.names[texts[label]]
        is_other = name != texts[label]
        if is_other:
            changes.add(one.line, sheet.label, one.cells[label], escaped(name), _SPELLING, kind="labels respelled")
            texts[label] = name
        safe = list(map(escaped, texts))
        if (zero := sign.needs_zero(safe)) is not None:
            safe[zero] = f"{safe[zero].rstrip()}0"
            changes.add(
                one.line, sheet.table.columns[zero], one.cells[zero], safe[zero], _SIGN, kind="numbers made plain"
            )
        for at, (column, cell, made) in enumerate(zip(sheet.table.columns, one.cells, safe, strict=True)):
            if cell != made and at != zero and not (at == label and is_other):
                changes.add(one.line, column, cell, made, _FORMULA, kind="formulas made text")
        copy.writerow(safe)
        written += 1
    while why:
        changes.left_out(line, why)
        line, why = next(lines, (0, ""))
    return written


def _note(columns: tuple[str, ...], row: Row, drop: Drop, changes: _Changes) -> None:
    was = "" if drop.column is None else row.cells[columns.index(drop.column)]
    changes.add(
        row.line,
        drop.column or "",
        was,
        "",
        f"row left out: {drop.why or fault(unescaped(was))}",
        kind=f"rows left out: {drop.step.name.lower()}",
    )


def _reasons(inspection: Inspection) -> Iterator[tuple[int, Drop]]:
    """(row, why it is left out) in the order of the rows; of several steps the first one counts."""
    drops = inspection.drops
    if not drops:
        return
    rows = np.concatenate([drop.rows for drop in drops])
    which = np.repeat(np.arange(len(drops)), [len(drop.rows) for drop in drops])
    is_first = inspection.dropped_in[rows] == np.array([drop.step for drop in drops])[which]
    rows, which = rows[is_first], which[is_first]
    for at in np.argsort(rows, kind="stable").tolist():
        yield int(rows[at]), drops[which[at]]
