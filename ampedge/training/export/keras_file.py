"""`keras`: scaling and network as a Keras model; `ampedge.json` inside the archive names features and classes."""

import zipfile
from pathlib import Path

import numpy as np

from ampedge.model.bundle import Bundle
from ampedge.model.network import Matrix
from ampedge.model.runtimes.keras_runtime import import_keras
from ampedge.training.export.comparison import Run
from ampedge.training.export.facts import FACTS, facts
from ampedge.training.export.network import whole_network


def write(bundle: Bundle, place: Path) -> None:
    """A `.keras` archive."""
    whole_network(bundle).save(place)
    with zipfile.ZipFile(place, "a") as archive:
        archive.writestr(FACTS, facts(bundle))


def load(place: Path) -> Run:
    """The model as `keras.models.load_model` gives it."""
    model = import_keras("Export to Keras").models.load_model(place)

    def run(values: Matrix) -> Matrix:
        return np.asarray(model(values.astype(np.float32)), dtype=np.float64)

    return run
