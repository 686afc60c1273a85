"""A damaged log: what can still be read goes into a new file, and the old one is set aside.

The new file takes its place only when it is whole, so this can be interrupted at any moment and goes on at the next
start.
"""

import os
import struct
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ampedge.records import EVENT
from ampedge.store.announcements import UNREADABLE, Announcement, announcement
from ampedge.store.cursor import Cursor
from ampedge.store.database import mapped
from ampedge.store.draft import Draft
from ampedge.store.pages import Pages
from ampedge.store.ranges import Ranges
from ampedge.store.rows import row_crc
from ampedge.store.streams import Stream
from ampedge.store.trouble import Unwritable

_WHOLE = ".rescued"
_EVENT_COLUMNS, _CURSOR_COLUMNS = 7, 9
_BEYOND = 1 << 62


def rescue(
    path: Path,
    boot: str,
    time_s: float,
    *,
    announcer: str,
    cursor: Cursor | None,
    on_progress: Callable[[], None] = lambda: None,
) -> tuple[Path, int]:
    """Make a new log of what is left: the name under which the old one is kept, how many events that waited are gone.

    `cursor` is where the broker stands if anybody knows better than the file.
    What no cursor tells of waits again: better twice than never.
    A large log takes minutes; `on_progress` is called all the while.
    """
    draft, task = Draft(_beside(path, ".draft"), boot, announcer=announcer), _Task(time_s, on_progress)
    with mapped():
        try:
            lost = _refill(path, draft, cursor, task, waiting_only=False)
        except Unwritable as error:
            if not error.full:
                raise
            lost = _refill(path, draft, cursor, task, waiting_only=True)
        _sync(draft.path)
        draft.path.rename(_beside(path, _WHOLE))
        _sync(path.parent)
    aside = take_place(path, time_s)
    assert aside is not None
    return aside, lost


def take_place(path: Path, time_s: float) -> Path | None:
    """Let the new file of a rescue, if there is one, take the place of the old one; only the latest old one is kept."""
    with mapped():
        whole = _beside(path, _WHOLE)
        if not whole.exists():
            return None
        stamp = datetime.fromtimestamp(time_s, UTC).strftime("%Y%m%dT%H%M%S")
        aside = _beside(path, f".corrupt-{stamp}")
        if path.exists():
            for earlier in path.parent.glob(f"{path.name}.corrupt-*"):
                earlier.unlink()
            path.rename(aside)
        if (wal := _beside(path, "-wal")).exists():
            wal.rename(_beside(aside, "-wal"))
        _beside(path, "-shm").unlink(missing_ok=True)
        _sync(path.parent)
        whole.rename(path)
        _sync(path.parent)
        return aside


@dataclass(slots=True)
class _Found:
    """What the old file holds beside its events; `announcements` are the rows that take the place of dropped ones."""

    streams: dict[int, Stream] = field(default_factory=dict)
    announcements: list[list[Any]] = field(default_factory=list)
    cursor: Cursor = field(default_factory=lambda: Cursor(0, Ranges(), 0, 0, 0))
    serial: int = -1


@dataclass(frozen=True, slots=True)
class _Task:
    """What the steps of a rescue share."""

    time_s: float
    on_progress: Callable[[], None]


def _refill(path: Path, draft: Draft, known: Cursor | None, task: "_Task", *, waiting_only: bool) -> int:
    for end in ("", "-wal", "-shm"):
        _beside(draft.path, end).unlink(missing_ok=True)
    found = _Found()
    try:
        draft.begin()
        with closing(Pages(path)) as pages:
            wanted: Ranges | None = None
            if waiting_only:
                for _ in _events(pages, found, task.on_progress):
                    pass
                wanted = _waiting(known or found.cursor)
            rows = _events(pages, found, task.on_progress)
            draft.fill("events", (row for row in rows if wanted is None or row[0] in wanted))
        draft.fill("events", found.announcements)
        draft.fill("streams", (stream.columns() for stream in found.streams.values()))
        draft.delete_unusable(last=None if known is None else known.last)
        before = known or found.cursor
        after, said = _accounts(draft, before, task.time_s)
        draft.end(after, said)
        return after.dropped - before.dropped
    finally:
        draft.close()


def _waiting(cursor: Cursor) -> Ranges:
    """What waits, as far as this cursor knows; what it does not know of was written later, and waits."""
    waiting = Ranges(cursor.waiting.pairs())
    waiting.add_range(cursor.last + 1, _BEYOND)
    return waiting


def _accounts(draft: Draft, cursor: Cursor, time_s: float) -> tuple[Cursor, Announcement | None]:
    """Where the broker stands in the new file; what waited and is gone counts as dropped, and is announced."""
    found, events = draft.there(_waiting(cursor))
    lost = cursor.waiting.without(found)
    later = draft.there(Ranges([(cursor.last + 1, _BEYOND)]))[1]
    missing = max(0, cursor.produced - cursor.delivered - cursor.dropped - (events - later))
    last = max(cursor.last, found.last or 0)
    said = None
    if missing and lost.first is not None and lost.last is not None:
        origin = draft.origin_between(lost.first, lost.last)
        said = announcement(lost.last, origin, UNREADABLE, time_s, announcer=draft.announcer, count=missing)
        found.add(lost.last)
    dropped = cursor.dropped + missing
    return Cursor(last, found, cursor.delivered + dropped + events, cursor.delivered, dropped), said


def _events(pages: Pages, found: _Found, on_progress: Callable[[], None]) -> Iterator[list[Any]]:
    """The rows whose checksum holds, as they are on disk; the rest of what holds goes to `found`."""
    for number, (row_id, columns) in enumerate(pages.records()):
        if number % 1000 == 0:
            on_progress()
        columns[:1] = [row_id]
        if len(columns) == _CURSOR_COLUMNS:
            known = Cursor.from_columns(columns)
            if known is not None and known[1] > found.serial:
                found.cursor, found.serial = known
        elif len(columns) == _EVENT_COLUMNS and isinstance(columns[1], str):
            stream = Stream.from_columns(columns)
            if stream is not None and stream.dictionary is not None:
                found.streams[stream.id] = stream
        elif len(columns) == _EVENT_COLUMNS and _holds(columns):
            if columns[1] == EVENT:
                yield columns
            else:
                found.announcements.append(columns)


def _holds(columns: list[Any]) -> bool:
    row_id, kind, stream, sequence, time_s, packed, crc = columns
    try:
        return bool(row_crc(row_id, kind, stream, sequence, time_s, packed=packed) == crc)
    except (TypeError, struct.error):
        return False


def _beside(path: Path, end: str) -> Path:
    return path.with_name(path.name + end)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
