"""Which tags speak for the class that a reading is given, and what would be normal: from the bundle alone.

Each tag in turn is set to what the other tags let expect in the normal state, and two things are looked at:
how well the others then fit that state (reconstruction-based contribution: C. F. Alcala and S. J. Qin, Automatica
45, 2009, here with the likelihood under the joint envelope), and by how much the model's score for the class falls.
Integrated gradients and Shapley values tell the second only: where tags rise and fall together they blame the
wrong one several times as often, see `tests/benchmarks/bench_reasons.py`.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ampedge.model.joint import JointEnvelope
from ampedge.model.manifest import Manifest, NormalRange
from ampedge.model.network import DenseNetwork, Matrix
from ampedge.records import Cause

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ENOUGH = 0.8
"""Tags are named until together they explain this share."""
_TOO_LITTLE = 0.1
"""A share below which a tag that is within its normal range is not named, where there are others."""
_MOST_NAMED = 3
_MOST_TRIED = 32
"""Of a model with more tags, those that the others miss most."""
_TOLERATED = 0.05
"""How far outside its normal range a tag within it is taken to be, in widths of the range."""
_NARROWEST = 0.1
"""The least width of a normal range, in scaled units."""
_MIDDLE_90 = 2 * 1.645
"""Deviations of a Gaussian between its 5 % and its 95 % quantile."""


class CauseFinder:
    """Finds the causes of one reading at a time; arrays are in the order of the features, in scaled units.

    `centres` (components, features) and `whitenings` (components, features, features) describe the normal state,
    `normal` is its place among the classes.
    """

    def __init__(
        self,
        network: DenseNetwork,
        named: Sequence[tuple[str, str, NormalRange]],
        centres: Matrix,
        whitenings: "NDArray[np.float64]",
        normal: int,
    ) -> None:
        self._network = network
        self._named = tuple(named)
        self._normal = normal
        low, middle, high = (
            network.scaled(np.array([[getattr(r, end) for *_, r in named]]))[0] for end in ("low", "centre", "high")
        )
        self._low, self._middle, self._high = low, middle, high
        self._width = np.maximum(high - low, _NARROWEST)
        self._centres = centres
        with np.errstate(all="ignore"):  # a hand-made envelope may have no volume; then nothing is found
            self._precisions = whitenings @ whitenings.transpose(0, 2, 1)
            self._own = np.einsum("kff->kf", self._precisions)
            volume = np.log(np.einsum("kff->kf", whitenings)).sum(axis=1)
            self._volume = volume[:, np.newaxis] - 0.5 * np.log(self._own)
        self._places = np.arange(len(named))

    def causes(self, values: Sequence[float], said: int) -> tuple[Cause, ...]:
        """The causes of one row in engineering units, the most suspect first, at most three.

        `said` is the place of the class that it is given.  Where that is the normal one, it is the tag that fits
        the others least.
        """
        with np.errstate(all="ignore"):
            reading = self._network.scaled(np.array([values]))[0]
            fits, expected = self._beside_the_others(reading)
            tried = fits.argsort()[-_MOST_TRIED:]
            rows = np.repeat(reading[np.newaxis], len(tried) + 1, axis=0)
            rows[self._places[: len(tried)], tried] = expected[tried]
            scores = self._scores(rows, said)
            falls = np.maximum(scores[-1] - scores[:-1], 0)
            shares = falls / falls.sum() if falls.any() else np.ones(len(tried))
            outside = np.maximum(np.maximum(self._low - reading, reading - self._high), 0) / self._width
            weight = (
                fits[tried]
                + np.log(shares)
                - np.logaddexp(0, scores[:-1])  # the log of how probable the normal class then is, beside the other
                + np.log(outside[tried] + _TOLERATED)
            )
            at = int(weight.argmax())
            first = int(tried[at])
            beside = float(expected[first] * self._network.std[first] + self._network.mean[first])
            if not (math.isfinite(weight[at]) and math.isfinite(beside)):
                return ()
            named = self._shares(rows[at], first, float(falls[at]), outside, said)
        hidden = first if outside[first] == 0 else None
        return tuple(
            self._cause(place, values[place], share, beside if place == hidden else None) for place, share in named
        )

    def _beside_the_others(self, reading: "NDArray[np.float64]") -> "tuple[NDArray[np.float64], NDArray[np.float64]]":
        """For each tag: the log likelihood of all the others in the normal state, and what they let expect of it."""
        away = reading - self._centres
        pull = (self._precisions @ away[:, :, np.newaxis])[:, :, 0]
        step = pull / self._own
        fits = self._volume - 0.5 * ((away * pull).sum(axis=1)[:, np.newaxis] - pull * step)
        nearest = fits.argmax(axis=0)
        return np.logaddexp.reduce(fits, axis=0), reading - step[nearest, self._places]

    def _scores(self, rows: Matrix, said: int) -> "NDArray[np.float64]":
        """The log of how much more probable the class is than the normal one."""
        found = self._network.scores(rows)
        return found[:, said] - found[:, self._normal]

    def _shares(
        self, mended: "NDArray[np.float64]", first: int, fall: float, outside: "NDArray[np.float64]", said: int
    ) -> list[tuple[int, float]]:
        """(place, share) of the tags to name: beside the first those outside their range, by what each adds to it.

        A first one within its range is not named where the others explain enough without it.
        """
        beyond = outside.argsort()[-_MOST_TRIED:]
        beyond = beyond[(outside[beyond] > 0) & (beyond != first)]
        if not len(beyond):
            return [(first, 1.0)]
        rows = np.repeat(mended[np.newaxis], len(beyond) + 1, axis=0)
        rows[self._places[: len(beyond)], beyond] = self._middle[beyond]
        scores = self._scores(rows, said)
        falls = np.maximum(scores[-1] - scores[:-1], 0)
        total = fall + float(falls.sum())
        if not 0 < total < math.inf:
            return [(first, 1.0)]
        found = [(first, fall / total)]
        if outside[first] == 0 and fall / total < _TOO_LITTLE:
            found = []
        explained = sum(share for _, share in found)
        for at in falls.argsort()[::-1]:
            if explained >= _ENOUGH or len(found) == _MOST_NAMED or not falls[at] > 0:
                break
            found.append((int(beyond[at]), float(falls[at]) / total))
            explained += found[-1][1]
        return found

    def _cause(self, place: int, value: float, share: float, expected: float | None) -> Cause:
        name, unit, normal = self._named[place]
        return Cause(name, value, unit, normal.low, normal.high, share, expected)


def cause_finder(
    manifest: Manifest, network: DenseNetwork, joint: JointEnvelope | None, units: Sequence[str]
) -> CauseFinder | None:
    """That of a bundle, None where it does not say what is normal; `units` are those of the site."""
    named = [
        (feature.name, unit, feature.normal)
        for feature, unit in zip(manifest.features, units, strict=True)
        if feature.normal is not None
    ]
    if len(named) < len(manifest.features):
        return None
    normal = manifest.classes.index(manifest.normal_label)
    if joint is not None:
        return CauseFinder(network, named, *joint.components(normal), normal)
    middle = network.scaled(np.array([[one.centre for *_, one in named]]))
    widths = np.array([one.high - one.low for *_, one in named]) / network.std
    whitening = np.diag(_MIDDLE_90 / np.maximum(widths, _NARROWEST))
    return CauseFinder(network, named, middle, whitening[np.newaxis], normal)
