"""What a model said of each row beside what the table says: what every figure is computed from."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ampedge.model.network import Matrix

NOT_ASKED = -1
"""Stands for the class of a row that the model was not asked about, because its quality was bad."""

Places = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Answers:
    """Rows in their order; `truth` and `said` are places in `classes`.

    `probabilities` has shape (rows, classes) and is NaN where the model was not asked.
    `groups` names the experiment of each row, None where that is not known.
    """

    classes: tuple[str, ...]
    truth: Places
    said: Places
    probabilities: Matrix
    groups: tuple[str, ...] | None = None

    @property
    def asked(self) -> NDArray[np.bool_]:
        """Which rows the model was asked about."""
        return np.not_equal(self.said, NOT_ASKED)
