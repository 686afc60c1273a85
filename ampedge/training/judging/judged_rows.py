"""Which rows a bundle is judged on: those that training never saw, or a table that the user gives."""

import hashlib
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from ampedge.errors import DataError
from ampedge.model.bundle import HELD_OUT, Bundle
from ampedge.table import Progress, read_table
from ampedge.training.rows.labelled import Labelled, held_out_rows, labelled_rows
from ampedge.training.rows.split_again import split_again

_TRAINED_ON = (
    "Warning: the model was trained on most of these rows, so the figures flatter it; the bundle directory "
    "has the rows that were held out."
)
_ROWS_ADDED = (
    "Warning: all rows that were held out of the training are among these. If this is the training table with rows "
    "added, the model was trained on most of it, and the figures flatter it."
)
_GIVE_A_TABLE = "Give a table that neither was trained on, as in `ampedge evaluate MODEL OTHER DATA.csv`."


def rows_to_score(
    bundle: Bundle,
    data: Path | None,
    *,
    label: str | None = None,
    group: str | None = None,
    sep: str | None = None,
    decimal: str | None = None,
    drop_bad_rows: bool = False,
    progress: Progress | None = None,
) -> tuple[Labelled, str]:
    """(rows, what they are): the held-out rows where `data` is None or the table of the training, else all.

    By another label than that of the training all rows of a table are judged.
    """
    training = bundle.manifest.training
    trained_on = data is not None and _sha256(data) == training.data_sha256
    if data is None:
        if not _is_own(label, bundle):
            raise DataError(
                f"The held-out rows of {bundle.path} are labelled by {training.label!r}, not by {label!r}.",
                "Give a table that has the column, as in `ampedge evaluate DATA.csv`.",
            )
        held_out = held_out_rows(bundle, group=group)
        if held_out is None:
            raise DataError(
                f"{bundle.path} carries no held-out rows.",
                "Give a table, as in `ampedge evaluate DATA.csv`, or the bundle directory with --model.",
            )
        return held_out, f"the held-out rows of {training.data}, which training never saw"
    if trained_on and _is_own(label, bundle):
        held_out = held_out_rows(bundle)
        if held_out is not None and group in (None, held_out.group):
            return held_out, f"the held-out rows of {training.data}, which training never saw"
        again = split_again(bundle, data, group=group, progress=progress)
        if again is not None:
            return again, f"the rows of {data} that training held out"
    table = read_table(data, sep=sep, decimal=decimal, drop_bad_rows=drop_bad_rows, progress=progress)
    rows = labelled_rows(table, bundle, label=label or training.label, group=group, drop_bad_rows=drop_bad_rows)
    if trained_on:
        rows = replace(rows, notes=(*rows.notes, _TRAINED_ON))
    elif _holds_more(bundle, rows, held_out_rows(bundle)):
        rows = replace(rows, notes=(*rows.notes, _ROWS_ADDED))
    return rows, f"all rows of {data}"


def rows_for_both(
    first: Bundle,
    second: Bundle,
    data: Path | None,
    *,
    label: str | None = None,
    group: str | None = None,
    sep: str | None = None,
    decimal: str | None = None,
    drop_bad_rows: bool = False,
) -> tuple[Labelled, Labelled, str]:
    """(rows for each, what they are): the same rows, those that one of the two held out or all of another table.

    Raises DataError where no table is given and the other may have been trained on the held-out rows.
    """
    source, other = _holder(first, second, data, label, group)
    if source is None or other is None:
        if data is None:
            raise DataError(f"Neither {first.path} nor {second.path} carries held-out rows.", _GIVE_A_TABLE)
        read = partial(
            rows_to_score,
            label=label or first.manifest.training.label,
            group=group,
            sep=sep,
            decimal=decimal,
            drop_bad_rows=drop_bad_rows,
        )
        (mine, scored), (its, _) = (read(one, data) for one in (first, second))
        mine, its = _in_common(_named(mine, first), _named(its, second))
        return mine, its, scored
    mine, scored = rows_to_score(source, None, label=label, group=group)
    doubt = _doubt(source, other)
    if doubt and data is None:
        raise DataError(doubt, _GIVE_A_TABLE)
    column = source.manifest.training.label
    try:
        its = labelled_rows(read_table(mine.path, sep=",", decimal="."), other, label=column)
    except DataError as error:
        raise DataError(error.problem, _GIVE_A_TABLE) from error
    its = replace(its, rows=replace(its.rows, groups=mine.rows.groups), notes=(f"Warning: {doubt}",) if doubt else ())
    return (mine, its, scored) if source is first else (its, mine, scored)


def _holder(
    first: Bundle, second: Bundle, data: Path | None, label: str | None, group: str | None
) -> tuple[Bundle | None, Bundle | None]:
    """(the one whose held-out rows are meant, the other); None for both where a table has what these do not."""
    given = None if data is None else _sha256(data)
    for source, other in ((first, second), (second, first)):
        own = {None, source.manifest.training.data_sha256, source.manifest.files.get(HELD_OUT)}
        if source.held_out() is None or given not in own:
            continue
        if data is None or (_is_own(label, source) and (group is None or group == _group(source))):
            return source, other
    return None, None


def _group(bundle: Bundle) -> str | None:
    """What its held-out rows belong to, as they say."""
    rows = held_out_rows(bundle)
    return None if rows is None else rows.group


def _is_own(label: str | None, bundle: Bundle) -> bool:
    """Whether the rows are judged by the column that the model was trained on."""
    return label in (None, bundle.manifest.training.label)


def _doubt(source: Bundle, other: Bundle) -> str | None:
    """Why `other` may have been trained on the held-out rows of `source`; None where it was not."""
    mine, its = source.manifest.training, other.manifest.training
    if source.identity == other.identity:
        return None
    rows, held = held_out_rows(source), held_out_rows(other)
    if rows is not None and held is not None:
        names = [name for name in source.manifest.feature_names if name in other.manifest.feature_names]
        if _counted(rows, source, names) <= _counted(held, other, names):
            return None
    alike = mine.data_sha256 == its.data_sha256
    if alike and held is None and _split(source) == _split(other):
        return None
    if alike:
        return f"{other.path} was trained on rows that {source.path} held out: the same table, split in another way."
    return (
        f"{other.path} may have been trained on rows that {source.path} held out: it comes from another table, "
        f"{its.data}."
    )


def _split(bundle: Bundle) -> list[object]:
    """What decides which rows of a table are held out."""
    settings = bundle.manifest.training.settings
    return [bundle.manifest.training.rows, settings.get("split"), settings.get("seed"), bundle.manifest.training.label]


def _named(rows: Labelled, bundle: Bundle) -> Labelled:
    """With warnings that say whose they are."""
    notes = (note.replace("Warning: the model", f"Warning: {bundle.path}") for note in rows.notes)
    return replace(rows, notes=tuple(notes))


def _in_common(first: Labelled, second: Labelled) -> tuple[Labelled, Labelled]:
    """The rows that both can use, where bad ones were dropped."""
    lines = np.intersect1d(first.rows.lines, second.rows.lines)
    kept = [replace(one, rows=one.rows[np.isin(one.rows.lines, lines)]) for one in (first, second)]
    if not len(lines):
        raise DataError(f"{first.path} has no row that both can use.", "Look at the columns that the models need.")
    return kept[0], kept[1]


def _holds_more(bundle: Bundle, rows: Labelled, held_out: Labelled | None) -> bool:
    """Whether the rows are the held-out ones and others."""
    if held_out is None or len(rows.rows) <= len(held_out.rows):
        return False
    missing = _counted(held_out, bundle, bundle.manifest.feature_names)
    may_be = np.ones(len(rows.rows), dtype=bool)
    for given, own in zip(rows.rows.values.T, held_out.rows.values.T, strict=True):
        may_be &= np.isin(given, own)
    for row in rows.rows[may_be]:
        key: tuple[float | str, ...] = (*row.values, row.label)
        if key in missing:
            missing[key] -= 1
    return not +missing


def _counted(rows: Labelled, bundle: Bundle, names: list[str]) -> Counter[tuple[float | str, ...]]:
    """How often each row occurs, by the values of these features and the label."""
    places = [bundle.manifest.feature_names.index(name) for name in names]
    return Counter((*(row.values[place] for place in places), row.label) for row in rows.rows)


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""  # the table reader says what is wrong with it
