"""The rows that a bundle replays at every load."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from ampedge.model.network import Matrix
from ampedge.training.rows.dataset import Dataset
from ampedge.training.rows.split import Rows, Split


def golden_rows(data: Dataset, split: Split, probabilities: Matrix) -> list[dict[str, Any]]:
    """One row for each class, as the manifest has it, with what the model says of it.

    A row that the model gets right is taken, held out where there is one; for a class that it never says,
    a row that bears the label.  `probabilities` are the runtime's for all rows of `data`.
    """
    said = probabilities.argmax(axis=1)
    return [
        {
            "values": data.values[row].tolist(),
            "probabilities": probabilities[row].tolist(),
            "class_name": data.classes[said[row]],
        }
        for row in (_row(data, split, said, place) for place in range(len(data.classes)))
    ]


def _row(data: Dataset, split: Split, said: Rows, place: int) -> int:
    return int(next(rows[0] for rows in _candidates(split, said == place, data.targets == place) if len(rows)))


def _candidates(split: Split, is_said: Any, is_labelled: Any) -> Iterator[Rows]:
    for part in (split.test, split.validation, split.training):
        yield part[is_said[part] & is_labelled[part]]
    yield np.flatnonzero(is_said)
    yield np.flatnonzero(is_labelled)
