"""How fast a backlog leaves: `Publisher.replay` alone against Mosquitto, with events of the usual size."""

import tempfile
import threading
import time
from collections.abc import Iterable
from pathlib import Path

from ampedge.mqtt.publisher import Publisher
from ampedge.records import EVENT, Stored
from ampedge.settings import MqttSection
from tests.support.mosquitto import Mosquitto
from tests.support.waiting import wait_until

ROWS = 30_000
PAYLOAD = b'{"replayed":false,"filling":"%s"}' % (b"x" * 1100)


class Counting:
    """Receipts that only count."""

    acknowledged_rows = 0

    def sent(self, row_id: int) -> None:
        pass

    def acknowledged(self, row_id: int) -> None:
        self.acknowledged_rows += 1

    def returned(self, row_ids: Iterable[int]) -> None:
        raise AssertionError(f"lost: {list(row_ids)}")

    def rejected(self, row_id: int, reason: str) -> None:
        raise AssertionError(f"{row_id} was rejected: {reason}")


def drained(port: int, protocol: str) -> tuple[float, float]:
    """(rows a second, CPU us a row)."""
    section = MqttSection.model_validate({"host": "127.0.0.1", "port": port, "protocol": protocol})
    receipts, more = Counting(), threading.Event()
    publisher = Publisher(section, password=None, client_id="bench", devices=["device"], receipts=receipts)
    publisher.on_change = more.set
    publisher.start()
    wait_until(lambda: publisher.connected)
    begun_s, begun_cpu_s, sent = time.monotonic(), time.process_time(), 0
    while sent < ROWS:
        more.clear()
        while sent < ROWS and publisher.replay(Stored(sent, EVENT, "device", PAYLOAD)):
            sent += 1
        if sent < ROWS and not more.wait(5):
            raise AssertionError("nobody said that there is room again")
    wait_until(lambda: receipts.acknowledged_rows == ROWS)
    took_s, cpu_s = time.monotonic() - begun_s, time.process_time() - begun_cpu_s
    publisher.stop()
    return ROWS / took_s, cpu_s / ROWS * 1e6


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, Mosquitto(Path(folder)) as broker:
        for protocol in ("5", "3.1.1"):
            rate, cpu_us = drained(broker.port, protocol)
            print(f"MQTT {protocol}: {rate:.0f} rows/s, {cpu_us:.0f} us CPU a row")


if __name__ == "__main__":
    main()
