"""From the poller to the broker and the card: every event goes to the broker at once and into the log.

The pollers hand over what they made and never wait; the loop here is the only one that touches the log's file.
It commits when it is due and, while the broker acknowledges, sends what waits there.
"""

import threading
from dataclasses import replace

from ampedge.clock import Clock
from ampedge.errors import AmpedgeError
from ampedge.log import logger
from ampedge.mqtt.publisher import Publisher
from ampedge.store.event_log import EventLog
from ampedge.wire import retimed

_TURN_S = 1.0
_UNSYNCED = b'"time_synced":false'


class Delivery:
    """The loop of the event log; `publisher` may be replaced while it runs."""

    name = "events"

    def __init__(self, log: EventLog, publisher: Publisher, *, boot: str, clock: Clock) -> None:
        self.log = log
        log.on_progress = self._go_on
        self.progress_s = clock.monotonic()
        self._boot = f'"boot":"{boot}"'.encode()
        self._clock = clock
        self._turn = threading.Condition()
        self._changed = False
        self._stopping = False
        self._hurried = False
        self._opened = False
        self.refused: AmpedgeError | None = None
        """Why the log cannot be used at all and must be left alone; then the service cannot go on."""

        self.offset_s: float | None = None
        """Wall clock less monotonic clock, once the wall clock is known to be right."""
        self.publisher = publisher
        self.use(publisher)

    def use(self, publisher: Publisher) -> None:
        """Send through this one from now on."""
        publisher.on_change = self.wake
        self.publisher = publisher
        self.wake()

    def take(self, device: str, sequence: int, time_s: float, *, label: str, payload: bytes) -> None:
        """Send an event now, or keep it until that is possible; never waits."""
        row = self.log.append(device, sequence, time_s, payload)
        if not self.publisher.publish(device, label, payload, row) and self.publisher.connected:
            self.wake()

    def wake(self) -> None:
        """Have the loop look whether something can be sent."""
        with self._turn:
            self._changed = True
            self._turn.notify()

    def hurry(self) -> None:
        """Commit now, because the service is about to end."""
        with self._turn:
            self._hurried = self._changed = True
            self._turn.notify()

    def stop(self) -> None:
        """End the loop; it writes what is left."""
        with self._turn:
            self._stopping = True
            self._turn.notify()

    def run(self) -> None:
        """Commit and replay until told to stop, then write what is left and close the file."""
        try:
            self._run()
        except AmpedgeError as error:  # it may show long after the start, when the disk is there
            self.refused = error

    def _run(self) -> None:
        if not self._opened:
            self.log.open()
            self._opened = True
        while self._wait():
            if self._hurried or self._clock.monotonic() >= self.log.due_s():
                self._hurried = False
                self.log.commit(reachable=self.publisher.connected and self.publisher.healthy)
            self._replay()
        self.log.close()

    def _wait(self) -> bool:
        with self._turn:
            left_s = min(_TURN_S, self.log.due_s() - self._clock.monotonic())
            if not (self._changed or self._stopping or left_s <= 0):
                self._clock.wait(self._turn, left_s)
            self._changed = False
            self.progress_s = self._clock.monotonic()
            return not self._stopping

    def _go_on(self) -> None:
        self.progress_s = self._clock.monotonic()

    def _replay(self) -> None:
        """Send what waits, as far as the window goes; acknowledgements wake the loop for more."""
        publisher = self.publisher
        if not publisher.connected:  # what it cannot take now it turns away by itself
            return
        room = self.log.may_replay()
        if room <= 0:
            self.log.commit(reachable=True, durable=False)
            room = self.log.may_replay()
        for stored in self.log.waiting(room) if room > 0 else ():
            payload = self._retimed(stored.payload)
            if not publisher.replay(stored if payload is stored.payload else replace(stored, payload=payload)):
                return

    def _retimed(self, payload: bytes) -> bytes:
        """An event of this start that was stamped before the clock was right gets the right time."""
        if self.offset_s is None or _UNSYNCED not in payload or self._boot not in payload:
            return payload
        try:
            return retimed(payload, self.offset_s)
        except ValueError as error:
            logger.error("An event in the log cannot be read: %s.", error)
            return payload
