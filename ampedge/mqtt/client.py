"""paho's client for one connection: its socket is opened our way, and the broker's limits are kept."""

import contextlib
import errno
import os
import select
import socket
import ssl
import time
from typing import Literal, cast

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from ampedge.addresses import resolve
from ampedge.mqtt.tls import TlsSocket, encrypted, in_words

KEEPALIVE_S = 20
LOOK_UP_S = 3.0
CONNECT_TIMEOUT_S = 5.0
"""For all addresses of the broker together, and once more for the handshake of TLS."""
IN_FLIGHT = 20
"""Messages of QoS 1 that may wait for the broker's acknowledgement."""

_PIECE = 4096
_LARGEST_TAKEN = 16_777_216
"""Bytes of one packet that is taken from a broker; MQTT would allow 256 MB, and paho keeps them until it is whole."""

_TAKEN = (b"", b"\x00", b"\x10")  # success, or success though nobody has subscribed
_SUCCESS = ReasonCode(PacketTypes.PUBACK)
_NO_PROPERTIES = Properties(PacketTypes.PUBACK)  # type: ignore[no-untyped-call]
_QUICK_ACK = getattr(socket, "TCP_QUICKACK", None)  # both on Linux only; this one must be set after each read
_CORK = getattr(socket, "TCP_CORK", None)


class Client(paho.Client):
    """Used for one connection and thrown away with it.

    The name is looked up anew, with a limit; with `secure`, the connection is encrypted or there is none.
    `largest` and `window` are what the broker said in MQTT 5: its largest packet in bytes, how many in flight.
    `heard_s` is the monotonic time at which it last said anything.
    """

    def __init__(self, client_id: str, version: MQTTProtocolVersion, secure: ssl.SSLContext | None) -> None:
        super().__init__(CallbackAPIVersion.VERSION2, client_id, protocol=version, reconnect_on_failure=False)
        self.largest: int | None = None
        self.window = IN_FLIGHT
        self.heard_s = float("-inf")
        self._secure = secure
        self._opened: socket.socket | None = None
        self._came = b""
        self._hang_up: select.poll | None = None

    def open(self, host: str, port: int) -> None:
        """Connect and say hello; raises OSError, TlsError among them."""
        self.connect(host, port, keepalive=KEEPALIVE_S)

    def limit(self, properties: Properties) -> None:
        """Keep to what the broker says when it accepts the connection.

        It may want more pings than we send; fewer would hide for longer that it hangs.
        """
        self.largest = getattr(properties, "MaximumPacketSize", None)
        self.window = min(IN_FLIGHT, getattr(properties, "ReceiveMaximum", IN_FLIGHT))
        self._max_inflight_messages = self.window
        self._keepalive = min(self._keepalive or KEEPALIVE_S, KEEPALIVE_S)

    def fits(self, topic: str, payload: bytes) -> bool:
        """Whether the broker takes a message of QoS 1 of this size."""
        return self.largest is None or packet_bytes(topic, payload) <= self.largest

    def has_more(self) -> bool:
        """Whether bytes have come that the system does not know of, since they have already been taken from it."""
        opened = self.socket()
        return bool(self._came) or (isinstance(opened, ssl.SSLSocket) and opened.pending() > 0)

    def gather(self, seconds: float) -> None:
        """Let more arrive for so long, unless the other side hangs up: that is not to be noticed late."""
        if self._hang_up is None:
            time.sleep(seconds)
        else:
            self._hang_up.poll(seconds * 1000)

    def hold(self, wanted: bool) -> None:
        """Have the kernel gather what is written until it is told otherwise, so that it leaves in one packet."""
        self._set_tcp(_CORK, wanted)

    def acknowledge_quickly(self) -> None:
        """Until what came is acknowledged Mosquitto holds back its next packet, for some 40 ms."""
        self._set_tcp(_QUICK_ACK, True)

    def tls_trouble(self) -> str | None:
        """Why the broker ended the encryption after the handshake, as a clause; None where it did not."""
        opened = self._opened
        if isinstance(opened, TlsSocket) and opened.alert is not None:
            return in_words(opened.alert, self.host)
        return None

    def abandon(self) -> None:
        """Close the socket, without a goodbye."""
        opened = self.socket()
        if opened is not None:
            opened.close()

    def _create_socket_connection(self) -> socket.socket:
        plain = _dialled(self.host, self.port)
        # A label must not wait in the kernel for the acknowledgement of the packet before it.
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        if self._secure is None:
            self._opened = plain
        else:
            self._opened = encrypted(plain, self._secure, self.host, CONNECT_TIMEOUT_S)
        if hasattr(select, "POLLRDHUP"):  # on Linux
            self._hang_up = select.poll()
            self._hang_up.register(self._opened, select.POLLRDHUP)
        return self._opened

    def _sock_recv(self, bufsize: int) -> bytes:
        """A part of what was taken from the system in one go, because paho asks for one byte after the other.

        Where it asks for more than any message that is wanted here, the connection ends.
        """
        if bufsize > _LARGEST_TAKEN:
            raise OSError(errno.EMSGSIZE, os.strerror(errno.EMSGSIZE))
        if not self._came:
            self._came = super()._sock_recv(_PIECE)
            self.heard_s = time.monotonic() if self._came else self.heard_s
        part, self._came = self._came[:bufsize], self._came[bufsize:]
        return part

    def _handle_pubackcomp(self, cmd: Literal["PUBACK", "PUBCOMP"]) -> MQTTErrorCode:
        """As paho, without the reason and the properties that it builds for each event, which is most of the work."""
        packet = self._in_packet["packet"]
        if cmd != "PUBACK" or len(packet) < 2 or packet[2:] not in _TAKEN:
            return super()._handle_pubackcomp(cmd)
        mid = packet[0] << 8 | packet[1]
        with self._out_message_mutex:
            if mid in self._out_messages:
                return self._do_on_publish(mid, _SUCCESS, _NO_PROPERTIES)
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _set_tcp(self, option: int | None, value: bool) -> None:
        """Set what this system has, on a connection that may just be ending."""
        opened = self.socket()
        if opened is not None and option is not None:
            with contextlib.suppress(OSError):
                cast(socket.socket, opened).setsockopt(socket.IPPROTO_TCP, option, value)


def packet_bytes(topic: str, payload: bytes) -> int:
    """The size of a message of QoS 1 as brokers count it: the whole packet, with the properties of MQTT 5."""
    body = 2 + len(topic.encode()) + 2 + 1 + len(payload)
    return 1 + _length_bytes(body) + body


def _dialled(host: str, port: int) -> socket.socket:
    """A connection to the first address that answers."""
    addresses = resolve(host, port, timeout_s=LOOK_UP_S)
    until_s = time.monotonic() + CONNECT_TIMEOUT_S
    failed: OSError = TimeoutError()
    for tried, (family, address) in enumerate(addresses):
        dialling = socket.socket(family, socket.SOCK_STREAM)
        dialling.settimeout(max(0.1, (until_s - time.monotonic()) / (len(addresses) - tried)))
        try:
            dialling.connect(address)
        except OSError as error:
            dialling.close()
            failed = error
        else:
            return dialling
    raise failed


def _length_bytes(length: int) -> int:
    """How many bytes MQTT needs to write this length."""
    return 1 + (length > 127) + (length > 16_383) + (length > 2_097_151)
