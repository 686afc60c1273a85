"""The manifest of an imported network: what is not known is said to be not known."""

import hashlib
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

import ampedge
from ampedge.files import name_as_text
from ampedge.model.manifest import NOT_KNOWN, PROTOCOL
from ampedge.model.network import pack_weights
from ampedge.training.fitting.joint import joint
from ampedge.training.importing.parts import Parts
from ampedge.wire import rfc3339

_QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
_NORMAL = (0.05, 0.5, 0.95)


def manifest(
    parts: Parts, *, name: str, normal_label: str, golden: list[dict[str, Any]], files: Mapping[str, Path]
) -> dict[str, Any]:
    """All of `manifest.json` but the hashes of the files; `files` are those that it was made of, by their names."""
    data = None if parts.data is None else parts.data.path
    *hidden, output = (int(bias.size) for _, bias in parts.network.layers)
    return {
        "protocol": PROTOCOL,
        "name": name,
        "version": f"{datetime.now(UTC):%Y.%m.%d}-{hashlib.sha256(pack_weights(parts.network.layers)).hexdigest()[:8]}",
        "created": rfc3339(time.time()),
        "classes": list(parts.classes),
        "normal_label": normal_label,
        "features": list(_features(parts, normal_label)),
        "layers": [
            *({"units": units, "activation": "relu"} for units in hidden),
            {"units": output, "activation": "softmax"},
        ],
        "temperature": None,  # only rows that did not train it could calibrate it
        "joint": _joint(parts),
        "thresholds": {},
        "datamap": parts.datamap.as_dicts(),
        "metrics": {},
        "training": {
            "data": NOT_KNOWN if data is None else name_as_text(data),
            "data_sha256": NOT_KNOWN if data is None else _sha256(data),
            "label": parts.label,
            "rows": {},
            "settings": {
                "imported": {file: _sha256(path) for file, path in files.items()},
                "scaler": parts.scaler.kind,
                "ranges": parts.scaler.ranges if data is None else f"of all rows of {name_as_text(data)}",
                "split": NOT_KNOWN,
            },
            "libraries": {
                "ampedge": ampedge.__version__,
                "keras": parts.network.keras_version,
                "scikit-learn": parts.scaler.version,
            },
        },
        "golden": golden,
    }


def _joint(parts: Parts) -> list[dict[str, Any]] | None:
    """How the tags of each class belong together, where there are rows to learn it from."""
    if parts.data is None:
        return None
    scaled = parts.runtime().scaled(parts.data.values)
    found = joint(scaled, parts.data.targets, None, len(parts.classes))
    return None if found is None else [of_class.model_dump() for of_class in found]


def _features(parts: Parts, normal_label: str) -> Iterator[dict[str, Any]]:
    scaler, data = parts.scaler, parts.data
    for place, tag in enumerate(parts.datamap.tags):
        low, high = float(scaler.low[place]), float(scaler.high[place])
        known: dict[str, Any] = {"normal": None}
        if data is not None:
            column = data.values[:, place]
            low, high = float(column.min()), float(column.max())
            known["quantiles"] = {f"{at:g}": float(np.quantile(column, at)) for at in _QUANTILES}
            healthy = np.quantile(column[data.targets == parts.classes.index(normal_label)], _NORMAL)
            known["normal"] = dict(zip(("low", "centre", "high"), healthy.tolist(), strict=True))
        yield {
            "name": tag.name,
            "unit": tag.unit,
            "minimum": low,
            "maximum": high,
            "mean": float(scaler.mean[place]),
            "std": float(scaler.std[place]),
            **known,
        }


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
