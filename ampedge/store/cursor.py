"""Where a consumer of the log stands: the one line of it that is written again with every commit."""

import zlib
from dataclasses import dataclass

from ampedge.store.ranges import Ranges


@dataclass(frozen=True, slots=True)
class Cursor:
    """Every id up to `last` is accounted for; what does not wait was delivered or dropped.

    The counts are of events, not of announcements.
    """

    last: int
    waiting: Ranges
    produced: int
    delivered: int
    dropped: int

    def shifted(self, by: int) -> "Cursor":
        """The same with other ids."""
        return Cursor(self.last + by, self.waiting.shifted(by), self.produced, self.delivered, self.dropped)

    def crc(self, name: str, serial: int) -> int:
        """The checksum over it as it is on disk."""
        counts = f"{name} {serial} {self.last} {self.produced} {self.delivered} {self.dropped} {self.waiting.text()}"
        return zlib.crc32(counts.encode(), 3)
