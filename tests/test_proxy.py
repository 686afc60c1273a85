"""The proxy that the fault tests rely on does each thing that it says."""

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest

from tests.support.proxy import Proxy


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    """A proxy before a server that sends back what it gets."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def echo(connection: socket.socket) -> None:
            with connection, contextlib.suppress(OSError):
                while data := connection.recv(65536):
                    connection.sendall(data)

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    threading.Thread(target=echo, args=(connection,), daemon=True).start()

        accepting = threading.Thread(target=accept)
        accepting.start()
        with Proxy(listening.getsockname()[1]) as between:
            yield between
        listening.shutdown(socket.SHUT_RDWR)
        accepting.join()


def connect(proxy: Proxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=5)


def exactly(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size and (piece := connection.recv(size - len(data))):
        data += piece
    return data


def test_it_passes_on_everything_both_ways_and_counts(proxy: Proxy) -> None:
    with connect(proxy) as connection:
        big = bytes(range(256)) * 2000
        threading.Thread(target=connection.sendall, args=(big,)).start()
        assert exactly(connection, len(big)) == big
        assert (proxy.connections, proxy.open_connections) == (1, 1)
        assert (proxy.sent_up, proxy.sent_down) == (len(big), len(big))
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1) == b""


def test_slices_come_one_by_one(proxy: Proxy) -> None:
    proxy.both(slice_bytes=1, pause_s=0.001)
    with connect(proxy) as connection:
        connection.sendall(b"abcdef")
        assert connection.recv(1) == b"a"
        assert exactly(connection, 5) == b"bcdef"


@pytest.mark.parametrize("toxic", ["latency", "hold", "blackhole"])
def test_what_is_late_held_or_swallowed_does_not_come(proxy: Proxy, toxic: str) -> None:
    with connect(proxy) as connection:
        match toxic:
            case "latency":
                proxy.down.latency_s = 0.3
            case "hold":
                proxy.down.hold = True
            case _:
                proxy.up.blackhole = True
        connection.settimeout(0.1)
        connection.sendall(b"now")
        with pytest.raises(TimeoutError):
            connection.recv(3)
        proxy.heal()
        connection.settimeout(5)
        if toxic == "blackhole":
            connection.sendall(b"end")
            assert exactly(connection, 3) == b"end"
        else:
            assert exactly(connection, 3) == b"now"


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("size", [0, 1, 4])
def test_a_connection_is_cut_after_so_many_bytes(proxy: Proxy, size: int, reset: bool) -> None:
    proxy.both(cut_after=None)
    proxy.down.cut_after = size
    proxy.down.reset = reset
    with connect(proxy) as connection:
        connection.sendall(b"abcdef")
        assert exactly(connection, size) == b"abcdef"[:size]
        if reset:
            with pytest.raises(ConnectionResetError):
                connection.recv(1)
        else:
            assert connection.recv(1) == b""


@pytest.mark.parametrize("reset", [False, True])
def test_all_connections_end_at_once(proxy: Proxy, reset: bool) -> None:
    with connect(proxy) as one, connect(proxy) as other:
        for connection in (one, other):
            connection.sendall(b"x")
            assert connection.recv(1) == b"x"
        proxy.close_all(reset=reset)
        for connection in (one, other):
            if reset:
                with pytest.raises(ConnectionResetError):
                    connection.recv(1)
            else:
                assert connection.recv(1) == b""


def test_refused_and_listening_again_at_the_same_port(proxy: Proxy) -> None:
    proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        connect(proxy)
    proxy.listen()
    with connect(proxy) as connection:
        connection.sendall(b"x")
        assert connection.recv(1) == b"x"


def test_corruption_flips_bits_and_nothing_else(proxy: Proxy) -> None:
    proxy.down.corrupt = 0.5
    with connect(proxy) as connection:
        connection.sendall(bytes(1000))
        found = exactly(connection, 1000)
    changed = [byte for byte in found if byte]
    assert 300 < len(changed) < 700
    assert all(byte.bit_count() == 1 for byte in changed)


def test_a_target_that_is_not_there_ends_the_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    with Proxy(port) as between, connect(between) as connection:
        assert connection.recv(1) == b""
