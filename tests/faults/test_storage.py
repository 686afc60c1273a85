"""Faults of the card: full, read-only, locked, gone, damaged in many ways, of a newer version, read for too long.

Through all of it the service goes on, says what is wrong, gets over it by itself, and its accounts hold.
"""

import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest

from ampedge.errors import UsageError
from ampedge.records import DROPPED
from ampedge.store import database, event_log, rescue
from ampedge.store.database import Database
from ampedge.store.draft import Draft
from ampedge.store.event_log import Counts, EventLog
from ampedge.store.journal import read_journal
from ampedge.store.pages import Pages
from ampedge.store.reserve import RESERVE_BYTES
from ampedge.store.schema import CURSOR_PAGE
from ampedge.store.trouble import RETRY_S, Damaged, Unwritable
from ampedge.wire import parse_dropped
from tests.support.store import DEVICE, Store, announced, event, sequences

PAGE = 4096
WAITING = range(100, 300)
"""The sequence numbers that wait in a damaged log; those before were delivered."""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path)
    yield store
    store.close()


def filled(store: Store, *, killed: bool, checkpoint: bool = True) -> None:
    """A log of several pages, part of which was delivered, that lies on the disk and that nobody has open."""
    store.kept(100, filler=60)
    store.deliver()
    store.kept(100, first=100, filler=60)
    if checkpoint:
        store.log._opened()._connection.execute("PRAGMA wal_checkpoint").fetchall()
    store.kept(100, first=200, filler=60)
    if killed:
        store.crash()
    else:
        store.close()


def drained(store: Store) -> tuple[list[int], int]:
    """The sequence numbers that still come, and of how many it is said that they are lost."""
    got, said = [], 0
    store.log.commit(reachable=False)
    while (stored := store.deliver()) or (stored := store.deliver()):  # nothing comes while it is mended
        got += sequences([row for row in stored if row.kind != DROPPED])
        said += sum(one["count"] for one in announced(stored))
        for row in stored:
            if row.kind != DROPPED:
                plain = json.loads(row.payload)
                assert row.payload == event(plain["sequence"], boot=plain["boot"], filler=60)
        store.log.commit(reachable=False)
    counts = store.log.counts
    assert counts.waiting == 0
    assert counts.produced == counts.delivered + counts.dropped
    return got, said


def pages(store: Store) -> int:
    return store.file.stat().st_size // PAGE


def overwrite(file: Path, at: int, what: bytes) -> None:
    with file.open("rb+") as opened:
        opened.seek(at)
        opened.write(what)


# --- damaged files


@pytest.mark.parametrize("damage", ["header", "text", "first page", "version"])
def test_a_file_whose_head_is_gone_keeps_its_rows(tmp_path: Path, damage: str) -> None:
    store = Store(tmp_path)
    filled(store, killed=False)
    what = {
        "header": b"\xff" * 100,
        "text": b"Not a database at all. " * 4,
        "first page": bytes(PAGE),
        "version": b"\x7f",
    }
    overwrite(store.file, 60 if damage == "version" else 0, what[damage])
    damaged = store.file.read_bytes()
    store.reopen()
    assert "was damaged" in str(store.log.problem)
    (aside,) = store.directory.glob("events.db.corrupt-*[0-9]")
    assert aside.read_bytes() == damaged
    assert drained(store) == (list(WAITING), 0)
    assert store.log.counts == Counts(produced=300, delivered=300)
    assert store.append() == [301]
    store.close()
    store.reopen()
    assert store.log.problem is None
    assert sequences(store.waiting()) == [0]
    store.close()


def test_a_file_of_which_only_the_journal_is_left(tmp_path: Path) -> None:
    """SQLite takes an empty file for a new one and deletes its write-ahead log."""
    store = Store(tmp_path)
    filled(store, killed=True, checkpoint=False)
    store.file.write_bytes(b"")
    store.reopen()
    assert "was damaged" in str(store.log.problem)
    (aside,) = store.directory.glob("events.db.corrupt-*-wal")
    assert aside.stat().st_size > 0
    assert drained(store) == (list(WAITING), 0)
    store.close()


def test_any_page_may_be_zero(tmp_path: Path) -> None:
    """What was on the page is lost at most, it is counted and said; without the cursor everything comes again."""
    store = Store(tmp_path / "whole")
    filled(store, killed=False)
    lost_pages = 0
    for page in range(pages(store)):
        other = Store(tmp_path / str(page))
        other.close()
        shutil.copyfile(store.file, other.file)
        overwrite(other.file, page * PAGE, bytes(PAGE))
        other.reopen()
        assert "was damaged" in str(other.log.problem), page
        got, said = drained(other)
        if set(range(100)) & set(got):  # the cursor was on that page
            assert got == list(range(300))
        else:
            assert set(got) <= set(WAITING)
            assert len(got) + other.log.counts.dropped == len(WAITING)
            assert said == other.log.counts.dropped
            lost_pages += 0 < said < len(WAITING)
        other.close()
    assert lost_pages >= 3


@pytest.mark.parametrize("killed", [False, True], ids=["closed", "killed"])
@pytest.mark.parametrize("part", [0.0, 0.3, 0.6, 0.99])
def test_a_file_that_is_cut_off(tmp_path: Path, killed: bool, part: float) -> None:
    store = Store(tmp_path)
    filled(store, killed=killed)
    size = store.file.stat().st_size
    with store.file.open("rb+") as file:
        file.truncate(int(size * part))
    store.reopen()
    got, said = drained(store)
    assert set(got) <= set(range(300))
    assert len(set(got) & set(WAITING)) + said <= len(WAITING)
    if killed and part:  # what was written last is in the write-ahead log
        assert set(range(220, 300)) <= set(got) <= set(WAITING)
    if not killed:
        assert (store.log.problem is None) == (part == 0.0)  # an empty file is a new one
    store.close()


@pytest.mark.parametrize("seed", [*range(20), 506, 642, 2230, 3555])  # the latter upset an earlier version
def test_random_damage_is_survived_and_nothing_wrong_is_believed(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    store = Store(tmp_path)
    filled(store, killed=chance.random() < 0.5)
    files = [path for path in store.directory.iterdir() if path.name.startswith("events.db")]
    for _ in range(chance.randint(1, 3)):
        file = chance.choice(files)
        at = chance.randrange(max(1, file.stat().st_size))
        overwrite(file, at, chance.randbytes(chance.choice([1, 4, 100, 512, 4096])))
    store.reopen()
    got, _ = drained(store)
    assert set(got) <= set(range(300))
    store.kept(5, first=300, filler=60)
    store.close()
    store.reopen()
    assert drained(store)[0] == list(range(300, 305))
    store.close()


def test_damage_that_shows_while_the_file_is_in_use(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.kept(10, filler=60)
    store.deliver(3)
    store.append(2, first=10, filler=60)
    monkeypatch.setattr(Database, "write", lambda *_, **__: (_ for _ in ()).throw(Damaged("malformed")))
    store.log.commit(reachable=True)
    monkeypatch.undo()
    assert "was damaged (malformed)" in str(store.log.problem)
    assert store.log.counts == Counts(produced=12, delivered=3, waiting=9)
    assert drained(store) == (list(range(3, 12)), 0)
    assert store.append() == [13]


def test_a_rejected_row_is_still_announced_after_damage(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.kept(10, filler=60)
    store.waiting()
    store.log.sent(4)
    store.log.rejected(4, "too_large")
    monkeypatch.setattr(Database, "write", lambda *_, **__: (_ for _ in ()).throw(Damaged("malformed")))
    store.log.commit(reachable=True)
    monkeypatch.undo()
    assert store.log.counts == Counts(produced=10, dropped=1, waiting=9)
    assert drained(store) == ([0, 1, 2, 4, 5, 6, 7, 8, 9], 1)
    store.kill()
    assert store.log.counts == Counts(produced=10, delivered=9, dropped=1)


@pytest.mark.parametrize("damage", ["UPDATE consumers SET delivered = 5", "DELETE FROM consumers"])
def test_without_the_cursor_everything_comes_again(store: Store, damage: str) -> None:
    filled(store, killed=False)
    with closing(sqlite3.connect(store.file, isolation_level=None)) as connection:
        connection.execute("PRAGMA secure_delete = ON").fetchall()
        connection.execute(damage)
    store.reopen()
    assert "was damaged" in str(store.log.problem)
    assert drained(store) == (list(range(300)), 0)


def test_announcements_are_rescued_too(store: Store) -> None:
    store.kept(10, filler=60)
    store.waiting()
    store.log.rejected(4, "too_large")
    store.close()
    overwrite(store.file, 0, bytes(100))
    store.reopen()
    assert store.log.counts == Counts(produced=10, dropped=1, waiting=9)
    assert drained(store) == ([0, 1, 2, 4, 5, 6, 7, 8, 9], 1)


def test_rows_without_their_dictionary_are_announced_by_the_rescue(store: Store) -> None:
    store.kept(1500)
    with closing(sqlite3.connect(store.file, isolation_level=None)) as connection:
        connection.execute("UPDATE streams SET dictionary = x'00' WHERE id = 2")
    store.close()
    overwrite(store.file, 0, bytes(100))
    store.reopen()
    assert store.log.counts == Counts(produced=1500, dropped=500, waiting=1000)
    (said,) = announced(store.waiting(2000))
    assert (said["first"], said["last"], said["count"], said["boot"]) == (None, None, 500, "boot-1")


@pytest.mark.parametrize("cut", [0, 1, 30])
def test_the_rescue_sees_what_sqlite_would_see(store: Store, tmp_path: Path, cut: int) -> None:
    """Newer pages in the write-ahead log count, those of an unfinished commit or of an earlier round do not."""
    store.kept(200, filler=60)
    store.log._opened()._connection.execute("PRAGMA wal_checkpoint").fetchall()
    store.deliver(50)
    store.kept(10, first=200, filler=60)
    store.crash()
    wal = store.file.with_name("events.db-wal")
    frames = bytes(wal.read_bytes())
    with closing(Pages(store.file)) as pages:
        valid = 32 + (PAGE + 24) * (max(pages._newer.values()) // (PAGE + 24) + 1)
    assert len(frames) > valid  # an earlier round lies behind
    wal.write_bytes(frames[: valid - cut] + bytes(cut) + frames[valid:])
    with closing(Pages(store.file)) as pages:
        found = [columns for _, columns in pages.records()]
    copy = tmp_path / "copy"
    shutil.copytree(store.directory, copy)
    with closing(sqlite3.connect(copy / "events.db")) as connection:
        cursor = list(connection.execute("SELECT * FROM consumers").fetchone())
        rows = [list(row) for row in connection.execute("SELECT * FROM events")]
    assert [columns[1:] for columns in found if len(columns) == 9] == [cursor[1:]]
    assert all([None, *row[1:]] in found for row in rows)
    store.reopen()


def journal(place: Path) -> Store:
    """A log that was killed after ten commits and the broker's acknowledgements, all of them in the journal."""
    store = Store(place)
    for first in range(0, 300, 30):
        store.kept(30, first=first, filler=60)
        if first < 90:
            store.deliver()
            store.log.commit(reachable=True, durable=False)
    store.crash()
    return store


@pytest.mark.parametrize("at", [0, 9, 17, 22, 30], ids=["magic", "page size", "salt", "other salt", "checksum"])
def test_a_flipped_bit_in_the_head_of_the_journal_loses_nothing(tmp_path: Path, at: int) -> None:
    store = journal(tmp_path)
    wal = store.file.with_name("events.db-wal")
    overwrite(wal, at, bytes([wal.read_bytes()[at] ^ 1]))
    store.reopen()
    assert "was damaged (in its journal" in str(store.log.problem)
    assert drained(store) == (list(range(90, 300)), 0)
    store.close()


@pytest.mark.parametrize("at", [0, 2, 6, 9, 14, 17, 21, 24, 40, 1000, 4000, 4100])
def test_a_flipped_bit_in_the_journal_loses_what_it_hits_and_nothing_behind(tmp_path: Path, at: int) -> None:
    """SQLite would end there, and lose every commit behind without a word."""
    whole = journal(tmp_path / "whole")
    wal = whole.file.with_name("events.db-wal")
    frames = len(read_journal(whole.file).seen)
    assert frames > 30
    for number in range(0, frames, 3):
        store = Store(tmp_path / str(number))
        store.close()
        shutil.copytree(whole.directory, store.directory, dirs_exist_ok=True)
        place = 32 + number * (PAGE + 24) + at
        overwrite(store.file.with_name(wal.name), place, bytes([wal.read_bytes()[place] ^ 16]))
        store.reopen()
        if store.log.problem is None:
            assert number > frames - 9, "not even the two last commits tell that it is damage"
        else:
            got, said = drained(store)
            assert said <= (2 if at == 24 else 1), "a page's kind takes the page along"
            assert len(set(got) & set(range(90, 300))) + said == 210
        store.close()


@pytest.mark.parametrize("lost", range(1, 9))
def test_the_end_of_a_journal_that_a_power_cut_has_torn_is_no_damage(tmp_path: Path, lost: int) -> None:
    """What was not synced is there in part, behind it what was left by an earlier life that had ended so as well."""
    store = journal(tmp_path)
    wal = store.file.with_name("events.db-wal")
    frames = read_journal(store.file).seen
    commits = [frame.at for frame in frames if frame.commits]
    (last,) = [frame for frame in frames if frame.at == commits[-2]]
    for frame in frames[frames.index(last) + 1 :][:lost]:
        overwrite(wal, frame.at + 512, b"\xff" * 512)
    store.reopen()
    assert store.log.problem is None
    got, said = drained(store)
    assert (got, said) == (list(range(90, 270)), 0)
    store.close()


def test_the_journal_is_looked_through_in_a_moment(tmp_path: Path) -> None:
    store = Store(tmp_path)
    while store.log._opened().wal_bytes < database.WAL_KEPT_BYTES * 0.9:
        store.kept(500, filler=400)
    begun_s = time.monotonic()
    assert read_journal(store.file).behind == ()
    assert time.monotonic() - begun_s < 1
    store.close()


def test_the_page_of_the_cursor_is_where_the_journal_looks_for_it(store: Store) -> None:
    store.close()
    with closing(sqlite3.connect(store.file)) as connection:
        (page,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'consumers'").fetchone()
    assert page == CURSOR_PAGE


def test_damage_that_shows_while_rows_are_read(store: Store) -> None:
    store.kept(300, filler=60)
    store.close()
    store.reopen()
    store.log._opened()._connection.execute("PRAGMA shrink_memory")
    for page in range(4, 7):
        overwrite(store.file, page * PAGE, bytes(PAGE))
    while not (stored := store.waiting()):  # it is mended on the way
        assert "was damaged" in str(store.log.problem)
    assert len(stored) < 300
    got, said = drained(store)
    assert 0 < said == 300 - len(got)
    assert store.log.counts == Counts(produced=300, delivered=len(got), dropped=said)


def test_a_row_with_a_flipped_bit_is_skipped_counted_and_announced(store: Store) -> None:
    store.kept(20)
    with closing(sqlite3.connect(store.file)) as connection:
        (payload,) = connection.execute("SELECT payload FROM events WHERE id = 8").fetchone()
        flipped = bytes([payload[0] ^ 4]) + payload[1:]
        connection.execute("UPDATE events SET payload = ? WHERE id = 8", (flipped,))
        connection.execute("UPDATE events SET payload = 'text' WHERE id = 9")
        connection.execute("DELETE FROM events WHERE id = 15")
        connection.commit()
    assert sequences(store.waiting(9)) == [0, 1, 2, 3, 4, 5, 6]
    assert sequences(store.waiting()) == [n for n in range(20) if n not in (7, 8, 14)]
    assert store.log.counts == Counts(produced=20, dropped=3, waiting=17)
    store.log.commit(reachable=False)
    said = announced(store.waiting())
    assert [(one["first"], one["last"], one["count"], one["reason"]) for one in said] == [(7, 8, 3, "unreadable")]
    assert store.log.problem is None
    store.kill()
    assert store.log.counts == Counts(produced=20, dropped=3, waiting=17)


def test_a_damaged_dictionary_takes_its_own_stream_only(store: Store) -> None:
    store.kept(1500)
    with closing(sqlite3.connect(store.file)) as connection:
        connection.execute("UPDATE streams SET dictionary = zeroblob(length(dictionary)) WHERE id = 1")
        connection.commit()
    assert sequences(store.waiting(2000)) == list(range(1000, 1500))
    store.log.commit(reachable=False)
    (said,) = announced(store.waiting())
    assert (said["first"], said["last"], said["count"], said["device"]) == (0, 999, 1000, DEVICE)


def test_whose_rows_were_is_not_guessed_from_a_damaged_stream(store: Store) -> None:
    store.kept(5)
    with closing(sqlite3.connect(store.file)) as connection:
        connection.execute("UPDATE streams SET device = 'a/#'")
        connection.commit()
    assert store.waiting() == []
    store.log.commit(reachable=False)
    (row,) = store.waiting()
    assert row.device == DEVICE
    (said,) = announced([row])
    assert (said["device"], said["boot"], said["first"], said["count"]) == (None, None, None, 5)
    assert store.log.counts == Counts(produced=5, dropped=5)


def several(store: Store, *devices: str) -> None:
    """Events of each of these devices in turn, committed."""
    for sequence in range(100):
        for device in devices:
            store.append(1, first=sequence, filler=60, device=device)
    store.log.commit(reachable=False)


@pytest.mark.parametrize(("devices", "named"), [(("one", "two"), (None, None)), (("one",), ("one", "boot-1"))])
def test_a_rescue_names_the_device_of_what_is_lost_only_where_it_can_be_no_other(
    store: Store, devices: tuple[str, ...], named: tuple[str | None, str | None]
) -> None:
    several(store, *devices)
    store.close()
    overwrite(store.file, store.file.stat().st_size - 2 * PAGE, bytes(2 * PAGE))
    store.reopen()
    lost = store.log.counts.dropped
    assert lost > 10
    assert f"{lost} events that waited are lost" in str(store.log.problem)
    stored = store.waiting()
    (said,) = announced(stored)
    assert (said["device"], said["boot"], said["count"]) == (*named, lost)
    parse_dropped(next(row.payload for row in stored if row.kind == DROPPED))


def test_a_log_that_is_taken_away_with_events_of_several_devices_is_announced(
    store: Store, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_log.logger, "propagate", True)
    several(store, "one", "two")
    for path in store.directory.iterdir():
        path.unlink()
    for _ in range(2):
        store.append(1, first=100, device="one")
        store.log.commit(reachable=True)
        store.clock.advance(RETRY_S)
    assert sequences(store.waiting()) == [100, 100]
    assert "200 events cannot be read from the log any more" in caplog.text
    store.log.commit(reachable=True)
    (said,) = announced(store.waiting())
    assert (said["device"], said["boot"], said["count"], said["reason"]) == (None, None, 200, "unreadable")
    store.kill()
    assert store.log.counts == Counts(produced=202, dropped=200, waiting=2)


def test_rows_that_are_gone_are_announced_for_their_device_if_it_can_be_no_other(store: Store) -> None:
    several(store, "one")
    store.close()
    store.reopen()
    several(store, "one", "two")
    with closing(sqlite3.connect(store.file)) as connection:
        connection.execute("DELETE FROM events WHERE id IN (50, 51, 200)")
        connection.commit()
    store.waiting()
    store.log.commit(reachable=False)
    said = [(one["device"], one["boot"], one["count"]) for one in announced(store.waiting())]
    assert said == [("one", "boot-1", 2), (None, None, 1)]


@pytest.mark.parametrize("step", range(8))
def test_a_rescue_may_be_interrupted_at_any_step(tmp_path: Path, step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    class PowerCutError(BaseException):
        pass

    store = Store(tmp_path)
    filled(store, killed=True, checkpoint=False)
    store.file.write_bytes(b"")
    left = step

    def cut(real):
        def maybe(*arguments, **options):
            nonlocal left
            left -= 1
            if left < 0:
                raise PowerCutError
            return real(*arguments, **options)

        return maybe

    with monkeypatch.context() as patch:
        for name in ("rename", "unlink"):
            patch.setattr(Path, name, cut(getattr(Path, name)))
        patch.setattr(rescue, "_sync", cut(rescue._sync))
        broken = EventLog(store.directory, boot="boot-x", clock=store.clock)
        with pytest.raises(PowerCutError):
            broken.open()
    store.reopen()
    assert drained(store) == (list(WAITING), 0)
    store.close()


def test_what_waits_is_rescued_even_if_there_is_no_room_for_history(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    filled(store, killed=False)
    overwrite(store.file, 0, bytes(100))
    fill = Draft.fill

    def narrow(self, table, rows):
        kept = list(rows)
        if table == "events" and len(kept) > len(WAITING):
            raise Unwritable("database or disk is full", full=True)
        fill(self, table, kept)

    monkeypatch.setattr(Draft, "fill", narrow)
    store.reopen()
    assert drained(store) == (list(WAITING), 0)
    assert store.log.counts == Counts(produced=300, delivered=300)
    store.close()


def test_rows_that_are_newer_than_the_cursor_wait_again(tmp_path: Path) -> None:
    """A power cut amid a checkpoint whose write-ahead log is then damaged: some pages are newer than others."""
    store = Store(tmp_path)
    store.kept(100, filler=60)
    store.close()
    with closing(sqlite3.connect(store.file)) as connection:
        (page,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'consumers'").fetchone()
    begin = (page - 1) * PAGE
    older = store.file.read_bytes()[begin : begin + PAGE]
    store.reopen()
    store.kept(20, first=100, filler=60)
    store.close()
    overwrite(store.file, begin, older)
    overwrite(store.file, 0, bytes(100))
    store.reopen()
    assert drained(store) == (list(range(120)), 0)
    assert store.log.counts == Counts(produced=120, delivered=120)
    assert store.append() == [121]
    store.close()


def test_a_rescue_that_takes_long_shows_that_it_goes_on(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.kept(3000)
    store.close()
    overwrite(store.file, 0, bytes(100))
    log = EventLog(store.directory, boot="boot-2", clock=store.clock)
    progress: list[int] = []
    log.on_progress = lambda: progress.append(1)
    log.open()
    assert len(progress) >= 3
    log.close()


def test_only_the_latest_damaged_file_is_kept(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for _ in range(3):
        filled(store, killed=False)
        overwrite(store.file, 0, bytes(100))
        store.clock.advance(3600)
        store.reopen()
    assert len(list(store.directory.glob("events.db.corrupt-*"))) == 1
    store.close()


def test_a_row_that_lies_over_several_pages_is_read_without_sqlite(tmp_path: Path) -> None:
    """The rescue's own reader of SQLite's format agrees with SQLite."""
    file = tmp_path / "x.db"
    chance = random.Random(1)
    rows = [
        (number, chance.randbytes(size), "x" * size, -number, number * 1.5, None)
        for number, size in enumerate([1, 100, 4000, 4061, 4062, 9000, 100_000], 1)
    ]
    rows.append((-(1 << 63), b"", "", 1 << 62, float("inf"), None))
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA page_size = 4096")
        connection.execute("CREATE TABLE x(id INTEGER PRIMARY KEY, a, b, c, d, e)")
        connection.executemany("INSERT INTO x VALUES (?, ?, ?, ?, ?, ?)", rows)
        connection.commit()
    with closing(Pages(file)) as read:
        found = {(row_id, *columns[1:]) for row_id, columns in read.records() if len(columns) == 6}
    assert found == set(rows)


def test_no_damage_of_a_page_upsets_the_reader_of_pages(tmp_path: Path) -> None:
    store = Store(tmp_path)
    filled(store, killed=True)
    whole = {path.name: path.read_bytes() for path in store.directory.glob("events.db*")}
    chance = random.Random(1)
    for _ in range(60):
        for name, content in whole.items():
            damaged = bytearray(content)
            for _ in range(30):
                begin = chance.randrange(len(damaged) // PAGE) * PAGE  # heads of pages and rows, above all
                damaged[begin + chance.choice([0, 3, 4, 8, 9, chance.randrange(PAGE)])] = chance.randrange(256)
            (store.directory / name).write_bytes(damaged)
        with closing(Pages(store.file)) as pages:
            assert len(list(pages.records())) < 10_000
    store.reopen()
    drained(store)
    store.close()


# --- newer versions


@pytest.mark.parametrize("killed", [False, True], ids=["closed", "killed"])
def test_a_log_of_a_newer_version_is_refused_and_left_alone(tmp_path: Path, killed: bool) -> None:
    store = Store(tmp_path)
    filled(store, killed=killed)
    writer = sqlite3.connect(store.file)
    writer.execute("PRAGMA user_version = 2")
    if killed:  # it stands in the write-ahead log only
        copy = tmp_path / "copy"
        shutil.copytree(store.directory, copy, ignore=shutil.ignore_patterns("*-shm"))
        writer.close()
        store.directory = copy
    else:
        writer.close()
    before = {path.name: path.read_bytes() for path in store.directory.iterdir() if not path.name.endswith("-shm")}
    assert ("events.db-wal" in before) == killed
    log = EventLog(store.directory, boot="boot-x", clock=store.clock)
    with pytest.raises(UsageError, match="newer ampedge") as caught:
        log.open()
    assert "state_dir" in caught.value.remedy
    after = {path.name: path.read_bytes() for path in store.directory.iterdir() if not path.name.endswith("-shm")}
    assert after == before


# --- full disks


def limit_pages(store: Store, count: int) -> None:
    """SQLite then says that the disk is full, as it does when the system says so."""
    store.log._opened()._connection.execute(f"PRAGMA max_page_count = {count}")


def test_on_a_full_disk_delivered_history_gives_way(store: Store) -> None:
    for first in range(0, 3000, 500):
        store.kept(500, first=first, filler=200)
        store.deliver()
    store.log.commit(reachable=True)
    limit_pages(store, pages(store))
    for first in range(3000, 4500, 300):
        store.kept(300, first=first, filler=200)
        assert store.log.problem is None
    assert store.log.counts == Counts(produced=4500, delivered=3000, waiting=1500)
    store.kill()
    assert sequences(store.waiting()) == list(range(3000, 4500))


def test_on_a_full_disk_the_reserve_is_given_up_and_taken_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    reserve = store.directory / "events.db.reserve"
    store.kept(50)
    assert reserve.stat().st_size == reserve.stat().st_blocks * 512 == RESERVE_BYTES
    write, times = Database.write, 0

    def full_once(self, batch, limits, *, durable):
        nonlocal times
        times += 1
        if times == 1:
            raise Unwritable("database or disk is full", full=True)
        return write(self, batch, limits, durable=durable)

    monkeypatch.setattr(Database, "write", full_once)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=RESERVE_BYTES))
    store.kept(1, first=50)
    assert (times, store.log.problem) == (2, None)
    assert not reserve.exists()
    store.kept(1, first=51)
    assert not reserve.exists()  # there is still too little
    monkeypatch.undo()
    store.kept(1, first=52)
    assert reserve.exists()


def test_a_disk_that_has_no_room_for_the_reserve_goes_without(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    store.kept(1)
    assert store.log.problem is None
    assert not (store.directory / "events.db.reserve").exists()


def test_on_a_full_disk_without_history_events_stay_in_memory_until_there_is_room(store: Store) -> None:
    store.kept(300, filler=200)
    limit_pages(store, pages(store))
    store.append(300, first=300, filler=200)
    store.log.commit(reachable=False)
    assert "full" in str(store.log.problem)
    assert store.log.due_s() == store.clock.monotonic() + RETRY_S
    assert sequences(store.waiting()) == list(range(600))  # the rows on disk can still be read
    store.append(1, first=600)
    store.clock.advance(RETRY_S)
    store.log.commit(reachable=False)
    assert "full" in str(store.log.problem)
    limit_pages(store, 100_000)
    store.clock.advance(RETRY_S)
    store.log.commit(reachable=False)
    assert store.log.problem is None
    store.kill()
    assert sequences(store.waiting()) == list(range(601))
    assert store.log.counts == Counts(produced=601, waiting=601)


def test_events_that_no_longer_fit_the_memory_are_dropped_counted_and_announced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    store.log._ledger._memory_bytes = 100_000
    store.kept(50, filler=200)
    limit_pages(store, pages(store))
    for first in range(50, 2050, 100):
        store.append(100, first=first, filler=200)
        store.clock.advance(RETRY_S)
        store.log.commit(reachable=False)
    counts = store.log.counts
    assert counts.produced == 2050 == counts.dropped + counts.waiting
    assert counts.dropped > 1500
    limit_pages(store, 100_000)
    store.clock.advance(RETRY_S)
    store.log.commit(reachable=False)
    stored = store.waiting()
    (said,) = announced(stored)
    assert (said["reason"], said["count"], said["first"]) == ("memory_full", counts.dropped, 50)
    assert sequences([row for row in stored if row.kind != DROPPED]) == [
        *range(50),
        *range(50 + counts.dropped, 2050),
    ]
    store.kill()
    assert store.log.counts == counts
    store.close()


FULL_DISK = """
import json, resource, sys
from pathlib import Path
from ampedge.clock import FakeClock
from ampedge.store.event_log import EventLog

clock = FakeClock()
log = EventLog(Path(sys.argv[1]), boot="boot-1", clock=clock)
log.open()
sequence = 0

def kept(count):
    global sequence
    for _ in range(count):
        log.append("amplifier", sequence, clock.time(), json.dumps({"sequence": sequence, "x": "y" * 50}).encode())
        sequence += 1
    clock.advance(5)
    log.commit(reachable=False)
    return log.problem

def limit(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

said = [kept(100)]
limit(100_000)
said += [kept(200), kept(200), kept(200)]
limit(resource.RLIM_INFINITY)
said += [kept(1)]
clock.advance(2)
waiting = [json.loads(row.payload)["sequence"] for row in log.waiting(10_000)]
print(json.dumps([said, waiting, log.counts.waiting]))
"""


def test_a_file_that_may_not_grow_is_a_full_disk(tmp_path: Path) -> None:
    """A disk that fails when it is written to, and not when SQLite asks for room."""
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path)], capture_output=True, text=True, check=True, timeout=60
    )
    said, waiting, count = json.loads(done.stdout)
    assert said[0] is None
    assert "cannot be used now" in said[3]
    assert said[4] is None
    assert waiting == list(range(701))
    assert count == 701


# --- read-only, locked, gone


def test_a_disk_that_turns_read_only_and_back(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.kept(3)
    connect = sqlite3.connect
    with monkeypatch.context() as patch:
        patch.setattr(sqlite3, "connect", lambda path, **options: connect(f"{path.as_uri()}?mode=ro", uri=True))
        store.log._close_file()
        store.append(2, first=3)
        store.log.commit(reachable=True)
        assert "readonly" in str(store.log.problem)
        store.clock.advance(RETRY_S)
        store.log.commit(reachable=True)
        assert "readonly" in str(store.log.problem)
        store.append(1, first=5)
    store.log.commit(reachable=True)
    assert store.log.problem is not None  # not yet tried again
    store.clock.advance(RETRY_S)
    store.log.commit(reachable=True)
    assert store.log.problem is None
    store.kill()
    assert sequences(store.waiting()) == list(range(6))


def test_a_log_that_cannot_be_opened_at_the_start_is_opened_later(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    store.kept(3)
    store.close()
    hidden = tmp_path / "hidden"
    store.directory.rename(hidden)
    store.directory.write_text("in the way")
    log = EventLog(store.directory, boot="boot-2", clock=store.clock)
    log.open()
    assert "cannot be used now" in str(log.problem)
    early = log.append(DEVICE, 0, store.clock.time(), event(0, boot="boot-2"))
    store.clock.advance(RETRY_S)
    log.commit(reachable=False)
    assert "cannot be used now" in str(log.problem)
    assert [row.id for row in log.waiting(10)] == [early]  # the broker may get it all the same
    store.directory.unlink()
    hidden.rename(store.directory)
    store.clock.advance(RETRY_S)
    log.commit(reachable=False)
    assert log.problem is None
    assert sequences(log.waiting(10)) == [0, 1, 2, 0]
    assert log.counts == Counts(produced=4, waiting=4)
    log.close()


def test_another_program_that_locks_the_file_delays_a_commit_and_nothing_else(store: Store) -> None:
    store.kept(2)
    with closing(sqlite3.connect(store.file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        store.append(2, first=2)
        begun_s = time.monotonic()
        store.log.commit(reachable=True)
        assert time.monotonic() - begun_s < 2
        assert "locked" in str(store.log.problem)
        assert sequences(store.waiting()) == [0, 1, 2, 3]
        other.execute("ROLLBACK")
    store.clock.advance(RETRY_S)
    store.log.commit(reachable=True)
    assert store.log.problem is None
    store.kill()
    assert sequences(store.waiting()) == [0, 1, 2, 3]


def test_a_file_that_is_taken_away_is_made_anew(store: Store) -> None:
    store.kept(3)
    store.file.unlink()
    store.append(2, first=3)
    store.log.commit(reachable=True)
    assert store.log.problem is not None
    store.clock.advance(RETRY_S)
    store.log.commit(reachable=True)
    assert "was damaged" in str(store.log.problem)
    assert sequences(store.waiting()) == [0, 1, 2, 3, 4]  # the write-ahead log is still there
    for path in store.directory.iterdir():
        path.unlink()
    store.append(1, first=5)
    store.log.commit(reachable=True)
    store.clock.advance(RETRY_S)
    store.log.commit(reachable=True)
    assert sequences(store.waiting()) == [5]
    assert store.log.counts == Counts(produced=6, dropped=5, waiting=1)
    store.log.commit(reachable=True)
    store.kill()
    assert store.log.counts == Counts(produced=6, dropped=5, waiting=1)


def test_a_log_that_another_service_has_written_to_meanwhile_is_left_to_it(store: Store) -> None:
    """Its ids are not ours: what waits here would take the place of what waits there."""
    store.kept(3)
    for path in store.directory.iterdir():
        path.unlink()
    other = EventLog(store.directory, boot="boot-2", clock=store.clock)
    other.open()
    other.append(DEVICE, 0, store.clock.time(), event(0, boot="boot-2"))
    other.close()
    store.append(2, first=3)
    for _ in range(3):
        store.clock.advance(RETRY_S)
        store.log.commit(reachable=True)
        assert store.log.problem is not None
    assert "another service has written to it: restart this one" in str(store.log.problem)
    assert sequences(store.waiting()) == [3, 4]
    assert store.log.unwritten == 2
    other = EventLog(store.directory, boot="boot-3", clock=store.clock)
    other.open()
    assert [json.loads(row.payload)["boot"] for row in other.waiting(10)] == ["boot-2"]
    other.close()


def test_rows_that_cannot_be_read_now_are_read_later(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.kept(3)
    store.append(1, first=3)
    with monkeypatch.context() as patch:
        patch.setattr(Database, "read", lambda *_: (_ for _ in ()).throw(Unwritable("disk I/O error")))
        assert sequences(store.waiting()) == [3]
        assert "disk I/O error" in str(store.log.problem)
        assert store.log.counts == Counts(produced=4, waiting=4)
    store.clock.advance(RETRY_S)
    store.log.commit(reachable=True)
    assert store.log.problem is None
    assert sequences(store.waiting()) == [0, 1, 2, 3]


def test_a_commit_that_failed_begins_new_streams(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stream that it had begun is not on disk, and rows that refer to it could never be read."""
    with closing(sqlite3.connect(store.file, isolation_level=None)) as other:
        other.execute("CREATE TRIGGER broken BEFORE INSERT ON consumers BEGIN SELECT RAISE(ABORT, 'no'); END")
        store.kept(3)
        assert "no" in str(store.log.problem)
        other.execute("DROP TRIGGER broken")
    store.clock.advance(RETRY_S)
    store.log.commit(reachable=False)
    assert store.log.problem is None
    assert sequences(store.waiting()) == [0, 1, 2]


# --- readers


def test_a_program_that_reads_for_long_does_not_let_the_log_grow_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_log, "WAL_BYTES", 300_000)
    monkeypatch.setattr(database, "WAL_KEPT_BYTES", 100_000)
    monkeypatch.setattr(database, "CHECKPOINT_PAGES", 20)
    store = Store(tmp_path)
    store.kept(2000)
    with closing(sqlite3.connect(store.file, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM events").fetchone()
        for _ in range(100):
            for row in store.waiting(min(20, store.log.may_replay())):
                store.log.sent(row.id)
                store.log.acknowledged(row.id)
            store.log.commit(reachable=True, durable=False)
        assert store.log._opened().wal_bytes < 400_000
        assert "reading" in str(store.log.problem)
        assert store.log.counts == Counts(produced=2000, delivered=2000)
        store.append(1, first=2000)
        store.log.commit(reachable=True)  # what must be written is written
        reader.execute("ROLLBACK")
    store.log.commit(reachable=True)
    store.append(1, first=2001)
    store.log.commit(reachable=True)
    store.append(1, first=2002)
    store.log.commit(reachable=True)
    assert store.log.problem is None
    assert store.log._opened().wal_bytes <= 100_000
    store.kill()
    assert sequences(store.waiting()) == [2000, 2001, 2002]
    store.close()


def test_streams_are_kept_as_long_as_an_announcement_in_an_old_place_may_mislead(store: Store) -> None:
    """An announcement takes the place of an old row, but its stream is as new as it is."""
    store.kept(100)
    store.close()
    store.reopen()
    store.deliver(49)
    store.waiting(1)
    store.log.rejected(50, "too_large")
    store.log.commit(reachable=False)
    store.deliver(1)
    store.log.limit(commit_s=60, max_bytes=1_000_000, keep_s=10)
    store.clock.advance(20)
    store.kept(1, first=100)
    store.kill()
    assert sequences(store.waiting()) == list(range(50, 101))
