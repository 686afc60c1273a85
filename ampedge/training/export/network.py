"""The bundle's network as a Keras model, from the manifest and the weights alone: no Keras file is trusted."""

from typing import Any

import numpy as np

from ampedge.model.bundle import Bundle
from ampedge.model.runtimes.keras_runtime import import_keras

INPUT = "values"
OUTPUT = "probabilities"
_LARGEST = float(np.finfo(np.float32).max)


def scaled_network(bundle: Bundle) -> Any:
    """The network alone: (rows, features) of scaled values to (rows, classes)."""
    keras = _keras()
    values = keras.Input((len(bundle.manifest.features),), name=INPUT)
    return _through_layers(keras, bundle, values, values)


def whole_network(bundle: Bundle) -> Any:
    """Scaling and network: (rows, features) of float32 values in engineering units to (rows, classes).

    The mean is taken off in two float32 parts, so that a column such as 1,000,000 +- 1 keeps its digits.
    Converters would fold both into the first layer and so round them away: a clip, which no reading meets,
    stands between them, and arithmetic cannot be moved across it.
    """
    keras = _keras()
    mean = np.array([feature.mean for feature in bundle.manifest.features])
    scale = 1 / np.array([feature.std for feature in bundle.manifest.features])
    coarse = mean.astype(np.float32).astype(np.float64)
    values = keras.Input((len(mean),), name=INPUT)
    centred = keras.layers.Rescaling(1.0, offset=(-coarse).tolist(), name="centre")(values)
    kept = keras.ops.clip(centred, -_LARGEST, _LARGEST)
    scaled = keras.layers.Rescaling(scale.tolist(), offset=((coarse - mean) * scale).tolist(), name="scale")(kept)
    return _through_layers(keras, bundle, values, scaled)


def _keras() -> Any:
    return import_keras("Export to this format")


def _through_layers(keras: Any, bundle: Bundle, values: Any, scaled: Any) -> Any:
    kinds = bundle.manifest.layers
    names = [*(f"hidden_{number}" for number in range(1, len(kinds))), OUTPUT]
    flow = scaled
    for kind, name, weights in zip(kinds, names, bundle.network.layers, strict=True):
        layer = keras.layers.Dense(kind.units, kind.activation, name=name)
        flow = layer(flow)
        layer.set_weights(list(weights))
    return keras.Model(values, flow, name="ampedge")
