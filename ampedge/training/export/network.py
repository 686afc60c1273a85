"""The bundle's network as a Keras model, from the manifest and the weights alone: no Keras file is trusted."""

from typing import Any

import numpy as np

from ampedge.model.bundle import Bundle
from ampedge.model.network import DenseNetwork
from ampedge.training.quiet import import_keras

INPUT = "values"
OUTPUT = "probabilities"


def scaled_network(bundle: Bundle) -> Any:
    """The network alone: (rows, features) of scaled values to (rows, classes)."""
    return _sequential(bundle, [])


def whole_network(bundle: Bundle) -> Any:
    """Scaling and network: (rows, features) of float32 values in engineering units to (rows, classes).

    The mean is taken off in two float32 parts, so that a column such as 1,000,000 +- 1 keeps its digits.
    The scale stands between the two: no optimiser may then add them up and round the smaller one away.
    """
    keras = import_keras("Export to this format")
    mean = np.array([feature.mean for feature in bundle.manifest.features])
    scale = 1 / np.array([feature.std for feature in bundle.manifest.features])
    coarse = mean.astype(np.float32).astype(np.float64)
    return _sequential(
        bundle,
        [
            keras.layers.Rescaling(1.0, offset=(-coarse).tolist(), name="centre"),
            keras.layers.Rescaling(scale.tolist(), offset=((coarse - mean) * scale).tolist(), name="scale"),
        ],
    )


def _sequential(bundle: Bundle, first: list[Any]) -> Any:
    keras = import_keras("Export to this format")
    network = bundle.runtime
    assert isinstance(network, DenseNetwork)
    kinds = bundle.manifest.layers
    dense = [keras.layers.Dense(kind.units, activation=kind.activation) for kind in kinds[:-1]]
    dense.append(keras.layers.Dense(kinds[-1].units, activation=kinds[-1].activation, name=OUTPUT))
    inputs = keras.Input((len(bundle.manifest.features),), name=INPUT)
    model = keras.Sequential([inputs, *first, *dense], name="ampedge")
    for layer, (kernel, bias) in zip(dense, network.layers, strict=True):
        layer.set_weights([kernel, bias])
    return model
