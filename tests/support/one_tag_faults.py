"""Faults of one tag: a normal row in which one tag is moved, step by step, until the model says another class."""

from dataclasses import dataclass

import numpy as np

from ampedge.model.bundle import Bundle
from ampedge.model.network import Matrix


@dataclass(frozen=True, slots=True)
class OneTagFault:
    """A reading in engineering units, the place of the class that it is given, and the tag that was moved."""

    values: tuple[float, ...]
    said: int
    tag: str


def one_tag_faults(bundle: Bundle, rows: Matrix, *, step: float) -> list[OneTagFault]:
    """Of each row that the model takes for normal: every tag moved up and down within its envelope.

    `step` is in deviations of the tag.  Where no value within the envelope changes the class there is no fault.
    """
    features, normal = bundle.manifest.features, bundle.manifest.normal_label
    is_normal = bundle.probabilities(rows).argmax(axis=1) == bundle.classes.index(normal)
    found = []
    for row in rows[is_normal]:
        for place, feature in enumerate(features):
            low, high = feature.envelope
            for stride in (step * feature.std, -step * feature.std):
                moved = np.arange(row[place] + stride, high if stride > 0 else low, stride)
                steps = np.repeat(row[np.newaxis], len(moved), axis=0)
                steps[:, place] = moved
                said = bundle.probabilities(steps).argmax(axis=1) if len(steps) else np.array([])
                (changed,) = np.nonzero(said != bundle.classes.index(normal))
                if len(changed):
                    first = changed[0]
                    found.append(OneTagFault(tuple(steps[first].tolist()), int(said[first]), feature.name))
    return found


def rows_of(labels: list[str], values: Matrix, label: str, most: int) -> Matrix:
    """At most so many rows of a label, drawn from all of them."""
    (places,) = np.nonzero(np.array(labels) == label)
    return values[np.random.RandomState(1).permutation(places)[:most]]
