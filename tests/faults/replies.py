"""Replies that are wrong in every way that a slave, a gateway or a cable can think of.

python -m tests.faults.replies
"""

import struct
import sys
from collections.abc import Callable

from ampedge.datamap import DataMap, Tag, laid_out
from ampedge.errors import ExceptionReply, UnreachableError
from ampedge.modbus.client import Master
from ampedge.modbus.plan import plan_reads
from tests.support.scripted_slave import ScriptedSlave, reply

REGISTERS = laid_out(["a", "b"])
BITS = DataMap(tuple(Tag(f"b{i}", i, "coil", "bit") for i in range(19)))


def right(frame: bytes) -> bytes:
    """The right answer: registers 1, 2, 3 ...; bits on, off, on ..."""
    function, _, count = struct.unpack(">BHH", frame[7:12])
    if function == 1:
        size = (count + 7) // 8
        return reply(frame, bytes([1, size]) + b"\x55" * size)
    return reply(frame, struct.pack(f">BB{count}H", function, 2 * count, *range(1, count + 1)))


def head(frame: bytes, **fields: int) -> bytes:
    """The right answer with other fields in its header."""
    answer = right(frame)
    transaction, protocol, length, unit = struct.unpack(">HHHB", answer[:7])
    values = {"transaction": transaction, "protocol": protocol, "length": length, "unit": unit} | fields
    return struct.pack(">HHHB", *values.values()) + answer[7:]


def body(change: Callable[[bytearray], object]) -> Callable[[bytes], bytes]:
    """The right answer with another body, the length in its header being true."""

    def answer(frame: bytes) -> bytes:
        pdu = bytearray(right(frame)[7:])
        change(pdu)
        return reply(frame, bytes(pdu))

    return answer


def sized(frame: bytes, more: int) -> bytes:
    """A consistent answer for another number of bytes than was asked for."""
    pdu = right(frame)[7:]
    data = (pdu[2:] + bytes(max(0, more)))[: len(pdu) - 2 + more]
    return reply(frame, bytes([pdu[0], len(data)]) + data)


def transaction(frame: bytes) -> int:
    return int.from_bytes(frame[:2], "big")


WRONG: dict[str, Callable[[bytes], bytes | None]] = {
    "a transaction id that is one less": lambda f: head(f, transaction=(transaction(f) - 1) & 0xFFFF),
    "a transaction id that is one more": lambda f: head(f, transaction=(transaction(f) + 1) & 0xFFFF),
    "a transaction id with its bytes swapped": lambda f: head(f, transaction=transaction(f) ^ 0x0101),
    "another protocol id": lambda f: head(f, protocol=1),
    "another unit": lambda f: head(f, unit=18),
    "unit 0": lambda f: head(f, unit=0),
    "a length of 0": lambda f: head(f, length=0),
    "a length of 1": lambda f: head(f, length=1),
    "a length of 2": lambda f: head(f, length=2),
    "a length that is one too short": lambda f: head(f, length=len(right(f)) - 7),
    "a length that is one too long, and then nothing": lambda f: head(f, length=len(right(f)) - 5),
    "a length of 255": lambda f: head(f, length=255) + bytes(300),
    "a length of 65535": lambda f: head(f, length=65535) + bytes(300),
    "another function code": body(lambda pdu: pdu.__setitem__(0, pdu[0] + 1)),
    "function code 0": body(lambda pdu: pdu.__setitem__(0, 0)),
    "a function code alone": lambda f: reply(f, f[7:8]),
    "nothing in the frame": lambda f: reply(f, b""),
    "the request sent back": lambda f: f,
    "a byte count of 0 and no data": lambda f: reply(f, f[7:8] + b"\0"),
    "a byte count of 0 before data": body(lambda pdu: pdu.__setitem__(1, 0)),
    "a byte count that is one too small": body(lambda pdu: pdu.__setitem__(1, pdu[1] - 1)),
    "a byte count that is one too large": body(lambda pdu: pdu.__setitem__(1, pdu[1] + 1)),
    "a byte count of 255": body(lambda pdu: pdu.__setitem__(1, 255)),
    "data that is one byte short": body(lambda pdu: pdu.pop()),
    "data that is one byte long": body(lambda pdu: pdu.append(0)),
    "one byte less, consistently": lambda f: sized(f, -1),
    "one byte more, consistently": lambda f: sized(f, 1),
    "one register less, consistently": lambda f: sized(f, -2),
    "one register more, consistently": lambda f: sized(f, 2),
    "the longest answer that there is": lambda f: reply(f, f[7:8] + bytes([250]) + bytes(250)),
    "an exception of another function": lambda f: reply(f, bytes([f[7] + 1 | 0x80, 2])),
    "an exception without its code": lambda f: reply(f, bytes([f[7] | 0x80])),
    "an exception with more behind its code": lambda f: reply(f, bytes([f[7] | 0x80, 2, 0])),
    "an exception whose transaction is another": lambda f: (
        b"\0\0\0\0\0\3" + bytes([17, f[7] | 0x80, 2]) if transaction(f) else b""
    ),
    "the confirmation of a write": lambda f: reply(f, b"\x10" + f[8:12]),
    "the right answer twice": lambda f: right(f) + right(f),
    "an older answer before the right one, in one piece": lambda f: (
        head(f, transaction=(transaction(f) - 1) & 0xFFFF) + right(f)
    ),
    "the right answer with a byte behind it": lambda f: right(f) + b"\0",
    "half of the right answer, then nothing": lambda f: right(f)[:9],
    "the right answer of a serial line, without header": lambda f: f[6:7] + right(f)[7:] + b"\x12\x34",
    "the right answer in text": lambda f: b":110304000100020003F1\r\n",
    "zeros": lambda f: bytes(260),
    "ones": lambda f: b"\xff" * 260,
    "a web page": lambda f: b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n",
    "a connection that ends at once": lambda f: None,
}


def is_refused(kind: str, datamap: DataMap, *, torn: bool) -> bool:
    """Whether the master takes nothing of this answer, ends the connection, and gets the right answer on the next."""
    plan = plan_reads(datamap)
    with ScriptedSlave(right, byte_by_byte=torn) as slave:
        master = Master("127.0.0.1", slave.port, unit=17, timeout_s=0.15)
        try:
            expected = master.read(plan)
            slave.answer = WRONG[kind]
            try:
                master.read(plan)
            except ExceptionReply:
                return False
            except UnreachableError:
                is_closed = not master.connection.is_open
                slave.answer = right
                return is_closed and master.read(plan) == expected
            return False
        finally:
            master.close()


def main() -> int:
    accepted = [kind for kind in WRONG for datamap in (REGISTERS, BITS) if not is_refused(kind, datamap, torn=False)]
    for kind in accepted:
        print(f"accepted: {kind}")
    print(f"{len(WRONG)} kinds of wrong replies, each for registers and for bits: {len(accepted)} accepted")
    return int(bool(accepted))


if __name__ == "__main__":
    sys.exit(main())
