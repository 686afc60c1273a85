"""SQLite's write-ahead log: which of its frames count, and whether committed ones lie behind damage.

A frame holds a page and a checksum over itself and all frames before it. SQLite ends at the first that does not fit, as
it must: after a power cut what was not synced is there in part. A bit that flips later looks the same to it, and takes
every commit behind it along. What follows tells them apart: a commit of rows is synced before anything is written
behind it, so a frame behind such a commit proves that all before it was whole once.

Format: https://www.sqlite.org/fileformat2.html#the_write_ahead_log
"""

import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ampedge.store.schema import CURSOR_PAGE, PAGE_BYTES

LEAF = 0x0D
"""What a leaf page of a table begins with."""

_HEAD_BYTES = 32
_FRAME_HEAD_BYTES = 24
_ORDERS = {0x377F0682: "<", 0x377F0683: ">"}


@dataclass(frozen=True, slots=True)
class Frame:
    """A page of the log: `at` is where it begins, `fits` whether its checksum continues that of the frame before.

    `rows` is true for pages that only a synced commit writes, and not one that says how far the broker is.
    """

    page: int
    at: int
    commits: bool
    fits: bool
    rows: bool


@dataclass(frozen=True, slots=True)
class Journal:
    """The frames of whole commits in their order: those that SQLite sees, and those behind damage."""

    seen: tuple[Frame, ...] = ()
    behind: tuple[Frame, ...] = ()


def read_journal(path: Path) -> Journal:
    """The write-ahead log of the file at `path`; raises OSError."""
    try:
        with path.with_name(f"{path.name}-wal").open("rb") as file:
            return _sorted(_frames(file))
    except FileNotFoundError:
        return Journal()


def _sorted(frames: Iterator[Frame]) -> Journal:
    seen: list[Frame] = []
    behind: list[Frame] = []
    pending: list[Frame] = []
    whole = True
    rows = synced = proven = False
    for frame in frames:
        if whole and not frame.fits:
            whole = False
        if not whole:
            if not frame.fits:  # damage, or the rest of a life that a power cut ended: it proves nothing yet
                rows = synced = proven = False
            if synced and not proven:
                proven = True
                behind += pending
                pending.clear()
            rows = rows or frame.rows
            synced = frame.commits and rows
        pending.append(frame)
        if frame.commits:
            rows = False
            if whole or proven:
                (seen if whole else behind).extend(pending)
                pending.clear()
    return Journal(tuple(seen), tuple(behind))


def _frames(file: BinaryIO) -> Iterator[Frame]:
    """Every frame of the present round; those of earlier ones, which are in the file by now, bear two other salts.

    If the head is damaged, the salts are those of the first frame, as long as one of the two agrees.
    """
    head = file.read(_HEAD_BYTES)
    if len(head) < _HEAD_BYTES:
        return
    magic, _, size = struct.unpack_from(">III", head)
    order = _ORDERS.get(magic, "<" if sys.byteorder == "little" else ">")
    before: tuple[int, int] | None = _sums(head[:24], (0, 0), order)
    salts = head[16:24]
    if magic not in _ORDERS or before != struct.unpack_from(">II", head, 24):
        before = None
        first = file.read(_FRAME_HEAD_BYTES)[8:16]
        salts = first if _alike(first, salts) else salts
        file.seek(_HEAD_BYTES)
    elif size != PAGE_BYTES:
        return
    at = _HEAD_BYTES
    while len(frame := file.read(_FRAME_HEAD_BYTES + PAGE_BYTES)) == _FRAME_HEAD_BYTES + PAGE_BYTES:
        at += _FRAME_HEAD_BYTES
        page, pages_after, _, _, *stored = struct.unpack_from(">6I", frame)
        if _alike(frame[8:16], salts):
            sums = None if before is None else _sums(frame[24:], _sums(frame[:8], before, order), order)
            before = stored[0], stored[1]
            rows = frame[_FRAME_HEAD_BYTES] == LEAF and page not in (1, CURSOR_PAGE)
            yield Frame(page, at, pages_after > 0, sums == before and frame[8:16] == salts, rows)
        else:
            before = None
        at += PAGE_BYTES


def _alike(salts: bytes, others: bytes) -> bool:
    return salts[:4] == others[:4] or salts[4:] == others[4:]


def _sums(data: bytes, sums: tuple[int, int], order: str) -> tuple[int, int]:
    first, second = sums
    for even, odd in struct.iter_unpack(f"{order}II", data):
        first = first + even + second & 0xFFFFFFFF
        second = second + odd + first & 0xFFFFFFFF
    return first, second
