"""Whether the tags of a reading belong together: its distance to the training rows of the class that it is given.

Each class is a few Gaussian components over the scaled features; the distance is that of Mahalanobis
(P. C. Mahalanobis, 1936) to the nearest of them.  A reading whose every value is within its own range may still
be a combination that never occurred; the ranges cannot show that, this can.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ampedge.errors import ModelRefusedError
from ampedge.model.manifest import ClassEnvelope, Manifest
from ampedge.model.network import Matrix

if TYPE_CHECKING:
    from numpy.typing import NDArray


class JointEnvelope:
    """The components of every class, ready to measure; `mean` and `std` are the model's scaling."""

    def __init__(self, mean: Sequence[float], std: Sequence[float], classes: Sequence[ClassEnvelope]) -> None:
        self._mean = np.asarray(mean, dtype=np.float64)
        self._std = np.asarray(std, dtype=np.float64)
        self._limits = [of_class.limit for of_class in classes]
        self._centres = [_floats(of_class.centres)[:, np.newaxis] for of_class in classes]
        self._whitenings = [
            np.array([_upper(flat, len(self._mean)) for flat in _floats(of_class.whitenings)]) for of_class in classes
        ]

    def components(self, place: int) -> "tuple[Matrix, NDArray[np.float64]]":
        """The centres (components, features) and whitening matrices of the class at `place`, in scaled units."""
        return self._centres[place][:, 0], self._whitenings[place]

    def distance(self, values: Sequence[float], place: int) -> float:
        """How far the values of one row, in engineering units, are from the class at `place`; 1 is its limit."""
        return float(self.distances(np.array([values], dtype=np.float64), place)[0])

    def distances(self, values: Matrix, place: int) -> "NDArray[np.float64]":
        """The same for rows of shape (rows, features)."""
        with np.errstate(over="ignore", invalid="ignore"):
            scaled = (values - self._mean) / self._std
            white = (scaled - self._centres[place]) @ self._whitenings[place]  # (components, rows, features)
            nearest: NDArray[np.float64] = (white**2).sum(axis=2).min(axis=0)
        return np.sqrt(nearest) / self._limits[place]


def joint_envelope(manifest: Manifest) -> JointEnvelope | None:
    """The joint envelope that a bundle carries, None where it has none; raises ModelRefusedError for a wrong shape."""
    if manifest.joint is None:
        return None
    width = len(manifest.features)
    if len(manifest.joint) != len(manifest.classes) or not all(
        len(one.centres) == len(one.whitenings)
        and all(len(centre) == width for centre in one.centres)
        and all(len(whitening) == width * (width + 1) // 2 for whitening in one.whitenings)
        for one in manifest.joint
    ):
        raise ModelRefusedError("Its joint envelope does not fit its classes and features.")
    features = manifest.features
    return JointEnvelope([one.mean for one in features], [one.std for one in features], manifest.joint)


def _floats(numbers: Sequence[Sequence[float]]) -> Matrix:
    """The numbers as the float32 that they were rounded to, so that a controller with these has the same."""
    return np.array(numbers, dtype=np.float32).astype(np.float64)


def _upper(flat: "NDArray[np.float64]", width: int) -> Matrix:
    matrix = np.zeros((width, width))
    matrix[np.triu_indices(width)] = flat
    return matrix
