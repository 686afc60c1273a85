"""A stand-in for systemd: the socket that `$NOTIFY_SOCKET` names, and what has arrived there."""

import socket
from pathlib import Path
from types import TracebackType
from typing import Self


class NotifySocket:
    """Receives what a service says to systemd; `address` goes into the environment.

    With a path it is a socket in the file system, without one an abstract socket as systemd may use.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._receiver.setblocking(False)
        self._receiver.bind("" if path is None else str(path))  # without a name the kernel gives an abstract one
        name = self._receiver.getsockname()
        self.address = name if isinstance(name, str) else "@" + name[1:].decode()
        self._messages: list[dict[str, str]] = []

    @property
    def messages(self) -> list[dict[str, str]]:
        """Every message so far, as the assignments in it."""
        while True:
            try:
                text = self._receiver.recv(65536).decode()
            except BlockingIOError:
                return self._messages
            self._messages.append(dict(line.split("=", 1) for line in text.splitlines()))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._receiver.close()
