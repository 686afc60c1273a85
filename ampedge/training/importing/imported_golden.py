"""The golden rows of an imported network: rows of its table, else rows drawn within what its scaler knows."""

from typing import Any

import numpy as np

from ampedge.training.importing.parts import Parts
from ampedge.training.rows.golden import golden_rows
from ampedge.training.rows.split import Split

_DRAWN_ROWS = 10_000
_SEED = 42


def golden(parts: Parts) -> tuple[list[dict[str, Any]], list[str]]:
    """(the rows as the manifest has them, notes on classes that have none)."""
    runtime = parts.runtime()
    if parts.data is not None:
        none = np.empty(0, dtype=np.intp)
        every = Split(none, none, np.arange(len(parts.data.targets)), "all")
        return golden_rows(parts.data, every, runtime.probabilities(parts.data.values)), []
    drawn = np.random.RandomState(_SEED)
    values = drawn.uniform(parts.scaler.low, parts.scaler.high, (_DRAWN_ROWS, parts.scaler.mean.size))
    probabilities = runtime.probabilities(values)
    best = probabilities.argmax(axis=1)
    found = {place: int(probabilities[:, place].argmax()) for place in sorted(set(best.tolist()))}
    rows = [
        {
            "values": values[row].tolist(),
            "probabilities": probabilities[row].tolist(),
            "class_name": parts.classes[place],
        }
        for place, row in found.items()
    ]
    silent = ", ".join(repr(name) for place, name in enumerate(parts.classes) if place not in found)
    return rows, [f"Among the rows that were drawn none comes out as {silent}."] if silent else []
