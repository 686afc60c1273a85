"""What a model said of each row beside what the table says: what every figure is computed from."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ampedge.model.network import Matrix
from ampedge.records import Record
from ampedge.training.labelled_row import LabelledRow

NOT_ASKED = -1
"""Stands for the class of a row that the model was not asked about, because its quality was bad."""

Places = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Answers:
    """Rows in their order; `truth` and `said` are places in `classes`.

    `probabilities` has shape (rows, classes) and is NaN where the model was not asked.
    `groups` names the experiment of each row, None where that is not known.
    """

    classes: tuple[str, ...]
    truth: Places
    said: Places
    probabilities: Matrix
    groups: tuple[str, ...] | None = None

    @property
    def asked(self) -> NDArray[np.bool_]:
        """Which rows the model was asked about."""
        return np.not_equal(self.said, NOT_ASKED)


def answers(rows: Sequence[LabelledRow], records: Sequence[Record], classes: Sequence[str]) -> Answers:
    """The rows beside what the pipeline made of them; `classes` holds at least those of rows and model."""
    places: dict[str | None, int] = {name: place for place, name in enumerate(classes)}
    places[None] = NOT_ASKED
    nothing = (np.nan,) * max((len(record.probabilities or ()) for record in records), default=0)
    groups = tuple(row.group for row in rows if row.group is not None)
    return Answers(
        classes=tuple(classes),
        truth=np.array([places[row.label] for row in rows], dtype=np.intp),
        said=np.array([places[record.class_name] for record in records], dtype=np.intp),
        probabilities=np.array([record.probabilities or nothing for record in records], dtype=np.float64),
        groups=groups or None,
    )
