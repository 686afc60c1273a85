"""Where the publisher hands back what became of each row."""

from collections.abc import Iterable
from typing import Protocol


class Receipts(Protocol):
    """The event log is one; none of these may block."""

    def sent(self, row_id: int) -> None:
        """The row goes to the broker now, or is kept to be tried by and by."""

    def acknowledged(self, row_id: int) -> None:
        """The broker has it."""

    def returned(self, row_ids: Iterable[int]) -> None:
        """The broker did not take them, or the connection was lost before it said so: they wait again."""

    def held(self, row_id: int, topic: str) -> None:
        """It waits until its topic is released, and what comes after it is handed out meanwhile."""

    def released(self, topic: str, *, all_of_it: bool) -> bool:
        """Hand out what is held for this topic, or else the oldest of it; whether more is held there."""

    def rejected(self, row_id: int, reason: str) -> None:
        """The broker can never take it."""
