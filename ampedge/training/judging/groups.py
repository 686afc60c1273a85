"""Figures of each experiment by itself, because a mean over all rows hides the one where a model fails."""

from dataclasses import asdict, dataclass
from statistics import mean, median
from typing import Any

import numpy as np

from ampedge.training.judging.answers import Answers
from ampedge.training.judging.tallies import figured, kinds

_SEEN = {
    True: "Training saw none of these groups. ",
    False: "Training may have seen other rows of these groups. ",
}


@dataclass(frozen=True, slots=True)
class Group:
    """One experiment; macro-F1 is over the classes that occur in it."""

    name: str
    rows: int
    classes: int
    accuracy: float
    macro_f1: float


@dataclass(frozen=True, slots=True)
class Groups:
    """All experiments, the worst first; `unseen` says that training saw none of them, None that it is not known."""

    each: tuple[Group, ...]
    unseen: bool | None

    @property
    def macro_f1(self) -> float:
        """The mean over the groups, each of which counts the same."""
        return mean(group.macro_f1 for group in self.each)

    def sentence(self) -> str:
        """For people."""
        worst, best = self.each[0], self.each[-1]
        seen = "" if self.unseen is None else _SEEN[self.unseen]
        noun = "group" if len(self.each) == 1 else "groups"
        return (
            f"{seen}{len(self.each)} {noun} judged apart: mean macro-F1 {self.macro_f1:.3f}, median "
            f"{median(group.macro_f1 for group in self.each):.3f}, from {worst.macro_f1:.3f} ({worst.name}) "
            f"to {best.macro_f1:.3f}."
        )

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "unseen": self.unseen,
            "macro_f1": self.macro_f1,
            "median_macro_f1": median(group.macro_f1 for group in self.each),
            "worst_macro_f1": self.each[0].macro_f1,
            "best_macro_f1": self.each[-1].macro_f1,
            "each": [asdict(group) for group in self.each],
        }


def groups(answers: Answers, *, unseen: bool | None) -> Groups | None:
    """None where the rows do not say what they belong to."""
    if answers.groups is None:
        return None
    names, group = np.unique(answers.groups, return_inverse=True)
    (truth, said), which = kinds(answers.truth, answers.said)
    counts = np.zeros((len(names), len(truth)))
    np.add.at(counts, (group, which), 1)
    figures = figured(counts, truth, said, classes=len(answers.classes))
    rows, classes = counts.sum(axis=1), np.isfinite(figures.f1).sum(axis=1)
    each = [
        Group(str(name), int(rows[at]), int(classes[at]), float(figures.accuracy[at]), float(figures.macro_f1[at]))
        for at, name in enumerate(names)
    ]
    return Groups(tuple(sorted(each, key=lambda group: (group.macro_f1, group.accuracy))), unseen)
