"""Whether a reading may be trusted: the one table that decides, before the model is asked.

| reading | quality | reason |
| --- | --- | --- |
| read failed, device offline, Modbus exception | bad | no_communication, device_failure, configuration_error |
| every register of the map is zero | bad | never_written |
| masters keep writing single registers into the hosted slave | bad | torn |
| NaN, infinity, denormal, sentinel word | bad | not_a_number, infinite, denormal, sentinel |
| outside the tag's `valid` range | bad, the value kept | out_of_range |
| far outside what the model was trained on | uncertain | outside_training |
| values that may be, but never occurred together in the class that they are given | uncertain | unusual_combination |
| a device that was away has just come back | uncertain | settling |
| further from the reading before than the tag's `max_step` | uncertain | jumped |
| the same bits for the tag's `expect_change_s` | uncertain | frozen |
"""

import math
from collections.abc import Iterable

from ampedge.datamap import Tag
from ampedge.records import Quality, Reason, TagValue, Words


def judge_raw(raw: float, *, smallest_normal: float, is_sentinel: bool) -> Reason | None:
    """What is wrong with a raw number, whatever it measures."""
    if is_sentinel:
        return Reason.SENTINEL
    if math.isnan(raw):
        return Reason.NOT_A_NUMBER
    if math.isinf(raw):
        return Reason.INFINITE
    if raw != 0 and abs(raw) < smallest_normal:
        return Reason.DENORMAL
    return None


def judge_value(tag: Tag, value: float, envelope: tuple[float, float] | None) -> TagValue:
    """The tag's value with its quality, from the valid range and the training envelope."""
    if not math.isfinite(value):  # a scale can carry a finite raw number over the edge
        return TagValue(tag.name, None, tag.unit, Quality.BAD, Reason.INFINITE)
    if tag.valid is not None and not tag.valid[0] <= value <= tag.valid[1]:
        return TagValue(tag.name, value, tag.unit, Quality.BAD, Reason.OUT_OF_RANGE)
    if envelope is not None and not envelope[0] <= value <= envelope[1]:
        return TagValue(tag.name, value, tag.unit, Quality.UNCERTAIN, Reason.OUTSIDE_TRAINING)
    return TagValue(tag.name, value, tag.unit)


def never_written(words: Iterable[Words]) -> bool:
    """True where every register of the map is zero."""
    return not any(any(held) for held in words)


def worst(values: Iterable[TagValue]) -> Quality:
    """The worst quality of all values."""
    found = Quality.GOOD
    for value in values:
        if value.quality is Quality.BAD:
            return Quality.BAD
        if value.quality is Quality.UNCERTAIN:
            found = Quality.UNCERTAIN
    return found
