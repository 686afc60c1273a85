"""What the log knows in memory: which rows wait, which are on their way, and how many there were.

It does no I/O and knows no thread; the log guards it with a lock that is never held for long.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from ampedge.records import DROPPED, EVENT, Stored
from ampedge.store.announcements import LOG_FULL, MEMORY_FULL, UNREADABLE, Announcement, Key, Origin, announcement
from ampedge.store.cursor import Cursor
from ampedge.store.ranges import Ranges
from ampedge.store.retention import Shed
from ampedge.store.rows import Row
from ampedge.store.streams import Readable, Unreadable

MAX_EXPOSED = 20
"""Rows that may be on disk as waiting and yet have been sent: the duplicates after a kill."""

BEFORE_OPEN = 1 << 40
"""Ids that are given before the file is open lie behind this one, and what the file holds before them."""

LIVE_S = 1.0
"""A row that is younger is still in the hands of whoever made it and publishes it now."""

MEMORY_BYTES = 16 * 1024 * 1024
"""What rows may take in memory while they cannot be written."""

_ORIGINS = 1000
"""How many rows' origins may be remembered although they are not on their way."""

_MANY_ROWS = 1000
_MANY_BYTES = 1024 * 1024

_ROW_BYTES = 300
"""What a row takes beside its payload, roughly."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Events over the life of the log: produced == delivered + dropped + waiting, always."""

    produced: int = 0
    delivered: int = 0
    dropped: int = 0
    waiting: int = 0


@dataclass(frozen=True, slots=True)
class Batch:
    """What one commit writes, and what it may drop for want of room."""

    rows: tuple[Row, ...]
    cursor: Cursor
    committed: int
    busy: frozenset[int]
    open: Mapping[Key, Announcement]


class Ledger:
    """Rows up to `committed` are on disk; `fresh` ones are to be written, in place of what is there where need be."""

    def __init__(self, *, announcer: str = "", memory_bytes: int = MEMORY_BYTES) -> None:
        self.last = self.committed = BEFORE_OPEN
        self.produced = self.delivered = self.dropped = 0
        self.waiting = Ranges()
        self.fresh: dict[int, Row] = {}
        self.fresh_bytes = 0
        self.changed = False
        self._announcer = announcer
        self._memory_bytes = memory_bytes
        self._in_flight: set[int] = set()
        self._held: dict[str, Ranges] = {}
        self._exposed: set[int] = set()
        self._announced: set[int] = set()
        self._open: dict[Key, Announcement] = {}
        self._origins: dict[int, Origin] = {}
        self._young: dict[int, float] = {}
        self._said: dict[int, Announcement] = {}
        self._cut: int | None = None
        self._cut_bytes = 0
        self._since_cut: set[int] = set()

    @property
    def counts(self) -> Counts:
        """The four counts of now."""
        return Counts(self.produced, self.delivered, self.dropped, len(self.waiting) - len(self._announced))

    @property
    def exposed(self) -> int:
        """How many rows a kill of this moment would send twice."""
        return len(self._exposed)

    @property
    def much(self) -> bool:
        """Whether so much is not on disk that it should be written before its time."""
        return len(self.fresh) > _MANY_ROWS or self.fresh_bytes > _MANY_BYTES

    @property
    def oldest_s(self) -> float | None:
        """When the oldest row came that is neither acknowledged nor on disk."""
        oldest = self.waiting.first_from(self.committed + 1)
        return None if oldest is None or oldest not in self.fresh else self.fresh[oldest].since_s

    def append(self, row: Row) -> None:
        """Take a new event in; its id is the one after `last`."""
        self.last = row.id
        self.produced += 1
        self.waiting.add(row.id)
        self._put(row)

    def sent(self, row_id: int) -> None:
        """The row is on its way."""
        if row_id in self.waiting:
            self._in_flight.add(row_id)
            if row_id <= self.committed:
                self._exposed.add(row_id)

    def acknowledged(self, row_id: int) -> None:
        """The row has arrived."""
        self._in_flight.discard(row_id)
        self._origins.pop(row_id, None)
        if self.waiting.discard(row_id):
            self.changed = True
            if self._cut is not None:
                self._since_cut.add(row_id)
            if row_id in self._announced:
                self._announced.discard(row_id)
            else:
                self.delivered += 1

    def returned(self, row_ids: Iterable[int]) -> None:
        """They may have arrived or not, so they wait again; that they then come twice is not the kill's doing."""
        for row_id in row_ids:
            self._in_flight.discard(row_id)
            self._origins.pop(row_id, None)
            if row_id in self.waiting:
                self._exposed.discard(row_id)

    def held(self, row_id: int, group: str) -> None:
        """The row is not handed out until its group is released."""
        if row_id in self.waiting:
            self._held.setdefault(group, Ranges()).add(row_id)

    def released(self, group: str, *, all_of_it: bool) -> bool:
        """Hand out what is held of a group, or else the oldest of it; whether more is held."""
        held = self._held.pop(group, None)
        if held is None or all_of_it:
            return False
        for first, last in list(held.pairs()):
            row_id = self.waiting.first_from(first)
            if row_id is not None and row_id <= last:
                held.remove_range(first, row_id)
                break
            held.remove_range(first, last)
        if held:
            self._held[group] = held
        return bool(held)

    def origin(self, row_id: int) -> Origin | None:
        """Where the event comes from, as far as memory knows."""
        row = self.fresh.get(row_id)
        return self._origins.get(row_id) if row is None else Origin(row.device, row.boot, row.sequence)

    def drop(self, row_id: int, origin: Origin | None, reason: str, time_s: float) -> None:
        """Give up a row that waits; without an origin nobody knows whose it was."""
        self._in_flight.discard(row_id)
        self._exposed.discard(row_id)
        self._origins.pop(row_id, None)
        if row_id not in self.waiting:
            return
        self.changed = True
        if row_id in self._announced:  # an announcement that the broker will never take
            self._forget(row_id)
            return
        self.dropped += 1
        said = announcement(row_id, origin, reason, time_s, announcer=self._announcer)
        earlier = self._open.get(said.key)
        if earlier is not None and self._may_merge(earlier.id, row_id):
            said = said.after(earlier)
            self._forget(earlier.id)
        self._open[said.key] = said
        self._announced.add(row_id)
        self._let_go(row_id)
        self._put(said.row())
        self._said[row_id] = said

    def next_waiting(self, limit: int, *, now_s: float, on_disk: bool, usable: bool = True) -> Iterator[int]:
        """The oldest ids that wait, are neither on their way nor held and are nobody's any more.

        An announcement is told when it is on disk, because a kill would take it back; without a `usable` disk a kill
        takes the events that it is about as well.
        """
        number = self.waiting.first if on_disk else self.waiting.first_from(self.committed + 1)
        while number is not None and limit > 0:
            if (held_to := self._held_to(number)) is not None:
                number = self.waiting.first_from(held_to + 1)
                continue
            row = self.fresh.get(number)
            since_s = self._young.get(number, -LIVE_S) if row is None else row.since_s
            unsaid = row is not None and row.kind == DROPPED and (usable or number <= self.committed)
            if number not in self._in_flight and not unsaid and now_s - since_s >= LIVE_S:
                yield number
                limit -= 1
            number = self.waiting.first_from(number + 1)

    def hand_out(self, found: Mapping[int, Readable | Unreadable], time_s: float) -> list[Stored]:
        """The rows that are still wanted; an unreadable one is dropped."""
        stored = []
        for row_id, row in found.items():
            if row_id not in self.waiting:
                continue
            if isinstance(row, Unreadable):
                self.drop(row_id, row.origin, UNREADABLE, time_s)
                continue
            if row.kind == EVENT:
                self._origins[row_id] = row.origin
            else:  # what is on its way is not added to
                self._open = {key: said for key, said in self._open.items() if said.id != row_id}
            stored.append(Stored(row_id, row.kind, row.origin.device, row.payload))
        if len(self._origins) > len(stored) + _ORIGINS:
            wanted = self._in_flight | {row.id for row in stored}
            self._origins = {row_id: origin for row_id, origin in self._origins.items() if row_id in wanted}
        return stored

    def snapshot(self, *, rows: bool, reachable: bool, now_s: float) -> Batch:
        """What a commit shall write now; `landed` or `failed` must follow."""
        cut = self._committable(now_s) if rows and reachable else self.last if rows else self.committed
        written = tuple(row for row in self.fresh.values() if row.id <= cut)
        left_out = [row for row in self.fresh.values() if row.id > cut]
        produced, delivered, dropped = self.produced, self.delivered, self.dropped
        for row in left_out:
            if row.kind == DROPPED:
                count = self._said[row.id].count
                produced, dropped = produced - count, dropped - count
            else:
                produced -= 1
                delivered -= row.id not in self.waiting
        cursor = Cursor(cut, self.waiting.up_to(cut), produced, delivered, dropped)
        self._cut, self._cut_bytes = cut, sum(len(row.payload) + _ROW_BYTES for row in written)
        self._since_cut.clear()
        self.changed = False
        open_ = {key: said for key, said in self._open.items() if said.reason == LOG_FULL}
        return Batch(written, cursor, self.committed, frozenset(self._in_flight | self._announced), open_)

    def landed(self, batch: Batch, shed: Shed) -> None:
        """The batch is on disk."""
        live_s = max((row.since_s for row in batch.rows), default=0.0) - LIVE_S
        self._young = {row_id: since_s for row_id, since_s in self._young.items() if since_s > live_s}
        for row in batch.rows:
            if self.fresh.get(row.id) is row:
                self._remove(row.id)
                if row.since_s > live_s:
                    self._young[row.id] = row.since_s
                if row.id in self._in_flight or row.id in self._young:
                    self._origins[row.id] = Origin(row.device, row.boot, row.sequence)
        for row_id in (*shed.dropped, *shed.merged):
            self.waiting.discard(row_id)
            self._announced.discard(row_id)
        self.dropped += len(shed.dropped)
        for said in shed.announcements:
            self._let_go(said.id)
            self.waiting.add(said.id)
            self._announced.add(said.id)
            self._open[said.key] = said
        self.committed = batch.cursor.last
        self._exposed = {row_id for row_id in self._in_flight if row_id <= self.committed}
        self._exposed |= {row_id for row_id in self._since_cut if row_id <= self.committed}
        self._cut, self._cut_bytes = None, 0
        self.changed = self.changed or bool(self.fresh)

    def failed(self) -> None:
        """Nothing of the batch is on disk."""
        self._cut, self._cut_bytes = None, 0
        self.changed = True

    def take_over(self, cursor: Cursor, announced: Iterable[int]) -> int:
        """What an earlier life of the log left on disk, its ids as they are there; what they are ahead of ours."""
        early = self.last > BEFORE_OPEN
        ahead = cursor.last - BEFORE_OPEN if early else 0
        ours = cursor.shifted(-ahead)
        for first, last in ours.waiting.pairs():
            self.waiting.add_range(first, last)
        self._announced.update(row_id - ahead for row_id in announced)
        self.committed = ours.last
        self.last = self.last if early else ours.last
        self.produced += cursor.produced
        self.delivered += cursor.delivered
        self.dropped += cursor.dropped
        return ahead

    def on_disk(self) -> Cursor:
        """Where the broker stands as to what is on disk and not about to be replaced."""
        cursor = self.snapshot(rows=False, reachable=False, now_s=0.0).cursor
        self.failed()
        for row_id in self.fresh:
            cursor.waiting.discard(row_id)
        return cursor

    def take_losses(self, before: Cursor, after: Cursor, announced: Iterable[int]) -> None:
        """What damage has left of `before`: what waited and is gone counts as dropped."""
        for row_id in before.waiting.without(after.waiting):
            self.waiting.discard(row_id)
            self._in_flight.discard(row_id)
            self._exposed.discard(row_id)
        self._announced = {row_id for row_id in self._announced if row_id in self.waiting}
        self._announced.update(announced)
        self._open = {key: said for key, said in self._open.items() if said.id in self.fresh}
        self.dropped += after.dropped - before.dropped
        self.changed = True

    def _held_to(self, row_id: int) -> int | None:
        """Up to where all that waits is held, None where this one is not; what no longer waits parts no ranges."""
        for held in self._held.values():
            end = held.end_of(row_id)
            if end is not None:
                while (after := self.waiting.first_from(end + 1)) is not None and after in held:
                    held.add_range(end + 1, after)
                    end = held.end_of(after) or after
                return end
        return None

    def _let_go(self, row_id: int) -> None:
        for held in self._held.values():
            held.discard(row_id)

    def _committable(self, now_s: float) -> int:
        """The last id to commit while rows are being sent, so that a kill never sends too many twice.

        A row that is on its way, or about to be, stays in memory if too many of them would be on disk as waiting.
        """
        room = MAX_EXPOSED - sum(row_id <= self.committed for row_id in self._in_flight)
        for row in self.fresh.values():
            if row.id > self.committed and row.id in self.waiting:
                room -= row.id in self._in_flight or now_s - row.since_s < LIVE_S
                if room < 0:
                    return row.id - 1
        return self.last

    def _may_merge(self, earlier: int, row_id: int) -> bool:
        """Both must be of the same side, on disk or not, so that each commit counts what it writes."""
        if earlier not in self.fresh or (self._cut is not None and earlier <= self._cut):
            return False
        return (earlier > self.committed) == (row_id > self.committed)

    def _put(self, row: Row) -> None:
        self._remove(row.id)
        self.fresh[row.id] = row
        self.fresh_bytes += len(row.payload) + _ROW_BYTES
        self.changed = True

    def _remove(self, row_id: int) -> None:
        row = self.fresh.pop(row_id, None)
        self._said.pop(row_id, None)
        if row is not None:
            self.fresh_bytes -= len(row.payload) + _ROW_BYTES

    def _forget(self, row_id: int) -> None:
        self.waiting.discard(row_id)
        self._announced.discard(row_id)
        self._remove(row_id)

    def make_room(self, time_s: float) -> int:
        """Keep what is in memory bounded: delivered rows leave first, then the oldest that wait are dropped."""
        if self.fresh_bytes - self._cut_bytes <= self._memory_bytes:
            return 0
        enough = self._memory_bytes * 9 // 10 + self._cut_bytes
        beyond = self.committed if self._cut is None else max(self.committed, self._cut)
        rows = [row for row in self.fresh.values() if row.id > beyond and row.kind == EVENT]
        before = self.dropped
        for row in rows:
            if self.fresh_bytes > enough and row.id not in self.waiting:
                self._remove(row.id)
        for row in rows:
            if self.fresh_bytes > enough and row.id in self.waiting and row.id not in self._in_flight:
                self.drop(row.id, Origin(row.device, row.boot, row.sequence), MEMORY_FULL, time_s)
        return self.dropped - before
