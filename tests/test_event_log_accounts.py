"""What each commit writes of the accounts is true by itself: a kill right after it loses and invents nothing."""

import pytest

from ampedge.records import EVENT
from ampedge.store.announcements import Origin
from ampedge.store.cursor import Cursor
from ampedge.store.ledger import BEFORE_OPEN, LIVE_S, MAX_EXPOSED, Ledger
from ampedge.store.ranges import Ranges
from ampedge.store.retention import Shed
from ampedge.store.rows import Row

REASON = "too_large"


def ledger(on_disk: int = 10) -> Ledger:
    """A ledger with so many rows on disk, all of which wait."""
    made = Ledger()
    made.take_over(Cursor(on_disk, Ranges([(1, on_disk)]), on_disk, 0, 0), [])
    return made


def append(made: Ledger, count: int = 1) -> list[int]:
    """New events, none of them on disk."""
    ids = list(range(made.last + 1, made.last + 1 + count))
    for row_id in ids:
        made.append(Row(row_id, EVENT, "amplifier", "boot-1", row_id, 0.0, b"{}"))
    return ids


def drop(made: Ledger, row_id: int) -> None:
    """Give up an event."""
    made.drop(row_id, Origin("amplifier", "boot-1", row_id), REASON, 0.0)


def cursor_only(made: Ledger) -> Cursor:
    """What a commit of the cursor alone would write."""
    cursor = made.snapshot(rows=False, reachable=True, now_s=100.0).cursor
    made.failed()
    return cursor


def write(made: Ledger) -> None:
    """Commit everything."""
    made.landed(made.snapshot(rows=True, reachable=False, now_s=100.0), Shed())


def test_rows_that_are_not_written_are_not_counted_on_disk() -> None:
    made = ledger(10)
    first, *_ = append(made, 3)
    made.sent(first)
    made.acknowledged(first)
    made.acknowledged(4)
    assert cursor_only(made) == Cursor(10, Ranges([(1, 3), (5, 10)]), 10, 1, 0)
    write(made)
    assert cursor_only(made) == Cursor(13, Ranges([(1, 3), (5, 10), (12, 13)]), 13, 2, 0)


def test_drops_on_disk_and_in_memory_are_not_announced_together() -> None:
    made = ledger(10)
    append(made, 2)
    drop(made, 5)
    drop(made, 12)
    assert cursor_only(made) == Cursor(10, Ranges([(1, 10)]), 10, 0, 1)  # row 5 is an announcement now
    assert made.counts.dropped == 2


def test_drops_in_memory_are_announced_together_and_counted_together() -> None:
    made = ledger(10)
    append(made, 3)
    drop(made, 11)
    drop(made, 13)
    assert cursor_only(made) == Cursor(10, Ranges([(1, 10)]), 10, 0, 0)
    write(made)
    assert cursor_only(made) == Cursor(13, Ranges([(1, 10), (12, 13)]), 13, 0, 2)
    assert made.counts.waiting == 11


def test_what_is_being_written_is_not_added_to() -> None:
    made = ledger(10)
    append(made, 2)
    drop(made, 11)
    batch = made.snapshot(rows=True, reachable=False, now_s=100.0)
    append(made, 1)
    drop(made, 13)
    made.landed(batch, Shed())
    assert cursor_only(made) == Cursor(12, Ranges([(1, 12)]), 12, 0, 1)


def test_what_was_rejected_while_it_was_written_is_written_again_as_an_announcement() -> None:
    made = ledger(10)
    append(made, 1)
    batch = made.snapshot(rows=True, reachable=False, now_s=100.0)
    drop(made, 11)
    made.landed(batch, Shed())
    (row,) = made.snapshot(rows=True, reachable=False, now_s=100.0).rows
    assert (row.id, row.kind) == (11, 1)


def test_after_a_commit_that_failed_everything_is_as_before() -> None:
    made = ledger(10)
    append(made, 2)
    batch = made.snapshot(rows=True, reachable=False, now_s=100.0)
    made.failed()
    assert made.committed == 10
    assert made.snapshot(rows=True, reachable=False, now_s=100.0) == batch


def test_rows_that_come_back_make_room_for_others_at_once() -> None:
    made = ledger(30)
    for row_id in range(1, 21):
        made.sent(row_id)
    assert made.exposed == MAX_EXPOSED
    made.returned(range(1, 11))
    assert made.exposed == 10


def test_nothing_is_held_back_while_the_broker_is_away() -> None:
    made = ledger(0)
    append(made, 30)
    assert made.snapshot(rows=True, reachable=True, now_s=LIVE_S / 2).cursor.last == MAX_EXPOSED
    made.failed()
    assert made.snapshot(rows=True, reachable=False, now_s=LIVE_S / 2).cursor.last == 30
    made.failed()
    assert made.snapshot(rows=True, reachable=True, now_s=LIVE_S * 2).cursor.last == 30


def test_memory_stays_bounded_while_a_commit_hangs() -> None:
    made = Ledger(memory_bytes=100_000)
    payload = bytes(700)
    for number in range(1, 80):
        made.append(Row(BEFORE_OPEN + number, EVENT, "amplifier", "boot-1", number, 0.0, payload))
    hanging = made.snapshot(rows=True, reachable=False, now_s=100.0)
    for number in range(80, 1000):
        made.append(Row(BEFORE_OPEN + number, EVENT, "amplifier", "boot-1", number, 0.0, payload))
        made.make_room(0.0)
        assert made.fresh_bytes <= 200_000
    assert all(row.id in made.fresh for row in hanging.rows)
    counts = made.counts
    assert counts.produced == 999 == counts.dropped + counts.waiting
    made.failed()
    made.make_room(0.0)
    assert made.fresh_bytes <= 100_000
    assert made.counts.produced == made.counts.dropped + made.counts.waiting


@pytest.mark.parametrize("acknowledged", [0, 50])
def test_delivered_rows_leave_the_memory_first(acknowledged: int) -> None:
    made = Ledger(memory_bytes=100_000)
    for number in range(1, 101):
        made.append(Row(BEFORE_OPEN + number, EVENT, "amplifier", "boot-1", number, 0.0, bytes(700)))
        if number > 100 - acknowledged:
            made.acknowledged(BEFORE_OPEN + number)
        assert made.make_room(0.0) == 0
    made.append(Row(BEFORE_OPEN + 101, EVENT, "amplifier", "boot-1", 101, 0.0, bytes(700)))
    assert (made.make_room(0.0) > 0) == (acknowledged == 0)
    assert made.fresh_bytes <= 90_000
