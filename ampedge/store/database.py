"""The event log's SQLite file: one connection, one transaction a commit.

Write-ahead log with `synchronous=FULL`: a commit that has returned survives a power cut.
Ids on disk count over the life of the file; `offset` is what they are ahead of those in memory, which may begin
before the file is open.
"""

import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from ampedge.errors import UsageError
from ampedge.store.announcements import Origin
from ampedge.store.cursor import Cursor
from ampedge.store.ledger import Batch
from ampedge.store.ranges import Ranges
from ampedge.store.retention import Limits, Shed, delete_delivered, delete_old, delete_streams, make_room
from ampedge.store.rows import Row, Stream, compressed, dictionary_of, expanded, row_crc
from ampedge.store.trouble import Damaged, Unwritable

if TYPE_CHECKING:
    import sqlite3

FILE_NAME = "events.db"
VERSION = 1
APPLICATION_ID = 0x616D7065
PAGE_BYTES = 4096
CONSUMER = "mqtt"

_STREAM_ROWS = 1000
_CHECKPOINT_PAGES = 1000
_WAL_KEPT_BYTES = 4_194_304
_BUSY_S = 0.25
_CHECK_S = 10.0
_GIVE_WAY_ROWS = 1024

_SCHEMA = (
    "CREATE TABLE streams(id INTEGER PRIMARY KEY, boot TEXT NOT NULL, device TEXT NOT NULL, "
    "first INTEGER NOT NULL, dictionary BLOB NOT NULL, crc INTEGER NOT NULL)",
    "CREATE TABLE events(id INTEGER PRIMARY KEY, kind INTEGER NOT NULL, stream INTEGER NOT NULL, "
    "sequence INTEGER NOT NULL, time_s REAL NOT NULL, payload BLOB NOT NULL, crc INTEGER NOT NULL)",
    "CREATE INDEX announcements ON events(id) WHERE kind = 1",
    "CREATE TABLE consumers(id INTEGER PRIMARY KEY, name TEXT NOT NULL, serial INTEGER NOT NULL, "
    "last INTEGER NOT NULL, produced INTEGER NOT NULL, delivered INTEGER NOT NULL, dropped INTEGER NOT NULL, "
    "waiting TEXT NOT NULL, crc INTEGER NOT NULL)",
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {VERSION}",
)


@dataclass(frozen=True, slots=True)
class Readable:
    """A row as it was given."""

    kind: int
    origin: Origin
    payload: bytes


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A row that is damaged or gone, and where it came from as far as that can be told."""

    origin: Origin | None


class Database:
    """Only the thread that opened it may use it."""

    def __init__(self, path: Path, boot: str) -> None:
        self.path = path
        self.offset = 0
        self._boot = boot
        self._open: sqlite3.Connection | None = None
        self._durable: bool | None = None
        self._serial = 0
        self._highest = 0
        self._waiting = Ranges()
        self._current: dict[str, tuple[Stream, int]] = {}
        self._streams: dict[int, Stream | None] = {}

    def open(self, *, check: bool = True) -> tuple[Cursor, list[int]]:
        """Open or make the file: where the broker stands, and which of the rows that wait are announcements.

        Raises UsageError for a file of a newer version, which stays as it is, Damaged, or Unwritable.
        """
        with self._mapped():
            refuse_newer(self.path)
            self._connect()
            if self._one("SELECT count(*) FROM sqlite_schema") == 0:
                self._create()
            elif check:
                self._check()
            cursor = self._cursor()
            announced = self._rows("SELECT id FROM events WHERE kind = 1")
            self._highest = max(cursor.last, self._one("SELECT max(id) FROM events") or 0)
        self._waiting = cursor.waiting
        return cursor, [row_id for (row_id,) in announced if row_id in cursor.waiting]

    def close(self) -> None:
        """Close the file; what was committed is in it."""
        connection, self._open = self._open, None
        if connection is not None:
            with self._mapped():
                connection.close()

    def abandon(self) -> None:
        """Close the file whether that works or not."""
        try:
            self.close()
        except (Damaged, Unwritable):
            return

    @property
    def wal_bytes(self) -> int:
        """The size of the write-ahead log, which a program that reads for long keeps from being used anew."""
        try:
            return self.path.with_name(f"{self.path.name}-wal").stat().st_size
        except OSError:
            return 0

    def write(self, batch: Batch, limits: Limits, *, durable: bool) -> Shed:
        """Commit rows and cursor in one transaction, and keep the file within its limits."""
        with self._mapped():
            if durable != self._durable:
                self._connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
                self._durable = durable
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                self._insert(batch.rows)
                cursor, shed = batch.cursor.shifted(self.offset), Shed()
                if durable:
                    shed = self._shed(batch, cursor, limits)
                    cursor = replace(cursor, dropped=cursor.dropped + len(shed.dropped))
                self._put(cursor)
                self._connection.execute("COMMIT")
            except BaseException:
                self._current.clear()
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
        self._waiting = cursor.waiting
        return shed.shifted(-self.offset)

    def give_way(self) -> bool:
        """On a full disk the oldest delivered rows leave, so that there is room for those that wait."""
        with self._mapped():
            self._connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()
            return delete_delivered(self._connection, self._waiting, _GIVE_WAY_ROWS)

    def read(self, row_ids: Sequence[int]) -> dict[int, Readable | Unreadable]:
        """The rows of these ids, in their order."""
        found: dict[int, Readable | Unreadable] = {}
        with self._mapped():
            for first, last in Ranges((row_id, row_id) for row_id in row_ids).shifted(self.offset).pairs():
                question = (
                    "SELECT id, kind, stream, sequence, time_s, payload, crc FROM events WHERE id BETWEEN ? AND ?"
                )
                rows = {row[0]: row for row in self._rows(question, first, last)}
                for row_id in range(first, last + 1):
                    found[row_id - self.offset] = self._decoded(row_id, rows.get(row_id))
        return found

    @property
    def _connection(self) -> "sqlite3.Connection":
        assert self._open is not None, "the log's file is not open"
        return self._open

    def _connect(self) -> None:
        import sqlite3

        self._open = connection = sqlite3.connect(self.path, isolation_level=None, timeout=_BUSY_S)
        connection.text_factory = _text
        for setting in (
            f"page_size = {PAGE_BYTES}",
            "journal_mode = WAL",
            f"wal_autocheckpoint = {_CHECKPOINT_PAGES}",
            f"journal_size_limit = {_WAL_KEPT_BYTES}",
            "secure_delete = OFF",
            "cell_size_check = ON",
            "trusted_schema = OFF",
            "temp_store = MEMORY",
        ):
            connection.execute(f"PRAGMA {setting}").fetchall()
        self._durable = None

    def _create(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        for statement in _SCHEMA:
            self._connection.execute(statement)
        self._put(Cursor(0, Ranges(), 0, 0, 0))
        self._connection.execute("COMMIT")

    def _check(self) -> None:
        """SQLite's own check of the file, as far as it gets: a large log on a slow card is not waited for."""
        import sqlite3

        until_s = monotonic() + _CHECK_S
        self._connection.set_progress_handler(lambda: monotonic() > until_s, 100_000)
        try:
            found = self._rows("PRAGMA quick_check(1)")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
                raise
        else:
            if found != [("ok",)]:
                raise Damaged(str(found[0][0]))
        finally:
            self._connection.set_progress_handler(None, 0)

    def _cursor(self) -> Cursor:
        rows = self._rows("SELECT name, serial, last, waiting, produced, delivered, dropped, crc FROM consumers")
        try:
            name, self._serial, last, waiting, produced, delivered, dropped, crc = rows[0]
            cursor = Cursor(last, Ranges.from_text(waiting), produced, delivered, dropped)
        except (IndexError, AttributeError, ValueError) as error:
            raise Damaged("what the broker has is not written where it should be") from error
        if cursor.crc(name, self._serial) != crc:
            raise Damaged("the checksum of what the broker has is wrong")
        return cursor

    def _put(self, cursor: Cursor) -> None:
        self._serial += 1
        self._connection.execute(
            "INSERT OR REPLACE INTO consumers VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                CONSUMER,
                self._serial,
                cursor.last,
                cursor.produced,
                cursor.delivered,
                cursor.dropped,
                cursor.waiting.text(),
                cursor.crc(CONSUMER, self._serial),
            ),
        )

    def _insert(self, rows: Sequence[Row]) -> None:
        self._connection.executemany(
            "INSERT OR REPLACE INTO events VALUES (?, ?, ?, ?, ?, ?, ?)", (self._encoded(row) for row in rows)
        )

    def _encoded(self, row: Row) -> tuple[Any, ...]:
        row_id = row.id + self.offset
        stream = self._stream_for(row, row_id)
        packed = compressed(row.payload, stream.dictionary)
        crc = row_crc(row_id, row.kind, stream.id, row.sequence, row.time_s, packed=packed)
        self._highest = max(self._highest, row_id)
        return row_id, row.kind, stream.id, row.sequence, row.time_s, packed, crc

    def _stream_for(self, row: Row, row_id: int) -> Stream:
        stream, rows = self._current.get(row.device, (None, 0))
        if stream is None or rows >= _STREAM_ROWS:
            number = (self._one("SELECT max(id) FROM streams") or 0) + 1
            first = max(row_id, self._highest + 1)
            stream, rows = Stream(number, self._boot, row.device, first, dictionary_of(row.payload)), 0
            self._connection.execute(
                "INSERT INTO streams VALUES (?, ?, ?, ?, ?, ?)",
                (number, stream.boot, stream.device, first, stream.dictionary, stream.crc()),
            )
        self._current[row.device] = stream, rows + 1
        return stream

    def _decoded(self, row_id: int, row: tuple[Any, ...] | None) -> Readable | Unreadable:
        if row is None:
            near = self._rows("SELECT stream FROM events WHERE id < ? ORDER BY id DESC LIMIT 1", row_id)
            stream = self._stream(near[0][0]) if near else None
            return Unreadable(None if stream is None else Origin(stream.device, stream.boot, None))
        _, kind, stream_id, sequence, time_s, packed, crc = row
        stream = self._stream(stream_id)
        if stream is None:
            return Unreadable(None)
        origin = Origin(stream.device, stream.boot, sequence)
        try:
            if row_crc(row_id, kind, stream_id, sequence, time_s, packed=packed) == crc:
                return Readable(kind, origin, expanded(packed, stream.dictionary))
        except (ValueError, TypeError, struct.error):
            pass
        return Unreadable(origin)

    def _stream(self, number: int) -> Stream | None:
        if number not in self._streams:
            if len(self._streams) > 100:
                self._streams.clear()
            rows = self._rows("SELECT id, boot, device, first, dictionary, crc FROM streams WHERE id = ?", number)
            stream = Stream(*rows[0][:5]) if rows else None
            self._streams[number] = stream
        return self._streams[number]

    def _shed(self, batch: Batch, cursor: Cursor, limits: Limits) -> Shed:
        offset = self.offset
        waiting = batch.cursor.waiting.up_to(batch.committed)
        delete_old(self._connection, cursor.waiting, limits)
        shed = make_room(
            self._connection,
            cursor.waiting,
            limits,
            (row_id + offset for row_id in waiting if row_id not in batch.busy),
            origins=self._origins,
            open_={key: said.moved(offset) for key, said in batch.open.items()},
        )
        self._insert([said.moved(-offset).row() for said in shed.announcements])
        delete_streams(self._connection)
        return shed

    def _origins(self, disk_ids: Sequence[int]) -> dict[int, Origin | None]:
        origins = {}
        for row_id in disk_ids:
            rows = self._rows("SELECT stream, sequence FROM events WHERE id = ?", row_id)
            stream = self._stream(rows[0][0]) if rows else None
            origins[row_id] = None if stream is None else Origin(stream.device, stream.boot, rows[0][1])
        return origins

    def _rows(self, question: str, *values: Any) -> list[tuple[Any, ...]]:
        return self._connection.execute(question, values).fetchall()

    def _one(self, question: str) -> Any:
        return self._connection.execute(question).fetchone()[0]

    @contextmanager
    def _mapped(self) -> Iterator[None]:
        """SQLite's errors as ours."""
        import sqlite3

        try:
            yield
        except sqlite3.ProgrammingError:
            raise
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR):
                raise Damaged(str(error)) from error
            raise Unwritable(str(error), full=code == sqlite3.SQLITE_FULL) from error
        except OSError as error:
            raise Unwritable(error.strerror or str(error)) from error


def refuse_newer(path: Path) -> None:
    """Raise UsageError for a log that a newer ampedge wrote, without touching it."""
    import sqlite3

    try:
        with path.open("rb") as file:
            header = file.read(100)
    except FileNotFoundError:
        return
    if len(header) < 100 or not header.startswith(b"SQLite format 3\0"):
        return
    version = struct.unpack(">i", header[60:64])[0]
    wal = path.with_name(f"{path.name}-wal")
    if version <= VERSION and wal.exists() and wal.stat().st_size:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=_BUSY_S)
        try:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
        finally:
            connection.close()
    if version > VERSION:
        raise UsageError(
            f"The event log {path} was written by a newer ampedge (version {version}, this one knows {VERSION}).",
            "Install that ampedge again, or give this one another state_dir.",
        )


def _text(text: bytes) -> str:
    return text.decode(errors="replace")
