"""The event log: outbox and history in one. What it accepted reaches the broker or is counted and announced as dropped.

An event is accepted when the broker has acknowledged it or a commit has written it.
Everything that other threads call touches memory only; the disk is the business of one thread.
"""

import threading
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

from ampedge.clock import Clock
from ampedge.log import logger
from ampedge.records import EVENT, Stored
from ampedge.store.announcements import UNREADABLE, Origin
from ampedge.store.database import FILE_NAME, Database, Readable, Unreadable
from ampedge.store.ledger import MAX_EXPOSED, MEMORY_BYTES, Batch, Counts, Ledger
from ampedge.store.retention import Limits, Shed
from ampedge.store.rows import Row
from ampedge.store.trouble import Damaged, Unwritable

__all__ = ["Counts", "EventLog"]

_AWAY_S = 5.0
"""Seconds between commits while the broker does not acknowledge, and between tries of a file in trouble."""

_MANY_ROWS = 1000
_MANY_BYTES = 1024 * 1024
_WAL_BYTES = 16 * 1024 * 1024


class EventLog:
    """Appends from any thread, commits from one; see the module.

    Ids count over the life of the log; rows that are appended before it is open begin at 1, and what the file holds
    then lies before them.
    """

    def __init__(
        self,
        directory: Path | None,
        *,
        boot: str,
        clock: Clock,
        commit_s: float = 60.0,
        max_bytes: int = 512_000_000,
        keep_s: float = 90 * 86400.0,
        time_is_believed: Callable[[], bool] = lambda: True,
    ) -> None:
        self._path = None if directory is None else directory / FILE_NAME
        self._boot = boot
        self._clock = clock
        self._commit_s = commit_s
        self._max_bytes = max_bytes
        self._keep_s = keep_s
        self._time_is_believed = time_is_believed
        self._lock = threading.Lock()
        self._ledger = Ledger(memory_bytes=min(MEMORY_BYTES, max_bytes), memory_only=directory is None)
        self._database: Database | None = None
        self._taken_over = False
        self._reachable = True
        self._committed_s = clock.monotonic()
        self._retry_s: float | None = None
        self._trouble: str | None = None
        self._set_aside: str | None = None
        self._stale = False
        self._offset = 0

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
        if self._path is None:
            return "There is no state directory: events are kept in memory only."
        return self._trouble or self._set_aside

    def open(self) -> None:
        """Open the file, or set it aside, or do without for now; raises UsageError for a newer version's."""
        if self._path is not None:
            try:
                self._opened()
            except Unwritable as error:
                self._in_trouble(error)
                self._give_up_file()

    def due_s(self) -> float:
        """Monotonic time of the next commit: after `commit_s`, and within five seconds for what has not arrived."""
        with self._lock:
            if self._retry_s is not None:
                return self._retry_s
            waited = min(self._commit_s, _AWAY_S)
            due_s = self._committed_s + (self._commit_s if self._reachable else waited)
            ledger = self._ledger
            if self._path is not None:
                if len(ledger.fresh) > _MANY_ROWS or ledger.fresh_bytes > _MANY_BYTES:
                    return self._committed_s
                oldest = ledger.waiting.first_from(ledger.committed + 1)
                if oldest is not None and oldest in ledger.fresh:
                    due_s = min(due_s, ledger.fresh[oldest].since_s + waited)
            return due_s

    def commit(self, *, reachable: bool, durable: bool = True) -> None:
        """Write what is new; without `durable` only how far the broker is, which a power cut may take back."""
        now_s = self._clock.monotonic()
        self._reachable = reachable
        if self._path is None:
            with self._lock:
                self._ledger.forget_delivered()
            self._committed_s = now_s
        elif self._retry_s is None or now_s >= self._retry_s:
            self._attempt(reachable=reachable, durable=durable)

    def waiting(self, limit: int) -> list[Stored]:
        """The oldest rows that wait and are not on their way, in order of id; none that was appended just now."""
        while True:
            with self._lock:
                ids = list(
                    self._ledger.next_waiting(limit, now_s=self._clock.monotonic(), on_disk=self._database is not None)
                )
                fresh = {row_id: self._ledger.fresh[row_id] for row_id in ids if row_id in self._ledger.fresh}
            try:
                found = self._read(row_id for row_id in ids if row_id not in fresh)
            except Unwritable as error:
                self._in_trouble(error)
                self._give_up_file()
                continue
            except Damaged as error:
                self._start_anew(error)
                continue
            with self._lock:
                for row_id, row in fresh.items():
                    found[row_id] = Readable(row.kind, self._origin_of(row), row.payload)
                stored = self._hand_out({row_id: found[row_id] for row_id in ids})
            if stored or not ids:
                return stored

    def may_replay(self) -> int:
        """How many more rows may be replayed before the next commit."""
        if self._path is None or self._trouble is not None:
            return MAX_EXPOSED
        with self._lock:
            return max(0, MAX_EXPOSED - self._ledger.exposed)

    def close(self) -> None:
        """Commit what there is and close the file."""
        if self._path is None:
            return
        self._attempt(reachable=False, durable=True)
        if self._database is not None:
            self._database.abandon()
            self._database = None
        with self._lock:
            lost = sum(row.kind == EVENT and row.id in self._ledger.waiting for row in self._ledger.fresh.values())
        if lost:
            logger.error("%d events could neither be delivered nor written and are lost.", lost)

    def _attempt(self, *, reachable: bool, durable: bool) -> None:
        if self._stale:
            self._give_up_file()
        try:
            self._write(self._opened(), reachable=reachable, durable=durable)
        except Damaged as error:
            self._start_anew(error)
        except Unwritable as error:
            self._in_trouble(error)
        else:
            self._recovered()

    def _opened(self) -> Database:
        if self._database is not None:
            return self._database
        assert self._path is not None
        database = Database(self._path, self._boot)
        try:
            cursor, announced = database.open(check=not self._taken_over)
        except Damaged as error:
            database.abandon()
            self._put_aside(str(error))
            cursor, announced = database.open()
        except BaseException:
            database.abandon()
            raise
        with self._lock:
            if not self._taken_over:
                self._offset = cursor.last if self._ledger.last else 0
                self._ledger.take_over(cursor.shifted(-self._offset), [row_id - self._offset for row_id in announced])
        database.offset = self._offset
        self._taken_over = True
        self._database = database
        return database

    def _write(self, database: Database, *, reachable: bool, durable: bool) -> None:
        now_s = self._clock.monotonic()
        crowded = database.wal_bytes > _WAL_BYTES
        if crowded and not durable:
            return
        with self._lock:
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
            if shed.dropped:
                logger.error("The event log is full: the oldest events that waited were dropped.")
        if durable:
            self._committed_s = now_s

    def _written(self, database: Database, batch: Batch, *, durable: bool) -> Shed:
        time_s = self._clock.time()
        limits = Limits(self._max_bytes, time_s - self._keep_s if self._time_is_believed() else None, time_s)
        try:
            return database.write(batch, limits, durable=durable)
        except Unwritable as error:
            if not error.full or not database.give_way():
                raise
        return database.write(batch, limits, durable=durable)

    def _read(self, row_ids: Iterable[int]) -> dict[int, Readable | Unreadable]:
        ids = list(row_ids)
        return self._database.read(ids) if ids and self._database is not None else {}

    def _hand_out(self, found: dict[int, Readable | Unreadable]) -> list[Stored]:
        stored = []
        for row_id, row in found.items():
            if isinstance(row, Unreadable):
                self._ledger.drop(row_id, row.origin, UNREADABLE, self._clock.time())
                logger.error("Row %d of the event log cannot be read: it counts as dropped.", row_id)
            elif row_id in self._ledger.waiting:
                self._ledger.handed_out(row_id, row.kind, row.origin)
                stored.append(Stored(row_id, row.kind, row.origin.device, row.payload))
        return stored

    def _start_anew(self, error: Damaged) -> None:
        self._give_up_file()
        self._put_aside(str(error))

    def _put_aside(self, why: str) -> None:
        assert self._path is not None
        stamp = datetime.fromtimestamp(self._clock.time(), UTC).strftime("%Y%m%dT%H%M%S")
        aside = self._path.with_name(f"{self._path.name}.corrupt-{stamp}")
        for end in ("", "-wal"):
            old = self._path.with_name(self._path.name + end)
            if old.exists():
                old.rename(aside.with_name(aside.name + end))
        self._set_aside = f"The event log was damaged ({why}) and is kept as {aside}; a new one was begun."
        logger.error(self._set_aside)

    def _in_trouble(self, error: Unwritable) -> None:
        self._stale = not error.full
        problem = f"The event log {self._path} cannot be used now ({error}): events are kept in memory until it can."
        if problem != self._trouble:
            logger.error(problem)
        self._trouble = problem
        self._retry_s = self._clock.monotonic() + _AWAY_S

    def _recovered(self) -> None:
        if self._trouble is not None:
            logger.warning("The event log %s can be used again.", self._path)
        self._trouble = self._retry_s = None
        self._stale = False

    def _give_up_file(self) -> None:
        if self._database is not None:
            self._database.abandon()
            self._database = None

    @staticmethod
    def _origin_of(row: Row) -> Origin:
        return Origin(row.device, row.boot, row.sequence)
