"""The master's side against slaves that behave, are slow, or vanish; wrong answers are in faults/test_replies.py."""

import socket
import struct
import threading
import time

import pytest

from ampedge.datamap import DataMap, Tag, laid_out
from ampedge.errors import ExceptionReply, UnreachableError
from ampedge.modbus.client import Master
from ampedge.modbus.plan import plan_reads, plan_writes
from ampedge.modbus.slave import EmbeddedSlave
from tests.support.scripted_slave import Answer, ScriptedSlave, exception, registers, reply

TWO = laid_out(["a", "b"])  # 4 registers
WORDS = ((1, 2), (3, 4))


def answering(frame: bytes) -> bytes:
    """Registers that hold their own address plus one, coils that are on at odd addresses."""
    function, address, count = struct.unpack(">BHH", frame[7:12])
    if function in (1, 2):
        bits = sum(1 << i for i in range(count) if (address + i) % 2)
        data = bits.to_bytes((count + 7) // 8, "little")
        return reply(frame, bytes([function, len(data)]) + data)
    if function in (3, 4):
        return registers(frame, [address + i + 1 for i in range(count)])
    return reply(frame, frame[7:12])


def master(slave: ScriptedSlave, timeout_s: float = 5.0, unit: int = 1) -> Master:
    return Master("127.0.0.1", slave.port, unit=unit, timeout_s=timeout_s)


def refused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def test_every_block_of_a_plan_is_read_over_one_connection() -> None:
    datamap = DataMap(
        (Tag("late", 200), Tag("a", 0), Tag("b", 3, "input", "int16"), Tag("c", 5, "coil", "bit"),
         Tag("d", 7, "discrete", "bit"), Tag("e", 2, "holding", "float64"), Tag("f", 14, "discrete", "bit"))
    )  # fmt: skip
    with ScriptedSlave(answering) as slave:
        connection = master(slave)
        assert slave.connections == 0  # nothing connects until it is used
        found = connection.read(plan_reads(datamap))
        assert found == ((201, 202), (1, 2), (4,), (True,), (True,), (3, 4, 5, 6), (False,))
        connection.read(plan_reads(datamap))
        assert slave.connections == 1
        assert slave.requests[:5] == [
            struct.pack(">BHH", *request) for request in [(1, 5, 1), (2, 7, 8), (3, 0, 6), (3, 200, 2), (4, 3, 1)]
        ]
        connection.close()


def test_every_tag_is_written_with_function_codes_16_and_15() -> None:
    datamap = DataMap(
        (Tag("b", 5), Tag("a", 0, type="int16"), Tag("on", 3, "coil", "bit"), Tag("off", 4, "coil", "bit"))
    )
    with ScriptedSlave(answering) as slave:
        connection = master(slave)
        connection.write(plan_writes(datamap), [(7, 8), (9,), (1,), (0,)])
        assert slave.requests == [
            struct.pack(">BHHBB", 15, 3, 2, 1, 0b01),
            struct.pack(">BHHBH", 16, 0, 1, 2, 9),
            struct.pack(">BHHB2H", 16, 5, 2, 4, 7, 8),
        ]
        connection.close()


def test_what_is_written_to_the_hosted_slave_is_read_back() -> None:
    datamap = DataMap((Tag("x", 0), Tag("y", 10, type="int64"), Tag("on", 0, "coil", "bit")))
    slave = EmbeddedSlave("127.0.0.1", 0, datamap)
    slave.start()
    connection = Master("127.0.0.1", slave.port)
    connection.connect()
    words = ((0x3F80, 1), (1, 2, 3, 4), (1,))
    connection.write(plan_writes(datamap), words)
    assert connection.read(plan_reads(datamap)) == words
    connection.close()
    slave.stop()


def test_replies_that_come_in_pieces_are_put_together() -> None:
    with ScriptedSlave(answering, byte_by_byte=True) as slave:
        connection = master(slave)
        assert connection.read(plan_reads(TWO)) == WORDS
        connection.close()


def test_nothing_listens() -> None:
    port = refused_port()
    connection = Master("127.0.0.1", port)
    for attempt in (connection.connect, lambda: connection.read(plan_reads(TWO))):
        with pytest.raises(
            UnreachableError, match=f"Nothing accepts connections at 127.0.0.1:{port}: connection refused."
        ) as caught:
            attempt()
        assert not isinstance(caught.value, ExceptionReply)
        assert "--host" in caught.value.remedy
        assert caught.value.exit_code == 4


def test_a_slave_that_comes_back_is_found_again() -> None:
    with ScriptedSlave(answering) as slave:
        port = slave.port
        connection = master(slave)
        connection.read(plan_reads(TWO))
    with pytest.raises(UnreachableError):
        connection.read(plan_reads(TWO))
    again = EmbeddedSlave("127.0.0.1", port, TWO)
    again.start()
    assert connection.read(plan_reads(TWO)) == ((0, 0), (0, 0))
    connection.close()
    again.stop()


@pytest.mark.parametrize("number", [socket.EAI_NONAME, socket.EAI_AGAIN])
def test_a_name_that_does_not_resolve(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def unresolved(*_: object, **__: object) -> None:
        raise socket.gaierror(number, "Name or service not known")

    connection = Master("plc.local", 502)
    monkeypatch.setattr(socket, "getaddrinfo", unresolved)
    for attempt in (
        connection.connect,
        lambda: connection.read(plan_reads(TWO)),
        lambda: connection.write(plan_writes(TWO), WORDS),
    ):
        with pytest.raises(UnreachableError, match=r"plc\.local:502 cannot be resolved: Name or service not known"):
            attempt()


def test_a_slave_that_keeps_silent_is_given_up_after_the_timeout_and_asked_anew() -> None:
    with ScriptedSlave(lambda frame: b"") as slave:
        connection = master(slave, timeout_s=0.1)
        began_s = time.monotonic()
        with pytest.raises(UnreachableError, match=r"unit 1, does not answer within 0\.1 s") as caught:
            connection.read(plan_reads(TWO))
        assert time.monotonic() - began_s < 2
        assert "modbus.timeout_s" in caught.value.remedy
        slave.answer = answering
        assert connection.read(plan_reads(TWO)) == WORDS
        assert slave.connections == 2
        connection.close()


def test_a_reply_that_comes_too_late_is_never_taken_for_a_later_one() -> None:
    release = threading.Event()

    def late(frame: bytes) -> bytes:
        release.wait(5)
        return registers(frame, [666] * 4)

    with ScriptedSlave(late) as slave:
        connection = master(slave, timeout_s=0.1)
        with pytest.raises(UnreachableError):
            connection.read(plan_reads(TWO))
        slave.answer = answering
        release.set()
        assert connection.read(plan_reads(TWO)) == WORDS
        connection.close()


def test_reads_and_writes_go_on_over_a_new_connection_where_the_slave_closed_an_idle_one() -> None:
    def once(frame: bytes) -> bytes | None:
        slave.answer = lambda frame: None if slave.connections == 1 else answering(frame)
        return answering(frame)

    for ask in (
        lambda connection: connection.read(plan_reads(TWO)),
        lambda connection: connection.write(plan_writes(TWO), WORDS),
    ):
        with ScriptedSlave(once) as slave:
            connection = master(slave, timeout_s=30)
            ask(connection)
            ask(connection)
            assert slave.connections == 2
            connection.close()


def test_the_system_finds_a_connection_that_is_dead() -> None:
    with ScriptedSlave(answering) as slave:
        connection = master(slave, timeout_s=2.5)
        connection.connect()
        held = connection.connection._socket
        assert held is not None
        assert held.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            assert held.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 2500
        connection.close()


def test_a_slave_that_hangs_up_is_noticed_at_once() -> None:
    with ScriptedSlave(lambda frame: None) as slave:
        connection = master(slave, timeout_s=30)
        began_s = time.monotonic()
        with pytest.raises(UnreachableError, match="closed the connection"):
            connection.read(plan_reads(TWO))
        assert time.monotonic() - began_s < 5
        slave.answer = answering
        assert connection.read(plan_reads(TWO)) == WORDS
        connection.close()


@pytest.mark.parametrize(
    "answer",
    [
        lambda f: reply(f, b"\x06" + f[8:12]),
        lambda f: reply(f, b"\x10\0\1" + f[10:12]),
        lambda f: reply(f, b"\x10" + f[8:10] + b"\0\x03"),
        lambda f: reply(f, b"\x10\0"),
    ],
)
def test_a_write_is_done_only_when_the_slave_says_just_that(answer: Answer) -> None:
    with ScriptedSlave(answer) as slave:
        connection = master(slave, timeout_s=0.3)
        with pytest.raises(UnreachableError, match="function code 16, holding 0-3"):
            connection.write(plan_writes(TWO), WORDS)
        slave.answer = answering
        connection.write(plan_writes(TWO), WORDS)
        connection.close()


CODES = [
    (1, "illegal function"),
    (2, "illegal data address"),
    (3, "illegal data value"),
    (4, "device failure"),
    (5, "acknowledge"),
    (6, "device busy"),
    (8, "memory parity error"),
    (10, "gateway path unavailable"),
    (11, "gateway target does not respond"),
    (99, "unknown, 0x63"),
    (0, "unknown, 0x00"),
]


@pytest.mark.parametrize(("code", "name"), CODES)
def test_exceptions_are_named(code: int, name: str) -> None:
    with ScriptedSlave(lambda frame: exception(frame, code)) as slave:
        connection = master(slave, unit=17)
        with pytest.raises(ExceptionReply, match=f"unit 17, answers with exception {code} \\({name}\\)") as caught:
            connection.read(plan_reads(TWO))
        assert caught.value.code == code
        assert "function code 3, holding 0-3" in caught.value.problem
        with pytest.raises(ExceptionReply) as caught:
            connection.write(plan_writes(TWO), WORDS)
        assert caught.value.code == code
        assert slave.connections == 1  # an exception is an answer, no reason to reconnect
        connection.close()
