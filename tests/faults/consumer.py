"""A consumer that misses nothing which the broker has taken: a client of its own with a session that persists."""

import secrets
from abc import ABC, abstractmethod
from typing import Any, Self

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from tests.support.waiting import wait_until


class Consumer(ABC):
    """A context manager; a test says in `take` what it does with each message."""

    def __init__(self, port: int, topic: str) -> None:
        self.connected = False
        self._port = port
        self._topic = topic
        client_id = f"consumer{secrets.token_hex(4)}"
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id, clean_session=False)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = self._subscribe
        self._client.on_subscribe = self._subscribed
        self._client.on_disconnect = self._lost
        self._client.on_message = lambda _client, _data, message: self.take(message)

    @abstractmethod
    def take(self, message: paho.MQTTMessage) -> None:
        """One message, in the order of arrival."""

    def __enter__(self) -> Self:
        self._client.connect("127.0.0.1", self._port)
        self._client.loop_start()
        wait_until(lambda: self.connected, what="the subscription")
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _subscribe(self, client: paho.Client, *_: Any) -> None:
        client.subscribe(self._topic, qos=1)

    def _subscribed(self, *_: Any) -> None:
        self.connected = True

    def _lost(self, *_: Any) -> None:
        self.connected = False
