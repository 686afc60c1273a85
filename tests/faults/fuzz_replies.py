"""Millions of replies, most of them wrong, against the master that ships, over a socket in memory.

    python -m tests.faults.fuzz_replies --count 10000000 --processes 2

Half of the replies begin as the right one and are then mutated, cut, extended, swapped with another request's or
torn into pieces; the rest is noise.  The oracle below is written from the protocol's description, byte by byte, and
shares nothing with the master: it says for each reply what the master must make of it.
"""

import argparse
import multiprocessing
import random
import struct
import sys
import time
from dataclasses import dataclass, fields
from typing import Any

from ampedge.errors import ExceptionReply, UnreachableError
from ampedge.modbus.client import Master
from ampedge.modbus.plan import Block

UNIT = 17
_TABLES = {1: "coil", 2: "discrete", 3: "holding", 4: "input"}


@dataclass
class Found:
    """What became of the replies."""

    replies: int = 0
    right: int = 0
    exceptions: int = 0
    refused: int = 0
    wrongly_accepted: int = 0
    wrongly_refused: int = 0
    uncaught: int = 0

    def add(self, other: "Found") -> None:
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))


class Memory:
    """A socket that answers each request from memory, at once or in pieces, and then hangs up.

    `arrived` is what the master has been given of the reply; what it left is there before the next request, as in TCP.
    """

    def __init__(self, drawn: random.Random) -> None:
        self.drawn = drawn
        self.request = b""
        self.arrived = b""
        self._coming = b""
        self._is_torn = False
        self._waits = True

    def sendall(self, data: bytes) -> None:
        self._coming += mutated(self.drawn, data, self.request)
        self._is_torn = self.drawn.random() < 0.1
        self.request, self.arrived = data, b""

    def recv(self, size: int) -> bytes:
        assert size <= 260, f"the master would take {size} bytes at once"
        if not self._waits:  # it looks whether something came unasked, which is no answer to anything
            if not self._coming:
                raise BlockingIOError
            self.arrived = b""
        elif self._is_torn:
            size = self.drawn.randrange(1, size)
        piece, self._coming = self._coming[:size], self._coming[size:]
        self.arrived += piece
        return piece

    def settimeout(self, timeout_s: float) -> None:
        self._waits = timeout_s > 0

    def close(self) -> None:
        self._coming = b""


def answer(drawn: random.Random, request: bytes) -> bytes:
    """The right reply to a request, with any data."""
    function, count = request[7], int.from_bytes(request[10:12], "big")
    size = 2 * count if function > 2 else (count + 7) // 8
    return request[:4] + struct.pack(">HBBB", size + 3, request[6], function, size) + drawn.randbytes(size)


def mutated(drawn: random.Random, request: bytes, last: bytes) -> bytes:  # noqa: PLR0911
    """A reply, right or wrong."""
    kind = drawn.randrange(16)
    if kind == 0:
        return drawn.randbytes(drawn.randrange(300))
    if kind == 1:
        return (
            request[:4]
            + struct.pack(">HB", drawn.choice([0, 1, 2, 3, 4, 5, 253, 254, 255, 256, 65535]), UNIT)
            + (drawn.randbytes(drawn.randrange(280)))
        )
    if kind == 2:
        function = drawn.choice([request[7] | 0x80, drawn.randrange(256)])
        return request[:4] + struct.pack(">HBBB", 3, UNIT, function, drawn.randrange(256))
    right = answer(drawn, request)
    if kind == 3:
        return right[: drawn.randrange(len(right))]
    if kind == 4:
        return right + drawn.randbytes(drawn.randrange(1, 20))
    if kind == 5:
        return answer(drawn, last) if last else right
    if kind == 6 and last:
        return request[:2] + answer(drawn, last)[2:]
    if kind == 7:
        other = request[:10] + struct.pack(">H", drawn.randrange(1, 126))
        return answer(drawn, other)
    if kind < 13:
        data = bytearray(right)
        for _ in range(drawn.choice([1, 1, 1, 2, 3])):
            where = drawn.randrange(min(len(data), drawn.choice([9, 9, 300])))
            data[where] = drawn.choice([0, 1, 255, data[where] ^ (1 << drawn.randrange(8)), drawn.randrange(256)])
        return bytes(data)
    return right


def verdict(request: bytes, reply: bytes) -> list[int] | int | None:
    """What the protocol says of a reply: its words, the number of an exception, or None for no answer at all."""
    is_frame = (
        9 <= len(reply) <= 260
        and reply[0:2] == request[0:2]
        and reply[2:4] == b"\0\0"
        and reply[4] * 256 + reply[5] == len(reply) - 6
        and reply[6] == request[6]
    )
    if is_frame and reply[7] == request[7] + 128 and len(reply) == 9:
        return reply[8]
    data = reply[9:]
    if not is_frame or reply[7] != request[7] or reply[8] != len(data):
        return None
    count = request[10] * 256 + request[11]
    if request[7] in {1, 2} and len(data) == -(-count // 8):
        return [data[i // 8] // 2 ** (i % 8) % 2 for i in range(count)]
    if request[7] in {3, 4} and len(data) == 2 * count:
        return [data[2 * i] * 256 + data[2 * i + 1] for i in range(count)]
    return None


def fuzz(count: int, *, seed: int) -> Found:
    """Let the master meet so many replies."""
    drawn = random.Random(seed)
    found = Found()
    master = Master("127.0.0.1", 1, unit=UNIT, timeout_s=60)
    memory: Any = Memory(drawn)
    connection = master.connection
    blocks = [
        Block(_TABLES[function], drawn.randrange(60000), min(limit, drawn.choice([1, 2, 4, 8, 9, 10, 64, limit])), ())
        for function, limit in [(1, 2000), (2, 64), (3, 125), (3, 12), (3, 12), (4, 125), (4, 12)] * 20
    ]
    for number in range(count):
        connection._socket = memory
        try:
            met: list[int] | int | None = list(master.read_block(blocks[number % len(blocks)]))
        except ExceptionReply as error:
            met = error.code
        except UnreachableError:
            met = None
        except Exception:
            found.uncaught += 1
            continue
        assert connection.is_open is (met is not None)
        tell(found, met, verdict(memory.request, memory.arrived))
    found.replies = count
    return found


def tell(found: Found, met: list[int] | int | None, truth: list[int] | int | None) -> None:
    """Count one reply."""
    if met == truth:
        found.refused += met is None
        found.right += isinstance(met, list)
        found.exceptions += isinstance(met, int)
    elif met is None:
        found.wrongly_refused += 1
    else:
        found.wrongly_accepted += 1


def _share(work: tuple[int, int]) -> Found:
    return fuzz(work[0], seed=work[1])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000_000)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    begun_s = time.monotonic()
    shares = [given.count // given.processes] * given.processes
    shares[0] += given.count - sum(shares)
    total = Found()
    with multiprocessing.Pool(given.processes) as pool:
        for found in pool.imap_unordered(_share, [(n, given.seed + i) for i, n in enumerate(shares)]):
            total.add(found)
    took_s = time.monotonic() - begun_s
    print(
        f"{total.replies:,} replies, {total.wrongly_accepted} wrongly accepted, {total.uncaught} uncaught, "
        f"{total.wrongly_refused} wrongly refused ({total.right:,} right, {total.exceptions:,} exceptions, "
        f"{total.refused:,} refused; {took_s:.0f} s, {total.replies / took_s:,.0f} a second)"
    )
    return int(total.wrongly_accepted + total.wrongly_refused + total.uncaught > 0)


if __name__ == "__main__":
    sys.exit(main())
