"""Weeks of polling at 1 Hz on a clock that the test turns: outages, slow replies, clock jumps, daylight saving.

    python -m tests.faults.simulated_time --days 30 --seed 1

runs the shipping poller against a device that exists on that clock only, and checks every single cycle: while the
device answers in time there is one poll in every second, never none and never two; a late poll is skipped and
counted; after an outage the polls go on at the fixed rate; and the jumps of the wall clock change nothing of it.
"""

import argparse
import os
import random
import threading
import time
from dataclasses import dataclass

from ampedge.clock import FakeClock
from ampedge.records import Frame, Reason, Record
from ampedge.service.poller import Poller

DAY_S = 86_400
_BEFORE_SUMMER_TIME_ENDS = 1_792_800_000.0  # 2026-10-24, a day before clocks in Europe go back
_JUMPS_S = (-3600.0, 3600.0, -10 * 365 * DAY_S, 10 * 365 * DAY_S, -1.0, 1.0, 0.5)


@dataclass(slots=True)
class Outcome:
    """What was counted; `wrong` are the cycles that should not have been, or were not there."""

    polls: int = 0
    outages: int = 0
    slow: int = 0
    skipped: int = 0
    jumps: int = 0
    events: int = 0
    wrong: int = 0


class _World(FakeClock):
    """A device at 1 Hz with a seeded plan of outages, slow replies and clock jumps; checks as it is polled."""

    def __init__(self, days: float, seed: int) -> None:
        super().__init__(time_s=_BEFORE_SUMMER_TIME_ENDS, monotonic_s=5000.0)
        self.outcome = Outcome()
        self._random = random.Random(seed)
        self._end_s = self.monotonic_s + days * DAY_S
        self._start_s = self.monotonic_s
        self._outage = (0.0, 0.0)
        self._next_outage_s = self._start_s + self._random.uniform(600, 7200)
        self._expected_s: float | None = None
        self._stamp: tuple[float, float] | None = None
        self.poller = Poller(self, Record, self._emit, interval_s=1.0, heartbeat_s=30.0, settle_s=0.02, clock=self)

    def poll(self) -> Frame:
        now_s = self.monotonic_s
        if now_s >= self._end_s:
            self.poller.stop()
        self.outcome.polls += 1
        self._check_cycle(now_s)
        self._maybe_jump()
        stamp_s = self.time_s
        if self._is_out(now_s):
            took_s = self._random.choice((0.001, 3.5))  # refused at once, or a time-out
            self.advance(took_s)
            if self._expected_s is not None or self.outcome.polls == 1:
                self.outcome.skipped += int(took_s)  # the first that fails is late by as much; then the back-off rules
            self._expected_s = None
            return Frame("device", stamp_s, failure=Reason.NO_COMMUNICATION, detail="away", monotonic_s=now_s)
        took_s = self._random.uniform(0.0005, 0.01)
        if self._random.random() < 0.0005:
            took_s = self._random.uniform(1.1, 2.9)
            self.outcome.slow += 1
            if self._expected_s is not None or self.outcome.polls == 1:  # else the rate begins behind this poll
                self.outcome.skipped += int(took_s)
        self.advance(took_s)
        if self._expected_s is None:  # back from an outage, or the first poll: the rate goes on from here
            self._expected_s = (now_s if self.outcome.polls == 1 else self.monotonic_s) + 1.0
            if self.outcome.polls == 1 and took_s > 1:
                self._expected_s += int(took_s)
        else:
            self._expected_s += 1.0 + int(took_s)
        return Frame("device", stamp_s, ((1,),), monotonic_s=now_s)

    def _check_cycle(self, now_s: float) -> None:
        if self._expected_s is not None and abs(now_s - self._expected_s) > 1e-3:
            self.outcome.wrong += 1

    def _is_out(self, now_s: float) -> bool:
        if now_s >= self._next_outage_s:
            length_s = self._random.choice((2.0, 20.0, 300.0, 7200.0))
            self._outage = (now_s, now_s + length_s)
            self._next_outage_s = now_s + length_s + self._random.uniform(600, 14_400)
            self.outcome.outages += 1
        return self._outage[0] <= now_s < self._outage[1]

    def _maybe_jump(self) -> None:
        if self._random.random() < 1 / 7200:
            self.time_s += self._random.choice(_JUMPS_S)
            self.outcome.jumps += 1

    def _emit(self, record: Record) -> None:
        self.outcome.events += 1
        frame = record.frame
        local = time.localtime(max(0.0, frame.time_s))  # daylight saving is a matter of the reader
        if local.tm_year < 1970 or frame.monotonic_s > self.monotonic_s:
            self.outcome.wrong += 1

    def wait(self, condition: threading.Condition, timeout_s: float) -> None:
        if timeout_s <= 0:
            self.outcome.wrong += 1
        self.advance(timeout_s)


def simulate(days: float, seed: int) -> Outcome:
    """Run that many days; raises AssertionError where the poller's own count of skipped polls differs."""
    random.seed(seed)  # the jitter of the back-off
    world = _World(days, seed)
    world.poller.run_forever()
    assert world.poller.skipped == world.outcome.skipped, (world.poller.skipped, world.outcome)
    return world.outcome


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--days", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    os.environ["TZ"] = "Europe/Berlin"
    time.tzset()
    begun_s = time.monotonic()
    outcome = simulate(given.days, given.seed)
    print(
        f"{given.days:g} days at 1 Hz: {outcome.polls} polls, {outcome.outages} outages, {outcome.jumps} clock jumps, "
        f"{outcome.slow} slow replies, {outcome.skipped} polls skipped and counted; "
        f"{outcome.wrong} missed or double cycles ({time.monotonic() - begun_s:.0f} s)"
    )
    raise SystemExit(outcome.wrong > 0)


if __name__ == "__main__":
    main()
