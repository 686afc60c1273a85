"""The master's side against slaves that behave, are slow, lie, or vanish; and the frames that come of it."""

import socket
import struct
import threading
import time

import pytest

from ampedge.clock import FakeClock
from ampedge.datamap import DataMap, Tag, laid_out
from ampedge.errors import ExceptionReply, UnreachableError
from ampedge.modbus.client import Master
from ampedge.modbus.plan import plan_reads, plan_writes
from ampedge.modbus.slave import EmbeddedSlave
from ampedge.modbus.source import Backoff, ModbusSource
from ampedge.records import Frame, Reason
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
        with pytest.raises(UnreachableError, match=f"Nothing accepts connections at 127.0.0.1:{port}") as caught:
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


LIES: dict[str, Answer] = {
    "another transaction": lambda f: bytes([f[0] ^ 1]) + answering(f)[1:],
    "another protocol": lambda f: answering(f)[:2] + b"\0\1" + answering(f)[4:],
    "another unit": lambda f: answering(f)[:6] + b"\x11" + answering(f)[7:],
    "another function": lambda f: reply(f, b"\x04" + answering(f)[8:]),
    "the request itself": lambda f: f,
    "no data": lambda f: reply(f, b"\x03\x00"),
    "function only": lambda f: reply(f, b"\x03"),
    "nothing": lambda f: reply(f, b""),
    "too few registers": lambda f: registers(f, [1, 2, 3]),
    "too many registers": lambda f: registers(f, [1, 2, 3, 4, 5]),
    "half a register": lambda f: reply(f, b"\x03\x07" + bytes(7)),
    "a count that is too small": lambda f: reply(f, b"\x03\x06" + bytes(8)),
    "a count that is too large": lambda f: reply(f, b"\x03\x0a" + bytes(8)),
    "length of nothing": lambda f: answering(f)[:4] + b"\0\0" + answering(f)[6:],
    "length of everything": lambda f: answering(f)[:4] + b"\xff\xff" + answering(f)[6:],
    "a web page": lambda f: b"HTTP/1.1 400 Bad Request\r\n\r\n",
}


@pytest.mark.parametrize("name", LIES)
def test_what_is_no_reply_to_the_request_is_refused_and_the_next_one_is_fresh(name: str) -> None:
    with ScriptedSlave(LIES[name]) as slave:
        connection = master(slave, timeout_s=0.3)
        with pytest.raises(UnreachableError) as caught:
            connection.read(plan_reads(TWO))
        assert not isinstance(caught.value, ExceptionReply)
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
    (1, "illegal function", Reason.CONFIGURATION_ERROR),
    (2, "illegal data address", Reason.CONFIGURATION_ERROR),
    (3, "illegal data value", Reason.CONFIGURATION_ERROR),
    (4, "device failure", Reason.DEVICE_FAILURE),
    (5, "acknowledge", Reason.DEVICE_FAILURE),
    (6, "device busy", Reason.DEVICE_FAILURE),
    (8, "memory parity error", Reason.DEVICE_FAILURE),
    (10, "gateway path unavailable", Reason.NO_COMMUNICATION),
    (11, "gateway target does not respond", Reason.NO_COMMUNICATION),
    (99, "unknown, 0x63", Reason.DEVICE_FAILURE),
]


@pytest.mark.parametrize(("code", "name", "reason"), CODES)
def test_exceptions_are_named_and_become_reasons(code: int, name: str, reason: Reason) -> None:
    with ScriptedSlave(lambda frame: exception(frame, code)) as slave:
        connection = master(slave, unit=17)
        with pytest.raises(ExceptionReply, match=f"unit 17, answers with exception {code} \\({name}\\)") as caught:
            connection.read(plan_reads(TWO))
        assert caught.value.code == code
        assert "function code 3, holding 0-3" in caught.value.problem
        with pytest.raises(ExceptionReply) as caught:
            connection.write(plan_writes(TWO), WORDS)
        assert caught.value.code == code
        source = ModbusSource(connection, TWO, device="d", clock=FakeClock(time_s=5.0))
        frame = source.poll()
        assert (frame.device, frame.time_s, frame.words, frame.failure) == ("d", 5.0, (), reason)
        assert f"exception {code} ({name})" in frame.detail
        assert slave.connections == 1  # an exception is an answer, no reason to reconnect
        connection.close()


def polled(slave: ScriptedSlave, datamap: DataMap) -> ModbusSource:
    return ModbusSource(master(slave, timeout_s=0.3), datamap, device="pump", clock=FakeClock(time_s=1e9))


def test_a_poll_becomes_a_frame() -> None:
    with ScriptedSlave(answering) as slave:
        source = polled(slave, TWO)
        assert source.poll() == Frame("pump", 1e9, WORDS, monotonic_s=1000.0)
        source.master.close()


@pytest.mark.parametrize("answer", [lambda f: None, lambda f: b"", LIES["another function"], LIES["a web page"]])
def test_a_poll_never_raises(answer: Answer) -> None:
    with ScriptedSlave(answer) as slave:
        source = polled(slave, TWO)
        frame = source.poll()
        assert (frame.words, frame.failure) == ((), Reason.NO_COMMUNICATION)
        assert frame.detail
        source.master.close()


def test_a_device_without_the_registers_between_the_tags_is_read_around_them() -> None:
    datamap = DataMap((Tag("a", 0), Tag("b", 10)))

    def sparse(frame: bytes) -> bytes:
        _, address, count = struct.unpack(">BHH", frame[7:12])
        has = {0, 1, 10, 11}
        return answering(frame) if set(range(address, address + count)) <= has else exception(frame, 2)

    with ScriptedSlave(sparse) as slave:
        source = polled(slave, datamap)
        for _ in range(2):
            assert source.poll().words == ((1, 2), (11, 12))
        counts = [struct.unpack(">HH", request[1:5]) for request in slave.requests]
        assert counts == [(0, 12), (0, 2), (10, 2), (0, 2), (10, 2)]  # tried once and remembered
        assert source.plan.describe() == "holding 0-1, holding 10-11"
        source.master.close()


def test_a_device_that_has_not_what_the_map_asks_for_is_a_matter_of_configuration() -> None:
    with ScriptedSlave(lambda frame: exception(frame, 2)) as slave:
        source = polled(slave, DataMap((Tag("a", 0), Tag("b", 10))))
        for _ in range(2):
            assert source.poll().failure is Reason.CONFIGURATION_ERROR
        source.master.close()


def test_a_device_that_vanishes_while_it_is_read_anew_is_out_of_reach() -> None:
    def once(frame: bytes) -> bytes:
        slave.answer = lambda frame: None
        return exception(frame, 2)

    with ScriptedSlave(once) as slave:
        source = polled(slave, DataMap((Tag("a", 0), Tag("b", 10))))
        assert source.poll().failure is Reason.NO_COMMUNICATION
        source.master.close()


def test_waits_double_up_to_the_longest_with_jitter_and_begin_anew() -> None:
    backoff = Backoff(1.0, 30.0)
    for full_s in (1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0):
        assert 0.7 * full_s <= backoff.next_s() <= full_s
    backoff.reset()
    assert backoff.next_s() <= 1.0
    assert len({Backoff().next_s() for _ in range(5)}) > 1
