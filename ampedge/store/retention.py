"""How the log's file stays within its limits; all inside the transaction of a commit, ids as on disk."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from ampedge.store.announcements import LOG_FULL, Announcement, Key, Origin, announcement
from ampedge.store.ranges import Ranges

if TYPE_CHECKING:
    import sqlite3

CHUNK_ROWS = 256

CHUNKS_A_COMMIT = 80
"""So that a commit stays short when the limits were lowered; the next one goes on."""


@dataclass(frozen=True, slots=True)
class Limits:
    """`keep_from_s` is None while the clock is not believed."""

    max_bytes: int
    keep_from_s: float | None
    now_s: float


@dataclass(frozen=True, slots=True)
class Shed:
    """Events that a commit dropped for want of room; `merged` are announcements that a later one includes."""

    dropped: tuple[int, ...] = ()
    merged: tuple[int, ...] = ()
    announcements: tuple[Announcement, ...] = ()

    def shifted(self, by: int) -> "Shed":
        """The same with other ids."""
        return Shed(
            tuple(row_id + by for row_id in self.dropped),
            tuple(row_id + by for row_id in self.merged),
            tuple(said.moved(by) for said in self.announcements),
        )


def used_bytes(connection: "sqlite3.Connection") -> int:
    """What the pages take that hold something."""
    pages, free, size = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)


def delete_delivered(connection: "sqlite3.Connection", waiting: Ranges, rows: int = CHUNK_ROWS) -> bool:
    """Delete some of the oldest rows that do not wait; whether there were any."""
    position = 0
    while (first := _one(connection, "SELECT min(id) FROM events WHERE id >= ?", position)) is not None:
        end = waiting.end_of(first)
        if end is None:
            behind = waiting.first_from(first)
            beyond = _one(connection, "SELECT id FROM events WHERE id >= ? ORDER BY id LIMIT 1 OFFSET ?", first, rows)
            stops = [stop for stop in (behind, beyond) if stop is not None]
            if stops:
                connection.execute("DELETE FROM events WHERE id >= ? AND id < ?", (first, min(stops)))
            else:
                connection.execute("DELETE FROM events WHERE id >= ?", (first,))
            return True
        position = end + 1
    return False


def delete_old(connection: "sqlite3.Connection", waiting: Ranges, limits: Limits) -> None:
    """Delete the oldest rows that do not wait and are older than the limit, up to the first that is not.

    A row from the future was stamped by a clock that was wrong: it stays, and says nothing of those behind it.
    """
    if limits.keep_from_s is None:
        return
    old: list[tuple[int]] = []
    rows = connection.execute("SELECT id, time_s FROM events ORDER BY id")
    for row_id, time_s in islice(rows, CHUNK_ROWS * CHUNKS_A_COMMIT):
        if row_id in waiting:
            continue
        if time_s < limits.keep_from_s:
            old.append((row_id,))
        elif time_s <= limits.now_s:
            break
    rows.close()
    connection.executemany("DELETE FROM events WHERE id = ?", old)


def make_room(
    connection: "sqlite3.Connection",
    waiting: Ranges,
    limits: Limits,
    droppable: Iterable[int],
    *,
    origins: Callable[[Sequence[int]], dict[int, Origin | None]],
    announcer: str,
    open_: dict[Key, Announcement],
) -> Shed:
    """Bring the file down to its largest size: delivered rows go first, then the oldest that wait.

    `waiting` is left without what was dropped, and with the announcements in its place.
    """
    dropped: list[int] = []
    merged: list[int] = []
    said: dict[Key, Announcement] = {}
    candidates = iter(droppable)
    for _ in range(CHUNKS_A_COMMIT):
        if used_bytes(connection) <= limits.max_bytes:
            break
        if delete_delivered(connection, waiting):
            continue
        chunk = list(islice(candidates, CHUNK_ROWS))
        if not chunk:
            break
        for row_id, origin in origins(chunk).items():
            waiting.discard(row_id)
            new = announcement(row_id, origin, LOG_FULL, limits.now_s, announcer=announcer)
            earlier = said.get(new.key)
            if earlier is None and new.key in open_:
                earlier = open_[new.key]
                merged.append(earlier.id)
            said[new.key] = new if earlier is None else new.after(earlier)
        connection.executemany("DELETE FROM events WHERE id = ?", [(row_id,) for row_id in chunk])
        dropped.extend(chunk)
    connection.executemany("DELETE FROM events WHERE id = ?", [(row_id,) for row_id in merged])
    for row_id in merged:
        waiting.discard(row_id)
    for announced in said.values():
        waiting.add(announced.id)
    return Shed(tuple(dropped), tuple(merged), tuple(said.values()))


def _one(connection: "sqlite3.Connection", question: str, *values: int) -> int | None:
    row = connection.execute(question, values).fetchone()
    return None if row is None else row[0]
