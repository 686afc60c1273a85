"""Rows of a table as a device's registers would bring them: encoded by the data map, and decoded again."""

from collections.abc import Sequence

import numpy as np

from ampedge.datamap import DataMap
from ampedge.modbus.codec import encode_row, engineering, raw_decoder
from ampedge.model.network import Matrix


def through_registers(datamap: DataMap, rows: Sequence[Sequence[float]]) -> Matrix:
    """(rows, tags) in engineering units as they are decoded; raises DataError for a value that does not fit."""
    points = [(tag, raw_decoder(tag)) for tag in datamap.tags]
    return np.array(
        [
            [
                engineering(tag, decode(words))
                for (tag, decode), words in zip(points, encode_row(datamap.tags, row), strict=True)
            ]
            for row in rows
        ],
        dtype=np.float64,
    )
