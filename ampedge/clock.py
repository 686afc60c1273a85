"""Time, behind a seam: what waits or stamps takes a `Clock`, so that tests need not wait."""

import sys
import threading
import time
from typing import Protocol

_OLDEST_S = 1_767_225_600.0
"""The beginning of 2026: a clock that says less is wrong."""

_TIME_ERROR = 5


class Clock(Protocol):
    """Wall time for stamps, monotonic time for intervals, and a wait that can be woken."""

    def time(self) -> float:
        """Seconds since the epoch, UTC; may jump."""

    def monotonic(self) -> float:
        """Seconds since some start; never jumps."""

    def wait(self, condition: threading.Condition, timeout_s: float) -> None:
        """Wait on a held condition until it is notified or `timeout_s` has passed."""


def synchronised() -> bool | None:
    """Whether the wall clock is kept right by the network, None where the system does not tell (not Linux).

    Source: adjtimex(2), state 5 (TIME_ERROR) or status bit STA_UNSYNC.
    A Raspberry Pi has no clock that runs while it is off, so until then its time may be years old.
    """
    if time.time() < _OLDEST_S:
        return False
    if sys.platform != "linux":
        return None
    import ctypes

    timex = (ctypes.c_char * 512)()  # larger than struct timex on any machine; zero modes: read only
    try:
        state = ctypes.CDLL(None, use_errno=True).adjtimex(timex)
    except (OSError, AttributeError):
        return None
    return None if state < 0 else state != _TIME_ERROR


class SystemClock:
    """The clock of this machine."""

    def time(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    def wait(self, condition: threading.Condition, timeout_s: float) -> None:
        condition.wait(timeout_s)


class FakeClock:
    """A clock that moves only when told to or when somebody waits on it."""

    def __init__(self, *, time_s: float = 1_700_000_000.0, monotonic_s: float = 1000.0) -> None:
        self.time_s = time_s
        self.monotonic_s = monotonic_s

    def time(self) -> float:
        return self.time_s

    def monotonic(self) -> float:
        return self.monotonic_s

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass on both clocks."""
        self.time_s += seconds
        self.monotonic_s += seconds

    def wait(self, condition: threading.Condition, timeout_s: float) -> None:  # noqa: ARG002
        self.advance(timeout_s)


class Cadence:
    """Ticks at a fixed rate on the monotonic clock; a late tick is skipped and counted, never queued."""

    def __init__(self, interval_s: float, start_s: float) -> None:
        self.interval_s = interval_s
        self.due_s = start_s
        self.skipped = 0

    def take(self, now_s: float) -> None:
        """Mark the tick that is due at `now_s` as taken and set the next one, on the same grid."""
        late = int((now_s - self.due_s) // self.interval_s)
        self.skipped += max(0, late)
        self.due_s += self.interval_s * (max(0, late) + 1)
