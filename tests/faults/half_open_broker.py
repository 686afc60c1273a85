"""How long it takes to find that the broker no longer answers, though its system still takes what is sent.

    python -m tests.faults.half_open_broker

with the times that ship: once while events flow, once while there are none.
"""

import tempfile
import time
from pathlib import Path

from tests.support.feeding import Feeding
from tests.support.mosquitto import Mosquitto
from tests.support.waiting import wait_until

LIMIT_S = 45.0


def found_s(directory: Path, *, busy: bool) -> float:
    """Seconds from the broker's last turn to the end of the connection."""
    with Mosquitto(directory) as broker, Feeding(broker.port, interval_s=1.0 if busy else 3600.0) as feeding:
        wait_until(lambda: feeding.publisher.connected)
        wait_until(lambda: not busy or feeding.log.acknowledged_ids)
        broker.pause()
        begun_s = time.monotonic()
        wait_until(lambda: not feeding.publisher.connected, 2 * LIMIT_S, "the silence to be noticed")
        took_s = time.monotonic() - begun_s
        broker.resume()
        wait_until(lambda: feeding.publisher.connected, 2 * LIMIT_S, "the connection to come back")
        return took_s


def main() -> None:
    for busy in (True, False):
        with tempfile.TemporaryDirectory() as folder:
            took_s = found_s(Path(folder), busy=busy)
        print(f"half-open broker, {'an event a second' if busy else 'no events'}: found after {took_s:.0f} s")
        assert took_s < LIMIT_S


if __name__ == "__main__":
    main()
