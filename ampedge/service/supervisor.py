"""Keeps the service's loops running: starts again one that a bug ended, and knows which of them no longer turn."""

import threading
from collections import deque
from typing import Protocol

from ampedge.clock import Clock
from ampedge.log import logger

RESTARTS = 5
"""So many failures of loops within `WITHIN_S` are too many: whoever started the service shall start it anew."""

WITHIN_S = 600.0
STALLED_S = 30.0
_PAUSE_S = 1.0


class Loop(Protocol):
    """Something that turns in a thread of its own until it is stopped.

    `progress_s` is the monotonic time of its latest turn; a loop turns at least every few seconds.
    """

    name: str
    progress_s: float

    def run(self) -> None:
        """Turn until `stop`."""

    def stop(self) -> None:
        """End `run` soon; returns at once."""


class Supervisor:
    """Runs each loop in a daemon thread; one that fails is started again after a pause."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._threads: dict[Loop, threading.Thread] = {}
        self._failures_s: deque[float] = deque(maxlen=RESTARTS)
        self._stopping = threading.Event()
        self.restarts = 0
        self.failed: str | None = None

    def start(self, loop: Loop) -> None:
        """Begin to run a loop."""
        loop.progress_s = self._clock.monotonic()
        thread = threading.Thread(target=self._keep, args=(loop,), name=f"ampedge-{loop.name}", daemon=True)
        self._threads[loop] = thread
        thread.start()

    def stop(self, *loops: Loop, timeout_s: float) -> list[str]:
        """End these loops, or all; returns the names of those that did not end in time."""
        chosen = {loop: self._threads.pop(loop) for loop in loops or tuple(self._threads)}
        for loop in chosen:
            loop.stop()
        until_s = self._clock.monotonic() + timeout_s
        for thread in chosen.values():
            thread.join(max(0.0, until_s - self._clock.monotonic()))
        return [loop.name for loop, thread in chosen.items() if thread.is_alive()]

    def close(self) -> None:
        """Start nothing again from now on."""
        self._stopping.set()

    def stalled(self, limit_s: float = STALLED_S) -> list[str]:
        """The loops that have not turned for so long."""
        now_s = self._clock.monotonic()
        return [loop.name for loop in tuple(self._threads) if now_s - loop.progress_s > limit_s]

    def ages_s(self) -> dict[str, float]:
        """Seconds since the latest turn of each loop."""
        now_s = self._clock.monotonic()
        return {loop.name: max(0.0, now_s - loop.progress_s) for loop in tuple(self._threads)}

    def _keep(self, loop: Loop) -> None:
        while not self._stopping.is_set():
            try:
                loop.run()
                return
            except Exception:
                logger.exception("The loop %s failed because of a bug; it is started again.", loop.name)
            self.restarts += 1
            now_s = self._clock.monotonic()
            self._failures_s.append(now_s)
            if len(self._failures_s) == RESTARTS and now_s - self._failures_s[0] <= WITHIN_S:
                self.failed = loop.name
                return
            if self._threads.get(loop) is not threading.current_thread():
                return  # stopped in the meantime
            loop.progress_s = now_s
            self._stopping.wait(_PAUSE_S)
