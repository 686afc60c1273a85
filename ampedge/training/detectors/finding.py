"""One thing that is wrong with a table, or worth knowing: what it is, where, and what to do."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

Flags = NDArray[np.bool_]
Numbers = NDArray[np.float64]
Places = NDArray[np.intp]

EXAMPLES = 5


class Severity(StrEnum):
    """How bad a finding is, the worst first."""

    ERROR = "error"
    """Training refuses the table, or would learn something false from it."""
    WARNING = "warning"
    """Training goes on, but its figures may mislead."""
    NOTE = "note"
    """Worth knowing; training copes with it."""

    @property
    def rank(self) -> int:
        """0 for the worst."""
        return list(Severity).index(self)


class Kind(StrEnum):
    """What can be found, as the reports name it."""

    UNREADABLE = "unreadable_cells"
    MISSING = "missing_values"
    OUT_OF_RANGE = "out_of_range"
    SENTINELS = "sentinel_values"
    SPIKES = "spikes"
    RAGGED = "ragged_rows"
    LABEL_SPELLINGS = "label_spellings"
    CLASS_BALANCE = "class_balance"
    CONSTANT = "constant_column"
    GIVES_AWAY = "gives_label_away"
    CONTRADICTORY = "contradictory_rows"
    DUPLICATES = "duplicate_rows"
    UNWRITTEN = "unwritten_rows"
    NEAR_CONSTANT = "near_constant_column"
    FROZEN = "frozen_stretches"
    TIME_DISORDER = "time_disorder"
    TIME_GAPS = "time_gaps"
    SAME_IN_ALL = "same_in_all_classes"
    REPEATED_HEADER = "repeated_headers"
    FILE = "file"

    @property
    def words(self) -> str:
        """The kind in words."""
        return self.value.replace("_", " ")


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding; `lines` are all the lines of the file that it is about, in order, none where it is about a column.

    `count` is how often it was found.  It differs from the number of lines where a line holds several, or none.
    """

    kind: Kind
    severity: Severity
    column: str | None
    count: int
    lines: Sequence[int]
    examples: tuple[str, ...]
    what: str
    remedy: str

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "kind": self.kind.value,
            "severity": self.severity.value,
            "column": self.column,
            "count": self.count,
            "lines": list(self.lines),
            "examples": list(self.examples),
            "what": self.what,
            "remedy": self.remedy,
        }


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """Sorted by severity, then by kind, then by how often."""
    kinds = list(Kind)
    return sorted(findings, key=lambda one: (one.severity.rank, kinds.index(one.kind), -one.count))


def plural(count: int, noun: str) -> str:
    """`1 row`, `2 rows`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def listed(lines: Sequence[int], most: int) -> str:
    """The first of many lines in words, such as `3, 7-12 and 40 more`."""
    parts: list[str] = []
    at = 0
    while at < len(lines) and len(parts) < most:
        end = at
        while end + 1 < len(lines) and lines[end + 1] == lines[end] + 1:
            end += 1
        parts.append(f"{lines[at]}-{lines[end]}" if end > at else str(lines[at]))
        at = end + 1
    more = len(lines) - at
    return ", ".join(parts) + (f" and {more} more" if more else "")
