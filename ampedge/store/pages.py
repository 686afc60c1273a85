"""The records in a SQLite file without SQLite, which gives up on a damaged one where a page can still be read.

Format: https://www.sqlite.org/fileformat2.html; what is read here is leaf pages of tables, their overflow pages, and
the write-ahead log up to its last whole transaction.
"""

import struct
from collections.abc import Iterator
from io import SEEK_END, BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from ampedge.store.schema import PAGE_BYTES

Record = tuple[int, list[Any]]
"""The row id and the columns of a row; a column that stands for the row id is None."""

_LEAF = 0x0D
_LARGEST = 64 * 1024 * 1024
_SIZES = (0, 1, 2, 3, 4, 6, 8, 8, 0, 0, 0, 0)
_CONSTANTS = {0: None, 8: 0, 9: 1}


class Pages:
    """The pages of a file as SQLite would see them: newer ones from the write-ahead log."""

    def __init__(self, path: Path) -> None:
        self._file: BinaryIO = path.open("rb") if path.exists() else BytesIO()
        self._wal = wal.open("rb") if (wal := path.with_name(f"{path.name}-wal")).exists() else None
        self._count = self._file.seek(0, SEEK_END) // PAGE_BYTES
        self._newer = {} if self._wal is None else _committed_pages(self._wal)

    def close(self) -> None:
        """Close the files."""
        self._file.close()
        if self._wal is not None:
            self._wal.close()

    def records(self) -> Iterator[Record]:
        """Every record of every leaf page, those of freed pages too."""
        for number in range(1, max(self._count, *self._newer, 0) + 1):
            page = self._page(number)
            head = 100 if number == 1 else 0
            if len(page) < PAGE_BYTES or page[head] != _LEAF:
                continue
            (cells,) = struct.unpack_from(">H", page, head + 3)
            for cell in range(min(cells, (PAGE_BYTES - head - 8) // 2)):
                (at,) = struct.unpack_from(">H", page, head + 8 + 2 * cell)
                try:
                    yield self._record(page, at)
                except (IndexError, KeyError, struct.error, ValueError):  # damaged: the next one may not be
                    continue

    def _page(self, number: int) -> bytes:
        try:
            if self._wal is not None and number in self._newer:
                self._wal.seek(self._newer[number])
                return self._wal.read(PAGE_BYTES)
            self._file.seek((number - 1) * PAGE_BYTES)
            return self._file.read(PAGE_BYTES)
        except OSError:  # a bad sector
            return b""

    def _record(self, page: bytes, at: int) -> Record:
        size, at = _varint(page, at)
        row_id, at = _varint(page, at)
        if size > _LARGEST:
            raise ValueError("too large to be true")
        most = PAGE_BYTES - 35
        local = size
        if size > most:
            least = (PAGE_BYTES - 12) * 32 // 255 - 23
            local = least + (size - least) % (PAGE_BYTES - 4)
            local = local if local <= most else least
        payload = page[at : at + local]
        if local < size:
            (following,) = struct.unpack_from(">I", page, at + local)
            payload += self._overflow(following, size - local)
        if len(payload) < size:
            raise ValueError("cut off")
        return row_id - (row_id >> 63 << 64), _columns(payload)

    def _overflow(self, number: int, size: int) -> bytes:
        parts = []
        while size > 0 and number:
            page = self._page(number)
            parts.append(page[4 : 4 + size])
            size -= PAGE_BYTES - 4
            (number,) = struct.unpack_from(">I", page, 0)
        return b"".join(parts)


def _columns(payload: bytes) -> list[Any]:
    head, at = _varint(payload, 0)
    body = head
    columns: list[Any] = []
    while at < head:
        kind, at = _varint(payload, at)
        size = (kind - 12) // 2 if kind >= 12 else _SIZES[kind]
        part = payload[body : body + size]
        body += size
        if body > len(payload):
            raise ValueError("the columns are longer than the record")
        if kind >= 12:
            columns.append(part.decode() if kind % 2 else part)
        elif kind == 7:
            columns.append(struct.unpack(">d", part)[0])
        else:
            columns.append(_CONSTANTS[kind] if size == 0 else int.from_bytes(part, "big", signed=True))
    return columns


def _varint(data: bytes, at: int) -> tuple[int, int]:
    number = 0
    for count in range(8):
        byte = data[at + count]
        number = number << 7 | byte & 0x7F
        if byte < 0x80:
            return number, at + count + 1
    return number << 8 | data[at + 8], at + 9


def _committed_pages(wal: BinaryIO) -> dict[int, int]:
    """Where in the write-ahead log the newest page of each number is, by the log's own order and checksums."""
    committed: dict[int, int] = {}
    pending: dict[int, int] = {}
    head = wal.read(32)
    if len(head) < 32:
        return {}
    magic, _, size = struct.unpack_from(">III", head)
    order = ">" if magic & 1 else "<"
    sums = _sums(head[:24], (0, 0), order)
    if magic & ~1 != 0x377F0682 or size != PAGE_BYTES or sums != struct.unpack_from(">II", head, 24):
        return {}
    while len(frame := wal.read(PAGE_BYTES + 24)) == PAGE_BYTES + 24:
        sums = _sums(frame[24:], _sums(frame[:8], sums, order), order)
        if frame[8:16] != head[16:24] or sums != struct.unpack_from(">II", frame, 16):
            break
        number, pages_after = struct.unpack_from(">II", frame)
        pending[number] = wal.tell() - PAGE_BYTES
        if pages_after:
            committed.update(pending)
            pending.clear()
    return committed


def _sums(data: bytes, sums: tuple[int, int], order: str) -> tuple[int, int]:
    first, second = sums
    for even, odd in struct.iter_unpack(f"{order}II", data):
        first = first + even + second & 0xFFFFFFFF
        second = second + odd + first & 0xFFFFFFFF
    return first, second
