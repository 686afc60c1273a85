"""Which columns of a table are measurements: those with numbers, less times, ids, groups and counters."""

import re
from collections.abc import Collection, Mapping, Sequence
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from ampedge.errors import DataError
from ampedge.table import Table, disguise, fault, is_missing, number
from ampedge.training.settings import TableSettings

Column = NDArray[np.float64]

_SHARE_OF_NUMBERS = 0.5
_NEARLY_ALL = 0.9
_LOOKED_AT = 1000
TEXT = "text"
TIMES = frozenset({"time", "timestamp", "date", "datetime", "zeit", "zeitstempel", "datum", "uhrzeit", "epoch"})
_IDS = frozenset({"id", "index", "idx", "uid", "udi", "row", "nr", "no"})
_GROUPS = frozenset({"group", "run", "batch", "experiment", "session", "trial", "fold", "cycle"})
_EPOCHS = ((9e8, 4e9), (9e11, 4e12), (9e14, 4e15), (9e17, 4e18))
"""What seconds, milli-, micro- and nanoseconds since 1970 look like in our decades."""


def measurements(table: Table, settings: TableSettings) -> tuple[Sequence[str], list[str]]:
    """(the names of the feature columns in order, notes on what was left out); raises DataError where none is left."""
    if settings.features is not None:
        for name in settings.features:
            table.column(name)
        return settings.features, _group_notes(table, settings, settings.features)
    apart = {table.columns[table.column(name)] for name in settings.drop}
    apart |= {table.columns[table.column(name)] for name in (settings.label, settings.group) if name is not None}
    reasons = {name: why_not(name, table.numbers(name)) for name in table.columns if name not in apart}
    found = [name for name, reason in reasons.items() if reason is None]
    left_out = _listed(reasons)
    notes = [f"Left out: {left_out}. --features A,B,C says exactly which columns are used."] * bool(left_out)
    notes += [f"{name!r} would be numbers, but {why}." for name, why in disguised(table, reasons).items()]
    notes += _group_notes(table, settings, found)
    if not found:
        raise no_measurements(table, settings.label, reasons)
    return found, notes


def no_measurements(table: Table, label: str, reasons: Mapping[str, str | None]) -> DataError:
    """The error of a table without features; `reasons` say of its columns why they are none."""
    left_out = _listed(reasons)
    hints = [f" {name!r}, {why}." for name, why in disguised(table, reasons).items()]
    return DataError(
        f"{table.path} has no column of measurements beside the label {label!r}"
        + (f"; left out: {left_out}." if left_out else ".")
        + "".join(hints),
        "At least half the cells of a feature must be numbers; --features A,B,C says which columns to use.",
    )


def _listed(reasons: Mapping[str, str | None]) -> str:
    return ", ".join(f"{name!r} ({reason})" for name, reason in reasons.items() if reason is not None)


def _group_notes(table: Table, settings: TableSettings, features: Collection[str]) -> list[str]:
    """A note for each column that may tell experiments apart, where the split is to be at random."""
    if settings.group is not None or settings.time_order:
        return []
    passed_over = {settings.label, *features, *settings.drop}
    return [
        f"If {name!r} says which rows belong to one experiment, --group {name} keeps them on one side of the "
        "split, so that none leaks."
        for name in table.columns
        if name not in passed_over and name.lower() in _GROUPS
    ]


def why_not(name: str, column: Column) -> str | None:
    """Why a column is no feature: its name and its behaviour must agree, or it counts the rows.

    A few rows that are copied or stand in the wrong place do not make a measurement of a clock or a counter.
    """
    is_known = ~np.isnan(column)
    known = column if is_known.all() else column[is_known]
    if len(known) < _SHARE_OF_NUMBERS * len(column):
        return TEXT
    words = tokens(name)
    whole = bool((known == np.floor(known)).all())
    rules = (
        (re.fullmatch(r"unnamed(: ?\d+)?", name, re.IGNORECASE), "no name"),
        (words & TIMES and (_rises(known) or _since_1970(known)), "a time"),
        (words & _IDS and whole and len(np.unique(known)) >= _NEARLY_ALL * len(known), "an id"),
        (name.lower() in _GROUPS and whole, "a group"),
        (whole and _even(np.flatnonzero(is_known), known), "it counts the rows"),
    )
    return next((reason for holds, reason in rules if holds), None)


def disguised(table: Table, reasons: Mapping[str, str | None]) -> dict[str, str]:
    """Why the columns of texts that a person takes for numbers are none: the first such cell of each, with its line."""
    texts = {name: table.column(name) for name, reason in reasons.items() if reason == TEXT}
    rows = list(islice(table.rows(), _LOOKED_AT)) if texts else []
    found = {}
    for name, at in texts.items():
        filled = [row for row in rows if not is_missing(row.cells[at])]
        like = [row for row in filled if disguise(row.cells[at])]
        plain = sum(number(row.cells[at], table.decimal) is not None for row in filled)
        if like and len(like) + plain >= _NEARLY_ALL * len(filled):
            found[name] = f"line {like[0].line}: {fault(like[0].cells[at])}"
    return found


def tokens(name: str) -> set[str]:
    return set(re.split(r"[\W_]+", name.lower()))


def _rises(known: Column) -> bool:
    steps = np.diff(known)
    return bool((steps >= 0).sum() >= _NEARLY_ALL * len(steps)) and bool(steps.any())


def _even(at: NDArray[np.intp], known: Column) -> bool:
    """True where the values rise by the same step from row to row, whichever rows hold one."""
    if len(known) < 3:
        return False
    steps = np.diff(known) / np.diff(at)
    usual = np.median(steps)
    return bool(usual > 0) and bool((steps == usual).sum() >= _NEARLY_ALL * len(steps))


def _since_1970(known: Column) -> bool:
    return any(bool(((known >= low) & (known <= high)).mean() >= _NEARLY_ALL) for low, high in _EPOCHS)
