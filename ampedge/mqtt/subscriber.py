"""What arrives from the broker: messages in their order, over a connection that subscribes anew by itself."""

import secrets
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import paho.mqtt.client as paho
from paho.mqtt.reasoncodes import ReasonCode

from ampedge.errors import UnreachableError
from ampedge.mqtt.connection import VERSIONS, Connection, Hooks
from ampedge.mqtt.retries import End
from ampedge.settings import MqttSection

MOST_WAITING = 10_000
"""Messages kept for a reader that falls behind; the oldest go first."""
MOST_BYTES = 64 * 1024 * 1024
"""The same, in bytes."""
LARGEST = 1024 * 1024
"""A larger payload than this is nothing of ours and is left out."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message; `retained` says that the broker kept it from before the subscription.

    `received_s` is monotonic time.
    """

    topic: str
    payload: bytes
    retained: bool
    received_s: float


class Subscriber:
    """Receives what is published to `topics`, for as long as it is open, across losses of the broker.

    A context manager: entering begins to connect and, unless `wait_s` is None, waits that long for the
    subscription to stand; raises UnreachableError where it does not.
    Under protocol `auto` it speaks MQTT 3.1.1, which every broker does.
    """

    def __init__(
        self, mqtt: MqttSection, *, password: str | None, topics: Sequence[str], wait_s: float | None = None
    ) -> None:
        self._where = f"{mqtt.host}:{mqtt.port}"
        self._topics = tuple(topics)
        self._wait_s = wait_s
        self._subscribed = False
        self._refused: str | None = None
        self._messages: deque[Message] = deque()
        self._bytes = 0
        self._closed = False
        self._connection = Connection(
            mqtt,
            Hooks(up=self._up, down=self._down, message=self._arrived, subscribed=self._granted),
            password=password,
            client_id=f"ampedge-{secrets.token_hex(8)}",
            versions=VERSIONS["3.1.1" if mqtt.protocol == "auto" else mqtt.protocol],
        )
        self._changed = self._connection.condition()

    @property
    def connected(self) -> bool:
        """Whether every topic is subscribed: what is published from now on arrives here."""
        return self._subscribed

    @property
    def problem(self) -> str | None:
        """The latest trouble with the broker in a sentence, None while all is well."""
        return self._refused or self._connection.problem

    def start(self) -> None:
        """Begin connecting in the background; a broker that is away is tried again and again."""
        self._connection.start()

    def connect(self, timeout_s: float) -> None:
        """Wait until the subscription stands; raises UnreachableError where it does not within `timeout_s`."""
        with self._changed:
            self._changed.wait_for(lambda: self._subscribed or self._refused is not None, timeout_s)
            if self._subscribed:
                return
        raise UnreachableError(
            self.problem or f"The broker at {self._where} did not answer within {timeout_s:g} s.",
            "Check that the broker runs there, or name another one with --broker HOST:PORT.",
        )

    def get(self, timeout_s: float) -> Message | None:
        """The next message, or None where none arrives within `timeout_s` or this is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._messages or self._closed, timeout_s)
            if not self._messages:
                return None
            message = self._messages.popleft()
            self._bytes -= len(message.payload)
            return message

    def close(self) -> None:
        """Disconnect; a reader that waits gets None."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._connection.close(1.0, goodbye=True)

    def __enter__(self) -> Self:
        self.start()
        if self._wait_s is not None:
            try:
                self.connect(self._wait_s)
            except BaseException:
                self.close()
                raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[Message]:
        """Messages as they arrive, until this is closed."""
        while not self._closed:
            message = self.get(1.0)
            if message is not None:
                yield message

    def _up(self, client: paho.Client) -> None:
        self._refused = None
        client.subscribe([(topic, 1) for topic in self._topics])

    def _down(self, _end: End) -> None:
        self._subscribed = False

    def _granted(self, codes: Sequence[ReasonCode]) -> None:
        refused = [topic for topic, code in zip(self._topics, codes, strict=False) if code.is_failure]
        if refused:
            self._refused = f"The broker at {self._where} does not let this user read {', '.join(refused)}."
        self._subscribed = not refused
        self._changed.notify_all()

    def _arrived(self, message: paho.MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            return  # no topic of ours
        if len(message.payload) > LARGEST:
            return
        self._messages.append(Message(topic, bytes(message.payload), message.retain, time.monotonic()))
        self._bytes += len(message.payload)
        while len(self._messages) > MOST_WAITING or self._bytes > MOST_BYTES:
            self._bytes -= len(self._messages.popleft().payload)
        self._changed.notify_all()
