"""What became of every row that went through the pipeline, gathered as the records come, and no record kept."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ampedge.records import UNKNOWN, Record
from ampedge.training.judging.answers import NOT_ASKED, Answers
from ampedge.training.judging.worst import Mistake, Worst
from ampedge.training.rows.labelled_row import LabelledRow


@dataclass(frozen=True, slots=True)
class Outcomes:
    """`published` counts right, wrong and unknown labels; the reasons are counted by how common they are."""

    answers: Answers
    published: dict[str, int]
    unknown_reasons: dict[str, int]
    not_asked_reasons: dict[str, int]
    worst: tuple[Mistake, ...]


def outcomes(
    rows: Sequence[LabelledRow], results: Iterable[tuple[LabelledRow, Record]], classes: Sequence[str]
) -> Outcomes:
    """The rows beside what the pipeline made of them; `classes` are the model's, in its order."""
    places = {name: place for place, name in enumerate(classes)}
    truth, said = np.empty(len(rows), dtype=np.intp), np.full(len(rows), NOT_ASKED, dtype=np.intp)
    probabilities = np.full((len(rows), len(classes)), np.nan)
    published = dict.fromkeys(("right", "wrong", UNKNOWN), 0)
    unknown: Counter[str] = Counter()
    not_asked: Counter[str] = Counter()
    groups: list[str] = []
    worst = Worst()
    for at, (row, record) in enumerate(results):
        truth[at] = places[row.label]
        if record.class_name is None:
            not_asked.update(map(str, record.reasons))
        else:
            said[at], probabilities[at] = places[record.class_name], record.probabilities
            worst.look(row, record)
        if record.label == UNKNOWN:
            unknown.update(map(str, record.reasons))
        published[UNKNOWN if record.label == UNKNOWN else "right" if record.label == row.label else "wrong"] += 1
        if row.group is not None:
            groups.append(row.group)
    return Outcomes(
        Answers(tuple(classes), truth, said, probabilities, tuple(groups) or None),
        published,
        dict(unknown.most_common()),
        dict(not_asked.most_common()),
        worst.found,
    )
