"""The event log: outbox and history in one. What it accepted reaches the broker or is counted and announced as dropped.

An event is accepted when the broker has acknowledged it or a commit has written it.
Everything that other threads call touches memory only; the disk is the business of one thread.
"""

import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from ampedge.clock import Clock
from ampedge.log import logger
from ampedge.records import EVENT, Stored
from ampedge.store.announcements import Origin
from ampedge.store.cursor import Cursor
from ampedge.store.database import Database
from ampedge.store.ledger import MAX_EXPOSED, Batch, Counts, Ledger
from ampedge.store.rescue import rescue, take_place
from ampedge.store.reserve import Reserve
from ampedge.store.retention import Limits, Shed
from ampedge.store.rows import Row
from ampedge.store.schema import FILE_NAME
from ampedge.store.streams import Readable, Unreadable
from ampedge.store.trouble import Damaged, Trouble, Unwritable

__all__ = ["Counts", "EventLog"]

_AWAY_S = 5.0
"""Seconds between commits while the broker does not acknowledge."""

_LEAST_S = 0.5
"""Seconds between two commits at least, however much there is to write."""

WAL_BYTES = 16 * 1024 * 1024


class EventLog:
    """Appends from any thread, commits from one; see the module.

    Ids count over the life of the log. Those that are given before it is open are larger, and keep their order
    behind what the file holds.
    """

    def __init__(
        self,
        directory: Path,
        *,
        boot: str,
        clock: Clock,
        announcer: str = "",
        hold: Callable[[], None] = lambda: None,
        commit_s: float = 60.0,
        max_bytes: int = 512_000_000,
        keep_s: float = 90 * 86400.0,
        time_is_believed: Callable[[], bool] = lambda: True,
    ) -> None:
        self.on_progress: Callable[[], None] = lambda: None
        """Called now and then while a damaged file is rescued, which may take minutes."""

        self.path = directory / FILE_NAME
        """The file, whether it can be used or not."""

        self._announcer = announcer
        self._hold = hold
        self._boot = boot
        self._clock = clock
        self._commit_s = commit_s
        self._max_bytes = max_bytes
        self._keep_s = keep_s
        self._time_is_believed = time_is_believed
        self._lock = threading.Lock()
        self._ledger = Ledger(announcer=announcer)
        self._database: Database | None = None
        self._taken_over = False
        self._writers: set[str | None] = {None, boot}
        self._reachable = True
        self._committed_s = clock.monotonic()
        self._trouble = Trouble(f"The event log {self.path}")
        self._damage: str | None = None
        self._reserve = Reserve(self.path)
        self._crowded = False
        self._ahead = 0
        self._waiting_s: float | None = None

    def append(self, device: str, sequence: int, time_s: float, payload: bytes) -> int:
        """Take in an event that is about to be published; its id."""
        now_s = self._clock.monotonic()
        with self._lock:
            row_id = self._ledger.last + 1
            self._ledger.append(Row(row_id, EVENT, device, self._boot, sequence, time_s, payload, now_s))
            dropped = self._ledger.make_room(self._clock.time())
        if dropped:
            logger.error("The memory for events that cannot be written is full: dropped the oldest %d.", dropped)
        return row_id

    def sent(self, row_id: int) -> None:
        """The row was handed to the broker and is not yet acknowledged."""
        with self._lock:
            self._ledger.sent(row_id)

    def acknowledged(self, row_id: int) -> None:
        """The broker has it."""
        with self._lock:
            self._ledger.acknowledged(row_id)

    def returned(self, row_ids: Iterable[int]) -> None:
        """The connection was lost before they were acknowledged: they wait again."""
        with self._lock:
            self._ledger.returned(row_ids)

    def held(self, row_id: int, topic: str) -> None:
        """It waits until its topic is released, and what comes after it is handed out meanwhile."""
        with self._lock:
            self._ledger.held(row_id, topic)

    def released(self, topic: str, *, all_of_it: bool) -> bool:
        """Hand out what is held for this topic, or else the oldest of it; whether more is held there."""
        with self._lock:
            return self._ledger.released(topic, all_of_it=all_of_it)

    def rejected(self, row_id: int, reason: str) -> None:
        """It can never be delivered: dropped, counted and announced."""
        with self._lock:
            self._ledger.drop(row_id, self._ledger.origin(row_id), reason, self._clock.time())

    @property
    def counts(self) -> Counts:
        """Events over the life of the log."""
        with self._lock:
            return self._ledger.counts

    @property
    def problem(self) -> str | None:
        """The latest trouble with the store in a sentence, None while all is well."""
        crowded = f"Another program has been reading {self.path} for so long that it grows and grows: end that program."
        return self._trouble.problem or (crowded if self._crowded else self._damage)

    @property
    def usable(self) -> bool:
        """Whether the file could be used at the last attempt."""
        return self._trouble.problem is None

    @property
    def unwritten(self) -> int:
        """How many events are in memory only: what a kill of this moment would take."""
        with self._lock:
            return sum(row.kind == EVENT and row.id in self._ledger.waiting for row in self._ledger.fresh.values())

    @property
    def size_bytes(self) -> int:
        """What the file takes on the disk, its journal included; 0 where it cannot be looked at."""
        size_bytes = 0
        for file in (self.path, self.path.with_name(f"{self.path.name}-wal")):
            with suppress(OSError):
                size_bytes += file.stat().st_size
        return size_bytes

    @property
    def oldest_s(self) -> float | None:
        """Monotonic time since which the oldest event waits, as far as this process knows; None while none does."""
        with self._lock:
            return self._note_oldest()

    def limit(self, *, commit_s: float, max_bytes: int, keep_s: float) -> None:
        """Work with other limits from the next commit on."""
        self._commit_s, self._max_bytes, self._keep_s = commit_s, max_bytes, keep_s

    def open(self) -> None:
        """Open the file, or set it aside, or do without for now; raises UsageError for a newer version's."""
        try:
            self._opened()
        except Unwritable as error:
            self._trouble.begin(error, self._clock.monotonic())

    def due_s(self) -> float:
        """Monotonic time of the next commit: after `commit_s`, and within five seconds for what has not arrived."""
        if self._trouble.retry_s is not None:
            return self._trouble.retry_s
        often_s = min(self._commit_s, _AWAY_S)
        due_s = self._committed_s + (self._commit_s if self._reachable else often_s)
        with self._lock:
            much, oldest_s = self._ledger.much, self._ledger.oldest_s
        if oldest_s is not None:
            due_s = min(due_s, oldest_s + often_s)
        return max(self._committed_s + min(_LEAST_S, often_s), self._committed_s if much else due_s)

    def commit(self, *, reachable: bool, durable: bool = True) -> None:
        """Write what is new; without `durable` only how far the broker is, which a power cut may take back."""
        now_s = self._clock.monotonic()
        self._reachable = reachable
        if self._trouble.retry_s is None or now_s >= self._trouble.retry_s:
            self._attempt(reachable=reachable, durable=durable)

    def waiting(self, limit: int) -> list[Stored]:
        """The oldest rows that wait and are not on their way, in order of id; none that was appended just now."""
        unreadable = 0
        while True:
            with self._lock:
                now_s, on_disk = self._clock.monotonic(), self._database is not None
                ids = list(self._ledger.next_waiting(limit, now_s=now_s, on_disk=on_disk, usable=self.usable))
                fresh = {row_id: self._ledger.fresh[row_id] for row_id in ids if row_id in self._ledger.fresh}
            try:
                found = self._read(row_id for row_id in ids if row_id not in fresh)
            except Unwritable as error:
                self._trouble.begin(error, self._clock.monotonic())
                self._close_file()
                continue
            except Damaged as error:
                self._mend(error)
                return []
            with self._lock:
                for row_id, row in fresh.items():
                    found[row_id] = Readable(row.kind, Origin(row.device, row.boot, row.sequence), row.payload)
                before = self._ledger.dropped
                stored = self._ledger.hand_out({row_id: found[row_id] for row_id in ids}, self._clock.time())
                unreadable += self._ledger.dropped - before
            if stored or not ids:
                if unreadable:
                    logger.error("%d events cannot be read from the log any more: they count as dropped.", unreadable)
                return stored

    def may_replay(self) -> int:
        """How many more rows may be replayed before the next commit."""
        if self._trouble.problem is not None or self._crowded:
            return MAX_EXPOSED
        with self._lock:
            return max(0, MAX_EXPOSED - self._ledger.exposed)

    def close(self) -> None:
        """Commit what there is and close the file."""
        self._attempt(reachable=False, durable=True)
        self._close_file()

    def _note_oldest(self) -> float | None:
        """Since when the oldest row waits; to be asked while it is in memory, because the disk does not know."""
        first = self._ledger.waiting.first_from(0)
        row = None if first is None else self._ledger.fresh.get(first)
        if first is None:
            self._waiting_s = None
        elif row is not None:
            self._waiting_s = row.since_s
        elif self._waiting_s is None:
            self._waiting_s = self._clock.monotonic()
        return self._waiting_s

    def _attempt(self, *, reachable: bool, durable: bool) -> None:
        if self._trouble.problem is not None and not self._trouble.full:
            self._close_file()
        try:
            self._write(self._opened(), reachable=reachable, durable=durable)
        except Damaged as error:
            self._mend(error)
        except Unwritable as error:
            self._trouble.begin(error, self._clock.monotonic())
        else:
            self._trouble.end()

    def _mend(self, damage: Damaged) -> None:
        """The file turned out to be damaged while it was in use."""
        try:
            self._opened(damage=damage)
        except Unwritable as error:
            self._trouble.begin(error, self._clock.monotonic())

    def _opened(self, *, damage: Damaged | None = None) -> Database:
        """The file; with `damage` it is opened anew, as far as it can be rescued."""
        self._hold()
        if damage is not None:
            self._close_file()
        if self._database is None:
            database = Database(self.path, self._boot, announcer=self._announcer)
            try:
                take_place(self.path, self._clock.time())
                try:
                    if damage is not None:
                        raise damage
                    cursor, announced = database.open(check=not self._taken_over)
                    if self._taken_over and database.latest_boot() not in self._writers:
                        raise Unwritable("another service has written to it: restart this one to use it again")
                except Damaged as error:
                    database.close()
                    cursor, announced = self._rescued(database, error)
            except BaseException:
                database.close()
                raise
            if not self._taken_over:
                with self._lock:
                    self._ahead = self._ledger.take_over(cursor, announced)
                self._writers.add(database.latest_boot())
                self._taken_over = True
            database.ahead = self._ahead
            self._database = database
        return self._database

    def _rescued(self, database: Database, error: Damaged) -> tuple[Cursor, list[int]]:
        """What is left of the file; if it had been open before, memory knows better than it how far the broker is."""
        with self._lock:
            before = self._ledger.on_disk() if self._taken_over else None
        self._reserve.give_up()
        try:
            known = None if before is None else before.shifted(self._ahead)
            aside, lost = rescue(
                database.path,
                self._boot,
                self._clock.time(),
                announcer=self._announcer,
                cursor=known,
                on_progress=self.on_progress,
            )
            cursor, announced = database.open(check=False)
        except (Unwritable, Damaged) as trouble:
            raise Unwritable(f"it is damaged ({error}), and what it holds cannot be copied: {trouble}") from trouble
        gone = f", {lost} events that waited are lost" if lost else ""
        self._damage = (
            f"The event log was damaged ({error}): what could be read was taken over{gone}; "
            f"the old file is kept as {aside}."
        )
        logger.error(self._damage)
        if before is not None:
            with self._lock:
                ours = [row_id - self._ahead for row_id in announced]
                self._ledger.take_losses(before, cursor.shifted(-self._ahead), ours)
        return cursor, announced

    def _write(self, database: Database, *, reachable: bool, durable: bool) -> None:
        now_s = self._clock.monotonic()
        if self._crowded and not durable:
            return
        with self._lock:
            self._note_oldest()
            batch = None
            if self._ledger.changed:
                batch = self._ledger.snapshot(rows=durable, reachable=reachable, now_s=now_s)
        if batch is not None:
            try:
                shed = self._written(database, batch, durable=durable)
            except BaseException:
                with self._lock:
                    self._ledger.failed()
                raise
            with self._lock:
                self._ledger.landed(batch, shed)
            if durable:
                self._reserve.keep()
            if shed.dropped:
                logger.error("The event log is full: the oldest events that waited were dropped.")
        self._crowded = database.wal_bytes > WAL_BYTES
        if durable:
            self._committed_s = now_s

    def _written(self, database: Database, batch: Batch, *, durable: bool) -> Shed:
        time_s = self._clock.time()
        limits = Limits(self._max_bytes, time_s - self._keep_s if self._time_is_believed() else None, time_s)
        try:
            return database.write(batch, limits, durable=durable)
        except Unwritable as error:
            if not error.full or not (self._reserve.give_up() | database.give_way()):
                raise
        return database.write(batch, limits, durable=durable)

    def _read(self, row_ids: Iterable[int]) -> dict[int, Readable | Unreadable]:
        ids = list(row_ids)
        return self._database.read(ids) if ids and self._database is not None else {}

    def _close_file(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None
