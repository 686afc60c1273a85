"""The master's side: one connection to one slave, over which a plan's blocks are read and written."""

import struct
from collections.abc import Callable, Sequence
from typing import TypeVar

from ampedge.datamap import BIT_TABLES
from ampedge.errors import ExceptionReply, UnreachableError
from ampedge.modbus.connection import Connection, HungUp
from ampedge.modbus.plan import Block, Plan
from ampedge.modbus.replies import Garbage, Refused, bits, confirm, registers
from ampedge.records import Words

_EXCEPTIONS = {
    1: "illegal function",
    2: "illegal data address",
    3: "illegal data value",
    4: "device failure",
    5: "acknowledge",
    6: "device busy",
    8: "memory parity error",
    10: "gateway path unavailable",
    11: "gateway target does not respond",
}
_FAILURES = (HungUp, Garbage, Refused, OSError)
_Answer = TypeVar("_Answer")


class Master:
    """Reads and writes the registers of one slave; connects when first used and again after a loss.

    `timeout_s` bounds the connection (3 s at most) and each exchange as a whole.
    One thread at a time may use it.
    """

    def __init__(self, host: str, port: int, *, unit: int = 1, timeout_s: float = 3.0) -> None:
        self.address = f"{host}:{port}"
        self.unit = unit
        self.timeout_s = timeout_s
        self.connection = Connection(host, port, unit=unit, timeout_s=timeout_s)

    def connect(self) -> None:
        """Open the connection now; raises UnreachableError."""
        self.connection.open()

    def read(self, plan: Plan) -> tuple[Words, ...]:
        """The words of each tag of the plan; raises UnreachableError or ExceptionReply."""
        return plan.split([self.read_block(block) for block in plan.blocks])

    def read_block(self, block: Block) -> Words:
        """The words of one block; raises UnreachableError or ExceptionReply."""
        request = struct.pack(">BHH", block.read_function, block.address, block.count)
        try:
            return self._ask(request, bits if block.table in BIT_TABLES else registers)
        except _FAILURES as error:
            raise self._failure(error, request, block) from error

    def write(self, plan: Plan, words: Sequence[Words]) -> None:
        """Write each tag's words, one request per block; raises UnreachableError or ExceptionReply."""
        for block, image in zip(plan.blocks, plan.join(words), strict=True):
            request = _write_request(block, image)
            try:
                self._ask(request, confirm)
            except _FAILURES as error:
                raise self._failure(error, request, block) from error

    def close(self) -> None:
        """Close the connection; the next use opens it again."""
        self.connection.close()

    def _ask(self, request: bytes, check: Callable[[bytes, bytes], _Answer]) -> _Answer:
        try:
            answer = self.connection.exchange(request)
        except HungUp as error:
            if not error.idle:
                raise
            answer = self.connection.exchange(request)  # many a slave closes what is idle for a while: that is no loss
        try:
            return check(request, answer)
        except Garbage:
            self.connection.close()
            raise

    def _failure(self, error: Exception, request: bytes, block: Block) -> UnreachableError:
        where = f"The slave at {self.address}, unit {self.unit}"
        asked = f" (function code {request[0]}, {block.describe()})"
        match error:
            case Refused(code=code):
                name = _EXCEPTIONS.get(code, f"unknown, 0x{code:02X}")
                return ExceptionReply(
                    code,
                    f"{where}, answers with exception {code} ({name}){asked}.",
                    "Check unit id, addresses and tables of the data map against the device's manual.",
                )
            case Garbage():
                return UnreachableError(
                    f"{where}, sends something that is no answer to the request{asked}: {error}.",
                    "Check that a Modbus TCP slave listens there and that no other master disturbs it.",
                )
            case TimeoutError():
                return UnreachableError(
                    f"{where}, does not answer within {self.timeout_s:g} s{asked}.",
                    "Check the unit id, or give the device more time with modbus.timeout_s.",
                )
            case HungUp():
                return UnreachableError(
                    f"{where}, closed the connection{asked}.",
                    "Check that a Modbus TCP slave listens there and that it allows one more connection.",
                )
        return UnreachableError(
            f"{where}, is out of reach{asked}: {error}.", "Check the network and the device's power."
        )


def _write_request(block: Block, image: Sequence[int]) -> bytes:
    if block.table in BIT_TABLES:
        size = (block.count + 7) // 8
        packed = sum(1 << place for place, bit in enumerate(image) if bit)
        return struct.pack(">BHHB", 15, block.address, block.count, size) + packed.to_bytes(size, "little")
    return struct.pack(f">BHHB{block.count}H", 16, block.address, block.count, 2 * block.count, *image)
