"""Two bundles on the same rows, and whether the difference between them is more than the luck of the rows.

Accuracy is judged by McNemar's test in its exact form, on the rows that only one of the two got right
(McNemar, Psychometrika 12, 1947; Dietterich, Neural Computation 10, 1998).  Macro-F1, which it does not know, and
accuracy where rows belong to groups are judged by a randomisation test, see `ampedge.training.judging.swapping`.
How large the difference may be, a bootstrap says that draws the same rows for both.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ampedge.errors import DataError
from ampedge.training.judging.answers import NOT_ASKED, Answers
from ampedge.training.judging.evaluation import Evaluation
from ampedge.training.judging.intervals import of_macro_f1
from ampedge.training.judging.resampling import LEVEL, Interval, drawn, interval
from ampedge.training.judging.swapping import swapped
from ampedge.training.rows.labelled_row import LabelledRow

MOST = 20
_CHANCE = 1 - LEVEL
_KEPT = ("model", "accuracy", "macro_f1", "per_class", "intervals", "calibration", "not_asked", "published")


@dataclass(frozen=True, slots=True)
class Change:
    """What the second has more than the first of a figure, how large that may be, and how likely it is by luck."""

    name: str
    more: float
    interval: Interval | None
    p_value: float

    @property
    def beyond_luck(self) -> bool:
        return self.p_value < _CHANCE

    def __str__(self) -> str:
        between = "" if self.interval is None else f"{self.interval[0]:+.3f} to {self.interval[1]:+.3f}, "
        return f"{self.name} {self.more:+.3f} ({between}p = {self.p_value:.2g})"

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "difference": self.more,
            "interval": self.interval,
            "p_value": self.p_value,
            "beyond_luck": self.beyond_luck,
        }


@dataclass(frozen=True, slots=True)
class Differing:
    """A row of which the two say different things, None where a model was not asked."""

    line: int
    values: tuple[float, ...]
    expected: str
    first: str | None
    second: str | None


@dataclass(frozen=True, slots=True)
class ModelComparison:
    """Both evaluations, what the second has more, and rows where they differ.

    The `examples` begin with what only the first got right, which the second would lose.
    `right` counts rows by who got them right: both, only the first, only the second, neither.
    """

    first: Evaluation
    second: Evaluation
    accuracy: Change
    macro_f1: Change
    right: dict[str, int]
    differ: int
    examples: tuple[Differing, ...]

    @property
    def names(self) -> tuple[str, str]:
        """How the two are told apart."""
        return str(self.first.bundle.path), str(self.second.bundle.path)

    @property
    def notes(self) -> list[str]:
        """Those of both, each once, and that they were made for other costs."""
        return [*dict.fromkeys((*self.first.notes, *self.second.notes)), *self._costs()]

    def _costs(self) -> Iterator[str]:
        stored = [one.bundle.manifest.thresholds for one in (self.first, self.second)]
        if stored[0] != stored[1]:
            for name, thresholds in zip(self.names, stored, strict=True):
                if thresholds:
                    yield (
                        f"{name} says {', '.join(map(repr, thresholds))} from a threshold on, as a miss costs more or "
                        "less there than a false alarm; accuracy and macro-F1 do not weigh that, and the two models do "
                        "not store the same thresholds."
                    )

    @property
    def cautions(self) -> list[str]:
        """What must be seen before any figure, of each model."""
        pairs = zip(self.names, (self.first, self.second), strict=True)
        return [f"{name}: {caution}" for name, one in pairs for caution in one.cautions]

    def sentence(self) -> str:
        """Whether the difference is more than luck."""
        first, second = self.names
        if not self.differ:
            return f"{first} and {second} say the same of every row."
        changes = (self.accuracy, self.macro_f1)
        figures = "; ".join(map(str, changes))
        sure = [one for one in changes if one.beyond_luck]
        if not sure:
            return f"The difference between {first} and {second} may be luck: {figures}."
        better, worse = (
            " and ".join(one.name for one in sure if (one.more > 0) == is_more) for is_more in (True, False)
        )
        said = " and ".join(f"{word} in {names}" for word, names in (("better", better), ("worse", worse)) if names)
        rest = [one.name for one in changes if not one.beyond_luck]
        luck = f" The difference in {rest[0]} may be luck." if rest else ""
        return f"{second} is {said} than {first}, by more than luck: {figures}.{luck}"

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "verdict": [self.sentence(), *self.cautions],
            "scored": self.first.scored,
            "rows": self.first.rows,
            "notes": self.notes,
            "models": [
                {key: found for key, found in one.document().items() if key in _KEPT}
                for one in (self.first, self.second)
            ],
            "accuracy": self.accuracy.document(),
            "macro_f1": self.macro_f1.document(),
            "right": self.right,
            "differing": {
                "rows": self.differ,
                "file": str(self.first.path),
                "examples": [
                    {
                        "line": one.line,
                        "values": dict(zip(self.first.bundle.manifest.feature_names, one.values, strict=True)),
                        "expected": one.expected,
                        "got": [one.first, one.second],
                    }
                    for one in self.examples
                ],
            },
        }


def compare(first: Evaluation, second: Evaluation, rows: Sequence[LabelledRow]) -> ModelComparison:
    """Of two evaluations of the same rows, which `rows` are with the values of the first."""
    if set(first.bundle.classes) != set(second.bundle.classes):
        differing = sorted(set(first.bundle.classes) ^ set(second.bundle.classes))
        raise DataError(
            f"{first.bundle.path} and {second.bundle.path} know different classes: {', '.join(map(repr, differing))} "
            "only one of them.",
            "Compare models of the same classes.",
        )
    ours, theirs = first.answers, _as_places_of(first.answers, second.answers)
    right = [one.said == one.truth for one in (ours, theirs)]
    only_first, only_second = int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())
    before, after = drawn(ours, theirs)
    p_value = swapped(ours, theirs)
    differ = ours.said != theirs.said
    return ModelComparison(
        first=first,
        second=second,
        accuracy=Change(
            "accuracy",
            second.scores["accuracy"] - first.scores["accuracy"],
            interval(after.accuracy - before.accuracy),
            mcnemar(only_first, only_second) if ours.groups is None else p_value(lambda one: one.accuracy),
        ),
        macro_f1=Change(
            "macro-F1",
            second.scores["macro_f1"] - first.scores["macro_f1"],
            of_macro_f1(ours, (after.macro_f1 - before.macro_f1)[before.complete]),
            p_value(lambda one: one.macro_f1),
        ),
        right={
            "both": int((right[0] & right[1]).sum()),
            "only_first": only_first,
            "only_second": only_second,
            "neither": int((~right[0] & ~right[1]).sum()),
        },
        differ=int(differ.sum()),
        examples=_examples(ours, theirs, rows),
    )


def mcnemar(only_first: int, only_second: int) -> float:
    """The exact two-sided p-value: how likely so uneven a split of these rows is where each is a toss of a coin."""
    from scipy.stats import binomtest

    tosses = only_first + only_second
    return float(binomtest(only_first, tosses).pvalue) if tosses else 1.0


def _as_places_of(ours: Answers, theirs: Answers) -> Answers:
    """The answers with the classes in our order."""
    order = np.array([ours.classes.index(name) for name in theirs.classes], dtype=np.intp)
    said = np.where(theirs.asked, order[theirs.said], NOT_ASKED)
    return replace(theirs, classes=ours.classes, truth=order[theirs.truth], said=said, groups=ours.groups)


def _examples(ours: Answers, theirs: Answers, rows: Sequence[LabelledRow]) -> tuple[Differing, ...]:
    differ = np.nonzero(ours.said != theirs.said)[0]
    lost, won = ours.said == ours.truth, theirs.said == theirs.truth
    places = sorted(differ.tolist(), key=lambda row: (not lost[row], not won[row], row))[:MOST]
    names = (*ours.classes, None)  # NOT_ASKED is the last
    return tuple(
        Differing(
            rows[at].line, rows[at].values, rows[at].label, names[int(ours.said[at])], names[int(theirs.said[at])]
        )
        for at in places
    )
