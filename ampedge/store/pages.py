"""The records in a SQLite file without SQLite, which gives up on a damaged one where a page can still be read.

Format: https://www.sqlite.org/fileformat2.html; what is read here is leaf pages of tables and their overflow pages, in
the file and in its write-ahead log.
"""

import struct
from collections.abc import Iterator
from io import SEEK_END, BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from ampedge.store.journal import LEAF, read_journal
from ampedge.store.schema import PAGE_BYTES

Record = tuple[int, list[Any]]
"""The row id and the columns of a row; a column that stands for the row id is None."""

_LARGEST = 64 * 1024 * 1024
_SIZES = (0, 1, 2, 3, 4, 6, 8, 8, 0, 0, 0, 0)
_CONSTANTS = {0: None, 8: 0, 9: 1}


class Pages:
    """The pages of a file as SQLite would see them, newer ones from the write-ahead log; where that is damaged, all."""

    def __init__(self, path: Path) -> None:
        self._file, self._wal = _opened(path), _opened(path.with_name(f"{path.name}-wal"))
        self._count = self._file.seek(0, SEEK_END) // PAGE_BYTES
        journal = read_journal(path)
        frames = journal.seen + journal.behind
        self._newer = {frame.page: frame.at for frame in frames}
        self._damaged = bool(journal.behind)
        self._older = [frame for frame in frames if self._newer[frame.page] != frame.at]

    def close(self) -> None:
        """Close the files."""
        self._file.close()
        self._wal.close()

    def records(self) -> Iterator[Record]:
        """Every record of every leaf page, those of freed pages too; the newest of one row id comes last."""
        for number, page in self._versions():
            head = 100 if number == 1 else 0
            if len(page) < PAGE_BYTES or page[head] != LEAF:
                continue
            (cells,) = struct.unpack_from(">H", page, head + 3)
            for cell in range(min(cells, (PAGE_BYTES - head - 8) // 2)):
                (at,) = struct.unpack_from(">H", page, head + 8 + 2 * cell)
                try:
                    yield self._record(page, at)
                except (IndexError, KeyError, struct.error, ValueError):  # damaged: the next one may not be
                    continue

    def _versions(self) -> Iterator[tuple[int, bytes]]:
        """Each page with its number; if the newest one may be the damaged one, those before it too."""
        if self._damaged:
            for number in self._newer:
                yield number, _read(self._file, (number - 1) * PAGE_BYTES)
            for frame in self._older:
                yield frame.page, _read(self._wal, frame.at)
        for number in sorted({*range(1, self._count + 1), *self._newer}):
            yield number, self._page(number)

    def _page(self, number: int) -> bytes:
        if number in self._newer:
            return _read(self._wal, self._newer[number])
        return _read(self._file, (number - 1) * PAGE_BYTES)

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


def _opened(path: Path) -> BinaryIO:
    return path.open("rb") if path.exists() else BytesIO()


def _read(file: BinaryIO, at: int) -> bytes:
    try:
        file.seek(at)
        return file.read(PAGE_BYTES)
    except OSError:  # a bad sector
        return b""


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
