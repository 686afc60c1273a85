"""A column of times: what its cells mean, which rows are out of order, where rows are missing."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ampedge.training.detectors.finding import Flags, Numbers, Places

FORMATS = (
    "ISO8601",
    *(f"{day} {hour}" for day in ("%d.%m.%Y", "%d.%m.%y", "%d/%m/%Y", "%m/%d/%Y", "%Y/%m/%d", "%d-%m-%Y") for hour in
      ("%H:%M:%S", "%H:%M:%S.%f", "%H:%M", "%I:%M:%S %p", "%I:%M %p")),
    *("%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%H:%M:%S", "%H:%M:%S.%f", "%H:%M"),
)  # fmt: skip
DAY_FIRST, MONTH_FIRST = "%d/%m", "%m/%d"
"""Either may be meant where no day is beyond the twelfth."""

_SAMPLE = 500
_MOST = 0.9
_UNSORTED = 0.2
_REGULAR = 1.75
_IRREGULAR = 1.5
_LONGER = 3.0
_FEW_GAPS = 5
_ROUNDING = 1e-9
_RESTARTS_ROWS = 10
_LARGEST_BLOCK = 200_000
_NONE = np.zeros(0)


def format_of(texts: Sequence[str]) -> str | None:
    """The format of dates or times that most of these cells have, None where they are none."""
    filled = [text for text in (text.strip() for text in texts) if text]
    filled = filled[:: 1 + len(filled) // _SAMPLE]
    if not filled or not any(sign in filled[0] for sign in "-:./"):
        return None
    found = next((form for form in FORMATS if _fits(filled, form)), None)
    if found is None or not found.startswith(DAY_FIRST):
        return found
    other = found.replace(DAY_FIRST, MONTH_FIRST)
    return other if _fits(filled, other) and _way(filled, other) < _way(filled, found) else found


def _fits(texts: Sequence[str], form: str) -> bool:
    return bool(_parsed(texts, form).notna().mean() >= _MOST)


def _way(texts: Sequence[str], form: str) -> float:
    """The length of all steps together, forward and back: the right format makes it the shortest."""
    return float(np.nansum(np.abs(np.diff(seconds(texts, form)))))


def seconds(texts: Sequence[str], form: str) -> Numbers:
    """The cells as seconds since 1970, NaN where one is no time."""
    parsed = _parsed([text.strip() for text in texts], form)
    nanoseconds = parsed.to_numpy().astype("datetime64[ns]")
    found = nanoseconds.astype(np.int64) / 1e9
    found[np.isnat(nanoseconds)] = np.nan
    return np.asarray(found, dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Order:
    """What is wrong with the times: the rows out of order, and those before which rows are missing.

    `unsorted` means that the rows follow no order of time at all, and then `disorder` names none.
    `usual` is the usual step; `steps` holds the step before each of `gaps`.
    """

    disorder: Places
    gaps: Places
    steps: Numbers
    usual: float
    unsorted: bool
    backward: int


def order(times: Numbers, lines: NDArray[np.integer], once: Flags) -> Order:
    """Judge the times in the order of the file.

    `lines` are the lines of the rows: where some between two rows were skipped, a longer step is no gap.
    `once` is False for a row that repeats another; such rows are out of place, but are told of as duplicates.
    """
    at = np.flatnonzero(np.isfinite(times) & once)
    known = times if len(at) == len(times) else times[at]
    back = np.flatnonzero(np.diff(known) < 0) + 1
    nothing = np.zeros(0, dtype=np.intp)
    if len(known) < 3:
        return Order(nothing, nothing, np.zeros(0), 0.0, unsorted=False, backward=0)
    if len(back) > _UNSORTED * len(known):
        return Order(nothing, nothing, np.zeros(0), 0.0, unsorted=True, backward=len(back))
    if _restarts(known, back):
        return _each(times, lines, at, back)
    if not len(back):
        gaps, steps, usual = _gaps(known, lines[at])
        return Order(nothing, at[gaps], steps, usual, unsorted=False, backward=0)
    wrong = _out_of_order(known)
    kept = np.ones(len(known), bool)
    kept[wrong] = False
    at_right = at[kept]
    gaps, steps, usual = _gaps(times[at_right], lines[at_right], between=np.sort(known[wrong]))
    return Order(at[wrong], at_right[gaps], steps, usual, unsorted=False, backward=len(back))


def _parsed(texts: Sequence[str], form: str):  # type: ignore[no-untyped-def]  # pandas has no types
    import pandas as pd

    return pd.Series(
        pd.to_datetime(pd.Series(texts, dtype=object), format=form, errors="coerce", utc=True)
    ).dt.tz_localize(None)


def _restarts(known: Numbers, back: Places) -> bool:
    """True where the clock begins anew several times: each time near its least value, each time for many rows."""
    if not len(back):
        return False
    pieces = np.diff(np.concatenate([[0], back, [len(known)]]))
    typical = float(np.median(np.abs(np.diff(known))))
    return bool((pieces >= _RESTARTS_ROWS).all()) and bool((known[back] <= known.min() + typical).all())


def _each(times: Numbers, lines: NDArray[np.integer], at: Places, back: Places) -> Order:
    """The gaps of each piece of a clock that begins anew."""
    found, steps, usual = [], [], []
    for piece in np.split(at, back):
        gaps, wide, step = _gaps(times[piece], lines[piece])
        found.append(piece[gaps])
        steps.append(wide)
        usual.append(step)
    nothing = np.zeros(0, dtype=np.intp)
    return Order(
        nothing, np.concatenate(found), np.concatenate(steps), float(np.median(usual)), unsorted=False, backward=0
    )


def _gaps(known: Numbers, lines: NDArray[np.integer], between: Numbers = _NONE) -> tuple[Places, Numbers, float]:
    """(the places after a gap, the step before each, the usual step) of times that rise.

    `between` are times of rows that stand elsewhere: a step that they fill is no gap.
    """
    steps = np.diff(known)
    moving = steps > 0
    if moving.sum() < 3:
        return np.zeros(0, dtype=np.intp), np.zeros(0), 0.0
    usual = float(np.median(steps[moving]))
    a_line = steps / np.maximum(1, np.diff(lines))
    ranked = np.sort(a_line[moving] / usual)[::-1]
    most = min(len(ranked) - 1, max(_FEW_GAPS, len(ranked) // 50))
    limit = _REGULAR
    if ranked[most] > _IRREGULAR:  # steps that vary by nature: a gap stands apart from the longest of the others
        wide = np.flatnonzero(ranked[:most] > np.maximum(_LONGER * ranked[1 : most + 1], _REGULAR))
        limit = ranked[wide[-1]] * (1 - _ROUNDING) if len(wide) else np.inf
    gaps = np.flatnonzero(a_line > limit * usual) + 1
    if len(between):
        filled = [
            np.diff([known[gap - 1], *between[(between > known[gap - 1]) & (between < known[gap])], known[gap]]).max()
            for gap in gaps.tolist()
        ]
        gaps = gaps[np.array(filled) > limit * usual]
    return gaps, steps[gaps - 1], usual


def _out_of_order(known: Numbers) -> Places:
    """The rows that stand in the wrong place: those that some longest rising series leaves out, less those that
    stand where they would when sorted."""
    highest = np.maximum.accumulate(known)
    lowest = np.minimum.accumulate(known[::-1])[::-1]
    # a block: rows between two places where all before is at most all after
    cut = np.append(True, highest[:-1] <= lowest[1:])
    starts = np.append(np.flatnonzero(cut), len(known))
    found = []
    for start, end in zip(
        starts[:-1][np.diff(starts) > 1].tolist(), starts[1:][np.diff(starts) > 1].tolist(), strict=True
    ):
        block = known[start:end]
        if len(block) > _LARGEST_BLOCK:
            wrong = np.flatnonzero(np.diff(block) < 0) + 1
        else:
            right_place = np.argsort(np.argsort(block, kind="stable"), kind="stable") == np.arange(len(block))
            wrong = np.flatnonzero(~_in_every_longest(block) & ~right_place)
        found.append(start + wrong)
    return np.concatenate(found) if found else np.zeros(0, dtype=np.intp)


def _in_every_longest(block: Numbers) -> Flags:
    """For each value whether every longest series that does not fall holds it."""
    before = _longest_ending(block.tolist(), bisect_right)
    after = _longest_ending((-block[::-1]).tolist(), bisect_right)[::-1]
    whole = before.max()
    on_one = before + after - 1 == whole
    counts = np.bincount(before[on_one], minlength=whole + 1)
    found: Flags = on_one & (counts[before] == 1)
    return found


def _longest_ending(values: list[float], bisect=bisect_left) -> NDArray[np.intp]:  # type: ignore[no-untyped-def]
    """For each value the length of the longest series that ends with it and does not fall."""
    tails: list[float] = []
    lengths = np.empty(len(values), dtype=np.intp)
    for place, value in enumerate(values):
        position = bisect(tails, value)
        if position == len(tails):
            tails.append(value)
        else:
            tails[position] = value
        lengths[place] = position + 1
    return lengths
