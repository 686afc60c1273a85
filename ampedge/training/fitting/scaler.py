"""Standard scaling, learned from the training part alone."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ampedge.errors import DataError
from ampedge.model.network import Matrix
from ampedge.training.rows.dataset import Dataset
from ampedge.training.rows.pieces import pieces
from ampedge.training.rows.split import Rows


@dataclass(frozen=True, slots=True)
class Scaler:
    """Mean and population standard deviation of each feature, both of shape (features,)."""

    mean: NDArray[np.float64]
    std: NDArray[np.float64]

    def scaled(self, values: Matrix) -> NDArray[np.float32]:
        """The inputs of the network, in the arithmetic of the edge runtime."""
        inputs = np.empty(values.shape, np.float32)
        for piece in pieces(len(values)):
            inputs[piece] = (values[piece] - self.mean) / self.std
        return inputs


def fitted_scaler(data: Dataset, rows: Rows) -> Scaler:
    """The scaler of these rows; raises DataError where a feature does not vary in them."""
    parts = [rows[piece] for piece in pieces(len(rows))]
    mean = _sum(data.values[part] for part in parts) / len(rows)
    std = np.sqrt(_sum((data.values[part] - mean) ** 2 for part in parts) / len(rows))
    first = data.values[rows[0]]
    differing = np.logical_or.reduce([(data.values[part] != first).any(axis=0) for part in parts])
    for name, low, differs in zip(data.features, first, differing, strict=True):
        if not differs:
            raise DataError(
                f"{data.path}: the column {name!r} is {low:g} in every row of the training part.",
                f"{data.without(name)}, or split with another --seed.",
            )
    return Scaler(mean, std)


def _sum(parts: Iterable[Matrix]) -> NDArray[np.float64]:
    """The sum of all rows, added one after the other, as NumPy does over the first axis of a whole matrix."""
    total: NDArray[np.float64] | None = None
    for part in parts:
        total = (part if total is None else np.vstack([total, part])).sum(axis=0)
    assert total is not None
    return total
