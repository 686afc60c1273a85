"""The file of a log that is being made from the rows of another one; it counts only when it is whole."""

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

from ampedge.records import EVENT
from ampedge.store.announcements import Announcement, Origin
from ampedge.store.cursor import Cursor
from ampedge.store.database import Database, mapped
from ampedge.store.ranges import Ranges

_CHUNK_ROWS = 1000


class Draft(Database):
    """Rows go in as they are on disk, with their streams and checksums."""

    def begin(self) -> None:
        """Make the file; no care is taken on the way."""
        self.open()
        with mapped():
            self._connection.execute("PRAGMA journal_mode = MEMORY").fetchall()
            self._connection.execute("PRAGMA synchronous = OFF")

    def fill(self, table: str, rows: Iterable[Sequence[Any]]) -> None:
        """Put rows into a table; of two of one id the later one stays."""
        every = iter(rows)
        while chunk := list(islice(every, _CHUNK_ROWS)):
            question = f"INSERT OR REPLACE INTO {table} VALUES ({', '.join('?' * len(chunk[0]))})"  # noqa: S608
            with mapped(), self._transaction():
                self._connection.executemany(question, chunk)

    def delete_unusable(self, last: int | None) -> None:
        """Delete the rows without a dictionary, and those beyond `last`, which no commit has written."""
        with mapped(), self._transaction():
            self._connection.execute("DELETE FROM events WHERE stream NOT IN (SELECT id FROM streams)")
            if last is not None:
                self._connection.execute("DELETE FROM events WHERE id > ?", (last,))

    def there(self, wanted: Ranges) -> tuple[Ranges, int]:
        """Which of these rows there are, and how many of them are events."""
        ids, events = Ranges(), 0
        with mapped():
            for pair in wanted.pairs():
                for row_id, kind in self._connection.execute(
                    "SELECT id, kind FROM events WHERE id BETWEEN ? AND ? ORDER BY id", pair
                ):
                    ids.add(row_id)
                    events += kind == EVENT
        return ids, events

    def origin_between(self, first: int, last: int) -> Origin | None:
        """Whose the lost rows of these ids were, judging by the streams that are left; None where nobody knows."""
        with mapped():
            return self._streams.between(first, last)

    def end(self, cursor: Cursor, said: Announcement | None) -> None:
        """Make it whole and close it."""
        with mapped():
            with self._transaction():
                self._insert([] if said is None else [said.row()])
                self._put(cursor)
            self._connection.execute("PRAGMA journal_mode = WAL").fetchall()
        self.close()
