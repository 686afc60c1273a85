"""What speaks for a label, as a person would write it."""

import math
from collections.abc import Sequence

from ampedge.records import Cause

_MOST_DECIMALS = 12
_WRITTEN_OUT = 1e12
"""Larger numbers are written with an exponent."""


def in_words(causes: Sequence[Cause], normal_label: str) -> str:
    """The causes in one line, such as `THD 4.8 % (healthy 0.7 to 2.2), heater 0.271 A (healthy 0.290 to 0.310)`."""
    return ", ".join(_words(cause, normal_label) for cause in causes)


def _words(cause: Cause, normal_label: str) -> str:
    value, low, high, expected = _numbers(cause)
    here = f", here {expected}" if expected else ""
    return f"{cause.tag} {value}{f' {cause.unit}' if cause.unit else ''} ({normal_label} {low} to {high}{here})"


def _numbers(cause: Cause) -> tuple[str, ...]:
    """Value, low, high and what is expected, with decimals for the range and to tell the value from its ends."""
    numbers = [cause.value, cause.low, cause.high, *([] if cause.expected is None else [cause.expected])]
    if max(map(abs, numbers)) >= _WRITTEN_OUT:
        shown = [f"{number:.4g}" for number in numbers]
    else:
        width = cause.high - cause.low or abs(cause.value - cause.low) or 1.0
        decimals = min(_MOST_DECIMALS, max(0, 1 - math.floor(math.log10(abs(width)))))
        shown = _with(decimals, numbers)
        while decimals < _MOST_DECIMALS and cause.value not in (cause.low, cause.high) and shown[0] in shown[1:]:
            decimals += 1
            shown = _with(decimals, numbers)
    return (*shown, "") if cause.expected is None else tuple(shown)


def _with(decimals: int, numbers: Sequence[float]) -> list[str]:
    return [f"{number:z.{decimals}f}" for number in numbers]
