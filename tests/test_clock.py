"""The fixed rate of polls, and the clock that tests turn by hand."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ampedge.clock import Cadence, Clock, FakeClock, SystemClock


def test_ticks_stay_on_the_grid_however_late_each_is_taken() -> None:
    cadence = Cadence(1.0, 100.0)
    for tick, lateness in enumerate([0.0, 0.3, 0.9, 0.0, 0.5]):
        assert cadence.due_s == 100.0 + tick
        cadence.take(cadence.due_s + lateness)
    assert cadence.skipped == 0


@pytest.mark.parametrize(("late_s", "skipped", "due_s"), [(0.99, 0, 101.0), (1.5, 1, 102.0), (3.2, 3, 104.0)])
def test_ticks_that_passed_meanwhile_are_skipped_and_counted(late_s: float, skipped: int, due_s: float) -> None:
    cadence = Cadence(1.0, 100.0)
    cadence.take(100.0 + late_s)
    assert (cadence.skipped, cadence.due_s) == (skipped, due_s)


def test_a_tick_taken_early_does_not_run_backwards() -> None:
    cadence = Cadence(1.0, 100.0)
    cadence.take(99.9)
    assert (cadence.skipped, cadence.due_s) == (0, 101.0)


@given(st.floats(0.001, 60), st.lists(st.floats(0, 300), max_size=30))
def test_taken_and_skipped_ticks_make_up_the_whole_grid(interval_s: float, delays: list[float]) -> None:
    cadence = Cadence(interval_s, 0.0)
    now_s = 0.0
    for delay_s in delays:
        now_s = max(now_s, cadence.due_s) + delay_s
        cadence.take(now_s)
        assert cadence.due_s > now_s - interval_s * 1e-6
    assert cadence.due_s == pytest.approx(interval_s * (len(delays) + cadence.skipped), rel=1e-9)


def test_the_fake_clock_moves_only_when_somebody_waits_or_says_so() -> None:
    clock = FakeClock(time_s=50.0, monotonic_s=10.0)
    condition = threading.Condition()
    with condition:
        clock.wait(condition, 2.5)
    clock.advance(1.0)
    assert (clock.time(), clock.monotonic()) == (53.5, 13.5)


def test_the_real_clock_waits_until_it_is_woken() -> None:
    clock: Clock = SystemClock()
    condition = threading.Condition()

    def wake() -> None:
        with condition:
            condition.notify()

    began_s = clock.monotonic()
    with condition:
        threading.Thread(target=wake).start()
        clock.wait(condition, 60.0)
    assert clock.monotonic() - began_s < 30
    with condition:
        clock.wait(condition, 0.01)
    assert clock.time() > 1.7e9
