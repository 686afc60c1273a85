"""The slave that we host: any Modbus master writes the tags' registers into it, and only those.

Function codes 1 to 4 read; 6 and 16 (5 and 15 for coils) write.
Writes are taken in the bank of the data map and the few registers behind it, because a published master
writes 12 registers for a map of 10; beyond, exception 2; any other writing function code, exception 1.

A master that misbehaves loses its connection and harms no other: a frame that is none, half a frame that is not
finished in time, an answer that is not taken.  Of more than 32 connections one ends: the one that has been idle
longest, first of all among those of a machine that holds more than a quarter of them, and there among those that never
asked anything.  Our own poller's never ends for that.
"""

import contextlib
import errno
import functools
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from pyModbusTCP.constants import EXP_DATA_ADDRESS
from pyModbusTCP.server import DataBank, DataHandler, ModbusServer

from ampedge.datamap import WRITABLE_TABLES, DataMap
from ampedge.errors import AmpedgeError, InUseError, UsageError
from ampedge.modbus.plan import plan_reads

SPARE_REGISTERS = 8
MOST_CONNECTIONS = 32
FAIR_SHARE = MOST_CONNECTIONS // 4
"""A machine with more connections than this gives one up before another machine does."""
FRAME_S = 10.0
"""Seconds in which a frame that has begun must be whole."""
_BACKLOG = 128
_STOP_S = 0.05
_WRITE_READ_REGISTERS = 23
_BEFORE_DATA = 5
"""Where a request of function code 15 or 16 says how many bytes follow."""
_COIL_WRITES = (5, 15)
_REGISTER_WRITES = (6, 16)
_Peer = tuple[str, int]


class EmbeddedSlave:
    """A Modbus TCP slave in this process for one data map; every register is zero until it is written.

    `on_write` is called in the connection's thread after each accepted write and must return at once; it is told
    whether the write was a whole row, which one read of the map finds whole however fast they follow each other.
    `is_ours` tells by its (host, port) whether a master is one of this process, whose connection never ends for
    another one's sake.
    `port` 0 takes any free port.
    """

    def __init__(
        self,
        host: str,
        port: int,
        datamap: DataMap,
        *,
        on_write: Callable[[bool], None] = lambda _: None,
        is_ours: Callable[[_Peer], bool] = lambda _: False,
    ) -> None:
        unwritable = [tag.name for tag in datamap.tags if tag.table not in WRITABLE_TABLES]
        if unwritable:
            raise UsageError(
                f"A slave hosted here could never get values for {', '.join(unwritable)}: "
                "a master can write holding registers and coils only.",
                "Put these tags into the holding table, or poll the device itself with --slave external.",
            )
        self.host = host
        self.port = port
        handler = _MapHandler(datamap, on_write)
        self._server = _Server(host=host, port=port, no_block=True, ipv6=":" in host, data_hdl=handler, is_ours=is_ours)
        has = {tag.table for tag in datamap.tags}
        refused = [_WRITE_READ_REGISTERS]
        refused += [] if "coil" in has else _COIL_WRITES
        refused += [] if "holding" in has else _REGISTER_WRITES
        for function in refused:
            self._server._func_map.pop(function, None)

    def start(self) -> None:
        """Listen; raises InUseError for a taken port, UsageError for a port or address that is not ours."""
        try:
            self._server.start()
        except ModbusServer.NetworkError as error:
            self._server._service.server_close()
            cause = error.args[0]
            raise _listen_error(self.host, self.port, cause) from error
        service = self._server._service
        service.socket.listen(_BACKLOG)  # the library's own backlog of 5 makes a burst of masters wait
        self.port = service.server_address[1]
        while not self._server.is_run:
            time.sleep(0.001)

    def stop(self) -> None:
        """Stop listening and end all connections."""
        self._server.stop()
        self._server.connections.end()


class _Ipv6Socket:
    """A connection whose peer's address has two parts, as the library expects."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def getpeername(self) -> tuple[str, int]:
        host, port, *_ = self._connection.getpeername()
        return host, port

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


class _Connections:
    """Those that are open; the limit of them."""

    def __init__(self, is_ours: Callable[[_Peer], bool]) -> None:
        self._is_ours = is_ours
        self._open: set[_Connection] = set()
        self._lock = threading.Lock()

    def add(self, connection: "_Connection") -> None:
        with self._lock:
            if len(self._open) >= MOST_CONNECTIONS:
                held = Counter(one.peer[0] for one in self._open)
                others = [one for one in self._open if not self._is_ours(one.peer)]
                idlest = min(others, key=lambda one: (held[one.peer[0]] <= FAIR_SHARE, one.has_asked, one.active_s))
                self._open.discard(idlest)
                idlest.end()
            self._open.add(connection)

    def discard(self, connection: "_Connection") -> None:
        with self._lock:
            self._open.discard(connection)

    def end(self) -> None:
        with self._lock:
            for connection in self._open:
                connection.end()


class _Connection(ModbusServer.ModbusService):  # type: ignore[misc]
    """The library's connection, which alone would wait for ever for the rest of a frame."""

    request: Any
    client_address: Any

    def __init__(self, *arguments: Any, connections: _Connections) -> None:
        self._connections = connections
        self._whole_s: float | None = None
        self.has_asked = False
        self.active_s = time.monotonic()
        super().__init__(*arguments)

    def setup(self) -> None:
        super().setup()
        if self.request.family == socket.AF_INET6:
            self.request = _Ipv6Socket(self.request)
        self.peer: _Peer = self.client_address[:2]
        self._connections.add(self)

    def finish(self) -> None:
        self._connections.discard(self)

    def end(self) -> None:
        """Close it from another thread."""
        with contextlib.suppress(OSError):
            self.request.shutdown(socket.SHUT_RDWR)

    def _recv_all(self, size: int) -> bytes:
        """The header of a frame, whenever it comes, or the rest of it, in time."""
        is_header = self._whole_s is None
        data = b""
        while len(data) < size:
            if not self.server_running or (self._whole_s is not None and time.monotonic() > self._whole_s):
                raise ModbusServer.NetworkError("stopped, or half a frame")
            try:
                piece = self.request.recv(size - len(data))
            except TimeoutError:
                continue
            if not piece:
                raise ModbusServer.NetworkError("closed")
            data += piece
            if self._whole_s is None:
                self._whole_s = time.monotonic() + FRAME_S
        if not is_header:
            if len(data) != _request_size(data):
                raise ModbusServer.NetworkError("longer or shorter than its function code says")
            self._whole_s = None
            self.has_asked = True
            self.active_s = time.monotonic()
        return data

    def _send_all(self, data: bytes) -> bool:
        """Send, or give up a master that does not take its answers."""
        self.request.sendall(data)
        return True


class _Server(ModbusServer):  # type: ignore[misc]
    """The library's server, which alone would serve no IPv6 peer and take half a second to stop."""

    def __init__(self, *, is_ours: Callable[[_Peer], bool], **options: Any) -> None:
        super().__init__(**options)
        self.connections = _Connections(is_ours)
        self.ModbusService = functools.partial(_Connection, connections=self.connections)

    def _serve(self) -> None:
        self._evt_running.set()
        try:
            self._service.serve_forever(poll_interval=_STOP_S)
        finally:
            self._evt_running.clear()


class _MapHandler(DataHandler):  # type: ignore[misc]  # the library has no types
    """Takes writes inside the bank of the map and tells about each."""

    def __init__(self, datamap: DataMap, on_write: Callable[[bool], None]) -> None:
        self._ranges = {table: _bank(datamap, table) for table in WRITABLE_TABLES}
        super().__init__(
            DataBank(
                coils_size=self._ranges["coil"][1],
                d_inputs_size=0,
                h_regs_size=self._ranges["holding"][1],
                i_regs_size=0,
            )
        )
        self._on_write = on_write
        blocks = plan_reads(datamap).blocks
        self._row = blocks[0] if len(blocks) == 1 else None

    def write_coils(self, address: int, bits_l: list[bool], srv_info: Any) -> Any:
        return self._write("coil", address, bits_l, super().write_coils, srv_info)

    def write_h_regs(self, address: int, words_l: list[int], srv_info: Any) -> Any:
        return self._write("holding", address, words_l, super().write_h_regs, srv_info)

    def _write(self, table: str, address: int, data: list[Any], write: Callable[..., Any], srv_info: Any) -> Any:
        start, end = self._ranges[table]
        if address < start or address + len(data) > end:
            return DataHandler.Return(exp_code=EXP_DATA_ADDRESS)
        done = write(address, data, srv_info)
        self._on_write(self._is_row(table, address, address + len(data)))
        return done

    def _is_row(self, table: str, start: int, end: int) -> bool:
        if self._row is None or self._row.table != table:
            return False
        return start <= self._row.address and end >= self._row.address + self._row.count


def _request_size(pdu: bytes) -> int:
    """Bytes of the request that begins like this, as far as its function code says it."""
    if pdu[0] in (1, 2, 3, 4, 5, 6):
        return 5
    if pdu[0] in (15, 16) and len(pdu) > _BEFORE_DATA:
        return _BEFORE_DATA + 1 + pdu[_BEFORE_DATA]
    return len(pdu)


def _bank(datamap: DataMap, table: str) -> tuple[int, int]:
    tags = [tag for tag in datamap.tags if tag.table == table]
    if not tags:
        return 0, 0
    return min(tag.address for tag in tags), min(65536, max(tag.end for tag in tags) + SPARE_REGISTERS)


def _listen_error(host: str, port: int, cause: OSError) -> AmpedgeError:
    where = f"{host}:{port}"
    if isinstance(cause, PermissionError):
        return UsageError(
            f"This user may not listen on {where}: ports below 1024 need a right.",
            f"Give it to all users with `sudo sysctl net.ipv4.ip_unprivileged_port_start={port}`, "
            "to a systemd service with `AmbientCapabilities=CAP_NET_BIND_SERVICE`, "
            "or choose another port with --port 5020.",
        )
    if cause.errno == errno.EADDRINUSE:
        return InUseError(
            f"Another program already listens on {where}, so the slave cannot be hosted there.",
            "Choose another port with --port, or poll what is there with --slave external.",
        )
    if cause.errno == errno.EADDRNOTAVAIL or isinstance(cause, socket.gaierror):
        return UsageError(
            f"{host} is not an address of this machine, so the slave cannot be hosted there.",
            "Give this machine's own address with --host, or poll that device with --slave external.",
        )
    return UsageError(
        f"The slave cannot listen on {where}: {cause.strerror or cause}.", "Choose another --host or --port."
    )
