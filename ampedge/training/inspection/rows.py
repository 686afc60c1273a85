"""Rows beside each other: copies, and the same values under two labels."""

from collections.abc import Iterator
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from ampedge.table import is_missing
from ampedge.training.detectors import repeats
from ampedge.training.detectors.finding import Flags, Kind, Severity, plural
from ampedge.training.detectors.unwritten import REMEDY, said, unwritten
from ampedge.training.inspection.examination import Examination, Step
from ampedge.training.inspection.sheet import Sheet
from ampedge.training.rows.classes import FEWEST_ROWS
from ampedge.training.rows.labels import folded

_BY_NATURE = 0.05
"""Where more rows than these contradict each other, the columns are too coarse to tell the classes apart."""


def judge_rows(examination: Examination, others: NDArray[np.uint64] | None) -> tuple[Flags, Flags]:
    """(which rows repeat an earlier one, which contradict another), and add what is to be said of them.

    `others` is a hash of each row over the columns that only the file has.
    """
    sheet = examination.sheet
    measured = repeats.row_hashes(_cells(sheet, sheet.features))
    usable = np.where(examination.dropped_in() == 0, sheet.targets, -1)
    contradictory = repeats.contradictory(measured, usable)
    further = [name for name in sheet.left_out if not sheet.is_text(name) or sheet.table.held(name) is not None]
    group = [sheet.group] if sheet.group is not None else []
    known: list[NDArray[np.generic]] = [sheet.targets, *([others] if others is not None else [])]
    rest = chain(known, _cells(sheet, [*further, *group]))
    repeated = repeats.repeated(repeats.row_hashes(rest, after=measured))
    _contradictions(examination, contradictory)
    _duplicates(examination, repeated)
    return repeated, contradictory


def judge_unwritten(examination: Examination) -> None:
    """Add what is to be said of rows that serve takes for those of a device that nobody has written to."""
    sheet, steps = examination.sheet, examination.dropped_in()
    tags = {} if sheet.datamap is None else {tag.name: tag for tag in sheet.datamap.tags}
    flags = unwritten(((sheet.numbers(name), tags.get(name)) for name in sheet.features), len(sheet))
    flags &= (steps == 0) | (steps > Step.WILD)  # the others are told of already
    if flags.any():
        examination.found(
            Kind.UNWRITTEN,
            Severity.WARNING,
            None,
            np.flatnonzero(flags),
            what=said(flags, sheet.targets, sheet.classes),
            remedy=REMEDY,
        )


def different_rows(sheet: Sheet, once: Flags) -> NDArray[np.intp]:
    """How many rows of each class repeat no other."""
    return np.bincount(sheet.targets[once & (sheet.targets >= 0)], minlength=len(sheet.classes))


def _contradictions(examination: Examination, flags: Flags) -> None:
    rows = np.flatnonzero(flags)
    if not len(rows):
        return
    by_nature = len(rows) > _BY_NATURE * len(flags)
    examination.found(
        Kind.CONTRADICTORY,
        Severity.WARNING,
        None,
        rows,
        what=f"{plural(len(rows), 'row')} have the same values as another and another label.",
        remedy="Add a column that tells these states apart: no model can."
        if by_nature
        else "Find out which label is right; --fix leaves all of them out.",
    )
    if not by_nature:
        examination.drop(Step.CONTRADICTORY, rows, None, "another row has the same values and another label")


def _duplicates(examination: Examination, flags: Flags) -> None:
    rows = np.flatnonzero(flags)
    if not len(rows):
        return
    one = len(rows) == 1
    different = dict(zip(examination.sheet.classes, different_rows(examination.sheet, ~flags).tolist(), strict=True))
    few = [
        f"{name!r} ({different[name]})"
        for name, size in examination.sheet.sizes.items()
        if different[name] < FEWEST_ROWS <= size
    ]
    loss = f" Without them too few rows to split are left of {', '.join(few)}." if few else ""
    examination.found(
        Kind.DUPLICATES,
        Severity.WARNING,
        None,
        rows,
        what=f"{plural(len(rows), 'row')} {'repeats' if one else 'repeat'} an earlier one in every cell.{loss}",
        remedy="Copies may stand on both sides of the split and flatter the model; --fix leaves them out.",
    )
    examination.drop(Step.DUPLICATES, rows, None, "repeats an earlier row")


def _cells(sheet: Sheet, names: list[str] | tuple[str, ...]) -> Iterator[NDArray[np.generic]]:
    """The cells of each column as numbers to hash; what is no number counts by its text."""
    for name in names:
        held = sheet.table.held(name) if sheet.is_text(name) else None
        if held is not None:
            yield text_hashes(held.unique)[held.codes]
            continue
        values = sheet.numbers(name)
        rows, cells = sheet.table.odd(name)
        if len(rows):
            values[rows] = text_hashes(cells.unique)[cells.codes]
        yield values


def text_hashes(texts: tuple[str, ...] | list[str]) -> NDArray[np.float64]:
    """A number for each text; all marks of a missing value have the same one."""
    from pandas.util import hash_array

    if not texts:
        return np.zeros(0)
    alike = np.array(["" if is_missing(text) else folded(text) for text in texts], dtype=object)
    return np.asarray(hash_array(alike)).astype(np.float64)
