"""The joint envelope of a bundle: how far rows of each class stray from the others of it, learned from the rows."""

import warnings
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ampedge.model.joint import JointEnvelope
from ampedge.model.manifest import ClassEnvelope
from ampedge.model.network import Matrix
from ampedge.training.rows.pieces import in_pieces

_MOST_COMPONENTS = 8
_ROWS_A_COMPONENT = 20
"""For each feature: fewer rows do not tell a component's shape."""
_FOLDS = 3
_MISSED = 0.01
"""The share of a class's own rows that may be beyond its limit."""
_MISSED_IN_ALL = 0.006
"""The share of all rows that may be beyond the limit of the class that is said of them."""
_BLUR = 1e-3
"""Added to every variance, in scaled units: no sensor is believed more finely than 3 % of its deviation."""
_MOST_ROWS = 4000
"""Of a class; more do not make the components better, only slower."""
_ITERATIONS = 30
_MOST_NUMBERS = 200_000
_SEED = 0


def joint(
    scaled: NDArray[np.floating], targets: NDArray[np.int32], groups: NDArray[np.str_] | None, classes: int
) -> list[ClassEnvelope] | None:
    """The envelope of each class of rows of shape (rows, features), None where that would need too many numbers.

    A class's limit is a distance that its own rows seldom exceed where other folds of them made the components;
    `groups` are kept apart by these folds, so that the limit allows for what differs between them.
    """
    width = scaled.shape[1]
    if classes * width * (width + 3) / 2 > _MOST_NUMBERS:
        return None
    most = max(1, min(_MOST_COMPONENTS, int(_MOST_NUMBERS / (classes * width * (width + 3) / 2))))
    from threadpoolctl import threadpool_limits

    drawn = np.random.RandomState(_SEED)
    found = []
    for place in range(classes):
        (rows,) = np.nonzero(targets == place)
        if len(rows) > _MOST_ROWS:
            rows = drawn.choice(rows, _MOST_ROWS, replace=False)
        with threadpool_limits(1):  # matrices as small as these only wait for the threads
            found.append(_of_class(scaled[rows].astype(np.float64), None if groups is None else groups[rows], most))
    return found


def widened(envelope: list[ClassEnvelope], scaled: Matrix, said: NDArray[np.intp]) -> list[ClassEnvelope]:
    """The envelope with limits that the rows of validation, by the class that is `said` of them, seldom exceed."""
    width = scaled.shape[1]
    measure = JointEnvelope([0.0] * width, [1.0] * width, envelope)
    distances = np.empty(len(said))
    for place in np.unique(said):
        distances[said == place] = in_pieces(partial(measure.distances, place=int(place)), scaled[said == place])
    factor = max(1.0, _seldom(distances, _MISSED_IN_ALL))
    return [one.model_copy(update={"limit": one.limit * factor}) for one in envelope]


def _of_class(rows: Matrix, groups: NDArray[np.str_] | None, most: int) -> ClassEnvelope:
    centres, whitenings = _components(rows, most)
    corner = np.triu_indices(rows.shape[1])
    return ClassEnvelope(
        limit=max(rows.shape[1] ** 0.5, _seldom(_strays(rows, groups, most), _MISSED)),
        centres=[[_short(number) for number in centre] for centre in centres],
        whitenings=[[_short(number) for number in whitening[corner]] for whitening in whitenings],
    )


def _components(rows: Matrix, most: int) -> tuple[Matrix, Matrix]:
    """(centres, upper triangular whitening matrices) of a mixture; of few rows, one component of a shrunk shape."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    count, width = rows.shape
    components = min(most, count // (_ROWS_A_COMPONENT * width))
    if components < 1:
        spread = np.atleast_2d(np.cov(rows.T, bias=True)) if count > 1 else np.zeros((width, width))
        own = count / (count + width)
        covariance = own * spread + (1 - own) * np.diag(np.maximum(np.diag(spread), _BLUR)) + _BLUR * np.eye(width)
        return rows.mean(axis=0)[np.newaxis], np.linalg.inv(np.linalg.cholesky(covariance)).T[np.newaxis]
    mixture: Any = GaussianMixture(components, reg_covar=_BLUR, max_iter=_ITERATIONS, random_state=_SEED)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # its last step is good enough, as is fewer distinct rows
        mixture.fit(rows)
    return mixture.means_, mixture.precisions_cholesky_


def _strays(rows: Matrix, groups: NDArray[np.str_] | None, most: int) -> NDArray[np.float64]:
    """The distance of each row from components that other folds made."""
    members = np.arange(len(rows)) if groups is None else np.unique(groups, return_inverse=True)[1]
    if not members.any():  # one group of all tells nothing about another
        members = np.arange(len(rows))
    fold = np.random.RandomState(_SEED).permutation(members.max() + 1)[members] % _FOLDS
    found = np.zeros(len(rows))
    for at in range(_FOLDS):
        here, others = fold == at, fold != at
        if not here.any() or not others.any():
            continue
        centres, whitenings = _components(rows[others], most)
        white = (rows[here] - centres[:, np.newaxis]) @ whitenings
        found[here] = np.sqrt((white**2).sum(axis=2).min(axis=0))
    return found


def _seldom(distances: NDArray[np.float64], missed: float) -> float:
    """The distance that a further row exceeds with a chance of `missed`.

    The order statistic of split conformal prediction (V. Vovk et al., Algorithmic Learning in a Random World, 2005);
    with too few rows for that, the largest distance and a standard deviation more.
    """
    rank = int(np.ceil((len(distances) + 1) * (1 - missed)))
    if rank > len(distances):
        return float(distances.max() + distances.std())
    return float(np.sort(distances)[rank - 1])


def _short(number: float) -> float:
    """The shortest decimals that give the same float32."""
    return float(str(np.float32(number)))
