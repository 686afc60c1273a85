"""A listener that answers an MQTT CONNECT with given bytes and then says nothing more."""

import contextlib
import socket
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Self


class ScriptedBroker:
    """Answers a client of protocol level 5 or 4 with `answers[level]`, one connection at a time.

    After accepting one it neither reads nor writes, until `read_on` has it read to the end or `hang_up` closes.
    """

    def __init__(self, answers: Mapping[int, bytes]) -> None:
        self.versions: list[int] = []
        self.tail = b""
        self.ended = False
        self._answers = answers
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._listening.settimeout(0.02)
        self.port = self._listening.getsockname()[1]
        self._reading = False
        self._hanging_up = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._serve)

    def read_on(self) -> None:
        """Read what the client sent, to its end; `tail` then holds the last two bytes."""
        self._reading = True

    def hang_up(self) -> None:
        """Close the present connection."""
        self._hanging_up.set()

    def _serve(self) -> None:
        while not self._closing.is_set():
            with contextlib.suppress(OSError):
                client, _ = self._listening.accept()
                with client:
                    self._attend(client)

    def _attend(self, client: socket.socket) -> None:
        client.settimeout(0.02)
        hello = self._read(client, 64)
        if not hello:  # the end
            return
        level = hello[8]  # fixed header, length, "MQTT" with its length, level
        self.versions.append(level)
        client.sendall(self._answers[level])
        accepted = self._answers[level][3:4] == b"\0"
        while not (self._closing.is_set() or self._hanging_up.is_set()):
            if self._reading or not accepted:
                data = self._read(client, 65536)
                self.tail = (self.tail + data)[-2:]
                if not data:
                    self.ended = True
                    return
            else:
                self._hanging_up.wait(0.02)
        self._hanging_up.clear()

    def _read(self, client: socket.socket, most: int) -> bytes:
        while not self._closing.is_set():
            with contextlib.suppress(TimeoutError):
                return client.recv(most)
        return b""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._thread.join()
        self._listening.close()
