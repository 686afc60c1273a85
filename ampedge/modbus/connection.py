"""One TCP connection to a slave: a request goes out, its whole reply comes back in time, or the connection ends."""

import contextlib
import random
import socket
import time
from typing import Any

from ampedge.addresses import resolve
from ampedge.errors import UnreachableError
from ampedge.modbus.replies import LARGEST_FRAME, Garbage, frame_size, framed

_CONNECT_S = 3.0
_BEFORE_SIZE = 7
_OPTIONS = (
    ("SO_KEEPALIVE", socket.SOL_SOCKET, 1),
    ("TCP_KEEPIDLE", socket.IPPROTO_TCP, 10),
    ("TCP_KEEPINTVL", socket.IPPROTO_TCP, 5),
    ("TCP_KEEPCNT", socket.IPPROTO_TCP, 3),
    ("TCP_NODELAY", socket.IPPROTO_TCP, 1),
)


class HungUp(Exception):
    """The slave closed the connection; `idle` where it had done so before it was asked."""

    def __init__(self, *, idle: bool) -> None:
        super().__init__()
        self.idle = idle


class Connection:
    """Opens when first used and again after a loss; whatever goes wrong ends it, so no late reply is ever met.

    Each exchange has one deadline, however slowly the bytes drip in.
    What has come before a request is sent is not its answer; transaction ids are drawn, each another than the one
    before, so what comes unasked in that very moment does not fit either.
    `hangs_up` says that the slave is known to close the connection after each answer.
    """

    def __init__(self, host: str, port: int, *, unit: int, timeout_s: float) -> None:
        self.host = host
        self.port = port
        self.unit = unit
        self.timeout_s = timeout_s
        self.connect_s = min(_CONNECT_S, timeout_s)
        self.opened = 0
        self.hangs_up = False
        self._socket: socket.socket | None = None
        self._limit_s = timeout_s
        self._transaction = random.randrange(65536)  # noqa: S311  # no secret
        self._has_served = False

    @property
    def is_open(self) -> bool:
        """Whether there is a connection, as far as is known."""
        return self._socket is not None

    @property
    def local_address(self) -> tuple[str, int] | None:
        """(host, port) of our end, None while there is no connection."""
        held = self._socket
        with contextlib.suppress(OSError):  # another thread may ask just when it is closed
            return None if held is None else held.getsockname()[:2]
        return None

    def open(self) -> None:
        """Connect to the first address of the name, looked up anew, that accepts; raises UnreachableError."""
        self.close()
        until_s = time.monotonic() + self.connect_s
        try:
            addresses = resolve(self.host, self.port, timeout_s=self.connect_s)
        except OSError as error:
            raise UnreachableError(
                f"The slave's address {self.host}:{self.port} cannot be resolved: {error.strerror}.",
                "Check the name, or give the IP address with --host.",
            ) from error
        last: OSError | None = None
        for tried, (family, address) in enumerate(addresses):
            share_s = (until_s - time.monotonic()) / (len(addresses) - tried)
            try:
                self._socket = self._connect(family, address, max(0.001, share_s))
            except OSError as error:
                last = error
                continue
            self._limit_s = self.timeout_s
            self._has_served = False
            self.opened += 1
            return
        why = f" within {self.connect_s:g} s"
        if last is not None and last.strerror and not isinstance(last, TimeoutError):
            why = f": {last.strerror.lower()}"
        raise UnreachableError(
            f"Nothing accepts connections at {self.host}:{self.port}{why}.",
            "Check --host and --port, the cable and the device's power; "
            "for a slave on this machine start `ampedge serve` first.",
        ) from last

    def close(self) -> None:
        """Close it; the next exchange opens it again."""
        held, self._socket = self._socket, None
        if held is not None:
            with contextlib.suppress(OSError):
                held.close()

    def exchange(self, request: bytes) -> bytes:
        """The answer to a request, without its header.

        Raises UnreachableError, TimeoutError, HungUp, Garbage or another OSError, and has closed the connection then.
        """
        if self._socket is None:
            self.open()
        assert self._socket is not None
        try:
            answer = self._exchange(self._socket, request)
        except BaseException:
            self.close()
            raise
        self._has_served = True
        return answer

    def _connect(self, family: socket.AddressFamily, address: tuple[Any, ...], limit_s: float) -> socket.socket:
        connected = socket.socket(family, socket.SOCK_STREAM)
        try:
            for name, level, value in (*_OPTIONS, ("TCP_USER_TIMEOUT", socket.IPPROTO_TCP, int(1000 * self.timeout_s))):
                if hasattr(socket, name):  # not every system has each of them
                    connected.setsockopt(level, getattr(socket, name), value)
            connected.settimeout(limit_s)
            connected.connect(address)
            connected.settimeout(self.timeout_s)
        except BaseException:
            connected.close()
            raise
        return connected

    def _exchange(self, connected: socket.socket, request: bytes) -> bytes:
        step = random.randrange(1, 65536)  # noqa: S311  # no secret
        self._transaction = transaction = (self._transaction + step) & 0xFFFF
        until_s = time.monotonic() + self.timeout_s
        data = b""
        try:
            self._refuse_unasked(connected)
            self._limit(connected, until_s)
            connected.sendall(framed(transaction, self.unit, request))
            size = _BEFORE_SIZE
            while len(data) < size:
                self._limit(connected, until_s)
                piece = connected.recv(LARGEST_FRAME)
                if not piece:
                    raise HungUp(idle=self._has_served and not data)
                data += piece
                if size == _BEFORE_SIZE and len(data) >= size:
                    size = frame_size(data, transaction, self.unit)
        except BrokenPipeError:  # it had hung up before we asked
            raise HungUp(idle=self._has_served and not data) from None
        except ConnectionError:  # it resets what crosses its hanging up, too
            raise HungUp(idle=self.hangs_up and self._has_served and not data) from None
        if len(data) > size:
            raise Garbage("more follows it")
        return data[_BEFORE_SIZE:]

    def _refuse_unasked(self, connected: socket.socket) -> None:
        """Raise Garbage for bytes that are there before the request is, HungUp where the slave has closed."""
        self._limit_s = 0.0
        connected.settimeout(0.0)
        try:
            unasked = connected.recv(1)
        except BlockingIOError:
            return
        if unasked:
            raise Garbage("it came before the request")
        raise HungUp(idle=self._has_served)

    def _limit(self, connected: socket.socket, until_s: float) -> None:
        """Let the next wait end with the deadline; asks the system for it only where time has passed."""
        left_s = until_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        if not left_s <= self._limit_s <= left_s + 0.02 * self.timeout_s:
            self._limit_s = left_s
            connected.settimeout(left_s)
