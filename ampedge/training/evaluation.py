"""How well a bundle labels rows, measured through the pipeline that `serve` runs."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ampedge.datamap import DataMap, Tag
from ampedge.errors import DataError
from ampedge.modbus.codec import encode
from ampedge.modbus.plan import plan_reads
from ampedge.model.bundle import Bundle
from ampedge.pipeline import Pipeline
from ampedge.records import UNKNOWN, Frame, Record, Words
from ampedge.table import read_table
from ampedge.training.labelled import Labelled, LabelledRow, held_out_rows, labelled_rows
from ampedge.training.metrics import confusion, scores

_TRAINED_ON = (
    "Warning: the model was trained on most of these rows, so the figures flatter it; the bundle directory "
    "has the rows that were held out."
)
_ROWS_ADDED = (
    "Warning: all rows that were held out of the training are among these. If this is the training table with rows "
    "added, the model was trained on most of it, and the figures flatter it."
)

Track = Callable[[Iterable[LabelledRow]], Iterable[LabelledRow]]
"""Passes rows on and shows how many have gone by."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Figures of one bundle on one table.

    `scores` (see `ampedge.training.metrics`) judge the class, what the model says; `confusion` is its table
    with a last column for rows that the model was not asked about.  `published` counts what the label would
    have been: right, wrong or unknown; `unknown_reasons` and `not_asked_reasons` count why, and a row may
    have several reasons.  `baseline` is the commonest class of these rows, given as the answer to every row.
    `min_macro_f1` is the acceptance gate.
    """

    bundle: Bundle
    scored: str
    notes: tuple[str, ...]
    min_confidence: float
    rows: int
    scores: dict[str, Any]
    confusion: list[list[int]]
    baseline: dict[str, Any]
    published: dict[str, int]
    unknown_reasons: dict[str, int]
    not_asked_reasons: dict[str, int]
    min_macro_f1: float | None = None

    @property
    def passed(self) -> bool:
        """Whether the acceptance gate is met; true where there is none."""
        return self.min_macro_f1 is None or self.scores["macro_f1"] >= self.min_macro_f1

    @property
    def not_asked(self) -> int:
        """Rows that the model was not asked about because their quality was bad."""
        return sum(row[-1] for row in self.confusion)

    def mistakes(self) -> list[tuple[int, str, str | None]]:
        """(rows, class, what the model said or None for not asked), the commonest first."""
        classes = self.bundle.classes
        found = [
            (count, truth, said)
            for truth, counts in zip(classes, self.confusion, strict=True)
            for said, count in zip((*classes, None), counts, strict=True)
            if count and said != truth
        ]
        return sorted(found, key=lambda mistake: -mistake[0])

    def document(self) -> dict[str, Any]:
        """The evaluation as JSON has it."""
        manifest = self.bundle.manifest
        return {
            "model": {"name": manifest.name, "version": manifest.version, "path": str(self.bundle.path)},
            "scored": self.scored,
            "rows": self.rows,
            "notes": list(self.notes),
            **self.scores,
            "min_macro_f1": self.min_macro_f1,
            "passed": self.passed,
            "baseline": self.baseline,
            "classes": manifest.classes,
            "confusion": [row[:-1] for row in self.confusion],
            "not_asked": {"rows": self.not_asked, "reasons": self.not_asked_reasons},
            "published": {
                **self.published,
                "unknown_reasons": self.unknown_reasons,
                "min_confidence": self.min_confidence,
            },
        }


def rows_to_score(
    bundle: Bundle,
    data: Path | None,
    *,
    label: str | None = None,
    sep: str | None = None,
    decimal: str | None = None,
    drop_bad_rows: bool = False,
) -> tuple[Labelled, str]:
    """(rows, what they are): the held-out rows where `data` is None or the table of the training, else all."""
    training = bundle.manifest.training
    trained_on = data is not None and _sha256(data) == training.data_sha256
    if data is None or trained_on:
        held_out = held_out_rows(bundle)
        if held_out is not None:
            return held_out, f"the held-out rows of {training.data}, which training never saw"
        if data is None:
            raise DataError(
                f"{bundle.path} carries no held-out rows.",
                "Give a table, as in `ampedge evaluate DATA.csv`, or the bundle directory with --model.",
            )
    table = read_table(data, sep=sep, decimal=decimal, drop_bad_rows=drop_bad_rows)
    rows = labelled_rows(table, bundle, label=label or training.label, drop_bad_rows=drop_bad_rows)
    if trained_on:
        rows = replace(rows, notes=(*rows.notes, _TRAINED_ON))
    elif _holds_more(rows, held_out_rows(bundle)):
        rows = replace(rows, notes=(*rows.notes, _ROWS_ADDED))
    return rows, f"all rows of {data}"


def evaluate(
    bundle: Bundle,
    labelled: Labelled,
    *,
    scored: str,
    datamap: DataMap | None = None,
    min_confidence: float = 0.5,
    min_macro_f1: float | None = None,
    track: Track = iter,
) -> Evaluation:
    """Encode every row into the registers of `datamap` (else the bundle's), run the pipeline, and count.

    Raises DataError with the line where a value does not fit its tag.
    """
    classes = bundle.classes
    truth = [row.label for row in labelled.rows]
    pipeline = Pipeline(bundle, datamap, min_confidence=min_confidence)
    records = list(_records(pipeline, labelled, track))
    said = [record.class_name for record in records]
    commonest = Counter(truth).most_common(1)[0][0]
    unknown = [record for record in records if record.label == UNKNOWN]
    right = sum(record.label == name for record, name in zip(records, truth, strict=True))
    always = scores(truth, [commonest] * len(truth), classes)
    return Evaluation(
        bundle=bundle,
        scored=scored,
        notes=(*labelled.notes, *_absent(classes, truth)),
        min_confidence=min_confidence,
        rows=len(truth),
        scores=scores(truth, said, classes),
        confusion=confusion(truth, said, classes),
        baseline={"class": commonest, "accuracy": always["accuracy"], "macro_f1": always["macro_f1"]},
        published={"right": right, "wrong": len(truth) - right - len(unknown), "unknown": len(unknown)},
        unknown_reasons=_reasons(unknown),
        not_asked_reasons=_reasons(record for record in records if record.class_name is None),
        min_macro_f1=min_macro_f1,
    )


def _records(pipeline: Pipeline, labelled: Labelled, track: Track) -> Iterable[Record]:
    tags = pipeline.datamap.tags
    plan = plan_reads(pipeline.datamap)
    for row in track(labelled.rows):
        words = [_words(labelled.path, row.line, tag, value) for tag, value in zip(tags, row.values, strict=True)]
        yield pipeline.run(Frame("evaluation", 0.0, plan.split(plan.join(words))))


def _words(path: Path, line: int, tag: Tag, value: float) -> Words:
    try:
        return encode(tag, value)
    except DataError as error:
        raise DataError(f"{path}, line {line}, column {tag.name!r}: {error.problem}", error.remedy) from error


def _absent(classes: Sequence[str], truth: Sequence[str]) -> list[str]:
    absent = [repr(name) for name in classes if name not in truth]
    return [f"No row is labelled {', '.join(absent)}; macro-F1 is the mean over the other classes."] if absent else []


def _reasons(records: Iterable[Record]) -> dict[str, int]:
    return dict(Counter(str(reason) for record in records for reason in record.reasons).most_common())


def _holds_more(rows: Labelled, held_out: Labelled | None) -> bool:
    """Whether the rows are the held-out ones and others."""
    if held_out is None:
        return False
    have = Counter((row.values, row.label) for row in rows.rows)
    wanted = Counter((row.values, row.label) for row in held_out.rows)
    return wanted < have


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""  # the table reader says what is wrong with it
