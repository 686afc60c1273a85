"""Stretches in which a reading stands still for longer than it does otherwise.

A coarse or slow sensor repeats its values by nature, so a stretch is judged against the column's own habit: how often
a value follows itself, and how long the other stretches are.
"""

import numpy as np

from ampedge.training.detectors.finding import Flags, Numbers, Places

_SHORTEST = 5
_MOST = 20
_LONGER, _BY = 2, 3
_BY_CHANCE = 1e-6
_FAR_LONGER = 8
_OTHERS = 10
_WEIGHT = 10
_RARELY = 1e-4
"""How often a value follows itself at least, also where it was never seen to."""


def frozen(values: Numbers) -> list[Places]:
    """The places of each frozen stretch, in the order of the file; values that are NaN are passed over."""
    is_known = np.isfinite(values)
    known = values if is_known.all() else values[is_known]
    same_as_before = known[1:] == known[:-1]
    if not _has_run(same_as_before, _SHORTEST - 1):
        return []
    at = np.flatnonzero(is_known)
    starts = np.flatnonzero(np.append(True, known[1:] != known[:-1]))
    lengths = np.diff(np.append(starts, len(known)))
    by_length = np.argsort(-lengths, kind="stable")[: _MOST + 1]
    ranked = lengths[by_length]
    wide = np.flatnonzero((ranked[:-1] >= _LONGER * ranked[1:] + _BY) & (ranked[:-1] >= _SHORTEST))
    if not len(wide):
        return []
    standing = np.sort(by_length[: wide[-1] + 1])
    others = np.ones(len(starts), bool)
    others[standing] = False
    if others.sum() < _OTHERS or lengths[others].sum() < len(known) / 2:  # it stands still most of the time
        return []
    usual = _follows_itself(lengths[others])
    stretches = []
    for run in standing.tolist():
        same = known[starts] == known[starts[run]]  # also another long one: then it is usual for this value
        same[run] = False
        follows = max(usual, _follows_itself(lengths[same], usual), _RARELY)
        longest = max(lengths[others].max(), lengths[same].max(initial=0))
        by_chance = len(known) * follows ** (int(lengths[run]) - 1)
        if by_chance < _BY_CHANCE or lengths[run] >= _FAR_LONGER * longest:
            stretches.append(at[starts[run] : starts[run] + lengths[run]])
    return stretches


def _has_run(flags: Flags, length: int) -> bool:
    """Whether so many flags stand in a row; most columns have none, and then nothing large need be counted."""
    if len(flags) < length:
        return False
    found = flags[: len(flags) - length + 1].copy()
    for shift in range(1, length):
        found &= flags[shift : len(flags) - length + 1 + shift]
    return bool(found.any())


def _follows_itself(lengths: Places, usual: float = 0.0) -> float:
    """How often the next value is the same, where the stretches have these lengths; a few weigh as much as `usual`."""
    return float(((lengths - 1).sum() + _WEIGHT * usual) / (lengths.sum() + _WEIGHT))
