"""`h5`: the three files of the published service: the network alone, its scaler, and the labels in training order."""

import json
from pathlib import Path

import numpy as np

from ampedge.errors import missing_extra
from ampedge.model.bundle import Bundle
from ampedge.model.network import Matrix
from ampedge.model.runtimes.keras_runtime import import_keras
from ampedge.training.export.comparison import Run
from ampedge.training.export.network import scaled_network

NETWORK = "amp_model.h5"
SCALER = "scaler.save"
LABELS = "labels.json"
CONTENTS = frozenset({NETWORK, SCALER, LABELS})
_AROUND_WEIGHTS = 2**17
"""More bytes than HDF5 takes beside the weights."""


def write(bundle: Bundle, place: Path) -> None:
    """The three files into the directory `place`."""
    try:
        import joblib
        from sklearn.preprocessing import StandardScaler
    except ImportError as error:
        raise missing_extra("Export to h5", "train") from error
    features = bundle.manifest.features
    scaler = StandardScaler()
    scaler.mean_ = np.array([feature.mean for feature in features])
    scaler.scale_ = np.array([feature.std for feature in features])
    scaler.var_ = scaler.scale_**2
    scaler.n_features_in_ = len(features)
    scaler.feature_names_in_ = np.array(bundle.manifest.feature_names, dtype=object)
    size = sum(part.nbytes for layer in bundle.network.layers for part in layer)
    (place / NETWORK).write_bytes(bytes(size + _AROUND_WEIGHTS))  # on a full disk this fails, but HDF5 crashes
    scaled_network(bundle).save(place / NETWORK)
    joblib.dump(scaler, place / SCALER)
    (place / LABELS).write_text(json.dumps(bundle.manifest.classes, ensure_ascii=False), "utf-8")


def load(place: Path) -> Run:
    """Scaler and network as the published service loads them."""
    import joblib

    model = import_keras("Export to h5").models.load_model(place / NETWORK)
    scaler = joblib.load(place / SCALER)

    def run(values: Matrix) -> Matrix:
        return np.asarray(model(scaler.transform(values)), dtype=np.float64)

    return run
