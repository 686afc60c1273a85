"""How far each figure can be trusted: its 95 % confidence interval.

Where each row stands for itself, shares of rows have Wilson's interval, which is right for few rows and
for shares of 0 and 1, too (Wilson, JASA 22, 1927).  F1 is 2F/(1+F) of the share F = TP / (TP + FP + FN)
(Hand, Christen and Kirielle, Machine Learning 110, 2021), so its interval follows from that of F.
Macro-F1 is no share: it has a bootstrap, see `ampedge.training.judging.resampling`.
Where rows belong to groups, every figure has the bootstrap over groups.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

from ampedge.training.judging.answers import Answers, Places
from ampedge.training.judging.resampling import DRAWS, LEVEL, Interval, drawn, interval
from ampedge.training.judging.tallies import Figures

_Z = NormalDist().inv_cdf((1 + LEVEL) / 2)
_FEW_GROUPS = 10
_IN_GROUPS = 3
"""From fewer experiments nothing can be said of the next one."""

OF_ROWS = (
    f"Intervals of {LEVEL:.0%}: Wilson's for precision, recall, F1 and accuracy, a bootstrap within each class "
    f"({DRAWS} draws) for macro-F1. They take every row to be independent of the others."
)
OF_GROUPS = (
    f"Intervals of {LEVEL:.0%}: a bootstrap over whole groups ({DRAWS} draws); none for a class that stands in "
    f"fewer than {_IN_GROUPS} of them, nor then for macro-F1."
)


@dataclass(frozen=True, slots=True)
class Intervals:
    """The interval of each figure, None where the rows give none; `per_class` by class and figure."""

    accuracy: Interval | None
    macro_f1: Interval | None
    per_class: dict[str, dict[str, Interval | None]]
    method: str

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "level": LEVEL,
            "method": self.method,
            "accuracy": self.accuracy,
            "macro_f1": self.macro_f1,
            "per_class": self.per_class,
        }


def intervals(answers: Answers, confusion: Sequence[Sequence[int]]) -> Intervals:
    """Of all figures of `ampedge.training.metrics.scores`; `confusion` is the table of the same rows."""
    draws = drawn(answers)[0]
    if answers.groups is not None:
        groups = len(set(answers.groups))
        standing = _standing(answers.truth, answers.groups)
        few = f" There are only {groups} groups, so they are too narrow." if 1 < groups < _FEW_GROUPS else ""
        return Intervals(
            accuracy=interval(draws.accuracy),
            macro_f1=of_macro_f1(answers, draws.macro_f1[draws.complete]),
            per_class={
                name: {
                    key: interval(found[:, place]) if standing[place] >= _IN_GROUPS else None
                    for key, found in (("precision", draws.precision), ("recall", draws.recall), ("f1", draws.f1))
                }
                for place, name in enumerate(answers.classes)
            },
            method=OF_GROUPS + few,
        )
    hits = [counts[place] for place, counts in enumerate(confusion)]
    return Intervals(
        accuracy=wilson(sum(hits), len(answers.truth)),
        macro_f1=interval(draws.macro_f1),
        per_class={
            name: _shares(hits[place], sum(confusion[place]), sum(counts[place] for counts in confusion))
            for place, name in enumerate(answers.classes)
        },
        method=OF_ROWS,
    )


def of_macro_f1(answers: Answers, figures: Figures) -> Interval | None:
    """Of macro-F1, or of a difference in it, in draws that have all classes."""
    few = answers.groups is not None and min(_standing(answers.truth, answers.groups).values()) < _IN_GROUPS
    return None if few else interval(figures)


def _standing(truth: Places, groups: Sequence[str]) -> Counter[int]:
    """In how many groups each class stands."""
    return Counter(place for place, _ in set(zip(truth.tolist(), groups, strict=True)))


def wilson(hits: int, rows: int) -> Interval | None:
    """The interval of the share `hits` of `rows`, None of no rows."""
    if not rows:
        return None
    share, shift = hits / rows, _Z**2 / rows
    middle = (share + shift / 2) / (1 + shift)
    half = _Z / (1 + shift) * (share * (1 - share) / rows + shift / (4 * rows)) ** 0.5
    return max(0.0, middle - half), min(1.0, middle + half)


def _shares(hits: int, support: int, predicted: int) -> dict[str, Interval | None]:
    """Of one class; none where it does not occur."""
    share = wilson(hits, support + predicted - hits) if support else None
    return {
        "precision": wilson(hits, predicted),
        "recall": wilson(hits, support),
        "f1": share and (2 * share[0] / (1 + share[0]), 2 * share[1] / (1 + share[1])),
    }


def figure(number: float, between: Interval | None = None, *, rows: int = 1) -> str:
    """For people: the figure, and its interval where there is one; a dash where no row was judged."""
    if not rows:
        return "-"
    return f"{number:.3f}" if between is None else f"{number:.3f} ({between[0]:.2f}-{between[1]:.2f})"
