"""A small MQTT 3.1.1 broker that ends the connection of who subscribes, as some do instead of refusing it."""

import contextlib
import socket
import threading
from types import TracebackType
from typing import Self

_CONNECT, _PUBLISH, _SUBSCRIBE = 1, 3, 8


class ObjectingBroker:
    """Acknowledges what is published and keeps none of it; one connection at a time."""

    def __init__(self) -> None:
        self.connections = 0
        self.topics: list[str] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._client: socket.socket | None = None

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                self._client, _ = self._listening.accept()
                with self._client, contextlib.suppress(OSError, EOFError):
                    while self._answer(self._client):
                        pass

    def _answer(self, client: socket.socket) -> bool:
        kind = self._read(client, 1)[0]
        length, shift = 0, 0
        while True:
            byte = self._read(client, 1)[0]
            length |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
        body = self._read(client, length)
        if kind >> 4 == _CONNECT:
            self.connections += 1
            client.sendall(b"\x20\x02\x00\x00")
        elif kind >> 4 == _PUBLISH:
            end = 2 + int.from_bytes(body[:2], "big")
            self.topics.append(body[2:end].decode())
            if kind & 6:
                client.sendall(b"\x40\x02" + body[end : end + 2])
        return kind >> 4 != _SUBSCRIBE

    def _read(self, client: socket.socket, count: int) -> bytes:
        data = b""
        while len(data) < count:
            more = client.recv(count - len(data))
            if not more:
                raise EOFError
            data += more
        return data

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for each in (self._client, self._listening):
            if each is not None:
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listening.close()
