"""The status socket: whoever connects to `status.sock` in the state directory gets one JSON document.

A file would still be there after a crash, and would be written to the card again and again; a socket does neither.
While the directory cannot be used, as on a card that is read-only, there is a socket without a file (on Linux).
"""

import contextlib
import hashlib
import json
import os
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ampedge.errors import UnreachableError
from ampedge.log import logger
from ampedge.service.snapshot import SCHEMA_VERSION
from ampedge.store.state_dir import SOCKET_NAME

LOOK_S = 5.0
"""After so long it is looked whether the socket is where it should be."""

_TURN_S = 0.5
_SEND_S = 1.0
_WAITING_CLIENTS = 16
_LONGEST_ADDRESS = 103
"""Bytes of a socket's path that every system takes; Linux takes 107."""
_LARGEST_BYTES = 4_000_000


class StatusSocket:
    """Sends `snapshot()` to each client from a thread of its own; a context manager, or `start` and `stop`.

    A client that does not read holds up the next one for a second, and nobody else.
    While `held` says that the directory's lock is ours, a socket that is there is left over; else it is another's.
    """

    def __init__(
        self, directory: Path, snapshot: Callable[[], dict[str, Any]], *, held: Callable[[], bool] = lambda: True
    ) -> None:
        self.progress_s = time.monotonic()
        self._directory = directory
        self._snapshot = snapshot
        self._held = held
        self._stopping = threading.Event()
        self._listening: socket.socket | None = None
        self._file: os.stat_result | None = None
        self._thread: threading.Thread | None = None

    @property
    def alive(self) -> bool:
        """Whether the thread runs, where there is one to run."""
        return self._thread is None or self._thread.is_alive()

    def start(self) -> None:
        """Listen; where that cannot be, say so and try again now and then."""
        if not hasattr(socket, "AF_UNIX"):
            return
        try:
            self._listen()
        except OSError as error:
            logger.warning("The service cannot be asked how it is: %s: %s.", self._directory / SOCKET_NAME, error)
        self.progress_s = time.monotonic()
        self._stopping.clear()
        self._thread = threading.Thread(target=self._serve, name="status", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Take the socket away; may be called again."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self._stopping.set()
        if (listening := self._listening) is not None:
            with contextlib.suppress(OSError):
                listening.shutdown(socket.SHUT_RDWR)  # ends the wait for a client
        thread.join(_TURN_S + _SEND_S)
        self._take_away()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _listen(self) -> None:
        """Listen in the directory, or without a file while that cannot be; raises OSError where neither can."""
        held, there = self._held(), self._is_there()
        if self._listening is not None and (there if held else self._file is None):
            return
        self._take_away()
        if held:
            with contextlib.suppress(OSError):
                self._listening = _listening(self._directory)
                self._file = (self._directory / SOCKET_NAME).stat()
                return
        self._listening = _listening_without_file(self._directory)

    def _is_there(self) -> bool:
        """Whether the file that others find is the socket on which we listen."""
        with contextlib.suppress(OSError):
            return self._file is not None and os.path.samestat(self._file, (self._directory / SOCKET_NAME).stat())
        return False

    def _take_away(self) -> None:
        listening, self._listening = self._listening, None
        if listening is not None:
            listening.close()
        if self._is_there():
            with contextlib.suppress(OSError):
                (self._directory / SOCKET_NAME).unlink()
        self._file = None

    def _serve(self) -> None:
        looked_s = time.monotonic()
        while not self._stopping.is_set():
            self.progress_s = time.monotonic()
            if self.progress_s - looked_s >= LOOK_S:
                looked_s = self.progress_s
                with contextlib.suppress(OSError):
                    self._listen()
            try:
                self._accept()
            except TimeoutError:
                continue
            except OSError:  # too many open files, or the end
                self._stopping.wait(0.1)

    def _accept(self) -> None:
        if self._listening is None:
            self._stopping.wait(_TURN_S)
            return
        client, _ = self._listening.accept()
        with client:
            if self._file is not None or _peer(client) in (0, os.geteuid()):
                self._answer(client)

    def _answer(self, client: socket.socket) -> None:
        try:
            document = json.dumps(self._snapshot(), ensure_ascii=False, allow_nan=False)
        except Exception:
            logger.exception("The snapshot of the service cannot be made because of a bug.")
            return
        client.settimeout(_SEND_S)
        with contextlib.suppress(OSError):  # it has left, or does not read
            client.sendall(document.encode() + b"\n")


def read_status(directory: Path, *, timeout_s: float = 2.0) -> dict[str, Any]:
    """The snapshot of the service that keeps its state in `directory`; raises UnreachableError."""
    if not hasattr(socket, "AF_UNIX"):
        raise UnreachableError("This system has no sockets in directories, so a service cannot be asked.", "")
    data = _received(directory, time.monotonic() + timeout_s)
    try:
        document = json.loads(data)
        schema = document["schema"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise UnreachableError(f"What answers at {directory / SOCKET_NAME} is no service of ampedge.") from error
    if schema != SCHEMA_VERSION:
        raise UnreachableError(
            f"The service in {directory} is of another version of ampedge.", "Ask it with that version."
        )
    return dict(document)


def _received(directory: Path, until_s: float) -> bytes:
    place = directory / SOCKET_NAME
    try:
        data = b""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(max(0.001, until_s - time.monotonic()))
            _connect(client, directory)
            while len(data) <= _LARGEST_BYTES:
                client.settimeout(max(0.001, until_s - time.monotonic()))
                piece = client.recv(65536)
                if not piece:
                    break
                data += piece
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UnreachableError(
            f"No service runs with its state in {directory}.",
            "Start it, or name the directory of one that runs with --state-dir.",
        ) from error
    except PermissionError as error:
        raise UnreachableError(
            f"This user may not ask the service at {place}.", "Ask as the service's user or with sudo."
        ) from error
    except (TimeoutError, BlockingIOError) as error:
        raise UnreachableError(
            f"The service at {place} does not say how it is.", "Look into its log, and restart it."
        ) from error
    except ConnectionRefusedError as error:
        raise UnreachableError(
            f"The service that had its state in {directory} ended without a goodbye.", "Start it again."
        ) from error
    except OSError as error:
        raise UnreachableError(f"{place} cannot be asked: {error.strerror or error}.") from error
    return data


def _connect(client: socket.socket, directory: Path) -> None:
    try:
        with _address(directory) as address:
            client.connect(address)
    except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError) as error:
        if sys.platform != "linux":
            raise
        try:
            client.connect(_name(directory))
        except OSError:
            raise error from None
        me, peer = os.geteuid(), _peer(client)
        if me == 0 and peer not in (0, _owner(directory)):  # anybody can take such a name
            raise
        if me not in (0, peer):
            raise PermissionError from None


def _listening_without_file(directory: Path) -> socket.socket:
    if sys.platform != "linux":
        raise OSError("the directory cannot be used")
    listening = socket.socket(socket.AF_UNIX)
    try:
        listening.bind(_name(directory))
        listening.listen(_WAITING_CLIENTS)
        listening.settimeout(_TURN_S)
    except BaseException:
        listening.close()
        raise
    return listening


def _name(directory: Path) -> bytes:
    """The address in Linux's own name space for sockets, in which there are neither files nor rights."""
    return b"\0ampedge-" + hashlib.sha256(os.fsencode(os.path.realpath(directory))).hexdigest()[:32].encode()


def _peer(connected: socket.socket) -> int:
    """The user at the other end."""
    _, user, _ = struct.unpack("3i", connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return int(user)


def _owner(directory: Path) -> int | None:
    with contextlib.suppress(OSError):
        return directory.stat().st_uid
    return None


def _listening(directory: Path) -> socket.socket:
    place = directory / SOCKET_NAME
    listening = socket.socket(socket.AF_UNIX)
    try:
        place.unlink(missing_ok=True)
        os.fchmod(listening.fileno(), 0o660)  # before anyone can see it
        with _address(directory) as address:
            listening.bind(address)
        place.chmod(0o660)
        listening.listen(_WAITING_CLIENTS)
        listening.settimeout(_TURN_S)
    except BaseException:
        listening.close()
        raise
    return listening


@contextlib.contextmanager
def _address(directory: Path) -> Iterator[str]:
    """The socket's path, short enough for the system whatever the directory's."""
    path = str(directory / SOCKET_NAME)
    if len(os.fsencode(path)) <= _LONGEST_ADDRESS:
        yield path
        return
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{handle}/{SOCKET_NAME}"
    finally:
        os.close(handle)
