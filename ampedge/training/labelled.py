"""Labelled rows for scoring a bundle: a table's columns matched by name to the model's features and classes."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ampedge.errors import DataError, ModelRefusedError, did_you_mean
from ampedge.model.bundle import Bundle
from ampedge.sample_rows import VALUE_SUFFIX, value_column
from ampedge.table import Row, Table, number, read_table, shown
from ampedge.training.labels import folded


@dataclass(frozen=True, slots=True)
class LabelledRow:
    """One row: its line in the file, its values in the order of the model's features, its class, its experiment."""

    line: int
    values: tuple[float, ...]
    label: str
    group: str | None = None


@dataclass(frozen=True, slots=True)
class Labelled:
    """The usable rows of a table; `notes` say what was recognised, respelled or dropped.

    `held_out` says that they are those which the model's training never saw.
    """

    path: Path
    rows: list[LabelledRow]
    notes: tuple[str, ...] = ()
    held_out: bool = False


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
        kept = next((name for name in table.columns if name not in (*bundle.manifest.feature_names, label)), None)
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
    columns = [value_column(table, name) for name in features]
    label_column = table.column(label)
    group_column = None if group is None else table.column(group)
    spellings = _Spellings(bundle.manifest.classes)
    rows = []
    for row in table.rows:
        try:
            values = tuple(_number(table, row, column) for column in columns)
            name = spellings.known(_text(table, row, label_column, "label"))
            belongs = None if group_column is None else _text(table, row, group_column, "group").strip()
            rows.append(LabelledRow(row.line, values, name, belongs))
        except DataError:
            if not drop_bad_rows:
                raise
    spellings.refuse_unknown(table.path, label)
    if not rows:
        raise DataError(f"{table.path} has no usable row.", "Look at the columns that the model needs.")
    notes = [*table.notes, *spellings.notes()]
    if dropped := len(table.rows) - len(rows):
        notes.append(
            f"{dropped} of {len(table.rows)} rows dropped for a cell that is no number or for want of a label or group."
        )
    return Labelled(table.path, rows, tuple(notes))


def _need_columns(table: Table, needed: Sequence[str], bundle: Bundle) -> None:
    missing = [name for name in needed if not {name, name + VALUE_SUFFIX} & {*table.columns}]
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


def _number(table: Table, row: Row, column: int) -> float:
    value = number(row.cells[column], table.decimal)
    if value is None:
        raise _bad_cell(table, row, column, f"{shown(row.cells[column])} is not a number")
    return value


def _text(table: Table, row: Row, column: int, what: str) -> str:
    if not row.cells[column].strip():
        raise _bad_cell(table, row, column, f"there is no {what}")
    return row.cells[column]


def _bad_cell(table: Table, row: Row, column: int, what: str) -> DataError:
    return DataError(
        f"{table.path}, line {row.line}, column {table.columns[column]!r}: {what}.",
        "Mend the cell, or leave such rows out with --drop-bad-rows.",
    )


class _Spellings:
    """Labels as they stand in a table, and the classes that they mean."""

    def __init__(self, classes: Sequence[str]) -> None:
        self._classes = {folded(name): name for name in classes}
        self._respelled: Counter[tuple[str, str]] = Counter()
        self._unknown: Counter[str] = Counter()

    def known(self, text: str) -> str:
        """The class; a label that the model does not know is kept for `refuse_unknown`."""
        name = self._classes.get(folded(text))
        if name is None:
            self._unknown[text.strip()] += 1
            return text
        if name != text:
            self._respelled[text, name] += 1
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
