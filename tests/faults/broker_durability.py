"""What Mosquitto has acknowledged and still has after it was stopped or killed, for each way to persist.

python -m tests.faults.broker_durability    print the table of examples/mosquitto/README.md
"""

import os
import signal
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from tests.support.mosquitto import Mosquitto
from tests.support.waiting import wait_until

TOPIC = "amp/inference/event"
SUBSCRIBER = "dashboard"
SIZE_BYTES = 800
SETTINGS = {
    "persistence false": ("persistence false",),
    "as Debian installs it (every 1800 s)": ("persistence true",),
    "autosave_on_changes true, autosave_interval 1": (
        "persistence true",
        "autosave_on_changes true",
        "autosave_interval 1",
    ),
}


@dataclass(frozen=True, slots=True)
class Survived:
    """Of the messages that were acknowledged before and after the last save that was asked for, how many came."""

    before_save: int
    after_save: int


def survived(place: Path, settings: Sequence[str], *, end: int, after_save: int = 20, before_save: int = 0) -> Survived:
    """Publish for a subscriber that is away, end the broker by that signal, start it, and let the subscriber come.

    With `before_save`, so many are published first, and Mosquitto is told to save.
    """
    place.mkdir(parents=True, exist_ok=True)
    broker = Mosquitto(place)
    broker.configure(f"persistence_location {place}/", *settings)
    with broker:
        _subscriber(broker, []).disconnect()
        publisher = _client(broker, "ampedge")
        if before_save:
            _publish(publisher, range(before_save))
            _save(broker, place)
        _publish(publisher, range(before_save, before_save + after_save))
        broker.stop(end)
        broker.start()
        received: list[int] = []
        subscriber = _subscriber(broker, received)
        _publish(_client(broker, "last"), [-1])  # comes behind all that waits
        _drive(subscriber, lambda: -1 in received, "the last message")
    assert len(set(received)) == len(received)
    early = sum(0 <= number < before_save for number in received)
    return Survived(early, len(received) - 1 - early)


def written_bytes(place: Path, settings: Sequence[str], *, waiting: int, messages: int = 50) -> float:
    """Bytes that Mosquitto writes for each message while so many wait for a subscriber that is away."""
    place.mkdir(parents=True, exist_ok=True)
    broker = Mosquitto(place)
    broker.configure(f"persistence_location {place}/", *settings)
    with broker:
        received: list[int] = []
        subscriber = _subscriber(broker, received)
        if waiting:
            subscriber.disconnect()
        publisher = _client(broker, "ampedge")
        _publish(publisher, range(waiting))
        before = _written_bytes(broker)
        for number in range(messages):
            _publish(publisher, [number])
            if not waiting:
                _drive(subscriber, lambda number=number: number in received, "the message")
        return (_written_bytes(broker) - before) / messages


def _client(broker: Mosquitto, name: str, received: list[int] | None = None) -> Client:
    """A connected client without a thread: it works while it is driven."""
    client = Client(CallbackAPIVersion.VERSION2, client_id=name, clean_session=name != SUBSCRIBER)
    if received is not None:
        client.on_message = lambda c, u, message: received.append(int(message.payload))
    client.connect(broker.host, broker.port)
    _drive(client, client.is_connected, "the connection")
    return client


def _subscriber(broker: Mosquitto, received: list[int]) -> Client:
    """A client with a session that outlives its connection."""
    client = _client(broker, SUBSCRIBER, received)
    granted: list[object] = []
    client.on_subscribe = lambda *_: granted.append(True)
    client.subscribe(TOPIC, qos=1)
    _drive(client, lambda: granted, "the subscription")
    return client


def _publish(client: Client, numbers: Sequence[int]) -> None:
    """Each is acknowledged before the next, so the last one is when this returns."""
    for number in numbers:
        message = client.publish(TOPIC, f"{number:{SIZE_BYTES}}", qos=1)
        _drive(client, message.is_published, "an acknowledgement")


def _drive(client: Client, until: Callable[[], object], what: str) -> None:
    wait_until(lambda: until() or (client.loop(0.01) and False), what=what)


def _save(broker: Mosquitto, place: Path) -> None:
    """Have it write its state and wait until the file is in its place."""
    file = place / "mosquitto.db"
    before = file.stat().st_ino if file.exists() else None
    os.kill(broker.pid, signal.SIGUSR1)
    wait_until(lambda: file.exists() and file.stat().st_ino != before, what="Mosquitto to save")


def _written_bytes(broker: Mosquitto) -> int:
    """What it has written to disk so far, as the kernel counts it."""
    counts = dict(line.split(": ") for line in Path(f"/proc/{broker.pid}/io").read_text().splitlines())
    return int(counts["write_bytes"])


def main() -> None:
    """Print the table."""
    print("| setting | of 50 after a stop | of 50 after a kill | written per message | with 1,000 waiting |")
    print("| --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as name:
        for number, (what, lines) in enumerate(SETTINGS.items()):
            place = Path(name) / str(number)
            after = [
                survived(place / end.name, lines, end=end, after_save=50).after_save
                for end in (signal.SIGTERM, signal.SIGKILL)
            ]
            written = [written_bytes(place / str(waiting), lines, waiting=waiting) for waiting in (0, 1000)]
            print(f"| {what} | {after[0]} | {after[1]} | {written[0] / 1e3:.1f} kB | {written[1] / 1e3:.1f} kB |")


if __name__ == "__main__":
    main()
