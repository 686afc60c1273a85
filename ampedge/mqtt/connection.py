"""The one MQTT connection that is kept up: its thread, its back-off, its protocol version, its troubles in words.

paho is driven as its external-loop interface allows: whoever publishes writes to the socket at once, and the
connection's own thread reads, pings and connects again.  One lock guards every call into paho.
Each connection gets a client of its own, so that nothing of a lost one is left behind.
"""

import contextlib
import random
import secrets
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, cast

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode

from ampedge.settings import MqttSection

KEEPALIVE_S = 20
CONNECT_TIMEOUT_S = 5.0
CONNACK_TIMEOUT_S = 3.0
BACKOFF_S = (1.0, 30.0)
STEADY_S = 10.0
"""A connection that lasted this long is not a failed attempt."""

_CHECK_S = 2.0
_GATHER_S = 0.02
"""How long acknowledgements gather before the thread takes them, so that it does not wake for each."""
_REFUSED_USER = (0x86, 0x87)  # bad user name or password, not authorized
_UNSUPPORTED_VERSION = 0x84
_QUICK_ACK = getattr(socket, "TCP_QUICKACK", None)  # both on Linux only; this one must be set after each read
_CORK = getattr(socket, "TCP_CORK", None)
_V5, _V311 = MQTTProtocolVersion.MQTTv5, MQTTProtocolVersion.MQTTv311


class _End(Enum):
    """How an attempt ended."""

    FAILED = auto()
    OTHER_VERSION = auto()  # the broker does not speak this version, or does not answer in it
    LOST = auto()


@dataclass(frozen=True, slots=True)
class Hooks:
    """What the owner of a connection is told, always with the lock held; none of these may block.

    `up` gets the client of a new connection, before anyone else may use it.
    `acknowledged` gets a message id and the broker's verdict.
    Only `turned` is called without the lock, by the connection's thread after each turn.
    """

    up: Callable[[paho.Client], None]
    down: Callable[[], None]
    message: Callable[[paho.MQTTMessage], None] = lambda _: None
    acknowledged: Callable[[int, ReasonCode], None] | None = None
    subscribed: Callable[[Sequence[ReasonCode]], None] = lambda _: None
    turned: Callable[[], None] = lambda: None


class Connection:
    """Keeps one connection to the broker up in a thread of its own; constructing it connects nothing.

    `versions` are tried in this order where the broker does not answer in one of them; the one that worked stays.
    The client id stays the same at every reconnect, so that the broker ends the old connection at once and its
    will cannot arrive after the new birth.
    `client` is there while the connection is up and is used with `lock` held; `problem` is the latest trouble.
    While `hurried` is set acknowledgements are taken as they come, else they gather for a moment.
    """

    def __init__(
        self,
        mqtt: MqttSection,
        hooks: Hooks,
        *,
        password: str | None,
        versions: Sequence[MQTTProtocolVersion],
        will: tuple[str, bytes] | None = None,
        client_id: str | None = None,
    ) -> None:
        self.lock = threading.RLock()
        self.progress_s = time.monotonic()
        self.hurried = False
        self.client: paho.Client | None = None
        self.problem: str | None = None
        self._mqtt = mqtt
        self._hooks = hooks
        self._password = password
        self._versions = deque(versions)
        self._first_version = versions[0]
        self._will = will
        self._client_id = client_id or f"ampedge{secrets.token_hex(6)}"
        self._where = f"{mqtt.host}:{mqtt.port}"
        self._closing = threading.Event()
        self._end = _End.FAILED
        self._answered = False
        self._thread: threading.Thread | None = None

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread is not None and self._thread.is_alive()

    def condition(self) -> threading.Condition:
        """A condition on the lock."""
        return threading.Condition(self.lock)

    def start(self) -> None:
        """Begin connecting in the background."""
        self._wake_read, self._wake_write = socket.socketpair()
        self._wake_read.setblocking(False)
        self._wake_write.setblocking(False)
        self._thread = threading.Thread(target=self._run, name="ampedge-mqtt", daemon=True)
        self._thread.start()

    def close(self, timeout_s: float, *, goodbye: bool) -> None:
        """End the connection for good; without `goodbye` the broker sends the will.

        Waits at most `timeout_s` for the thread, which is a daemon and may sit in a name look-up.
        """
        if self._thread is None:
            return
        self._closing.set()
        with self.lock:
            if goodbye and self.client is not None:
                self.client.disconnect()
        self.wake()
        self._thread.join(timeout_s)

    def wake(self) -> None:
        """Have the thread look at the socket, where something is left to write."""
        with contextlib.suppress(OSError):
            self._wake_write.send(b"\0")

    def read(self, client: paho.Client) -> None:
        """Take what has arrived, without waiting; with `lock` held.

        paho builds a reason code for each QoS 0 message while it has an `on_publish`, so it has one only here.
        What came is acknowledged at once: until it is, Mosquitto holds back its next packet, for some 40 ms.
        """
        client.on_publish = self._published
        client.loop_read()
        client.on_publish = None
        _set_tcp(client, _QUICK_ACK, True)

    def hold(self, client: paho.Client, wanted: bool) -> None:
        """Have the kernel gather what is written until it is told otherwise, so that it leaves in one packet."""
        _set_tcp(client, _CORK, wanted)

    def _run(self) -> None:
        with self._wake_read, self._wake_write:
            self._keep_up()

    def _keep_up(self) -> None:
        failures = 0
        while not self._closing.is_set():
            started_s = time.monotonic()
            end = self._attempt()
            if end is _End.OTHER_VERSION:
                self._versions.rotate(-1)
                if self._versions[0] is not self._first_version:
                    continue
            steady = end is _End.LOST and time.monotonic() - started_s >= STEADY_S
            failures = 1 if steady else min(failures + 1, 16)
            delay_s = min(BACKOFF_S[1], BACKOFF_S[0] * 2 ** (failures - 1))
            self._closing.wait(delay_s * random.uniform(0.75, 1.25))  # noqa: S311 (jitter)

    def _attempt(self) -> _End:
        self._end = _End.OTHER_VERSION
        self._answered = False
        client = self._make_client(self._versions[0])
        try:
            client.connect(self._mqtt.host, self._mqtt.port, keepalive=KEEPALIVE_S)
            self._pump(client)
        except (OSError, UnicodeError) as error:
            self._end = _End.FAILED if self._end is _End.OTHER_VERSION else self._end
            self.problem = f"The broker at {self._where} cannot be reached: {_in_words(error)}."
        except Exception as error:  # whatever a stranger on that port sends, this thread lives on
            self._end = _End.FAILED
            self.problem = f"What answers at {self._where} is no MQTT broker ({type(error).__name__}: {error})."
        finally:
            with self.lock:
                self._went_down(client)
                if (left := client.socket()) is not None:
                    left.close()
        self._hooks.turned()
        return self._end

    def _pump(self, client: paho.Client) -> None:
        """Read and write until the socket is closed, the broker stays mute, or we are told to end."""
        connack_due_s = time.monotonic() + CONNACK_TIMEOUT_S
        with selectors.DefaultSelector() as selector:
            selector.register(self._wake_read, selectors.EVENT_READ)
            watched = client.socket()
            if watched is None:
                return
            selector.register(watched, selectors.EVENT_READ)
            writing = False
            while True:
                wait_s = _CHECK_S if self.client is client else max(0.0, connack_due_s - time.monotonic())
                ready = {key.fileobj for key, _ in selector.select(wait_s)}
                self.progress_s = time.monotonic()
                taking = watched in ready and self.client is client and self._hooks.acknowledged is not None
                if taking and not self.hurried:
                    self._closing.wait(_GATHER_S)
                with self.lock:
                    if self._wake_read in ready:
                        with contextlib.suppress(BlockingIOError):
                            self._wake_read.recv(4096)
                    if watched in ready:
                        self.read(client)
                    if client.want_write():
                        client.loop_write()
                    client.loop_misc()
                    if client.socket() is None or self._closing.is_set():
                        return
                    if client.want_write() != writing:
                        writing = not writing
                        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if writing else 0)
                        selector.modify(watched, events)
                    if self.client is not client and time.monotonic() >= connack_due_s:
                        self.problem = f"What answers at {self._where} does not answer an MQTT client."
                        return
                self._hooks.turned()

    def _make_client(self, version: MQTTProtocolVersion) -> paho.Client:
        client = paho.Client(CallbackAPIVersion.VERSION2, self._client_id, protocol=version, reconnect_on_failure=False)
        client.suppress_exceptions = True
        client.connect_timeout = CONNECT_TIMEOUT_S
        if self._mqtt.username is not None:
            client.username_pw_set(self._mqtt.username, self._password)
        if self._will is not None:
            client.will_set(*self._will, qos=1, retain=True)
        client.on_socket_open = _no_delay
        client.on_connect = self._connected
        client.on_disconnect = self._disconnected
        client.on_message = lambda _client, _data, message: self._hooks.message(message)
        client.on_subscribe = lambda _client, _data, _mid, codes, _properties: self._hooks.subscribed(codes)
        return client

    def _published(self, _client: paho.Client, _data: Any, mid: int, code: ReasonCode, _properties: Any) -> None:
        if self._hooks.acknowledged is not None:
            self._hooks.acknowledged(mid, code)

    def _connected(self, client: paho.Client, _data: Any, _flags: Any, code: ReasonCode, _properties: Any) -> None:
        self._answered = True
        if not code.is_failure:
            self.client = client
            self.problem = None
            self._end = _End.LOST
            self._hooks.up(client)
        elif code.value == _UNSUPPORTED_VERSION:
            self.problem = f"The broker at {self._where} does not speak this version of MQTT."
        else:
            self._end = _End.FAILED
            self.problem = self._refusal(code)

    def _disconnected(self, client: paho.Client, _data: Any, flags: Any, code: ReasonCode, _properties: Any) -> None:
        if self._closing.is_set():
            self._went_down(client)
        elif self.client is client:
            reason = f": {code}" if flags.is_disconnect_packet_from_server else ""
            self.problem = f"The connection to the broker at {self._where} was lost{reason}."
            self._went_down(client)
        elif not self._answered:
            self.problem = f"What answers at {self._where} closed the connection instead of answering."
        self.wake()

    def _went_down(self, client: paho.Client) -> None:
        if self.client is client:
            self.client = None
            self._hooks.down()

    def _refusal(self, code: ReasonCode) -> str:
        if code.value not in _REFUSED_USER:
            return f"The broker at {self._where} refuses the connection: {code}."
        if self._mqtt.username is None:
            return f"The broker at {self._where} wants a user name and a password."
        return f"The broker at {self._where} refuses the user name or the password."


def _no_delay(client: paho.Client, _data: Any, _opened: Any) -> None:
    """A label must not wait in the kernel for the acknowledgement of the packet before it."""
    _set_tcp(client, socket.TCP_NODELAY, True)


def _set_tcp(client: paho.Client, option: int | None, value: bool) -> None:
    """Set what this system has, on a connection that may just be ending."""
    sock = client.socket()
    if sock is not None and option is not None:
        with contextlib.suppress(OSError):
            cast(socket.socket, sock).setsockopt(socket.IPPROTO_TCP, option, value)


def _in_words(error: Exception) -> str:
    if isinstance(error, socket.gaierror | UnicodeError):
        return "the name is not known"
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens there"
    if isinstance(error, TimeoutError):
        return f"no answer within {CONNECT_TIMEOUT_S:g} s"
    return str(getattr(error, "strerror", None) or error)


VERSIONS = {"auto": (_V5, _V311), "5": (_V5,), "3.1.1": (_V311,)}
"""The versions to try, in order, for each setting of `mqtt.protocol`."""
