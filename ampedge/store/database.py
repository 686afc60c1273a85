"""The event log's SQLite file: one connection, one transaction a commit.

Write-ahead log with `synchronous=FULL`: a commit that has returned survives a power cut.
Ids on disk count from 1 over the life of the file; `ahead` is what has to be added to those in memory, which may
begin before the file is open.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from ampedge.store.announcements import Origin
from ampedge.store.cursor import Cursor
from ampedge.store.journal import read_journal
from ampedge.store.ledger import Batch
from ampedge.store.ranges import Ranges
from ampedge.store.retention import Limits, Shed, delete_delivered, delete_old, make_room
from ampedge.store.rows import Row
from ampedge.store.schema import PAGE_BYTES, SCHEMA, refuse_newer
from ampedge.store.streams import Readable, Streams, Unreadable
from ampedge.store.trouble import Damaged, Unwritable

if TYPE_CHECKING:
    import sqlite3

CHECKPOINT_PAGES = 1000
"""Pages in the write-ahead log at which they are moved into the file."""

_CONSUMER = "mqtt"
WAL_KEPT_BYTES = 4_194_304
_BUSY_S = 0.25
_CHECK_S = 2.0
_GIVE_WAY_ROWS = 1024


class Database:
    """Only one thread may use it at a time."""

    def __init__(self, path: Path, boot: str, *, announcer: str = "") -> None:
        self.path = path
        self.announcer = announcer
        self.ahead = 0
        self._boot = boot
        self._open: sqlite3.Connection | None = None
        self._inode = 0
        self._durable = True
        self._serial = 0
        self._waiting = Ranges()

    def open(self, *, check: bool = True) -> tuple[Cursor, list[int]]:
        """Open or make the file: where the broker stands, and which of the rows that wait are announcements.

        Raises UsageError for a file of a newer version, which stays as it is, Damaged, or Unwritable.
        """
        with mapped():
            refuse_newer(self.path)
            if check and read_journal(self.path).behind:
                raise Damaged("in its journal, with commits behind")  # SQLite would end before the damage
            if self.wal_bytes and not (self.path.exists() and self.path.stat().st_size):
                raise Damaged("it is empty, and its journal is not")  # SQLite would throw that away
            self._connect()
            if self._one("SELECT count(*) FROM sqlite_schema") == 0:
                self._create()
            elif check:
                self._check()
            self._inode = self.path.stat().st_ino
            self._streams.highest = self._one("SELECT max(id) FROM events") or 0
        return self.contents()

    def contents(self) -> tuple[Cursor, list[int]]:
        """Where the broker stands, and which of the rows that wait are announcements."""
        with mapped():
            cursor = self._cursor()
            announced = self._connection.execute("SELECT id FROM events WHERE kind = 1").fetchall()
        self._streams.highest = max(self._streams.highest, cursor.last)
        self._waiting = cursor.waiting
        return cursor, [row_id for (row_id,) in announced if row_id in cursor.waiting]

    def latest_boot(self) -> str | None:
        """Which start of a service was the last to write events, None before any."""
        with mapped():
            latest = self._connection.execute("SELECT boot FROM streams ORDER BY id DESC LIMIT 1").fetchone()
        return None if latest is None else latest[0]

    def close(self) -> None:
        """Close the file, whether that works or not; what was committed is in it."""
        import sqlite3

        connection, self._open = self._open, None
        if connection is not None:
            try:
                connection.close()
            except sqlite3.Error:
                return

    @property
    def wal_bytes(self) -> int:
        """The size of the write-ahead log, which a program that reads for long keeps from being used anew."""
        try:
            return self.path.with_name(f"{self.path.name}-wal").stat().st_size
        except OSError:
            return 0

    def write(self, batch: Batch, limits: Limits, *, durable: bool) -> Shed:
        """Commit rows and cursor in one transaction; a durable one also keeps the file within its limits."""
        with mapped():
            if self.path.stat().st_ino != self._inode:
                raise Unwritable("another file has taken its place")
            self._sync(durable=durable or bool(batch.rows))  # rows always, see `journal.py`
            with self._transaction():
                self._insert(batch.rows)
                cursor, shed = batch.cursor.shifted(self.ahead), Shed()
                if durable:
                    shed = self._shed(batch, cursor.waiting, limits)
                    cursor = replace(cursor, dropped=cursor.dropped + len(shed.dropped))
                self._put(cursor)
        self._waiting = cursor.waiting
        return shed.shifted(-self.ahead)

    def give_way(self) -> bool:
        """On a full disk the oldest delivered rows leave, so that there is room for those that wait."""
        with mapped():
            self._connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()
            self._sync(durable=True)
            with self._transaction():
                return delete_delivered(self._connection, self._waiting, _GIVE_WAY_ROWS)

    def read(self, row_ids: Sequence[int]) -> dict[int, Readable | Unreadable]:
        """The rows of these ids, in their order."""
        found: dict[int, Readable | Unreadable] = {}
        with mapped():
            for first, last in Ranges((row_id, row_id) for row_id in row_ids).shifted(self.ahead).pairs():
                rows = self._connection.execute(
                    "SELECT id, kind, stream, sequence, time_s, payload, crc FROM events WHERE id BETWEEN ? AND ?",
                    (first, last),
                ).fetchall()
                columns = {row[0]: row for row in rows}
                for row_id in range(first, last + 1):
                    found[row_id - self.ahead] = self._streams.decoded(row_id, columns.get(row_id))
        return found

    @property
    def _connection(self) -> "sqlite3.Connection":
        assert self._open is not None, "the log's file is not open"
        return self._open

    def _connect(self) -> None:
        import sqlite3

        self._open = connection = sqlite3.connect(
            self.path, isolation_level=None, timeout=_BUSY_S, check_same_thread=False
        )
        connection.text_factory = lambda text: text.decode(errors="replace")
        for setting in (
            f"page_size = {PAGE_BYTES}",
            "journal_mode = WAL",
            "synchronous = FULL",
            f"wal_autocheckpoint = {CHECKPOINT_PAGES}",
            f"journal_size_limit = {WAL_KEPT_BYTES}",
            "secure_delete = OFF",  # on in Debian: pages that are freed would be written once more
            "cell_size_check = ON",
            "trusted_schema = OFF",
            "temp_store = MEMORY",
        ):
            connection.execute(f"PRAGMA {setting}").fetchall()
        self._durable = True
        self._streams = Streams(connection, boot=self._boot)

    def _create(self) -> None:
        with self._transaction():
            for statement in SCHEMA:
                self._connection.execute(statement)
            self._put(Cursor(0, Ranges(), 0, 0, 0))

    def _sync(self, *, durable: bool) -> None:
        if durable != self._durable:
            self._connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            self._durable = durable

    def _check(self) -> None:
        """SQLite's own check of the file, as far as it gets: a large log on a slow card is not waited for."""
        import sqlite3

        until_s = monotonic() + _CHECK_S
        self._connection.set_progress_handler(lambda: monotonic() > until_s, 100_000)
        try:
            found = self._one("PRAGMA quick_check(1)")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
                raise
        else:
            if found != "ok":
                raise Damaged(str(found))
        finally:
            self._connection.set_progress_handler(None, 0)

    def _cursor(self) -> Cursor:
        columns = self._connection.execute("SELECT * FROM consumers WHERE name = ?", (_CONSUMER,)).fetchone()
        found = None if columns is None else Cursor.from_columns(columns)
        if found is None:
            raise Damaged("what the broker has is not readable")
        cursor, self._serial = found
        return cursor

    def _put(self, cursor: Cursor) -> None:
        self._serial += 1
        columns = cursor.columns(_CONSUMER, self._serial)
        self._connection.execute("INSERT OR REPLACE INTO consumers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", columns)

    def _insert(self, rows: Sequence[Row]) -> None:
        encoded = (self._streams.encoded(row.moved(self.ahead)) for row in rows)
        self._connection.executemany("INSERT OR REPLACE INTO events VALUES (?, ?, ?, ?, ?, ?, ?)", encoded)

    def _shed(self, batch: Batch, waiting: Ranges, limits: Limits) -> Shed:
        """`waiting` is changed to what waits after it; both as on disk."""
        delete_old(self._connection, waiting, limits)
        before = batch.cursor.waiting.up_to(batch.committed)
        shed = make_room(
            self._connection,
            waiting,
            limits,
            (row_id + self.ahead for row_id in before if row_id not in batch.busy),
            origins=self._origins,
            announcer=self.announcer,
            open_={key: said.moved(self.ahead) for key, said in batch.open.items()},
        )
        self._insert([said.moved(-self.ahead).row() for said in shed.announcements])
        self._streams.delete_unused()
        return shed

    def _origins(self, disk_ids: Sequence[int]) -> dict[int, Origin | None]:
        origins: dict[int, Origin | None] = {}
        for row_id in disk_ids:
            row = self._connection.execute("SELECT stream, sequence FROM events WHERE id = ?", (row_id,)).fetchone()
            origins[row_id] = None if row is None else self._streams.origin(*row)
        return origins

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            self._streams.forget()
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def _one(self, question: str) -> Any:
        return self._connection.execute(question).fetchone()[0]


@contextmanager
def mapped() -> Iterator[None]:
    """SQLite's and the system's errors as the two kinds that there are for us."""
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
    except UnicodeDecodeError as error:  # an error whose text quotes what is damaged
        raise Damaged("it is full of strange characters") from error
    except OSError as error:
        raise Unwritable(error.strerror or str(error)) from error
