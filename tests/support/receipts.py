"""A stand-in for the event log: it remembers what the publisher reported of each row."""

from collections.abc import Iterable

from ampedge.records import EVENT, Stored


class FakeLog:
    """Rows that wait, in order of id; `acknowledged` and `rejected` as they happened."""

    def __init__(self) -> None:
        self.rows: dict[int, Stored] = {}
        self.out: set[int] = set()
        self.acknowledged_ids: list[int] = []
        self.returned_ids: list[int] = []
        self.rejected_ids: dict[int, str] = {}

    def append(self, payload: bytes, *, device: str = "amp1", kind: int = EVENT) -> Stored:
        """A new row."""
        stored = Stored(len(self.rows) + 1, kind, device, payload)
        self.rows[stored.id] = stored
        return stored

    def waiting(self) -> list[Stored]:
        """What is neither on its way nor done."""
        done = self.out.union(self.acknowledged_ids, self.rejected_ids)
        return [stored for stored in self.rows.values() if stored.id not in done]

    def sent(self, row_id: int) -> None:
        assert row_id not in self.out, f"row {row_id} is on its way already"
        self.out.add(row_id)

    def acknowledged(self, row_id: int) -> None:
        self.out.remove(row_id)
        self.acknowledged_ids.append(row_id)

    def returned(self, row_ids: Iterable[int]) -> None:
        for row_id in row_ids:
            self.out.remove(row_id)
            self.returned_ids.append(row_id)

    def rejected(self, row_id: int, reason: str) -> None:
        self.out.discard(row_id)
        self.rejected_ids[row_id] = reason
