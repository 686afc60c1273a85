"""Rows that look like a device that nobody has written to: every register zero, and so no class is given to them."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from ampedge.datamap import Tag
from ampedge.training.detectors.finding import Flags, Numbers, plural

REMEDY = (
    "If 0 everywhere is a state of the machine, add a column that is not 0 then; if nothing was measured, leave "
    "these rows out."
)


def unwritten(columns: Iterable[tuple[Numbers, Tag | None]], rows: int) -> Flags:
    """Which rows are zero in the registers of every column; without a tag, a number is its own register."""
    found = np.ones(rows, bool)
    for values, tag in columns:
        raw = values if tag is None else (values - tag.offset) / tag.scale
        found &= (raw == 0) if tag is None or tag.type.startswith("float") else (np.rint(raw) == 0)
        if not found.any():
            break
    return found


def said(found: Flags, targets: NDArray[np.integer], classes: Sequence[str]) -> str:
    """What is to be said of these rows; a class that has no others is named."""
    count = int(found.sum())
    known = targets >= 0
    whole = [
        name
        for place, name in enumerate(classes)
        if (of_class := known & (targets == place)).any() and found[of_class].all()
    ]
    also = f" All rows of {', '.join(map(repr, whole))} are so: serve will never say it." if whole else ""
    return (
        f"{plural(count, 'row')} {'is' if count == 1 else 'are'} 0 in every column. So is a device that nobody has "
        f"written to, and serve gives such a reading no class.{also}"
    )
