"""Rows of a table as a device's registers would bring them: encoded by the data map, and decoded again."""

from collections.abc import Sequence

import numpy as np

from ampedge.datamap import DataMap
from ampedge.modbus.codec import encode_row, engineering, raw_column
from ampedge.model.network import Matrix


def through_registers(datamap: DataMap, rows: Sequence[Sequence[float]]) -> Matrix:
    """(rows, tags) in engineering units as they are decoded; raises DataError for a value that does not fit."""
    encoded = [encode_row(datamap.tags, row) for row in rows]
    columns = []
    for place, tag in enumerate(datamap.tags):
        words = np.array([row[place] for row in encoded], dtype=np.uint16).reshape(-1, tag.width)
        columns.append(engineering(tag, raw_column(tag, words)))
    return np.stack(columns, axis=1)
