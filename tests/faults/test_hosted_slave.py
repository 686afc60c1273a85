"""The slave that we host, against masters that flood, stall, lie and stay."""

import contextlib
import signal
import socket
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ampedge.datamap import laid_out
from ampedge.modbus import slave as slave_module
from ampedge.modbus.client import Master
from ampedge.modbus.plan import plan_reads
from ampedge.modbus.slave import FAIR_SHARE, MOST_CONNECTIONS, EmbeddedSlave
from tests.faults.fuzz_slave import fuzz
from tests.support.scripted_slave import ask
from tests.support.serving import GOLDEN, Serve
from tests.support.waiting import wait_until

MAP = laid_out(["a", "b"])
READ = struct.pack(">HHHBBHH", 1, 0, 6, 1, 3, 0, 4)
ANSWER = struct.pack(">HHHBBB4H", 1, 0, 11, 1, 3, 8, 0, 0, 0, 0)


@pytest.fixture
def port() -> Iterator[int]:
    hosted = EmbeddedSlave("127.0.0.1", 0, MAP)
    hosted.start()
    yield hosted.port
    hosted.stop()


def connect(port: int, source: str = "127.0.0.1") -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=5, source_address=(source, 0))


def is_served(connection: socket.socket) -> bool:
    connection.sendall(READ)
    return connection.recv(100) == ANSWER


def has_ended(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return connection.recv(100) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True
    finally:
        connection.settimeout(5)


def test_five_hundred_idle_masters_keep_nobody_out(port: int) -> None:
    with contextlib.ExitStack() as held:
        busy = held.enter_context(connect(port))
        idle = []
        for _ in range(500):
            idle.append(held.enter_context(connect(port)))
            assert is_served(busy)  # who asks stays
        with connect(port) as new:
            assert is_served(new)
        wait_until(lambda: sum(not has_ended(one) for one in idle) < MOST_CONNECTIONS)
        assert is_served(busy)


def test_of_masters_that_all_have_asked_the_one_that_is_idle_longest_goes(port: int) -> None:
    with contextlib.ExitStack() as held:
        masters = [held.enter_context(connect(port)) for _ in range(MOST_CONNECTIONS)]
        for one in (*masters, masters[0]):
            assert is_served(one)
        assert is_served(held.enter_context(connect(port)))
        assert [number for number, one in enumerate(masters) if has_ended(one)] == [1]


def test_our_own_poller_is_never_put_out_however_seldom_it_asks() -> None:
    ours = Master("127.0.0.1", 0)
    hosted = EmbeddedSlave("127.0.0.1", 0, MAP, is_ours=lambda peer: peer == ours.connection.local_address)
    hosted.start()
    ours = Master("127.0.0.1", hosted.port)
    ours.connect()  # and it has not even asked yet
    with contextlib.ExitStack() as held:
        for _ in range(2 * MOST_CONNECTIONS):
            assert is_served(held.enter_context(connect(hosted.port)))
        assert ours.read(plan_reads(MAP)) == ((0, 0), (0, 0))
        assert ours.connection.opened == 1
    ours.close()
    hosted.stop()


def test_serve_reads_on_while_more_masters_ask_than_there_is_room_for(tmp_path: Path) -> None:
    with Serve(tmp_path, "--interval", 60, ready="Reading") as serve, contextlib.ExitStack() as held:
        serve.write(*GOLDEN)
        wait_until(lambda: "quality good" in serve.log)
        for _ in range(2 * MOST_CONNECTIONS):
            connection = held.enter_context(connect(serve.port))
            connection.sendall(READ)
            assert connection.recv(100)
        serve.write(1e6, *GOLDEN[1:])
        wait_until(lambda: "out_of_range" in serve.log)
        assert "no_communication" not in serve.log
        assert "settling" not in serve.log  # its connection was never made anew


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux has all of 127.0.0.0/8")
def test_a_machine_with_many_masters_puts_out_none_of_another_machine(port: int) -> None:
    with contextlib.ExitStack() as held:
        few = [held.enter_context(connect(port, "127.0.0.2")) for _ in range(FAIR_SHARE)]
        assert is_served(few[0])
        many = []
        for _ in range(2 * MOST_CONNECTIONS):
            many.append(held.enter_context(connect(port)))
            assert is_served(many[-1])
        assert not any(has_ended(one) for one in few)
        wait_until(lambda: sum(not has_ended(one) for one in many) == MOST_CONNECTIONS - FAIR_SHARE)


@pytest.mark.parametrize("size", [1, 8])
def test_half_a_frame_is_not_waited_for_longer_than_its_time(
    port: int, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(slave_module, "FRAME_S", 0.1)
    with connect(port) as stalling:
        assert is_served(stalling)
        time.sleep(0.15)  # being idle between two frames is no stall
        assert is_served(stalling)
        stalling.sendall(READ[:size])
        assert stalling.recv(1) == b""


def test_a_frame_that_drips_has_the_same_time(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slave_module, "FRAME_S", 0.1)
    with connect(port) as dripping:
        for byte in READ[:-1]:
            with contextlib.suppress(ConnectionError):
                dripping.sendall(bytes([byte]))
            time.sleep(0.03)
        assert has_ended(dripping)


def test_half_a_frame_has_ten_seconds() -> None:
    assert slave_module.FRAME_S == 10.0


@pytest.mark.parametrize(
    "malformed",
    [
        struct.pack(">HHHB", 1, 1, 6, 1) + READ[7:],
        struct.pack(">HHHB", 1, 0, 0, 1),
        struct.pack(">HHHB", 1, 0, 1, 1),
        struct.pack(">HHHB", 1, 0, 256, 1),
        struct.pack(">HHHB", 1, 0, 65535, 1),
        struct.pack(">HHHBB", 1, 0, 3, 1, 3) + b"\0",
        b"GET / HTTP/1.1\r\n\r\n",
    ],
    ids=["protocol id", "length 0", "length 1", "length 256", "length 65535", "a request without address", "http"],
)
def test_what_is_no_frame_ends_its_connection_and_no_other(port: int, malformed: bytes) -> None:
    with connect(port) as good, connect(port) as bad:
        assert is_served(good)
        bad.sendall(malformed)
        with contextlib.suppress(ConnectionError):
            assert bad.recv(1) == b""
        assert is_served(good)


def test_a_master_that_does_not_take_its_answers_is_given_up() -> None:
    hosted = EmbeddedSlave("127.0.0.1", 0, laid_out([f"t{i}" for i in range(60)]))
    hosted.start()
    longest = struct.pack(">HHHBBHH", 1, 0, 6, 1, 3, 0, 125)
    with socket.socket() as greedy:
        greedy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        greedy.connect(("127.0.0.1", hosted.port))
        greedy.settimeout(0.5)
        until_s = time.monotonic() + 30
        with pytest.raises(ConnectionError):
            while time.monotonic() < until_s:
                with contextlib.suppress(TimeoutError):
                    greedy.sendall(longest * 100)
    assert len(ask(hosted.port, longest[7:])) == 252
    hosted.stop()


def test_fuzzed_frames_leave_it_alive_and_change_nothing_but_the_writable_bank() -> None:
    found = fuzz(20_000, seed=3)
    assert found.frames >= 20_000
    assert found.changed == 0
    assert found.served >= 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serve_stops_in_time_while_masters_are_connected(tmp_path: Path, number: int) -> None:
    with Serve(tmp_path, ready="Reading") as serve, contextlib.ExitStack() as held:
        masters = [held.enter_context(connect(serve.port)) for _ in range(20)]
        for one in masters[:10]:
            one.sendall(READ)
            assert one.recv(100)
        masters[-1].sendall(READ[:5])
        begun_s = time.monotonic()
        assert serve.stop(number) in {0, 130}
        assert time.monotonic() - begun_s < 2
