"""Names of hosts, looked up without waiting for ever."""

import errno
import socket
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # most addresses need no look-up
    from concurrent.futures import Future

Address = tuple[socket.AddressFamily, tuple[Any, ...]]
"""What a socket of that family connects to."""

_pending: "dict[str, Future[list[Address]]]" = {}
_lock = threading.Lock()


def resolve(host: str, port: int, *, timeout_s: float = 3.0) -> list[Address]:
    """All addresses of `host`, in the order in which they are to be tried; raises OSError.

    The system's look-up has no limit of its own, so it runs in a thread that is left behind when it takes too
    long; whoever asks for the same name meanwhile waits for that one.
    Raises socket.gaierror for a name that does not exist, TimeoutError where nobody answers.
    """
    try:
        found = _look_up(host, socket.AI_NUMERICHOST)
    except OSError:
        found = _ask(host, timeout_s)
    return [(family, (address[0], port, *address[2:])) for family, address in found]


def _look_up(host: str, flags: int = 0) -> list[Address]:
    try:
        found = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM, flags=flags)
    except ValueError as error:  # a label that is too long, a NUL
        raise socket.gaierror(socket.EAI_NONAME, "no name of a host") from error
    return [(family, address) for family, _, _, _, address in found]


def _ask(host: str, timeout_s: float) -> list[Address]:
    from concurrent.futures import Future

    with _lock:
        answer = _pending.get(host)
        if answer is None:
            answer = Future()
            try:
                threading.Thread(target=_answer, args=(host, answer), name=f"look-up {host}", daemon=True).start()
            except RuntimeError as error:
                raise OSError(errno.EAGAIN, "no thread for the look-up") from error
            _pending[host] = answer
    try:
        return answer.result(timeout_s)
    except TimeoutError:
        raise TimeoutError(errno.ETIMEDOUT, f"the look-up takes longer than {timeout_s:g} s") from None


def _answer(host: str, answer: "Future[list[Address]]") -> None:
    found: list[Address] = []
    failed: OSError | None = None
    try:
        found = _look_up(host)
    except OSError as error:
        failed = error
    with _lock:
        del _pending[host]
    if failed is None:
        answer.set_result(found)
    else:
        answer.set_exception(failed)
