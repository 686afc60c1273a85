"""What a network has to beat: the commonest class, and a logistic regression on the same rows."""

import warnings

import numpy as np
from numpy.typing import NDArray

from ampedge.training.fit import Part

_ITERATIONS = 1000


def baselines(training: Part, inputs: NDArray[np.float32], *, class_weight: str) -> dict[str, NDArray[np.intp]]:
    """The place of the class that each baseline gives to every row of `inputs` (scaled)."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    commonest = int(np.bincount(training.targets).argmax())
    regression = LogisticRegression(
        max_iter=_ITERATIONS, class_weight="balanced" if class_weight == "balanced" else None
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the last step is good enough to compare with
        regression.fit(training.inputs.astype(np.float64), training.targets)
    return {
        "majority_class": np.full(len(inputs), commonest),
        "logistic_regression": regression.predict(inputs.astype(np.float64)),
    }
