"""Cells that hold no value: empty, unreadable, or outside of what is possible."""

from collections.abc import Iterable

import numpy as np

from ampedge.table import may_be_missing, shown
from ampedge.training.detectors.finding import Kind, Places, Severity, plural
from ampedge.training.inspection.examination import Examination, Step

_MOSTLY_EMPTY = 0.5
_LOOKED_AT = 1000


def judge_numbers(examination: Examination, name: str) -> None:
    """Add what is to be said of the cells of a column that is to hold numbers."""
    sheet = examination.sheet
    rows, cells = sheet.table.odd(name)
    if len(rows):
        is_missing = np.array([may_be_missing(text) for text in cells.unique])[cells.codes]
        for kind, flags in ((Kind.MISSING, is_missing), (Kind.UNREADABLE, ~is_missing)):
            at = np.flatnonzero(flags)
            judge_odd(examination, name, kind, rows[at], (cells[one] for one in at[:_LOOKED_AT].tolist()))
    if name in sheet.valid:
        _judge_range(examination, name)


def judge_odd(
    examination: Examination, name: str, kind: Kind, rows: Places, texts: Iterable[str], *, noun: str = "number"
) -> None:
    """Add the finding on cells that hold no value; those of columns that training does not use are a note."""
    count = len(rows)
    if not count:
        return
    is_used = name in examination.sheet.features or name == examination.sheet.group
    if kind is Kind.MISSING:
        what = f"{plural(count, 'cell')} {'is' if count == 1 else 'are'} empty or marked as missing."
        remedy = "Fill in what was measured; training leaves out the other rows with --drop-bad-rows."
    else:
        what = f"{plural(count, 'cell')} {'holds' if count == 1 else 'hold'} something that is no {noun}."
        remedy = "Correct them; training leaves out the other rows with --drop-bad-rows."
    examination.found(
        kind,
        Severity.ERROR if is_used else Severity.NOTE,
        name,
        rows,
        what=what,
        remedy=remedy if is_used else "Nothing for training, which does not use this column.",
        examples=map(shown, texts),
    )
    if is_used:
        examination.drop(Step.CELLS, rows, name)


def judge_disguised(examination: Examination) -> None:
    """Add a finding on each column that training takes for texts and a person for numbers."""
    for name, why in examination.sheet.disguised.items():
        examination.found(
            Kind.UNREADABLE,
            Severity.ERROR,
            name,
            np.zeros(0, dtype=np.intp),
            count=1,
            what=f"Training takes it for texts and does not use it: {why}.",
            remedy="Write plain numbers into the file, or leave the column out with --drop.",
        )


def judge_empty(examination: Examination, name: str, rows: Places) -> None:
    """Add the finding on empty cells of a column of texts; one that is mostly empty is meant to be."""
    if len(rows) <= _MOSTLY_EMPTY * len(examination.sheet) or name == examination.sheet.group:
        judge_odd(examination, name, Kind.MISSING, rows, ())


def _judge_range(examination: Examination, name: str) -> None:
    low, high = examination.sheet.valid[name]
    values = examination.sheet.numbers(name)
    rows = np.flatnonzero(np.isfinite(values) & ~((values >= low) & (values <= high)))
    if len(rows):
        examination.found(
            Kind.OUT_OF_RANGE,
            Severity.ERROR,
            name,
            rows,
            what=f"{plural(len(rows), 'value')} outside [{low:g}, {high:g}], the valid range of the tag.",
            remedy="Correct them, or the range; serve gives such a reading no class, so training leaves it out.",
            examples=(f"{value:g}" for value in values[rows[:_LOOKED_AT]].tolist()),
        )
        examination.drop(Step.CELLS, rows, name, f"outside the tag's valid range [{low:g}, {high:g}]")
