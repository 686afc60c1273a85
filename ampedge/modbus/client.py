"""The master's side: one connection to one slave, over which a plan's blocks are read and written."""

from collections.abc import Callable, Sequence
from typing import Any, cast

from pyModbusTCP import constants
from pyModbusTCP.client import ModbusClient

from ampedge.datamap import BIT_TABLES
from ampedge.errors import ExceptionReply, UnreachableError
from ampedge.modbus.plan import Block, Plan
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
_FUNCTIONS = {"coil": 1, "discrete": 2, "holding": 3, "input": 4}


class Master:
    """Reads and writes the registers of one slave; connects when first used and again after a loss.

    `timeout_s` bounds the connection and each wait for a reply.
    One thread at a time may use it.
    """

    def __init__(self, host: str, port: int, *, unit: int = 1, timeout_s: float = 3.0) -> None:
        self.address = f"{host}:{port}"
        self.unit = unit
        self.timeout_s = timeout_s
        self._client = ModbusClient(host=host, port=port, unit_id=unit, timeout=timeout_s, auto_open=True)
        self._client.on_tx_rx = self._take_note
        self._reply = b""
        self._readers = {
            "coil": self._client.read_coils,
            "discrete": self._client.read_discrete_inputs,
            "holding": self._client.read_holding_registers,
            "input": self._client.read_input_registers,
        }

    def connect(self) -> None:
        """Open the connection now; raises UnreachableError."""
        try:
            opened = self._client.open()
        except OSError as error:
            raise self._unresolved(error) from error
        if not opened:
            raise self._failure("")

    def read(self, plan: Plan) -> tuple[Words, ...]:
        """The words of each tag of the plan; raises UnreachableError or ExceptionReply."""
        return plan.split([self._read_block(block) for block in plan.blocks])

    def write(self, plan: Plan, words: Sequence[Words]) -> None:
        """Write each tag's words, one request per block; raises UnreachableError or ExceptionReply."""
        for block, image in zip(plan.blocks, plan.join(words), strict=True):
            if block.table in BIT_TABLES:
                function = 15
                written = self._call(self._client.write_multiple_coils, block.address, [bool(bit) for bit in image])
            else:
                function = 16
                written = self._call(self._client.write_multiple_registers, block.address, image)
            if not written or self._reply[0] != function:
                raise self._failure(f"function code {function}, {block.describe()}")

    def close(self) -> None:
        """Close the connection; the next use opens it again."""
        self._client.close()

    def _read_block(self, block: Block) -> Sequence[int]:
        function = _FUNCTIONS[block.table]
        words = self._call(self._readers[block.table], block.address, block.count)
        size = (block.count + 7) // 8 if block.table in BIT_TABLES else 2 * block.count
        if words is None or self._reply[:2] != bytes((function, size)):
            raise self._failure(f"function code {function}, {block.describe()}")
        return cast(Sequence[int], words)

    def _take_note(self, frame: bytes, is_tx: bool) -> None:
        """Keep the reply: the library looks neither at its function code nor at a list that is too long."""
        if not is_tx:
            self._reply = frame[7:]

    def _call(self, request: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return request(*arguments)
        except OSError as error:  # a name that does not resolve; all else comes back as None
            raise self._unresolved(error) from error

    def _unresolved(self, error: OSError) -> UnreachableError:
        return UnreachableError(
            f"The slave's address {self.address} cannot be resolved: {error.strerror}.",
            "Check the name, or give the IP address with --host.",
        )

    def _failure(self, request: str) -> UnreachableError:
        where = f"The slave at {self.address}, unit {self.unit}"
        asked = f" ({request})" if request else ""
        code = self._client.last_error
        if code == constants.MB_EXCEPT_ERR:
            number = self._client.last_except
            name = _EXCEPTIONS.get(number, "unknown exception")
            return ExceptionReply(
                number,
                f"{where}, answers with exception {number} ({name}){asked}.",
                "Check unit id, addresses and tables of the data map against the device's manual.",
            )
        self._client.close()  # what else may still be on its way is no answer to the next request
        if code == constants.MB_CONNECT_ERR:
            return UnreachableError(
                f"Nothing accepts connections at {self.address} within {self.timeout_s:g} s.",
                "Check --host and --port, the cable and the device's power; "
                "for a slave on this machine start `ampedge serve` first.",
            )
        if code == constants.MB_TIMEOUT_ERR:
            return UnreachableError(
                f"{where}, does not answer within {self.timeout_s:g} s{asked}.",
                "Check the unit id, or give the device more time with modbus.timeout_s.",
            )
        return UnreachableError(
            f"{where}, closed the connection or answered with something that is no reply{asked}.",
            "Check that a Modbus TCP slave listens there and that it allows one more connection.",
        )
