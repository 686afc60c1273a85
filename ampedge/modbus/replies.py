"""Whether what came back is the answer to what was asked; nothing of a wrong answer is ever used."""

import struct

from ampedge.records import Words

LARGEST_FRAME = 260
"""Bytes of the largest frame of the protocol: nothing longer is ever waited for or kept."""

_HEADER = struct.Struct(">HHHB")
_HEADER_SIZE = 7
_EXCEPTION = 0x80


class Garbage(Exception):
    """What came back is no answer to the request; the text says why."""


class Refused(Exception):
    """The device answers with a Modbus exception, whose number is `code`."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def framed(transaction: int, unit: int, request: bytes) -> bytes:
    """The request with its header, as it goes over the wire."""
    return _HEADER.pack(transaction, 0, len(request) + 1, unit) + request


def frame_size(header: bytes, transaction: int, unit: int) -> int:
    """Bytes of the whole frame that begins like this, at least its header; raises Garbage."""
    of_transaction, protocol, length, of_unit = _HEADER.unpack_from(header)
    if of_transaction != transaction:
        raise Garbage("its transaction id is another one")
    if protocol != 0:
        raise Garbage("its protocol id is not that of Modbus")
    if of_unit != unit:
        raise Garbage("it comes from another unit")
    if not 3 <= length <= LARGEST_FRAME - _HEADER_SIZE + 1:
        raise Garbage("its length cannot be")
    return int(length) + _HEADER_SIZE - 1


def registers(request: bytes, answer: bytes) -> Words:
    """The registers that a read (function codes 3 and 4) asked for; raises Refused or Garbage."""
    count = (request[3] << 8) + request[4]
    _check_function(request, answer)
    _check_size(answer, 2 * count)
    return struct.unpack_from(f">{count}H", answer, 2)


def bits(request: bytes, answer: bytes) -> Words:
    """The bits that a read (function codes 1 and 2) asked for, each 0 or 1; raises Refused or Garbage."""
    count = (request[3] << 8) + request[4]
    _check_function(request, answer)
    _check_size(answer, (count + 7) // 8)
    packed = int.from_bytes(answer[2:], "little")
    return tuple((packed >> place) & 1 for place in range(count))


def confirm(request: bytes, answer: bytes) -> None:
    """A write (function codes 15 and 16) is done when the device repeats address and count; raises Refused, Garbage."""
    _check_function(request, answer)
    if answer[1:] != request[1:5]:
        raise Garbage("it confirms another write")


def _check_function(request: bytes, answer: bytes) -> None:
    if answer[0] == request[0]:
        return
    if answer[0] != request[0] | _EXCEPTION:
        raise Garbage(f"its function code is {answer[0]}")
    if len(answer) != 2:
        raise Garbage("it is an exception of the wrong length")
    raise Refused(answer[1])


def _check_size(answer: bytes, size: int) -> None:
    if answer[1] != size or len(answer) != size + 2:
        raise Garbage("it holds more or less than was asked for")
