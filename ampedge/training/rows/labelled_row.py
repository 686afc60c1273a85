"""Labelled rows one by one, made from columns when they are asked for."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
from numpy.typing import NDArray

from ampedge.model.network import Matrix
from ampedge.table import Texts


@dataclass(frozen=True, slots=True)
class LabelledRow:
    """One row: its line in the file, its values in the order of the model's features, its class, its experiment."""

    line: int
    values: tuple[float, ...]
    label: str
    group: str | None = None


@dataclass(frozen=True, slots=True)
class LabelledRows(Sequence[LabelledRow]):
    """Rows of which none is kept: `values` has shape (rows, features), `lines` and `labels` one entry a row."""

    lines: NDArray[np.int64]
    values: Matrix
    labels: Texts
    groups: Texts | None = None

    def __len__(self) -> int:
        return len(self.lines)

    @overload
    def __getitem__(self, at: int) -> LabelledRow: ...
    @overload
    def __getitem__(self, at: slice | NDArray[np.bool_]) -> "LabelledRows": ...
    def __getitem__(self, at: int | slice | NDArray[np.bool_]) -> "LabelledRow | LabelledRows":
        if isinstance(at, slice | np.ndarray):
            groups = None if self.groups is None else self.groups[at]
            return LabelledRows(self.lines[at], self.values[at], self.labels[at], groups)
        group = None if self.groups is None else self.groups[at]
        return LabelledRow(int(self.lines[at]), tuple(self.values[at].tolist()), self.labels[at], group)
