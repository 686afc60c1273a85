"""The rows that the model got wrong, those it was surest of first: what is most worth looking at."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ampedge.model.manifest import Feature
from ampedge.records import Record
from ampedge.training.rows.labelled_row import LabelledRow

MOST = 20
_KEPT = 50 * MOST


@dataclass(frozen=True, slots=True)
class Mistake:
    """One row: its line in the file, its values as they stand there, and what became of it.

    `published` is the label after the decision, which may be `unknown`.
    """

    line: int
    values: tuple[float, ...]
    expected: str
    got: str
    confidence: float
    published: str

    def document(self, features: Sequence[str]) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "line": self.line,
            "values": dict(zip(features, self.values, strict=True)),
            "expected": self.expected,
            "got": self.got,
            "confidence": self.confidence,
            "published": self.published,
        }


class Worst:
    """At most MOST mistakes, of rows that are looked at one by one; what the model was not asked is none."""

    def __init__(self) -> None:
        self._found: list[Mistake] = []

    def look(self, row: LabelledRow, record: Record) -> None:
        """Keep the row where the model got it wrong and was among the surest."""
        if record.class_name is None or record.confidence is None or record.class_name == row.label:
            return
        self._found.append(Mistake(row.line, row.values, row.label, record.class_name, record.confidence, record.label))
        if len(self._found) > _KEPT:
            self._found = list(self.found)

    @property
    def found(self) -> tuple[Mistake, ...]:
        """The surest first."""
        return tuple(sorted(self._found, key=lambda mistake: (-mistake.confidence, mistake.line))[:MOST])


def described(features: Sequence[Feature], values: Sequence[float]) -> list[str]:
    """Each value with its name and its unit, for people."""
    return [f"{one.name} {value:.6g} {one.unit}".strip() for one, value in zip(features, values, strict=True)]
