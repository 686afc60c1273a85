"""What has been found so far in one table, and which rows a cleaned copy would leave out."""

from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np

from ampedge.training.detectors.finding import EXAMPLES, Finding, Flags, Kind, Places, Severity
from ampedge.training.inspection.sheet import Sheet


class Step(IntEnum):
    """Why a row is left out of a cleaned copy, in the order in which it is done."""

    LABEL = 1
    CELLS = 2
    WILD = 3
    CONTRADICTORY = 4
    DUPLICATES = 5


@dataclass(frozen=True, slots=True)
class Drop:
    """Rows that a cleaned copy leaves out; `column` holds what is wrong, where one does; `why` says it in words.

    Where `why` is empty, the cell itself says it.
    """

    step: Step
    rows: Places
    column: str | None
    why: str


@dataclass(slots=True)
class Examination:
    """Findings and drops are added while the table is examined.

    `apart` marks rows that say nothing about a column as a whole: copies, contradictions, no label.
    """

    sheet: Sheet
    findings: list[Finding] = field(default_factory=list)
    drops: list[Drop] = field(default_factory=list)

    def found(
        self,
        kind: Kind,
        severity: Severity,
        column: str | None,
        rows: Places,
        *,
        what: str,
        remedy: str,
        examples: Iterable[str] = (),
        count: int | None = None,
    ) -> None:
        """Add a finding that is about these rows, which may be none."""
        lines = array("q", self.sheet.lines[np.sort(rows)].astype(np.int64).tobytes())
        self.findings.append(
            Finding(kind, severity, column, len(rows) if count is None else count, lines, first(examples), what, remedy)
        )

    def drop(self, step: Step, rows: Places, column: str | None, why: str = "") -> None:
        """Rows that a cleaned copy leaves out."""
        if len(rows):
            self.drops.append(Drop(step, rows, column, why))

    def dropped_in(self) -> np.ndarray:
        """For each row the first step that leaves it out, 0 where none does."""
        steps = np.zeros(len(self.sheet), np.int8)
        for drop in sorted(self.drops, key=lambda one: -one.step):
            steps[drop.rows] = drop.step
        return steps

    def bad(self, column: str) -> Flags:
        """The rows with a bad cell in a column, of what has been found so far."""
        flags = np.zeros(len(self.sheet), bool)
        for drop in self.drops:
            if drop.column == column:
                flags[drop.rows] = True
        return flags


def first(texts: Iterable[str]) -> tuple[str, ...]:
    """The first few different ones."""
    found: dict[str, None] = {}
    for text in texts:
        found.setdefault(text)
        if len(found) == EXAMPLES:
            break
    return tuple(found)
