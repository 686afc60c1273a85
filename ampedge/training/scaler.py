"""Standard scaling, learned from the training part alone."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ampedge.errors import DataError
from ampedge.model.network import Matrix
from ampedge.training.dataset import Dataset
from ampedge.training.split import Rows


@dataclass(frozen=True, slots=True)
class Scaler:
    """Mean and population standard deviation of each feature, both of shape (features,)."""

    mean: NDArray[np.float64]
    std: NDArray[np.float64]

    def scaled(self, values: Matrix) -> NDArray[np.float32]:
        """The inputs of the network, in the arithmetic of the edge runtime."""
        return ((values - self.mean) / self.std).astype(np.float32)


def fitted_scaler(data: Dataset, rows: Rows) -> Scaler:
    """The scaler of these rows; raises DataError where a feature does not vary in them."""
    values = data.values[rows]
    scaler = Scaler(values.mean(axis=0), values.std(axis=0))
    for name, low, high in zip(data.features, values.min(axis=0), values.max(axis=0), strict=True):
        if low == high:
            raise DataError(
                f"{data.path}: the column {name!r} is {low:g} in every row of the training part.",
                f"{data.without(name)}, or split with another --seed.",
            )
    return scaler
