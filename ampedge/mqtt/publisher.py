"""What `serve` tells the broker: bare labels, events, what was dropped, and whether service and devices live."""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import paho.mqtt.client as paho
from paho.mqtt.reasoncodes import ReasonCode

from ampedge.mqtt.connection import VERSIONS, Connection, Hooks
from ampedge.mqtt.topics import device_topic, dropped_topic, event_topic, label_topic, service_topic
from ampedge.records import DROPPED, Stored
from ampedge.settings import MqttSection
from ampedge.wire import as_replayed

IN_FLIGHT = 20
"""Rows that may wait for the broker's acknowledgement."""
REPLAYS_IN_FLIGHT = 10
"""How many of them may be replays, so that live events always find room."""

ONLINE = b"online"
OFFLINE = b"offline"


class Receipts(Protocol):
    """Where the publisher hands back what became of each row; the event log is one. None of these may block."""

    def sent(self, row_id: int) -> None:
        """The row goes to the broker now."""

    def acknowledged(self, row_id: int) -> None:
        """The broker has it."""

    def returned(self, row_ids: Iterable[int]) -> None:
        """The broker did not take them, or the connection was lost before it said so: they wait again."""

    def rejected(self, row_id: int, reason: str) -> None:
        """The broker can never take it."""


class Publisher:
    """Publishes over one connection that is kept up in the background; no method waits for the broker but `stop`.

    It queues nothing: what cannot be sent now stays with the caller's log, and so does what was sent but not
    acknowledged when the connection was lost.
    `on_change` is called where it may be worth trying again: after a connection or its loss, and after
    acknowledgements while rows are replayed; it must return at once.
    """

    def __init__(
        self, mqtt: MqttSection, *, password: str | None, client_id: str, devices: Sequence[str], receipts: Receipts
    ) -> None:
        self.acknowledged_s: float | None = None
        self.on_change: Callable[[], None] = lambda: None
        self._receipts = receipts
        self._status_topic = service_topic(mqtt)
        self._topics = {device: label_topic(mqtt, device) for device in devices}
        self._states: dict[str, bytes] = {}
        self._rows: dict[int, int] = {}
        self._replays: set[int] = set()
        self._said: set[int] = set()
        self._stopping = False
        self._refused: str | None = None
        self._echo_due = False
        self._changed = False
        self._connection = Connection(
            mqtt,
            Hooks(
                up=self._up,
                down=self._down,
                message=self._heard,
                acknowledged=self._acknowledged,
                subscribed=self._subscribed,
                turned=self._turned,
            ),
            password=password,
            versions=VERSIONS[mqtt.protocol],
            will=(self._status_topic, OFFLINE),
            client_id=client_id,
        )
        self._settled = self._connection.condition()

    @property
    def connected(self) -> bool:
        """Whether the broker has accepted the connection and it has not been lost since."""
        return self._connection.client is not None

    @property
    def in_flight(self) -> int:
        """How many rows were sent and are not yet acknowledged."""
        return len(self._rows)

    @property
    def healthy(self) -> bool:
        """False where somebody has to mend something before the broker takes events."""
        return self._refused is None

    @property
    def problem(self) -> str | None:
        """The latest trouble with the broker in a sentence, None while all is well."""
        if self._refused is not None and self.connected:
            return f"The broker does not let this user publish to {self._refused}."
        return self._connection.problem

    @property
    def alive(self) -> bool:
        """Whether the thread of the connection runs."""
        return self._connection.alive

    @property
    def progress_s(self) -> float:
        """The monotonic time of the latest turn of that thread; every few seconds at least, while all is well."""
        return self._connection.progress_s

    def start(self) -> None:
        """Begin connecting in the background; a broker that is away is tried again and again."""
        self._connection.start()

    def publish(self, device: str, label: str, event: bytes, row_id: int) -> bool:
        """Send a live event (QoS 1) and its bare label (QoS 0), neither retained; False where it was not sent."""
        with self._connection.lock:
            client = self._ready(len(self._rows), IN_FLIGHT)
            if client is None:
                return False
            self._connection.hold(client, True)
            topic = self._topics[device]
            client.publish(topic, label)
            sent = self._send_row(client, event_topic(topic), event, row_id)
            self._connection.hold(client, False)
            self._write_on(client)
        return sent

    def replay(self, stored: Stored) -> bool:
        """Send a row of the log again (QoS 1), an event marked as replayed; False where there is no room now."""
        topic = self._topics.get(stored.device, self._status_topic)
        with self._connection.lock:
            client = self._ready(len(self._replays), REPLAYS_IN_FLIGHT)
            if client is None or len(self._rows) >= IN_FLIGHT:
                return False
            if stored.kind == DROPPED:
                sent = self._send_row(client, dropped_topic(topic), stored.payload, stored.id)
            else:
                sent = self._send_row(client, event_topic(topic), as_replayed(stored.payload), stored.id)
            if sent:
                self._replays.add(stored.id)
                self._connection.hurried = True
            self._write_on(client)
        return sent

    def announce(self, device: str, online: bool) -> None:
        """Say whether the device is online (retained); said again at every new connection."""
        connection = self._connection
        with connection.lock:
            self._states[device] = ONLINE if online else OFFLINE
            if connection.client is not None and not self._stopping:
                self._say(connection.client, device_topic(self._status_topic, device), self._states[device])
                self._write_on(connection.client)

    def stop(self, timeout_s: float = 1.0) -> None:
        """Wait for what is in flight, leave `offline` behind for service and devices, and disconnect.

        Where the broker does not acknowledge that in time the connection is cut, so that it sends the will.
        """
        until_s = time.monotonic() + timeout_s
        with self._connection.lock:
            if self._stopping:
                return
            self._stopping = True
            client = self._connection.client
            if client is not None:
                for device in self._states:
                    self._say(client, device_topic(self._status_topic, device), OFFLINE)
                self._say(client, self._status_topic, OFFLINE)
                self._connection.wake()
            settled = self._settled.wait_for(self._all_through, timeout_s * 0.8)
        self._connection.close(max(0.05, until_s - time.monotonic()), goodbye=settled)
        with self._connection.lock:
            self._give_back()

    def _ready(self, taken: int, room: int) -> paho.Client | None:
        """The client to send one more with, None where there is no room or no connection."""
        connection = self._connection
        if connection.client is not None and taken >= room // 2:
            connection.read(connection.client)
            self._nudge()
        return connection.client if taken < room and not self._stopping else None

    def _write_on(self, client: paho.Client) -> None:
        if client.want_write():
            self._connection.wake()

    def _send_row(self, client: paho.Client, topic: str, payload: bytes, row_id: int) -> bool:
        self._receipts.sent(row_id)
        mid = client.publish(topic, payload, qos=1).mid
        if self._connection.client is not client:  # this very write found the connection lost
            self._receipts.returned([row_id])
            return False
        self._rows[mid] = row_id
        return True

    def _say(self, client: paho.Client, topic: str, state: bytes) -> None:
        mid = client.publish(topic, state, qos=1, retain=True).mid
        if self._connection.client is client:
            self._said.add(mid)

    def _up(self, client: paho.Client) -> None:
        self._refused = None
        self._say(client, self._status_topic, ONLINE)
        for device, state in self._states.items():
            self._say(client, device_topic(self._status_topic, device), state)
        client.subscribe(self._status_topic, qos=1)
        self._changed = True

    def _down(self) -> None:
        self._echo_due = False
        self._said.clear()
        self._give_back()
        self._changed = True
        self._settled.notify_all()

    def _give_back(self) -> None:
        rows = list(self._rows.values())
        self._rows.clear()
        self._replays.clear()
        self._connection.hurried = False
        if rows:
            self._receipts.returned(rows)

    def _turned(self) -> None:
        """After a turn of the connection's thread, without its lock."""
        if self._changed:
            self._changed = False
            self.on_change()

    def _nudge(self) -> None:
        """Acknowledgements that the caller's own thread took are to be told by the other one."""
        if self._changed:
            self._connection.wake()

    def _subscribed(self, codes: Sequence[ReasonCode]) -> None:
        self._echo_due = not any(code.is_failure for code in codes)

    def _heard(self, message: paho.MQTTMessage) -> None:
        """What the status topic says.

        An `offline` that is not ours is the will of an earlier start whose connection timed out late: take it back.
        Our own tells that the broker has passed on all that came before: amqtt acknowledges messages that it
        forgets when the client then disconnects.
        """
        client = self._connection.client
        if message.payload != OFFLINE or client is None:
            return
        if self._stopping:
            self._echo_due = False
            self._settled.notify_all()
        else:
            self._say(client, self._status_topic, ONLINE)

    def _all_through(self) -> bool:
        return not (self._rows or self._said or self._echo_due)

    def _acknowledged(self, mid: int, code: ReasonCode) -> None:
        row_id = self._rows.pop(mid, None)
        if row_id is None:
            self._said.discard(mid)
        elif code.is_failure:
            self._receipts.returned([row_id])
            self._refused = event_topic(next(iter(self._topics.values())))
        else:
            self.acknowledged_s = time.monotonic()
            self._refused = None
            self._receipts.acknowledged(row_id)
        if row_id in self._replays:
            self._replays.discard(row_id)
            self._connection.hurried = bool(self._replays)
            self._changed = True
        if self._stopping:
            self._settled.notify_all()
