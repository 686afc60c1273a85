"""What goes into a bundle: its manifest and the files beside it, made from a finished training."""

import csv
import hashlib
import io
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from platform import python_version
from typing import Any

import numpy as np

import ampedge
from ampedge.datamap import Tag
from ampedge.files import name_as_text
from ampedge.formulas import escaped
from ampedge.model.bundle import HELD_OUT, REPRESENTATIVE, WEIGHTS
from ampedge.model.manifest import PROTOCOL
from ampedge.model.network import pack_weights
from ampedge.quiet import quiet
from ampedge.training.fitting.cost_picture import costs_png
from ampedge.training.fitting.course_picture import history_png
from ampedge.training.fitting.fit import Fitted
from ampedge.training.fitting.recipe import Learned
from ampedge.training.fitting.thresholds import Trade
from ampedge.training.rows.dataset import Dataset
from ampedge.training.rows.golden import golden_rows
from ampedge.training.rows.recorded import record
from ampedge.training.rows.split import Rows, Split
from ampedge.training.settings import FitSettings, TableSettings
from ampedge.wire import rfc3339

KERAS_MODEL = "network.keras"
HISTORY = "training_history.png"
COSTS = "cost_curves.png"
METRICS = "metrics.json"

_REPRESENTATIVE_ROWS = 500
_QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
_NORMAL = (0.05, 0.5, 0.95)


@dataclass(frozen=True, slots=True)
class Training:
    """A finished training; `trades` has one for each class with a cost, measured on the rows of validation."""

    name: str
    normal_label: str
    table: TableSettings
    settings: FitSettings
    data: Dataset
    parts: Split
    learned: Learned
    trades: Sequence[Trade]
    metrics: dict[str, Any]


def manifest(training: Training) -> dict[str, Any]:
    """All of `manifest.json` but the hashes of the files."""
    data, settings, joint = training.data, training.settings, training.learned.joint
    return {
        "protocol": PROTOCOL,
        "name": training.name,
        "version": f"{datetime.now(UTC):%Y.%m.%d}-{hashlib.sha256(_weights(training)).hexdigest()[:8]}",
        "created": rfc3339(time.time()),
        "classes": list(data.classes),
        "normal_label": training.normal_label,
        "features": _features(training),
        "layers": [
            *({"units": units, "activation": "relu"} for units in settings.layers),
            {"units": len(data.classes), "activation": "softmax"},
        ],
        "temperature": training.learned.temperature,
        "joint": None if joint is None else [of_class.model_dump() for of_class in joint],
        "thresholds": _thresholds(training),
        "datamap": data.datamap.as_dicts(),
        "metrics": training.metrics,
        "training": {
            "data": name_as_text(data.path),
            "data_sha256": _sha256(data.path),
            "label": training.table.label,
            "rows": training.parts.sizes(),
            "settings": {
                **record(settings, training.table),
                "split": training.parts.method,
                "epochs_run": len(training.learned.fitted.history),
                "kept_epoch": training.learned.fitted.kept_epoch,
                "averaged_epochs": training.learned.fitted.averaged_epochs,
            },
            "libraries": _libraries(),
        },
        "golden": golden_rows(data, training.parts, training.learned.probabilities),
    }


def files(training: Training) -> dict[str, bytes]:
    """The files of the bundle directory beside the manifest."""
    return {
        WEIGHTS: _weights(training),
        KERAS_MODEL: _keras_model(training.learned.fitted),
        HELD_OUT: _table(training, training.parts.test),
        REPRESENTATIVE: _table(training, _representative(training)),
        HISTORY: history_png(training.learned.fitted),
        **({COSTS: costs_png(training.trades, _thresholds(training))} if training.trades else {}),
        METRICS: json.dumps(training.metrics, indent=1, ensure_ascii=False).encode(),
    }


def _thresholds(training: Training) -> dict[str, float]:
    return {of_class.name: of_class.chosen for of_class in training.trades}


def _weights(training: Training) -> bytes:
    return pack_weights(training.learned.fitted.weights())


def _features(training: Training) -> list[dict[str, Any]]:
    return [_feature(training, place, tag) for place, tag in enumerate(training.data.datamap.tags)]


def _feature(training: Training, place: int, tag: Tag) -> dict[str, Any]:
    data, rows = training.data, training.parts.training
    column = data.values[rows, place]
    quantiles = zip(_QUANTILES, np.quantile(column, _QUANTILES), strict=True)
    low, centre, high = np.quantile(column[data.targets[rows] == data.classes.index(training.normal_label)], _NORMAL)
    return {
        "name": tag.name,
        "unit": tag.unit,
        "minimum": float(column.min()),
        "maximum": float(column.max()),
        "mean": float(training.learned.scaler.mean[place]),
        "std": float(training.learned.scaler.std[place]),
        "quantiles": {f"{at:g}": float(found) for at, found in quantiles},
        "normal": {"low": float(low), "centre": float(centre), "high": float(high)},
    }


def _libraries() -> dict[str, str]:
    import tensorflow as tf

    return {
        "python": python_version(),
        "ampedge": ampedge.__version__,
        "tensorflow": tf.__version__,
        **{name: version(name) for name in ("keras", "numpy", "scikit-learn")},
    }


def _keras_model(fitted: Fitted) -> bytes:
    with tempfile.TemporaryDirectory() as directory, quiet():
        path = Path(directory) / KERAS_MODEL
        fitted.model.save(path)
        return path.read_bytes()


def _representative(training: Training) -> Rows:
    """Rows of the training part, each class with its share, evenly from the first to the last."""
    rows = training.parts.training
    by_class = rows[np.argsort(training.data.targets[rows], kind="stable")]
    places = np.linspace(0, len(rows) - 1, min(len(rows), _REPRESENTATIVE_ROWS)).astype(int)
    return np.take(by_class, places)


def _table(training: Training, rows: Rows) -> bytes:
    """These rows as plain CSV: the features in their order with all their digits, the group, then the label."""
    data = training.data
    group = [] if training.table.group is None else [training.table.group]
    text = io.StringIO()
    texts = (*group, training.table.label, *(data.groups.unique if data.groups is not None else ()))
    # Python quotes a CR within a cell only where it ends the lines, too
    writer = csv.writer(text, lineterminator="\r\n" if any("\r" in one for one in texts) else "\n")
    writer.writerow(map(escaped, [*data.features, *group, training.table.label]))
    for row, name in zip(rows.tolist(), data.names(rows), strict=True):
        belongs = [] if data.groups is None else [data.groups[row]]
        writer.writerow([*map(repr, data.values[row].tolist()), *map(escaped, [*belongs, name])])
    return text.getvalue().encode()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
