"""What `serve` tells the broker: bare labels, events, and whether the service and its device live."""

import threading
import time
from collections.abc import Sequence

import paho.mqtt.client as paho
from paho.mqtt.reasoncodes import ReasonCode

from ampedge.mqtt.connection import VERSIONS, Connection, Hooks
from ampedge.mqtt.topics import device_topic, event_topic, status_topic
from ampedge.settings import MqttSection
from ampedge.wire import as_replayed

IN_FLIGHT = 20
"""Events that may wait for the broker's acknowledgement; one more is dropped and counted."""

ONLINE = b"online"
OFFLINE = b"offline"


class Publisher:
    """Publishes over one connection that is kept up in the background; no method waits for the broker but `stop`.

    Nothing is queued while there is no connection: `publish` then returns False.
    Events that the broker had not acknowledged when a connection was lost are sent again on the next one.
    """

    def __init__(self, mqtt: MqttSection, *, password: str | None, device: str) -> None:
        self.delivered = 0
        self.dropped = 0
        self._topic = mqtt.topic
        self._event_topic = event_topic(mqtt.topic)
        self._status_topic = status_topic(mqtt.topic, mqtt.status_topic)
        self._device_topic = device_topic(self._status_topic, device)
        self._device_state: bytes | None = None
        self._events: dict[int, bytes] = {}
        self._states: set[int] = set()
        self._again: list[bytes] = []
        self._stopping = False
        self._refused = False
        self._echo_due = False
        self._connection = Connection(
            mqtt,
            Hooks(
                up=self._up,
                down=self._down,
                message=self._heard,
                acknowledged=self._acknowledged,
                subscribed=self._subscribed,
            ),
            password=password,
            versions=VERSIONS[mqtt.protocol],
            will=(self._status_topic, OFFLINE),
            client_id=mqtt.client_id,
        )
        self._settled = threading.Condition(self._connection.lock)

    @property
    def connected(self) -> bool:
        """Whether the broker has accepted the connection and it has not been lost since."""
        return self._connection.client is not None

    @property
    def problem(self) -> str | None:
        """The latest trouble with the broker in a sentence, None while all is well."""
        if self._refused and self.connected:
            return f"The broker does not let this user publish to {self._event_topic}."
        return self._connection.problem

    def start(self) -> None:
        """Begin connecting in the background; a broker that is away is tried again and again."""
        self._connection.start()

    def publish(self, label: str | None, event: bytes) -> bool:
        """Send the bare label (QoS 0, not where it is None) and the event (QoS 1), neither retained.

        False, and one more in `dropped`, where there is no connection or too much is in flight.
        """
        connection = self._connection
        with connection.lock:
            if connection.client is not None and len(self._events) >= IN_FLIGHT // 2:
                connection.read(connection.client)
            client = connection.client
            if client is None or self._stopping or len(self._events) >= IN_FLIGHT:
                self.dropped += 1
                return False
            connection.hold(client, True)
            if label is not None:
                client.publish(self._topic, label)
            self._send_event(client, event)
            connection.hold(client, False)
            if client.want_write():
                connection.wake()
        return True

    def announce(self, online: bool) -> None:
        """Say whether the device is online (retained); said again at every new connection."""
        connection = self._connection
        with connection.lock:
            self._device_state = ONLINE if online else OFFLINE
            if connection.client is not None and not self._stopping:
                self._send_state(connection.client, self._device_topic, self._device_state)
                if connection.client.want_write():
                    connection.wake()

    def stop(self, timeout_s: float = 1.0) -> None:
        """Wait for what is in flight, leave `offline` behind for service and device, and disconnect.

        Where the broker does not acknowledge that in time the connection is cut, so that it sends the will.
        """
        until_s = time.monotonic() + timeout_s
        with self._connection.lock:
            if self._stopping:
                return
            self._stopping = True
            client = self._connection.client
            if client is not None:
                if self._device_state is not None:
                    self._send_state(client, self._device_topic, OFFLINE)
                self._send_state(client, self._status_topic, OFFLINE)
                self._connection.wake()
            settled = self._settled.wait_for(self._all_through, timeout_s * 0.8)
        self._connection.close(max(0.05, until_s - time.monotonic()), goodbye=settled)
        with self._connection.lock:
            self.dropped += len(self._events) + len(self._again)

    def _send_event(self, client: paho.Client, event: bytes) -> None:
        mid = client.publish(self._event_topic, event, qos=1).mid
        if self._connection.client is client:
            self._events[mid] = event
        else:  # this very write found the connection lost
            self._again.append(event)

    def _send_state(self, client: paho.Client, topic: str, state: bytes) -> None:
        mid = client.publish(topic, state, qos=1, retain=True).mid
        if self._connection.client is client:
            self._states.add(mid)

    def _up(self, client: paho.Client) -> None:
        self._refused = False
        self._send_state(client, self._status_topic, ONLINE)
        if self._device_state is not None:
            self._send_state(client, self._device_topic, self._device_state)
        again, self._again = self._again, []
        for event in again:
            self._send_event(client, as_replayed(event))
        client.subscribe(self._status_topic, qos=1)

    def _down(self) -> None:
        self._echo_due = False
        self._again.extend(self._events.values())
        self._events.clear()
        self._states.clear()
        self._settled.notify_all()

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
            self._send_state(client, self._status_topic, ONLINE)

    def _all_through(self) -> bool:
        return not (self._events or self._states or self._echo_due)

    def _acknowledged(self, mid: int, refused: bool) -> None:
        if self._events.pop(mid, None) is not None:
            if refused:
                self.dropped += 1
            else:
                self.delivered += 1
            self._refused = refused
        else:
            self._states.discard(mid)
        self._settled.notify_all()
