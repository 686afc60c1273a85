"""`saved-model`: scaling and network for TensorFlow; `assets.extra/ampedge.json` names features and classes."""

import errno
from pathlib import Path

import numpy as np

from ampedge.model.bundle import Bundle
from ampedge.model.network import Matrix
from ampedge.model.runtimes.keras_runtime import import_keras
from ampedge.training.export.comparison import Run
from ampedge.training.export.facts import FACTS, facts
from ampedge.training.export.network import INPUT, whole_network

EXTRA = "assets.extra"
CONTENTS = frozenset({"saved_model.pb", "fingerprint.pb", "variables", "assets", EXTRA})


def write(bundle: Bundle, place: Path) -> None:
    """A SavedModel into the directory `place`, with the signature `serving_default`."""
    network = whole_network(bundle)
    from tensorflow.errors import OpError

    try:
        network.export(place, verbose=False)
    except OpError as error:  # a full disk, among others
        raise OSError(errno.EIO, f"TensorFlow says: {error.message.rpartition('; ')[2]}") from error
    (place / EXTRA).mkdir()
    (place / EXTRA / FACTS).write_text(facts(bundle), "utf-8")


def load(place: Path) -> Run:
    """The model as TensorFlow's own loader gives it."""
    import_keras("Export to a SavedModel")
    import tensorflow

    model = tensorflow.saved_model.load(str(place))

    def run(values: Matrix) -> Matrix:
        (found,) = model.signatures["serving_default"](**{INPUT: values.astype(np.float32)}).values()
        return np.asarray(found, dtype=np.float64)

    return run
