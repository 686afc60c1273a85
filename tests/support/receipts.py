"""A stand-in for the event log: it remembers what the publisher reported of each row."""

import threading
from collections.abc import Iterable

from ampedge.records import EVENT, Stored


class FakeLog:
    """Rows that wait, in order of id, and what happened to the others; insists that each report makes sense."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.rows: dict[int, Stored] = {}
        self.out: set[int] = set()
        self.live: set[int] = set()
        self.acknowledged_ids: list[int] = []
        self.returned_ids: list[int] = []
        self.rejected_ids: dict[int, str] = {}
        self.held_ids: dict[int, str] = {}
        self._done: set[int] = set()

    def append(self, payload: bytes, *, device: str = "amp1", kind: int = EVENT, live: bool = False) -> Stored:
        """A new row; one that goes out live is put into `live` until that was tried."""
        with self._lock:
            stored = Stored(len(self.rows) + 1, kind, device, payload)
            if live:
                self.live.add(stored.id)
            self.rows[stored.id] = stored
            return stored

    def waiting(self) -> list[Stored]:
        """What is neither on its way nor done."""
        with self._lock:
            away = self.out | self.live | self._done | self.held_ids.keys()
            return [stored for stored in self.rows.values() if stored.id not in away]

    def settled(self) -> bool:
        """Whether every row has been acknowledged or rejected."""
        return len(self._done) == len(self.rows)

    def sent(self, row_id: int) -> None:
        with self._lock:
            assert row_id not in self.out, f"row {row_id} is on its way already"
            assert row_id not in self._done, f"row {row_id} is done already"
            self.out.add(row_id)

    def acknowledged(self, row_id: int) -> None:
        with self._lock:
            self.out.remove(row_id)
            self.acknowledged_ids.append(row_id)
            self._done.add(row_id)

    def returned(self, row_ids: Iterable[int]) -> None:
        with self._lock:
            for row_id in row_ids:
                self.out.remove(row_id)
                self.returned_ids.append(row_id)

    def held(self, row_id: int, topic: str) -> None:
        with self._lock:
            assert row_id not in self.out | self._done, f"row {row_id} does not wait"
            self.held_ids[row_id] = topic

    def released(self, topic: str, *, all_of_it: bool) -> bool:
        with self._lock:
            held = sorted(row_id for row_id, of in self.held_ids.items() if of == topic)
            gone = len(held) if all_of_it else 1
            for row_id in held[:gone]:
                del self.held_ids[row_id]
            return len(held) > gone

    def rejected(self, row_id: int, reason: str) -> None:
        with self._lock:
            self.out.discard(row_id)
            self.rejected_ids[row_id] = reason
            self._done.add(row_id)
