"""What the log tells the broker when it had to drop events: which, how many, why."""

import json
from dataclasses import dataclass, replace

from ampedge.records import DROPPED
from ampedge.store.rows import Row
from ampedge.wire import rfc3339

LOG_FULL = "log_full"
MEMORY_FULL = "memory_full"
UNREADABLE = "unreadable"

Key = tuple[str | None, str | None, str]
"""Device, boot and reason: what one announcement is about; device and boot are None where nobody knows whose it was."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an event came from; with its sequence number that is what a consumer knows it by."""

    device: str
    boot: str | None
    sequence: int | None


@dataclass(frozen=True, slots=True)
class Announcement:
    """Some events of one start of one device are gone; it takes the place (the id) of the last of them.

    `first` and `last` are sequence numbers, None where nobody knows them any more, as are `device` and `boot`.
    `announcer` is the device on whose topic it is told.
    """

    id: int
    announcer: str
    device: str | None
    boot: str | None
    first: int | None
    last: int | None
    count: int
    reason: str
    time_s: float

    @property
    def key(self) -> Key:
        """What it is about."""
        return self.device, self.boot, self.reason

    def after(self, earlier: "Announcement") -> "Announcement":
        """One announcement for both, in the place of this one."""
        firsts = [number for number in (earlier.first, self.first) if number is not None]
        lasts = [number for number in (earlier.last, self.last) if number is not None]
        count = earlier.count + self.count
        return replace(self, first=min(firsts, default=None), last=max(lasts, default=None), count=count)

    def moved(self, by: int) -> "Announcement":
        """The same with another id."""
        return replace(self, id=self.id + by)

    def row(self, since_s: float = 0.0) -> Row:
        """The row that says it."""
        said = {
            "schema": 1,
            "device": self.device,
            "boot": self.boot,
            "first": self.first,
            "last": self.last,
            "count": self.count,
            "reason": self.reason,
            "time": rfc3339(self.time_s),
        }
        payload = json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode()
        return Row(self.id, DROPPED, self.announcer, self.boot or "", self.last or 0, self.time_s, payload, since_s)


def announcement(
    row_id: int, origin: Origin | None, reason: str, time_s: float, *, announcer: str, count: int = 1
) -> Announcement:
    """The announcement that events of one origin were dropped; `announcer` tells it where there is none."""
    if origin is None:
        return Announcement(row_id, announcer, None, None, None, None, count, reason, time_s)
    sequence = origin.sequence
    return Announcement(row_id, origin.device, origin.device, origin.boot, sequence, sequence, count, reason, time_s)
