"""Large tables are gone through in pieces, so that what is computed on the way never stands beside them whole."""

from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

_Number = TypeVar("_Number", np.float32, np.float64)

_ROWS = 1 << 16


def pieces(rows: int) -> Iterator[slice]:
    """Slices that cover so many rows in order."""
    return (slice(at, at + _ROWS) for at in range(0, rows, _ROWS))


def in_pieces(function: Callable[[NDArray[_Number]], NDArray[_Number]], values: NDArray[_Number]) -> NDArray[_Number]:
    """What a function that looks at each row by itself makes of all rows."""
    return np.concatenate([function(values[piece]) for piece in pieces(len(values))])
