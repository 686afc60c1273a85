"""The one MQTT connection that is kept up: its thread, its protocol version, its troubles in words.

paho is driven as its external-loop interface allows: whoever publishes writes to the socket at once, and the
connection's own thread reads, pings and connects again.  One lock guards every call into paho.
Each connection gets a client of its own, so that nothing of a lost one is left behind.
"""

import contextlib
import selectors
import socket
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import paho.mqtt.client as paho
from paho.mqtt.enums import MQTTProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode

from ampedge.log import logger
from ampedge.mqtt.client import CONNECT_TIMEOUT_S, Client
from ampedge.mqtt.retries import BACKOFF_S, End, Retries
from ampedge.mqtt.tls import TlsError, context
from ampedge.settings import MqttSection

CONNACK_TIMEOUT_S = 3.0
UNACKNOWLEDGED_S = 20.0
"""A broker that has not acknowledged a message for so long is taken for dead."""

_IDLE_S = 5.0
"""After so long without a word somebody on the way may close a connection for being idle."""
_CHECK_S = 1.0
_GATHER_S = 0.02
"""How long acknowledgements gather before the thread takes them, so that it does not wake for each."""
_REFUSED_USER = (0x86, 0x87)  # bad user name or password, not authorized
_REFUSED = (*_REFUSED_USER, 0x85, 0x8A, 0x8C)  # client id not valid, banned, bad authentication method
_UNSUPPORTED_VERSION = 0x84
_KEEPALIVE_TIMEOUT = 0x8D
_TAKEN_OVER = 0x8E
_BLAMED = (0x81, 0x82, 0x90, 0x95, 0x99)  # malformed, protocol error, topic invalid, too large, format invalid
_V5, _V311 = MQTTProtocolVersion.MQTTv5, MQTTProtocolVersion.MQTTv311


@dataclass(frozen=True, slots=True)
class Hooks:
    """What the owner of a connection is told, always with the lock held; none of these may block.

    `up` gets the client of a new connection, before anyone else may use it.
    `down` is called at each end of a connection that the broker had accepted, be it before `up`.
    `acknowledged` gets a message id and the broker's verdict.
    `turn` is called by the connection's thread while it stands, once a second at least.
    `oldest_s` is the monotonic time of the oldest message that waits for its acknowledgement.
    `unexplained` says that nothing of ours is on its way that could be why the connection is closed now.
    `refused` gets the sentence about a trouble that somebody has to mend, each time that it is met.
    Only `turned` is called without the lock, after each turn of the thread.
    """

    up: Callable[[Client], None]
    down: Callable[[End], None]
    message: Callable[[paho.MQTTMessage], None] = lambda _: None
    acknowledged: Callable[[int, ReasonCode], None] | None = None
    subscribed: Callable[[Sequence[ReasonCode]], None] = lambda _: None
    refused: Callable[[str], None] = lambda _: None
    turn: Callable[[Client], None] = lambda _: None
    turned: Callable[[], None] = lambda: None
    oldest_s: Callable[[], float | None] = lambda: None
    unexplained: Callable[[], bool] = lambda: True


class Connection:
    """Keeps one connection to the broker up in a thread of its own; constructing it connects nothing.

    `versions` are tried in this order where the broker does not answer in one of them; the one that worked stays.
    The client id stays the same at every reconnect, so that the broker ends the old connection at once and its
    will cannot arrive after the new birth.
    `client` is there while the connection is up and is used with `lock` held; the broker accepts a connection a
    while before that where it is to be quiet at first, see Retries.
    `problem` is the latest trouble, `refused` says that somebody has to mend it, `troubles` counts all of them.
    `progress_s` is the monotonic time of the thread's latest turn: at most some 15 s ago, which is a look-up, a
    connect and a handshake that all fail slowly.
    While `hurried` is set acknowledgements are taken as they come, else they gather for a moment.
    Raises ConfigError for files of TLS that cannot be used.
    """

    def __init__(
        self,
        mqtt: MqttSection,
        hooks: Hooks,
        *,
        password: str | None,
        client_id: str,
        versions: Sequence[MQTTProtocolVersion],
        will: tuple[str, bytes] | None = None,
    ) -> None:
        self.lock = threading.RLock()
        self.client: Client | None = None
        self.problem: str | None = None
        self.refused = False
        self.troubles = 0
        self.retries = Retries()
        self.progress_s = time.monotonic()
        self.hurried = False
        self._mqtt = mqtt
        self._hooks = hooks
        self._password = password
        self._client_id = client_id
        self._versions = deque(versions)
        self._first_version = versions[0]
        self._first_works = False
        self._will = will
        self._secure = context(mqtt)
        self._where = f"{mqtt.host}:{mqtt.port}"
        self._closing = threading.Event()
        self._end = End.FAILED
        self._unexplained = self._idle = False
        self._answered = False
        self._unsupported = False
        self._broken = False
        self._bugs: set[str] = set()
        self._speaks_s: float | None = None  # from when the connection that the broker has accepted may be used
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

        Waits at most `timeout_s` for the thread, which is a daemon and may sit in a connect.
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
        """Have the thread look at the socket, where something is left to read or write."""
        with contextlib.suppress(OSError):
            self._wake_write.send(b"\0")

    def read(self, client: Client) -> None:
        """Take what has arrived, without waiting; with `lock` held.

        paho builds a reason code for each QoS 0 message while it has an `on_publish`, so it has one only here.
        """
        client.on_publish = self._published
        client.loop_read()
        client.on_publish = None
        client.acknowledge_quickly()
        if client.has_more():
            self.wake()

    def broke(self, error: Exception) -> None:
        """Something unexpected: say so once, and make the connection anew, since nobody knows what it left undone."""
        where = traceback.extract_tb(error.__traceback__)[-1:]
        kind = f"{type(error).__name__} {where[0].filename}:{where[0].lineno}" if where else type(error).__name__
        if kind not in self._bugs:
            self._bugs.add(kind)
            logger.error("The connection to the broker is made anew after an unexpected error.", exc_info=error)
        self.problem = f"An unexpected error ended the connection to {self._where} ({type(error).__name__}: {error})."
        self._broken = True
        self.wake()

    def _run(self) -> None:
        with self._wake_read, self._wake_write:
            while not self._closing.is_set():
                try:
                    pause_s = self._next()
                except Exception as error:
                    self.broke(error)
                    pause_s = BACKOFF_S[1]
                self._rest(pause_s)

    def _rest(self, pause_s: float) -> None:
        until_s = time.monotonic() + pause_s
        while not self._closing.is_set() and (left_s := until_s - time.monotonic()) > 0:
            self.progress_s = time.monotonic()
            self._closing.wait(min(left_s, _CHECK_S))

    def _next(self) -> float:
        """One attempt, to its end; the seconds to wait after it."""
        end = self._attempt()
        if end is End.OTHER_VERSION:
            self._versions.rotate(-1)
            if self._versions[0] is not self._first_version:
                return 0.0
        pause_s = self.retries.ended(end, unexplained=self._unexplained, idle=self._idle)
        if self.retries.contested:
            self._trouble(
                f"Another client uses the client id {self._client_id} at the broker at {self._where}, and they end "
                f"each other's connection. Next try in {pause_s:g} s; give one of them another mqtt.client_id.",
                refused=True,
            )
        return pause_s

    def _attempt(self) -> End:
        self._end = End.OTHER_VERSION
        self._answered = self._broken = self._unsupported = False
        self._unexplained = False
        client = self._make_client(self._versions[0])
        try:
            client.open(self._mqtt.host, self._mqtt.port)
            self._pump(client)
        except TlsError as error:
            self._end = End.FAILED
            self._trouble(f"No encrypted connection to the broker at {self._where}: {error}.", refused=error.lasting)
        except (OSError, UnicodeError) as error:
            self._failed()
            self._trouble(f"The broker at {self._where} cannot be reached: {_in_words(error)}.")
        except Exception as error:  # whatever a stranger on that port sends, this thread lives on
            self._failed()
            self.broke(error)
            if not self._answered:
                self._trouble(f"What answers at {self._where} is no MQTT broker ({type(error).__name__}: {error}).")
        finally:
            with self.lock:
                self._went_down(client)
                client.abandon()
        self._turned()
        if self._first_works and not self._unsupported:
            self._failed()  # it only did not answer this time
        return self._end

    def _failed(self) -> None:
        self._end = End.FAILED if self._end is End.OTHER_VERSION else self._end

    def _turned(self) -> None:
        try:
            self._hooks.turned()
        except Exception as error:
            self.broke(error)

    def _pump(self, client: Client) -> None:
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
                stands = self.client is client
                due_s = connack_due_s if self._speaks_s is None else self._speaks_s
                wait_s = _CHECK_S if stands else max(0.0, due_s - time.monotonic())
                ready = {key.fileobj for key, _ in selector.select(wait_s)}
                self.progress_s = now_s = time.monotonic()
                readable = watched in ready
                if readable and stands and not self.hurried and self._hooks.acknowledged:
                    client.gather(_GATHER_S)
                with self.lock:
                    if self._wake_read in ready:
                        with contextlib.suppress(BlockingIOError):
                            self._wake_read.recv(4096)
                    if readable or client.has_more():
                        self.read(client)
                    if client.want_write():
                        client.loop_write()
                    client.loop_misc()
                    if self.client is client:
                        self._hooks.turn(client)
                    elif self._speaks_s is not None and now_s >= self._speaks_s:
                        self._comes_up(client)
                    if client.socket() is None or self._closing.is_set() or self._is_lost(client, now_s, connack_due_s):
                        return
                    if client.want_write() != writing:
                        writing = not writing
                        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if writing else 0)
                        selector.modify(watched, events)
                self._turned()

    def _is_lost(self, client: Client, now_s: float, connack_due_s: float) -> bool:
        """Whether the connection is to be given up though nobody has closed it."""
        if self._broken:
            return True
        if self.client is not client:
            if now_s < connack_due_s or self._speaks_s is not None:
                return False
            self._trouble(f"What answers at {self._where} does not answer an MQTT client.")
            return True
        oldest_s = self._hooks.oldest_s()
        if oldest_s is None or now_s - oldest_s < UNACKNOWLEDGED_S:
            return False
        self._trouble(f"The broker at {self._where} has acknowledged nothing for {UNACKNOWLEDGED_S:g} s.")
        return True

    def _make_client(self, version: MQTTProtocolVersion) -> Client:
        client = Client(self._client_id, version, self._secure)
        if self._mqtt.username is not None:
            client.username_pw_set(self._mqtt.username, self._password)
        if self._will is not None:
            client.will_set(*self._will, qos=1, retain=True)
        client.on_connect = self._guarded(self._connected)
        client.on_disconnect = self._guarded(self._disconnected)
        client.on_message = self._guarded(lambda _client, _data, message: self._hooks.message(message))
        client.on_subscribe = self._guarded(
            lambda _client, _data, _mid, codes, _properties: self._hooks.subscribed(codes)
        )
        return client

    def _guarded(self, callback: Callable[..., None]) -> Callable[..., None]:
        """paho's callback that raises nothing: an exception would end in whoever publishes just then."""

        def call(*arguments: Any) -> None:
            try:
                callback(*arguments)
            except Exception as error:
                self.broke(error)

        return call

    def _published(self, _client: paho.Client, _data: Any, mid: int, code: ReasonCode, _properties: Any) -> None:
        if self._hooks.acknowledged is not None:
            try:
                self._hooks.acknowledged(mid, code)
            except Exception as error:
                self.broke(error)

    def _connected(self, given: paho.Client, _data: Any, _flags: Any, code: ReasonCode, properties: Any) -> None:
        client = cast(Client, given)
        self._answered = True
        if not code.is_failure:
            client.limit(properties)
            self.retries.stands()
            self._first_works = self._first_works or self._versions[0] is self._first_version
            self._end = End.SILENT
            self._speaks_s = time.monotonic() + self.retries.quiet_s
            if self.retries.quiet_s == 0.0:
                self._comes_up(client)
        elif code.value == _UNSUPPORTED_VERSION:
            self._unsupported = True
            self._trouble(f"The broker at {self._where} does not speak this version of MQTT.")
        else:
            self._end = End.REFUSED if code.value in _REFUSED else End.FAILED
            self._trouble(self._refusal(code), refused=self._end is End.REFUSED)

    def _comes_up(self, client: Client) -> None:
        self.client = client
        self.problem = None
        self.refused = False
        self._hooks.up(client)

    def _disconnected(self, given: paho.Client, _data: Any, flags: Any, code: ReasonCode, _properties: Any) -> None:
        client = cast(Client, given)
        if self._speaks_s is not None and not self._closing.is_set():
            self._end = _kind(code, said=flags.is_disconnect_packet_from_server)
            reason = f": {code}" if flags.is_disconnect_packet_from_server else ""
            if self._end is End.TAKEN_OVER:
                reason = f": another client has connected as {self._client_id}"
            self._trouble(f"The connection to the broker at {self._where} was lost{reason}.")
        elif not self._answered and not self._closing.is_set():
            self._trouble(f"What answers at {self._where} closed the connection instead of answering; {self._hint()}.")
        if (said := client.tls_trouble()) is not None:
            self._end = End.REFUSED
            self._trouble(f"No encrypted connection to the broker at {self._where}: {said}.", refused=True)
        self._went_down(client)
        self.wake()

    def _went_down(self, client: Client) -> None:
        if self._speaks_s is not None:
            self._speaks_s = self.client = None
            self._idle = time.monotonic() - client.heard_s >= _IDLE_S
            try:
                self._unexplained = self._hooks.unexplained()
                self._hooks.down(self._end)
            except Exception as error:
                self.broke(error)

    def _trouble(self, sentence: str, *, refused: bool = False) -> None:
        self.troubles += 1
        if refused:
            self._hooks.refused(sentence)
        self.problem = sentence
        self.refused = refused

    def _hint(self) -> str:
        if not self._mqtt.tls:
            return "perhaps it wants TLS (mqtt.tls)"
        if self._mqtt.cert_file is None:
            return "perhaps it wants a client certificate (mqtt.cert_file, mqtt.key_file)"
        return "perhaps it refuses this client's certificate (mqtt.cert_file)"

    def _refusal(self, code: ReasonCode) -> str:
        if code.value not in _REFUSED_USER:
            return f"The broker at {self._where} refuses the connection: {code}."
        if self._mqtt.username is None:
            return f"The broker at {self._where} wants a user name and a password."
        return f"The broker at {self._where} refuses the user name or the password."


def _kind(code: ReasonCode, *, said: bool) -> End:
    """How a connection that stood has ended; `said` means that the broker gave this reason."""
    if said:
        return End.TAKEN_OVER if code.value == _TAKEN_OVER else End.BLAMED if code.value in _BLAMED else End.DISMISSED
    return End.SILENT if code.value == _KEEPALIVE_TIMEOUT else End.CLOSED


def _in_words(error: Exception) -> str:
    if isinstance(error, socket.gaierror | UnicodeError):
        return "the name is not known"
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens there"
    if isinstance(error, TimeoutError):
        return str(error.strerror or f"no answer within {CONNECT_TIMEOUT_S:g} s")
    return str(getattr(error, "strerror", None) or error)


VERSIONS = {"auto": (_V5, _V311), "5": (_V5,), "3.1.1": (_V311,)}
"""The versions to try, in order, for each setting of `mqtt.protocol`."""
