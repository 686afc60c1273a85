"""The rows that the model got wrong, those it was surest of first: what is most worth looking at."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ampedge.model.manifest import Feature
from ampedge.records import Record
from ampedge.training.labelled_row import LabelledRow

MOST = 20


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


def worst_mistakes(rows: Sequence[LabelledRow], records: Sequence[Record]) -> tuple[Mistake, ...]:
    """At most MOST of them; rows that the model was not asked about are none of them."""
    found = [
        Mistake(row.line, row.values, row.label, record.class_name, record.confidence, record.label)
        for row, record in zip(rows, records, strict=True)
        if record.class_name is not None and record.confidence is not None and record.class_name != row.label
    ]
    return tuple(sorted(found, key=lambda mistake: (-mistake.confidence, mistake.line))[:MOST])


def described(features: Sequence[Feature], values: Sequence[float]) -> list[str]:
    """Each value with its name and its unit, for people."""
    return [f"{one.name} {value:.6g} {one.unit}".strip() for one, value in zip(features, values, strict=True)]
