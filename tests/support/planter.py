"""A planter of defects: every kind that an inspection knows, into any table, with the list of what stands where.

The table is plain text cells, so that what is planted is what a spreadsheet or a logger would have written.
The same seed plants the same defects.
"""

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

MISSING = ("", "n/a", "--", "#DIV/0!", "NaN", "?", "#N/A", "-")
UNREADABLE = ("abc", "1.2.3", "ERROR", "0x1F", "1e999", "inf", "overrange", "3;4", "~7", "5 V")
SENTINELS = (-999.0, -9999.0, 9999.0, 65535.0, 32767.0, -32768.0, 99999.0, 999999.0)


@dataclass(frozen=True, slots=True)
class Base:
    """A table: cells with decimal points, the column of the label, that of the time, the features."""

    columns: tuple[str, ...]
    rows: list[list[str]]
    label: str = "status"
    time: str | None = None
    features: tuple[str, ...] = ()

    def measured(self) -> tuple[str, ...]:
        """The features, all other columns where none are named."""
        return self.features or tuple(name for name in self.columns if name not in (self.label, self.time))


@dataclass(frozen=True, slots=True)
class Defect:
    """What an inspection has to find: its kind, its line where it has one, its column where it has one."""

    kind: str
    line: int | None
    column: str | None


@dataclass(slots=True)
class _Row:
    cells: list[str]
    origin: int
    marks: set[tuple[str, str | None]] = field(default_factory=set)
    is_taken: bool = False
    is_joined: bool = False
    """Nothing is put before it: it stands in a stretch."""


@dataclass(frozen=True, slots=True)
class Planted:
    """The text of the planted table, its truth, the line of each row of the base, and ranges that were stated."""

    text: str
    truth: frozenset[Defect]
    lines: dict[int, list[int]]
    valid: dict[str, tuple[float, float]]


def written(base: Base, *, sep: str = ",", decimal: str = ".") -> str:
    """The table as it is, as CSV."""
    return _text([list(base.columns), *base.rows], sep, decimal)


def plant(base: Base, seed: int, kinds: Sequence[str] | None = None, *, sep: str = ",", decimal: str = ".") -> Planted:
    """Plant one or more defects of each of these kinds, of all where none are named; without a place it is left."""
    garden = _Garden(base, np.random.default_rng(seed), sep, decimal)
    for kind, planter in PLANTERS.items():
        if kinds is None or kind in kinds:
            planter(garden)
    return garden.planted()


class _Garden:
    """The table while it is planted."""

    def __init__(self, base: Base, draw: np.random.Generator, sep: str, decimal: str) -> None:
        self.base = base
        self.draw = draw
        self.columns = list(base.columns)
        self.rows = [_Row(list(cells), origin) for origin, cells in enumerate(base.rows)]
        self.valid: dict[str, tuple[float, float]] = {}
        self._about: set[tuple[str, str | None]] = set()
        self._sep, self._decimal = sep, decimal
        self._free_columns = list(base.measured())
        draw.shuffle(self._free_columns)

        seen: dict[tuple[str, ...], int] = {}
        for cells in base.rows:
            seen[self._measured(cells)] = seen.get(self._measured(cells), 0) + 1
        self._once = {cells for cells, count in seen.items() if count == 1}

    def _measured(self, cells: Sequence[str]) -> tuple[str, ...]:
        return tuple(cells[self.base.columns.index(name)] for name in self.base.measured())

    def is_unlike(self, row: _Row) -> bool:
        """Whether no other row of the base has the same measurements."""
        return self._measured(self.base.rows[row.origin]) in self._once

    # what planters need

    def feature(self) -> str:
        """A column that is measured, another one each time while there are some."""
        if not self._free_columns:
            self._free_columns = list(self.base.measured())
        return self._free_columns.pop()

    def values(self, name: str) -> np.ndarray:
        """A column as numbers, NaN where there is none."""
        place = self.columns.index(name)
        return np.array([_number(row.cells[place]) for row in self.rows])

    def take(self, count: int, wanted: Callable[[_Row], bool] = lambda _: True) -> list[_Row]:
        """Rows that nothing was planted in yet."""
        free = [row for row in self.rows if not row.is_taken and wanted(row)]
        count = min(count, len(free))
        taken = [free[int(at)] for at in self.draw.choice(len(free), count, replace=False)] if count else []
        for row in taken:
            row.is_taken = True
        return taken

    def some(self) -> int:
        """How many of a kind: few, and never much of a table."""
        return int(self.draw.integers(1, 1 + max(1, min(6, len(self.rows) // 40))))

    def set(self, row: _Row, name: str, cell: str, kind: str) -> None:
        """Change a cell."""
        row.cells[self.columns.index(name)] = cell
        row.marks.add((kind, name))

    def put(self, row: _Row, at: int) -> None:
        """Put a row before the one at this place, or before the next that is not joined to the one before it."""
        while at < len(self.rows) and self.rows[at].is_joined:
            at += 1
        self.rows.insert(at, row)

    def add_column(self, name: str, cells: Sequence[str], kind: str) -> None:
        """A further column, before the label."""
        place = self.columns.index(self.base.label)
        self.columns.insert(place, name)
        for row, cell in zip(self.rows, cells, strict=True):
            row.cells.insert(place, cell)
        self._about.add((kind, name))

    def about(self, kind: str, column: str | None) -> None:
        """A defect of a column as a whole."""
        self._about.add((kind, column))

    def labels(self) -> list[str]:
        """The label of each row."""
        place = self.columns.index(self.base.label)
        return [row.cells[place] for row in self.rows]

    def shown(self, value: float, name: str) -> str:
        """A number as the column writes them."""
        cell = next(row.cells[self.columns.index(name)] for row in self.rows if not row.is_taken)
        digits = len(cell.partition(".")[2])
        return f"{value:.{digits}f}"

    def planted(self) -> Planted:
        """The finished table."""
        truth = {Defect(kind, None, column) for kind, column in self._about}
        lines: dict[int, list[int]] = {}
        for at, row in enumerate(self.rows):
            truth |= {Defect(kind, at + 2, column) for kind, column in row.marks}
            if row.origin >= 0:
                lines.setdefault(row.origin, []).append(at + 2)
        text = _text([self.columns, *(row.cells for row in self.rows)], self._sep, self._decimal)
        return Planted(text, frozenset(truth), lines, self.valid)


def _plant_constant(garden: _Garden) -> None:
    garden.add_column("planted_constant", ["7.25"] * len(garden.rows), "constant_column")


def _plant_near_constant(garden: _Garden) -> None:
    cells = ["3.5"] * len(garden.rows)
    name = "planted_near_constant"
    garden.add_column(name, cells, "near_constant_column")
    garden._about.discard(("near_constant_column", name))
    for row in garden.take(int(garden.draw.integers(1, 3))):
        garden.set(row, name, "3.6", "near_constant_column")


def _plant_giveaway(garden: _Garden) -> None:
    labels = garden.labels()
    codes = {label: place for place, label in enumerate(sorted(set(labels)))}
    if garden.draw.random() < 0.5:
        cells = [str(codes[label]) for label in labels]
    else:
        cells = [f"{10 * codes[label] + garden.draw.random():.3f}" for label in labels]
    garden.add_column("planted_code", cells, "gives_label_away")


def _plant_same(garden: _Garden) -> None:
    cells = [f"{value:.4f}" for value in garden.draw.normal(20, 3, len(garden.rows))]
    garden.add_column("planted_noise", cells, "same_in_all_classes")


def _plant_frozen(garden: _Garden) -> None:
    for name in garden.base.measured():
        values = garden.values(name)
        same = values[1:] == values[:-1]
        if same.mean() < 0.02:
            break
    else:
        return
    length = int(garden.draw.integers(10, 10 + max(2, min(40, len(garden.rows) // 10))))
    start = int(garden.draw.integers(0, len(garden.rows) - length))
    stretch = garden.rows[start : start + length]
    place = garden.columns.index(name)
    apart = (place, garden.columns.index(garden.base.label))
    others = {tuple(cell for at, cell in enumerate(row.cells) if at not in apart) for row in garden.rows}
    if len(stretch) < 10 or len(others) < len(garden.rows) or any(row.is_taken for row in stretch):
        return
    cell = stretch[0].cells[place]
    beside = (garden.rows[start - 1 if start else 0], garden.rows[start + length])
    if start == 0 or any(row.cells[place] == cell for row in beside):
        return
    for at, row in enumerate(stretch):
        garden.set(row, name, cell, "frozen_stretches")
        row.is_taken = True
        row.is_joined = at > 0


def _plant_spikes(garden: _Garden) -> None:
    name = garden.feature()
    values = garden.values(name)
    values = values[np.isfinite(values)]
    if len(np.unique(values)) < 12:
        return
    low, high = values.min(), values.max()
    for row in garden.take(garden.some()):
        far = float(garden.draw.uniform(13, 60)) * (high - low)
        cell = garden.shown(high + far if garden.draw.random() < 0.5 else low - far, name)
        if abs(float(cell)) not in {abs(mark) for mark in SENTINELS}:
            garden.set(row, name, cell, "spikes")


def _plant_sentinels(garden: _Garden) -> None:
    name = garden.feature()
    values = garden.values(name)
    low, high = np.nanmin(values), np.nanmax(values)
    far = [mark for mark in SENTINELS if mark > high + 2 * (high - low) or mark < low - 2 * (high - low)]
    if not far or len(np.unique(values)) < 5:
        return
    mark = far[int(garden.draw.integers(len(far)))]
    for row in garden.take(garden.some()):
        garden.set(row, name, f"{mark:g}" if abs(mark) < 1e6 else f"{mark:.0f}", "sentinel_values")


def _plant_out_of_range(garden: _Garden) -> None:
    name = garden.feature()
    values = garden.values(name)
    finite = values[np.isfinite(values)]
    low, high = float(finite.min()), float(finite.max())
    wide = (high - low) or 1.0
    garden.valid[name] = (low - wide / 2, high + wide / 2)
    for row in garden.take(garden.some()):
        side = wide * float(garden.draw.uniform(0.6, 40))
        value = high + side if garden.draw.random() < 0.5 else low - side
        garden.set(row, name, f"{value:.6f}", "out_of_range")


def _plant_missing(garden: _Garden) -> None:
    for name in (garden.feature(), garden.feature(), garden.base.label):
        for row in garden.take(garden.some()):
            cell = "" if name == garden.base.label else str(garden.draw.choice(MISSING))
            garden.set(row, name, cell, "missing_values")


def _plant_unreadable(garden: _Garden) -> None:
    name = garden.feature()
    for row in garden.take(garden.some()):
        garden.set(row, name, str(garden.draw.choice(UNREADABLE)), "unreadable_cells")


def _plant_spellings(garden: _Garden) -> None:
    place = garden.columns.index(garden.base.label)
    changes: list[Callable[[str], str]] = [str.upper, str.title, lambda text: f" {text}", lambda text: f"{text} "]
    for row in garden.take(garden.some()):
        label = row.cells[place]
        new = changes[int(garden.draw.integers(4))](label)
        if new != label:
            garden.set(row, garden.base.label, new, "label_spellings")


def _plant_small_class(garden: _Garden) -> None:
    for row in garden.take(int(garden.draw.integers(2, 6)), garden.is_unlike):
        garden.set(row, garden.base.label, "Xyzzy", "class_balance")


def _plant_gap(garden: _Garden) -> None:
    time = garden.base.time
    if time is None:
        return
    values = garden.values(time)
    step = float(np.median(np.diff(values)))
    at = int(garden.draw.integers(5, len(garden.rows) - 5))
    while garden.rows[at].is_joined or garden.rows[at].is_taken or garden.rows[at - 1].is_taken:
        at += 1
        if at >= len(garden.rows) - 5:
            return
    by = step * float(garden.draw.integers(10, 200))
    place = garden.columns.index(time)
    for row in garden.rows[at:]:
        row.cells[place] = garden.shown(_number(row.cells[place]) + by, time)
    garden.rows[at].marks.add(("time_gaps", time))
    garden.rows[at].is_taken = garden.rows[at - 1].is_taken = True


def _plant_disorder(garden: _Garden) -> None:
    time = garden.base.time
    if time is None or len(garden.rows) < 60:
        return
    for at in garden.draw.permutation(len(garden.rows) - 40)[:50] + 10:
        first, second = garden.rows[at], garden.rows[at + int(garden.draw.integers(2, 25))]
        between = garden.rows[garden.rows.index(first) - 1 : garden.rows.index(second) + 2]
        if any(row.is_taken or row.is_joined for row in between):
            continue
        one, other = garden.rows.index(first), garden.rows.index(second)
        garden.rows[one], garden.rows[other] = second, first
        for row in (first, second):
            row.marks.add(("time_disorder", time))
        for row in between:
            row.is_taken = True
        return


def _plant_duplicates(garden: _Garden) -> None:
    for row in garden.take(garden.some(), garden.is_unlike):
        copy = _Row(list(row.cells), row.origin, is_taken=True)
        copy.marks.add(("duplicate_rows", None))
        here = garden.rows.index(row)
        garden.put(copy, int(garden.draw.integers(here + 1, len(garden.rows) + 1)))


def _plant_contradictions(garden: _Garden) -> None:
    place = garden.columns.index(garden.base.label)
    known = sorted({row.cells[place] for row in garden.rows if not row.is_taken})
    for row in garden.take(min(3, garden.some()), garden.is_unlike):
        other = [label for label in known if label.strip().casefold() != row.cells[place].strip().casefold()]
        copy = _Row(list(row.cells), row.origin, is_taken=True)
        copy.cells[place] = other[int(garden.draw.integers(len(other)))]
        for one in (row, copy):
            one.marks.add(("contradictory_rows", None))
        garden.put(copy, garden.rows.index(row) + 1)


def _plant_ragged(garden: _Garden) -> None:
    for row in garden.take(garden.some()):
        row.marks.add(("ragged_rows", None))
        if garden.draw.random() < 0.5:
            row.cells.append("1")
        else:
            row.cells.pop()


def _plant_header(garden: _Garden) -> None:
    at = int(garden.draw.integers(1, len(garden.rows)))
    garden.put(_Row(list(garden.columns), -1, {("repeated_headers", None)}, is_taken=True), at)


PLANTERS: dict[str, Callable[[_Garden], None]] = {
    "gives_label_away": _plant_giveaway,
    "same_in_all_classes": _plant_same,
    "constant_column": _plant_constant,
    "near_constant_column": _plant_near_constant,
    "frozen_stretches": _plant_frozen,
    "time_gaps": _plant_gap,
    "time_disorder": _plant_disorder,
    "spikes": _plant_spikes,
    "sentinel_values": _plant_sentinels,
    "out_of_range": _plant_out_of_range,
    "missing_values": _plant_missing,
    "unreadable_cells": _plant_unreadable,
    "label_spellings": _plant_spellings,
    "class_balance": _plant_small_class,
    "duplicate_rows": _plant_duplicates,
    "contradictory_rows": _plant_contradictions,
    "ragged_rows": _plant_ragged,
    "repeated_headers": _plant_header,
}
"""Every kind, in the order in which they do not spoil each other: columns first, then cells, then rows."""


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return float("nan")


def _text(rows: Sequence[Sequence[str]], sep: str, decimal: str) -> str:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=sep, lineterminator="\n")
    for row in rows:
        writer.writerow([_signed(cell, decimal) for cell in row])
    return text.getvalue()


def _signed(cell: str, decimal: str) -> str:
    """A number with the decimal sign; other cells as they are."""
    return cell.replace(".", decimal) if decimal != "." and np.isfinite(_number(cell)) else cell
