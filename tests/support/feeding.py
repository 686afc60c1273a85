"""A small service around a publisher: live events at a fixed rate, replays of what waits, from a stand-in log."""

import threading
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from ampedge.mqtt.publisher import Publisher
from ampedge.settings import MqttSection
from tests.support.receipts import FakeLog


def event(number: int, size: int = 0) -> bytes:
    """The payload of one event, in which its number can be read again."""
    return b'{"n":%d,"replayed":false,"filling":"%s"}' % (number, b"x" * size)


class Feeding:
    """Publishes an event every `interval_s` from entering it; `stop_producing` leaves only the replays.

    With `sizes`, each of these devices does, with so much filling.
    `slowest_s` is the longest that a call of `publish` has taken.
    """

    def __init__(
        self,
        port: int,
        *,
        interval_s: float = 0.01,
        size: int = 0,
        sizes: Mapping[str, int] | None = None,
        password: str | None = None,
        client_id: str = "ours",
        **mqtt: Any,
    ) -> None:
        section = MqttSection.model_validate({"host": "127.0.0.1", "port": port, **mqtt})
        self.log = FakeLog()
        self._sizes = sizes or {"amp1": size}
        self.publisher = Publisher(
            section, password=password, client_id=client_id, devices=list(self._sizes), receipts=self.log
        )
        self.publisher.on_change = self._look
        self.slowest_s = 0.0
        self._interval_s = interval_s
        self._more = threading.Event()
        self._ending = threading.Event()
        self._enough = threading.Event()
        self._threads = [threading.Thread(target=self._produce), threading.Thread(target=self._replay)]

    def stop_producing(self) -> None:
        """No further event."""
        self._enough.set()
        self._threads[0].join()

    def _look(self) -> None:
        self._more.set()

    def _produce(self) -> None:
        number = 0
        while not self._enough.wait(self._interval_s):
            number += 1
            for device, size in self._sizes.items():
                self._publish(device, event(number, size))

    def _publish(self, device: str, payload: bytes) -> None:
        stored = self.log.append(payload, device=device, live=True)
        begun_s = time.monotonic()
        self.publisher.publish(device, "healthy", stored.payload, stored.id)
        self.slowest_s = max(self.slowest_s, time.monotonic() - begun_s)
        self.log.live.discard(stored.id)
        self._more.set()

    def _replay(self) -> None:
        while not self._ending.is_set():
            self._more.wait()
            self._more.clear()
            for stored in self.log.waiting():
                if not self.publisher.replay(stored):
                    break

    def __enter__(self) -> Self:
        self.publisher.start()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._enough.set()
        self._ending.set()
        self._more.set()
        for thread in self._threads:
            thread.join()
        self.publisher.stop()
