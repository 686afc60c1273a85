"""Labelled rows for scoring a bundle: a table's columns matched by name to the model's features and classes."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ampedge.errors import DataError, ModelRefusedError, did_you_mean
from ampedge.model.bundle import Bundle
from ampedge.model.network import Matrix
from ampedge.sample_rows import VALUE_SUFFIX, value_column
from ampedge.table import Table, Texts, fault, is_missing, read_table
from ampedge.training.rows.labelled_row import LabelledRows
from ampedge.training.rows.labels import folded


@dataclass(frozen=True, slots=True)
class Labelled:
    """The usable rows of a table; `notes` say what was recognised, respelled or dropped.

    `held_out` says that they are those which the model's training never saw; `group` is the column of their groups.
    """

    path: Path
    rows: LabelledRows
    notes: tuple[str, ...] = ()
    held_out: bool = False
    group: str | None = None


def held_out_rows(bundle: Bundle, *, group: str | None = None) -> Labelled | None:
    """The rows that training never saw, None where the bundle does not have them; an altered file is refused.

    The column of the groups that training kept apart stands there, too; raises DataError where `group` is another.
    """
    path = bundle.held_out()
    return None if path is None else replace(_own_rows(bundle, path, group), held_out=True)


def representative_rows(bundle: Bundle) -> Labelled | None:
    """Some rows of the training, None where the bundle does not have them; an altered file is refused."""
    path = bundle.representative()
    return None if path is None else _own_rows(bundle, path)


def _own_rows(bundle: Bundle, path: Path, group: str | None = None) -> Labelled:
    bundle.extra(path.name)  # noqa: S610  (Django's, says the rule; ours checks the file's hash)
    label = bundle.manifest.training.label
    try:
        table = read_table(path, sep=",", decimal=".")
        known = {table.column(name) for name in (*bundle.manifest.feature_names, label) if table.has(name)}
        kept = next((name for place, name in enumerate(table.columns) if place not in known), None)
        rows = labelled_rows(table, bundle, label=label, group=kept)
    except DataError as error:
        raise ModelRefusedError(f"{bundle.path}: {error.problem}", "Train the model again.") from error
    if group not in (None, kept):
        raise DataError(
            f"The held-out rows of {bundle.path} do not say what they belong to in {group!r}.",
            "Give a table that has the column, or train with --group, which keeps such groups apart.",
        )
    return rows


def labelled_rows(
    table: Table, bundle: Bundle, *, label: str, group: str | None = None, drop_bad_rows: bool = False
) -> Labelled:
    """The rows of any table that has the model's columns, plain or as in the published samples.

    Raises DataError with all missing columns, the first cell that is no number, or all labels that the model
    does not know.  `drop_bad_rows` leaves out rows with a bad cell or no label, and counts them in the notes.
    `group` is the column of the experiment that a row belongs to.
    """
    features = bundle.manifest.feature_names
    _need_columns(table, [*features, label], bundle)
    columns = [table.columns[value_column(table, name)] for name in features]
    values = table.matrix(columns)
    labels = table.texts(label)
    spellings = _Spellings(bundle.manifest.classes)
    bad = np.array([is_missing(text) and not spellings.has(text) for text in labels.unique])[labels.codes]
    groups = None
    if group is not None:
        cells = table.texts(group)
        groups = Texts(cells.codes, [text.strip() for text in cells.unique])
        bad |= np.array([not text for text in groups.unique])[groups.codes]
    for place in range(len(columns)):
        bad |= np.isnan(values[:, place])
    if (dropped := int(bad.sum())) and not drop_bad_rows:
        raise _first_bad(table, int(bad.argmax()), values, columns, label=label, group=group)
    lines = table.lines
    if dropped == len(table):
        raise DataError(f"{table.path} has no usable row.", "Look at the columns that the model needs.")
    if dropped:
        values, labels, lines = values[~bad], labels[~bad], lines[~bad]
        groups = None if groups is None else groups[~bad]
    counts = labels.counts()
    known = [spellings.known(text, counts.get(text, 0)) for text in labels.unique]
    spellings.refuse_unknown(table.path, label)
    units = {feature.name: feature.unit for feature in bundle.manifest.features}
    notes = [*table.notes, *table.other_units(units), *spellings.notes()]
    if dropped:
        notes.append(
            f"{dropped} of {len(table)} rows dropped for a cell that is no number or for want of a label or group."
        )
    rows = LabelledRows(lines, values, Texts(labels.codes, known), groups)
    return Labelled(table.path, rows, tuple(notes), group=group)


def _need_columns(table: Table, needed: Sequence[str], bundle: Bundle) -> None:
    missing = [name for name in needed if not table.has(name) and not table.has(name + VALUE_SUFFIX)]
    if not missing:
        return
    free = {name.casefold(): name for name in table.columns if name not in needed}
    lacks = []
    for name in missing:
        near = free.get(name.casefold())
        hint = f"did you mean {near!r}?" if near else did_you_mean(name, free.values())
        lacks.append(f"{name!r} ({hint})" if hint else f"{name!r}")
    raise DataError(
        f"{table.path} is no table for {bundle.path}: it lacks {', '.join(lacks)}."
        + (f" Columns that the model does not know: {', '.join(map(repr, free.values()))}." if free else ""),
        "Rename the columns as in the table that the model was trained on; --label names the column of the labels.",
    )


def _first_bad(
    table: Table, row: int, values: Matrix, columns: Sequence[str], *, label: str, group: str | None
) -> DataError:
    """The error of the first bad cell in a row: a number, the label, the group."""
    place = next((place for place, value in enumerate(values[row]) if np.isnan(value)), None)
    name = columns[place] if place is not None else label
    cell = table.cell(row, name)
    if place is not None:
        what = fault(cell)
    elif is_missing(cell):
        what = f"{cell!r} says that there is no label" if cell.strip() else "there is no label"
    else:
        name, what = group or "", "there is no group"
    return DataError(
        f"{table.path}, line {table.line(row)}, column {name!r}: {what}.",
        "Mend the cell, or leave such rows out with --drop-bad-rows.",
    )


class _Spellings:
    """Labels as they stand in a table, and the classes that they mean."""

    def __init__(self, classes: Sequence[str]) -> None:
        self._classes = {folded(name): name for name in classes}
        self._respelled: Counter[tuple[str, str]] = Counter()
        self._unknown: Counter[str] = Counter()

    def has(self, text: str) -> bool:
        """Whether the text means a class of the model."""
        return folded(text) in self._classes

    def known(self, text: str, count: int) -> str:
        """The class of `count` rows; a label that the model does not know is kept for `refuse_unknown`."""
        name = self._classes.get(folded(text), text)
        if count and not self.has(text):
            self._unknown[text.strip()] += count
        elif count and name != text:
            self._respelled[text, name] += count
        return name

    def refuse_unknown(self, path: Path, label: str) -> None:
        if self._unknown:
            found = ", ".join(f"{name!r} ({count} rows)" for name, count in self._unknown.most_common(5))
            raise DataError(
                f"{path}, column {label!r}: the model does not know the label {found}.",
                f"It knows {', '.join(self._classes.values())}. Take those rows out, or train on such a table.",
            )

    def notes(self) -> list[str]:
        if not self._respelled:
            return []
        (text, name), _ = self._respelled.most_common(1)[0]
        return [f"{self._respelled.total()} labels were spelled differently, such as {text!r} for {name!r}."]
