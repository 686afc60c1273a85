"""What the log tells the broker when it had to drop events: which, how many, why."""

import json
from dataclasses import dataclass, replace

from ampedge.records import DROPPED
from ampedge.store.rows import Row
from ampedge.wire import rfc3339

LOG_FULL = "log_full"
MEMORY_FULL = "memory_full"
UNREADABLE = "unreadable"

Key = tuple[str, str, str]
"""Device, boot and reason: what one announcement is about."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an event came from; with its sequence number that is what a consumer knows it by."""

    device: str
    boot: str
    sequence: int | None


@dataclass(frozen=True, slots=True)
class Announcement:
    """Some events of one start of one device are gone; it takes the place (the id) of the last of them.

    `first` and `last` are sequence numbers, None where nobody knows them any more.
    """

    id: int
    device: str
    boot: str
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
        return Row(self.id, DROPPED, self.device, self.boot, self.last or 0, self.time_s, payload, since_s)


def announcement(row_id: int, origin: Origin, reason: str, time_s: float) -> Announcement:
    """The announcement that one event was dropped."""
    sequence = origin.sequence
    return Announcement(row_id, origin.device, origin.boot, sequence, sequence, 1, reason, time_s)
