"""Keras as the engine of a bundle; the one module outside of training that imports Keras and TensorFlow.

The layers are built from the bundle's own weights: a Keras file can run code, and none is read.
"""

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from ampedge.errors import missing_extra
from ampedge.model.network import DenseNetwork
from ampedge.model.runtimes.engine import Engine
from ampedge.quiet import quiet

if TYPE_CHECKING:
    from numpy.typing import NDArray


def import_keras(what: str) -> Any:
    """The keras module on TensorFlow; raises the error of a missing extra, saying that `what` needs it."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # networks of this size run a third faster without
    os.environ["KERAS_BACKEND"] = "tensorflow"
    with quiet():
        try:
            import keras
            import tensorflow  # noqa: F401
        except ImportError as error:
            raise missing_extra(what, "train") from error
    return keras


def engine(network: DenseNetwork) -> Engine:
    """The layers as Keras runs them; raises the error of a missing extra."""
    keras = import_keras("The runtime keras")
    import tensorflow as tf

    model = keras.Sequential([keras.Input((network.layers[0][0].shape[0],))])
    for at, (_, bias) in enumerate(network.layers, start=1):
        model.add(keras.layers.Dense(bias.size, "relu" if at < len(network.layers) else "softmax"))
    model.set_weights([part for layer in network.layers for part in layer])
    call = tf.function(model, input_signature=[tf.TensorSpec([None, network.layers[0][0].shape[0]], tf.float32)])

    def run(values: "NDArray[np.float32]") -> "NDArray[np.float32]":
        found: NDArray[np.float32] = call(tf.constant(values)).numpy()
        return found

    return run
