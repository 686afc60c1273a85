"""What a network has to beat on the same rows: the commonest class, a logistic regression and a random forest."""

import os
import warnings
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ampedge.model.network import Matrix
from ampedge.training.fitting.fit import Part
from ampedge.training.fitting.thresholds import said

_MOST_ROWS = 400_000
"""Of more rows so many are drawn, so that a long table takes neither minutes nor memory."""
_ITERATIONS = 1000
_TREES = 100
_ROWS_A_TREE = 20_000
"""Of more rows each tree is shown so many, drawn anew for each."""
_MOST_JOBS = 4


def baselines(
    training: Part,
    inputs: NDArray[np.float32],
    *,
    class_weights: NDArray[np.float32],
    thresholds: Mapping[int, float],
    seed: int,
) -> dict[str, NDArray[np.intp]]:
    """The place of the class that each baseline gives to every row of `inputs` (scaled).

    Those that learn say a class from the network's `thresholds` on, so that all are judged by the same costs.
    """
    # A forest draws other rows as soon as it is given weights, be they all the same.
    weights = dict(enumerate(class_weights.astype(np.float64))) if np.ptp(class_weights) else None
    commonest = int(np.bincount(training.targets).argmax())
    if len(training.targets) > _MOST_ROWS:
        rows = np.random.RandomState(seed).choice(len(training.targets), _MOST_ROWS, replace=False)
        training = Part(training.inputs[rows], training.targets[rows])
    return {
        "majority_class": np.full(len(inputs), commonest),
        "logistic_regression": said(_regression(training, inputs, weights), thresholds),
        "random_forest": said(_forest(training, inputs, weights, seed), thresholds),
    }


def _regression(training: Part, inputs: NDArray[np.float32], weights: dict[int, float] | None) -> Matrix:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(max_iter=_ITERATIONS, class_weight=weights)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the last step is good enough to compare with
        model.fit(training.inputs.astype(np.float64), training.targets)
    found: Matrix = model.predict_proba(inputs.astype(np.float64))
    return found


def _forest(training: Part, inputs: NDArray[np.float32], weights: dict[int, float] | None, seed: int) -> Matrix:
    from sklearn.ensemble import RandomForestClassifier

    model = RandomForestClassifier(
        _TREES,
        max_samples=min(_ROWS_A_TREE, len(training.targets)),
        class_weight=weights,
        random_state=seed,
        n_jobs=min(_MOST_JOBS, os.cpu_count() or 1),
    )
    found: Matrix = model.fit(training.inputs, training.targets).predict_proba(inputs)
    return found
