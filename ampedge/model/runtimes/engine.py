"""A bundle run by another library: NumPy scales, the library runs the layers, NumPy settles what is too close."""

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from ampedge.model.network import DenseNetwork, Matrix

if TYPE_CHECKING:
    from numpy.typing import NDArray

Engine: TypeAlias = "Callable[[NDArray[np.float32]], NDArray[np.float32]]"
"""(rows, features) of scaled values to (rows, classes) of probabilities; called from several threads at once."""

_CLEAR = 1e-4
"""How far the most probable class leads where float32 arithmetic in any order agrees on it."""

_LARGEST = 1e4
"""The largest scaled value with which libraries agree on what overflows, far outside any training."""


class EngineRuntime:
    """A runtime whose layers are another library's, and whose labels are those of NumPy on every row.

    Scaling is done in float64, as `DenseNetwork` does it, so that no value needs more digits than the library has.
    Libraries add up in different orders: where two classes are as good as equal, or a value is beyond all that
    makes sense, the row is NumPy's.
    """

    def __init__(self, name: str, network: DenseNetwork, engine: Engine) -> None:
        self.name = name
        self._network = network
        self._engine = engine

    def probabilities(self, values: Matrix) -> Matrix:
        """(rows, features) in engineering units to (rows, classes)."""
        scaled = self._network.inputs(values)
        found = self._engine(scaled).astype(np.float64)
        second, best = np.partition(found, (-2, -1), axis=1)[:, -2:].T
        unclear = ~((best - second > _CLEAR) & (np.abs(scaled) < _LARGEST).all(axis=1))  # NaN is unclear, too
        if unclear.any():
            found[unclear] = self._network.probabilities(values[unclear])
        return found
