"""Streams: up to a thousand rows of one device and one start that are compressed against the same dictionary.

The dictionary is the payload of the first of them. A new one now and then keeps the harm of a damaged one small.
"""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ampedge.store.announcements import Origin
from ampedge.store.rows import Row, compressed, dictionary_of, expanded, row_crc

if TYPE_CHECKING:
    import sqlite3

COLUMNS = "id, boot, device, first, dictionary, crc, dictionary_crc"

_ROWS = 1000
_CACHED = 100


@dataclass(frozen=True, slots=True)
class Stream:
    """`dictionary` is None where it is damaged; rows of earlier streams of the device have ids below `first`."""

    id: int
    boot: str
    device: str
    first: int
    dictionary: bytes | None

    def columns(self) -> tuple[Any, ...]:
        """The row on disk, with a checksum for whose it is and one for its dictionary."""
        assert self.dictionary is not None
        return self.id, self.boot, self.device, self.first, self.dictionary, self._crc(), _dictionary_crc(self)

    @classmethod
    def from_columns(cls, columns: Sequence[Any]) -> "Stream | None":
        """The inverse of `columns`; None where not even whose it is can be told."""
        try:
            number, boot, device, first, dictionary, crc, dictionary_crc = columns
            stream = cls(number, boot, device, first, dictionary)
            if stream._crc() != crc:
                return None
            if _dictionary_crc(stream) != dictionary_crc:
                return cls(number, boot, device, first, None)
        except TypeError:
            return None
        return stream

    def _crc(self) -> int:
        return zlib.crc32(f"{self.id} {self.first} {self.boot}\n{self.device}".encode())


def _dictionary_crc(stream: Stream) -> int:
    assert stream.dictionary is not None
    return zlib.crc32(stream.dictionary, stream.id)


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


class Streams:
    """The streams of an open log; ids as on disk."""

    def __init__(self, connection: "sqlite3.Connection", *, boot: str = "") -> None:
        self._connection = connection
        self._boot = boot
        self.highest = 0
        self._current: dict[str, tuple[Stream, int]] = {}
        self._known: dict[int, Stream | None] = {}
        self._owners: dict[int | None, Origin | None] = {}

    def encoded(self, row: Row) -> tuple[Any, ...]:
        """The row's columns on disk; begins a stream where it needs one."""
        stream = self._for(row)
        assert stream.dictionary is not None
        self.highest = max(self.highest, row.id)
        packed = compressed(row.payload, stream.dictionary)
        crc = row_crc(row.id, row.kind, stream.id, row.sequence, row.time_s, packed=packed)
        return row.id, row.kind, stream.id, row.sequence, row.time_s, packed, crc

    def decoded(self, row_id: int, columns: Sequence[Any] | None) -> Readable | Unreadable:
        """The row from its columns, which are None where it is gone."""
        if columns is None:
            latest = self._connection.execute("SELECT max(id) FROM streams WHERE first <= ?", (row_id,)).fetchone()[0]
            if latest not in self._owners:
                self._owners[latest] = self.between(row_id, row_id)
            return Unreadable(self._owners[latest])
        _, kind, number, sequence, time_s, packed, crc = columns
        stream = self.get(number)
        try:
            whole = row_crc(row_id, kind, number, sequence, time_s, packed=packed) == crc
            if whole and stream is not None and stream.dictionary is not None:
                origin = Origin(stream.device, stream.boot, sequence)
                return Readable(kind, origin, expanded(packed, stream.dictionary))
        except (ValueError, TypeError, struct.error):
            pass
        if stream is None or stream.dictionary is None:
            self._current.clear()  # it may be the damaged one that new rows, the announcement of this, refer to
        return Unreadable(self.origin(number, sequence))

    def origin(self, number: int, sequence: int | None) -> Origin | None:
        """Where a row of this stream came from."""
        stream = self.get(number)
        return None if stream is None else Origin(stream.device, stream.boot, sequence)

    def between(self, first: int, last: int) -> Origin | None:
        """Whose the rows of these ids were, None where those of several devices may lie there, or nobody knows.

        A device's rows lie behind the first one of its stream; those of a later start behind all of an earlier one.
        """
        device: str | None = None
        boots: list[str] = []
        begun = False
        for (number,) in self._connection.execute(
            "SELECT id FROM streams WHERE first <= ? ORDER BY id DESC", (last,)
        ).fetchall():
            stream = self.get(number)
            if stream is None or device not in (None, stream.device):
                return None
            if begun and stream.boot != boots[-1]:
                break
            device = stream.device
            boots.append(stream.boot)
            begun = begun or stream.first <= first
        return None if device is None else Origin(device, boots[0] if len(set(boots)) == 1 else None, None)

    def get(self, number: int) -> Stream | None:
        """A stream by its number."""
        if number not in self._known:
            if len(self._known) >= _CACHED:
                self._known.clear()
            columns = self._connection.execute(f"SELECT {COLUMNS} FROM streams WHERE id = ?", (number,)).fetchone()  # noqa: S608
            self._known[number] = None if columns is None else Stream.from_columns(columns)
        return self._known[number]

    def forget(self) -> None:
        """After a transaction that was taken back: begin new streams, the latest ones may not be there."""
        self._current.clear()
        self._known.clear()
        self._owners.clear()

    def delete_unused(self) -> None:
        """Delete the streams that no row is compressed against any more.

        A stream's rows lie before the first one of its successor: the next one of the device, or of a later start.
        """
        low = self._connection.execute("SELECT min(id) FROM events").fetchone()[0]
        begun = []
        for number, boot, device, first in self._connection.execute(
            "SELECT id, boot, device, first FROM streams ORDER BY id"
        ):
            if low is None or first > low:
                break
            begun.append((number, boot, device))
        needed = {device: number for number, boot, device in begun if boot == begun[-1][1]}
        unused = [(number,) for number, _, device in begun if needed.get(device) != number]
        self._connection.executemany("DELETE FROM streams WHERE id = ?", unused)

    def _for(self, row: Row) -> Stream:
        stream, rows = self._current.get(row.device, (None, 0))
        if stream is None or rows >= _ROWS:
            number = (self._connection.execute("SELECT max(id) FROM streams").fetchone()[0] or 0) + 1
            first = max(row.id, self.highest + 1)
            stream, rows = Stream(number, self._boot, row.device, first, dictionary_of(row.payload)), 0
            self._connection.execute("INSERT INTO streams VALUES (?, ?, ?, ?, ?, ?, ?)", stream.columns())
        self._current[row.device] = stream, rows + 1
        return stream
