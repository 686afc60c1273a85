"""What only earlier readings can tell: whether a value stands still, jumped, or comes from a device just back."""

from dataclasses import dataclass

from ampedge.datamap import DataMap
from ampedge.records import Frame, Quality, Reason, TagValue, Words


class Continuity:
    """The memory of one device, fed with every frame in order.

    It turns good values into uncertain ones and leaves all others as they are, their first reason with them.
    Time is the monotonic clock of the frames, so a wall clock that is set changes nothing.
    """

    def __init__(self, datamap: DataMap) -> None:
        self._pasts = {
            tag.name: _Past(tag.max_step, tag.expect_change_s)
            for tag in datamap.tags
            if tag.max_step is not None or tag.expect_change_s is not None
        }

    def judge(self, frame: Frame, values: tuple[TagValue, ...]) -> tuple[TagValue, ...]:
        """The values of a frame, in its order, with what the frames before say of them."""
        if not self._pasts and not frame.settling:
            return values
        return tuple(self._judged(frame, place, value) for place, value in enumerate(values))

    def _judged(self, frame: Frame, place: int, value: TagValue) -> TagValue:
        past = self._pasts.get(value.name)
        reason = None if past is None else past.look(frame, place, value)
        if frame.settling:
            reason = Reason.SETTLING
        if reason is None or value.quality is not Quality.GOOD:
            return value
        return TagValue(value.name, value.value, value.unit, Quality.UNCERTAIN, reason)


@dataclass(slots=True)
class _Past:
    """What was seen of one tag.

    `still_s` counts the time in which it was read and its words stayed the same; while it cannot be read nobody
    knows whether they do.  `value` is the last one that was not bad, so after a jump the new level is soon believed.
    """

    max_step: float | None
    expect_change_s: float | None
    words: Words = ()
    read_s: float | None = None
    still_s: float = 0.0
    value: float | None = None

    def look(self, frame: Frame, place: int, now: TagValue) -> Reason | None:
        """Take note of the tag's new value, and say what is odd about it."""
        if frame.failure is not None or (frame.bad and frame.bad[place] is not None):
            self.read_s = None
            return None
        words, before = frame.words[place], self.value
        if words != self.words:
            self.words, self.still_s = words, 0.0
        elif self.read_s is not None:
            self.still_s += frame.monotonic_s - self.read_s
        self.read_s = frame.monotonic_s
        if now.quality is Quality.BAD or now.value is None:
            return None
        self.value = now.value
        if self.max_step is not None and before is not None and abs(now.value - before) > self.max_step:
            return Reason.JUMPED
        if self.expect_change_s is not None and self.still_s >= self.expect_change_s:
            return Reason.FROZEN
        return None
