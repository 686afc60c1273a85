"""The edge's own runtime: a dense network's forward pass in NumPy, kept to what NumPy 1.24 has."""

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np

from ampedge.errors import ModelRefusedError

if TYPE_CHECKING:  # loading it costs more than half of NumPy itself
    from numpy.typing import NDArray

Matrix: TypeAlias = "NDArray[np.float64]"
"""(rows, columns) of numbers."""

Layers: TypeAlias = "Sequence[tuple[NDArray[np.float32], NDArray[np.float32]]]"
"""Kernel (inputs, units) and bias (units,) of each layer, in order."""


class Runtime(Protocol):
    """What every runtime offers: raw values in engineering units in, probabilities out."""

    name: str

    def probabilities(self, values: Matrix) -> Matrix:
        """(rows, features) in engineering units to (rows, classes), each row adding up to 1.

        A row whose values are too large for the model's arithmetic comes out as NaN.
        """


class DenseNetwork:
    """Standard scaling, dense ReLU layers, softmax over the classes.

    `mean` and `std` have shape (features,); `layers` are (kernel, bias), a kernel of shape (inputs, units) as in Keras.
    Scaling is done in float64, the layers in float32.
    """

    name = "numpy"

    def __init__(
        self,
        mean: Sequence[float],
        std: Sequence[float],
        layers: Layers,
    ) -> None:
        self.mean = np.asarray(mean, dtype=np.float64)
        self.std = np.asarray(std, dtype=np.float64)
        self.layers = tuple(layers)

    def inputs(self, values: Matrix) -> "NDArray[np.float32]":
        """What the first layer gets; what float32 cannot hold becomes infinite."""
        with np.errstate(over="ignore", invalid="ignore"):
            return self.scaled(values).astype(np.float32)

    def float32_scaling(self) -> "tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]":
        """(coarse, fine, scale), so that (values - coarse - fine) * scale scales values in float32.

        The mean is taken off in two parts, so that a column such as 1,000,000 +- 1 keeps its digits.
        """
        coarse = self.mean.astype(np.float32)
        return coarse, (self.mean - coarse).astype(np.float32), (1 / self.std).astype(np.float32)

    def probabilities(self, values: Matrix) -> Matrix:
        """(rows, features) in engineering units to (rows, classes)."""
        with np.errstate(over="ignore", invalid="ignore"):
            scores = self.scores(self.scaled(values))
            scores -= scores.max(axis=1, keepdims=True)
            np.exp(scores, out=scores)
            scores /= scores.sum(axis=1, keepdims=True)
        return scores

    def scaled(self, values: Matrix) -> Matrix:
        """(rows, features) in engineering units to scaled units."""
        scaled: Matrix = (values - self.mean) / self.std
        return scaled

    def scores(self, scaled: Matrix) -> Matrix:
        """(rows, features) in scaled units to (rows, classes) before the softmax."""
        flow = scaled.astype(np.float32)
        *hidden, (kernel, bias) = self.layers
        for inner, offset in hidden:
            flow = np.maximum(flow @ inner + offset, 0)
        return (flow @ kernel + bias).astype(np.float64)


def pack_weights(layers: Layers) -> bytes:
    """Kernel and bias of each layer in order, as little-endian float32 and nothing else."""
    return b"".join(np.ascontiguousarray(part, dtype="<f4").tobytes() for layer in layers for part in layer)


def unpack_weights(data: bytes, inputs: int, units: Sequence[int]) -> Layers:
    """The layers of `pack_weights`; raises ModelRefusedError where the size or a number is wrong."""
    sizes = [inputs, *units]
    expected = 4 * sum(a * b + b for a, b in pairwise(sizes))
    if len(data) != expected:
        raise ModelRefusedError(f"The weights have {len(data)} bytes, the network needs {expected}.")
    flat = np.frombuffer(data, dtype="<f4").astype(np.float32)
    if not np.isfinite(flat).all():
        raise ModelRefusedError("The weights hold a number that is not finite.")
    layers = []
    at = 0
    for rows, columns in pairwise(sizes):
        kernel = flat[at : at + rows * columns].reshape(rows, columns)
        at += rows * columns
        layers.append((kernel, flat[at : at + columns]))
        at += columns
    return layers
