"""A table as an inspection sees it: which column is what, which class each row has, which rows can be used."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ampedge.datamap import DataMap
from ampedge.errors import DataError
from ampedge.modbus.codec import with_held_ends
from ampedge.table import Table, Texts
from ampedge.training.detectors.finding import Numbers
from ampedge.training.detectors.times import DAY_FIRST, MONTH_FIRST, format_of
from ampedge.training.rows.classes import class_names, label_column, label_texts, why_no_class
from ampedge.training.rows.columns import TEXT, TIMES, disguised, no_measurements, tokens, why_not
from ampedge.training.rows.dataset import with_tags
from ampedge.training.settings import TableSettings

_SAMPLE = 500
_EVERY = 20
_LARGE = 2**31


@dataclass(frozen=True)
class Sheet:
    """A table, and what each of its columns is.

    `left_out` says of each column that is neither feature, label nor group why it is none.
    `disguised` says of columns of texts that a person takes for numbers why they are none.
    `names` has the class that each text of the label column stands for, empty where it stands for none;
    `targets` the place of each row's class in `classes`, -1 where it has none.
    `time` is the column of times, `time_format` its format where the times are texts.
    """

    table: Table
    label: str
    group: str | None
    features: tuple[str, ...]
    left_out: Mapping[str, str]
    spelled: Texts
    names: Mapping[str, str]
    classes: tuple[str, ...]
    targets: NDArray[np.int32]
    time: str | None
    time_format: str | None
    datamap: DataMap | None
    is_chosen: bool
    disguised: Mapping[str, str]

    def __len__(self) -> int:
        return len(self.table)

    @cached_property
    def lines(self) -> NDArray[np.integer]:
        """The line of the file of each row."""
        lines = self.table.lines
        return lines.astype(np.int32) if lines[-1] < _LARGE else lines

    @cached_property
    def sizes(self) -> dict[str, int]:
        """How many rows each class has."""
        counts = dict.fromkeys(self.classes, 0)
        for text, count in self.spelled.counts().items():
            if name := self.names.get(text):
                counts[name] += count
        return counts

    @cached_property
    def valid(self) -> dict[str, tuple[float, float]]:
        """The range that the data map states for a feature, as serve applies it."""
        tags = (with_held_ends(tag) for tag in self.datamap.tags) if self.datamap else ()
        return {tag.name: tag.valid for tag in tags if tag.valid is not None and tag.name in self.features}

    def numbers(self, name: str) -> Numbers:
        """A column as numbers, NaN where there is none."""
        return self.table.numbers(name)

    def is_text(self, name: str) -> bool:
        """True for a column of texts."""
        return self.left_out.get(name) == TEXT

    def without(self, name: str) -> str:
        """How the user leaves a feature out of training, as the begin of a remedy."""
        if self.datamap is not None:
            return "Take its tag out of the config"
        return (
            "Take it out of --features"
            if self.is_chosen
            else f"Leave it out of training with --drop {shlex.quote(name)}"
        )


def sheet_of(table: Table, settings: TableSettings, datamap: DataMap | None, time: str | None = None) -> Sheet:
    """Find out what each column is; raises DataError where label, group, time or a feature is not there."""
    settings = replace(settings, label=label_column(table, settings.label))
    if datamap is not None:
        settings = with_tags(table, settings, datamap)
    label = table.columns[table.column(settings.label)] if table.has(settings.label) else settings.label
    spelled = label_texts(table, label)
    names = class_names(spelled.counts())
    names = {text: "" if why_no_class(name) else name for text, name in names.items()}
    classes = tuple(sorted({name for name in names.values() if name}))
    places = np.array([classes.index(names[text]) if names.get(text) else -1 for text in spelled.unique], np.int32)
    group = None if settings.group is None else table.columns[table.column(settings.group)]
    chosen = None if settings.features is None else [table.columns[table.column(name)] for name in settings.features]
    dropped = {table.columns[table.column(name)] for name in settings.drop}
    if time is not None:
        time = table.columns[table.column(time)]
    reasons: dict[str, str | None] = {}
    for name in table.columns:
        if name in (label, group):
            continue
        reason = "a time" if name == time else why_not(name, table.numbers(name))
        if reason is None and (name in dropped or (chosen is not None and name not in chosen)):
            reason = "not chosen"
        reasons[name] = None if chosen is not None and name in chosen else reason
    left_out = {name: reason for name, reason in reasons.items() if reason is not None}
    if len(left_out) == len(reasons):
        raise no_measurements(table, label, left_out)
    time, time_format = _time(table, left_out, time)
    undecided = {name: reason for name, reason in reasons.items() if name not in dropped and name != time}
    return Sheet(
        table=table,
        label=label,
        group=group,
        features=tuple(name for name, reason in reasons.items() if reason is None),
        left_out=left_out,
        spelled=spelled,
        names=names,
        classes=classes,
        targets=places[spelled.codes],
        time=time,
        time_format=time_format,
        datamap=datamap,
        is_chosen=settings.features is not None,
        disguised={} if chosen is not None else disguised(table, undecided),
    )


def _time(table: Table, left_out: Mapping[str, str], wanted: str | None) -> tuple[str | None, str | None]:
    """(the column of times, its format where it holds texts): the one that is named, else the first that is one."""
    for name, reason in left_out.items():
        if name == wanted or (wanted is None and reason == "a time"):
            form = _format(table, name)
            if form is not None or np.isfinite(table.numbers(name)).any():
                return name, form
    if wanted is not None:
        raise DataError(
            f"{table.path}, column {wanted!r}: no times are recognised in it.",
            "Name a column of dates, times or seconds with --time, such as 2026-01-31 14:00:05.",
        )
    by_name = sorted(
        (name for name, reason in left_out.items() if reason == TEXT), key=lambda one: not tokens(one) & TIMES
    )
    for name in by_name:
        if form := _format(table, name):
            return name, form
    return None, None


def _format(table: Table, name: str) -> str | None:
    held = table.held(name)
    if held is not None:
        return format_of(list(held[:: 1 + len(held) // _SAMPLE]))
    batches = table.batches([name])
    [cells] = next(batches)
    form = format_of(cells)
    if form is None or not form.startswith((DAY_FIRST, MONTH_FIRST)):
        return form
    rest = [later[at] for [later] in batches for at in (0, -1)]  # only another day may tell
    return (format_of([*cells[::_EVERY], *rest]) or form) if rest else form
