"""What a row of each class counts for in the loss."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ampedge.training.rows.labels import by_known_class
from ampedge.training.settings import Weighting


def known_weights(weighting: Weighting, classes: Sequence[str]) -> Weighting:
    """Weights that are given by class, by the classes' own names; raises UsageError for a name that is no class."""
    if isinstance(weighting, str):
        return weighting
    return by_known_class("--weights", weighting, classes)


def class_weights(targets: NDArray[np.int32], classes: Sequence[str], weighting: Weighting) -> NDArray[np.float32]:
    """The weight of a row of each class, 1 in the mean over all rows.

    `balanced` lets each class weigh the same in all; of weights that are given, only how they stand to each other
    matters, and a class without one has 1.
    """
    counts = np.bincount(targets, minlength=len(classes))
    if isinstance(weighting, str):
        wanted = 1 / np.maximum(counts, 1) if weighting == "balanced" else np.ones(len(classes))
    else:
        wanted = np.array([weighting.get(name, 1.0) for name in classes])
    return (wanted * len(targets) / (wanted @ counts)).astype(np.float32)
