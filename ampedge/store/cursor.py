"""Where a consumer of the log stands: the one line of it that is written again with every commit."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

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

    def columns(self, name: str, serial: int) -> tuple[Any, ...]:
        """The row on disk; `serial` counts the times that it was written."""
        own = (name, serial, self.last, self.produced, self.delivered, self.dropped, self.waiting.text())
        return 1, *own, zlib.crc32(repr(own).encode())

    @classmethod
    def from_columns(cls, columns: Sequence[Any]) -> "tuple[Cursor, int] | None":
        """The inverse of `columns`, without the name; None where it is damaged."""
        _, *own, crc = columns
        if zlib.crc32(repr(tuple(own)).encode()) != crc:
            return None
        _, serial, last, produced, delivered, dropped, waiting = own
        return cls(last, Ranges.from_text(waiting), produced, delivered, dropped), serial
