"""The slave that we host, spoken to byte by byte as any master may."""

import os
import random
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ampedge.datamap import DataMap, Tag, laid_out
from ampedge.errors import InUseError, UsageError
from ampedge.modbus.slave import EmbeddedSlave
from tests.support.parts import has_ipv6
from tests.support.scripted_slave import ask
from tests.support.waiting import wait_until

AMPLIFIER = laid_out(["plate_voltage", "bias_voltage", "heater_current", "output_thd", "impedance"])
COILS = DataMap((Tag("on", 3, "coil", "bit"), Tag("off", 4, "coil", "bit")))
ILLEGAL_FUNCTION, ILLEGAL_ADDRESS, ILLEGAL_VALUE = 1, 2, 3


class Written:
    """A slave for the test, and how often it said that it was written to."""

    def __init__(self, datamap: DataMap, host: str = "127.0.0.1") -> None:
        self.times = self.rows = 0
        self.slave = EmbeddedSlave(host, 0, datamap, on_write=self._note)
        self.slave.start()
        self.port = self.slave.port

    def _note(self, is_row: bool) -> None:
        self.times += 1
        self.rows += is_row


@pytest.fixture
def hosted() -> Iterator[Written]:
    written = Written(AMPLIFIER)
    yield written
    written.slave.stop()


@pytest.fixture
def coils() -> Iterator[Written]:
    written = Written(COILS)
    yield written
    written.slave.stop()


def read(address: int, count: int, function: int = 3) -> bytes:
    return struct.pack(">BHH", function, address, count)


def write(address: int, words: list[int]) -> bytes:
    return struct.pack(f">BHHB{len(words)}H", 16, address, len(words), 2 * len(words), *words)


def words(port: int, address: int, count: int) -> list[int]:
    pdu = ask(port, read(address, count))
    assert pdu[:2] == bytes([3, 2 * count])
    return list(struct.unpack(f">{count}H", pdu[2:]))


def test_every_register_is_zero_until_it_is_written(hosted: Written) -> None:
    assert words(hosted.port, 0, 10) == [0] * 10
    assert hosted.times == 0


def test_function_codes_16_and_6_write_and_each_write_is_told_once(hosted: Written) -> None:
    assert ask(hosted.port, write(0, list(range(1, 11)))) == struct.pack(">BHH", 16, 0, 10)
    assert words(hosted.port, 0, 10) == list(range(1, 11))
    assert ask(hosted.port, struct.pack(">BHH", 6, 4, 0xBEEF)) == struct.pack(">BHH", 6, 4, 0xBEEF)
    assert words(hosted.port, 3, 3) == [4, 0xBEEF, 6]
    assert hosted.times == 2


def test_the_same_row_written_again_is_a_write_too(hosted: Written) -> None:
    for _ in range(3):
        ask(hosted.port, write(0, [1, 2]))
    assert hosted.times == 3


@pytest.mark.parametrize(
    ("address", "count", "is_row"), [(0, 10, True), (0, 12, True), (0, 9, False), (1, 10, False), (4, 1, False)]
)
def test_only_a_write_of_all_tags_at_once_is_a_row(hosted: Written, address: int, count: int, is_row: bool) -> None:
    ask(hosted.port, write(address, [7] * count))
    assert (hosted.times, hosted.rows) == (1, int(is_row))


@pytest.mark.parametrize("second", [Tag("y", 40), Tag("y", 0, "coil", "bit")])
def test_a_map_that_takes_several_reads_has_no_row_in_one_write(second: Tag) -> None:
    written = Written(DataMap((Tag("x", 0), second)))
    assert ask(written.port, write(0, [7] * 42 if second.address else [7] * 2))[0] == 16
    assert (written.times, written.rows) == (1, 0)
    written.slave.stop()


def test_twelve_registers_may_be_written_to_a_map_of_ten(hosted: Written) -> None:
    assert ask(hosted.port, write(0, list(range(12)))) == struct.pack(">BHH", 16, 0, 12)
    assert words(hosted.port, 0, 12) == list(range(12))


@pytest.mark.parametrize(
    ("address", "count", "taken"), [(0, 18, True), (17, 1, True), (0, 19, False), (18, 1, False), (65535, 1, False)]
)
def test_eight_registers_behind_the_map_are_taken_and_no_more(
    hosted: Written, address: int, count: int, taken: bool
) -> None:
    answered = ask(hosted.port, write(address, [7] * count))
    assert answered == (struct.pack(">BHH", 16, address, count) if taken else bytes([0x90, ILLEGAL_ADDRESS]))
    assert hosted.times == int(taken)
    if not taken:
        assert words(hosted.port, 0, 18) == [0] * 18
        assert ask(hosted.port, read(address, count)) == bytes([0x83, ILLEGAL_ADDRESS])


def test_registers_before_the_map_are_not_taken() -> None:
    written = Written(DataMap((Tag("x", 100),)))
    assert ask(written.port, write(99, [1, 2])) == bytes([0x90, ILLEGAL_ADDRESS])
    assert ask(written.port, struct.pack(">BHH", 6, 99, 1)) == bytes([0x86, ILLEGAL_ADDRESS])
    assert ask(written.port, write(100, [1, 2]))[0] == 16
    assert words(written.port, 98, 4) == [0, 0, 1, 2]
    assert written.times == 1
    written.slave.stop()


def test_a_map_at_the_end_of_the_table() -> None:
    written = Written(DataMap((Tag("x", 65534),)))
    assert ask(written.port, write(65534, [1, 2]))[0] == 16
    assert words(written.port, 65534, 2) == [1, 2]
    written.slave.stop()


@pytest.mark.parametrize(
    "pdu",
    [
        struct.pack(">BHH", 5, 0, 0xFF00),
        struct.pack(">BHHBB", 15, 0, 1, 1, 1),
        struct.pack(">BHHH", 22, 0, 0xFFFF, 0),
        struct.pack(">BHHHHBH", 23, 0, 1, 0, 1, 2, 9),
        struct.pack(">BBBHHHH", 21, 9, 6, 1, 0, 1, 9),
        bytes([8, 0, 0, 0, 0]),
        bytes([99, 0]),
    ],
)
def test_other_writing_function_codes_are_illegal_functions(hosted: Written, pdu: bytes) -> None:
    assert ask(hosted.port, pdu) == bytes([pdu[0] | 0x80, ILLEGAL_FUNCTION])
    assert words(hosted.port, 0, 18) == [0] * 18
    assert hosted.times == 0


@pytest.mark.parametrize("function", [1, 2, 4])
def test_tables_that_the_map_does_not_have_have_no_addresses(hosted: Written, function: int) -> None:
    assert ask(hosted.port, read(0, 1, function)) == bytes([function | 0x80, ILLEGAL_ADDRESS])


@pytest.mark.parametrize(
    "pdu",
    [
        read(0, 0),
        read(0, 126),
        struct.pack(">BHHB", 16, 0, 0, 0),
        struct.pack(">BHHBH", 16, 0, 2, 2, 9),
        struct.pack(">BHHBHH", 16, 0, 1, 4, 9, 9),
        struct.pack(">BHHB124H", 16, 0, 124, 248, *[9] * 124),
    ],
)
def test_counts_that_lie_are_illegal_values_and_write_nothing(hosted: Written, pdu: bytes) -> None:
    assert ask(hosted.port, pdu) == bytes([pdu[0] | 0x80, ILLEGAL_VALUE])
    assert words(hosted.port, 0, 18) == [0] * 18
    assert hosted.times == 0


@pytest.mark.parametrize(
    "pdu",
    [
        struct.pack(">BHH", 6, 0, 9) + b"\0\0",
        struct.pack(">BHH", 6, 0, 9) + b"\0",
        struct.pack(">BHH", 6, 0, 9)[:-1],
        write(0, [9]) + b"\0\x09",
        write(0, [9, 9]) + b"\0",
        write(0, [9, 9])[:-1],
        read(0, 1) + b"\0",
    ],
)
def test_a_request_of_another_length_than_its_function_code_says_ends_its_connection_and_writes_nothing(
    hosted: Written, pdu: bytes
) -> None:
    assert ask(hosted.port, pdu) == b""
    assert words(hosted.port, 0, 18) == [0] * 18
    assert hosted.times == 0


def test_coils_are_written_by_5_and_15_where_the_map_has_them(coils: Written) -> None:
    assert ask(coils.port, struct.pack(">BHH", 5, 3, 0xFF00)) == struct.pack(">BHH", 5, 3, 0xFF00)
    assert ask(coils.port, struct.pack(">BHHBB", 15, 4, 2, 1, 0b11)) == struct.pack(">BHH", 15, 4, 2)
    assert ask(coils.port, read(3, 4, 1)) == bytes([1, 1, 0b0111])
    assert ask(coils.port, struct.pack(">BHH", 5, 2, 0xFF00)) == bytes([0x85, ILLEGAL_ADDRESS])
    assert ask(coils.port, struct.pack(">BHH", 5, 13, 0xFF00)) == bytes([0x85, ILLEGAL_ADDRESS])
    assert coils.times == 2


def test_a_map_of_coils_takes_no_registers(coils: Written) -> None:
    for pdu in (write(3, [1]), struct.pack(">BHH", 6, 3, 1), struct.pack(">BHHHHBH", 23, 0, 1, 0, 1, 2, 9)):
        assert ask(coils.port, pdu) == bytes([pdu[0] | 0x80, ILLEGAL_FUNCTION])


@pytest.mark.parametrize("unit", [0, 1, 17, 255])
def test_any_unit_id_is_answered(hosted: Written, unit: int) -> None:
    assert ask(hosted.port, read(0, 1), unit=unit) == bytes([3, 2, 0, 0])


def test_malformed_frames_harm_nobody(hosted: Written) -> None:
    drawn = random.Random(5)
    frames = [
        struct.pack(">HHHB", 1, 1, 6, 1) + read(0, 1),  # another protocol
        struct.pack(">HHHB", 1, 0, 0, 1),
        struct.pack(">HHHB", 1, 0, 2, 1) + b"\x03",
        struct.pack(">HHHB", 1, 0, 65535, 1) + bytes(100),
        struct.pack(">HHHB", 1, 0, 3, 1) + b"\x03\x00",  # a read without its addresses
        struct.pack(">HHHB", 1, 0, 3, 1) + b"\x10\x00",
        b"GET / HTTP/1.1\r\n\r\n",
        *(struct.pack(">H", 1) + b"\xff" + drawn.randbytes(drawn.randrange(60)) for _ in range(40)),
    ]
    for frame in frames:
        with socket.create_connection(("127.0.0.1", hosted.port), timeout=5) as connection:
            connection.sendall(frame)
    assert ask(hosted.port, write(0, [5]))[0] == 16
    assert words(hosted.port, 0, 2) == [5, 0]
    assert hosted.times == 1


def test_a_row_is_never_seen_half_written(hosted: Written) -> None:
    stop = threading.Event()

    def keep_writing() -> None:
        with socket.create_connection(("127.0.0.1", hosted.port), timeout=5) as connection:
            value = 0
            while not stop.is_set():
                value = (value + 1) % 65536
                pdu = write(0, [value] * 10)
                connection.sendall(struct.pack(">HHHB", 1, 0, len(pdu) + 1, 1) + pdu)
                connection.recv(12)

    writer = threading.Thread(target=keep_writing)
    writer.start()
    seen = {tuple(words(hosted.port, 0, 10)) for _ in range(150)}
    stop.set()
    writer.join()
    assert all(len(set(row)) == 1 for row in seen)
    assert len(seen) > 1


def test_a_burst_of_masters_is_let_in_at_once(hosted: Written) -> None:
    began_s = time.monotonic()
    held = [socket.create_connection(("127.0.0.1", hosted.port), timeout=5) for _ in range(60)]
    assert time.monotonic() - began_s < 0.9  # a full queue would make one wait for a second
    for connection in held:
        connection.close()


def test_the_port_is_free_again_after_a_stop_and_masters_are_let_go() -> None:
    written = Written(AMPLIFIER)
    with socket.create_connection(("127.0.0.1", written.port), timeout=5) as connection:
        connection.sendall(struct.pack(">HHHB", 1, 0, 6, 1) + read(0, 1))
        assert connection.recv(100)
        written.slave.stop()
        assert connection.recv(1) == b""
    again = EmbeddedSlave("127.0.0.1", written.port, AMPLIFIER)
    again.start()
    assert words(again.port, 0, 1) == [0]
    again.stop()
    again.stop()


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")
def test_it_can_be_reached_over_ipv6() -> None:
    written = Written(AMPLIFIER, "::1")
    assert ask(written.port, read(0, 1), host="::1") == bytes([3, 2, 0, 0])
    written.slave.stop()


def test_a_slave_that_was_never_started_can_be_stopped() -> None:
    EmbeddedSlave("127.0.0.1", 0, AMPLIFIER).stop()


@pytest.mark.parametrize(("table", "kind"), [("input", "float32"), ("discrete", "bit")])
def test_tables_that_no_master_can_write_are_refused_by_name(table: str, kind: str) -> None:
    datamap = DataMap((Tag("fine", 0), Tag("oil", 5, table, kind)))
    with pytest.raises(UsageError, match="values for oil:") as caught:
        EmbeddedSlave("127.0.0.1", 0, datamap)
    assert "--slave external" in caught.value.remedy


def test_a_taken_port_is_an_error_with_a_remedy(hosted: Written) -> None:
    with pytest.raises(InUseError, match=f"127.0.0.1:{hosted.port}") as caught:
        EmbeddedSlave("127.0.0.1", hosted.port, AMPLIFIER).start()
    assert "--port" in caught.value.remedy
    assert caught.value.exit_code == 7


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1"])
def test_an_address_of_another_machine_cannot_be_hosted(host: str) -> None:
    with pytest.raises(UsageError, match=f"{host} is not an address of this machine") as caught:
        EmbeddedSlave(host, 0, AMPLIFIER).start()
    assert "--host" in caught.value.remedy


def test_a_name_that_does_not_resolve_cannot_be_hosted() -> None:
    with pytest.raises(UsageError, match=r"no-such-host\.invalid is not an address of this machine"):
        EmbeddedSlave("no-such-host.invalid", 0, AMPLIFIER).start()


AS_NOBODY = """
import os, sys
from ampedge.datamap import laid_out
from ampedge.errors import AmpedgeError
from ampedge.modbus.slave import EmbeddedSlave

slave = EmbeddedSlave("127.0.0.1", int(sys.argv[1]), laid_out(["x"]))
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
try:
    slave.start()
except AmpedgeError as error:
    print(error.exit_code, error.problem, error.remedy, sep="\\n")
"""


def free_low_port() -> int:
    for port in range(600, 1024):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no low port is free")


def test_a_low_port_without_the_right_gets_the_exact_remedy() -> None:
    limit = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        pytest.skip("only root can become a user without rights")
    if int(limit.read_text()) < 1024:
        pytest.skip("every user may use low ports on this machine")
    port = free_low_port()
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", AS_NOBODY, str(port)], capture_output=True, text=True, check=True
    )
    code, problem, remedy = done.stdout.splitlines()
    assert code == "2"
    assert problem == f"This user may not listen on 127.0.0.1:{port}: ports below 1024 need a right."
    assert f"sudo sysctl net.ipv4.ip_unprivileged_port_start={port}" in remedy
    assert "CAP_NET_BIND_SERVICE" in remedy
    assert "--port 5020" in remedy
    assert done.stderr == ""


def test_stopping_takes_no_longer_than_the_service_may() -> None:
    written = Written(AMPLIFIER)
    began_s = time.monotonic()
    written.slave.stop()
    assert time.monotonic() - began_s < 1.0
    wait_until(lambda: not any("process_request_thread" in t.name for t in threading.enumerate()))
