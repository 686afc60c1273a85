"""Reading the log from another process, while it is written, after a kill, and where it cannot be read."""

import errno
import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ampedge.errors import DataError, UsageError
from ampedge.store import database, history
from ampedge.store.history import History, read_events
from tests.support.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path)
    yield store
    store.close()


def numbers(events: Iterator[bytes]) -> list[int]:
    return [json.loads(event)["sequence"] for event in events]


@pytest.mark.parametrize("alive", [True, False])
def test_delivered_and_waiting_events_are_history(store: Store, alive: bool) -> None:
    store.kept(10)
    store.deliver(4)
    store.log.commit(reachable=True)
    store.append(2, first=10)  # in memory
    if not alive:
        store.close()
    assert numbers(read_events(store.file)) == list(range(10 if alive else 12))


def test_announcements_are_no_events(store: Store) -> None:
    for number in store.kept(3)[:1]:
        store.log.rejected(number, "too_large")
    store.log.commit(reachable=True)
    assert numbers(read_events(store.file)) == [1, 2]


@pytest.mark.parametrize("span", [3, 2000])
def test_events_are_chosen_by_time_device_and_number(store: Store, monkeypatch: pytest.MonkeyPatch, span: int) -> None:
    monkeypatch.setattr(history, "_SPAN_IDS", span)
    begin_s = store.clock.time()
    for number in range(20):
        store.append(1, first=number, device="left" if number % 2 else "right")
        store.clock.advance(1)
    store.log.commit(reachable=False)
    assert numbers(read_events(store.file, since_s=begin_s + 15)) == [15, 16, 17, 18, 19]
    assert numbers(read_events(store.file, limit=3)) == [17, 18, 19]
    assert numbers(read_events(store.file, limit=0)) == []
    assert numbers(read_events(store.file, limit=100)) == list(range(20))
    assert numbers(read_events(store.file, device="left")) == list(range(1, 20, 2))
    assert numbers(read_events(store.file, device="left", limit=2)) == [17, 19]
    assert numbers(read_events(store.file, device="left", since_s=begin_s + 16.5, limit=9)) == [17, 19]
    assert numbers(read_events(store.file, device="nobody", limit=2)) == []


@pytest.mark.parametrize("span", [3, 2000])
def test_gaps_in_the_log_are_passed_over(store: Store, monkeypatch: pytest.MonkeyPatch, span: int) -> None:
    monkeypatch.setattr(history, "_SPAN_IDS", span)
    store.kept(40)
    with closing(sqlite3.connect(store.file)) as connection:
        connection.execute("DELETE FROM events WHERE id BETWEEN 5 AND 30")
        connection.commit()
    assert numbers(read_events(store.file)) == [*range(4), *range(30, 40)]
    assert numbers(read_events(store.file, limit=12)) == [2, 3, *range(30, 40)]


def test_damaged_rows_are_skipped_and_counted(store: Store) -> None:
    store.kept(10)
    with closing(sqlite3.connect(store.file)) as connection:
        connection.execute("UPDATE events SET sequence = 99 WHERE id IN (3, 9)")
        connection.commit()
    for limit, expected in ((None, [0, 1, 3, 4, 5, 6, 7, 9]), (2, [7, 9])):
        events = read_events(store.file, limit=limit)
        assert isinstance(events, History)
        assert numbers(events) == expected
        assert events.unreadable == (2 if limit is None else 1)


def test_reading_slowly_does_not_hold_up_the_write_ahead_log(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "_SPAN_IDS", 10)
    store.kept(100)
    events = read_events(store.file)
    assert numbers([next(events)]) == [0]  # type: ignore[arg-type]
    store.kept(10, first=100)
    busy, pages, moved = store.log._opened()._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    assert (busy, pages, moved) == (0, 0, 0)
    assert numbers(events) == list(range(1, 110))


READER = """
import json, sys
from pathlib import Path
from ampedge.store.history import read_events
print("ready", flush=True)
most = 0
while not Path(sys.argv[2]).exists():
    found = read_events(Path(sys.argv[1]))
    numbers = [json.loads(event)["sequence"] for event in found]
    assert numbers == list(range(len(numbers))) and len(numbers) >= most and not found.unreadable
    most = len(numbers)
print(most)
"""


def test_a_process_that_reads_all_the_time_sees_whole_commits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One connection writes and moves pages out of the write-ahead log, whoever else has the file open."""
    monkeypatch.setattr(database, "CHECKPOINT_PAGES", 10)
    store = Store(tmp_path / "store")
    store.kept(1)
    stop = tmp_path / "stop"
    command = [sys.executable, "-c", READER, str(store.file), str(stop)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "ready\n"
        for first in range(1, 1501, 5):
            store.kept(5, first=first)
        stop.touch()
        said, trouble = reader.communicate(timeout=60)
    assert (trouble, reader.returncode) == ("", 0)
    assert int(said) > 0
    assert store.log.problem is None
    store.close()
    with closing(sqlite3.connect(store.file)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert len(numbers(read_events(store.file))) == 1501


def test_reading_changes_no_file(store: Store, tmp_path: Path) -> None:
    store.kept(10)
    store.crash()
    before = {path.name: path.read_bytes() for path in store.directory.iterdir()}
    assert len(numbers(read_events(store.file))) == 10
    after = {path.name: path.read_bytes() for path in store.directory.iterdir() if not path.name.endswith("-shm")}
    assert after == before
    store.reopen()
    store.close()
    before = {path.name: path.read_bytes() for path in store.directory.iterdir()}
    assert len(numbers(read_events(store.file))) == 10
    assert {path.name: path.read_bytes() for path in store.directory.iterdir()} == before


def test_a_log_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="There is no event log"):
        next(read_events(tmp_path / "events.db"))


def test_a_log_of_a_newer_version(store: Store) -> None:
    store.close()
    with closing(sqlite3.connect(store.file)) as connection:
        connection.execute("PRAGMA user_version = 2")
    with pytest.raises(UsageError, match="of version 2"):
        next(read_events(store.file))
    with closing(sqlite3.connect(store.file)) as connection:
        connection.execute("PRAGMA user_version = 1")
    store.reopen()


@pytest.mark.parametrize("content", [b"no database" * 100, bytes(8192), None])
def test_a_log_that_is_damaged(store: Store, tmp_path: Path, content: bytes | None) -> None:
    store.kept(300, filler=100)
    store.close()
    damaged = tmp_path / "damaged.db"
    shutil.copyfile(store.file, damaged)
    if content is None:
        with damaged.open("rb+") as file:
            file.truncate(8192)
    else:
        damaged.write_bytes(content)
    with pytest.raises(DataError) as caught:
        list(read_events(damaged))
    assert "damaged" in caught.value.problem
    assert "Start the service" in caught.value.remedy


def test_a_log_that_may_not_be_looked_for(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(_: Path) -> bool:
        raise PermissionError(errno.EACCES, "Permission denied", "events.db")

    monkeypatch.setattr(Path, "exists", forbidden)
    with pytest.raises(DataError, match=r"cannot be read \(Permission denied\)") as refused:
        list(read_events(store.file))
    assert "with sudo" in refused.value.remedy


def test_a_log_that_is_locked(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "_BUSY_S", 0.01)
    store.close()
    with closing(sqlite3.connect(store.file, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE").fetchall()
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(DataError, match="cannot be read"):
            next(read_events(store.file))
        other.execute("ROLLBACK")
