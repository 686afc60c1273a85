"""Reading the log's history from another process: it changes nothing and never holds up the service.

Each look is a short transaction; one that lasted would keep the service from using its write-ahead log anew.
"""

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ampedge.errors import DataError, UsageError
from ampedge.records import EVENT
from ampedge.store.database import mapped
from ampedge.store.schema import VERSION
from ampedge.store.streams import Readable, Streams
from ampedge.store.trouble import Damaged, Unwritable

if TYPE_CHECKING:
    import sqlite3

_SPAN_IDS = 2000
_BUSY_S = 2.0
_LAST_ID = 1 << 62


class History(Iterator[bytes]):
    """The payloads of events, oldest first; `unreadable` counts those that were skipped so far."""

    def __init__(self, path: Path, *, since_s: float | None, limit: int | None, device: str | None) -> None:
        self.unreadable = 0
        self._path = path
        self._since_s = since_s
        self._limit = limit
        self._device = device
        self._events = self._read()

    def __next__(self) -> bytes:
        return next(self._events)

    def _read(self) -> Iterator[bytes]:
        with closing(self._opened()) as connection:
            streams = Streams(connection)
            first = self._first(connection, streams)
            for span in self._spans(connection, first):
                yield from (event for _, event in self._wanted(connection, streams, span))

    def _opened(self) -> "sqlite3.Connection":
        import sqlite3

        with self._plain():
            is_there = self._path.exists()
        if not is_there:
            raise UsageError(
                f"There is no event log at {self._path}.",
                "Name the state directory of the service, with --config or state_dir.",
            )
        where = f"{self._path.absolute().as_uri()}?mode=ro"
        if not self._path.with_name(f"{self._path.name}-wal").exists():
            where += "&immutable=1"  # nobody writes it; else a directory that may not be written could not be read
        with ExitStack() as opened:
            with self._plain():
                connection = opened.enter_context(
                    closing(sqlite3.connect(where, uri=True, timeout=_BUSY_S, isolation_level=None))
                )
                connection.text_factory = lambda text: text.decode(errors="replace")
                (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version > VERSION:
                raise UsageError(
                    f"The event log {self._path} is of version {version}, this ampedge knows {VERSION}.",
                    "Read it with the ampedge that wrote it.",
                )
            opened.pop_all()
        return connection

    def _first(self, connection: "sqlite3.Connection", streams: Streams) -> int:
        """The id at which to begin so that the newest `limit` events come."""
        if self._limit is None:
            return 0
        left, first = self._limit, _LAST_ID
        while left > 0:
            with self._plain():
                (last,) = connection.execute("SELECT max(id) FROM events WHERE id < ?", (first,)).fetchone()
            if last is None:
                break
            begin = max(0, last - _SPAN_IDS + 1)
            found = [row_id for row_id, _ in self._wanted(connection, streams, (begin, last))]
            first = found[-left] if left <= len(found) else begin
            left -= len(found)
        self.unreadable = 0
        return first

    def _spans(self, connection: "sqlite3.Connection", first: int) -> Iterator[tuple[int, int]]:
        while True:
            with self._plain():
                (begin,) = connection.execute("SELECT min(id) FROM events WHERE id >= ?", (first,)).fetchone()
            if begin is None:
                return
            first = begin + _SPAN_IDS
            yield begin, first - 1

    def _wanted(
        self, connection: "sqlite3.Connection", streams: Streams, span: tuple[int, int]
    ) -> list[tuple[int, bytes]]:
        with self._plain():
            rows: list[tuple[Any, ...]] = connection.execute(
                "SELECT id, kind, stream, sequence, time_s, payload, crc FROM events "
                "WHERE id BETWEEN ? AND ? AND time_s >= ? ORDER BY id",
                (*span, float("-inf") if self._since_s is None else self._since_s),
            ).fetchall()
            wanted = []
            for columns in rows:
                row = streams.decoded(columns[0], columns)
                if not isinstance(row, Readable):
                    self.unreadable += 1
                elif row.kind == EVENT and self._device in (None, row.origin.device):
                    wanted.append((columns[0], row.payload))
        return wanted

    @contextmanager
    def _plain(self) -> Iterator[None]:
        try:
            with mapped():
                yield
        except Damaged as error:
            raise DataError(
                f"The event log {self._path} is damaged ({error}).",
                "Start the service: it takes over what can be read and sets the rest aside.",
            ) from error
        except Unwritable as error:
            raise DataError(
                f"The event log {self._path} cannot be read ({error}).",
                "Ask as the service's user or with sudo, or try again in a moment.",
            ) from error


def read_events(
    path: Path, *, since_s: float | None = None, limit: int | None = None, device: str | None = None
) -> History:
    """The events in the file at `path`, oldest first: those since a time, of a device, the newest `limit` of them.

    Events of the last minute may still be in the service's memory.
    Raises UsageError where there is no log or one of a newer version, DataError where it cannot be read.
    """
    return History(path, since_s=since_s, limit=limit, device=device)
