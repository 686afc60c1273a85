"""Which weights of a fit are kept: the mean of the last epochs, or with patience those of the best epoch."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Variables = list[NDArray[np.float32]]

_TAIL = 5
"""One epoch in five, the last ones, are averaged."""


class Kept(Protocol):
    """Is shown the weights after each epoch; `epoch` says up to which it has kept, `averaged` how many of them."""

    epoch: int
    averaged: int

    def look(self, epoch: int, validation_loss: float, weights: Variables) -> bool:
        """Take note of an epoch; True where the fit is to stop."""

    def weights(self) -> Variables:
        """The weights to keep."""


class LastEpochs:
    """The mean over the last fifth of the epochs, which scores better and varies less than the last weights alone."""

    def __init__(self, epochs: int) -> None:
        self.epoch = 0
        self.averaged = 0
        self._first = epochs - max(1, epochs // _TAIL) + 1
        self._sums: list[NDArray[np.float64]] = []

    def look(self, epoch: int, validation_loss: float, weights: Variables) -> bool:  # noqa: ARG002
        """Add the weights of one of the last epochs; never stops."""
        self.epoch = epoch
        if epoch >= self._first:
            sums = self._sums or [np.zeros(part.shape) for part in weights]
            self._sums = [total + part for total, part in zip(sums, weights, strict=True)]
            self.averaged += 1
        return False

    def weights(self) -> Variables:
        """The mean."""
        return [(total / self.averaged).astype(np.float32) for total in self._sums]


class BestEpoch:
    """The weights of the least validation loss; stops after `patience` epochs without a better one."""

    averaged = 1

    def __init__(self, patience: int) -> None:
        self.epoch = 0
        self._patience = patience
        self._least = np.inf
        self._weights: Variables = []

    def look(self, epoch: int, validation_loss: float, weights: Variables) -> bool:
        """Keep the weights where they are better than all before."""
        if validation_loss < self._least:
            self.epoch, self._least, self._weights = epoch, validation_loss, weights
        return epoch - self.epoch >= self._patience

    def weights(self) -> Variables:
        """Those of the best epoch."""
        return self._weights
