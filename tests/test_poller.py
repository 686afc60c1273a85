"""When the poller polls and what it hands on, on a clock that the test turns."""

import threading
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest

from ampedge.clock import FakeClock, SystemClock
from ampedge.modbus import source as modbus_source
from ampedge.records import Frame, Reason, Record
from ampedge.service.poller import Poller
from tests.support.waiting import wait_until

START_S = 1000.0
AWAY, BROKEN, TORN = Reason.NO_COMMUNICATION, Reason.DEVICE_FAILURE, Reason.TORN


class Stage(FakeClock):
    """A clock on which things happen at times of their own while somebody waits, and the poller's world.

    All times of `polls` and `emitted` count from the start.  `takes_s` is how long each poll takes,
    `during` what happens at the end of the poll of that number, counted from 1.
    """

    def __init__(self, *, interval_s: float = 1.0, heartbeat_s: float = 30.0, settle_s: float = 0.02) -> None:
        super().__init__(monotonic_s=START_S)
        self.polls: list[float] = []
        self.emitted: list[tuple[float, Reason | None]] = []
        self.records: list[Record] = []
        self.takes_s: Iterator[float] = iter(())
        self.during: Callable[[int], None] = lambda poll: None
        self.outcome: Callable[[float], Reason | None] = lambda now_s: None
        self._plan: list[tuple[float, Callable[[], None]]] = []
        self._until_s = 0.0
        self.poller = Poller(
            self, Record, self._emit, interval_s=interval_s, heartbeat_s=heartbeat_s, settle_s=settle_s, clock=self
        )

    def run(self, until_s: float) -> None:
        """Let the poller run until then."""
        self._until_s = until_s
        self.at(until_s, self.poller.stop)
        self._plan.sort(key=lambda event: event[0])
        self.poller.run_forever()

    def at(self, time_s: float, happens: Callable[[], None]) -> None:
        self._plan.append((START_S + time_s, happens))

    def writes_at(self, *times_s: float) -> None:
        for time_s in times_s:
            self.at(time_s, self.poller.written)

    def now(self) -> float:
        return round(self.monotonic_s - START_S, 6)

    def wait(self, condition: threading.Condition, timeout_s: float) -> None:
        assert timeout_s > 0
        if self._plan and self._plan[0][0] <= self.monotonic_s + timeout_s:
            self._advance_to(self._plan[0][0])
        else:
            self.advance(timeout_s)

    def poll(self) -> Frame:
        self.polls.append(self.now())
        assert len(self.polls) < 5000, "it polls without end"
        self._advance_to(self.monotonic_s + next(self.takes_s, 0.0))
        self.during(len(self.polls))
        failure = self.outcome(self.now())
        return Frame("device", self.time(), () if failure else ((1,),), failure)

    def _advance_to(self, monotonic_s: float) -> None:
        while self._plan and self._plan[0][0] <= monotonic_s:
            due_s, happens = self._plan.pop(0)
            self.advance(max(0.0, due_s - self.monotonic_s))
            happens()
        self.advance(max(0.0, monotonic_s - self.monotonic_s))

    def _emit(self, record: Record) -> None:
        self.records.append(record)
        self.emitted.append((self.now(), record.frame.failure))


@pytest.fixture(autouse=True)
def without_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modbus_source.random, "uniform", lambda low, high: high)


def times(stage: Stage) -> list[float]:
    return [time_s for time_s, _ in stage.emitted]


def bad(record: Record) -> Reason | None:
    """What is wrong with all tags of a frame that was read."""
    (reason,) = {*record.frame.bad} or {None}
    return reason


# The rate.


def test_polls_come_at_a_fixed_rate_however_long_each_takes() -> None:
    stage = Stage()
    stage.takes_s = iter([0.3, 0.0, 0.9, 0.5, 0.2, 0.99])
    stage.run(6.5)
    assert stage.polls == [0, 1, 2, 3, 4, 5, 6]
    assert times(stage) == [0.3, 1.0, 2.9, 3.5, 4.2, 5.99, 6.0]
    assert stage.poller.skipped == 0


def test_a_thousand_short_intervals_do_not_drift() -> None:
    stage = Stage(interval_s=0.1)
    stage.takes_s = iter([0.03] * 2000)
    stage.run(100.05)
    assert len(stage.polls) == 1001
    assert stage.polls[-1] == pytest.approx(100.0, abs=1e-6)


def test_a_poll_that_takes_too_long_costs_the_polls_it_covers_and_no_more() -> None:
    stage = Stage()
    stage.takes_s = iter([0.1, 2.5, 0.1, 0.1])
    stage.run(5.5)
    assert stage.polls == [0, 1, 4, 5]  # 2 and 3 are left out, none is made up for
    assert stage.poller.skipped == 2
    assert len(stage.emitted) == 4


# Writes into the slave that we host.


def test_a_write_is_answered_once_no_further_write_follows() -> None:
    stage = Stage()
    stage.writes_at(0.4)
    stage.run(3.5)
    assert stage.polls == [0, 0.42, 1.42, 2.42, 3.42]  # the next poll is due one interval later


def test_a_row_in_several_writes_is_one_poll() -> None:
    stage = Stage()
    stage.writes_at(0.4, 0.41, 0.425)
    stage.run(1.2)
    assert stage.polls == [0, 0.445]


def test_a_write_just_before_a_poll_is_due_puts_it_off_until_the_row_is_whole() -> None:
    stage = Stage()
    stage.writes_at(0.99, 1.005)
    stage.run(1.9)
    assert stage.polls == [0, 1.025]


def test_writes_that_keep_coming_hold_up_the_poll_for_one_interval_at_most() -> None:
    stage = Stage()
    stage.writes_at(*(round(0.1 + 0.01 * i, 3) for i in range(400)))
    stage.run(4.0)
    assert stage.polls[0] == 0
    assert stage.polls[1] == pytest.approx(1.1)  # one interval after the first write
    assert all(b - a <= 1.01 + 1e-6 for a, b in pairwise(stage.polls[1:]))
    assert times(stage) == stage.polls


def test_what_is_read_while_single_registers_keep_being_written_is_torn() -> None:
    stage = Stage()
    stage.writes_at(*(round(0.1 + 0.01 * i, 3) for i in range(250)))
    stage.run(4.0)
    assert [bad(record) for record in stage.records] == [None, TORN, TORN, None, None]
    assert times(stage)[3] == pytest.approx(2.59 + 0.02)  # the last row is read as soon as it is whole
    assert "write each row in one request" in stage.records[1].frame.detail
    assert all(record.frame.words for record in stage.records)


def test_whole_rows_are_not_torn_however_fast_they_follow_each_other() -> None:
    stage = Stage()
    for i in range(250):
        stage.at(round(0.1 + 0.01 * i, 3), lambda: stage.poller.written(is_row=True))
    stage.during = lambda poll: stage.poller.written(is_row=True) if poll % 2 else None
    stage.run(4.0)
    assert len(stage.records) >= 4
    assert {bad(record) for record in stage.records} == {None}


def test_a_whole_row_behind_pieces_makes_good_for_them() -> None:
    stage = Stage(settle_s=0.5, interval_s=0.6)
    stage.writes_at(0.1, 0.3, 0.65)
    stage.at(0.66, lambda: stage.poller.written(is_row=True))
    stage.run(1.0)
    assert [bad(record) for record in stage.records] == [None, None]


def test_a_long_settling_time_holds_up_the_poll_for_one_interval_at_most() -> None:
    stage = Stage(settle_s=60.0)
    stage.writes_at(0.5)
    stage.run(2.0)
    assert stage.polls == [0, 1.5]


def test_a_frame_that_a_write_came_into_is_thrown_away_and_read_again() -> None:
    stage = Stage()
    stage.during = lambda poll: stage.poller.written() if poll == 2 else None
    stage.takes_s = iter([0.0, 0.1])
    stage.run(2.0)
    assert stage.polls == [0, 1.0, 1.12]
    assert times(stage) == [0, 1.12]


def test_a_frame_is_thrown_away_after_a_settled_write_too() -> None:
    stage = Stage()
    stage.writes_at(0.5)
    stage.during = lambda poll: stage.poller.written() if poll == 2 else None
    stage.run(1.4)
    assert stage.polls == [0, 0.52, 0.54]
    assert times(stage) == [0, 0.54]


def test_writes_into_every_poll_do_not_silence_the_device() -> None:
    stage = Stage()
    stage.during = lambda poll: stage.poller.written()
    stage.run(5.0)
    gaps = [b - a for a, b in zip([0.0, *times(stage)], [*times(stage), 5.0], strict=True)]
    assert max(gaps) <= 1.05
    assert len(stage.emitted) >= 4
    assert {bad(record) for record in stage.records} == {TORN}


# A device that fails.


def failing(first_s: float, last_s: float, reason: Reason = AWAY) -> Callable[[float], Reason | None]:
    return lambda now_s: reason if first_s <= now_s < last_s else None


def test_a_failed_device_is_tried_again_after_growing_waits() -> None:
    stage = Stage(heartbeat_s=1000.0)
    stage.outcome = failing(1, 1000)
    stage.run(130.0)
    assert stage.polls == [0, 1, 2, 4, 8, 16, 32, 62, 92, 122]  # 1, 2, 4, 8, 16, then every 30 s
    assert stage.emitted == [(0, None), (1, AWAY)]
    assert stage.poller.skipped == 0


def test_while_it_fails_it_is_said_at_each_heartbeat_with_the_time_of_now() -> None:
    stage = Stage(heartbeat_s=10.0)
    stage.outcome = failing(1, 1000)
    stage.run(45.0)
    assert stage.emitted == [(0, None), (1, AWAY), (11, AWAY), (21, AWAY), (31, AWAY), (41, AWAY)]
    assert [round(record.frame.time_s - stage.records[0].frame.time_s) for record in stage.records] == [
        0, 1, 11, 21, 31, 41,
    ]  # fmt: skip
    assert stage.polls == [0, 1, 2, 4, 8, 16, 32]  # a heartbeat asks nobody


def test_another_reason_is_said_at_once() -> None:
    stage = Stage()
    stage.outcome = lambda now_s: None if now_s < 1 else AWAY if now_s < 4 else BROKEN
    stage.run(20.0)
    assert stage.emitted == [(0, None), (1, AWAY), (4, BROKEN)]


def test_the_first_answer_is_handed_on_at_once_and_the_rate_begins_anew() -> None:
    stage = Stage()
    stage.outcome = failing(1, 6.5)
    stage.takes_s = iter([0.0, 0.0, 0.0, 0.0, 0.25])
    stage.run(10.9)
    assert stage.polls == [0, 1, 2, 4, 8, 9.25, 10.25]
    assert stage.emitted == [(0, None), (1, AWAY), (8.25, None), (9.25, None), (10.25, None)]
    assert stage.poller.skipped == 0


def test_waits_begin_anew_after_a_recovery() -> None:
    stage = Stage()
    stage.outcome = lambda now_s: AWAY if 1 <= now_s < 20 or now_s >= 33 else None
    stage.run(38.0)
    assert stage.polls[:6] == [0, 1, 2, 4, 8, 16]
    assert stage.polls[6:] == [32, 33, 34, 36]


def test_a_device_that_is_away_from_the_start_is_said_to_be() -> None:
    stage = Stage()
    stage.outcome = failing(0, 3)
    stage.run(3.5)
    assert stage.emitted == [(0, AWAY), (3, None)]


@pytest.mark.parametrize("interval_s", [0.1, 20.0, 3600.0])
def test_a_device_that_fails_is_tried_again_soon_however_seldom_it_is_polled(interval_s: float) -> None:
    stage = Stage(interval_s=interval_s, heartbeat_s=1000.0)
    stage.outcome = failing(0, 70)
    stage.run(91.05)
    assert stage.polls == [0, 1, 3, 7, 15, 31, 61, 91]


def test_a_poll_that_times_out_counts_its_wait_from_its_end() -> None:
    stage = Stage()
    stage.outcome = failing(0, 100)
    stage.takes_s = iter([3.0, 3.0, 3.0])
    stage.run(14.0)
    assert stage.polls == [0, 4, 9]


# The real clock.


class Instant:
    """A source that answers at once and counts."""

    def __init__(self) -> None:
        self.polls = 0

    def poll(self) -> Frame:
        self.polls += 1
        return Frame("device", 0.0, ((self.polls,),))


def test_a_write_and_a_stop_wake_the_poller() -> None:
    source = Instant()
    emitted: list[Any] = []
    poller = Poller(
        source, Record, emitted.append, interval_s=3600.0, heartbeat_s=30.0, settle_s=0.001, clock=SystemClock()
    )
    thread = threading.Thread(target=poller.run_forever)
    thread.start()
    wait_until(lambda: len(emitted) == 1)
    for count in (2, 3):
        poller.written()
        wait_until(lambda count=count: len(emitted) == count)
    poller.stop()
    thread.join(5)
    assert not thread.is_alive()
    assert source.polls == 3


def test_it_does_not_begin_once_it_was_stopped() -> None:
    source = Instant()
    poller = Poller(
        source, Record, lambda record: None, interval_s=1.0, heartbeat_s=1.0, settle_s=0.0, clock=FakeClock()
    )
    poller.stop()
    poller.run_forever()
    assert source.polls == 0


def test_a_poll_that_ends_after_the_stop_is_not_handed_on() -> None:
    """A reload may have handed the device's events to another poller by then, which counts them on."""
    stage = Stage()
    stage.takes_s = iter([0.0, 5.0])
    stage.run(3.0)
    assert (stage.polls, stage.emitted) == ([0.0, 1.0], [(0.0, None)])
