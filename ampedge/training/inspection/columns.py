"""One feature at a time: whether it says anything, or too much, and which of its values are to be doubted."""

import numpy as np

from ampedge.training.detectors import telling
from ampedge.training.detectors.constant import differing, is_constant, is_steady
from ampedge.training.detectors.finding import Flags, Kind, Numbers, Places, Severity, plural
from ampedge.training.detectors.frozen import frozen
from ampedge.training.detectors.wild import LARGEST, POISON, stretch, wild
from ampedge.training.inspection.examination import Examination, Step

_MANY = 10
"""Where one value in so many or more is too large, the column itself is."""


def judge_column(examination: Examination, name: str, once: Flags, typical: Flags) -> None:
    """Add what is to be said of a feature.

    `once` is False for rows that repeat another; `typical` are those that show what a class looks like.
    """
    sheet = examination.sheet
    values = sheet.numbers(name)
    values[examination.bad(name)] = np.nan
    if np.nanmax(np.abs(values), initial=0.0) > LARGEST and not _is_rid_of_extremes(examination, name, values):
        return
    if is_constant(values):
        value = values[np.isfinite(values)][0] + 0.0  # minus zero is zero
        _about(
            examination,
            Kind.CONSTANT,
            Severity.ERROR,
            name,
            what=f"It is {value:g} in every row, so it tells nothing.",
            remedy=f"{sheet.without(name)}.",
        )
        return
    if _is_near_constant(examination, name, values):
        _gives_away(examination, name, *_typical(examination, values, typical))
        return
    _judge_wild(examination, name, values, once)
    _judge_telling(examination, name, *_typical(examination, values, typical))
    values[~once] = np.nan
    _judge_frozen(examination, name, values)


def judge_text(examination: Examination, name: str, codes: np.ndarray, typical: Flags) -> None:
    """Add a finding where a column of texts stands for the label."""
    sheet = examination.sheet
    every = np.flatnonzero(typical)[:: 1 + len(codes) // telling.ROWS]
    code = telling.stands_for_label(codes[every], sheet.targets[every]) if len(every) else None
    if code is not None:
        _about(
            examination,
            Kind.GIVES_AWAY,
            Severity.NOTE,
            name,
            what=_says_it(code, "texts"),
            remedy="Nothing for training, which uses no texts.",
        )


def _is_rid_of_extremes(examination: Examination, name: str, values: Numbers) -> bool:
    """Add what is to be said of values too large to compute with; True where they are few and gone from `values`."""
    rows = np.flatnonzero(np.abs(values) > LARGEST)
    if _MANY * len(rows) > np.count_nonzero(np.isfinite(values)):
        _about(
            examination,
            Kind.OUT_OF_RANGE,
            Severity.ERROR,
            name,
            what=f"It goes from {np.nanmin(values):g} to {np.nanmax(values):g}, which cannot be computed with.",
            remedy=f"{examination.sheet.without(name)}, or give it in another unit.",
        )
        return False
    examination.found(
        Kind.OUT_OF_RANGE,
        Severity.ERROR,
        name,
        rows,
        what=f"{plural(len(rows), 'value')} too large to compute with.",
        remedy="Correct them, or leave their rows out; --fix does.",
        examples=_shown(values, rows),
    )
    examination.drop(Step.WILD, rows, name, "too large to compute with")
    values[rows] = np.nan
    return True


def _is_near_constant(examination: Examination, name: str, values: Numbers) -> bool:
    count = differing(values)
    steady = not count and is_steady(values)
    if count:
        usual, counts = np.unique(values[np.isfinite(values)], return_counts=True)
        value = usual[counts.argmax()]
        rows = np.flatnonzero(np.isfinite(values) & (values != value))
        examination.found(
            Kind.NEAR_CONSTANT,
            Severity.WARNING,
            name,
            rows,
            what=f"It is {value:g} in all rows but {count}.",
            remedy=f"{examination.sheet.without(name)}, or collect rows in which it varies.",
            examples=_shown(values, rows),
        )
    elif steady:
        _about(
            examination,
            Kind.NEAR_CONSTANT,
            Severity.WARNING,
            name,
            what="It varies by less than a millionth of its size.",
            remedy=f"{examination.sheet.without(name)}, unless so small a change does say something.",
        )
    return bool(count) or steady


def _judge_wild(examination: Examination, name: str, values: Numbers, once: Flags) -> None:
    sheet = examination.sheet
    found = wild(values, sheet.targets, once)
    if not found.any.any():
        return
    by = stretch(values, found.any)
    does_harm = by > POISON and name not in sheet.valid
    harm = f" They widen its standard deviation {by:.3g} times, so that all else shrinks." if by > POISON else ""
    remedy = (
        "If they are faults of the sensor, leave their rows out: state what is possible as `valid = [low, high]` of "
        "the tag in the config, or use --fix or --drop-bad-rows."
    )
    for kind, flags, where, why in (
        (Kind.SENTINELS, found.sentinels, "in place of a reading", "stands in place of a reading"),
        (Kind.SPIKES, found.spikes, "far from all others", "far from all other values"),
    ):
        rows = np.flatnonzero(flags)
        if len(rows):
            examination.found(
                kind,
                Severity.ERROR if does_harm else Severity.WARNING,
                name,
                rows,
                what=f"{plural(len(rows), 'value')} {where}.{harm}",
                remedy=remedy,
                examples=_shown(values, rows),
            )
            examination.drop(Step.WILD, rows, name, why)
    values[found.any] = np.nan


def _judge_frozen(examination: Examination, name: str, values: Numbers) -> None:
    stretches = frozen(values)
    if stretches:
        lines = examination.sheet.lines
        examination.found(
            Kind.FROZEN,
            Severity.WARNING,
            name,
            np.concatenate(stretches),
            count=len(stretches),
            what=f"It stands still {'once' if len(stretches) == 1 else f'{len(stretches)} times'} for longer than "
            f"otherwise, up to {max(map(len, stretches))} rows.",
            remedy="Look whether the sensor hung there; --fix leaves such rows in, as nobody can know.",
            examples=(f"{values[rows[0]]:g} in lines {lines[rows[0]]}-{lines[rows[-1]]}" for rows in stretches),
        )


def _typical(examination: Examination, values: Numbers, typical: Flags) -> tuple[Numbers, telling.Targets]:
    """The values that are believed and the class of each, of a long table every n-th."""
    every = slice(None, None, 1 + len(values) // telling.ROWS)
    known = np.isfinite(values[every]) & typical[every]
    return values[every][known], examination.sheet.targets[every][known]


def _judge_telling(examination: Examination, name: str, values: Numbers, targets: telling.Targets) -> None:
    if len(np.unique(targets)) < 2 or values.min() == values.max():
        return
    if not _gives_away(examination, name, values, targets) and telling.same_in_all(values, targets):
        _about(
            examination,
            Kind.SAME_IN_ALL,
            Severity.NOTE,
            name,
            what="It is the same in all classes, as far as these rows show.",
            remedy="It does no harm, but a model without it is simpler.",
        )


def _gives_away(examination: Examination, name: str, values: Numbers, targets: telling.Targets) -> bool:
    if len(np.unique(targets)) < 2:
        return False
    if code := telling.stands_for_label(values, targets):
        _about(
            examination,
            Kind.GIVES_AWAY,
            Severity.ERROR if code.is_exact else Severity.WARNING,
            name,
            what=_says_it(code, "values"),
            remedy=f"{examination.sheet.without(name)}, or, if a live device measures it, name it in --features.",
        )
        return True
    if count := telling.tells_some_apart(values, targets):
        what = f"It alone tells some classes apart: each class has just one of its {count} values."
    elif telling.separates(values, targets):
        what = "It alone tells all classes apart."
    else:
        return False
    _about(
        examination,
        Kind.GIVES_AWAY,
        Severity.WARNING,
        name,
        what=what,
        remedy="Is it known before the label is, on the live device, too? If not, leave it out.",
    )
    return True


def _about(examination: Examination, kind: Kind, severity: Severity, name: str, *, what: str, remedy: str) -> None:
    """A finding about a column as a whole."""
    examination.found(kind, severity, name, np.zeros(0, dtype=np.intp), count=1, what=what, remedy=remedy)


def _says_it(code: telling.Code, noun: str) -> str:
    nearly = "" if code.is_exact else "nearly always "
    return f"It gives the label away: each of its {code.values} {noun} {nearly}has just one label."


def _shown(values: Numbers, rows: Places) -> list[str]:
    return [f"{value:.10g}" for value in values[rows[:1000]].tolist()]
