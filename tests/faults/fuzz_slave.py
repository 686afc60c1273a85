"""A million frames, most of them wrong, at the slave that we host, over real sockets.

    python -m tests.faults.fuzz_slave --count 1000000

The slave runs in a process of its own.  Frames go out in batches on one connection, which a frame that is none ends;
what counts is the answers and the ends that came back, so each counted frame was dealt with.  In between and at the
end another master is served as ever, and every register that must not be written still is what it was.
"""

import argparse
import contextlib
import random
import socket
import struct
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass

from ampedge.datamap import DataMap, Tag
from ampedge.modbus.slave import SPARE_REGISTERS, EmbeddedSlave
from tests.support.mosquitto import free_port
from tests.support.scripted_slave import ask
from tests.support.waiting import wait_until

START, END = 100, 110
MAP = DataMap(tuple(Tag(f"t{i}", START + 2 * i) for i in range((END - START) // 2)))
BANK = range(START, END + SPARE_REGISTERS)
_BATCH = 60
_CHECK_EVERY = 50_000
_FUNCTIONS = (1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 15, 16, 17, 20, 21, 22, 23, 24, 43)


@dataclass
class Found:
    """What came back."""

    frames: int = 0
    answers: int = 0
    ends: int = 0
    changed: int = 0
    served: int = 0


def frame(drawn: random.Random, pdu: bytes) -> bytes:
    """A frame whose header is right."""
    return struct.pack(">HHHB", drawn.randrange(65536), 0, len(pdu) + 1, drawn.randrange(256)) + pdu


def address(drawn: random.Random) -> int:
    """Inside the bank, at its ends, or anywhere."""
    return drawn.choice([drawn.randrange(BANK.start - 3, BANK.stop + 3), drawn.randrange(65536), 0, 65535])


def pdu(drawn: random.Random) -> bytes:
    """A request: right, nearly right, or noise; at least two bytes, so that it has a right header."""
    kind = drawn.randrange(40)
    where, count = address(drawn), drawn.choice([0, 1, 2, 3, 18, 125, 126, drawn.randrange(65536)])
    if kind == 0:
        return bytes([drawn.choice(_FUNCTIONS)]) + drawn.randbytes(drawn.randrange(1, 40))
    if kind == 1:
        return drawn.randbytes(drawn.randrange(2, 254))
    if kind < 10:
        return struct.pack(">BHH", drawn.choice((1, 2, 3, 4)), where, count)
    if kind < 16:
        return struct.pack(">BHH", drawn.choice((5, 6)), where, drawn.randrange(65536))
    if kind < 20:
        request = struct.pack(">BHHHHBH", 23, 0, 1, where, 1, 2, drawn.randrange(65536))
    else:
        words = drawn.randrange(1, 24)
        function = drawn.choice((15, 16, 16, 16))
        request = struct.pack(">BHHB", function, where, words, 2 * words) + drawn.randbytes(2 * words)
    if kind < 36:
        return request
    data = bytearray(request)
    for _ in range(drawn.randrange(1, 4)):
        data[drawn.randrange(len(data))] = drawn.randrange(256)
    return bytes(data[: drawn.randrange(2, len(data) + 1)])


def fatal(drawn: random.Random) -> bytes:
    """Something that is no frame, or only half of one."""
    kind = drawn.randrange(4)
    if kind == 0:
        return struct.pack(">HHHB", 1, drawn.randrange(1, 65536), 6, 1) + bytes(5)
    if kind == 1:
        return struct.pack(">HHHB", 1, 0, drawn.choice([0, 1, 2, 256, 65535]), 1) + drawn.randbytes(drawn.randrange(9))
    if kind == 2:
        return b"GET / HTTP/1.1\r\n\r\n" + drawn.randbytes(drawn.randrange(50))
    return frame(drawn, b"\x10" + drawn.randbytes(30))[: drawn.randrange(1, 30)]


def batch(port: int, frames: list[bytes], found: Found) -> None:
    """Send the frames on one connection, say that no more will come, and count what comes back."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        data = b""
        with contextlib.suppress(OSError):
            connection.sendall(b"".join(frames))
            connection.shutdown(socket.SHUT_WR)
        with contextlib.suppress(OSError):
            while piece := connection.recv(65536):
                data += piece
    at = 0
    while at + 7 <= len(data):
        at += 6 + int.from_bytes(data[at + 4 : at + 6], "big")
        found.answers += 1
    found.ends += 1


def check(port: int, found: Found) -> None:
    """Another master is served, and nothing outside the bank has changed."""
    assert ask(port, struct.pack(">BHHB2H", 16, START, 2, 4, 1, 2)) == struct.pack(">BHH", 16, START, 2)
    assert ask(port, struct.pack(">BHH", 3, START, 2)) == struct.pack(">BB2H", 3, 4, 1, 2)
    found.served += 1
    before = ask(port, struct.pack(">BHH", 3, 0, START))
    found.changed += before != bytes([3, 2 * START]) + bytes(2 * START)
    for function, where in ((3, BANK.stop), (3, 65535), (1, 0), (2, 0), (4, 0), (4, START), (1, START)):
        found.changed += ask(port, struct.pack(">BHH", function, where, 1)) != bytes([function | 0x80, 2])


def fuzz(count: int, *, seed: int = 1) -> Found:
    """So many frames; raises AssertionError where the slave dies or says something on stderr."""
    drawn = random.Random(seed)
    found = Found()
    port = free_port()
    with tempfile.TemporaryFile() as said:
        slave = subprocess.Popen([sys.executable, "-m", "tests.faults.fuzz_slave", "--slave", str(port)], stderr=said)
        try:
            wait_until(lambda: _listens(port), 20, "the slave")
            checked = 0
            while found.answers + found.ends < count:
                frames = [frame(drawn, pdu(drawn)) for _ in range(drawn.randrange(_BATCH))]
                batch(port, [*frames, fatal(drawn)], found)
                if found.answers + found.ends >= checked:
                    check(port, found)
                    checked += _CHECK_EVERY
            check(port, found)
            assert slave.poll() is None
        finally:
            slave.kill()
            slave.wait()
        said.seek(0)
        assert said.read() == b""
    found.frames = found.answers + found.ends
    return found


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--slave", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.slave:
        EmbeddedSlave("127.0.0.1", given.slave, MAP).start()
        while True:
            time.sleep(3600)
    begun_s = time.monotonic()
    found = fuzz(given.count, seed=given.seed)
    took_s = time.monotonic() - begun_s
    state = "unchanged" if not found.changed else f"CHANGED {found.changed} times"
    print(
        f"{found.frames:,} frames, alive, registers outside the writable bank {state} "
        f"({found.answers:,} answers, {found.ends:,} ends; {took_s:.0f} s, {found.frames / took_s:,.0f} a second)"
    )
    return int(found.changed > 0)


if __name__ == "__main__":
    sys.exit(main())
