"""The column of times: rows that are out of order, and those that are not there."""

import numpy as np

from ampedge.training.detectors.finding import Flags, Kind, Numbers, Severity, plural
from ampedge.training.detectors.times import order
from ampedge.training.inspection.examination import Examination


def judge_times(examination: Examination, times: Numbers, once: Flags) -> None:
    """Add what is to be said of the times, given in the file's own unit or in seconds."""
    sheet = examination.sheet
    found = order(times, sheet.lines, once)
    unit = "s" if sheet.time_format is not None else sheet.table.unit(sheet.time or "")
    if found.unsorted:
        examination.found(
            Kind.TIME_DISORDER,
            Severity.NOTE,
            sheet.time,
            np.zeros(0, dtype=np.intp),
            count=found.backward,
            what=f"The rows stand in no order of time: it goes back {found.backward} times.",
            remedy="Sort them by time before you train with --time-order.",
        )
    if len(found.disorder):
        examination.found(
            Kind.TIME_DISORDER,
            Severity.WARNING,
            sheet.time,
            found.disorder,
            what=f"{plural(len(found.disorder), 'row')} {'stands' if len(found.disorder) == 1 else 'stand'} out of the "
            "order of time.",
            remedy="Look whether the clock was set or rows were moved; --fix leaves them where they are.",
        )
    if len(found.gaps):
        longest = _length(float(found.steps.max()), unit)
        examination.found(
            Kind.TIME_GAPS,
            Severity.WARNING,
            sheet.time,
            found.gaps,
            what=f"{plural(len(found.gaps), 'gap')} before these lines, up to {longest}; "
            f"usual is {_length(found.usual, unit)}.",
            remedy="Look what happened there; rows on both sides of a gap may belong to different experiments.",
            examples=(_length(float(step), unit) for step in found.steps),
        )


def _length(length: float, unit: str) -> str:
    return f"{length:.6g} {unit}".strip()
