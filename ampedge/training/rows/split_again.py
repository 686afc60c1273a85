"""The held-out rows of a bundle that does not carry them, found again in the table of its training."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from ampedge.model.bundle import Bundle
from ampedge.table import Progress, Texts, read_table
from ampedge.training.libraries import need_libraries
from ampedge.training.rows.dataset import Dataset, dataset
from ampedge.training.rows.labelled import Labelled
from ampedge.training.rows.labelled_row import LabelledRows
from ampedge.training.rows.recorded import fit_settings, table_settings
from ampedge.training.rows.split import Rows, split

_SAME = 1e-9


def split_again(
    bundle: Bundle, path: Path, *, group: str | None = None, progress: Progress | None = None
) -> Labelled | None:
    """The rows of `path`, which is the table of the training, that the recorded settings hold out.

    None where the bundle does not record them, or where the other rows do not have the scaling that it was trained
    with: another version of a library may have split in another way.
    """
    settings = table_settings(bundle)
    if settings is None:
        return None
    need_libraries("Scoring a model", ("sklearn",))
    table = read_table(
        path, sep=settings.sep, decimal=settings.decimal, drop_bad_rows=settings.drop_bad_rows, progress=progress
    )
    features = tuple(bundle.manifest.feature_names)
    settings = replace(settings, features=features, drop=())
    data = dataset(table, settings, bundle.datamap, keep_wild=not settings.drop_bad_rows)
    parts = split(data, settings, fit_settings(bundle).seed)
    if not _trained_on(bundle, data, parts.training):
        return None
    column = group or settings.group
    lines, groups = table.lines, None if column is None else table.texts(column)
    if data.kept is not None:
        lines, groups = lines[data.kept], None if groups is None else groups[data.kept]
    rows = LabelledRows(
        lines[parts.test],
        data.values[parts.test],
        Texts(data.targets[parts.test], data.classes),
        None if groups is None else groups[parts.test],
    )
    return Labelled(path, rows, data.notes, held_out=True, group=column)


def _trained_on(bundle: Bundle, data: Dataset, rows: Rows) -> bool:
    values, features = data.values[rows], bundle.manifest.features
    found = np.array([values.mean(axis=0), values.std(axis=0)])
    recorded = np.array([[feature.mean for feature in features], [feature.std for feature in features]])
    return bool(np.allclose(found, recorded, rtol=_SAME, atol=0))
