"""The tables of the event log's file, and which version of them this is."""

import struct
from pathlib import Path

from ampedge.errors import UsageError
from ampedge.store.trouble import Damaged

FILE_NAME = "events.db"
VERSION = 1
PAGE_BYTES = 4096

CURSOR_PAGE = 5
"""The page of `consumers`, the fourth of those that `SCHEMA` makes."""

_PLAUSIBLE = 1000
"""Versions beyond are no versions but damage."""

SCHEMA = (
    "CREATE TABLE streams(id INTEGER PRIMARY KEY, boot TEXT NOT NULL, device TEXT NOT NULL, "
    "first INTEGER NOT NULL, dictionary BLOB NOT NULL, crc INTEGER NOT NULL, dictionary_crc INTEGER NOT NULL)",
    "CREATE TABLE events(id INTEGER PRIMARY KEY, kind INTEGER NOT NULL, stream INTEGER NOT NULL, "
    "sequence INTEGER NOT NULL, time_s REAL NOT NULL, payload BLOB NOT NULL, crc INTEGER NOT NULL)",
    "CREATE INDEX announcements ON events(id) WHERE kind = 1",
    "CREATE TABLE consumers(id INTEGER PRIMARY KEY, name TEXT NOT NULL, serial INTEGER NOT NULL, "
    "last INTEGER NOT NULL, produced INTEGER NOT NULL, delivered INTEGER NOT NULL, dropped INTEGER NOT NULL, "
    "waiting TEXT NOT NULL, crc INTEGER NOT NULL)",
    f"PRAGMA application_id = {0x616D7065}",
    f"PRAGMA user_version = {VERSION}",
)


def refuse_newer(path: Path) -> None:
    """Raise UsageError for a log that a newer ampedge wrote, without touching it; Damaged where that cannot be."""
    try:
        with path.open("rb") as file:
            header = file.read(100)
    except FileNotFoundError:
        return
    if len(header) < 100 or not header.startswith(b"SQLite format 3\0"):
        return
    (version,) = struct.unpack(">i", header[60:64])
    wal = path.with_name(f"{path.name}-wal")
    if version <= VERSION and wal.exists() and wal.stat().st_size:
        import sqlite3

        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        try:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
        finally:
            connection.close()
    if not 0 <= version <= _PLAUSIBLE:
        raise Damaged(f"its version is said to be {version}")
    if version > VERSION:
        raise UsageError(
            f"The event log {path} was written by a newer ampedge (version {version}, this one knows {VERSION}).",
            "Install that ampedge again, or give this one another state_dir.",
        )
