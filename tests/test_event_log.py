"""The event log: what it accepts is delivered or counted, over restarts and kills too."""

import json
import logging
import queue
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ampedge.clock import FakeClock, SystemClock
from ampedge.records import DROPPED, EVENT
from ampedge.store import retention
from ampedge.store.database import Database
from ampedge.store.event_log import Counts, EventLog
from ampedge.store.ledger import LIVE_S, MAX_EXPOSED, Ledger
from ampedge.store.rows import Row
from ampedge.store.trouble import Unwritable
from ampedge.wire import rfc3339
from tests.support.store import DEVICE, Store, announced, event, sequences
from tests.support.waiting import wait_until


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path)
    yield store
    store.close()


# --- accepted, delivered, counted


def test_what_is_committed_waits_in_order_byte_for_byte(store: Store) -> None:
    ids = store.kept(5)
    assert ids == [1, 2, 3, 4, 5]
    stored = store.waiting()
    assert [(row.id, row.kind, row.device) for row in stored] == [(number, EVENT, DEVICE) for number in ids]
    assert [row.payload for row in stored] == [event(number) for number in range(5)]
    assert store.log.counts == Counts(produced=5, waiting=5)
    assert store.log.problem is None


def test_since_when_the_oldest_waits_is_known_also_when_it_is_on_disk(store: Store) -> None:
    assert store.log.oldest_s is None
    begun_s = store.clock.monotonic()
    (row_id,) = store.append()
    store.clock.advance(20)
    store.log.commit(reachable=False)
    store.clock.advance(30)
    assert store.log.oldest_s == begun_s
    store.log.sent(row_id)
    store.log.acknowledged(row_id)
    store.log.commit(reachable=True)
    begun_s = store.clock.monotonic()
    store.append(first=1)
    store.log.commit(reachable=False)
    store.clock.advance(30)
    assert store.log.oldest_s == begun_s


def test_rows_in_memory_wait_like_those_on_disk(store: Store) -> None:
    store.kept(3)
    store.append(3, first=3)
    assert sequences(store.waiting()) == [0, 1, 2, 3, 4, 5]
    assert sequences(store.waiting(4)) == [0, 1, 2, 3]


def test_a_live_row_belongs_to_its_maker_for_a_moment(store: Store) -> None:
    (row_id,) = store.append()
    store.clock.advance(LIVE_S * 0.9)
    assert store.log.waiting(10) == []
    store.log.sent(row_id)
    store.clock.advance(LIVE_S)
    assert store.log.waiting(10) == []  # on its way
    store.log.returned([row_id])
    assert [row.id for row in store.log.waiting(10)] == [row_id]


def test_what_is_held_lets_the_others_pass_until_its_topic_is_released(store: Store) -> None:
    ids = store.kept(8)
    for row_id in ids[:3] + ids[5:6]:
        store.log.held(row_id, "a")
    store.log.held(ids[3], "b")
    assert [row.id for row in store.waiting(2)] == [ids[4], ids[6]]
    assert store.log.counts.waiting == 8
    assert store.log.released("a", all_of_it=False)
    assert [row.id for row in store.waiting(2)] == [ids[0], ids[4]]
    assert not store.log.released("a", all_of_it=True)
    assert [row.id for row in store.waiting(9)] == ids[:3] + ids[4:]
    assert not store.log.released("b", all_of_it=False), "that was the last one"
    assert [row.id for row in store.waiting(9)] == ids


def test_what_is_dropped_while_it_is_held_is_announced_nevertheless(tmp_path: Path) -> None:
    store = Store(tmp_path, max_bytes=200_000)
    for begin in range(0, 1000, 50):
        for row_id in store.append(50, first=begin, filler=500):
            store.log.held(row_id, "a")
        store.clock.advance(60)
        store.log.commit(reachable=False)
    dropped = store.log.counts.dropped
    assert dropped > 100
    assert [said["count"] for said in announced(store.waiting())] == [dropped]
    assert store.log.released("a", all_of_it=False)
    assert sequences(store.waiting()[1:]) == [dropped], "the oldest that is left"
    store.close()


def test_many_that_are_held_between_others_hold_nothing_up() -> None:
    ledger = Ledger()
    for row_id in range(1, 100_001):
        ledger.append(Row(row_id, EVENT, DEVICE, "boot", row_id, 0.0, b"", 0.0))
        if row_id % 2:
            ledger.held(row_id, "a")
        else:
            ledger.acknowledged(row_id)
        if row_id % 20 == 0:
            assert list(ledger.next_waiting(5, now_s=LIVE_S, on_disk=True)) == []
    assert len(list(ledger._held["a"].pairs())) == 1
    assert ledger.released("a", all_of_it=False)
    assert list(ledger.next_waiting(5, now_s=LIVE_S, on_disk=True)) == [1]


def test_a_live_row_belongs_to_its_maker_though_it_is_committed_meanwhile(store: Store) -> None:
    store.append()
    store.log.commit(reachable=True)
    assert store.log.waiting(10) == []
    store.clock.advance(LIVE_S)
    assert sequences(store.log.waiting(10)) == [0]


def test_acknowledged_rows_do_not_come_again(store: Store) -> None:
    ids = store.kept(4)
    for number in ids[1:3]:
        store.log.sent(number)
        store.log.acknowledged(number)
    store.log.acknowledged(ids[1])  # twice: counted once
    store.log.acknowledged(999)  # never heard of
    assert sequences(store.waiting()) == [0, 3]
    assert store.log.counts == Counts(produced=4, delivered=2, waiting=2)
    store.close()
    store.reopen()
    assert sequences(store.waiting()) == [0, 3]
    assert store.log.counts == Counts(produced=4, delivered=2, waiting=2)


def test_ids_go_on_over_the_whole_life_of_the_log(store: Store) -> None:
    store.kept(3)
    store.deliver()
    store.close()
    store.reopen()
    assert store.append(2) == [4, 5]


def test_events_that_come_before_the_file_is_open_lie_behind_what_it_holds(store: Store) -> None:
    store.kept(3)
    store.close()
    early = EventLog(store.directory, boot="boot-2", clock=store.clock)
    first = early.append(DEVICE, 0, store.clock.time(), event(0, boot="boot-2"))
    assert early.waiting(10) == []
    early.open()
    second = early.append(DEVICE, 1, store.clock.time(), event(1, boot="boot-2"))
    assert second == first + 1
    store.clock.advance(2)
    stored = early.waiting(10)
    assert sequences(stored) == [0, 1, 2, 0, 1]
    assert [row.id for row in stored][3:] == [first, second]
    for row in stored[:4]:
        early.sent(row.id)
        early.acknowledged(row.id)
    early.close()
    store.reopen()
    assert sequences(store.waiting()) == [1]
    assert store.log.counts == Counts(produced=5, delivered=4, waiting=1)
    assert store.append() == [6]


def test_what_a_kill_takes_was_neither_accepted_nor_counted(store: Store) -> None:
    store.kept(3)
    (live, _) = store.append(2, first=3)
    store.log.sent(live)
    store.log.acknowledged(live)
    store.kill()
    assert sequences(store.waiting()) == [0, 1, 2]
    assert store.log.counts == Counts(produced=3, waiting=3)


def test_a_row_that_is_rejected_is_announced_in_its_place(store: Store) -> None:
    first, second, third = store.kept(3)
    store.append(1, first=3)
    assert len(store.waiting()) == 4
    store.log.sent(second)
    store.log.rejected(second, "too_large")
    assert store.log.counts == Counts(produced=4, dropped=1, waiting=3)
    assert [row.id for row in store.waiting()] == [first, third, 4]  # it is said when it is on disk
    store.log.commit(reachable=True)
    stored = store.waiting()
    assert [(row.id, row.kind) for row in stored] == [(first, EVENT), (second, DROPPED), (third, EVENT), (4, EVENT)]
    assert announced(stored) == [
        {
            "schema": 1,
            "device": DEVICE,
            "boot": "boot-1",
            "first": 1,
            "last": 1,
            "count": 1,
            "reason": "too_large",
            "time": rfc3339(store.clock.time() - 3.0),
        }
    ]
    store.log.acknowledged(second)
    assert store.log.counts == Counts(produced=4, dropped=1, waiting=3)  # an announcement is no event


def test_an_announcement_that_is_rejected_is_gone_and_nothing_else(store: Store) -> None:
    first, second = store.kept(2)
    store.log.rejected(first, "too_large")
    store.log.commit(reachable=True)
    (said, _) = store.waiting()
    store.log.sent(said.id)
    store.log.rejected(said.id, "not_allowed")
    assert [row.id for row in store.waiting()] == [second]
    assert store.log.counts == Counts(produced=2, dropped=1, waiting=1)


def test_drops_are_announced_together_until_the_announcement_is_on_its_way(store: Store) -> None:
    ids = store.append(6)
    for number in ids[:3]:
        store.log.rejected(number, "too_large")
    store.log.commit(reachable=False)
    stored = store.waiting()
    (said,) = announced(stored)
    assert (said["first"], said["last"], said["count"]) == (0, 2, 3)
    assert [row.id for row in stored] == [3, 4, 5, 6]
    store.log.rejected(ids[4], "too_large")
    store.log.commit(reachable=False)
    assert [(said["first"], said["last"], said["count"]) for said in announced(store.waiting())] == [
        (0, 2, 3),
        (4, 4, 1),
    ]
    assert store.log.counts == Counts(produced=6, dropped=4, waiting=2)


# --- when a commit is due


def test_a_commit_is_due_after_commit_s_while_the_broker_acknowledges(store: Store) -> None:
    store.log.commit(reachable=True)
    begun_s = store.clock.monotonic()
    for second in range(50):
        (row_id,) = store.append(1, first=second)
        store.log.sent(row_id)
        store.log.acknowledged(row_id)
        store.clock.advance(1)
        assert store.log.due_s() == begun_s + 60


def test_a_commit_is_due_within_five_seconds_for_what_the_broker_does_not_take(store: Store) -> None:
    store.log.commit(reachable=True)
    store.clock.advance(20)
    store.append()
    assert store.log.due_s() == store.clock.monotonic() + 5
    store.log.commit(reachable=False)
    assert store.log.due_s() == store.clock.monotonic() + 5


def test_a_shorter_commit_s_holds_without_a_broker_too(tmp_path: Path) -> None:
    store = Store(tmp_path, commit_s=2.0)
    store.log.commit(reachable=False)
    assert store.log.due_s() == store.clock.monotonic() + 2
    store.close()


@pytest.mark.parametrize(("count", "filler"), [(1001, 0), (100, 12_000)])
def test_much_is_written_before_its_time(store: Store, count: int, filler: int) -> None:
    store.log.commit(reachable=True)
    for row_id in store.append(count, filler=filler):
        store.log.sent(row_id)
        store.log.acknowledged(row_id)
    store.clock.advance(0.5)  # not more often than that
    assert store.log.due_s() == store.clock.monotonic()
    store.log.commit(reachable=True)
    assert store.log.due_s() == store.clock.monotonic() + 60


def test_without_anything_new_nothing_is_written(store: Store) -> None:
    store.kept(2)
    before = [path.stat().st_mtime_ns for path in sorted(store.directory.iterdir()) if not path.name.endswith("shm")]
    store.log.commit(reachable=True)
    after = [path.stat().st_mtime_ns for path in sorted(store.directory.iterdir()) if not path.name.endswith("shm")]
    assert before == after


# --- kills and duplicates


def test_after_a_kill_no_more_than_the_exposed_rows_come_twice(store: Store) -> None:
    store.kept(200)
    received = []
    while (room := store.log.may_replay()) > 0:
        for row in store.waiting(min(7, room)):
            store.log.sent(row.id)
            store.log.acknowledged(row.id)
            received.append(row.id)
    assert len(received) == MAX_EXPOSED
    store.kill()
    assert len(set(received) & {row.id for row in store.waiting()}) == MAX_EXPOSED


def test_a_commit_of_the_cursor_makes_room_for_more_replays(store: Store) -> None:
    store.kept(50)
    store.append(5, first=50)
    for row in store.waiting(20):
        store.log.sent(row.id)
        store.log.acknowledged(row.id)
    assert store.log.may_replay() == 0
    store.log.commit(reachable=True, durable=False)
    assert store.log.may_replay() == MAX_EXPOSED
    store.kill()
    assert sequences(store.waiting()) == list(range(20, 50))  # only the cursor was written
    assert store.log.counts == Counts(produced=50, delivered=20, waiting=30)


def test_live_rows_are_never_duplicates_before_they_are_committed(store: Store) -> None:
    for number in store.append(40):
        store.log.sent(number)
        store.log.acknowledged(number)
    assert store.log.may_replay() == MAX_EXPOSED
    store.kill()
    assert store.waiting() == []


def test_rows_on_their_way_are_committed_only_as_far_as_a_kill_may_send_them_twice(store: Store) -> None:
    replayed = store.kept(10)
    store.waiting()
    for number in replayed:
        store.log.sent(number)
    live = store.append(15, first=10)
    for number in live[:12]:
        store.log.sent(number)
    store.log.commit(reachable=True)
    for number in live[12:]:  # published while the commit was running
        store.log.sent(number)
    assert store.log.may_replay() == 0
    store.kill()
    assert len(store.waiting()) == MAX_EXPOSED


def test_acknowledgements_during_a_commit_count_as_exposed_until_the_next(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = store.append(6)
    for number in ids:
        store.log.sent(number)
    write = Database.write

    def while_writing(self, batch, limits, *, durable):
        for number in ids[:4]:
            store.log.acknowledged(number)
        return write(self, batch, limits, durable=durable)

    monkeypatch.setattr(Database, "write", while_writing)
    store.log.commit(reachable=True)
    monkeypatch.undo()
    assert store.log.may_replay() == MAX_EXPOSED - 6
    assert store.log.counts == Counts(produced=6, delivered=4, waiting=2)
    store.log.commit(reachable=True, durable=False)
    assert store.log.may_replay() == MAX_EXPOSED - 2
    store.kill()
    assert sequences(store.waiting()) == [4, 5]
    assert store.log.counts == Counts(produced=6, delivered=4, waiting=2)


# --- slow disks


def test_a_slow_commit_blocks_nobody(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = store.append(3)
    begun, go_on = threading.Event(), threading.Event()
    write = Database.write

    def slow(self, batch, limits, *, durable):
        begun.set()
        assert go_on.wait(20)
        return write(self, batch, limits, durable=durable)

    monkeypatch.setattr(Database, "write", slow)
    thread = threading.Thread(target=store.log.commit, kwargs={"reachable": True})
    thread.start()
    try:
        assert begun.wait(20)
        more = store.append(2, first=3)
        store.log.sent(ids[0])
        store.log.acknowledged(ids[0])
        store.log.sent(more[0])
        store.log.returned(more)
        store.log.rejected(more[1], "too_large")
        assert store.log.counts == Counts(produced=5, delivered=1, dropped=1, waiting=3)
        assert store.log.problem is None
        assert store.log.due_s() > 0
        assert store.log.may_replay() == MAX_EXPOSED
        assert thread.is_alive()
    finally:
        go_on.set()
        thread.join(20)
    store.log.commit(reachable=False)
    store.kill()
    assert [row.kind for row in store.waiting()] == [EVENT, EVENT, EVENT, DROPPED]


def test_the_thread_that_commits_may_be_another_one_after_a_crash_of_it(store: Store) -> None:
    store.kept(1)
    thread = threading.Thread(target=store.kept, args=(1,), kwargs={"first": 1})
    thread.start()
    thread.join(20)
    assert store.log.problem is None
    assert sequences(store.waiting()) == [0, 1]


def test_many_threads_at_once(tmp_path: Path) -> None:
    """Pollers append and publish, the broker acknowledges or the connection breaks, one thread commits and replays."""
    log = EventLog(tmp_path, boot="boot-1", clock=SystemClock(), commit_s=0.01)
    log.open()
    on_way: queue.SimpleQueue[int | None] = queue.SimpleQueue()
    got: list[int] = []
    ready = threading.Event()

    def poll(device: str) -> None:
        for sequence in range(400):
            row_id = log.append(device, sequence, 0.0, event(sequence, device=device))
            if sequence % 7:
                log.sent(row_id)
                on_way.put(row_id)

    def acknowledge() -> None:
        while (row_id := on_way.get()) is not None:
            if row_id % 11:
                log.acknowledged(row_id)
                got.append(row_id)
            else:
                log.returned([row_id])

    def commit() -> None:
        while not ready.is_set():
            log.commit(reachable=True)
            for row in log.waiting(log.may_replay()):
                log.sent(row.id)
                log.acknowledged(row.id)
                got.append(row.id)
            log.commit(reachable=True, durable=False)

    pollers = [threading.Thread(target=poll, args=(f"device-{number}",)) for number in range(4)]
    broker, writer = threading.Thread(target=acknowledge), threading.Thread(target=commit)
    for thread in (*pollers, broker, writer):
        thread.start()
    for thread in pollers:
        thread.join(60)
    on_way.put(None)
    broker.join(60)
    wait_until(lambda: log.counts.waiting == 0, what="everything to be delivered", timeout_s=60)
    ready.set()
    writer.join(60)
    assert sorted(got) == sorted(set(got)) == list(range(1, 1601))
    assert log.counts == Counts(produced=1600, delivered=1600)
    log.close()
    log = EventLog(tmp_path, boot="boot-2", clock=SystemClock())
    log.open()
    assert log.counts == Counts(produced=1600, delivered=1600)
    log.close()


# --- limits


def used(store: Store) -> int:
    """Bytes of the pages that hold something."""
    with sqlite3.connect(store.file) as connection:
        pages, free = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count"))
    connection.close()
    return (pages - free) * 4096


def test_a_full_log_drops_delivered_history_first(tmp_path: Path) -> None:
    store = Store(tmp_path, max_bytes=400_000)
    store.kept(600, filler=300)
    store.deliver()
    for first in range(600, 1600, 100):
        store.kept(100, first=first, filler=300)
        store.clock.advance(5)
    assert store.log.counts == Counts(produced=1600, delivered=600, waiting=1000)
    assert used(store) <= 400_000
    store.close()


def test_a_full_log_then_drops_the_oldest_that_wait_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("ampedge"), "propagate", True)
    store = Store(tmp_path, max_bytes=300_000)
    for first in range(0, 3000, 100):
        store.kept(100, first=first, filler=300)
        store.clock.advance(5)
        assert used(store) <= 300_000
    counts = store.log.counts
    assert counts.produced == 3000 == counts.dropped + counts.waiting
    assert counts.dropped > 1500
    assert "The event log is full" in caplog.text
    stored = store.waiting()
    (said,) = announced(stored)
    assert (said["first"], said["last"], said["count"]) == (0, counts.dropped - 1, counts.dropped)
    assert (said["device"], said["boot"], said["reason"]) == (DEVICE, "boot-1", "log_full")
    assert stored[0].kind == DROPPED  # in the place of what is gone
    assert sequences(stored[1:]) == list(range(counts.dropped, 3000))
    store.kill()
    assert store.log.counts == counts
    assert announced(store.waiting()) == [said]
    store.close()


def test_announcements_name_each_device_and_start(tmp_path: Path) -> None:
    store = Store(tmp_path, max_bytes=200_000)
    for _ in range(2):
        for first in range(0, 500, 50):
            for device in ("left", "right"):
                store.append(50, first=first, filler=400, device=device)
            store.log.commit(reachable=False)
            store.clock.advance(5)
        store.close()
        store.reopen()
    said = announced(store.waiting())
    assert sum(one["count"] for one in said) == store.log.counts.dropped > 0
    by_origin: dict[tuple[str, str], set[int]] = {}
    for one in said:
        covered = set(range(one["first"], one["last"] + 1))
        assert len(covered) == one["count"]
        assert not covered & by_origin.setdefault((one["device"], one["boot"]), set())
        by_origin[one["device"], one["boot"]] |= covered
    assert set(by_origin) == {("left", "boot-1"), ("right", "boot-1"), ("left", "boot-2"), ("right", "boot-2")}
    for row in store.waiting():
        if row.kind == EVENT:
            plain = json.loads(row.payload)
            assert plain["sequence"] not in by_origin[plain["device"], plain["boot"]]
    store.close()


def test_announcements_are_never_dropped_for_room(tmp_path: Path) -> None:
    store = Store(tmp_path, max_bytes=150_000)
    for number in store.kept(3):
        store.log.rejected(number, f"reason {number}")
    for first in range(3, 1003, 100):
        store.kept(100, first=first, filler=300)
        store.clock.advance(5)
    reasons = [one["reason"] for one in announced(store.waiting())]
    assert {"reason 1", "reason 2", "reason 3", "log_full"} == set(reasons)
    store.close()


def test_lower_limits_are_reached_step_by_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "CHUNKS_A_COMMIT", 4)
    store = Store(tmp_path)
    store.kept(2_000, filler=200)
    store.deliver()
    store.append(1, first=2_000)
    store.log.limit(commit_s=60, max_bytes=100_000, keep_s=1e9)
    store.log.commit(reachable=False)
    assert used(store) > 100_000
    store.append(1, first=2_001)
    store.log.commit(reachable=False)
    assert used(store) <= 100_000
    assert store.log.counts == Counts(produced=2_002, delivered=2_000, waiting=2)
    store.close()


def rows(store: Store) -> int:
    """How many rows the file holds."""
    with sqlite3.connect(store.file) as connection:
        (count,) = connection.execute("SELECT count(*) FROM events").fetchone()
    connection.close()
    return int(count)


def test_what_is_delivered_goes_by_age_and_what_waits_never(tmp_path: Path) -> None:
    store = Store(tmp_path, keep_s=90 * 86400.0)
    store.kept(10)
    store.deliver(4)
    store.log.commit(reachable=True)
    store.clock.advance(91 * 86400.0)
    store.kept(1, first=10)
    assert rows(store) == 7
    assert store.log.counts == Counts(produced=11, delivered=4, waiting=7)
    assert sequences(store.waiting()) == list(range(4, 11))
    store.close()


@pytest.mark.parametrize("years", [-10, 10])
def test_a_clock_that_jumps_deletes_nothing_that_it_should_not(tmp_path: Path, years: int) -> None:
    believed = True
    store = Store(tmp_path, keep_s=90 * 86400.0, time_is_believed=lambda: believed)
    store.kept(5)
    store.deliver()
    store.log.commit(reachable=True)
    believed = False
    store.clock.time_s += years * 365 * 86400.0
    store.kept(5, first=5)
    assert rows(store) == 10
    store.deliver()
    store.clock.time_s -= years * 365 * 86400.0
    believed = True
    store.kept(5, first=10)
    assert rows(store) == 15
    assert sequences(store.waiting()) == list(range(10, 15))
    assert store.log.due_s() >= store.clock.monotonic()
    store.clock.time_s += 91 * 86400.0
    store.deliver()
    store.kept(1, first=15)
    assert rows(store) == (6 if years > 0 else 1)  # rows from the future stay until the log is full
    store.close()


def test_streams_leave_with_their_rows(tmp_path: Path) -> None:
    store = Store(tmp_path, max_bytes=300_000)
    for first in range(0, 6000, 500):
        store.kept(500, first=first, filler=100)
        store.clock.advance(5)
    with sqlite3.connect(store.file) as connection:
        (streams,) = connection.execute("SELECT count(*) FROM streams").fetchone()
        (orphans,) = connection.execute(
            "SELECT count(*) FROM events WHERE stream NOT IN (SELECT id FROM streams)"
        ).fetchone()
    connection.close()
    assert (streams <= 4, orphans) == (True, 0)
    assert len(store.waiting()) == store.log.counts.waiting + 1
    store.close()


# --- without a directory


def test_without_a_directory_everything_is_in_memory_until_it_can_be_used(tmp_path: Path) -> None:
    def hold() -> None:
        if not tmp_path.exists():
            raise Unwritable("its directory cannot be used: gone")

    tmp_path.rmdir()
    clock = FakeClock()
    log = EventLog(tmp_path, boot="boot-1", clock=clock, hold=hold)
    log._ledger._memory_bytes = 200_000
    log.open()
    assert "its directory cannot be used: gone" in str(log.problem)
    for sequence in range(1000):
        row_id = log.append(DEVICE, sequence, clock.time(), event(sequence, filler=300))
        if sequence % 3 == 0 and sequence < 300:
            log.sent(row_id)
            log.acknowledged(row_id)
        if sequence % 100 == 99:
            clock.advance(5)
            log.commit(reachable=False)
    counts = log.counts
    assert counts.produced == 1000
    assert counts.delivered == 100
    assert counts.produced == counts.delivered + counts.dropped + counts.waiting
    assert counts.dropped > 0
    assert log.unwritten == counts.waiting
    clock.advance(5)
    stored = log.waiting(100)
    (said,) = announced(stored)  # nothing on disk could take it back
    assert said["reason"] == "memory_full"
    assert said["count"] == counts.dropped
    for row in stored:
        log.sent(row.id)
        log.acknowledged(row.id)
    assert log.may_replay() == MAX_EXPOSED
    tmp_path.mkdir()
    clock.advance(5)
    log.commit(reachable=True)
    assert (log.problem, log.unwritten) == (None, 0)
    log.close()
    log = EventLog(tmp_path, boot="boot-2", clock=clock)
    log.open()
    assert log.counts == Counts(1000, 199, counts.dropped, counts.waiting - 99)
    assert len(log.waiting(10_000)) == counts.waiting - 99
    log.close()


def test_the_start_does_not_load_sqlite(tmp_path: Path) -> None:
    """Every millisecond of `serve`'s start counts; the log's thread loads it while the first poll is made."""
    import subprocess
    import sys

    code = "import sys, ampedge.store.event_log, ampedge.store.history; print('sqlite3' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "False"
