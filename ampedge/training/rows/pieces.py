"""Large tables are gone through in pieces, so that what is computed on the way never stands beside them whole."""

from collections.abc import Callable, Iterator

import numpy as np

from ampedge.model.network import Matrix

_ROWS = 1 << 16


def pieces(rows: int) -> Iterator[slice]:
    """Slices that cover so many rows in order."""
    return (slice(at, at + _ROWS) for at in range(0, rows, _ROWS))


def in_pieces(function: Callable[[Matrix], Matrix], values: Matrix) -> Matrix:
    """What a function that looks at each row by itself makes of all rows."""
    return np.concatenate([function(values[piece]) for piece in pieces(len(values))])
