"""One device's loop: when to poll, and what becomes of each frame.

Polls come at a fixed rate.
Where we host the slave, a write is answered at once: when no further write follows for `settle_s`, a cycle
runs, and the next poll is due one interval later.  While writes keep coming the poll waits, at most one
interval, so that no row is read half written; what is read then may be half of one row and half of another, so it
goes on as bad: torn.
"""

import dataclasses
import threading
from collections.abc import Callable
from typing import Protocol

from ampedge.clock import Cadence, Clock
from ampedge.modbus.source import Backoff
from ampedge.records import Frame, Reason, Record

_TURN_S = 5.0
"""How long a wait lasts at most, so that it can be told from a loop that hangs."""


class Source(Protocol):
    """A device that can be asked for one frame; a failure is a frame, too."""

    def poll(self) -> Frame:
        """One frame now."""


class Poller:
    """Runs a source through a pipeline and hands each record to `emit`, until stopped.

    While the device fails it is tried again after a growing wait, and a record is handed on when the
    failure begins, when its reason changes, and every `heartbeat_s`.
    """

    def __init__(
        self,
        source: Source,
        run: Callable[[Frame], Record],
        emit: Callable[[Record], None],
        *,
        interval_s: float,
        heartbeat_s: float,
        settle_s: float,
        clock: Clock,
    ) -> None:
        self._source = source
        self._run = run
        self._emit = emit
        self._interval_s = interval_s
        self._heartbeat_s = heartbeat_s
        self._settle_s = settle_s
        self._clock = clock
        self._wake = threading.Condition()
        self._stopping = False
        self._writes = 0
        self._first_write_s: float | None = None
        self._last_write_s = 0.0
        self._piece_s = float("-inf")
        self._cadence = Cadence(interval_s, clock.monotonic())
        self._backoff = Backoff()
        self._retry_s = 0.0
        self._failure: Record | None = None
        self._emitted_s = 0.0
        self.progress_s = clock.monotonic()
        self.polls = 0
        self.failures = 0

    @property
    def retry_in_s(self) -> float | None:
        """Seconds until a device that fails is tried again, None while it answers."""
        return None if self._failure is None else max(0.0, self._retry_s - self._clock.monotonic())

    @property
    def skipped(self) -> int:
        """Polls that were left out because the one before took too long."""
        return self._cadence.skipped

    def written(self, *, is_row: bool = False) -> None:
        """Take note that a master has just written into the slave that we host: a piece of a row, or a whole one."""
        with self._wake:
            self._last_write_s = self._clock.monotonic()
            self._piece_s = float("-inf") if is_row else self._last_write_s
            if self._first_write_s is None:
                self._first_write_s = self._last_write_s
            self._writes += 1
            self._wake.notify()

    def stop(self) -> None:
        """End `run_forever` before its next poll; what one that has begun finds is not handed on."""
        with self._wake:
            self._stopping = True
            self._wake.notify()

    def run_forever(self) -> None:
        """Poll when due, until `stop`."""
        while self._wait_until_due():
            self.cycle()

    def due_s(self) -> float:
        """The monotonic time of the next cycle."""
        if self._failure is not None:
            return min(self._retry_s, self._emitted_s + self._heartbeat_s)
        if self._first_write_s is None:
            return self._cadence.due_s
        return min(self._last_write_s + self._settle_s, self._first_write_s + self._interval_s)

    def cycle(self) -> None:
        """One poll and what follows from it; between two tries of a failed device, one heartbeat."""
        if self._failure is not None and self._clock.monotonic() < self._retry_s:
            self._fail(self._failed_now(self._failure.frame))
            return
        with self._wake:
            writes, first_write_s = self._writes, self._first_write_s
            self._first_write_s = None
        begun_s = self._clock.monotonic()
        frame = self._source.poll()
        self.polls += 1
        now_s = self._clock.monotonic()
        with self._wake:
            if self._stopping:  # whoever goes on with this device counts its events from where they stood
                return
            is_torn = begun_s < self._piece_s + self._settle_s
            if self._writes != writes or is_torn:  # the row may be half old
                began_s = first_write_s if first_write_s is not None else now_s
                late = now_s >= began_s + self._interval_s
                self._first_write_s = now_s if late else began_s
                if not late:
                    return
        if first_write_s is not None:
            self._cadence = _moved(self._cadence, now_s)
        elif self._failure is None:
            self._cadence.take(now_s)
        self._hand_on(self._torn(frame) if is_torn and frame.failure is None else frame, now_s)

    def _wait_until_due(self) -> bool:
        with self._wake:
            while not self._stopping:
                self.progress_s = self._clock.monotonic()
                left_s = self.due_s() - self.progress_s
                if left_s <= 0:
                    return True
                self._clock.wait(self._wake, min(left_s, _TURN_S))
        return False

    def _hand_on(self, frame: Frame, now_s: float) -> None:
        if frame.failure is not None:
            self.failures += 1
            self._retry_s = now_s + self._backoff.next_s()
            known = self._failure is not None and self._failure.frame.failure == frame.failure
            if not known or now_s - self._emitted_s >= self._heartbeat_s:
                self._fail(frame)
            return
        if self._failure is not None:
            self._failure = None
            self._backoff.reset()
            self._cadence = _moved(self._cadence, now_s)
        self._emit(self._run(frame))

    def _torn(self, frame: Frame) -> Frame:
        detail = (
            f"Single registers are written without a pause of {1000 * self._settle_s:g} ms for {self._interval_s:g} s, "
            "so no row is known to be whole: write each row in one request, or pause behind it."
        )
        return dataclasses.replace(frame, bad=(Reason.TORN,) * len(frame.words), detail=detail)

    def _failed_now(self, frame: Frame) -> Frame:
        return dataclasses.replace(frame, time_s=self._clock.time(), monotonic_s=self._clock.monotonic())

    def _fail(self, frame: Frame) -> None:
        self._failure = self._run(frame)
        self._emitted_s = self._clock.monotonic()
        self._emit(self._failure)


def _moved(cadence: Cadence, now_s: float) -> Cadence:
    moved = Cadence(cadence.interval_s, now_s + cadence.interval_s)
    moved.skipped = cadence.skipped
    return moved
