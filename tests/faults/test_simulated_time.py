"""No cycle is missed or run twice, whatever the clock, the device and the length of its replies do."""

import time

import pytest

from tests.faults.simulated_time import simulate


@pytest.mark.parametrize("seed", [1, 2])
def test_each_second_has_its_poll_through_outages_slow_replies_and_clock_jumps(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")  # clocks go back on the second day
    time.tzset()
    outcome = simulate(1.5, seed)
    monkeypatch.undo()
    time.tzset()
    assert outcome.wrong == 0
    assert outcome.polls > 60_000
    assert min(outcome.outages, outcome.slow, outcome.jumps) > 3
