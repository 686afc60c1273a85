"""A Modbus TCP slave that answers what a test tells it to, byte for byte; and single requests as raw bytes."""

import socket
import struct
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

Answer = Callable[[bytes], bytes | None]


class ScriptedSlave:
    """Hands each request frame to `answer` and sends what it returns; None closes the connection.

    A context manager; `requests` lists the PDUs as they came, `connections` counts.
    """

    def __init__(self, answer: Answer, *, byte_by_byte: bool = False) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self.answer = answer
        self._byte_by_byte = byte_by_byte
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._threads[0].join()
        self._listening.close()
        for connection in self._open:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
        for thread in self._threads[1:]:
            thread.join()

    def say(self, data: bytes) -> None:
        """Send something that nobody asked for, on the latest connection."""
        self._open[-1].sendall(data)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections += 1
            self._open.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            while frame := _frame(connection):
                self.requests.append(frame[7:])
                reply = self.answer(frame)
                if reply is None:
                    return
                try:
                    for piece in [reply[i : i + 1] for i in range(len(reply))] if self._byte_by_byte else [reply]:
                        connection.sendall(piece)
                except OSError:
                    return


def reply(frame: bytes, pdu: bytes) -> bytes:
    """The right header for the answer to `frame`, and `pdu`."""
    return struct.pack(">HHHB", *struct.unpack(">HH", frame[:4]), len(pdu) + 1, frame[6]) + pdu


def registers(frame: bytes, words: list[int]) -> bytes:
    """The answer to a read of registers."""
    return reply(frame, struct.pack(f">BB{len(words)}H", frame[7], 2 * len(words), *words))


def exception(frame: bytes, code: int) -> bytes:
    """The answer that is a Modbus exception."""
    return reply(frame, bytes([frame[7] | 0x80, code]))


def ask(port: int, pdu: bytes, *, unit: int = 1, host: str = "127.0.0.1") -> bytes:
    """The PDU that a slave answers to `pdu`; b"" where it closes the connection."""
    with socket.create_connection((host, port), timeout=5) as connection:
        connection.sendall(struct.pack(">HHHB", 7, 0, len(pdu) + 1, unit) + pdu)
        return _frame(connection)[7:]


def _frame(connection: socket.socket) -> bytes:
    header = _exactly(connection, 7)
    return header and header + _exactly(connection, struct.unpack(">H", header[4:6])[0] - 1)


def _exactly(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        try:
            piece = connection.recv(size - len(data))
        except ConnectionError:
            return b""
        if not piece:
            return b""
        data += piece
    return data
