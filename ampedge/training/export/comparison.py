"""Whether an exported model says what the bundle says, row by row."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ampedge.model.bundle import Bundle
from ampedge.model.network import Matrix

Run = Callable[[Matrix], Matrix]
"""(rows, features) in engineering units to probabilities (rows, classes), by a loaded export."""

LARGEST_DIFFERENCE = 1e-5


@dataclass(frozen=True, slots=True)
class Comparison:
    """`different` counts the rows of another class; `largest` is the largest difference of a probability."""

    rows: int
    different: int
    largest: float

    @property
    def passed(self) -> bool:
        return self.different == 0 and self.largest <= LARGEST_DIFFERENCE  # false for NaN, too


def compare(bundle: Bundle, run: Run, values: Matrix) -> Comparison:
    """Run every row of `values` through both."""
    expected, found = bundle.probabilities(values), run(values)
    if found.shape != expected.shape:
        return Comparison(len(values), len(values), float("inf"))
    different = np.count_nonzero(expected.argmax(axis=1) != found.argmax(axis=1))
    return Comparison(len(values), int(different), float(np.abs(expected - found).max()))
