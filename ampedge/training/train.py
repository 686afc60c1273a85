"""The recipe: from a table to a bundle, each step in its own module."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ampedge.config import Config
from ampedge.errors import ConfigError, ModelRefusedError, UsageError, did_you_mean
from ampedge.model.bundle import Bundle, check_destination, save_bundle
from ampedge.model.verdict import verdict
from ampedge.table import read_table
from ampedge.training.contents import Training, files, manifest
from ampedge.training.fitting.baselines import baselines
from ampedge.training.fitting.fit import Epoch, Part, start
from ampedge.training.fitting.recipe import Learned, learned
from ampedge.training.fitting.sweep import best, sweep, swept
from ampedge.training.fitting.thresholds import known_costs, said, traded, trades
from ampedge.training.fitting.weighting import class_weights, known_weights
from ampedge.training.inspection.checks import check
from ampedge.training.libraries import TRAINING, need_libraries
from ampedge.training.metrics import scores
from ampedge.training.model_name import checked_name
from ampedge.training.rows.classes import label_column
from ampedge.training.rows.dataset import Dataset, dataset
from ampedge.training.rows.labels import folded
from ampedge.training.rows.split import Rows, split
from ampedge.training.settings import FitSettings, TableSettings

_ELSEWHERE = "Choose another place with --out."
_LEANING_TWICE = (
    "Warning: --weights shifts the probabilities to classes that weigh more, and --cost takes them for true: together "
    "they find more of such a class, at more false alarms, than its cost asks for."
)


class Watcher(Protocol):
    """Who is told how a training goes."""

    def read(self, done: int, size: int) -> None:
        """So many bytes of the table are read."""

    def note(self, text: str) -> None:
        """Something about the table that the user should know."""

    def stage(self, text: str) -> None:
        """What is done now, where it takes a while."""

    def trying(self, settings: FitSettings, done: int, of: int) -> None:
        """A fit of the sweep begins, after `done` others."""

    def epoch(self, epoch: Epoch, of: int) -> None:
        """An epoch is over."""


@dataclass(frozen=True, slots=True)
class Trained:
    """A bundle that was written, and what is known about it.

    `metrics` holds the scores of `test`, `validation` and the `baselines`, and what a sweep tried, as in metrics.json.
    """

    bundle: Bundle
    notes: tuple[str, ...]
    metrics: dict[str, Any]
    verdict: list[str]

    def document(self) -> dict[str, Any]:
        """The result as JSON has it."""
        made = self.bundle.manifest
        return {
            "verdict": self.verdict,
            "model": {"name": made.name, "version": made.version, "path": str(self.bundle.path)},
            "classes": made.classes,
            "features": made.feature_names,
            "normal_label": made.normal_label,
            "rows": made.training.rows,
            "notes": list(self.notes),
            **self.metrics,
        }


def train(
    path: Path,
    *,
    out: Path,
    config: Config,
    table: TableSettings,
    fitting: FitSettings,
    watcher: Watcher,
    name: str | None = None,
    tried: Sequence[FitSettings] = (),
) -> Trained:
    """Read and check the table, fit the network, judge it on held-out rows, and write the bundle to `out`.

    Of the settings in `tried` those are taken that do best on folds of the other rows; else `fitting`.
    Raises an error, with nothing written, where the table, the options or `out` do not allow it.
    """
    need_libraries("Training", TRAINING)
    name = checked_name(path.stem if name is None else name)
    _check_place(out)
    read = read_table(
        path, sep=table.sep, decimal=table.decimal, drop_bad_rows=table.drop_bad_rows, progress=watcher.read
    )
    table = replace(table, label=label_column(read, table.label))
    data = dataset(read, table, config.datamap)
    del read
    normal_label = _normal_label(data, config.settings.decision.normal_label)
    parts = split(data, table, fitting.seed)
    leaning = [_LEANING_TWICE] if fitting.costs and fitting.class_weight != "none" else []
    notes = (*data.notes, *check(data, table.features or ()), *parts.notes, *leaning)
    for note in notes:
        watcher.note(note)
    costs = known_costs(fitting.costs, data.classes, normal_label)
    weighting = known_weights(fitting.class_weight, data.classes)
    fitting, *tried = (replace(one, costs=costs, class_weight=weighting) for one in (fitting, *tried))

    watcher.stage("Starting TensorFlow")
    start()
    trials = []
    if tried:
        steering = np.union1d(parts.training, parts.validation)
        trials = sweep(data, steering, table, tried, costs=costs, on_fit=watcher.trying)
        fitting = best(trials).settings
    watcher.stage("Training")
    made = learned(
        data, parts.training, parts.validation, fitting, on_epoch=lambda epoch: watcher.epoch(epoch, fitting.epochs)
    )
    watcher.stage("Judging it on the held-out rows")
    inputs = made.scaler.scaled(data.values[parts.test])
    _agreed(made, inputs, parts.test)
    of_each = trades(costs, data.classes, made.probabilities[parts.validation], data.targets[parts.validation])
    thresholds = {data.classes.index(one.name): one.chosen for one in of_each}
    simple = baselines(
        Part(made.scaler.scaled(data.values[parts.training]), data.targets[parts.training]),
        inputs,
        class_weights=class_weights(data.targets[parts.training], data.classes, weighting),
        thresholds=thresholds,
        seed=fitting.seed,
    )
    metrics = {
        "test": _scores(data, parts.test, said(made.probabilities[parts.test], thresholds)),
        "validation": _scores(data, parts.validation, said(made.probabilities[parts.validation], thresholds)),
        "baselines": {baseline: _scores(data, parts.test, found) for baseline, found in simple.items()},
        "costs": traded(of_each, data.classes, data.targets[parts.test], made.probabilities[parts.test]),
        **({"sweep": swept(trials)} if trials else {}),
    }
    whole = Training(
        name=name,
        normal_label=normal_label,
        table=table,
        settings=fitting,
        data=data,
        parts=parts,
        learned=made,
        trades=of_each,
        metrics=metrics,
    )
    watcher.stage("Writing the model")
    try:
        bundle = save_bundle(out, manifest(whole), files(whole))
    except OSError as error:
        raise UsageError(f"{out} cannot be written: {error.strerror}.", _ELSEWHERE) from error
    return Trained(bundle, notes, metrics, verdict(metrics["test"], metrics["baselines"]))


def _check_place(out: Path) -> None:
    """Say now, not after the training, that the bundle cannot be written."""
    check_destination(out)
    place = next(folder for folder in out.absolute().parents if folder.exists())
    if not place.is_dir() or not os.access(place, os.W_OK):
        raise UsageError(f"{out} cannot be written: {place} is no directory to write to.", _ELSEWHERE)


def _agreed(made: Learned, inputs: NDArray[np.float32], rows: Rows) -> None:
    """Raise ModelRefusedError where Keras does not say of the inputs of these rows what the edge says."""
    differing = int((made.fitted.probabilities(inputs).argmax(axis=1) != made.probabilities[rows].argmax(1)).sum())
    if differing:
        raise ModelRefusedError(
            f"Keras and the edge runtime disagree on {differing} held-out rows; nothing was written.",
            "Train again with another --seed, and report this.",
        )


def _scores(data: Dataset, rows: Rows, said: Rows) -> dict[str, Any]:
    return scores(data.names(rows), [data.classes[place] for place in said], data.classes)


def _normal_label(data: Dataset, wanted: str | None) -> str:
    """The class that the config names, else the commonest."""
    if wanted is None:
        return data.classes[int(np.bincount(data.targets).argmax())]
    known = {folded(name): name for name in data.classes}
    if folded(wanted) not in known:
        hint = did_you_mean(wanted, data.classes)
        raise ConfigError(
            f"decision.normal_label: {wanted!r} is none of the classes {', '.join(data.classes)}"
            + (f"; {hint}" if hint else "."),
            "Name the class of the healthy state, or leave the key away.",
        )
    return known[folded(wanted)]
