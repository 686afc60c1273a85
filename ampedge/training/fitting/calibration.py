"""The temperature that makes probabilities say how often the model is right."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ampedge.model.network import Matrix

_SPREAD = 0.3
_SMALLEST = 1e-300
_LOGARITHMS = np.linspace(-1.5, 1.5, 301)


def temperature(probabilities: Matrix, targets: NDArray[np.int32], groups: Sequence[str] | None = None) -> float:
    """What to divide the network's scores by, from rows that did not train it.

    It maximises their likelihood (C. Guo et al., On Calibration of Modern Neural Networks, 2017) with a prior that
    keeps its logarithm within about 0.3 of 0: where all rows are right, the likelihood alone would ask for certainty.
    All rows of one of the `groups` together count as one: they are right or wrong together.
    """
    scores = np.log(np.maximum(probabilities, _SMALLEST))
    rows = np.arange(len(targets))
    weight = 1.0 if groups is None else len(set(groups)) / len(groups)

    def loss(logarithm: float) -> float:
        flow = scores / np.exp(logarithm)
        flow -= flow.max(axis=1, keepdims=True)
        likelihood = (flow[rows, targets] - np.log(np.exp(flow).sum(axis=1))).sum()
        return float((logarithm / _SPREAD) ** 2 / 2 - weight * likelihood)

    return float(np.exp(min(_LOGARITHMS, key=loss)))
