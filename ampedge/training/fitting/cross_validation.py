"""The recipe of a bundle, learned anew on each fold of a table: what another split would have given."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ampedge.errors import DataError
from ampedge.model.bundle import Bundle
from ampedge.model.figures import held_out_scores
from ampedge.table import Progress, read_table
from ampedge.training.fitting.fit import start
from ampedge.training.fitting.recipe import calibrated
from ampedge.training.fitting.thresholds import known_costs, said, threshold
from ampedge.training.fitting.weighting import known_weights
from ampedge.training.libraries import TRAINING, need_libraries
from ampedge.training.metrics import scores
from ampedge.training.rows.dataset import Dataset, dataset
from ampedge.training.rows.folds import Fold, folds, unlearned
from ampedge.training.rows.recorded import fit_settings, table_settings
from ampedge.training.rows.split import apart
from ampedge.training.settings import FitSettings, TableSettings

_FIGURES = ("precision", "recall", "f1")
_SWEPT = (
    "Warning: layers, learning rate and L2 of this model were chosen by --sweep on rows of its table; the choice is "
    "not made anew in each fold, so the figures flatter a little."
)

Track = Callable[[Sequence[Fold]], Iterable[Fold]]
"""Passes folds on and shows how many have gone by."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Mean of a figure over the folds, and its standard deviation from fold to fold."""

    mean: float
    deviation: float

    def document(self) -> dict[str, float]:
        """As JSON has it."""
        return {"mean": self.mean, "deviation": self.deviation}


@dataclass(frozen=True, slots=True)
class CrossValidation:
    """`folds` holds of each fold its `rows` by part and its scores, see `ampedge.training.metrics`.

    `split` says in words how they were made; `held_out` is the macro-F1 of the bundle itself on its held-out rows.
    """

    bundle: Bundle
    path: Path
    split: str
    rows: int
    notes: tuple[str, ...]
    folds: list[dict[str, Any]]
    held_out: float | None
    min_macro_f1: float | None = None

    @property
    def accuracy(self) -> Spread:
        return spread([fold["accuracy"] for fold in self.folds])

    @property
    def macro_f1(self) -> Spread:
        return spread([fold["macro_f1"] for fold in self.folds])

    @property
    def passed(self) -> bool:
        """Whether the acceptance gate is met; true where there is none."""
        return self.min_macro_f1 is None or self.macro_f1.mean >= self.min_macro_f1

    def per_class(self) -> dict[str, dict[str, Spread]]:
        """Precision, recall and F1 of each class over the folds that are judged on rows of it, the worst F1 first."""
        found = {}
        for name in self.folds[0]["per_class"]:
            judged = [fold["per_class"][name] for fold in self.folds if fold["per_class"][name]["support"]]
            if judged:
                found[name] = {figure: spread([one[figure] for one in judged]) for figure in _FIGURES}
        return dict(sorted(found.items(), key=lambda item: item[1]["f1"].mean))

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        manifest = self.bundle.manifest
        return {
            "model": {"name": manifest.name, "version": manifest.version, "path": str(self.bundle.path)},
            "data": str(self.path),
            "rows": self.rows,
            "split": self.split,
            "notes": list(self.notes),
            "accuracy": self.accuracy.document(),
            "macro_f1": self.macro_f1.document(),
            "per_class": {
                name: {figure: one.document() for figure, one in figures.items()}
                for name, figures in self.per_class().items()
            },
            "held_out_macro_f1": self.held_out,
            "min_macro_f1": self.min_macro_f1,
            "passed": self.passed,
            "folds": self.folds,
        }


def spread(values: Sequence[float]) -> Spread:
    """Of a figure in each fold; that of a single one has no deviation."""
    return Spread(float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else 0.0)


def cross_validate(
    bundle: Bundle,
    path: Path,
    *,
    count: int,
    read: Mapping[str, Any],
    min_macro_f1: float | None = None,
    progress: Progress | None = None,
    track: Track = iter,
) -> CrossValidation:
    """Train and judge with the settings that the bundle records, on `count` folds of all rows of the table.

    `read` holds settings of the table that take the place of recorded ones; None and False leave those as they are.
    Raises DataError where the table lacks a column or is too small for so many folds.
    """
    need_libraries("Cross-validation", TRAINING)
    fitting, given = fit_settings(bundle), table_settings(bundle)
    table = given or TableSettings(label=bundle.manifest.training.label)
    if read.get("group"):
        table = replace(table, time_order=False)
    table = replace(table, **{name: value for name, value in read.items() if value})
    rows = read_table(path, sep=table.sep, decimal=table.decimal, drop_bad_rows=table.drop_bad_rows, progress=progress)
    for name in bundle.manifest.feature_names:
        rows.column(name)
    features = tuple(bundle.manifest.feature_names)
    data = dataset(rows, replace(table, features=features, drop=()), bundle.datamap)
    fitting = replace(fitting, class_weight=known_weights(fitting.class_weight, data.classes))
    costs = known_costs(fitting.costs, data.classes, bundle.manifest.normal_label)
    parts = folds(data, np.arange(len(data.targets)), table, count=count, seed=fitting.seed)
    held_out = held_out_scores(bundle.manifest.metrics, bundle.classes)
    start()
    return CrossValidation(
        bundle=bundle,
        path=path,
        split=_in_words(table),
        rows=len(data.targets),
        notes=(*data.notes, *_notes(bundle, data, parts, recorded=given is not None)),
        folds=[fold_scores(data, fold, fitting, costs) for fold in track(parts)],
        held_out=None if held_out is None else held_out.macro_f1,
        min_macro_f1=min_macro_f1,
    )


def fold_scores(data: Dataset, fold: Fold, settings: FitSettings, costs: Mapping[str, float]) -> dict[str, Any]:
    """`rows` by part and the scores of a network that learned from the fold; `start()` has been called before."""
    try:
        made = calibrated(data, fold.training, fold.validation, settings)
    except DataError as error:
        raise DataError(f"In one of the folds: {error.problem}", f"Give fewer folds. {error.remedy}") from error
    thresholds = {data.classes.index(name): threshold(cost) for name, cost in costs.items()}
    places = said(made.network.probabilities(data.values[fold.judged]), thresholds)
    return {
        "rows": {"training": len(fold.training), "validation": len(fold.validation), "judged": len(fold.judged)},
        **scores(data.names(fold.judged), [data.classes[place] for place in places], data.classes),
    }


def _in_words(table: TableSettings) -> str:
    if table.group is not None:
        return apart(table.group)
    return "each fold judged by what came before it" if table.time_order else "stratified"


def _notes(bundle: Bundle, data: Dataset, parts: Sequence[Fold], *, recorded: bool) -> list[str]:
    found = []
    if not recorded:
        found.append(
            "Warning: this model does not record how its table was split; where rows belong to groups, give --group."
        )
    if "sweep" in bundle.manifest.metrics:
        found.append(_SWEPT)
    for number, fold in enumerate(parts, 1):
        if missing := unlearned(data, fold):
            found.append(f"Warning: fold {number} has no row of {', '.join(map(repr, missing))} to learn from.")
    return found
