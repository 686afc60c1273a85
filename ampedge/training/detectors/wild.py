"""Spikes and sentinel values: single readings that stand apart from all that a column otherwise holds.

A limit on the distance alone, in standard deviations or interquartile ranges, throws real faults away: these are far
out, too.  What sets a spike apart is the empty space between it and the rest, beside the tail that the column has
anyway; that there are few; that they come in all classes; that their neighbours in the file are no spikes.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ampedge.training.detectors.finding import Flags, Numbers

POISON = 1.5
"""Wild values that widen a column's standard deviation by more than this spoil its scaling: training refuses them."""

_SINKS = 20.0
"""What widens it by more than this hides all else: that it lasts, or is of one class, does not excuse it."""

LARGEST = 1e100
"""Beyond this the squares in a standard deviation leave the numbers of a computer."""

_FEWEST, _FEWEST_OF_CLASS = 12, 40
"""Fewer values than these have no tail to be judged by."""
_LOOKED_AT = 1000
_SHARE = 0.03
_SHARE_OF_FEW = 0.1
_AT_LEAST = 5
"""At most this share of the values can be wild, with some more in small tables."""
_APART = 2.3
"""How many times as far out as the last value of the rest a spike is, in a column with the tail of a normal one."""
_WIDER_IN_CLASS = 2.0
"""So many times wider is the empty space in a class, where the column's own tail would hide it."""
_TAIL = 1.9
_MOST_TAIL = 1.4
_NORMAL = 0.3
_SMALL = 3.5
_BEFORE_END = 2
_SOLID = 8
_OTHER_SIGN, _CLEAR = 1.6, 0.1
_CODES = 8
_BEYOND_CODES = 8.0
"""Columns of few whole numbers are codes or counts: only what is this many times as far out is no code."""
_BY_CHANCE = 1e-3
_OF_CLASS_BY_CHANCE = 4e-3
"""Two values that lie far out and are both of a class of 6 % are what that class looks like."""
_MOSTLY = 0.7
_IN_A_ROW = 0.4
_REPEATED = 3
_SENTINEL_APART = 1.3
_SENTINEL_NEAR = 1.02
_ZERO_APART = 1.15
_ZERO_SHARE = 0.05
_STEPS = 3.0
_WIDER = 1.2
_CROWDED = 8.0
_NEIGHBOURHOOD = 0.05

_MARKS = tuple(
    sorted(
        {
            float(sign * mark)
            for mark in (
                *(999, 9999, 99999, 999999, 9999999, 99999999, 999.9, 9999.9, 99999.9, 999.99, 9999.99, 99.99),
                *(32767, 32768, 65535, 65536, 2147483647, 2147483648),
                *(4294967295, 3276.7, 3276.8, 6553.5, 327.67, 327.68, 655.35, 32.767, 65.535, 1e30, 1e20, 1e10),
                *(3.4028235e38, 3.402823466e38, 3.40282e38, 1e31, 1e35, 1e36, 1e37, 9.96921e36, 9.9e37),
            )
            for sign in (1, -1)
        }
    )
)
"""What instruments, loggers and registers write in place of a reading that they do not have."""


@dataclass(frozen=True, slots=True)
class Wild:
    """For each value whether it is a spike, or a sentinel."""

    spikes: Flags
    sentinels: Flags

    @property
    def any(self) -> Flags:
        """Either of them."""
        return self.spikes | self.sentinels


def wild(values: Numbers, targets: NDArray[np.integer], once: Flags) -> Wild:
    """What is wild in one column.

    `values` are in the order of the file, NaN where there is none; `targets` holds the place of each row's class,
    -1 where it has none; `once` is False for rows that repeat another, which must not count twice.
    """
    spikes, sentinels = np.zeros(len(values), bool), np.zeros(len(values), bool)
    judged = np.isfinite(values) & once
    while True:  # what lies farther out hides what lies nearer, so the rest is looked at anew until it is clean
        known, known_targets = (values, targets) if judged.all() else (values[judged], targets[judged])
        ranked = np.sort(known)
        if len(known) < _FEWEST or ranked[-1] == ranked[0]:
            break
        far = _apart(known, ranked, known_targets)
        marks = _marks(known, ranked, far, known_targets)
        if not (far | marks).any():
            break
        spikes[judged] = far & ~marks
        sentinels[judged] = marks
        judged &= ~(spikes | sentinels)
    spikes, sentinels = _wherever(spikes, values, targets), _wherever(sentinels, values, targets)
    return Wild(spikes & ~sentinels, sentinels)


def _wherever(flags: Flags, values: Numbers, targets: NDArray[np.integer]) -> Flags:
    """The same values also in rows that repeat another, less those that so turn out to be most of a class."""
    if not flags.any():
        return flags
    different = np.unique(values[flags])
    found = np.isin(values, different)
    sizes = np.bincount(targets[targets >= 0])
    for one in np.flatnonzero(2 * np.bincount(targets[found & (targets >= 0)], minlength=len(sizes)) > sizes):
        of_class, counts = np.unique(values[found & (targets == one)], return_counts=True)
        most = of_class[counts.argmax()]
        is_it = values == most
        if 2 * counts.max() > sizes[one] and counts.max() >= _MOSTLY * is_it.sum() and most not in _MARKS:
            found &= ~is_it
    return found


def stretch(values: Numbers, apart: Flags) -> float:
    """By how much these values widen the column's standard deviation, 1 where they do nothing."""
    known = np.isfinite(values)
    inner = float(np.std(values[known & ~apart]))
    outer = float(np.std(values[known]))
    return outer / inner if inner > 0 else np.inf


def _apart(values: Numbers, ranked: Numbers, targets: NDArray[np.integer]) -> Flags:
    """What lies beyond an empty space on either side, and is neither a class of its own nor a stretch of time.

    `ranked` are the values in order.
    """
    found = np.zeros(len(values), bool)
    limit = _at_most(len(values))
    centre, spread = _middle(ranked)
    # each side is judged without what may be wild on the other
    is_code = _is_code(ranked[limit:-limit] if len(ranked) > 4 * limit else ranked)
    sides = []
    for inwards, side in ((ranked[::-1], 1), (ranked, -1)):
        count = _beyond(inwards, side, limit, is_code=is_code)
        far = _outer(values, inwards, count, side)
        more = _beyond(inwards, side, limit, is_code=is_code, any_tail=True)
        if more > count and not is_code:  # in a column with a heavy tail that is not that of their class
            far |= _apart_in_class(values, _outer(values, inwards, more, side), side, targets)
        if far.any():
            sides.append(far)
    for far, other in zip(sides, [*sides[1:], *sides[:1]], strict=True):
        judged = far | ~other  # one side alone
        if not _is_real(np.flatnonzero(far), targets) or _sinks(values[judged], far[judged], targets[judged]):
            found |= far
    if ranked[0] >= 0 or ranked[-1] <= 0:
        return found
    of_other_sign = _of_other_sign(values, limit, centre=centre, spread=spread)
    if not is_code and not _is_real(np.flatnonzero(of_other_sign), targets):
        found |= of_other_sign
    return found


def _outer(values: Numbers, inwards: Numbers, count: int, side: int) -> Flags:
    """The outermost `count` values on that `side`, with those that equal the last of them."""
    if not count:
        return np.zeros(len(values), bool)
    last = inwards[count - 1]
    return np.asarray(values >= last if side == 1 else values <= last)


def _apart_in_class(values: Numbers, far: Flags, side: int, targets: NDArray[np.integer]) -> Flags:
    """Which of the values that are `far` out are so among those of their class, too."""
    found = np.zeros(len(values), bool)
    for place in np.unique(targets[far & (targets >= 0)]):
        (rows,) = np.nonzero(targets == place)
        if len(rows) >= _FEWEST_OF_CLASS:
            ranked = np.sort(values[rows])
            inwards = ranked[::-1] if side == 1 else ranked
            count = _beyond(inwards, side, _at_most(len(rows)), is_code=_is_code(ranked), wider=_WIDER_IN_CLASS)
            found[rows] = _outer(values[rows], inwards, count, side)
    return found & far


def _middle(ranked: Numbers) -> tuple[float, float]:
    """(median, spread) of values that are in order."""
    low, first, centre, third, high = (float(ranked[int(q * (len(ranked) - 1))]) for q in (0.05, 0.25, 0.5, 0.75, 0.95))
    return centre, max((third - first) / 2, (high - low) / 8)


def _of_other_sign(values: Numbers, limit: int, *, centre: float, spread: float) -> Flags:
    """What has another sign than all the rest, where the rest stays clear of zero; it need not be as far out."""
    signed = values * np.sign(centre)
    others = signed < 0
    zeros = int((signed == 0).sum())  # a few stand for no reading; many are where the column begins
    if not 0 < others.sum() <= limit or zeros > limit:
        return np.zeros(len(values), bool)
    nearest = float(signed[signed > 0].min())
    if nearest < _CLEAR * abs(centre):
        return np.zeros(len(values), bool)
    far: Flags = others & (abs(centre) - signed > _OTHER_SIGN * max(abs(centre) - nearest, spread))
    return far


def _at_most(count: int) -> int:
    return int(min(max(_AT_LEAST, _SHARE * count), max(1, _SHARE_OF_FEW * count)))


def _beyond(
    inwards: Numbers, side: int, limit: int, *, is_code: bool, any_tail: bool = False, wider: float = 1.0
) -> int:
    """How many of the first values lie beyond the innermost empty space that is wide enough.

    `inwards` are all values from the outermost on that `side` (1 or -1) to the other end.  With `any_tail` the space
    need not be wider where the tail is heavy.
    """
    count = len(inwards)
    centre, spread = _middle(inwards[::-1] if side == 1 else inwards)
    beyond = np.arange(1, min(limit, count - 1) + 1)  # so many lie beyond, for each place of the space
    of_side = int(np.count_nonzero(inwards > centre if side == 1 else inwards < centre))

    def far(places: NDArray[np.intp]) -> Numbers:
        return np.asarray(side * (inwards[places.clip(0, count - 1)] - centre), dtype=np.float64)

    outer, last = far(beyond - 1), np.maximum(far(beyond), spread)
    # the tail of the rest: how far its end is out beside its 90 % quantile; a wild value before its end does not count
    end = np.maximum(far(beyond + _BEFORE_END), spread)
    usual = np.maximum(far((beyond + 0.1 * (of_side - beyond)).astype(np.intp)), spread)
    left = of_side - beyond
    # else the rest is one and the same value, and what differs from it is no spike
    judged = (outer > 0) & (last > 0) & ((left >= _SOLID) | (left == 0))
    outer, last, end, usual = (part[judged] for part in (outer, last, end, usual))
    heavier = np.log(end / usual) - _normal_tail(count) - _NORMAL
    needed = np.log(_APART) + np.clip(_TAIL * heavier, 0, 0 if any_tail else _MOST_TAIL)
    needed += _SMALL / np.sqrt(count) + np.log(_BEYOND_CODES) * is_code + np.log(wider)
    wide = np.flatnonzero(np.log(outer / last) > needed)
    return int(beyond[judged][wide[-1]]) if len(wide) else 0


def _normal_tail(count: int) -> float:
    """The logarithm of how far the last of so many normal values is out beside the 90 % quantile of its side."""
    return float(np.log(max(1.0, np.sqrt(2 * np.log(max(count, 4))) * 0.87 / 1.645)))


def _is_code(ranked: Numbers) -> bool:
    """Few different whole numbers: codes or counts; `ranked` are in order."""
    if (ranked[:: 1 + len(ranked) // _LOOKED_AT] % 1).any():
        return False
    return bool((ranked == np.floor(ranked)).all()) and int((np.diff(ranked) > 0).sum()) < _CODES


def _is_real(places: NDArray[np.intp], targets: NDArray[np.integer]) -> bool:
    """True where these values are what a rare class looks like, or an excursion that lasts."""
    from scipy.stats import poisson

    if len(places) < 2:
        return False
    if _is_of_one_class(targets[places], targets):
        return True
    close = np.diff(places) == 1
    by_chance = len(places) * (len(places) - 1) / len(targets)
    return bool(close.sum() >= _IN_A_ROW * len(places)) and float(poisson.sf(close.sum() - 1, by_chance)) < _BY_CHANCE


def _sinks(values: Numbers, far: Flags, targets: NDArray[np.integer]) -> bool:
    """True where these values would hide all others from a network, unless most of them are most of a class."""
    labelled = targets >= 0
    sizes = np.bincount(targets[labelled])
    out = np.bincount(targets[labelled & far], minlength=len(sizes))
    return stretch(values, far) > _SINKS and 2 * int(out[2 * out > sizes].sum()) <= int(far.sum())


def _is_of_one_class(found: NDArray[np.integer], targets: NDArray[np.integer]) -> bool:
    """True where so many of them are of so few classes that it cannot be chance; a stray one does not count."""
    from scipy.stats import binom

    labelled = int(np.count_nonzero(targets >= 0))
    if not labelled:
        return False
    classes, counts = np.unique(found, return_counts=True)
    order = np.argsort(-counts)
    for few in range(1, len(classes) + 1):
        of_few = int(counts[order[:few]].sum())
        share = float(np.isin(targets, classes[order[:few]]).sum()) / labelled
        if of_few >= _MOSTLY * len(found) and binom.sf(of_few - 1, len(found), share) < _OF_CLASS_BY_CHANCE:
            return True
    return False


def _marks(values: Numbers, ranked: Numbers, far: Flags, targets: NDArray[np.integer]) -> Flags:
    """Values that stand for no reading: known ones that are out of place, and others that repeat beyond the rest."""
    found = np.zeros(len(values), bool)
    marks = np.array([*_MARKS, 0.0, -1.0])
    places = np.searchsorted(ranked, marks)
    is_there = ranked[places.clip(max=len(ranked) - 1)] == marks
    far_values, far_counts = np.unique(values[far], return_counts=True)
    if not is_there.any():
        return far & np.isin(values, far_values[far_counts >= _REPEATED])
    rest = ranked[~np.isin(ranked, np.append(marks[is_there], far_values))]
    if len(rest) < _FEWEST // 2 or rest[0] == rest[-1]:
        return found
    centre = float(rest[len(rest) // 2])
    for mark in marks[is_there].tolist():
        at = np.flatnonzero(values == mark)
        judged = _is_out_of_place if mark in (0.0, -1.0) else _is_mark
        if mark in far_values or judged(mark, len(at), rest, centre):
            if mark in (0.0, -1.0) and _is_real(at, targets):
                continue
            found[at] = True
    return found | (far & np.isin(values, far_values[far_counts >= _REPEATED]))


def _is_mark(mark: float, count: int, rest: Numbers, centre: float) -> bool:
    """Whether a known mark is out of place in this column, or comes too often in it."""
    out = _out(mark, rest, centre)
    return out > _SENTINEL_APART or (count >= _REPEATED and (out > _SENTINEL_NEAR or _crowds(mark, count, rest)))


def _is_out_of_place(mark: float, count: int, rest: Numbers, centre: float) -> bool:
    """Whether 0 or -1 cannot be a reading of this column: a few, far from the rest, and nothing in between."""
    return (
        count <= max(_AT_LEAST, _ZERO_SHARE * len(rest))
        and not _is_code(rest)
        and _out(mark, rest, centre) > (_SENTINEL_APART if count < _REPEATED else _ZERO_APART)
        and _is_gap(mark, rest)
    )


def _out(mark: float, rest: Numbers, centre: float) -> float:
    """How far out a value is beside the last of the rest on its side."""
    last = rest[-1] - centre if mark > centre else centre - rest[0]
    return abs(mark - centre) / last if last > 0 else np.inf


def _is_gap(mark: float, rest: Numbers) -> bool:
    """True where the space between a value and the rest is wider than the steps at that end of the rest."""
    end = rest[: max(3, len(rest) // 50)] if mark < rest[0] else rest[-max(3, len(rest) // 50) :]
    gap = rest[0] - mark if mark < rest[0] else mark - rest[-1]
    steps = np.diff(rest)
    return bool(gap > _WIDER * np.ptp(end)) and bool(gap > _STEPS * steps[steps > 0].min())


def _crowds(mark: float, count: int, rest: Numbers) -> bool:
    """True where a value inside the range of the rest comes far more often than those around it."""
    reach = _NEIGHBOURHOOD * np.ptp(rest)
    low, high = np.searchsorted(rest, (mark - reach, mark + reach))
    around = rest[low:high]
    if len(around) == 0:
        return True
    most = np.unique(around, return_counts=True)[1].max()
    return bool(count > _CROWDED * most)
