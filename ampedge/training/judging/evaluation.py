"""How well a bundle labels rows, measured through the pipeline that `serve` runs."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ampedge.datamap import DataMap, Tag
from ampedge.errors import DataError
from ampedge.modbus.codec import encode
from ampedge.modbus.plan import plan_reads
from ampedge.model.bundle import Bundle
from ampedge.model.verdict import cautions
from ampedge.pipeline import Pipeline
from ampedge.records import Frame, Record, Words
from ampedge.training.fitting.thresholds import Trade, known_costs, missed, traded, trades
from ampedge.training.judging.answers import NOT_ASKED, Answers
from ampedge.training.judging.curves import Curves, areas, curves
from ampedge.training.judging.groups import Groups, groups
from ampedge.training.judging.intervals import Intervals, intervals
from ampedge.training.judging.outcomes import outcomes
from ampedge.training.judging.reliability import Calibration, calibration
from ampedge.training.judging.rivals import Rivals, rivals
from ampedge.training.judging.worst import Mistake
from ampedge.training.metrics import confusion, scores
from ampedge.training.rows.labelled import Labelled
from ampedge.training.rows.labelled_row import LabelledRow
from ampedge.training.rows.split import apart

Track = Callable[[Iterable[LabelledRow]], Iterable[LabelledRow]]
"""Passes rows on and shows how many have gone by."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Figures of one bundle on one table.

    `scores` (see `ampedge.training.metrics`) judge the class, what the model says; `confusion` is its table
    with a last column for rows that the model was not asked about.  `published` counts what the label would
    have been: right, wrong or unknown; `unknown_reasons` and `not_asked_reasons` count why, and a row may
    have several reasons.  `baseline` is the commonest class of these rows, given as the answer to every row.
    `cautions` is what a reader must see before any figure.  `path` is the file in which the rows stand.
    `trades` are the curves of what thresholds cost, `costs` what the chosen ones change.
    `min_macro_f1` is the acceptance gate.
    """

    bundle: Bundle
    scored: str
    path: Path
    notes: tuple[str, ...]
    min_confidence: float
    answers: Answers
    scores: dict[str, Any]
    intervals: Intervals
    confusion: list[list[int]]
    baseline: dict[str, Any]
    cautions: tuple[str, ...]
    rivals: Rivals | None
    curves: list[Curves]
    calibration: Calibration | None
    trades: tuple[Trade, ...]
    costs: dict[str, dict[str, Any]]
    worst: tuple[Mistake, ...]
    groups: Groups | None
    published: dict[str, int]
    unknown_reasons: dict[str, int]
    not_asked_reasons: dict[str, int]
    min_macro_f1: float | None = None

    @property
    def rows(self) -> int:
        return len(self.answers.truth)

    @property
    def verdict(self) -> list[str]:
        """What the figures say, in sentences: first what must not be missed."""
        return [*self.cautions, *(self.rivals.sentences if self.rivals else ())]

    @property
    def passed(self) -> bool:
        """Whether the acceptance gate is met; true where there is none."""
        return self.min_macro_f1 is None or self.scores["macro_f1"] >= self.min_macro_f1

    @property
    def not_asked(self) -> int:
        """Rows that the model was not asked about because their quality was bad."""
        return sum(row[-1] for row in self.confusion)

    @property
    def wrong(self) -> int:
        """Rows that the model gave another class."""
        return int((self.answers.asked & (self.answers.said != self.answers.truth)).sum())

    def by_class(self) -> list[tuple[str, dict[str, Any]]]:
        """(class, its scores), the worst first; classes that do not occur come last."""
        return sorted(self.scores["per_class"].items(), key=lambda item: (item[1]["support"] == 0, item[1]["f1"]))

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
            "verdict": self.verdict,
            "model": {"name": manifest.name, "version": manifest.version, "path": str(self.bundle.path)},
            "scored": self.scored,
            "rows": self.rows,
            "notes": list(self.notes),
            **self.scores,
            "intervals": self.intervals.document(),
            "min_macro_f1": self.min_macro_f1,
            "passed": self.passed,
            "baseline": self.baseline,
            "baselines": self.rivals and self.rivals.document(),
            "classes": manifest.classes,
            "confusion": [row[:-1] for row in self.confusion],
            "areas": areas(self.curves),
            "calibration": self.calibration and self.calibration.document(),
            "costs": self.costs,
            "groups": self.groups and self.groups.document(),
            "mistakes": {
                "rows": self.wrong,
                "file": str(self.path),
                "worst": [mistake.document(manifest.feature_names) for mistake in self.worst],
            },
            "not_asked": {"rows": self.not_asked, "reasons": self.not_asked_reasons},
            "published": {
                **self.published,
                "unknown_reasons": self.unknown_reasons,
                "min_confidence": self.min_confidence,
            },
        }


def evaluate(
    bundle: Bundle,
    labelled: Labelled,
    *,
    scored: str,
    datamap: DataMap | None = None,
    min_confidence: float = 0.5,
    min_macro_f1: float | None = None,
    costs: Mapping[str, float] | None = None,
    track: Track = iter,
) -> Evaluation:
    """Encode every row into the registers of `datamap` (else the bundle's), run the pipeline, and judge.

    `costs` says for a class what a miss costs in false alarms, beside those that the bundle was trained with.
    Raises DataError with the line where a value does not fit its tag.
    """
    classes = bundle.classes
    pipeline = Pipeline(bundle, datamap, min_confidence=min_confidence)
    found = outcomes(labelled.rows, _results(pipeline, labelled, track), classes)
    answered = found.answers
    truth = [classes[place] for place in answered.truth]
    said = [None if place == NOT_ASKED else classes[place] for place in answered.said]
    commonest = Counter(truth).most_common(1)[0][0]
    always = scores(truth, [commonest] * len(truth), classes)
    of_each = _trades(bundle, answered, costs or {})
    figures, counts = scores(truth, said, classes), confusion(truth, said, classes)
    return Evaluation(
        bundle=bundle,
        scored=scored,
        path=labelled.path,
        notes=(*labelled.notes, *_absent(classes, truth), *_not_asked(said)),
        min_confidence=min_confidence,
        answers=answered,
        scores=figures,
        intervals=intervals(answered, counts),
        confusion=counts,
        baseline={"class": commonest, "accuracy": always["accuracy"], "macro_f1": always["macro_f1"]},
        cautions=tuple(cautions(figures, always, unasked=_unasked(classes, counts))),
        rivals=rivals(bundle, figures, held_out=labelled.held_out),
        curves=curves(answered),
        calibration=calibration(answered),
        trades=of_each,
        costs=_costs(bundle, answered, of_each),
        worst=found.worst,
        groups=groups(answered, unseen=_unseen(bundle, labelled)),
        published=found.published,
        unknown_reasons=found.unknown_reasons,
        not_asked_reasons=found.not_asked_reasons,
        min_macro_f1=min_macro_f1,
    )


def _results(pipeline: Pipeline, labelled: Labelled, track: Track) -> Iterable[tuple[LabelledRow, Record]]:
    tags = pipeline.datamap.tags
    plan = plan_reads(pipeline.datamap)
    for row in track(labelled.rows):
        words = [_words(labelled.path, row.line, tag, value) for tag, value in zip(tags, row.values, strict=True)]
        yield row, pipeline.run(Frame("evaluation", 0.0, plan.split(plan.join(words))))


def _trades(bundle: Bundle, answered: Answers, costs: Mapping[str, float]) -> tuple[Trade, ...]:
    """One for each class that has a threshold in the bundle or a cost here, over the rows that the model was asked."""
    of_each = {name: 1 / least - 1 for name, least in bundle.manifest.thresholds.items()}
    of_each |= known_costs(costs, bundle.classes, bundle.manifest.normal_label)
    asked = answered.asked
    if not asked.any():
        return ()
    probabilities, targets = answered.probabilities[asked], answered.truth[asked].astype(np.int32)
    return trades(of_each, bundle.classes, probabilities, targets)


def _costs(bundle: Bundle, answered: Answers, of_each: Sequence[Trade]) -> dict[str, dict[str, Any]]:
    """For each class with a cost, what thresholds change; `stored` is that of the bundle or None.

    Where all thresholds of the bundle are not just these, `as_is` counts what the model itself said.
    """
    asked, stored = answered.asked, bundle.manifest.thresholds
    truth, said = answered.truth[asked].astype(np.int32), answered.said[asked]
    found = traded(of_each, bundle.classes, truth, answered.probabilities[asked])
    for name, one in found.items():
        one["stored"] = stored.get(name)
        if stored and stored != {of_class.name: of_class.chosen for of_class in of_each}:
            one["as_is"] = missed(said, truth, bundle.classes.index(name))
    return found


def _words(path: Path, line: int, tag: Tag, value: float) -> Words:
    try:
        return encode(tag, value)
    except DataError as error:
        raise DataError(f"{path}, line {line}, column {tag.name!r}: {error.problem}", error.remedy) from error


def _absent(classes: Sequence[str], truth: Sequence[str]) -> list[str]:
    absent = [repr(name) for name in classes if name not in truth]
    return [f"No row is labelled {', '.join(absent)}; macro-F1 is the mean over the other classes."] if absent else []


def _unasked(classes: Sequence[str], confusion: Sequence[Sequence[int]]) -> list[str]:
    """The classes that have rows, about none of which the model was asked."""
    return [name for name, row in zip(classes, confusion, strict=True) if row[-1] and not any(row[:-1])]


def _not_asked(said: Sequence[str | None]) -> list[str]:
    count = said.count(None)
    if not count:
        return []
    rows = "1 row has" if count == 1 else f"{count} rows have"
    return [
        f"{rows} a value of bad quality, about which the model is not asked: missed in every figure, and left out of "
        "the curves and the calibration, which need probabilities."
    ]


def _unseen(bundle: Bundle, labelled: Labelled) -> bool | None:
    """Whether training saw none of the groups; None where that is not known."""
    if not labelled.held_out:
        return None
    return bundle.manifest.training.settings.get("split") == apart(labelled.group)
