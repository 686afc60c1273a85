"""Small bundles for tests, made without training: nearest-centre classifiers and networks of random weights."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import numpy as np

from ampedge.datamap import DataMap, laid_out
from ampedge.model.bundle import HELD_OUT, REPRESENTATIVE, WEIGHTS, Bundle, save_bundle
from ampedge.model.manifest import PROTOCOL, ClassEnvelope
from ampedge.model.network import DenseNetwork, Matrix, pack_weights

Layers = list[tuple[np.ndarray, np.ndarray]]

AMPLIFIER_CLASSES = ("failsoon", "healthy", "overdriven", "unstable")
AMPLIFIER_FEATURES = {
    "plate_voltage": ("V", 427.335513967164, 9.0),
    "bias_voltage": ("V", -12.072760045821497, 1.5),
    "heater_current": ("A", 0.2876259585530916, 0.01),
    "output_thd": ("%", 0.8945856193036692, 2.0),
    "impedance": ("ohm", 7.502195010331243, 1.0),
}


def centre_layers(centres: Matrix) -> Layers:
    """One softmax layer whose most probable class is the centre (scaled units) that is nearest."""
    return [((2 * centres.T).astype("f4"), (-(centres**2).sum(axis=1)).astype("f4"))]


def random_layers(sizes: Sequence[int], seed: int = 0) -> Layers:
    """Dense layers of normal weights, their biases set so that every class comes out for some inputs."""
    drawn = np.random.RandomState(seed)
    flow = drawn.normal(0, 1.5, (500, sizes[0]))
    layers = []
    for inputs, units in pairwise(sizes):
        kernel = drawn.normal(0, 1.7 / inputs**0.5, (inputs, units)).astype("f4")
        bias = (-(flow @ kernel).mean(axis=0)).astype("f4")
        flow = np.maximum(flow @ kernel + bias, 0)
        layers.append((kernel, bias))
    return layers


def make_bundle(
    place: Path,
    *,
    classes: Sequence[str],
    mean: Sequence[float],
    std: Sequence[float],
    layers: Layers,
    rows: Sequence[tuple[Sequence[float], str]] = (),
    representative: Sequence[tuple[Sequence[float], str]] = (),
    names: Sequence[str] | None = None,
    datamap: DataMap | None = None,
    data_sha256: str = "0" * 64,
    name: str = "tiny",
    candidates: Sequence[Sequence[float]] | None = None,
    joint: Sequence[ClassEnvelope] | None = None,
    thresholds: Mapping[str, float] | None = None,
) -> Bundle:
    """A bundle directory; `rows` are (values, label) of heldout.csv, which is left out without any.

    `representative` are those of representative.csv.

    Golden rows are the most and the least certain of each class among random rows and `candidates`.
    """
    candidates = np.empty((0, len(mean))) if candidates is None else candidates
    names = list(names or [f"x{i}" for i in range(len(mean))])
    datamap = datamap or laid_out(names)
    network = DenseNetwork(mean, std, layers)
    scaled = np.random.RandomState(1).normal(0, 1.5, (2000, len(mean)))
    values = np.vstack([scaled * np.array(std) + np.array(mean), candidates])
    found = network.probabilities(values)
    golden = []
    for i, class_name in enumerate(classes):
        (of_class,) = np.nonzero(found.argmax(axis=1) == i)
        assert len(of_class), f"no sample comes out as {class_name}"
        for row in (of_class[found[of_class, i].argmax()], of_class[found[of_class, i].argmin()]):
            golden.append(
                {"values": values[row].tolist(), "probabilities": found[row].tolist(), "class_name": class_name}
            )
    manifest = {
        "protocol": PROTOCOL,
        "name": name,
        "version": "1",
        "created": datetime(2026, 1, 1, tzinfo=UTC).isoformat(),
        "classes": list(classes),
        "normal_label": classes[0],
        "features": [
            {
                **{"name": tag.name, "unit": tag.unit, "mean": m, "std": s, "normal": None},
                **{"minimum": m - 4 * s, "maximum": m + 4 * s},
            }
            for tag, m, s in zip(datamap.tags, mean, std, strict=True)
        ],
        "layers": [
            {"units": bias.size, "activation": "softmax" if layer == len(layers) else "relu"}
            for layer, (_, bias) in enumerate(layers, start=1)
        ],
        "datamap": datamap.as_dicts(),
        "metrics": {},
        "training": {
            "data": "data.csv",
            "data_sha256": data_sha256,
            "label": "status",
            "rows": {"train": 0, "validation": 0, "test": len(rows)},
            "settings": {},
            "libraries": {},
        },
        "golden": golden,
        "joint": None if joint is None else [of_class.model_dump() for of_class in joint],
        "thresholds": dict(thresholds or {}),
        "temperature": None,
    }
    files = {WEIGHTS: pack_weights(layers)}
    if rows:
        files[HELD_OUT] = table_text(names, rows).encode()
    if representative:
        files[REPRESENTATIVE] = table_text(names, representative).encode()
    return save_bundle(place, json.loads(json.dumps(manifest)), files)


def tiny_bundle(
    place: Path,
    *,
    classes: Sequence[str] = AMPLIFIER_CLASSES,
    features: Mapping[str, tuple[str, float, float]] = AMPLIFIER_FEATURES,
    rows: Sequence[tuple[Sequence[float], str]] = (),
) -> Bundle:
    """The directory `place`/model: each row gets the class whose `tiny_row` is nearest; no training, no chance.

    `features` maps a name to (unit, value in the row of the second class, deviation).
    By default it is the published data map, in which the published row is `healthy`.
    """
    centres = _centres(len(classes), len(features))
    std = [deviation for _, _, deviation in features.values()]
    mean = [value - z * deviation for z, (_, value, deviation) in zip(centres[1], features.values(), strict=True)]
    return make_bundle(
        place / "model",
        classes=classes,
        mean=mean,
        std=std,
        layers=centre_layers(centres),
        rows=rows,
        datamap=laid_out(list(features), {name: unit for name, (unit, _, _) in features.items()}),
        names=list(features),
        candidates=centres * std + mean,
    )


def tiny_row(bundle: Bundle, class_name: str) -> tuple[float, ...]:
    """The values that a bundle of `tiny_bundle` takes for the very middle of that class, in feature order."""
    features = bundle.manifest.features
    centre = _centres(len(bundle.classes), len(features))[bundle.classes.index(class_name)]
    return tuple(feature.mean + float(z) * feature.std for feature, z in zip(features, centre, strict=True))


def _centres(classes: int, features: int) -> Matrix:
    """One row per class, every column a different order of the same odd numbers around zero."""
    return np.array(
        [[2 * (c * (f + 1) % classes) - (classes - 1) for f in range(features)] for c in range(classes)], float
    )


def table_text(names: Sequence[str], rows: Sequence[tuple[Sequence[float], str]], label: str = "status") -> str:
    """The rows as plain CSV with the label last."""
    lines = [",".join([*names, label]), *(",".join([*map(repr, values), name]) for values, name in rows)]
    return "\n".join(lines) + "\n"
